"""Where workers on CPUs come from: each is a fork of one process that has imported TensorFlow, as
that takes longer than to train a small network. TensorFlow has begun no work there, and survives
that.

A stage starts such a process where it finds none. `python -m cnnlab.run.nursery COMMAND` becomes
COMMAND with one that all its stages share; it ends with it. As it has imported nothing of cnnlab
that a worker uses, it does not matter when code changes.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os
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
from multiprocessing.connection import Client, Connection
from pathlib import Path

from cnnlab.processes import hidden, quiet

POSSIBLE = hasattr(os, "fork")
ADDRESS = "CNNLAB_NURSERY"  # environment variable: the socket of one that is shared

_own: tuple[str, subprocess.Popen] | None = None  # of this process
_starting = threading.Lock()


def fork() -> Connection:
    """A connection to a new process, which serves it (`cnnlab.run.worker.serve`) in this process's
    folder, with its environment and its code."""
    global _own
    with _starting:
        try:
            connection = Client(os.environ.get(ADDRESS) or (_own[0] if _own else ""))
        except (OSError, ValueError):  # there is none, or it has ended
            _own = _start()
            atexit.register(_end, _own[1])
            connection = Client(_own[0])
    connection.send((Path.cwd(), sys.path, dict(os.environ)))
    return connection


def _start() -> tuple[str, subprocess.Popen]:
    """Start one: its address, and the process, which ends when its standard input does."""
    address = str(Path(tempfile.mkdtemp(prefix="cnnlab-nursery-"), "socket"))  # for this user alone
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(address)
        server.listen()  # who connects before it accepts waits
        command = [sys.executable, "-m", "cnnlab.run.nursery", "--serve", str(server.fileno())]
        kept = [server.fileno()]
        return address, subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=kept)


def _end(process: subprocess.Popen) -> None:
    """End one."""
    process.stdin.close()
    process.wait()


def _serve(server: socket.socket) -> None:
    """Fork a worker for each that connects, until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, which ends its workers
    signal.signal(signal.SIGCHLD, _reap)
    try:
        while sys.stdin not in select.select([server, sys.stdin], [], [])[0]:
            taken, _ = server.accept()
            if "keras" not in sys.modules:
                _import()
            if os.fork() == 0:
                server.close()
                _become_worker(Connection(taken.detach()))
            taken.close()
    finally:
        shutil.rmtree(Path(server.getsockname()).parent, ignore_errors=True)


def _reap(*_: object) -> None:
    """Take workers that have ended off the system's list, their CPU time onto this process's."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _import() -> None:
    """What takes long of what workers import."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
    with quiet(), hidden("matplotlib", "sklearn"):  # a third of the time that Keras takes to import
        for name in ("pandas", "pydantic", "tensorflow", "keras"):
            importlib.import_module(name)
    gc.freeze()  # Keras collects garbage before each network: not among all of these


def _become_worker(stage: Connection) -> None:
    """Serve a stage as a process of its own, with what is there now of cnnlab. Does not return."""
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        folder, sys.path[:], environment = stage.recv()
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for name in [name for name in sys.modules if name.partition(".")[0] == "cnnlab"]:
            del sys.modules[name]
        importlib.invalidate_caches()
        importlib.import_module("cnnlab.run.worker").serve(stage)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)


def main(arguments: Sequence[str]) -> None:
    """`--serve FILE_DESCRIPTOR`, or a command."""
    if arguments[0] == "--serve":
        with socket.socket(fileno=int(arguments[1])) as server:
            _serve(server)
        return
    environment = dict(os.environ)
    if POSSIBLE:
        environment[ADDRESS], process = _start()
        os.set_inheritable(process.stdin.fileno(), True)  # by the command alone, not by its stages
    os.execvpe(arguments[0], list(arguments), environment)


if __name__ == "__main__":
    main(sys.argv[1:])
