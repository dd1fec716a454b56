"""What a backend is: it takes trials to where they are trained, and brings their records back.

A backend is a file here with one function, `train(work) -> list`: it trains all that is missing,
writes each record as it comes, and returns, once all trials have ended, what is to be said of each
one that failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cnnlab.records import Diverged, Record, Trial
from cnnlab.run.job import Job, Part, Planned


class Watcher(Protocol):
    """Who looks on while trials run: a progress display, a tracker. Called on one thread."""

    def epoch(self, trial: Trial, entry: dict[str, float]) -> None:
        """An epoch of a trial ended; `entry` as in `fit`'s history."""

    def done(self, record: Record, trained: bool) -> None:
        """A trial's record is on disk; `trained` is False where it was there before."""

    def diverged(self, diverged: Diverged) -> None:
        """A trial diverged, now or before."""

    def again(self, trial: Trial) -> None:
        """The worker that trained a trial died; the trial is tried again."""


@dataclass(frozen=True)
class Work:
    """What is missing of one job or several."""

    parts: Mapping[str, Part]  # by job name, which is the variant of its trials
    missing: list[Planned]  # of all parts, to be trained in this order
    watcher: Watcher
    workers: int | None  # trials side by side; None: as many as there is room for
    gpus: float  # that a trial asks of a cluster
    per_gpu: int = 1  # trials that share a GPU of this machine

    @property
    def jobs(self) -> list[Job]:
        """Those of which trials are missing."""
        names = dict.fromkeys(planned.trial.variant for planned in self.missing)
        return [self.parts[name].job for name in names]

    @property
    def threads(self) -> int:
        """That a trial computes with; one number in all jobs of a study."""
        return max(job.recipe.threads for job in self.jobs)

    def part(self, trial: Trial) -> Part:
        """The part that a trial belongs to."""
        return self.parts[trial.variant]
