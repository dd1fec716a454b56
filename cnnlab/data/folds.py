"""Folds: which images judge which trial. `data/folds.csv`, the one place that writes and reads it.

Columns: image_id, repeat (from 0), fold (from 0). One row for each dev image and repeat; the image
is judged in that fold and trained on in the others. Every variant uses the same file.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

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
            near = " (near duplicates are one group, unless data.near_duplicates is null)"
            what = f"groups{near}" if grouped else "images"
            raise UserError(f"params.yaml: folds.k = {k}: class {label!r} has only {units} {what}")
    split = _by_group if grouped else _by_image
    parts = [
        manifest[["image_id"]].assign(
            repeat=repeat, fold=split(manifest, k, derive(seed, "folds", repeat))
        )
        for repeat in range(repeats)
    ]
    return pd.concat(parts).sort_values(["repeat", "image_id"], ignore_index=True)


def enough(folds: pd.DataFrame, manifest: pd.DataFrame, sizes: Iterable[int]) -> None:
    """Check that every fold leaves so many images of each class to train on, and that these are not
    all that it leaves. Raises UserError, which names the class that has too few."""
    labels = folds["image_id"].map(manifest.set_index("image_id")["label"])
    held_out = folds.groupby([labels, "repeat", "fold"]).size().groupby(level=0).max()
    left = manifest["label"].value_counts() - held_out
    few = left.idxmin()
    for size in sizes:
        if size > left[few]:
            raise UserError(
                f"params.yaml: sizes.per_class = {size}: at most {left[few]} of class {few!r} are "
                "left to train on where a fold is held out"
            )
        if size >= round(left.mean()):
            raise UserError(
                f"params.yaml: sizes.per_class = {size}: that is all that are left to train on"
                " where a fold is held out, which variants are tried with anyway"
            )


def _by_image(manifest: pd.DataFrame, k: int, seed: int) -> np.ndarray:
    """The fold of each image, (n,)."""
    from sklearn.model_selection import StratifiedKFold  # takes long, and most only read folds

    fold = np.empty(len(manifest), int)
    splitter = StratifiedKFold(k, shuffle=True, random_state=seed)
    for number, (_, judged) in enumerate(splitter.split(manifest, manifest["label"])):
        fold[judged] = number
    return fold


def _by_group(manifest: pd.DataFrame, k: int, seed: int) -> np.ndarray:
    """The fold of each image, (n,), one a group: the largest groups first, in random order among
    equals, each into the fold that has least of its classes. scikit-learn's StratifiedGroupKFold
    does much the same, twenty times slower; with twins found among many images nearly all
    groups are single images, and those even out what the larger ones left."""
    groups, _ = pd.factorize(manifest["group"])
    labels, names = pd.factorize(manifest["label"])
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(np.bincount(groups))[:-1])
    np.random.default_rng(seed).shuffle(members)
    share = 1 / np.bincount(labels)  # of its class, that one image is
    held = np.zeros((k, len(names)))  # share of each class in each fold
    size = np.zeros(k)
    fold = np.empty(len(manifest), int)
    for rows in sorted(members, key=len, reverse=True):
        kinds = labels[rows]
        cost = held[:, kinds].sum(axis=1).round(9)  # so that equals are equal
        best = np.lexsort((size, cost))[0]
        np.add.at(held[best], kinds, share[kinds])
        size[best] += len(rows)
        fold[rows] = best
    return fold


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
