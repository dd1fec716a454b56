"""Shortcuts (Geirhos et al. 2020): properties of images or files that alone tell the label.

One property at a time goes into a decision tree of few leaves, classes weighing the same, and the
tree's held-out probabilities are read class by class: an image is taken for a class where that is
more probable than by chance. So a class that is marked is found among any number of others.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy.stats import norm
from sklearn.tree import DecisionTreeClassifier

from cnnlab.data import folds
from cnnlab.data.findings import CODES, Finding

LIMIT = 0.7  # balanced accuracy that counts: chance is 0.5; ordinary photographs stay below
LEAST = 10  # groups of images; of classes with fewer nothing could be shown
FOLDS, LEAVES = 5, 8  # leaves: at least, and two a class
SEVERAL = 5  # images of a leaf, at least
ALPHA = 0.05  # of all intervals together


def shortcuts(manifest: pd.DataFrame, properties: Mapping[str, np.ndarray]) -> list[Finding]:
    """A finding for each code and class of which a property tells too much.

    Args:
        manifest: Of n images, with image_id, label and group; groups stay together.
        properties: Code (CUT01 ...) -> (n,) numbers, or words, which count as kinds. One that is
            the same for all images, or unknown for some (NaN), is left out.
    """
    enough = manifest.groupby("label")["group"].nunique()
    classes = np.array(sorted(enough.index[enough >= LEAST]))
    rows = np.flatnonzero(manifest["label"].isin(classes))
    if len(classes) < 2:
        return []
    images = manifest.iloc[rows].reset_index(drop=True)
    labels = images["label"].to_numpy(str)
    asked = range(len(classes) if len(classes) > 2 else 1)  # what tells one of two tells the other
    fold = folds.make(images, FOLDS, 1, seed=0)["fold"].to_numpy()
    known = {code: _numbers(np.asarray(values)[rows]) for code, values in properties.items()}
    known = {c: v for c, v in known.items() if np.isfinite(v).all() and np.ptp(v) > 0}
    # How many groups, which are independent, speak for a class, and how many for the others.
    groups = np.array([images["group"][labels == c].nunique() for c in classes])
    found = []
    for code, values in known.items():
        chosen = _taken_for(values, labels, classes, fold)
        own = labels[:, None] == classes
        hits = (chosen & own).sum(axis=0) / own.sum(axis=0)
        rejections = (~chosen & ~own).sum(axis=0) / (~own).sum(axis=0)
        z = norm.isf(ALPHA / (len(known) * len(asked)))
        least = (_wilson(hits, groups, z) + _wilson(rejections, groups.sum() - groups, z)) / 2
        accuracy = (hits + rejections) / 2
        for k in sorted(asked, key=lambda k: -accuracy[k]):
            if least[k] > LIMIT:
                others = "the other classes" if len(classes) > 2 else classes[1]
                text = _words(code, f"{classes[k]} from {others}", accuracy[k], least[k])
                value = float(accuracy[k])
                found.append(Finding(code, None, "", str(classes[k]), value, LIMIT, text))
    return found


def _numbers(values: np.ndarray) -> np.ndarray:
    """Words become the numbers of their kinds, the most frequent first."""
    if values.dtype.kind in "biuf":
        return values.astype(float)
    names = pd.Series(values).value_counts(sort=True).index
    return pd.Categorical(values, sorted(names)).codes.astype(float)


def _taken_for(values, labels, classes, fold) -> np.ndarray:
    """Whether an image is taken for a class by what it was held out of, bool (n, classes)."""
    chosen = np.zeros((len(values), len(classes)), bool)
    leaves = max(LEAVES, 2 * len(classes))
    for number in range(FOLDS):
        out = fold == number
        tree = DecisionTreeClassifier(
            max_leaf_nodes=leaves, min_samples_leaf=SEVERAL, class_weight="balanced", random_state=0
        )
        tree.fit(values[~out, None], labels[~out])
        chosen[out] = tree.predict_proba(values[out, None]) > 1 / len(classes)
    return chosen


def _wilson(share: np.ndarray, n: np.ndarray, z: float) -> np.ndarray:
    """The lower bound of a share of n (Wilson 1927): right also where the share is 1."""
    middle = share + z * z / (2 * n)
    return (middle - z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)) / (1 + z * z / n)


def _words(code: str, told: str, accuracy: float, least: float) -> str:
    what = CODES[code].name.removeprefix("shortcut: ").removesuffix(" predicts the label")
    sure = f"balanced accuracy {accuracy:.2f}, at least {least:.2f}, where chance gives 0.50"
    return f"{what} alone tells {told}: {sure}"
