"""Where a study's clone is."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cnnlab import SHARED, paths

STUDIES = sorted(file.parent for file in Path(__file__).parents[1].glob("studies/*/params.yaml"))


@pytest.mark.parametrize(
    ("folder", "root"),
    [
        ("/home/me/clone", "/home/me/clone"),
        ("/home/me/clone/.dvc/tmp/exps/tmpab12", "/home/me/clone"),
        ("/home/me/clone/.dvc/tmp/exps/standalone/tmpab12", "/home/me/clone"),
        ("/home/me/.dvc/clone", "/home/me/.dvc/clone"),
        ("/home/me/studies/clone", "/home/me/studies/clone"),
    ],
)
def test_the_workspace_of_an_experiment_is_the_clone_s(folder, root, monkeypatch):
    monkeypatch.setenv("DVC_ROOT", folder)
    assert paths.workspace() == Path(root)


def test_the_workspace_is_where_the_code_is_when_dvc_does_not_run_it(root, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    assert paths.workspace() == root


@pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
def test_a_study_s_workspace_is_the_clone_s_without_dvc_too(study, root, monkeypatch):
    monkeypatch.delenv("DVC_ROOT", raising=False)
    done = subprocess.run(
        [sys.executable, "-c", "from cnnlab import paths; print(paths.workspace())"],
        cwd=study,
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == root


@pytest.mark.parametrize("way", ["code", "link"])
def test_nothing_but_code_comes_to_lie_among_the_code(root, tmp_path, way):
    """DVC hashes folders of code whole. The clone may be known by a link to it."""
    code = tmp_path / "code"
    (tmp_path / "link").symlink_to(code)
    for top in ("cnnlab", "stages"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(root / top, code / top, ignore=ignored)
    run = [sys.executable, "-c", "import stages.parts.compare, cnnlab.compare.designs as it, yaml"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path / way)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(run, cwd=tmp_path, env=environment, check=True)
    made = {path.parent for path in code.rglob("*.pyc")}
    assert made == {code / top / "__pycache__" for top in ("cnnlab", "stages")}


def test_processes_of_one_command_share_bytecode_and_notice_an_edit(root, tmp_path):
    """One of as many characters too, within a second."""
    code, shared = tmp_path / "code", tmp_path / "shared"
    shared.mkdir()
    for file in ("__init__.py", "errors.py"):
        (code / "cnnlab").mkdir(parents=True, exist_ok=True)
        (code / "cnnlab" / file).write_bytes((root / "cnnlab" / file).read_bytes())
    run = [sys.executable, "-c", "from cnnlab import errors; print(errors.SAID)"]
    environment = os.environ | {
        "PYTHONPATH": str(code),
        SHARED: f"{shared / 'socket'}{os.pathsep}{sys.prefix}",
    }
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    said, made = [], []
    for word in ("first", "other", "third"):
        (code / "cnnlab/errors.py").write_text(f"SAID = {word!r}\n")
        done = subprocess.run(
            run, cwd=tmp_path, env=environment, check=True, stdout=subprocess.PIPE
        )
        said.append(done.stdout.decode().strip())
        made.append([path.read_bytes() for path in shared.rglob("errors.*.pyc")])
    assert said == ["first", "other", "third"]
    assert [len(files) for files in made] == [1, 1, 1]
    assert b"third" in made[-1][0]
    assert not list((code / "cnnlab").rglob("errors.*.pyc"))


@pytest.mark.parametrize("exported", [False, True])
def test_a_stage_runs_the_code_of_the_clone_that_its_study_is_in(root, tmp_path, exported):
    """As in the copy of a clone that DVC makes for a queued experiment."""
    (tmp_path / "stages").mkdir()
    code = (root / "stages/__init__.py").read_text()
    (tmp_path / "stages/__init__.py").write_text(code)
    (tmp_path / "stages/who.py").write_text("import sys\nprint(__file__, *sys.argv[1:])\n")
    study = tmp_path / "studies/one"
    study.mkdir(parents=True)
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [sys.executable, "-m", "stages.who", "an argument"]
    if exported:
        environment["PYTHONPATH"] = str(root)
    done = subprocess.run(command, cwd=study, env=environment, capture_output=True, text=True)
    assert done.stdout == f"{tmp_path}/stages/who.py an argument\n", done.stderr
