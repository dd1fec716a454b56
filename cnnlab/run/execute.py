"""How many trials are run, and where: those whose records are missing or out of date, by the
backend that the params name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from cnnlab import records
from cnnlab.errors import UserError
from cnnlab.plugins import Registry
from cnnlab.records import Diverged, Record
from cnnlab.run.backends import Watcher, Work
from cnnlab.run.job import Job, Part, Planned

BACKENDS = Registry("cnnlab.run.backends", needs="train")


def run(
    job: Job,
    plan: list[Planned],
    folder: Path,
    watcher: Watcher,
    backend: str = "local",
    workers: int | None = None,
    gpus: float = 0,
    per_gpu: int = 1,
    sizes: Iterable[int] = (),
) -> list[Record]:
    """Bring a variant's folder up to date and return its records, in the order of the plan.

    As `run_all` for one job; besides, the network of the first trial is saved beside the records,
    and what belongs to no trial of the plan is removed from the folder. `sizes`: of training sets
    whose folders are in this one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records.prune(folder, [p.trial.key for p in plan], sizes, job.keeps_networks)
    part = Part(job, plan, folder, with_network=True)
    return run_all([part], watcher, backend, workers, gpus, per_gpu)[job.name]


def run_all(
    parts: Sequence[Part],
    watcher: Watcher,
    backend: str = "local",
    workers: int | None = None,
    gpus: float = 0,
    per_gpu: int = 1,
) -> dict[str, list[Record]]:
    """Run what is missing of several jobs, in their order, on one set of workers, and return the
    records: job name -> those of its plan, in the plan's order. Jobs have names of their own.

    A trial is trained only where its record is missing or was made by something else than the plan
    says now (see `cnnlab.records.fingerprint`). One that diverged has no record and is not tried
    again; `cnnlab.records.diverged` says so. Nothing is removed: a folder may hold more trials than
    are planned yet (`cnnlab.records.prune`, once that is known). `backend`, `workers`, `gpus`,
    `per_gpu`: where trials run, and how many side by side; no effect on records.

    A worker that dies costs the epochs since its trial's last checkpoint; the trial is tried again.
    Raises UserError, after all others have ended, for trials that failed.
    """
    by_name = {part.job.name: part for part in parts}
    if len(by_name) < len(parts):
        raise ValueError(f"jobs of one name among {[part.job.name for part in parts]}")
    missing = [planned for part in parts for planned in _missing(part, watcher)]
    if missing:
        work = Work(by_name, missing, watcher, workers, gpus, per_gpu)
        failed = BACKENDS[backend].train(work)
        if failed:
            raise UserError("\n\n".join([f"{len(failed)} trials failed", *failed]))
    return {part.job.name: _records(part) for part in parts}


def _records(part: Part) -> list[Record]:
    diverged = {d.trial for d in records.diverged(part.folder)}
    trials = [planned.trial for planned in part.plan]
    return [records.read(part.folder, trial.key) for trial in trials if trial not in diverged]


def _missing(part: Part, watcher: Watcher) -> list[Planned]:
    """The trials of a plan that have to be trained; the watcher is told of the others."""
    part.folder.mkdir(parents=True, exist_ok=True)
    diverged = {d.trial: d for d in records.diverged(part.folder)}
    missing = []
    for planned in part.plan:
        left = diverged.get(planned.trial) or _kept(part, planned)
        if left is None or left.fingerprint != planned.mark:
            missing.append(planned)
        elif isinstance(left, Diverged):
            watcher.diverged(left)
        else:
            watcher.done(left, trained=False)
    return missing


def _kept(part: Part, planned: Planned) -> Record | None:
    if not (part.folder / f"{planned.trial.key}.json").exists():
        return None
    network = records.network_of(part.folder, planned.trial.key)
    if part.job.keeps_networks and not network.exists():
        return None
    if part.keeps_model(planned) and not (part.folder / records.MODEL).exists():
        return None
    return records.read(part.folder, planned.trial.key)
