"""Records on disk: the one place that writes and reads what trials leave behind.

A variant's folder holds, for each trial, `KEY.json` (who it was, its fingerprint, metrics and
history: `Record.summary`) and `KEY.npz` (image_id, labels, probabilities of the judged images, and
for each conv `preactivations/NAME`: mean and spread on a probe at each evaluation), and
`model.keras`, the net of the first trial, to look into. KEY is `r0_f0_m0`: repeat, fold, member.
Every file is written whole or not at all, and the JSON last: where it is, all is.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import time
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cnnlab.errors import UserError
from cnnlab.training.trial import Record, Trial

MODEL = "model.keras"
_WATCHED = "preactivations/"


def write(folder: Path, record: Record) -> None:
    """Write a trial's record."""
    path = folder / f"{record.trial.key}.json"
    path.unlink(missing_ok=True)  # or an older one would speak for the new arrays
    arrays = io.BytesIO()
    np.savez(
        arrays,
        image_id=record.image_id,
        labels=record.labels,
        probabilities=record.probabilities,
        **{_WATCHED + name: values for name, values in record.preactivations.items()},
    )
    _write(path.with_suffix(".npz"), _timeless(arrays.getvalue()))
    text = json.dumps(record.summary(), indent=1)
    _write(path, (text + "\n").encode())


def read(folder: Path, key: str) -> Record:
    """Read one record. Raises UserError where the file is no record."""
    path = folder / f"{key}.json"
    try:
        summary = json.loads(path.read_text())
        with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
            return Record(
                trial=Trial(*(summary[k] for k in ("variant", "repeat", "fold", "member"))),
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
                probabilities=arrays["probabilities"],
            )
    except (OSError, EOFError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a trial's record ({error}); delete it to train anew"
        ) from None


def read_all(folder: Path) -> list[Record]:
    """The records of one variant, in the order of repeat, fold and member."""
    records = [read(folder, path.stem) for path in sorted(folder.glob("r*_f*_m*.json"))]
    if not records:
        raise UserError(f"{folder}: holds no trial records; run `dvc repro` first")
    return sorted(records, key=lambda r: r.trial)


@dataclass(frozen=True)
class Saved:
    """What a checkpoint holds: the history so far, and every array that training changes."""

    history: list[dict[str, float]]
    arrays: list[np.ndarray]


