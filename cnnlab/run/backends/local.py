"""The local backend: trials on worker processes of this machine, side by side."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import os
import queue
import shutil
import signal
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from cnnlab import records
from cnnlab.processes import cores
from cnnlab.records import Trial
from cnnlab.run import device, nursery, worker
from cnnlab.run.backends import Work
from cnnlab.run.job import Job, Planned

DEATHS = 2  # of a worker with the same trial, before the trial is given up
LOG_LINES = 25


def train(work: Work) -> list[str]:
    """Train what is missing; see `cnnlab.run.backends`.

    Side by side run as many trials as there are `places`, those of a GPU apart from those of CPUs.
    """
    by_device: dict[bool, list[Planned]] = {}
    for planned in work.missing:
        on_gpu = device.is_gpu(work.part(planned.trial).job.device)
        by_device.setdefault(on_gpu, []).append(planned)
    failures = []
    for on_gpu, missing in by_device.items():
        some = replace(work, missing=missing)
        seats = places(on_gpu, some.threads, work.workers, work.per_gpu)
        failures += _Crew(some).train(seats[: len(missing)])
    return failures


def places(on_gpu: bool, threads: int, workers: int | None, per_gpu: int) -> list[dict[str, str]]:
    """The environment of each worker that there is room for: `workers`; None: `per_gpu` for each
    GPU, or one for every `threads` cores."""
    if not on_gpu:
        return [device.NO_GPU] * (workers or max(1, cores() // threads))
    gpus = [gpu.environment for gpu in device.alike(device.visible())] or [{}]  # TensorFlow objects
    return [gpus[i % len(gpus)] for i in range(workers or len(gpus) * per_gpu)]


class _Worker:
    """A process that trains one trial after another: on CPUs a fork (`cnnlab.run.nursery`); on GPUs
    started by itself, as CUDA survives no fork once it was asked for anything."""

    def __init__(self, log: Path, place: dict[str, str]):
        """Start it, in this environment. Raises EOFError or OSError if it dies."""
        self.variants: set[str] = set()  # that it has trained, and whose networks it may still have
        self.began = _surroundings(place)
        self._process = None
        if place == device.NO_GPU and nursery.POSSIBLE:
            self._connection = nursery.fork()
        else:
            context = multiprocessing.get_context("spawn")
            self._connection, other = context.Pipe()
            self._process = context.Process(target=worker.serve, args=(other,))
            self._process.start()
            other.close()
        self._connection.send((os.getpid(), log, place))
        self._pid = self._connection.recv()

    def take(self, jobs: list[Job], log: Path) -> None:
        """What its next trials are of, until it rests, and where it writes what it has to say.
        Raises OSError if it has died."""
        self._connection.send((jobs, log))

    def train(
        self,
        planned: Planned,
        folder: Path,
        with_network: bool,
        tell: Callable[..., None],
        stop: threading.Event,
    ) -> tuple[str, Any] | None:
        """As `worker.train_for`; None where it is stopped before that. Raises EOFError or OSError
        if it dies."""
        self.variants.add(planned.trial.variant)
        self._connection.send((planned, folder, with_network))
        while not stop.is_set():
            if self._connection.poll(0.2):
                what, *rest = self._connection.recv()
                if what != "epoch":
                    return what, *rest
                tell(*rest)
        return None

    def rest(self) -> None:
        """Let it wait for other jobs. Raises OSError if it has died."""
        self._connection.send(None)

    def end(self) -> None:
        """End it, wherever it is. Returns once it has ended."""
        with contextlib.suppress(EOFError, OSError):  # it has
            os.kill(self._pid, signal.SIGTERM)
            while True:
                self._connection.recv()
        self._connection.close()
        if self._process:
            self._process.join()


# Workers that wait for the next trials of this process, such as a stage's further rounds or sizes,
# by their seat: they have TensorFlow imported, and networks compiled.
_resting: dict[int, _Worker] = {}


def _surroundings(place: dict[str, str]) -> tuple:
    """What a worker that starts now begins in."""
    return Path.cwd(), list(sys.path), dict(os.environ), place


def _rested(seat: int, place: dict[str, str], jobs: list[Job], log: Path) -> _Worker | None:
    """The worker that rests at a seat, now at these jobs, if one that starts now would begin as it
    did, and if it lives."""
    rested = _resting.pop(seat, None)
    if rested and rested.began == _surroundings(place):
        with contextlib.suppress(OSError):
            rested.take(jobs, log)
            return rested
    if rested:
        rested.end()
    return None


def _let_rest(seat: int, idle: _Worker) -> None:
    """Keep a worker for later trials, until this process ends."""
    try:
        idle.rest()
    except OSError:
        idle.end()
        return
    _resting[seat] = idle
    atexit.unregister(_end_all)
    atexit.register(_end_all)  # again, so that it comes before the end of what is registered by now


def _end_all() -> None:
    """End all workers that rest."""
    while _resting:
        _resting.popitem()[1].end()


class _Crew:
    """Worker processes for all trials, a thread for each: it hands it trials and reports to the
    thread of the run. One that dies takes no other trial with it."""

    def __init__(self, work: Work):
        self._work = work
        self._waiting = [(planned, 0) for planned in work.missing]  # and how often a worker died
        self._busy: list[str] = []  # the variant of each worker that trains
        self._choosing = threading.Lock()
        self._events: queue.SimpleQueue = queue.SimpleQueue()  # of (what, ...)
        self._stop = threading.Event()

    def train(self, places: list[dict[str, str]]) -> list[str]:
        """Train all, by a worker for each of these environments; returns once each trial has
        its record, or has failed: what to say of those."""
        watcher = self._work.watcher
        logs = Path(tempfile.mkdtemp(prefix="cnnlab-logs-"))
        failures: list[str] = []
        with ThreadPoolExecutor(len(places)) as hands:
            try:
                for seat, place in enumerate(places):
                    log = logs / f"worker-{seat}.log"
                    hands.submit(self._hand, log, seat, place).add_done_callback(self._ended)
                left = len(self._work.missing)
                while left:
                    event, *what = self._events.get()
                    if event == "epoch":
                        watcher.epoch(*what)
                    elif event == "again":
                        watcher.again(*what)
                    elif event == "error":
                        raise what[0]
                    else:
                        left -= 1
                        if event == "failed":
                            failures.append(what[0])
                        elif event == "diverged":
                            watcher.diverged(*what)
                        else:
                            (trial,) = what
                            record = records.read(self._work.part(trial).folder, trial.key)
                            watcher.done(record, trained=True)
            finally:
                self._stop.set()
        if not failures or not any(logs.iterdir()):
            shutil.rmtree(logs)
        return failures

    def _next(self, last: str | None, process: _Worker | None) -> tuple[Planned, int] | None:
        """The trial that a worker takes after one of the variant `last`: first of that, whose
        network it has compiled, then of one that no other has, best of one that it has had; None:
        no trial is waiting."""
        with self._choosing:
            if last is not None:
                self._busy.remove(last)
            if not self._waiting:
                return None
            waiting = [planned.trial.variant for planned, _ in self._waiting]
            every = set(waiting)
            others = every - set(self._busy)
            had = process.variants if process else set()
            choice = {last} & every or had & others or others or every
            place = next(i for i, name in enumerate(waiting) if name in choice)
            self._busy.append(waiting[place])
            return self._waiting.pop(place)

    def _hand(self, log: Path, seat: int, place: dict[str, str]) -> None:
        """Hand trials to one worker process after another, in this environment, until none is
        waiting."""
        process, variant = _rested(seat, place, self._work.jobs, log), None
        try:
            while not self._stop.is_set() and (taken := self._next(variant, process)):
                planned, deaths = taken
                trial, part = planned.trial, self._work.part(planned.trial)
                variant = trial.variant
                try:
                    process = process or self._worker(log, place)
                    network = part.keeps_model(planned)
                    what = process.train(planned, part.folder, network, self._tell, self._stop)
                except (EOFError, OSError):
                    process = None
                    if deaths + 1 < DEATHS:
                        self._events.put(("again", trial))
                        with self._choosing:
                            self._waiting.append((planned, deaths + 1))
                    else:
                        died = f"its worker died {DEATHS} times, {worker.died(part.job)}"
                        self._fail(trial, died, log)
                except Exception:
                    self._fail(trial, traceback.format_exc(), log)
                else:
                    if what and what[0] == "broke":
                        self._fail(trial, what[1], log)
                    elif what:
                        self._events.put(what)
                    else:  # broken off within the trial
                        process.end()
                        process = None
        finally:
            if process:
                _let_rest(seat, process)

    def _worker(self, log: Path, place: dict[str, str]) -> _Worker:
        started = _Worker(log, place)
        started.take(self._work.jobs, log)
        return started

    def _ended(self, hand: Future) -> None:
        if error := hand.exception():
            self._events.put(("error", error))

    def _tell(self, *epoch: Any) -> None:
        self._events.put(("epoch", *epoch))

    def _fail(self, trial: Trial, what: str, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        report = [f"{trial.variant} {trial.key}: {what}", f"the end of {log}:", *lines[-LOG_LINES:]]
        self._events.put(("failed", "\n".join(report)))
