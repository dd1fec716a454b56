"""Folds: which images judge which trial. `data/folds.csv`, the one place that writes and reads it.

Columns: image_id, repeat (from 0), fold (from 0). One row for each dev image and repeat; the image
is judged in that fold and trained on in the others. Every variant uses the same file.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from cnnlab.errors import UserError
from cnnlab.seeds import derive

COLUMNS = ["image_id", "repeat", "fold"]


def make(manifest: pd.DataFrame, k: int, repeats: int, seed: int) -> pd.DataFrame:
    """Stratified k-fold splits, drawn anew for each repeat; groups stay in one fold.

    Raises UserError where a class has fewer images, or groups, than folds.
    """
    grouped = not manifest["group"].is_unique
    for label, members in manifest.groupby("label"):
        units = members["group"].nunique()
        if units < k:
            what = "groups" if grouped else "images"
            raise UserError(f"params.yaml: folds.k = {k}: class {label!r} has only {units} {what}")
    kind = StratifiedGroupKFold if grouped else StratifiedKFold
    parts = []
    for repeat in range(repeats):
        splitter = kind(k, shuffle=True, random_state=derive(seed, "folds", repeat))
        groups = manifest["group"] if grouped else None
        splits = splitter.split(manifest, manifest["label"], groups)
        for fold, (_, judged) in enumerate(splits):
            ids = manifest["image_id"].iloc[judged]
            parts.append(pd.DataFrame({"image_id": ids, "repeat": repeat, "fold": fold}))
    return pd.concat(parts).sort_values(["repeat", "image_id"], ignore_index=True)


def write(path: Path, folds: pd.DataFrame) -> None:
    """Write the folds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folds[COLUMNS].to_csv(path, index=False)


def read(path: Path) -> pd.DataFrame:
    """Read the folds. Raises UserError where there are none."""
    try:
        folds = pd.read_csv(path, dtype=int)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not a fold file ({error}); run `dvc repro kfold`") from None
    if list(folds.columns) != COLUMNS:
        raise UserError(f"{path}: columns {list(folds.columns)}, expected {COLUMNS}")
    return folds
