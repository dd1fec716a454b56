"""Stages side by side, in temporary repositories of tiny stages, with the real DVC."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from dvc.lock import FAILED_TO_LOCK_MESSAGE
from rich.console import Console
from ruamel.yaml import YAML

from cnnlab import launch
from cnnlab.errors import UserError

ROOT = Path(__file__).parents[1]

# A stage: work.py OUT DEPS... Files beside dvc.yaml, which DVC does not know, say how it behaves.
WORK = """
import json, os, signal, subprocess, sys, time
from pathlib import Path

out, *deps = sys.argv[1:]
began = time.time()
how = json.loads(Path("how.json").read_text()).get(Path(out).name, {})
if how.get("stubborn"):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
if how.get("child"):
    subprocess.Popen(["sleep", "300"])
Path("began_" + Path(out).name).touch()
print("at work on", out)
if meet := how.get("meet"):
    until = time.time() + 60
    while not Path("began_" + meet).exists():
        time.sleep(0.01)
        assert time.time() < until, "nothing runs beside this"
if how.get("fails"):
    sys.exit("not today")
time.sleep(how.get("seconds", 0))
text = "+".join([out, *(str(sorted(p.name for p in Path(d).rglob("*"))) for d in deps)])
Path(out).parent.mkdir(parents=True, exist_ok=True)
Path(out).write_text(text)
entry = [os.environ["DVC_STAGE"], began, time.time(), os.environ.get("CNNLAB_CORES")]
with open("stamps", "a") as stamps:
    stamps.write(json.dumps(entry) + "\\n")
"""


def stage(out, *deps):
    return {
        "cmd": " ".join(["python work.py", out, *deps]),
        "deps": ["work.py", *deps],
        "outs": [out],
    }


DIAMOND = {
    "top": stage("out/top"),
    "left": stage("out/left", "out/top"),
    "right": stage("out/right", "out/top"),
    "bottom": stage("out/bottom", "out/left", "out/right"),
    "aside": stage("out/aside"),
}
MANY = {
    **DIAMOND,
    "many": {"foreach": "${many}", "do": stage("out/many/${item}", "out/top")},
    "all": stage("out/all", "out/many"),
}


class Project:
    """A repository with a pipeline, made without calling DVC, and how to run commands in it."""

    def __init__(self, root, stages, how=None):
        self.root = root
        (root / ".dvc").mkdir(parents=True)
        (root / ".dvc/config").write_text("[core]\n    analytics = false\n")
        (root / ".dvc/.gitignore").write_text("/tmp\n/cache\n")
        # As in this project: a .gitignore of DVC's beside the outs would be part of the folder that
        # a stage depends on, with its lines in the order in which the stages ended.
        (root / ".gitignore").write_text("out\n")
        (root / "temporary").mkdir()
        self.study(root, how)
        self.dump("dvc.yaml", {"stages": stages})
        subprocess.run(["git", "init", "-q", root], check=True)

    def study(self, folder, how=None):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "work.py").write_text(WORK)
        YAML().dump({"many": [f"s{i:02}" for i in range(20)]}, folder / "params.yaml")
        self.behave(how or {}, folder)

    def dump(self, name, content):
        YAML().dump(content, self.root / name)

    def behave(self, how, folder=None):
        ((folder or self.root) / "how.json").write_text(json.dumps(how))

    def start(self, *command, folder="."):
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("DVC", "CNNLAB"))}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.root / "temporary"),
            "DVC_SITE_CACHE_DIR": str(self.root / "temporary/dvc"),
        }
        return subprocess.Popen(
            command,
            cwd=self.root / folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *command, status=0, folder="."):
        process = self.start(*command, folder=folder)
        said = process.communicate(timeout=120)[0]
        assert process.returncode == status, said
        return said

    def launch(self, jobs, **options):
        return self.run(sys.executable, "-m", "cnnlab.launch", "--jobs", str(jobs), **options)

    def is_clean(self, *targets, folder="."):
        return "up to date" in self.run("dvc", "status", *targets, folder=folder)

    def stamps(self, folder="."):
        path = self.root / folder / "stamps"
        return [json.loads(line) for line in path.read_text().splitlines()]

    def ran(self):
        return [name for name, *_ in self.stamps()]

    def logs(self):
        return list(self.root.glob("temporary/cnnlab-launch-*/*"))

    def processes(self):
        """All processes that work in the repository."""
        every = psutil.process_iter(["cwd"])  # a zombie has none
        return [p for p in every if Path(p.info["cwd"] or "/").is_relative_to(self.root)]


def at_once(stamps):
    """The greatest number of stages whose commands ran at the same time."""
    changes = sorted([(s[1], 1) for s in stamps] + [(s[2], -1) for s in stamps])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """26 stages, made by sixteen jobs that contend for DVC's lock."""
    project = Project(tmp_path_factory.mktemp("many"), MANY)
    project.said = project.launch(16)
    return project


