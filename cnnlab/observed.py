"""Jobs run in sight of a person: with a progress bar, and with their records logged to MLflow."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from cnnlab import paths, records, tracking
from cnnlab.errors import UserError
from cnnlab.progress import Bar, bar
from cnnlab.records import Diverged, Record, Trial
from cnnlab.records.trial import in_words
from cnnlab.run.execute import run, run_all
from cnnlab.run.job import Job, Part
from cnnlab.run.options import Execution
from cnnlab.tasks import TASKS

SCORES = [next(iter(TASKS[task].MEASURED)) for task in TASKS.names()]


def run_observed(
    job: Job,
    folder: Path,
    execution: Execution,
    study: str,
    kind: str,
    sizes: Iterable[int] = (),
    answering: records.Answering = records.AS_TRAINED,
    beside: Callable[[], None] = lambda: None,
) -> list[Record]:
    """Run what is missing of a job, and return its records.

    `kind` (variant, backbone, final) is for MLflow, and so is `answering`, see
    `cnnlab.tracking.Run.finish`; `beside` writes what is to lie beside the network by then.
    `sizes`: as `cnnlab.run.execute.run`. Of a variant some trials may
    have diverged, and have no record: it is said. Raises UserError where another kind's have,
    without which the study cannot go on."""
    plan = job.plan()
    splits = {(p.trial.repeat, p.trial.fold) for p in plan}
    mark = tracking.digest((p.mark for p in plan), answering)
    with (
        tracking.Run(study, kind, job.name, mark) as parent,
        bar(f"{kind} {job.name}: epochs", len(plan) * job.recipe.epochs) as progress,
    ):
        parent.describe({**_params(job), "trials": len(plan), "splits": len(splits)}, job.pool)
        watcher = _Watcher(progress, {job.name: parent}, {job.name: job.recipe.epochs})
        done = run(job, plan, folder, watcher, sizes=sizes, **execution.where)
        why = in_words(records.diverged(folder), len(plan))
        if why:
            parent.fail(why)
        else:
            beside()
            parent.finish(done, job.pool, folder / records.MODEL, answering)
    if why and kind != "variant":
        raise UserError(f"{kind} {job.name}: {why}")
    if why:
        _warn(job.name, why)
    elif kind == "variant" and tracking.shown().get(job.name) == mark:
        # What drew figures of these very records, DVC may skip.
        tracking.log_figures(study, tracking.shown(), *paths.DRAWN)
    return done


def run_all_observed(
    jobs: Mapping[Path, Job], execution: Execution, study: str, kind: str, title: str
) -> dict[str, list[Record]]:
    """Run what is missing of several variants' trials, on one set of workers, and return their
    records: variant -> those of its job.

    `jobs`: by the folder that takes the records; nothing is removed from it, and no network is
    saved in it, see `cnnlab.run.execute.run_all`. `title`: of the one bar, which counts epochs. In
    MLflow a variant has one run of the kind (`decide`, `screen`): later calls with more repeats
    add to it.
    """
    parts = [Part(job, job.plan(), folder) for folder, job in jobs.items()]
    epochs = {job.name: job.recipe.epochs for job in jobs.values()}
    total = sum(len(part.plan) * epochs[part.job.name] for part in parts)
    parents = {}
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(tracking.Writer())
        for part in parts:
            parent = tracking.Run(study, kind, part.job.name, _first_repeat(part), writer)
            stack.enter_context(parent).describe(_params(part.job), part.job.pool)
            parents[part.job.name] = parent
        watcher = _Watcher(stack.enter_context(bar(title, total)), parents, epochs)
        done = run_all(parts, watcher, **execution.where)
        failed = {}
        for part in parts:
            name, why = part.job.name, in_words(records.diverged(part.folder), len(part.plan))
            if why:
                failed[name] = why
                parents[name].fail(why)
            else:
                parents[name].finish(done[name], part.job.pool)
    for name, why in failed.items():
        _warn(name, why)
    return done


def networks(jobs: Mapping[Path, Job], execution: Execution, title: str) -> dict[Path, Record]:
    """Bring to each folder the network of its job's one trial and return its record. `title`: of
    the bar, which counts epochs; MLflow is told nothing. Raises UserError where one diverged."""
    parts = []
    for folder, job in jobs.items():
        plan = job.plan()
        folder.mkdir(parents=True, exist_ok=True)
        records.prune(folder, [p.trial.key for p in plan])
        parts.append(Part(job, plan, folder, with_network=True))
    epochs = {part.job.name: part.job.recipe.epochs for part in parts}
    with bar(title, sum(epochs.values())) as progress:
        watcher = _Watcher(progress, dict.fromkeys(epochs, _Silent()), epochs)
        done = run_all(parts, watcher, **execution.where)
    for part in parts:
        why = in_words(records.diverged(part.folder), len(part.plan))
        if why:
            raise UserError(f"{part.job.name}: {why}")
    return {part.folder: done[part.job.name][0] for part in parts}


class _Silent:
    """Takes what a run in MLflow is told."""

    def epoch(self, trial: Trial, entry: dict[str, float]) -> None: ...

    def trial(self, record: Record) -> None: ...

    def diverged(self, diverged: Diverged) -> None: ...


def _warn(name: str, why: str) -> None:
    print(f"warning: {name} is left out of the comparison: {why}", file=sys.stderr)


def _params(job: Job) -> dict[str, Any]:
    """What MLflow shows as the params of a job's run."""
    return {**vars(job.recipe), "members": job.members, "seed": job.seed}


