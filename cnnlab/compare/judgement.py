"""What one network is worth on images that it has never met: the test, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.inference import cluster_bootstrap
from cnnlab.tasks.classification import METRICS

CLASS_COLUMNS = ["class", "images", "recall", "low", "high", "precision", "f1", "mistaken_for"]


@dataclass(frozen=True)
class Judgement:
    """Answers of one network to images of known classes, and what they amount to."""

    metrics: dict[str, float]  # those of the task, in their units
    low: float  # of the interval of accuracy
    high: float
    method: str  # of that interval
    images: int
    right: int
    classes: list[dict]  # a row a class, CLASS_COLUMNS
    confusion: NDArray[np.int64]  # (classes, classes): true class down, predicted across


def judge(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    groups: NDArray,
    classes: Sequence[str],
    *,
    confidence: float,
    draws: int,
    seed: int,
) -> Judgement:
    """Judge probabilities (n, classes) by the true classes, int (n,), n at least 1.

    groups: (n,) ids. Where every image is its own group the interval of accuracy is Wilson's
    (Brown, Cai and DasGupta, Statistical Science 16, 2001: its coverage is near what it claims,
    also near 0 and 1); where images share a group it is a bootstrap that draws groups, `draws`
    times from `seed`. It says how accuracy would vary over other images, with this network.

    A row of `classes`: images of the class; recall, the share of them that is right, with Wilson's
    interval; precision and F1 (0 where the class is never predicted); the class that its images are
    most often mistaken for. Recall and its interval are NaN for a class without images.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    predicted, numbers = probabilities.argmax(axis=1), np.arange(len(classes))
    right = predicted == labels
    counts = confusion_matrix(labels, predicted, labels=numbers)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=numbers, zero_division=np.nan
    )
    if len(np.unique(groups)) == len(groups):
        low, high = wilson(int(right.sum()), len(right), confidence)
        method = "Wilson"
    else:
        correct = right[None].astype(np.float64)
        drawn = cluster_bootstrap(
            correct,
            np.zeros_like(correct),
            groups,
            draws=draws,
            confidence=confidence,
            seed=seed,
        )
        low, high, method = drawn.low, drawn.high, f"bootstrap over {drawn.groups} groups"
    values = np.asarray(probabilities, np.float64)
    values = values / values.sum(axis=1, keepdims=True)
    rows = []
    for i, name in enumerate(classes):
        wrong = np.where(numbers == i, 0, counts[i])
        ends = (
            wilson(int(counts[i, i]), int(support[i]), confidence) if support[i] else (np.nan,) * 2
        )
        rows.append(
            {
                "class": name,
                "images": int(support[i]),
                "recall": float(recall[i]),
                "low": ends[0],
                "high": ends[1],
                "precision": float(np.nan_to_num(precision[i])),
                "f1": float(np.nan_to_num(f1[i])),
                "mistaken_for": classes[int(wrong.argmax())] if wrong.any() else "",
            }
        )
    return Judgement(
        metrics={name: m.score(labels, values) for name, m in METRICS.items()},
        low=low,
        high=high,
        method=method,
        images=len(labels),
        right=int(right.sum()),
        classes=rows,
        confusion=counts.astype(np.int64),
    )


def wilson(right: int, n: int, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a share, `right` of n (at least 1), in [0, 1]."""
    from scipy.stats import binomtest  # slow to import

    interval = binomtest(right, n).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)