def test_sixteen_at_once_end_as_plain_repro_does(many, tmp_path):
    plain = Project(tmp_path, MANY)
    plain.run("dvc", "repro")
    texts = [(p.root / "dvc.lock").read_text() for p in (many, plain)]
    assert sorted(texts[0].splitlines()) == sorted(texts[1].splitlines())
    locks = [YAML(typ="safe").load(text) for text in texts]
    assert locks[0] == locks[1] and len(locks[0]["stages"]) == 26
    assert many.is_clean()


def test_no_stage_is_lost_or_repeated_to_the_lock(many):
    names = [*DIAMOND, *(f"many@s{i:02}" for i in range(20)), "all"]
    assert Counter(many.ran()) == Counter(names)
    assert "waits" not in many.said and "26 stages: 26 ran" in many.said
    assert many.logs() == []
    assert at_once(many.stamps()) <= 16


def test_each_stage_begins_after_what_it_needs(many):
    times = {name: (began, ended) for name, began, ended, _ in many.stamps()}
    needs = {name: ["top"] for name in times if name.startswith("many@") or name == "left"}
    needs |= {"right": ["top"], "bottom": ["left", "right"]}
    needs["all"] = [name for name in times if name.startswith("many@")]
    assert len(needs) == 24
    for name, before in needs.items():
        assert times[name][0] > max(times[b][1] for b in before), name


def test_again_runs_nothing(many):
    before = many.stamps(), (many.root / "dvc.lock").read_bytes()
    assert "26 stages: 26 up to date" in many.launch(2)
    assert before == (many.stamps(), (many.root / "dvc.lock").read_bytes())


def test_a_change_runs_what_it_concerns(many):
    before = len(many.stamps())
    content = YAML(typ="safe").load(many.root / "params.yaml")
    many.dump("params.yaml", {"many": [*content["many"], "new"]})
    assert "25 up to date, 2 ran" in many.launch(2)
    assert many.ran()[before:] == ["many@new", "all"]


