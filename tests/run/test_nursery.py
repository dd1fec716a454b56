"""Workers are forks of one process: whose, with which code, and when each of them ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cnnlab.records import Trial
from cnnlab.run import nursery
from cnnlab.run.backends import Work, local
from cnnlab.run.job import Planned

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(not nursery.POSSIBLE, reason="this system cannot fork")

# A worker that says what it is, in the place of cnnlab's own.
WORKER = """
import os, sys
def serve(stage):
    keras = "keras" in sys.modules
    stage.send(({name!r}, os.getppid(), os.getcwd(), os.environ.get("GIVEN"), keras))
"""
STAGE = """
import sys
sys.path.insert(0, sys.argv[1])
from cnnlab.run import nursery
print(*nursery.fork().recv())
"""


def code(folder, name):
    """A folder of code whose worker says a name."""
    package = folder / "cnnlab/run"
    package.mkdir(parents=True, exist_ok=True)
    for file in ("__init__.py", "errors.py", "processes.py", "run/__init__.py", "run/nursery.py"):
        (folder / "cnnlab" / file).write_bytes((ROOT / "cnnlab" / file).read_bytes())
    (package / "worker.py").write_text(WORKER.format(name=name))
    return folder


def environment(**given):
    return {k: v for k, v in os.environ.items() if k != nursery.ADDRESS} | given


def ends(pid):
    """Whether a process ends within some seconds."""
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_the_stages_of_one_command_share_it_each_with_its_folder_and_code(tmp_path):
    one, other = code(tmp_path / "one", "first"), code(tmp_path / "other", "second")
    (tmp_path / "stage.py").write_text(STAGE)
    (tmp_path / "all.sh").write_text(
        f"cd '{one}'; GIVEN=a '{sys.executable}' ../stage.py '{one}'\n"
        f"cd '{other}'; GIVEN=b '{sys.executable}' ../stage.py '{other}'\n"
        f"sed -i s/second/edited/ cnnlab/run/worker.py\n"
        f"GIVEN=c '{sys.executable}' ../stage.py '{other}'\n"
        "exit 7\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "cnnlab.run.nursery", "sh", tmp_path / "all.sh"],
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 7, done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    (pid,) = {line[1] for line in said}
    assert [[line[0], *line[2:]] for line in said] == [
        ["first", str(one), "a", "True"],
        ["second", str(other), "b", "True"],
        ["edited", str(other), "c", "True"],
    ]
    assert ends(int(pid))


def test_where_the_shared_one_has_ended_a_stage_starts_its_own(tmp_path):
    folder = code(tmp_path, "own")
    (tmp_path / "stage.py").write_text(STAGE)
    done = subprocess.run(
        [sys.executable, tmp_path / "stage.py", folder],
        env=environment(**{nursery.ADDRESS: str(tmp_path / "gone"), "PYTHONPATH": str(folder)}),
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("own "), done.stderr
    assert ends(int(done.stdout.split()[1]))


def test_a_worker_ends_with_the_stage_that_was_killed(tmp_path):
    stage = """
import sys, time
from cnnlab.run import device
from cnnlab.run.backends import local
from pathlib import Path
worker = local._Worker([], Path(sys.argv[1]), device.NO_GPU)
print(worker._pid, flush=True)
time.sleep(100)
"""
    command = [sys.executable, "-c", stage, str(tmp_path / "log")]
    given = {"stdout": subprocess.PIPE, "text": True, "cwd": ROOT, "env": environment()}
    with subprocess.Popen(command, **given) as process:
        pid = int(process.stdout.readline())
        its_nursery = psutil.Process(pid).ppid()
        process.send_signal(signal.SIGKILL)
    assert ends(pid) and ends(its_nursery)


def test_a_worker_goes_on_with_its_variant_and_leaves_those_of_others():
    waiting = [Planned(Trial(v, 0, fold, 0), 1, "", None, None) for v in "abc" for fold in range(2)]
    crew = local._Crew(Work({}, waiting, None, 2, 0))

    def take(after):
        taken = crew._next(after)
        return taken and taken[0].trial.variant + str(taken[0].trial.fold)

    assert [take(None), take(None)] == ["a0", "b0"]  # by two workers
    assert [take("b"), take("b")] == ["b1", "c0"]
    assert [take("a"), take("a")] == ["a1", "c1"]  # rather than to end
    assert [take("c"), take("c")] == [None, None]


def test_the_cpu_time_of_workers_is_the_stage_s(tmp_path):
    """So that `time` and benchmarks tell it."""
    folder = code(tmp_path, "busy")
    for name in ("pandas", "pydantic", "tensorflow", "keras"):  # whose import takes CPU time too
        (folder / f"{name}.py").touch()
    busy = "import time\ndef serve(stage):\n    while time.process_time() < 2: pass\n"
    (folder / "cnnlab/run/worker.py").write_text(busy)
    stage = "from cnnlab.run import nursery\ntry: nursery.fork().recv()\nexcept EOFError: pass"
    before = os.times()
    subprocess.run([sys.executable, "-c", stage], cwd=folder, env=environment(), check=True)
    user, system = (b - a for a, b in zip(before[2:4], os.times()[2:4], strict=True))
    assert user + system > 2
