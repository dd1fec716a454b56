"""How many trials are run, and where: those of a job whose records are missing or out of date, by
the backend that the params name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cnnlab.errors import UserError
from cnnlab.training import local, ray_backend, records
from cnnlab.training.backend import Backend, Watcher, Work
from cnnlab.training.job import Job, Planned
from cnnlab.training.trial import Record

if TYPE_CHECKING:
    from cnnlab.params import Execution

BACKENDS: dict[str, Backend] = {"local": local.train, "ray": ray_backend.train}


def run(
    job: Job,
    plan: list[Planned],
    folder: Path,
    execution: Execution,
    watcher: Watcher,
    use_model: Callable[[Path], None],
) -> list[Record]:
    """Bring a variant's folder up to date and return its records, in the order of the plan.

    A trial is trained only where its record is missing or was made by something else than the plan
    says now (see `cnnlab.training.fingerprint`); records that belong to no trial of it are removed.
    `execution`: where trials run, and how many side by side; it has no effect on records.
    `use_model`: called, in a process that may import TensorFlow, with the net of the first trial
    when it has been trained and saved.

    A worker that dies costs the epochs since its trial's last checkpoint; the trial is tried again.
    Raises UserError, after all others have ended, for trials that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records.prune(folder, {p.trial.key for p in plan})
    missing = []
    for planned in plan:
        record = _kept(folder, planned, needs_model=planned is plan[0])
        if record is None:
            missing.append(planned)
        else:
            watcher.done(record, trained=False)
    if missing:
        work = Work(job, missing, plan[0], folder, watcher, use_model)
        failed = BACKENDS[execution.backend](work, execution)
        if failed:
            raise UserError("\n\n".join([f"{len(failed)} trials failed", *failed]))
    return [records.read(folder, planned.trial.key) for planned in plan]


def _kept(folder: Path, planned: Planned, needs_model: bool) -> Record | None:
    if not (folder / f"{planned.trial.key}.json").exists():
        return None
    if needs_model and not (folder / records.MODEL).exists():
        return None
    record = records.read(folder, planned.trial.key)
    return record if record.fingerprint == planned.mark else None
