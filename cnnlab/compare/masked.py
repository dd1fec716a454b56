"""What one network's masks are worth on images that it has never met: the test, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnlab.overlap import mean_where, parts, ratio
from cnnlab.tasks.segmentation import METRICS

CLASS_COLUMNS = ["class", "images", "share", "iou", "low", "high", "precision", "recall"]
METRIC_COLUMNS = ["metric", "value", "low", "high"]
WHOLE = "miou"  # of all images' pixels together; the other metrics are means over images
AT_ONCE = 2**22  # numbers drawn at once


class Ends(NamedTuple):
    """A metric and the ends of its interval, in the metric's unit."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class MasksJudgement:
    """Masks that one network predicts for images of known truth, and what they amount to."""

    metrics: dict[str, Ends]  # those of the task
    method: str  # of all intervals
    images: int
    classes: list[dict]  # a row a class, CLASS_COLUMNS


def judge_masks(
    labels: NDArray[np.int64],
    outputs: NDArray[np.floating],
    groups: NDArray,
    classes: Sequence[str],
    *,
    confidence: float,
    draws: int,
    seed: int,
) -> MasksJudgement:
    """Judge counts (n, 4 * classes + 2), see `cnnlab.overlap`, of n images, at least 1.

    labels: int (n,), which metrics take. groups: (n,) ids. Intervals are percentiles of a bootstrap
    that draws whole groups, `draws` times from `seed`: of each draw every metric is computed anew,
    `miou` and those of classes from its pixels together. They say how a metric would vary over
    other images, with this network. (Of shares of images `cnnlab.compare.judgement` has Wilson's
    interval; these are no such shares.) Draws without a class do not count for its interval.

    A row of `classes`: images that have the class in truth; its share of the judged pixels; IoU,
    precision and recall of all images' pixels together (NaN where there is nothing to divide by).

    Raises ValueError where no image has a judged pixel.
    """
    p, ids = parts(outputs), np.unique(np.asarray(groups), return_inverse=True)[1]
    judged = p.pixels > 0
    if not judged.any():
        raise ValueError("no image has a pixel of which the truth is known")
    means = {name: m for name, m in METRICS.items() if name != WHOLE}
    each = np.zeros((len(outputs), len(means)))
    for column, metric in enumerate(means.values()):
        some = np.asarray(outputs, np.float64)[judged]
        each[judged, column] = metric.values(labels[judged], some)
    either = p.true + p.predicted - p.shared
    columns = [each, judged[:, None], p.shared, either]
    of_group = np.zeros((ids.max() + 1, sum(values.shape[1] for values in columns)))
    np.add.at(of_group, ids, np.concatenate(columns, axis=1))
    drawn = _statistics(_totals(of_group, draws, seed), len(means))
    whole = _statistics(of_group.sum(axis=0, keepdims=True), len(means))[0]
    tail = (1 - confidence) / 2
    low, high = _quantiles(drawn, [tail, 1 - tail])
    ends = [Ends(*map(float, three)) for three in zip(whole, low, high, strict=True)]
    of_metric = dict(zip([*means, WHOLE], ends, strict=False))
    of_class = ends[len(of_metric) :]
    shared, predicted, true = (v.sum(axis=0) for v in (p.shared, p.predicted, p.true))
    rows = [
        {
            "class": name,
            "images": int((p.true[:, i] > 0).sum()),
            "share": float(true[i] / p.pixels.sum()),
            **dict(zip(("iou", "low", "high"), of_class[i], strict=True)),
            "precision": float(shared[i] / predicted[i]) if predicted[i] else np.nan,
            "recall": float(shared[i] / true[i]) if true[i] else np.nan,
        }
        for i, name in enumerate(classes)
    ]
    number, images = len(of_group), len(outputs)
    units = f"{number} images" if number == images else f"{number} groups of images"
    return MasksJudgement(
        metrics={name: of_metric[name] for name in METRICS},
        method=f"bootstrap over {units}",
        images=images,
        classes=rows,
    )


def _totals(of_group: NDArray[np.float64], draws: int, seed: int) -> NDArray[np.float64]:
    """Sums over as many groups as there are, drawn with replacement, (draws, columns)."""
    number, random = len(of_group), np.random.default_rng(seed)
    size = max(1, AT_ONCE // number)
    sizes = [min(size, draws - at) for at in range(0, draws, size)]
    even = np.full(number, 1 / number)
    return np.concatenate([random.multinomial(number, even, some) @ of_group for some in sizes])


def _statistics(totals: NDArray[np.float64], means: int) -> NDArray[np.float64]:
    """From sums over images their means, the mean IoU of classes, and the IoU of each, (sums,
    means + 1 + classes); NaN where nothing was counted."""
    images = totals[:, [means]]
    shared, either = np.split(totals[:, means + 1 :], 2, axis=1)
    of_class = np.where(either > 0, ratio(shared, either), np.nan)
    miou = mean_where(np.nan_to_num(of_class), either > 0)[:, None]
    every = np.concatenate([totals[:, :means] / np.maximum(images, 1), miou], axis=1)
    return np.concatenate([np.where(images > 0, every, np.nan), of_class], axis=1)


def _quantiles(values: NDArray[np.float64], at: Sequence[float]) -> list[NDArray[np.float64]]:
    """Of each column, without its NaN; NaN where there is nothing else."""
    made = np.full((len(at), values.shape[1]), np.nan)
    for column, of_column in enumerate(values.T):
        known = of_column[~np.isnan(of_column)]
        if len(known):
            made[:, column] = np.quantile(known, at)
    return list(made)
