"""Where the stages of one command and their workers on CPUs come from: each is a fork of one
process that has imported TensorFlow and more, as that takes longer than to train a small network.
TensorFlow has begun no work there, and survives that.

`python -m cnnlab.run.nursery COMMAND` becomes COMMAND with one that all its stages share; it ends
with it. A stage without starts one for its workers. As it has imported nothing of cnnlab that those
use, it does not matter when code changes.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Sequence
from multiprocessing import reduction
from multiprocessing.connection import Client, Connection
from pathlib import Path

import psutil

from cnnlab import SHARED
from cnnlab.processes import hidden, quiet

POSSIBLE = hasattr(os, "fork")
PACKAGES = str(Path(psutil.__file__).resolve().parents[1])
# What takes long to import of what workers use, and of what stages use besides.
OF_WORKERS = ("pandas", "pydantic", "tensorflow", "keras")
OF_STAGES = (
    "scipy.stats",
    "matplotlib.figure",
    "sklearn.model_selection",
    "mlflow.store.tracking.sqlalchemy_store",
)
INTERRUPT = getattr(signal, "SIGUSR1", None)  # Ctrl-C, for a fork that is a stage

_own: tuple[str, subprocess.Popen] | None = None  # of this process
_starting = threading.Lock()


def fork() -> Connection:
    """A connection to a new process, which serves it (`cnnlab.run.worker.serve`) in this process's
    folder, with its environment and its code."""
    global _own
    connection = _connect()
    if not connection:
        with _starting:
            if not _own or _own[1].poll() is not None:
                _own = _start()
                atexit.register(_end, _own[1])
        connection = Client(_own[0])
    connection.send((Path.cwd(), sys.path, dict(os.environ), []))
    return connection


def hand_over() -> None:
    """Let a fork of the shared one, where there is one, do what this process was started for,
    `python -m NAME ...`, in its place: with its folder, environment, code, input and output. Where
    it does, this process ends as the fork does, and does not return from here."""
    begins = sys.argv[:1] == sys.orig_argv[1:2] == ["-m"]  # Python imports its package
    # On macOS what asks the system for a proxy may not survive a fork.
    connection = sys.platform == "linux" and begins and _connect()
    if not connection:
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # until the fork can take it
    try:
        connection.send((Path.cwd(), sys.path, dict(os.environ), sys.orig_argv[2:]))
        for stream in range(3):
            reduction.send_handle(connection, stream, None)
        fork = connection.recv()
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, lambda *_: os.kill(fork, INTERRUPT))
    except (EOFError, OSError):  # it cannot
        return
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    status = None
    with contextlib.suppress(EOFError, OSError):  # it has ended
        while True:
            status = connection.recv()
    if status is None:
        print("error: the stage's process was killed, perhaps as memory ran out", file=sys.stderr)
        status = 1
    if status < 0:  # by a signal
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    os._exit(status)


def _shared() -> str | None:
    """The address of the one of this command, if there is one and it has the same packages."""
    address, _, packages = os.environ.get(SHARED, "").partition(os.pathsep)
    return address if packages == PACKAGES and Path(address).exists() else None


def _connect() -> Connection | None:
    """To the shared one, if there is one."""
    try:
        return (address := _shared()) and Client(address)
    except OSError:  # it has ended
        return None


def _start(*others: str) -> tuple[str, subprocess.Popen]:
    """Start one, which imports these too: its address, and the process, which ends when its
    standard input does."""
    address = str(Path(tempfile.mkdtemp(prefix="cnnlab-nursery-"), "socket"))  # for this user alone
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()  # who connects before it accepts waits
        serve = ["--serve", str(server.fileno()), *others]
        command = [sys.executable, "-m", "cnnlab.run.nursery", *serve]
        kept = [server.fileno()]
        return address, subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=kept)


def _end(process: subprocess.Popen) -> None:
    """End one."""
    process.stdin.close()
    process.wait()


def _serve(server: socket.socket, others: Sequence[str]) -> Connection | None:
    """Fork for each that connects, until standard input ends. In a fork: the connection."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, which ends its workers
    signal.signal(signal.SIGCHLD, _reap)
    _import(others)
    while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
        connection = Connection(server.accept()[0].detach())
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            return connection
        connection.close()
    _reap(options=0)
    return None


