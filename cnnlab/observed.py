"""A job run in sight of a person: with a progress bar, and with its records logged to MLflow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cnnlab import records, tracking
from cnnlab.progress import Bar, bar
from cnnlab.records import Record, Trial
from cnnlab.run.execute import run
from cnnlab.run.job import Job
from cnnlab.run.options import Execution


def run_observed(
    job: Job,
    folder: Path,
    execution: Execution,
    study: str,
    kind: str,
    sizes: Iterable[int] = (),
) -> list[Record]:
    """Run what is missing of a job, and return its records.

    `kind` (variant, backbone, final) is for MLflow. `sizes`: as `cnnlab.run.execute.run`."""
    plan = job.plan()
    splits = {(p.trial.repeat, p.trial.fold) for p in plan}
    design = {"trials": len(plan), "splits": len(splits), "members": job.members}
    with (
        tracking.Run(study, kind, job.name, tracking.digest(p.mark for p in plan)) as parent,
        bar(f"{kind} {job.name}: epochs", len(plan) * job.recipe.epochs) as progress,
    ):
        parent.describe({**vars(job.recipe), **design, "seed": job.seed}, job.pool)
        watcher = _Watcher(progress, parent, job.recipe.epochs)
        log_model = parent.model_logger(job.pool)
        where = execution.model_dump()
        done = run(job, plan, folder, watcher, log_model, sizes=sizes, **where)
        parent.finish(done, folder / records.MODEL, job.pool)
    return done


class _Watcher:
    def __init__(self, progress: Bar, parent: tracking.Run, epochs: int):
        self._progress, self._parent, self._epochs = progress, parent, epochs

    def epoch(self, trial: Trial, entry: dict[str, float]) -> None:
        where = f"repeat {trial.repeat} fold {trial.fold} epoch {entry['epoch']}/{self._epochs}"
        score = f" accuracy {entry['accuracy']:.3f}" if "accuracy" in entry else ""
        self._progress.advance(note=where + score)
        self._parent.epoch(trial, entry)

    def again(self, trial: Trial) -> None:
        self._progress.say(f"the worker of {trial.variant} {trial.key} died; tried again")

    def done(self, record: Record, trained: bool) -> None:
        if not trained:
            self._progress.advance(self._epochs, note=f"{record.trial.key} kept")
        elif left := self._epochs - len(record.history):  # it stopped early
            self._progress.advance(left, note=f"{record.trial.key} stopped early")
        self._parent.trial(record)
