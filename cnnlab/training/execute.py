"""How many trials are run, and where: those of a job whose records are missing or out of date, on
worker processes side by side."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import shutil
import tempfile
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from cnnlab.errors import UserError
from cnnlab.training import records, worker
from cnnlab.training.job import Job, Planned
from cnnlab.training.trial import Record, Trial

DEATHS = 2  # of a worker with the same trial, before the trial is given up
LOG_LINES = 25


class Watcher(Protocol):
    """Who looks on while trials run: a progress display, a tracker. Called on one thread."""

    def epoch(self, trial: Trial, entry: dict[str, float]) -> None:
        """An epoch of a trial ended; `entry` as in `fit`'s history."""

    def done(self, record: Record, trained: bool) -> None:
        """A trial's record is on disk; `trained` is False where it was there before."""

    def again(self, trial: Trial) -> None:
        """The worker that trained a trial died; the trial is tried once more."""


def run(
    job: Job,
    plan: list[Planned],
    folder: Path,
    workers: int | None,
    watcher: Watcher,
    use_model: Callable[[Path], None],
) -> list[Record]:
    """Bring a variant's folder up to date and return its records, in the order of the plan.

    A trial is trained only where its record is missing or was made by something else than the plan
    says now (see `trial.fingerprint`); records that belong to no trial of it are removed.
    `workers`: processes side by side; None: as many as there are cores for their threads.
    `use_model`: called in the worker, where TensorFlow is, with the net of the first trial when it
    has been trained and saved.

    A worker that dies costs the epochs since its trial's last checkpoint; the trial is tried once
    more. Raises UserError, after all others have ended, for trials that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records.prune(folder, {p.trial.key for p in plan})
    todo = []
    for planned in plan:
        record = _kept(folder, planned, needs_model=planned is plan[0])
        if record is None:
            todo.append(planned)
        else:
            watcher.done(record, trained=False)
    if todo:
        cores = os.cpu_count() or 1
        side_by_side = workers or max(1, cores // job.recipe.threads)
        _Crew(job, folder, plan[0], watcher, use_model).train(todo, min(side_by_side, len(todo)))
    return [records.read(folder, planned.trial.key) for planned in plan]


def _kept(folder: Path, planned: Planned, needs_model: bool) -> Record | None:
    if not (folder / f"{planned.trial.key}.json").exists():
        return None
    if needs_model and not (folder / records.MODEL).exists():
        return None
    record = records.read(folder, planned.trial.key)
    return record if record.fingerprint == planned.mark else None


class _Crew:
    """Worker processes of one job. Each has an executor of its own, so that one that dies takes no
    other trial with it; a thread for each hands it trials and reports to the thread of the run."""

    def __init__(self, job: Job, folder: Path, first: Planned, watcher: Watcher, use_model):
        self._job, self._folder, self._first, self._watcher = job, folder, first, watcher
        self._use_model = use_model
        self._waiting: queue.SimpleQueue = queue.SimpleQueue()  # of (planned, deaths so far)
        self._events: queue.SimpleQueue = queue.SimpleQueue()  # of (method of the watcher, ...)
        self._stop = threading.Event()

    def train(self, todo: list[Planned], side_by_side: int) -> None:
        """Train all; returns once each has its record. Raises UserError for those that failed."""
        for planned in todo:
            self._waiting.put((planned, 0))
        logs = Path(tempfile.mkdtemp(prefix="cnnlab-logs-"))
        failures: list[str] = []
        with ThreadPoolExecutor(side_by_side) as hands:
            try:
                for i in range(side_by_side):
                    hands.submit(self._hand, logs / f"worker-{i}.log")
                left = len(todo)
                while left:
                    event, *what = self._events.get()
                    if event == "epoch":
                        self._watcher.epoch(*what)
                    elif event == "again":
                        self._watcher.again(*what)
                    else:
                        left -= 1
                        if event == "failed":
                            failures.append(what[0])
                        else:
                            record = records.read(self._folder, what[0].key)
                            self._watcher.done(record, trained=True)
            finally:
                self._stop.set()
        if failures:
            raise UserError("\n\n".join([f"{len(failures)} trials failed", *failures]))
        shutil.rmtree(logs)

    def _hand(self, log: Path) -> None:
        """Hand trials to one worker process after another, until none is waiting."""
        process = None
        while not self._stop.is_set():
            try:
                planned, deaths = self._waiting.get_nowait()
            except queue.Empty:
                break
            trial = planned.trial
            try:
                process = process or self._worker(log)
                future = process.submit(worker.work, planned, planned is self._first)
                while not self._stop.is_set() and not wait([future], timeout=0.2).done:
                    pass
                if self._stop.is_set():
                    break
                future.result()
                self._events.put(("done", trial))
            except BrokenProcessPool:
                process = None
                if deaths + 1 < DEATHS:
                    self._events.put(("again", trial))
                    self._waiting.put((planned, deaths + 1))
                else:
                    self._fail(trial, f"its worker died {DEATHS} times", log)
            except UserError as error:
                self._events.put(("failed", f"{trial.variant} {trial.key}: {error}"))
            except Exception:
                self._fail(trial, traceback.format_exc(), log)
        if process:
            for child in (process._processes or {}).values():
                child.terminate()
            process.shutdown(wait=True, cancel_futures=True)

    def _worker(self, log: Path) -> ProcessPoolExecutor:
        """A new process, started and ready."""
        spawn = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        # A pipe of its own: a queue shared by several would stay locked if one were killed.
        receive, send = spawn.Pipe(duplex=False)
        threading.Thread(target=self._listen, args=(receive,), daemon=True).start()
        arguments = (self._job, self._folder, send, self._use_model, log)
        process = ProcessPoolExecutor(
            1, mp_context=spawn, initializer=worker.start, initargs=arguments
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
        said = [f"{trial.variant} {trial.key}: {what}", f"the end of {log}:", *lines[-LOG_LINES:]]
        self._events.put(("failed", "\n".join(said)))
