"""Accuracy and negative log likelihood: the one definition behind learning curves, early stopping,
MLflow and tables."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = 1e-7  # a probability below it counts as it: about the step of float32, which networks give


def accuracy(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Share of images whose most probable class is theirs, in [0, 1].

    `labels`: int (n,), 0 .. classes - 1. `probabilities`: (n, classes).
    """
    return float(np.mean(probabilities.argmax(axis=1) == labels))


def nll(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """Mean negative log probability of the true class, nats, 0 .. 16.1; no penalty term is in it.

    Shapes as for `accuracy`. A probability below `LEAST` counts as `LEAST`.
    """
    return float(np.mean(nll_of_each(labels, probabilities)))


def nll_of_each(
    labels: NDArray[np.int64], probabilities: NDArray[np.floating]
) -> NDArray[np.float64]:
    """The negative log probability of each image's true class, (n,); their mean is `nll`."""
    true = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return -np.log(np.clip(true, LEAST, 1))
