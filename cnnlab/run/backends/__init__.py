"""What a backend is: it takes trials to where they are trained, and brings their records back.

A backend is a file here with one function, `train(work) -> list`: it trains all that is missing,
writes each record as it comes, and returns, once all trials have ended, what is to be said of each
one that failed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cnnlab.records import Record, Trial
from cnnlab.run.job import Job, Planned


class Watcher(Protocol):
    """Who looks on while trials run: a progress display, a tracker. Called on one thread."""

    def epoch(self, trial: Trial, entry: dict[str, float]) -> None:
        """An epoch of a trial ended; `entry` as in `fit`'s history."""

    def done(self, record: Record, trained: bool) -> None:
        """A trial's record is on disk; `trained` is False where it was there before."""

    def again(self, trial: Trial) -> None:
        """The worker that trained a trial died; the trial is tried again."""


@dataclass(frozen=True)
class Work:
    """What is missing of a job.

    `use_model` is called with the kept network once it is saved, in another process than the
    stage's, since it needs TensorFlow. Where it fails, the trial is complete all the same.
    """

    job: Job
    missing: list[Planned]  # to be trained, in this order
    first: Planned  # the trial whose network is kept, to look into
    folder: Path  # takes the records, and that network
    watcher: Watcher
    use_model: Callable[[Path], None]
    workers: int | None  # trials side by side; None: as many as there is room for
    gpus: float  # that a trial asks of a cluster