def _first_repeat(part: Part) -> str:
    """Mark of the first repeat that is planned."""
    first = part.plan[0].trial.repeat
    return tracking.digest(p.mark for p in part.plan if p.trial.repeat == first)


class _Watcher:
    """Tells a progress bar, and the runs of jobs by their names."""

    def __init__(
        self, progress: Bar, parents: Mapping[str, tracking.Run], epochs: Mapping[str, int]
    ):
        self._progress, self._parents, self._epochs = progress, parents, epochs
        self._counted: dict[Trial, int] = {}  # the last epoch of each

    def epoch(self, trial: Trial, entry: dict[str, float]) -> None:
        if entry["epoch"] <= self._counted.get(trial, 0):
            return  # told before, by a worker that died
        self._counted[trial] = entry["epoch"]
        epochs = self._epochs[trial.variant]
        where = f"repeat {trial.repeat} fold {trial.fold} epoch {entry['epoch']}/{epochs}"
        score = next((f" {name} {entry[name]:.3f}" for name in SCORES if name in entry), "")
        self._progress.advance(note=self._named(trial, where + score))
        self._parents[trial.variant].epoch(trial, entry)

    def again(self, trial: Trial) -> None:
        self._progress.say(f"the worker of {trial.variant} {trial.key} died; tried again")

    def done(self, record: Record, trained: bool) -> None:
        trial, epochs = record.trial, self._epochs[record.trial.variant]
        if not trained:
            self._progress.advance(epochs, note=self._named(trial, f"{trial.key} kept"))
        elif left := epochs - len(record.history):  # it stopped early
            self._progress.advance(left, note=self._named(trial, f"{trial.key} stopped early"))
        self._parents[trial.variant].trial(record)

    def diverged(self, diverged: Diverged) -> None:
        trial = diverged.trial
        self._progress.say(f"{trial.variant} {trial.key} diverged: {diverged.what}")
        left = self._epochs[trial.variant] - len(diverged.history)
        self._progress.advance(left, note=self._named(trial, f"{trial.key} diverged"))
        self._parents[trial.variant].diverged(diverged)

    def _named(self, trial: Trial, note: str) -> str:
        """A note of a trial, with its variant where there are several."""
        return f"{trial.variant} {note}" if len(self._parents) > 1 else note
