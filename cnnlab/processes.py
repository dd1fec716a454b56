"""What every piece of work on several processes needs: how many cores it may use, a quick start and
an end."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

import psutil

from cnnlab.errors import UserError

# Environment variable: how many of this machine's cores a stage may use, all where it is not set.
# What runs several stages side by side sets it, so that together they use each core once.
CORES = "CNNLAB_CORES"


def cores() -> int:
    """How many cores of this machine a stage may use. Raises UserError for a bad CNNLAB_CORES."""
    said = os.environ.get(CORES)
    if said is None:
        return os.cpu_count() or 1
    if not said.isdecimal() or int(said) < 1:
        raise UserError(f"{CORES} = {said!r}: allowed: a number of cores, >= 1")
    return int(said)


def silence() -> None:
    """Called in a process whose errors are passed on: nobody sees what TensorFlow prints there."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back what TensorFlow's C++ side writes to stderr; it is shown if something fails."""
    try:
        before = os.dup(2)
    except OSError:  # no stderr
        yield
        return
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        os.dup2(held.fileno(), 2)
        try:
            yield
        except UserError:
            raise
        except BaseException:
            held.seek(0)
            os.write(before, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(before, 2)
            os.close(before)


def end_with_parent() -> None:
    """Called in a worker: a stage that was killed cannot end its workers; they must not go on."""
    threading.Thread(target=_wait, daemon=True).start()


def end_with(pid: int) -> None:
    """The same, of a worker that another process has started: it ends when the process `pid` has
    ended."""
    threading.Thread(target=_end_after, args=(pid,), daemon=True).start()


def _end_after(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait()
    os._exit(1)


def _wait() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextlib.contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Inside, these packages cannot be imported, unless they are already: for one that imports them
    only where they are installed, and would not use them."""
    absent = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


def import_keras(gpus: bool = False) -> None:
    """Import Keras, and so TensorFlow, in three quarters of the time that it takes with
    scikit-learn, whose wrappers nobody uses here.

    `gpus`: whether TensorFlow may compute on them in this process, where any are. Without, figures
    come out the same wherever networks were trained. Raises RuntimeError where it has begun to.
    """
    with hidden("sklearn"):
        importlib.import_module("keras")
    if not gpus:
        importlib.import_module("tensorflow").config.set_visible_devices([], "GPU")
