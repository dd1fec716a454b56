"""Which labels are likely wrong, and which images are hard, by what networks predicted for them
when they were held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cnnlab.compare.scores import Outcomes

MARGIN = 0.5  # by which the other class is more probable than the label
RIGHT = 0.8  # of images that are answered right, at least: else errors are the networks' own
SMALL = 1e-7  # the least probability of which a logarithm is taken
ROUNDING = 1e-6  # of float32 probabilities and their means
# Columns of `losses`, one row an image, the largest loss first:
#   image_id, label, predicted: names of classes; predicted: the most probable one
#   loss: -log of the label's probability, nats
#   probability: of the label; other: of the most probable other class; both 0 .. 1
#   wrong, of: repeats in which it was taken for another class, of so many
#   suspect: whether the label is likely wrong (LAB01)
COLUMNS = [
    "image_id",
    "label",
    "predicted",
    "loss",
    "probability",
    "other",
    "wrong",
    "of",
    "suspect",
]


def confident_errors(labels: NDArray[np.int64], probabilities: NDArray) -> NDArray[np.bool_]:
    """Confident learning (Northcutt, Jiang and Chuang 2021): whether an image lies off the diagonal
    of the confident joint, bool (n,).

    A class is confident of an image where it is at least as probable as it is on average for the
    images with its label; the most probable of these classes is not the image's label, nor is the
    label the most probable of all. What cleanlab's `find_label_issues` finds with
    `filter_by="confident_learning"`.

    `labels`: (n,); `probabilities`: (n, classes), held out, rows sum to 1.
    """
    own = np.arange(probabilities.shape[1]) == labels[:, None]
    usual = np.where(own, probabilities, 0).sum(axis=0) / np.maximum(own.sum(axis=0), 1)
    usual[~own.any(axis=0)] = np.inf  # nobody knows how probable a class without images is
    confident = np.where(probabilities >= usual - ROUNDING, probabilities, -1)
    other = confident.argmax(axis=1) != labels
    return (confident.max(axis=1) >= 0) & other & (probabilities.argmax(axis=1) != labels)


def too_often_wrong(table: pd.DataFrame) -> str:
    """Why labels are not doubted, in words, of the table that `losses` makes; empty where they
    are."""
    right = float((table["predicted"] == table["label"]).mean())
    if right >= RIGHT:
        return ""
    return (
        f"Which labels are wrong cannot be told: {right:.0%} of the images are answered right, and "
        f"below {RIGHT:.0%} most doubts are the networks' own errors"
    )


def losses(outcomes: Outcomes, classes: Sequence[str]) -> pd.DataFrame:
    """A row an image, with COLUMNS: by the probabilities averaged over repeats and members."""
    each = outcomes.outputs.mean(axis=1, dtype=np.float64)  # (repeats, images, classes)
    each /= each.sum(axis=2, keepdims=True)
    labels, mean = outcomes.labels, each.mean(axis=0)
    own = np.arange(len(classes)) == labels[:, None]
    probability, other = mean[own], np.where(own, -1, mean).max(axis=1)
    names = np.array(classes, object)
    suspect = confident_errors(labels, mean) & (other - probability >= MARGIN)
    suspect &= np.mean(mean.argmax(axis=1) == labels) >= RIGHT
    table = pd.DataFrame(
        {
            "image_id": outcomes.image_id,
            "label": names[labels],
            "predicted": names[mean.argmax(axis=1)],
            "loss": -np.log(np.maximum(probability, SMALL)),
            "probability": probability,
            "other": other,
            "wrong": (each.argmax(axis=2) != labels).sum(axis=0),
            "of": len(each),
            "suspect": suspect,
        },
        columns=COLUMNS,
    )
    return table.sort_values("loss", ascending=False, kind="stable", ignore_index=True)
