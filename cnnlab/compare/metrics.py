"""What may be compared: metrics of out-of-fold probabilities, and how they read.

A metric scores what networks said of one fold: `labels` int (n,), 0 .. classes - 1, and
`probabilities` float (n, classes) whose rows sum to 1 up to float32 rounding. Adding a metric is
one entry in `METRICS` and its rope in params.yaml.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnlab.scoring import LEAST, accuracy, nll

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
    bounds: tuple[float, float]  # the least and the largest value that is possible


def balanced_accuracy(labels, probabilities):
    """Mean over classes of the share of their images that is right, in [0, 1]."""
    right = probabilities.argmax(axis=1) == labels
    counts = np.bincount(labels)
    present = counts > 0
    return float(np.mean(np.bincount(labels, weights=right)[present] / counts[present]))


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
    so compare it between variants that are evaluated on equally many.
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
    filled = counts > 0
    sums = (np.bincount(bin_of, weights=w)[filled] for w in (confidence, right))
    return Reliability(*(s / counts[filled] for s in sums), counts[filled] / len(labels))


SHARE = (0.0, 1.0)
NATS = (0.0, -math.log(LEAST))

METRICS = {
    "accuracy": Metric("accuracy", True, 100, "%", "points", 1, accuracy, SHARE),
    "nll": Metric("negative log likelihood", False, 1, "nats", "nats", 3, nll, NATS),
    "balanced_accuracy": Metric(
        "balanced accuracy", True, 100, "%", "points", 1, balanced_accuracy, SHARE
    ),
    "macro_f1": Metric("macro F1", True, 100, "%", "points", 1, macro_f1, SHARE),
    "mcc": Metric("Matthews correlation", True, 1, "of 1", "of 1", 3, mcc, (-1.0, 1.0)),
    "brier": Metric("Brier score", False, 1, "of 2", "of 2", 3, brier, (0.0, 2.0)),
    "ece": Metric("calibration error", False, 100, "%", "points", 1, ece, SHARE),
}


RECORDED = {  # bounds of what trials record besides (`Record.final`)
    "gap": (-1.0, 1.0),
    **dict.fromkeys(("weight_gini", "weight_near_zero", "unit_correlation", "dead_units"), SHARE),
}


def bounds_of(name: str) -> tuple[float, float] | None:
    """The least and the largest value of a metric, or of something else that trials record; None:
    it may be any number."""
    metric = METRICS.get(name.removeprefix("train_"))
    return metric.bounds if metric else RECORDED.get(name)
