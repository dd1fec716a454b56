"""Records on disk: the one place that writes and reads what trials leave behind.

A variant's folder holds, for each trial on all training images, `KEY.json` (who it was, its
fingerprint, metrics and history: `Record.summary`) and `KEY.npz` (of the held-out images image_id,
labels and outputs, which are called `probabilities` there, as those of classes are; and for each
conv `preactivations/NAME`: mean and spread on a probe at each evaluation), and `model.keras`, the
network of the first trial, to look into. Where an ensemble is what its networks say together, and
outputs do not tell, each trial has its network too, `KEY.keras`. Trials on fewer images are in
folders below it, see `of_size`. KEY is `r0_f0_m0`: repeat, fold, member. A trial that diverged
leaves a `KEY.json` that says so, and nothing else. Every file is written whole or not at all, and
the JSON last: where it is, all is.
"""

from __future__ import annotations

import io
import itertools
import json
import shutil
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np

from cnnlab.errors import UserError
from cnnlab.records.files import timeless, write_bytes
from cnnlab.records.models import MODEL, count_weights
from cnnlab.records.trial import Diverged, Record, Trial

_WATCHED = "preactivations/"
_SUMMARIES = "r*_f*_m*.json"

T = TypeVar("T")


def write(folder: Path, record: Record, network: bytes | None = None) -> None:
    """Write a trial's record, and the content of its network's file, where that is kept."""
    path = folder / f"{record.trial.key}.json"
    for old in (path, network_of(folder, record.trial.key)):
        old.unlink(missing_ok=True)  # or an older one would speak for the new arrays
    if network is not None:
        write_bytes(network_of(folder, record.trial.key), network)
    arrays = io.BytesIO()
    np.savez(
        arrays,
        image_id=record.image_id,
        labels=record.labels,
        probabilities=record.outputs,
        **{_WATCHED + name: values for name, values in record.preactivations.items()},
    )
    write_bytes(path.with_suffix(".npz"), timeless(arrays.getvalue()))
    _write_summary(path, record)


def write_diverged(folder: Path, diverged: Diverged) -> None:
    """Write that a trial diverged; a record that it had goes."""
    path = folder / f"{diverged.trial.key}.json"
    for old in (path, path.with_suffix(".npz"), network_of(folder, diverged.trial.key)):
        old.unlink(missing_ok=True)
    _write_summary(path, diverged)


def _write_summary(path: Path, left: Record | Diverged) -> None:
    write_bytes(path, (json.dumps(left.summary(), indent=1) + "\n").encode())


