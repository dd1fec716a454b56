"""What one network's detections are worth on images that it has never met: the test, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.masked import Ends
from cnnlab.detections import parts
from cnnlab.tasks.detection import METRICS, ap50_of_class

CLASS_COLUMNS = ["class", "images", "objects", "ap50", "low", "high", "recall50"]


@dataclass(frozen=True)
class BoxesJudgement:
    """Boxes that one network detects on images of known objects, and what they amount to."""

    metrics: dict[str, Ends]  # those of the task
    method: str  # of all intervals
    images: int
    objects: int
    classes: list[dict]  # a row a class, CLASS_COLUMNS


def judge_boxes(
    labels: NDArray[np.int64],
    outputs: NDArray[np.floating],
    groups: NDArray,
    classes: Sequence[str],
    *,
    confidence: float,
    draws: int,
    seed: int,
) -> BoxesJudgement:
    """Judge detections, see `cnnlab.detections`, of n images, at least 1.

    labels: int (n,), which metrics take. groups: (n,) ids. Intervals are percentiles of a bootstrap
    that draws whole groups, `draws` times from `seed`, of the influence that each image has on a
    metric (for one that is a mean over images that is its value): computing average precision anew
    for each draw would take minutes and says the same to first order. They say how a metric would
    vary over other images, with this network.

    A row of `classes`: images that have such an object; how many objects; average precision and
    recall at an IoU of 0.5 (NaN where there is no object).
    """
    p, ids = parts(outputs), np.unique(np.asarray(groups), return_inverse=True)[1]
    values = {name: metric.values(labels, outputs) for name, metric in METRICS.items()}
    values |= {number: ap50_of_class(number)(labels, outputs) for number in range(len(classes))}
    sizes = np.bincount(ids)
    sums = np.stack([np.bincount(ids, each) for each in values.values()], axis=1)
    drawn = np.random.default_rng(seed).multinomial(
        len(sizes), np.full(len(sizes), 1 / len(sizes)), draws
    )
    means = (drawn @ sums) / (drawn @ sizes)[:, None]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    ends = {}
    for column, (name, each) in enumerate(values.items()):
        least, most = METRICS[name].bounds if name in METRICS else (0.0, 1.0)
        bounds = (float(np.clip(end[column], least, most)) for end in (low, high))
        ends[name] = Ends(float(each.mean()), *bounds)
    objects = p.true.sum(axis=0)
    hits = [int((p.hit[..., 0] & (p.number == i)).sum()) for i in range(len(classes))]
    rows = []
    for i, name in enumerate(classes):
        there = objects[i] > 0
        value, below, above = ends[i] if there else (np.nan,) * 3
        rows.append(
            {
                "class": name,
                "images": int((p.true[:, i] > 0).sum()),
                "objects": int(objects[i]),
                **{"ap50": value, "low": below, "high": above},
                "recall50": hits[i] / objects[i] if there else np.nan,
            }
        )
    units = f"{len(sizes)} images" if len(sizes) == len(ids) else f"{len(sizes)} groups of images"
    of_metric = {name: ends[name] for name in METRICS}
    return BoxesJudgement(of_metric, f"bootstrap over {units}", len(ids), int(objects.sum()), rows)