def test_two_at_once_are_two_and_share_the_cores(tmp_path):
    names = ["a", "b", "c", "d"]
    each = {"foreach": names, "do": stage("out/${item}")}
    last = stage("last", *(f"out/{name}" for name in names))
    slow = {"seconds": 0.5}
    how = {"a": {"meet": "b"}, "b": {"meet": "a"}, "c": slow, "d": slow}
    project = Project(tmp_path, {"each": each, "last": last}, how)
    project.launch(2)
    assert at_once(project.stamps()) == 2
    *shared, alone = [int(cores) for *_, cores in project.stamps()]
    assert set(shared[:3]) == {max(1, os.cpu_count() // 2)}  # the fourth may be alone
    assert alone == os.cpu_count()


def test_a_failure_is_reported_and_the_others_finish(tmp_path):
    project = Project(tmp_path, DIAMOND, {"left": {"fails": True}, "right": {"seconds": 1}})
    said = project.launch(2, status=1)
    assert sorted(project.ran()) == ["aside", "right", "top"]
    assert "at work on out/left" in said and "not today" in said
    assert "not finished: bottom" in said
    (log,) = [log for log in project.logs() if log.name == "left.log"]
    assert str(log) in said and "not today" in log.read_text()
    project.behave({})
    assert "3 up to date, 2 ran" in project.launch(2)
    assert project.ran()[3:] == ["left", "bottom"]


@pytest.mark.parametrize(
    ("stubborn", "signals"),
    [(False, [signal.SIGINT]), (True, [signal.SIGTERM, signal.SIGINT])],
    ids=["ends", "is killed"],
)
def test_stopped_it_leaves_nothing_behind_and_can_go_on(tmp_path, stubborn, signals):
    slow = {"seconds": 300, "child": True, "stubborn": stubborn}
    project = Project(tmp_path, DIAMOND, {"left": slow, "right": slow})
    process = project.start(sys.executable, "-m", "cnnlab.launch", "--jobs", "2")
    until = time.monotonic() + 60
    while not all((tmp_path / f"began_{name}").exists() for name in ("left", "right")):
        time.sleep(0.05)
        assert time.monotonic() < until and process.poll() is None
    assert len(project.processes()) >= 7  # the launcher, two of DVC, two commands, their children
    asked = time.monotonic()
    for number in signals:
        time.sleep(0.5)
        assert process.poll() is None
        process.send_signal(number)
    said = process.communicate(timeout=60)[0]
    assert process.returncode == 130, said
    assert time.monotonic() - asked < launch.GRACE
    assert "not finished: left, right, bottom" in said
    assert project.processes() == []
    # DVC was not cut off: it says how its command ended, and has given back its locks.
    ends = [log.read_text() for log in project.logs() if log.stem in ("left", "right")]
    assert len(ends) == 2 and all("ERROR: failed to reproduce" in end for end in ends)
    assert not any(json.loads((tmp_path / ".dvc/tmp/rwlock").read_text()).values())
    project.behave({})
    assert "2 up to date, 3 ran" in project.launch(2)
    assert sorted(project.ran()) == sorted(DIAMOND) and project.is_clean()


def test_a_stage_that_another_dvc_makes_is_waited_for(tmp_path):
    project = Project(tmp_path, DIAMOND, {"top": {"meet": "go"}})
    other = project.start("dvc", "repro", "-s", "top")
    while not (tmp_path / "began_top").exists():
        time.sleep(0.05)
        assert other.poll() is None
    ours = project.start(sys.executable, "-m", "cnnlab.launch", "--jobs", "2")
    waits = next((line for line in ours.stdout if line.startswith("top waits")), "")
    (tmp_path / "began_go").touch()
    said = ours.communicate(timeout=120)[0]
    assert "is busy" in waits and "top: up to date" in said and ours.returncode == 0
    assert "Updating lock file" in other.communicate()[0] and other.returncode == 0
    assert sorted(project.ran()) == sorted(DIAMOND)


def test_a_study_with_its_own_raw_data(tmp_path):
    stages = {"first": stage("out/first", "raw"), "second": stage("out/second", "out/first")}
    project = Project(tmp_path, stages)
    folder = tmp_path / "studies/one"
    project.study(folder)
    shutil.copy(tmp_path / "dvc.yaml", folder)
    (folder / "raw").mkdir()
    (folder / "raw/1").write_text("1")
    project.run("dvc", "add", "raw", folder="studies/one")
    (folder / "raw/2").write_text("2")
    assert "3 stages: 3 ran" in project.launch(2, folder="studies/one")
    assert [name for name, *_ in project.stamps("studies/one")] == ["first", "second"]
    assert project.is_clean("dvc.yaml", "raw.dvc", folder="studies/one")
    assert "nfiles: 2" in (folder / "raw.dvc").read_text()
    assert not (tmp_path / "out").exists() and not (tmp_path / "dvc.lock").exists()


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (FAILED_TO_LOCK_MESSAGE, True),
        (f"failed to reproduce 'train@l1': {FAILED_TO_LOCK_MESSAGE}", True),
        ("failed to reproduce 'a': '/a/b' is busy, it is being blocked by:\n  (PID 1): x", True),
        ("failed to reproduce 'a': failed to run: python a.py, exited with 1", False),
        ("failed to run: echo Unable to acquire lock., exited with 1", False),
    ],
)
def test_dvcs_lock_error_is_told_from_others(error, again):
    assert bool(launch.LOCKED.match(f"ERROR: {error}")) == again


def test_the_view_has_a_line_for_each_running_stage():
    def run(stage, line):
        return SimpleNamespace(
            stage=stage, took=timedelta(seconds=75), last_lines=lambda *_: [line]
        )

    console = Console(width=50, record=True, file=io.StringIO())
    console.print(launch.view([run("train@l1", "epoch [3] " * 20), run("kfold", "")], 4, 9))
    head, first, second = console.export_text().splitlines()
    assert "4/9 stages" in head
    assert first.startswith("train@l1  0:01:15  epoch [3] epoch") and first.rstrip().endswith("…")
    assert second.startswith("kfold ")


def test_bad_input_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--jobs 0: allowed: 1 or more"):
        launch.launch(0)
    with pytest.raises(UserError, match="has no dvc"):
        launch.launch(1)
    Path("dvc.yaml").write_text("stages: {}")
    with pytest.raises(UserError, match="not inside of a DVC repository"):
        launch.launch(1)