class Checkpoint:
    """How far a trial has come, for one that was cut off: `.KEY.checkpoint` beside the records."""

    def __init__(self, folder: Path, trial: Trial, fingerprint: str, seconds: float = 20.0):
        """`seconds`: how much work may be lost; a checkpoint is due so long after the last one."""
        self._path = folder / f".{trial.key}.checkpoint"
        self._mark, self._seconds, self._last = fingerprint, seconds, time.monotonic()

    def due(self) -> bool:
        """Whether it is time for the next one."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, arrays: list[np.ndarray], history: list[dict[str, float]]) -> None:
        """Replace the checkpoint by this state."""
        content = io.BytesIO()
        about = json.dumps({"fingerprint": self._mark, "history": history})
        np.savez(content, *arrays, about=np.array(about))
        _write(self._path, content.getvalue())
        self._last = time.monotonic()

    def load(self) -> Saved | None:
        """The state saved last by a trial with the same fingerprint, if there is one."""
        if not self._path.exists():
            return None
        try:
            with np.load(self._path, allow_pickle=False) as held:
                about = json.loads(str(held["about"]))
                arrays = [held[f"arr_{i}"] for i in range(len(held.files) - 1)]
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            print(f"{self._path}: not a checkpoint ({error}); the trial begins anew")
            return None
        if about["fingerprint"] != self._mark:
            return None
        return Saved(about["history"], arrays)

    def remove(self) -> None:
        """The trial has its record; its checkpoint goes."""
        self._path.unlink(missing_ok=True)


def cells(records: list[Record]) -> list[list[list[Record]]]:
    """One variant's records as a grid, `[repeat][fold][member]`.

    Raises UserError that names the first trial that is missing.
    """
    by_cell: dict[tuple[int, int], dict[int, Record]] = {}
    for r in records:
        by_cell.setdefault((r.trial.repeat, r.trial.fold), {})[r.trial.member] = r
    repeats, folds = (1 + max(k[i] for k in by_cell) for i in (0, 1))
    members = max(len(v) for v in by_cell.values())
    for repeat, fold in np.ndindex(repeats, folds):
        there = len(by_cell.get((repeat, fold), {}))
        if there < members:
            raise UserError(
                f"variant {records[0].trial.variant}: repeat {repeat}, fold {fold} has {there} of "
                f"{members} trials; run `dvc repro`"
            )
    return [
        [[by_cell[r, f][m] for m in sorted(by_cell[r, f])] for f in range(folds)]
        for r in range(repeats)
    ]


def scores(records: list[Record], metric: str) -> np.ndarray:
    """A metric of the last epoch of one variant's records (`Record.final`), averaged over members:
    float64 (repeats, folds). Raises UserError as `cells` does."""
    return np.array(
        [[np.mean([r.final[metric] for r in cell]) for cell in row] for row in cells(records)]
    )


def weights(path: Path) -> int:
    """How many weights a saved net has, statistics included. Does not load TensorFlow.

    Raises UserError where the file is missing or is no such net.
    """
    import h5py

    try:
        with zipfile.ZipFile(path) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        sizes: list[int] = []
        with h5py.File(content) as file:
            file.visititems(
                lambda _, item: sizes.append(
                    item.size if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" else 0
                )
            )
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a saved net ({error})") from None
    return sum(sizes)


def cost(records: list[Record], folder: Path) -> float:
    """What it takes to train one net of these records, in weight-images: weights x training images
    x epochs, averaged over trials. Unlike seconds it is the same on every machine."""
    seen = [r.n_train * r.history[-1]["epoch"] for r in records]
    return weights(folder / MODEL) * float(np.mean(seen))


def curve(records: list[Record], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """A metric of one variant's records over training, averaged over members.

    Returns the epochs at which it was measured, int (points,), and the values, float64 (splits,
    points), a row for each (repeat, fold). A trial that stopped early keeps its last value, as its
    net does; points before every trial was measured once are left out.
    """
    measured = {
        r.trial: {int(e["epoch"]): e[metric] for e in r.history if metric in e} for r in records
    }
    first = max(min(values) for values in measured.values())
    epochs = np.array(sorted({e for values in measured.values() for e in values if e >= first}))
    splits: dict[tuple[int, int], list[np.ndarray]] = {}
    for trial, values in sorted(measured.items()):
        own = np.array(sorted(values))
        held = own[np.searchsorted(own, epochs, side="right") - 1]
        line = np.array([values[int(epoch)] for epoch in held])
        splits.setdefault((trial.repeat, trial.fold), []).append(line)
    return epochs, np.array([np.mean(lines, axis=0) for lines in splits.values()], np.float64)


def prune(folder: Path, keys: set[str]) -> None:
    """Remove what belongs to no trial of the design, and what a killed run left half-written."""
    kept = {MODEL, *(f"{k}.json" for k in keys), *(f"{k}.npz" for k in keys)}
    kept |= {f".{k}.checkpoint" for k in keys}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()


def of_size(folder: Path, per_class: int | None) -> Path:
    """Where a strategy's folder has its records at a size of the target: training images a class,
    None for all."""
    return folder / (f"{per_class}_a_class" if per_class else "all")


def prune_sizes(folder: Path, sizes: Iterable[int]) -> None:
    """Remove what a strategy's folder holds of other sizes."""
    kept = {of_size(folder, size) for size in (*sizes, None)}
    for path in folder.glob("*"):
        if path not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def save_model(model, path: Path) -> None:
    """Save a Keras model, without its optimizer, so that equal models are equal files.

    (Keras writes the time of day into them.)
    """
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    with _replacing(path) as temporary:
        bare.save(temporary)
        temporary.write_bytes(_timeless(temporary.read_bytes()))


def write_model(folder: Path, content: bytes) -> None:
    """Write the net that was saved elsewhere, given as its file's content."""
    _write(folder / MODEL, content)


def load_model(path: Path):
    """Load a model that a stage saved. Keras's safe mode refuses code hidden in the file.

    Raises UserError where the file is missing or is no such model.
    """
    import keras

    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a net that can be loaded safely ({error})") from None


def _timeless(archive: bytes) -> bytes:
    """A zip archive with its dates removed, Keras's `date_saved` included."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                metadata = json.loads(content)
                metadata.pop("date_saved", None)
                content = json.dumps(metadata).encode()
            new.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def _write(path: Path, content: bytes) -> None:
    with _replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes `path`'s place once it is complete and on disk."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    yield temporary
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
