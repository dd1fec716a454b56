"""The forge's workflows: valid, pinned, with no more rights than they need; their scripts work."""

import json
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cnnlab import pull_request

FILES = sorted((Path(__file__).parents[1] / ".github/workflows").glob("*.yml"))
WORKFLOWS = {file.name: YAML(typ="safe").load(file) for file in FILES}
STEPS = [
    (name, step)
    for name, workflow in WORKFLOWS.items()
    for job in workflow["jobs"].values()
    for step in job["steps"]
]


def check(schema, file):
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.name)
def test_workflows_follow_their_schema(file):
    valid, said = check("vendor.github-workflows", file)
    assert valid, said


def test_the_schema_sees_a_mistake(tmp_path):
    text = FILES[0].read_text().replace("runs-on:", "run-on:")
    (tmp_path / "bad.yml").write_text(text)
    assert not check("vendor.github-workflows", tmp_path / "bad.yml")[0]


def test_actions_are_pinned_to_a_commit_and_say_which_version_that_is():
    used = [line for f in FILES for line in f.read_text().splitlines() if "uses:" in line]
    assert used
    for line in used:
        assert re.search(r"uses: [\w/-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line), line


def test_only_the_one_that_posts_may_write_and_it_runs_nothing_of_the_branch():
    for name, workflow in WORKFLOWS.items():
        asked = [workflow["permissions"]]
        asked += [job["permissions"] for job in workflow["jobs"].values() if "permissions" in job]
        writes = {right for rights in asked for right, level in rights.items() if level == "write"}
        assert writes == ({"pull-requests"} if name == "comment.yml" else set())
        assert "pull_request_target" not in workflow["on"]
    ours = [step for name, step in STEPS if name == "comment.yml"]
    assert not any("checkout" in step.get("uses", "") for step in ours)


def test_nothing_from_outside_is_pasted_into_a_script():
    for name, step in STEPS:
        assert "${{" not in step.get("run", ""), (name, step["run"])
        if "checkout" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False


def test_scripts_are_valid_shell():
    for name, step in STEPS:
        if "run" in step:
            done = subprocess.run(["bash", "-n"], input=step["run"], capture_output=True, text=True)
            assert done.returncode == 0, (name, done.stderr)


# `gh api`, of which comment.yml needs this much: what it is asked with goes to a log, lists come
# from files, and --jq is jq's own.
GH = """#!{python}
import json, subprocess, sys
from pathlib import Path
store = Path({store!r})
arguments = sys.argv[2:]
url = next(a for a in arguments if a.startswith("repos/"))
method = arguments[arguments.index("--method") + 1] if "--method" in arguments else "GET"
comments = json.loads((store / "comments.json").read_text())
if method == "GET":
    file = "comments.json" if url.endswith("/comments") else "pulls.json"
    asked = arguments[arguments.index("--jq") + 1]
    sys.exit(subprocess.run(["jq", "-r", asked, str(store / file)]).returncode)
else:
    field = arguments[arguments.index("-F") + 1]
    body = Path(field.removeprefix("body=@")).read_text()
    if method == "POST":
        assert url == "repos/o/r/issues/7/comments", url
        bot = {{"login": "github-actions[bot]"}}
        comments.append({{"id": 100 + len(comments), "user": bot, "body": body}})
    else:
        (one,) = [c for c in comments if url == f"repos/o/r/issues/comments/{{c['id']}}"]
        one["body"] = body
    (store / "comments.json").write_text(json.dumps(comments))
"""


@pytest.mark.skipif(
    subprocess.run(["which", "jq"], capture_output=True).returncode != 0, reason="needs jq"
)
def test_one_comment_is_posted_and_from_then_on_updated(tmp_path):
    (script,) = [s["run"] for name, s in STEPS if name == "comment.yml" and "run" in s]
    gh = tmp_path / "bin/gh"
    gh.parent.mkdir()
    gh.write_text(GH.format(python=sys.executable, store=str(tmp_path)))
    gh.chmod(gh.stat().st_mode | stat.S_IXUSR)
    stranger = {"id": 1, "user": {"login": "eve"}, "body": pull_request.MARK + "\nmine"}
    other = {"id": 2, "user": {"login": "github-actions[bot]"}, "body": "coverage"}
    (tmp_path / "comments.json").write_text(json.dumps([stranger, other]))
    pulls = [{"number": 7, "head": {"sha": "new"}}]
    (tmp_path / "pulls.json").write_text(json.dumps(pulls))

    def post(text, sha="new"):
        (tmp_path / "comment.md").write_text(f"{pull_request.MARK}\n{text}\n")
        environment = {
            "PATH": f"{gh.parent}{os.pathsep}{os.environ['PATH']}",
            "REPOSITORY": "o/r",
            "OWNER": "o",
            "BRANCH": "b",
            "SHA": sha,
        }
        subprocess.run(
            ["bash", "-eo", "pipefail", "-c", script], cwd=tmp_path, env=environment, check=True
        )
        return json.loads((tmp_path / "comments.json").read_text())

    first = post("one")
    assert first[:2] == [stranger, other] and first[2]["body"].endswith("one\n") and len(first) == 3
    second = post("two")
    assert second[:2] == [stranger, other] and len(second) == 3
    assert second[2]["body"].endswith("two\n") and second[2]["id"] == first[2]["id"]
    # A run that was overtaken by a newer push says nothing.
    assert post("three", sha="old") == second


def test_the_dev_container_sets_up_by_a_target_that_there_is():
    root = FILES[0].parents[2]
    made = json.loads((root / ".devcontainer/devcontainer.json").read_text())["postCreateCommand"]
    command = [*made.split(), "--dry-run"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_set_up_says_what_to_do_where_git_knows_no_user(root, tmp_path):
    """DVC's own message, in `dvc exp run --queue`, does not."""
    shutil.copy(root / "Makefile", tmp_path)
    (tmp_path / "requirements.txt").touch()
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/.ready").touch()
    nobody = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "GIT_CONFIG_GLOBAL": os.devnull}

    def run(*command):
        return subprocess.run(
            command, cwd=tmp_path, env=nobody, capture_output=True, text=True, check=True
        )

    run("git", "init", "-q")
    run("git", "config", "user.useConfigOnly", "true")  # however well this machine guesses
    note = run("make", "setup").stderr
    commands = re.search(r"git config user\.name \S.*", note)[0]
    assert "dvc exp run" in note and "git config user.email" in commands
    for command in commands.split(" && "):
        run(*shlex.split(command))
    assert run("make", "setup").stderr == ""
