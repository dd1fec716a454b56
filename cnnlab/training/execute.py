"""How many trials are run, and where: those of a job whose records are missing or out of date, by
the backend that the params name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
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
    others: Iterable[Path] = (),
) -> list[Record]:
    """Bring a variant's folder up to date and return its records, in the order of the plan.

    A trial is trained only where its record is missing or was made by something else than the plan
    says now (see `cnnlab.training.fingerprint`); records that belong to no trial of it are removed.
    `execution`: where trials run, and how many side by side; it has no effect on records.
    `use_model`: called, in a process that may import TensorFlow, with the net of the first trial
    when it has been trained and saved. `others`: folders of other variants; where one of them is
    the same recipe under another name its records are taken over, and nothing is trained twice.

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
        missing = _take_over(missing, plan[0], folder, others, watcher)
    if missing:
        work = Work(job, missing, plan[0], folder, watcher, use_model)
        failed = BACKENDS[execution.backend](work, execution)
        if failed:
            raise UserError("\n\n".join([f"{len(failed)} trials failed", *failed]))
    return [records.read(folder, planned.trial.key) for planned in plan]


def _take_over(
    missing: list[Planned],
    first: Planned,
    folder: Path,
    others: Iterable[Path],
    watcher: Watcher,
) -> list[Planned]:
    """Copy what is missing from a variant that is the same recipe; returns what is still missing.

    A fingerprint covers all that can change a result, so equal ones are equal results.
    """
    for other in others:
        if other == folder or _readable(other, missing[0], missing[0] is first) is None:
            continue
        left = []
        for planned in missing:
            record = _readable(other, planned, planned is first)
            if record is None:
                left.append(planned)
                continue
            if planned is first:
                records.write_model(folder, (other / records.MODEL).read_bytes())
            own = replace(record, trial=planned.trial)
            records.write(folder, own)
            watcher.done(own, trained=False)
        return left
    return missing


def _readable(folder: Path, planned: Planned, needs_model: bool) -> Record | None:
    try:
        return _kept(folder, planned, needs_model)
    except UserError:  # what is wrong with another variant's records is its own stage's to say
        return None


def _kept(folder: Path, planned: Planned, needs_model: bool) -> Record | None:
    if not (folder / f"{planned.trial.key}.json").exists():
        return None
    if needs_model and not (folder / records.MODEL).exists():
        return None
    record = records.read(folder, planned.trial.key)
    return record if record.fingerprint == planned.mark else None
