"""What may be compared: metrics of out-of-fold probabilities, and how they read.

A metric scores what nets said of one fold: `labels` int (n,), 0 .. classes - 1, and
`probabilities` float (n, classes) whose rows sum to 1 up to float32 rounding. Adding a metric is
one entry in `METRICS` and its rope in params.yaml.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15  # of the calibration error

Score = Callable[[NDArray[np.int64], NDArray[np.float64]], float]


@dataclass(frozen=True)
class Metric:
    """A metric and how it is shown. A value times `scale` is in `unit`; a difference in `step`."""

    title: str
    higher_is_better: bool
    scale: float
    unit: str
    step: str
    digits: int
    score: Score


def accuracy(labels, probabilities):
    """Share of images whose most probable class is theirs, in [0, 1]."""
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def nll(labels, probabilities):
    """Mean negative log probability of the true class, nats, at least 0.

    A probability of 0 counts as the smallest step of float64 (2.2e-16), as in scikit-learn. No
    penalty term is in it.
    """
    from sklearn.metrics import log_loss

    return float(log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])))


def balanced_accuracy(labels, probabilities):
    """Mean over classes of the share of their images that is right, in [0, 1]."""
    right = probabilities.argmax(axis=1) == labels
    counts = np.bincount(labels)
    there = counts > 0
    return float(np.mean(np.bincount(labels, weights=right)[there] / counts[there]))


def macro_f1(labels, probabilities):
    """Mean over classes of the harmonic mean of precision and recall, in [0, 1]."""
    from sklearn.metrics import f1_score

    return float(f1_score(labels, probabilities.argmax(axis=1), average="macro", zero_division=0))


def mcc(labels, probabilities):
    """Matthews correlation of true and predicted class, in [-1, 1]; 0 is chance (Gorodkin 2004)."""
    from sklearn.metrics import matthews_corrcoef

    return float(matthews_corrcoef(labels, probabilities.argmax(axis=1)))


def brier(labels, probabilities):
    """Mean squared distance of the probabilities from the truth, summed over classes, in [0, 2]
    (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return float(np.mean(np.sum((probabilities - truth) ** 2, axis=1)))


def ece(labels, probabilities, edges=None):
    """Expected calibration error: mean distance of confidence from the share that is right.

    In [0, 1], over `BINS` bins that hold equally many images, or over bins with the given `edges`
    (Naeini et al. 2015; equal mass: Nixon et al. 2019). It reads high where bins hold few images,
    so compare it between variants judged on equally many.
    """
    bins = reliability(labels, probabilities, edges)
    return float(np.sum(bins.share * np.abs(bins.confidence - bins.accuracy)))


class Reliability(NamedTuple):
    """A calibration curve: for each bin that is not empty, float64 (bins,)."""

    confidence: NDArray[np.float64]  # mean probability of the predicted class
    accuracy: NDArray[np.float64]  # share of its images that are right
    share: NDArray[np.float64]  # of all images; they sum to 1


def reliability(labels, probabilities, edges=None) -> Reliability:
    """The calibration curve of the predicted class.

    `edges`: increasing; a bin is open below and closed above. None: `BINS` bins of equal mass.
    Images of equal confidence stay in one bin, so the order of images does not matter.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    if edges is None:
        edges = np.quantile(confidence, np.linspace(0, 1, BINS + 1))
    bin_of = np.searchsorted(np.unique(edges)[1:-1], confidence, side="left")
    counts = np.bincount(bin_of)
    there = counts > 0
    sums = (np.bincount(bin_of, weights=w)[there] for w in (confidence, right))
    return Reliability(*(s / counts[there] for s in sums), counts[there] / len(labels))


METRICS = {
    "accuracy": Metric("accuracy", True, 100, "%", "points", 1, accuracy),
    "nll": Metric("negative log likelihood", False, 1, "nats", "nats", 3, nll),
    "balanced_accuracy": Metric(
        "balanced accuracy", True, 100, "%", "points", 1, balanced_accuracy
    ),
    "macro_f1": Metric("macro F1", True, 100, "%", "points", 1, macro_f1),
    "mcc": Metric("Matthews correlation", True, 1, "of 1", "of 1", 3, mcc),
    "brier": Metric("Brier score", False, 1, "of 2", "of 2", 3, brier),
    "ece": Metric("calibration error", False, 100, "%", "points", 1, ece),
}
