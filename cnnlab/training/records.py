"""Records on disk: the one place that writes and reads what trials leave behind.

A variant's folder holds, for each trial, `KEY.json` (who it was, its fingerprint, metrics and
history: `Record.summary`) and `KEY.npz` (image_id, labels, probabilities of the judged images),
and `model.keras`, the net of the first trial, to look into. KEY is `r0_f0_m0`: repeat, fold,
member. Every file is written whole or not at all, and the JSON last: where it is, all is.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cnnlab.errors import UserError
from cnnlab.training.trial import Record, Trial

MODEL = "model.keras"


def write(folder: Path, record: Record) -> None:
    """Write a trial's record."""
    arrays = io.BytesIO()
    np.savez(
        arrays,
        image_id=record.image_id,
        labels=record.labels,
        probabilities=record.probabilities,
    )
    _write(folder / f"{record.trial.key}.npz", _timeless(arrays.getvalue()))
    text = json.dumps(record.summary(), indent=1)
    _write(folder / f"{record.trial.key}.json", (text + "\n").encode())


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
                image_id=arrays["image_id"],
                labels=arrays["labels"],
                probabilities=arrays["probabilities"],
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{path}: not a trial's record ({error}); delete it to train anew"
        ) from None


def read_all(folder: Path) -> list[Record]:
    """The records of one variant, in the order of repeat, fold and member."""
    records = [read(folder, path.stem) for path in sorted(folder.glob("r*_f*_m*.json"))]
    if not records:
        raise UserError(f"{folder}: holds no trial records; run `dvc repro` first")
    return sorted(records, key=lambda r: r.trial)


def scores(records: list[Record], metric: str) -> np.ndarray:
    """A metric of one variant's records, float64 (repeats, folds), averaged over members.

    Raises UserError that names the first trial that is missing.
    """
    values: dict[tuple[int, int], dict[int, float]] = {}
    for r in records:
        values.setdefault((r.trial.repeat, r.trial.fold), {})[r.trial.member] = r.final[metric]
    shape = [1 + max(k[i] for k in values) for i in (0, 1)]
    members = max(len(v) for v in values.values())
    for repeat, fold in np.ndindex(*shape):
        there = len(values.get((repeat, fold), {}))
        if there < members:
            raise UserError(
                f"variant {records[0].trial.variant}: repeat {repeat}, fold {fold} has {there} of "
                f"{members} trials; run `dvc repro`"
            )
    cells = [np.mean(list(values[cell].values())) for cell in np.ndindex(*shape)]
    return np.array(cells).reshape(shape)


def prune(folder: Path, keys: set[str]) -> None:
    """Remove what belongs to no trial of the design, and what a killed run left half-written."""
    for path in folder.iterdir():
        if path.name != MODEL and (path.stem not in keys or path.suffix not in (".json", ".npz")):
            path.unlink()


def save_model(model, path: Path) -> None:
    """Save a Keras model, without its optimizer, so that equal models are equal files.

    (Keras writes the time of day into them.)
    """
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    with _replacing(path) as temporary:
        bare.save(temporary)
        temporary.write_bytes(_timeless(temporary.read_bytes()))


def load_model(path: Path):
    """Load a model that a stage saved. Keras's safe mode refuses code hidden in the file."""
    import keras

    return keras.models.load_model(path, compile=False, safe_mode=True)


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