def read(folder: Path, key: str) -> Record:
    """Read one record. Raises UserError where the file is none, as of a trial that diverged."""
    path = folder / f"{key}.json"
    try:
        summary = json.loads(path.read_text())
        with path.with_suffix(".npz").open("rb") as file:
            if not zipfile.is_zipfile(file):  # of which NumPy says that it may hold code
                raise zipfile.BadZipFile(f"{path.stem}.npz is damaged")
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
            return Record(
                trial=_trial(summary),
                fingerprint=summary["fingerprint"],
                seed=summary["seed"],
                n_train=summary["n_train"],
                history=summary["history"],
                measured={k: v for k, v in summary["metrics"].items() if k != "gap"},
                preactivations={
                    name.removeprefix(_WATCHED): arrays[name]
                    for name in arrays.files
                    if name.startswith(_WATCHED)
                },
                image_id=arrays["image_id"],
                labels=arrays["labels"],
                outputs=arrays["probabilities"],
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise _no_record(path, error) from None


def _no_record(path: Path, error: Exception) -> UserError:
    return UserError(f"{path}: not a trial's record ({error}); delete it to train anew")


def _trial(summary: Mapping) -> Trial:
    return Trial(*(summary[k] for k in ("variant", "repeat", "fold", "member")))


def diverged(*folders: Path) -> list[Diverged]:
    """The trials of these folders that diverged, in the order of repeat, fold and member. Raises
    UserError for a file that cannot be read."""
    found = []
    for path in (path for folder in folders for path in folder.glob(_SUMMARIES)):
        try:
            summary = json.loads(path.read_text())
            if "diverged" in summary:
                left = (summary[k] for k in ("fingerprint", "diverged", "cure", "history"))
                found.append(Diverged(_trial(summary), *left))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _no_record(path, error) from None
    return sorted(found, key=lambda d: d.trial)


def without_diverged(variants: Mapping[str, T], *roots: Path) -> dict[str, T]:
    """Those of the variants, by name, of which no trial diverged; `roots`: folders of variants'
    folders. Raises UserError where none is left."""
    failed = {name: diverged(*(root / name for root in roots)) for name in variants}
    left = {name: value for name, value in variants.items() if not failed[name]}
    if not left:
        first = next(iter(failed.values()))[0]
        raise UserError(f"all variants diverged; {first.trial.variant}: {first.what}; {first.cure}")
    return left


def read_all(folder: Path, *more: Path) -> list[Record]:
    """The records of one variant, in the order of repeat, fold and member; those in the folders
    `more` besides, where there are any."""
    paths = [path for at in (folder, *more) for path in sorted(at.glob(_SUMMARIES))]
    records = [read(path.parent, path.stem) for path in paths]
    if not records:
        raise UserError(f"{folder}: holds no trial records; run `dvc repro` first")
    return sorted(records, key=lambda r: r.trial)


def cells(records: list[Record]) -> list[list[list[Record]]]:
    """One variant's records as a grid, `[repeat][fold][member]`, from the first repeat that there
    is.

    Raises UserError that names the first trial that is missing.
    """
    by_cell: dict[tuple[int, int], dict[int, Record]] = {}
    for r in records:
        by_cell.setdefault((r.trial.repeat, r.trial.fold), {})[r.trial.member] = r
    repeats = range(min(r for r, _ in by_cell), 1 + max(r for r, _ in by_cell))
    folds = range(1 + max(f for _, f in by_cell))
    members = max(len(v) for v in by_cell.values())
    for repeat, fold in itertools.product(repeats, folds):
        present = len(by_cell.get((repeat, fold), {}))
        if present < members:
            raise UserError(
                f"variant {records[0].trial.variant}: repeat {repeat}, fold {fold} has {present}"
                f" of {members} trials; run `dvc repro`"
            )
    return [[[by_cell[r, f][m] for m in sorted(by_cell[r, f])] for f in folds] for r in repeats]


def scores(records: list[Record], metric: str) -> np.ndarray:
    """A metric of the last epoch of one variant's records (`Record.final`), averaged over members:
    float64 (repeats, folds). Raises UserError as `cells` does."""
    return np.array(
        [[np.mean([r.final[metric] for r in cell]) for cell in row] for row in cells(records)]
    )


def cost(records: list[Record], folder: Path, backbone: Path | None) -> float:
    """What it takes to train one network of these records, in weight-images: weights that learn x
    training images x epochs, averaged over trials. Unlike seconds it is the same on every machine.
    What a frozen backbone takes, whose features are computed once for all, is not in it.

    `backbone`: the saved network that some begin at; None: there is none.
    """
    seen = [r.n_train * r.history[-1]["epoch"] for r in records]
    return count_weights(folder / MODEL, backbone) * float(np.mean(seen))


def curve(records: list[Record], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """A metric of one variant's records over training, averaged over members.

    Returns the epochs at which it was measured, int (points,), and the values, float64 (splits,
    points), a row for each (repeat, fold). A trial that stopped early keeps its last value, as its
    network does; points before every trial was measured once are left out.
    """
    measured = {
        r.trial: {int(e["epoch"]): e[metric] for e in r.history if metric in e} for r in records
    }
    first = max(min(values) for values in measured.values())
    epochs = np.array(sorted({e for values in measured.values() for e in values if e >= first}))
    splits: dict[tuple[int, int], list[np.ndarray]] = {}
    for trial, values in sorted(measured.items()):
        measured_at = np.array(sorted(values))
        latest = measured_at[np.searchsorted(measured_at, epochs, side="right") - 1]
        line = np.array([values[int(epoch)] for epoch in latest])
        splits.setdefault((trial.repeat, trial.fold), []).append(line)
    return epochs, np.array([np.mean(lines, axis=0) for lines in splits.values()], np.float64)


def of_size(folder: Path, per_class: int | None) -> Path:
    """Where a variant's folder has its records of trials on so many training images per class;
    None: on all, which is the folder itself."""
    return folder / f"{per_class}_per_class" if per_class else folder


def network_of(folder: Path, key: str) -> Path:
    """Where a trial's network is, if one is kept of each."""
    return folder / f"{key}.keras"


def prune(
    folder: Path, keys: Iterable[str], sizes: Iterable[int] = (), networks: bool = False
) -> None:
    """Remove what belongs to no trial of the design, and what a killed run left half-written.

    `keys`: of the trials. `sizes`: training images per class whose folders stay. `networks`:
    whether one of each trial stays.
    """
    kept = {MODEL, *(of_size(folder, size).name for size in sizes)}
    for key in keys:
        kept |= {f"{key}.json", f"{key}.npz", f".{key}.checkpoint"}
        kept |= {network_of(folder, key).name} if networks else set()
    for path in folder.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
