"""Workers are forks of one process: whose, with which code, and when each of them ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cnnlab import SHARED
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
    return {k: v for k, v in os.environ.items() if k != SHARED} | given


def empty(folder):
    """Empty packages in the place of those that take long to import."""
    for name in (*nursery.OF_WORKERS, *nursery.OF_STAGES):
        path = folder.joinpath(*name.split("."))
        path.mkdir(parents=True)
        for package in {path, folder / name.partition(".")[0]}:
            (package / "__init__.py").touch()


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
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "gone"))
    gone = f"{tmp_path / 'gone'}{os.pathsep}{nursery.PACKAGES}"
    done = subprocess.run(
        [sys.executable, tmp_path / "stage.py", folder],
        env=environment(**{SHARED: gone, "PYTHONPATH": str(folder)}),
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
worker = local._Worker(Path(sys.argv[1]), device.NO_GPU)
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
        taken = crew._next(after, None)
        return taken and taken[0].trial.variant + str(taken[0].trial.fold)

    assert [take(None), take(None)] == ["a0", "b0"]  # by two workers
    assert [take("b"), take("b")] == ["b1", "c0"]
    assert [take("a"), take("a")] == ["a1", "c1"]  # rather than to end
    assert [take("c"), take("c")] == [None, None]


def test_the_cpu_time_of_workers_is_the_stage_s(tmp_path):
    """So that `time` and benchmarks tell it."""
    folder = code(tmp_path, "busy")
    empty(folder)  # importing them takes CPU time too
    busy = "import time\ndef serve(stage):\n    while time.process_time() < 2: pass\n"
    (folder / "cnnlab/run/worker.py").write_text(busy)
    stage = "from cnnlab.run import nursery\ntry: nursery.fork().recv()\nexcept EOFError: pass"
    before = os.times()
    subprocess.run([sys.executable, "-c", stage], cwd=folder, env=environment(), check=True)
    user, system = (b - a for a, b in zip(before[2:4], os.times()[2:4], strict=True))
    assert user + system > 2


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere stages are no forks")


@pytest.fixture
def steps(tmp_path):
    """A folder with a package whose modules are stages, which hands over; how to write one, and how
    to start it in a shell, below one that is shared: the process."""
    empty(tmp_path)
    package = tmp_path / "steps"
    package.mkdir()
    hands_over = "from cnnlab.run import nursery\nnursery.hand_over()\n"
    (package / "__init__.py").write_text(hands_over)
    started = []

    def start(text, shell="python -m steps.one", **given):
        (package / "one.py").write_text(text)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        process = subprocess.Popen(
            [sys.executable, "-m", "cnnlab.run.nursery", "sh", "-c", shell],
            cwd=tmp_path,
            env=environment(PYTHONPATH=str(ROOT), PATH=path, **given),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # What runs the tests in the background may ignore Ctrl-C, and they would inherit that.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@on_linux
def test_a_stage_is_a_fork_with_the_folder_environment_and_streams_of_its_own(steps, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    text = """
import os, sys
print("keras" in sys.modules, os.getppid(), os.getcwd(), os.environ["GIVEN"], sys.argv[1:],
      __name__, os.path.basename(sys.argv[0]), sys.stdin.read(), flush=True)
