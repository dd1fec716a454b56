"""How well predicted regions of images overlap the true ones, from counts of pixels.

`outputs`: float (n, 4 * classes + 2), counts of each image's judged pixels. In this order

- for each class the pixels of it that are predicted so, those that are predicted so, and those of
  it in truth: three blocks of `classes` columns;
- for each class boundary F1 in 0..1 (Csurka et al. 2013, see `cnnlab.train.tasks`), or -1 where the
  class is neither in truth nor predicted: a fourth block;
- the mean cross-entropy of a pixel (nats), and the number of pixels.

Pixels of which the truth is not known count nowhere. So an image without any other has no say: its
value is the mean of the others'.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

VOID = 255  # in a mask: what the pixel is, nobody says


class Parts(NamedTuple):
    """The columns of `outputs` by what they hold, float64."""

    shared: NDArray[np.float64]  # (n, classes): pixels of a class that are predicted so
    predicted: NDArray[np.float64]  # (n, classes)
    true: NDArray[np.float64]  # (n, classes)
    boundary: NDArray[np.float64]  # (n, classes): F1, or -1
    nll: NDArray[np.float64]  # (n,)
    pixels: NDArray[np.float64]  # (n,)


def parts(outputs: NDArray[np.floating]) -> Parts:
    """What (n, 4 * classes + 2) columns hold. Raises ValueError for any other number of them."""
    classes, rest = divmod(outputs.shape[1] - 2, 4)
    if classes < 1 or rest:
        raise ValueError(f"{outputs.shape[1]} columns; there are 4 * classes + 2")
    outputs = np.asarray(outputs, np.float64)  # sums over images are beyond float32
    return Parts(*np.split(outputs[:, :-2], 4, axis=1), outputs[:, -2], outputs[:, -1])


def iou(labels, outputs):
    """The mean over classes that are in truth or predicted of the share that both have of what
    either has (Jaccard index), in [0, 1]."""
    p = parts(outputs)
    either = p.true + p.predicted - p.shared
    return of_judged(mean_where(ratio(p.shared, either), either > 0), p)


def pixel_nll(labels, outputs):
    """The mean negative log probability of a pixel's true class, nats."""
    p = parts(outputs)
    return of_judged(p.nll, p)


def ratio(top, below):
    """top / below; 0 where there is nothing below."""
    return np.divide(top, below, out=np.zeros_like(below), where=below > 0)


def mean_where(values, there):
    """The mean over the last axis of what is there; 1 where nothing is: nothing was missed."""
    number = there.sum(axis=-1)
    return np.where(number, np.sum(values * there, axis=-1) / np.maximum(number, 1), 1.0)


def of_judged(values, p: Parts):
    """Values of which the mean is that over images with judged pixels (of none: 0), as float64
    (n,)."""
    judged = p.pixels > 0
    if judged.all() or not judged.any():
        return values * judged
    whole, weight = values[judged].mean(), judged / judged.mean()  # 1 on average
    return whole + weight * (values - whole)


def shares(masks: np.ndarray, classes: Iterable[str]) -> dict[str, float]:
    """What share of the pixels that are not void is of each class."""
    names = list(classes)
    counts = np.bincount(masks.ravel(), minlength=VOID + 1)[: len(names)]
    return dict(zip(names, (counts / max(counts.sum(), 1)).tolist(), strict=True))
