"""How many trials are run, and where: those of a job whose records are missing or out of date, by
the backend that the params name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from cnnlab import records
from cnnlab.errors import UserError
from cnnlab.plugins import Registry
from cnnlab.records import Record
from cnnlab.run.backends import Watcher, Work
from cnnlab.run.job import Job, Planned

BACKENDS = Registry("cnnlab.run.backends", needs="train")


def run(
    job: Job,
    plan: list[Planned],
    folder: Path,
    watcher: Watcher,
    use_model: Callable[[Path], None],
    backend: str = "local",
    workers: int | None = None,
    gpus: float = 0,
    sizes: Iterable[int] = (),
) -> list[Record]:
    """Bring a variant's folder up to date and return its records, in the order of the plan.

    A trial is trained only where its record is missing or was made by something else than the plan
    says now (see `cnnlab.records.fingerprint`); records that belong to no trial of it are removed.
    `use_model`: called, in a process that may import TensorFlow, with the network of the first
    trial when it has been trained and saved. `backend`, `workers`, `gpus`: where trials run, and
    how many side by side; no effect on records. `sizes`: of training sets whose folders are in this
    one.

    A worker that dies costs the epochs since its trial's last checkpoint; the trial is tried again.
    Raises UserError, after all others have ended, for trials that failed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records.prune(folder, [p.trial.key for p in plan], sizes)
    missing = []
    for planned in plan:
        record = _kept(folder, planned, needs_model=planned is plan[0])
        if record is None:
            missing.append(planned)
        else:
            watcher.done(record, trained=False)
    if missing:
        work = Work(job, missing, plan[0], folder, watcher, use_model, workers, gpus)
        failed = BACKENDS[backend].train(work)
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