print("to stderr", file=sys.stderr)
"""
    shell = "cd elsewhere; export PYTHONPATH=..:$PYTHONPATH; for i in 1 2; do echo in $i | "
    process = steps(text, shell + "GIVEN=$i python -m steps.one 'an argument' $i 2>&1; done")
    said, errors = process.communicate()
    first, second = (said.split("to stderr")[i].split() for i in range(2))
    assert first[1] == second[1], errors  # the nursery
    for i, words in (("1", first), ("2", second)):
        where = str(tmp_path / "elsewhere")
        assert [words[0], *words[2:]] == (
            ["True", where, i, "['an", "argument',", f"'{i}']", "__main__", "one.py", "in", i]
        )


@on_linux
@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("", 0, ""),
        ("import sys; sys.exit(7)", 7, ""),
        ("import sys; sys.exit('what is wrong')", 1, "what is wrong\n"),
        ("1 / 0", 1, "ZeroDivisionError: division by zero\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", 1, "as memory ran out\n"),
        ("import atexit; atexit.register(print, 'the last')", 0, "the last\n"),
    ],
)
def test_a_stage_ends_as_by_itself(steps, text, status, says):
    process = steps(text, "python -m steps.one 2>&1; echo status $?")
    said, _ = process.communicate()
    assert said.endswith(f"{says}status {status}\n")
    assert "nursery" not in said and "runpy" not in said  # an error is shown where it is


@on_linux
def test_what_a_library_keeps_for_all_stages_goes_with_the_last(steps, tmp_path):
    """As matplotlib keeps a folder where it may not write below the user's."""
    keeps = "import atexit, shutil, tempfile\nown = tempfile.mkdtemp()\n"
    (tmp_path / "matplotlib/__init__.py").write_text(f"{keeps}atexit.register(shutil.rmtree, own)")
    text = "import matplotlib, os; print(matplotlib.own, os.path.exists(matplotlib.own))"
    said, errors = steps(text, "for i in 1 2; do python -m steps.one; done").communicate()
    (own, first), (same, second) = (line.split() for line in said.splitlines())
    assert (own, first, second) == (same, "True", "True") and not errors
    assert not Path(own).exists()


WAITS = """
import os, time
try:
    print(os.getpid(), flush=True)
    time.sleep(100)
except KeyboardInterrupt:
    print("cleared up", flush=True)
    raise
"""


@on_linux
def test_ctrl_c_reaches_a_stage_once_and_ends_it(steps):
    process = steps(WAITS, "exec python -m steps.one")
    pid = int(process.stdout.readline())
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    said, errors = process.communicate()
    assert said == "cleared up\n", errors
    assert errors.count("Traceback") == 1
    assert process.returncode == -signal.SIGINT
    assert ends(pid)


@on_linux
def test_ctrl_c_before_the_stage_has_begun_ends_it_too(steps, tmp_path):
    """While the shared one still imports."""
    slow = "import time; open('importing', 'w').close(); time.sleep(2)"
    (tmp_path / "keras/__init__.py").write_text(slow)
    process = steps("import time; time.sleep(100)", "echo started; exec python -m steps.one")
    assert process.stdout.readline() == "started\n"
    while not (tmp_path / "importing").exists():
        time.sleep(0.05)
    time.sleep(0.5)  # it has asked for the stage
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1 and "was killed" not in errors


@on_linux
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_stage_ends_with_the_process_that_was_to_be_it(steps, number):
    process = steps(WAITS, "exec python -m steps.one")
    pid = int(process.stdout.readline())
    process.send_signal(number)
    assert process.wait() == -number
    assert ends(pid)


@on_linux
def test_a_command_among_those_of_another_shares_its_own(steps):
    text = "import os; print(os.getppid())"
    process = steps(text, "for i in 1 2; do python -m cnnlab.run.nursery python -m steps.one; done")
    one, other = process.communicate()[0].split()
    assert one == other


@on_linux
def test_what_ends_before_it_says_what_it_wants_is_passed_over(steps):
    ask = "import os; from multiprocessing.connection import Client\n"
    ask += "Client(os.environ['CNNLAB_NURSERY'].split(os.pathsep)[0]).close()"
    process = steps("print('done')", f'python -c "{ask}"; python -m steps.one')
    assert process.communicate() == ("done\n", "")


@on_linux
def test_another_python_does_its_work_itself(steps, tmp_path):
    text = "import os; print(os.getppid() == int(os.environ['SHELL_PID']))"
    mine = 'SHELL_PID=$$ CNNLAB_NURSERY="${CNNLAB_NURSERY}x" python -m steps.one'
    process = steps(text, f"SHELL_PID=$$ python -m steps.one; {mine}; true")
    assert process.communicate()[0].split() == ["False", "True"]
