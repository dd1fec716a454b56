"""What one network's detections are worth on images that it has never met: the test, read once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.coco import Matched, Size, mean_ap, without_each
from cnnlab.compare.masked import Ends
from cnnlab.detections import THRESHOLDS
from cnnlab.metric import SHARE, influence
from cnnlab.tasks.detection import METRICS

CLASS_COLUMNS = ["class", "images", "objects", "ap50", "low", "high", "recall50"]
SIZE_COLUMNS = ["size", "least", "most", "images", "objects"]  # areas in square pixels
SIZE_COLUMNS += ["map", "low", "high", "map50", "recall50"]

EVERY_THRESHOLD = range(len(THRESHOLDS))


@dataclass(frozen=True)
class BoxesJudgement:
    """Boxes that one network detects on images of known objects, and what they amount to."""

    metrics: dict[str, Ends]  # those of the task
    method: str  # of all intervals
    images: int
    objects: int
    classes: list[dict]  # a row a class, CLASS_COLUMNS
    sizes: list[dict]  # a row a size, SIZE_COLUMNS


def judge_boxes(
    matched: Sequence[Matched],
    sizes: Sequence[Size],
    losses: NDArray[np.floating],
    groups: NDArray,
    classes: Sequence[str],
    *,
    confidence: float,
    draws: int,
    seed: int,
) -> BoxesJudgement:
    """Judge detections on n images, at least 1, as `coco.matched` gives them: with objects of every
    size, and with those of each of `sizes`.

    losses: (n,). groups: (n,) ids. Average precision is the library's. Intervals are percentiles of
    a bootstrap that draws whole groups, `draws` times from `seed`, of the influence that each image
    has on a metric (for one that is a mean over images that is its value): computing average
    precision anew for each draw would take minutes and says the same to first order. They say how a
    metric would vary over other images, with this network.

    A row of `classes`: images that have such an object; how many objects; average precision and
    recall at an IoU of 0.5. A row of `sizes`: likewise, mean average precision over IoU and at 0.5.
    NaN where there is no object; ends of an interval also where all objects are in one group: what
    others would amount to nothing says.
    """
    ends_of, method = _bootstrap(groups, confidence, draws, seed)

    def of_objects(true, value, values) -> Ends:
        alone = len(np.unique(np.asarray(groups)[true > 0])) < 2
        return Ends(value, np.nan, np.nan) if alone else ends_of(value, values)

    whole, *of_sizes = matched
    without, outputs = without_each(whole), whole.outputs(losses)
    metrics = {
        "map": ends_of(*mean_ap(whole, without, EVERY_THRESHOLD)),
        "map50": ends_of(*mean_ap(whole, without, [0])),
    }
    for name, metric in METRICS.items():
        if name not in metrics:
            values = metric.values(np.zeros(len(outputs), np.int64), outputs)
            metrics[name] = ends_of(float(values.mean()), values, metric.bounds)
    by_class = []
    for i, name in enumerate(classes):
        value = float(whole.average[i, 0])
        values = influence(value, without[i, 0])
        ap50, low, high = of_objects(whole.true[:, i], value, values)
        hits = whole.hit & (whole.number == i)[..., None]
        ends = {"ap50": ap50, "low": low, "high": high}
        by_class.append({"class": name, **_row(whole.true[:, i], hits, ends)})
    by_size = []
    for m, size in zip(of_sizes, sizes, strict=True):
        without = without_each(m)
        there = m.true.sum(axis=1)
        value, low, high = of_objects(there, *mean_ap(m, without, EVERY_THRESHOLD))
        ends = {"map": value, "low": low, "high": high, "map50": mean_ap(m, without, [0])[0]}
        about = {"size": size.name, "least": size.least, "most": size.most}
        by_size.append({**about, **_row(there, m.hit, ends)})
    objects = int(whole.true.sum())
    return BoxesJudgement(metrics, method, len(losses), objects, by_class, by_size)


def _bootstrap(
    groups: NDArray, confidence: float, draws: int, seed: int
) -> tuple[Callable[..., Ends], str]:
    """What gives a metric (its value, its values (n,), its bounds) its interval, and how."""
    ids = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(ids)
    drawn = np.random.default_rng(seed).multinomial(
        len(sizes), np.full(len(sizes), 1 / len(sizes)), draws
    )
    tail = (1 - confidence) / 2

    def ends_of(value, values, bounds=SHARE):
        means = (drawn @ np.bincount(ids, values)) / (drawn @ sizes)
        return Ends(value, *np.clip(np.quantile(means, [tail, 1 - tail]), *bounds).tolist())

    units = f"{len(sizes)} images" if len(sizes) == len(ids) else f"{len(sizes)} groups of images"
    return ends_of, f"bootstrap over {units}"


def _row(true: NDArray[np.int64], hit: NDArray[np.bool_], ends: dict[str, float]) -> dict:
    """Of objects, of which each image has so many, (n,): how many there are, and how well they are
    detected; NaN where there is none."""
    objects = int(true.sum())
    values = {**ends, "recall50": int(hit[..., 0].sum()) / objects if objects else np.nan}
    if not objects:
        values = dict.fromkeys(values, np.nan)
    return {"images": int((true > 0).sum()), "objects": objects, **values}
