"""Whole images are classified: one class each.

`outputs`: float (n, classes), probabilities whose rows sum to 1 up to float32 rounding.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnlab.metric import NATS, SHARE, Metric, influence
from cnnlab.scoring import nll_of_each

MEASURED = {"accuracy": "accuracy", "nll": "NLL"}
AVERAGED = True
PREDICTS = None
QUESTIONS = ("nll", "brier")
BY_CLASS = None
PREDICTED = ""
MAPS = False
LOGITS = ""
INSTEAD: dict[str, str | None] = {}
MERGES = True
FEATURES = True

BINS = 15  # of the calibration error


def right(labels, probabilities):
    """1 where the most probable class is the image's, else 0: their mean is the accuracy."""
    return (probabilities.argmax(axis=1) == labels).astype(np.float64)


def balanced(labels, probabilities):
    """The mean over classes that are there of the share of their images that is right, in [0, 1],
    plus how far each image is above it or below, weighted so that each class counts the same."""
    counts = np.bincount(labels)
    weight = len(labels) / ((counts > 0).sum() * counts[labels])  # 1 on average
    hit = right(labels, probabilities)
    whole = np.mean(weight * hit)
    return whole + weight * (hit - whole)


def brier(labels, probabilities):
    """Squared distance of the probabilities from the truth, summed over classes, in [0, 2]
    (Brier 1950)."""
    truth = np.eye(probabilities.shape[1])[labels]
    return np.sum((probabilities - truth) ** 2, axis=1)


def macro_f1(labels, probabilities):
    """Influence on the mean over classes of the harmonic mean of precision and recall, which is in
    [0, 1]; a class that is neither there nor predicted is left out."""
    c = _counts(labels, probabilities)
    f1 = _f1(c.right, c.true + c.predicted)
    sizes = (c.true + c.predicted > 0).sum()
    without = f1.sum() - f1[labels]
    hit = labels == c.guess
    # Without an image its class has one image less, and the class it is taken for one guess less.
    other = _f1(c.right, c.true + c.predicted - 1)
    both = _f1(c.right - 1, c.true + c.predicted - 2)
    without += np.where(hit, both[labels], other[labels] + other[c.guess] - f1[c.guess])
    return influence(f1.sum() / sizes, without / sizes)


def mcc(labels, probabilities):
    """Influence on the Matthews correlation of true and predicted class, which is in [-1, 1]; 0 is
    chance (Gorodkin, Computational Biology and Chemistry 28, 2004)."""
    c, n = _counts(labels, probabilities), len(labels)
    hits, products = c.right.sum(), c.true @ c.predicted
    squares = [float(counts @ counts) for counts in (c.true, c.predicted)]
    hit = labels == c.guess
    without = _correlation(
        n - 1,
        hits - hit,
        products - c.predicted[labels] - c.true[c.guess] + hit,
        squares[0] - 2 * c.true[labels] + 1,
        squares[1] - 2 * c.predicted[c.guess] + 1,
    )
    return influence(float(_correlation(n, hits, products, *squares)), without)


def ece(labels, probabilities, edges=None):
    """Influence on the expected calibration error, the mean distance of confidence from the share
    that is right, in [0, 1].

    Over `BINS` bins that hold equally many images, or over bins with the given `edges` (Naeini et
    al. 2015; equal mass: Nixon et al. 2019). It reads high where bins hold few images, so compare
    it between variants that are evaluated on equally many.
    """
    bin_of = bins_of(probabilities, edges)
    gaps = probabilities.max(axis=1) - right(labels, probabilities)
    sums = np.bincount(bin_of, weights=gaps)
    total = np.abs(sums).sum()
    n, of_bin = len(labels), sums[bin_of]
    without = (total - np.abs(of_bin) + np.abs(of_bin - gaps)) / max(n - 1, 1)
    return influence(total / n, without)


class _Counts(NamedTuple):
    guess: NDArray[np.int64]  # of each image, (n,); the others are of each class, float64
    true: NDArray[np.float64]
    predicted: NDArray[np.float64]
    right: NDArray[np.float64]


def _counts(labels, probabilities) -> _Counts:
    guess, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    each = (labels, guess, labels[guess == labels])
    return _Counts(guess, *(np.bincount(i, minlength=classes).astype(float) for i in each))


def _f1(right, sizes):
    """Harmonic means of precision and recall; 0 for a class that is not there."""
    return np.divide(2 * right, sizes, out=np.zeros_like(right), where=sizes > 0)


def _correlation(n, hits, products, true, predicted):
    room = np.sqrt(np.maximum((n**2 - true) * (n**2 - predicted), 0.0))
    top = np.asarray(hits * n - products, float)
    return np.divide(top, room, out=np.zeros_like(top), where=room > 0)


def bins_of(probabilities, edges=None):
    """The bin of each image by its confidence, int (n,); see `ece`."""
    confidence = probabilities.max(axis=1)
    if edges is None:
        edges = np.quantile(confidence, np.linspace(0, 1, BINS + 1))
    return np.searchsorted(np.unique(edges)[1:-1], confidence, side="left")


METRICS = {
    "accuracy": Metric("accuracy", True, 100, "%", "points", 1, right, SHARE),
    "nll": Metric("negative log likelihood", False, 1, "nats", "nats", 3, nll_of_each, NATS),
    "balanced_accuracy": Metric("balanced accuracy", True, 100, "%", "points", 1, balanced, SHARE),
    "macro_f1": Metric("macro F1", True, 100, "%", "points", 1, macro_f1, SHARE),
    "mcc": Metric("Matthews correlation", True, 1, "of 1", "of 1", 3, mcc, (-1.0, 1.0)),
    "brier": Metric("Brier score", False, 1, "of 2", "of 2", 3, brier, (0.0, 2.0)),
    "ece": Metric("calibration error", False, 100, "%", "points", 1, ece, SHARE, True),
}


def places(of_net):
    return of_net