def _reap(*_: object, options: int = os.WNOHANG) -> None:
    """Take forks that have ended, or with `options` 0 all once they have, off the system's list,
    their CPU time onto this process's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, options)[0]:
            pass


def _import(others: Sequence[str]) -> None:
    """Import what takes long, if nobody ends this process meanwhile."""
    with quiet():
        for name in (*OF_WORKERS, *others):
            if select.select([sys.stdin], [], [], 0)[0]:
                return
            # Keras would import these for nothing, which takes half as long again.
            absent = ("matplotlib", "sklearn") if name in OF_WORKERS else ()
            with hidden(*absent):
                importlib.import_module(name)
        if orm := sys.modules.get("sqlalchemy.orm"):
            orm.configure_mappers()  # MLflow's, as its first query would
    gc.freeze()  # Keras collects garbage before each network: not among all of these


def _become(connection: Connection) -> None:
    """Do in a fork what it is for: be a stage, or a worker, which does not return."""
    try:
        folder, sys.path[:], environment, command = connection.recv()
    except (EOFError, OSError):  # who asked for it has ended
        os._exit(0)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("cnnlab", "stages")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    tempfile.tempdir = None  # as the environment has it
    atexit.unregister(shutil.rmtree)  # of matplotlib's own folder, which the other forks need too
    if command:
        _be_stage(connection, command)
        return
    try:
        importlib.import_module("cnnlab.run.worker").serve(connection)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def _be_stage(client: Connection, command: list[str]) -> None:
    """Run `python -m COMMAND` for the process at the other end, which waits to end alike."""
    for stream in range(3):
        handle = reduction.recv_handle(client)
        os.dup2(handle, stream)
        os.close(handle)
    if _cuda():
        os._exit(0)  # so that the other does it itself
    # A terminal's Ctrl-C is for all of its processes: it comes by way of the other, once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(INTERRUPT, signal.default_int_handler)
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    sys.stdout.reconfigure(line_buffering=os.isatty(1), write_through=unbuffered)
    threading.Thread(target=_end_with, args=(client,), daemon=True).start()
    status = 1
    atexit.register(lambda: client.send(status))
    sys.argv, sys.orig_argv = command, [sys.executable, "-m", *command]
    try:
        client.send(os.getpid())
        runpy.run_module(command[0], run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        raise
    except KeyboardInterrupt:
        status = -signal.SIGINT
        raise
    except Exception as error:  # told as the stage's own process would: from its first line on
        frames = error.__traceback__
        ours = __file__, runpy.run_module.__code__.co_filename
        while frames and frames.tb_frame.f_code.co_filename in ours:
            frames = frames.tb_next
        traceback.print_exception(error.with_traceback(frames))
        sys.exit(1)


def _cuda() -> bool:
    """Whether CUDA is loaded, which survives no fork once it was asked for anything."""
    maps = Path("/proc/self/maps")
    return maps.exists() and "libcuda.so" in maps.read_text()


def _end_with(client: Connection) -> None:
    """End this process when the one at the other end has ended: somebody has killed it."""
    with contextlib.suppress(EOFError, OSError):
        client.recv()
    os._exit(1)


def main(arguments: Sequence[str]) -> None:
    """`--serve FILE_DESCRIPTOR MODULE...`, or a command."""
    if arguments[0] == "--serve":
        nursery, fork = os.getpid(), None
        with socket.socket(fileno=int(arguments[1])) as server:
            try:
                fork = _serve(server, arguments[2:])
            finally:
                if os.getpid() == nursery:
                    shutil.rmtree(Path(server.getsockname()).parent, ignore_errors=True)
        if fork:
            _become(fork)
        return
    environment = dict(os.environ)
    if POSSIBLE and not _shared():
        address, process = _start(*OF_STAGES)
        environment[SHARED] = os.pathsep.join([address, PACKAGES])
        os.set_inheritable(process.stdin.fileno(), True)  # by the command alone, not by its stages
    os.execvpe(arguments[0], list(arguments), environment)


if __name__ == "__main__":
    main(sys.argv[1:])
