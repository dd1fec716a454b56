"""What may be compared: the metrics of all tasks by name, and what else is known of them.

What a metric is, `cnnlab.metric` says; which ones a task has, its file in `cnnlab.tasks`.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnlab.errors import UserError
from cnnlab.metric import SHARE
from cnnlab.tasks import TASKS
from cnnlab.tasks.classification import bins_of, right

METRICS = {name: metric for task in TASKS.names() for name, metric in TASKS[task].METRICS.items()}


def metrics_of(task: str) -> tuple[str, ...]:
    """The names of a task's metrics, in its order. UserError where there is no such task."""
    return tuple(TASKS[task].METRICS)


def measured_in(names: Container[str]) -> tuple[str, str]:
    """The score and the loss of the task whose score is among these names. UserError where none
    is."""
    for task in TASKS.names():
        score, loss = TASKS[task].MEASURED
        if score in names:
            return score, loss
    raise UserError(f"no score among {names}")


def task_of(metric: str) -> str:
    """The task that a metric of `METRICS` belongs to."""
    return next(task for task in TASKS.names() if metric in TASKS[task].METRICS)


class Reliability(NamedTuple):
    """A calibration curve: for each bin that is not empty, float64 (bins,)."""

    confidence: NDArray[np.float64]  # mean probability of the predicted class
    accuracy: NDArray[np.float64]  # share of its images that are right
    share: NDArray[np.float64]  # of all images; they sum to 1


def reliability(labels, probabilities, edges=None) -> Reliability:
    """The calibration curve of the predicted class.

    `edges`: increasing; a bin is open below and closed above. None: `classification.BINS` bins of
    equal mass. Images of equal confidence stay in one bin, so the order of images does not matter.
    """
    bin_of = bins_of(probabilities, edges)
    counts = np.bincount(bin_of)
    filled = counts > 0
    each = (probabilities.max(axis=1), right(labels, probabilities))
    sums = (np.bincount(bin_of, weights=w)[filled] for w in each)
    return Reliability(*(s / counts[filled] for s in sums), counts[filled] / len(labels))


RECORDED = {  # bounds of what trials record besides (`Record.final`)
    **dict.fromkeys(("gap", "iou_gap", "map_gap"), (-1.0, 1.0)),
    **dict.fromkeys(("weight_gini", "weight_near_zero", "unit_correlation", "dead_units"), SHARE),
}


def bounds_of(name: str) -> tuple[float, float] | None:
    """The least and the largest value of a metric, or of something else that trials record; None:
    it may be any number."""
    metric = METRICS.get(name.removeprefix("train_"))
    return metric.bounds if metric else RECORDED.get(name)
