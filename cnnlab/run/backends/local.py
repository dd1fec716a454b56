"""The local backend: trials on worker processes of this machine, side by side."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import shutil
import tempfile
import threading
import traceback
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path

from cnnlab import records
from cnnlab.errors import UserError
from cnnlab.processes import cores
from cnnlab.records import Trial
from cnnlab.run import device, worker
from cnnlab.run.backends import Work
from cnnlab.run.job import Planned

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


def _context(place: dict[str, str]) -> BaseContext:
    """How workers of a place start: on CPUs from one process that has imported TensorFlow for all;
    on GPUs each by itself, as CUDA survives no fork once it was asked for anything."""
    if place != device.NO_GPU or "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    forks = multiprocessing.get_context("forkserver")
    # Besides, what stages import: each worker runs the stage's module anew.
    forks.set_forkserver_preload(["cnnlab.run.imports", "cnnlab.observed", "cnnlab.params"])
    return forks


class _Crew:
    """Worker processes for all trials. Each has an executor of its own, so that one that dies takes
    no other trial with it; a thread for each hands it trials and reports to the thread of the
    run."""

    def __init__(self, work: Work):
        self._work = work
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()  # of (planned, deaths so far)
        self._events: queue.SimpleQueue = queue.SimpleQueue()  # of (method of the watcher, ...)
        self._stop = threading.Event()

    def train(self, places: list[dict[str, str]]) -> list[str]:
        """Train all, by a worker for each of these environments; returns once each trial has
        its record, or has failed: what to say of those."""
        watcher = self._work.watcher
        for planned in self._work.missing:
            self._waiting.put((planned, 0))
        logs = Path(tempfile.mkdtemp(prefix="cnnlab-logs-"))
        failures: list[str] = []
        with ThreadPoolExecutor(len(places)) as hands:
            try:
                for i, place in enumerate(places):
                    hands.submit(self._hand, logs / f"worker-{i}.log", place)
                left = len(self._work.missing)
                while left:
                    event, *what = self._events.get()
                    if event == "epoch":
                        watcher.epoch(*what)
                    elif event == "again":
                        watcher.again(*what)
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
        if not failures:
            shutil.rmtree(logs)
        return failures

    def _hand(self, log: Path, place: dict[str, str]) -> None:
        """Hand trials to one worker process after another, in this environment, until none is
        waiting."""
        process = None
        while not self._stop.is_set():
            try:
                planned, deaths = self._waiting.get_nowait()
            except queue.Empty:
                break
            trial, part = planned.trial, self._work.part(planned.trial)
            try:
                process = process or self._worker(log, place)
                network = part.keeps_model(planned)
                future = process.submit(worker.work, planned, part.folder, network)
                while not self._stop.is_set() and not wait([future], timeout=0.2).done:
                    pass
                if self._stop.is_set():
                    break
                diverged = future.result()
                self._events.put(("diverged", diverged) if diverged else ("done", trial))
            except BrokenProcessPool:
                process = None
                if deaths + 1 < DEATHS:
                    self._events.put(("again", trial))
                    self._waiting.put((planned, deaths + 1))
                else:
                    self._fail(
                        trial, f"its worker died {DEATHS} times, {worker.died(part.job)}", log
                    )
            except UserError as error:
                self._events.put(("failed", f"{trial.variant} {trial.key}: {error}"))
            except Exception:
                self._fail(trial, traceback.format_exc(), log)
        if process:
            for child in (process._processes or {}).values():
                child.terminate()
            process.shutdown(wait=True, cancel_futures=True)

    def _worker(self, log: Path, place: dict[str, str]) -> ProcessPoolExecutor:
        """A new process, started and ready."""
        context = _context(place)
        # A pipe of its own: a queue shared by several would stay locked if one were killed.
        receive, send = context.Pipe(duplex=False)
        threading.Thread(target=self._listen, args=(receive,), daemon=True).start()
        given = (self._work.jobs, send, log, place)
        process = ProcessPoolExecutor(
            1, mp_context=context, initializer=worker.start, initargs=given
        )
        process.submit(os.getpid)  # starts it, after which this end of the pipe is the worker's
        send.close()
        return process

    def _listen(self, receive: Connection) -> None:
        with contextlib.suppress(EOFError, OSError):  # the worker has ended
            while True:
                self._events.put(("epoch", *receive.recv()))

    def _fail(self, trial: Trial, what: str, log: Path) -> None:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        report = [f"{trial.variant} {trial.key}: {what}", f"the end of {log}:", *lines[-LOG_LINES:]]
        self._events.put(("failed", "\n".join(report)))
