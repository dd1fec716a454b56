"""What a backend is: it takes trials to where they are trained, and brings their records back.

A backend is one function, `train(work, execution)`; `cnnlab.training.execute` finds it by name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from cnnlab.training.job import Job, Planned
from cnnlab.training.trial import Record, Trial

if TYPE_CHECKING:
    from cnnlab.params import Execution


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

    `use_model` is called with the kept net once it is saved, in another process than the stage's,
    since it needs TensorFlow. Where it fails, the trial is complete all the same.
    """

    job: Job
    missing: list[Planned]  # to be trained, in this order
    first: Planned  # the trial whose net is kept, to look into
    folder: Path  # takes the records, and that net
    watcher: Watcher
    use_model: Callable[[Path], None]


class Backend(Protocol):
    """Trains all that is missing and writes each record as it comes.

    Returns, once all trials have ended, what to tell of each one that failed.
    """

    def __call__(self, work: Work, execution: Execution) -> list[str]: ...
