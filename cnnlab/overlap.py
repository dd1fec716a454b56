"""How well predicted regions of images overlap the true ones, from counts of pixels.

The counts of an image with `classes` classes are a row of 4 * classes + 2 numbers: pixels of each
class that are in truth and prediction, pixels predicted, true pixels; the boundary F1 of each class
(-1 where it is in neither); the mean cross-entropy of a pixel, in nats; how many pixels count.
Pixels that are `VOID` count nowhere.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

VOID = 255  # the class number of pixels of which nobody says what they are


class Counts(NamedTuple):
    """Rows of counts taken apart, float64; the first four (n, classes), the others (n,)."""

    both: NDArray[np.float64]
    predicted: NDArray[np.float64]
    true: NDArray[np.float64]
    boundary: NDArray[np.float64]
    nll: NDArray[np.float64]
    pixels: NDArray[np.float64]


def counts_of(outputs: NDArray[np.floating]) -> Counts:
    """The counts that rows (n, 4 * classes + 2) are."""
    rows = np.asarray(outputs, np.float64)
    classes = (rows.shape[1] - 2) // 4
    blocks = (rows[:, i * classes : (i + 1) * classes] for i in range(4))
    return Counts(*blocks, rows[:, -2], rows[:, -1])


def iou_of_each(outputs: NDArray[np.floating], first: int = 0) -> NDArray[np.float64]:
    """Of each image, in [0, 1]: intersection over union, the mean over the classes from number
    `first` on that are in truth or prediction; 1 where none is. float64 (n,)."""
    c = counts_of(outputs)
    return mean_over_classes(c.both, c.predicted + c.true - c.both, first)


def mean_over_classes(
    part: NDArray[np.float64], whole: NDArray[np.float64], first: int = 0
) -> NDArray[np.float64]:
    """Of each row the mean of part / whole, over the columns from `first` on with a whole above 0;
    1 where there are none. float64 (n,)."""
    part, whole = part[:, first:], whole[:, first:]
    there = whole > 0
    shares = np.divide(part, whole, out=np.zeros_like(part), where=there)
    seen = there.sum(axis=1)
    return np.where(seen > 0, shares.sum(axis=1) / np.maximum(seen, 1), 1.0)


def pixel_nll(outputs: NDArray[np.floating]) -> float:
    """Mean over images of the mean cross-entropy of a pixel, in nats."""
    return float(counts_of(outputs).nll.mean())
