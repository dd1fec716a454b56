"""Detections against true objects as pycocotools has it, the evaluation code of T.-Y. Lin et al.,
"Microsoft COCO: Common Objects in Context", 2014.

The library says which detections are right and how precise they are. What the average precision
would be without each image, which intervals need, it does not say: `cnnlab.detections` does, from
the same hits, and has to agree with it.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cnnlab.detections import (
    DETECTIONS,
    RECALLS,
    THRESHOLDS,
    Parts,
    areas,
    average_precision_without,
)
from cnnlab.ignored import parted
from cnnlab.metric import influence
from cnnlab.overlap import mean_where

FAR = 1e-9  # by which our average precision may differ from the library's: by rounding
SMALL, MEDIUM = 32.0**2, 96.0**2  # square pixels, the largest of their kind


class Size(NamedTuple):
    """Objects of one range of areas, in square pixels, both ends included."""

    name: str
    least: float
    most: float


EVERY = Size("all", 0.0, np.inf)
COCOS = (
    Size("small", 0.0, SMALL),
    Size("medium", SMALL, MEDIUM),
    Size("large", MEDIUM, np.inf),
)
PARTS = {2: ("smaller", "larger"), 3: ("smallest third", "middle third", "largest third")}


def sizes_of(truth: NDArray[np.floating]) -> tuple[Size, ...]:
    """What objects (n, MOST_OBJECTS, 5) are parted into by area: COCO's sizes where two of them
    have objects; else thirds, as far as areas tell them apart; nothing where all are alike."""
    every = np.concatenate([areas(parted(boxes)[0]) for boxes in truth])
    if sum(((size.least <= every) & (every <= size.most)).any() for size in COCOS) > 1:
        return COCOS
    distinct, counts = np.unique(every, return_counts=True)
    below = counts.cumsum()[:-1]  # objects up to each area but the largest
    if not len(below):
        return ()
    ends = np.unique([np.abs(3 * below - k * len(every)).argmin() for k in (1, 2)])
    # Between two areas, so that no object is of two sizes.
    edges = [float(distinct[i : i + 2].mean()) for i in ends]
    names = PARTS[len(edges) + 1]
    return tuple(map(Size, names, [0.0, *edges], [*edges, np.inf]))


class Matched(NamedTuple):
    """What became of the detections on n images, where objects of one size count."""

    number: NDArray[np.int64]  # (n, DETECTIONS): class number, -1 where there is no detection
    score: NDArray[np.float64]  # (n, DETECTIONS)
    hit: NDArray[np.bool_]  # (n, DETECTIONS, thresholds)
    ignored: NDArray[np.bool_]  # (n, DETECTIONS, thresholds): neither right nor wrong
    true: NDArray[np.int64]  # (n, classes): objects that count
    precision: NDArray[np.float64]  # (classes, thresholds, recalls); NaN without an object

    @property
    def average(self) -> NDArray[np.float64]:
        """Average precision, float64 (classes, thresholds); NaN where there is no object."""
        return self.precision.mean(axis=2)

    @property
    def curve(self) -> NDArray[np.float64]:
        """Precision at `RECALLS` at an IoU of 0.5, the mean over classes of which there is an
        object, float64 (101,); 1 where there is none."""
        there = self.true.any(axis=0)
        return self.precision[there, 0].mean(axis=0) if there.any() else np.ones(len(RECALLS))

    def outputs(self, loss: NDArray[np.floating]) -> NDArray[np.float64]:
        """What a trial would keep of this, see `cnnlab.detections`, with the loss of each image
        (n,). It does not say what is ignored."""
        each = np.concatenate([self.number[..., None], self.score[..., None], self.hit], axis=2)
        return np.column_stack([each.reshape(len(each), -1), self.true, loss])


def matched(
    detected: NDArray[np.floating],
    truth: NDArray[np.floating],
    classes: int,
    sizes: Sequence[Size] = (),
) -> list[Matched]:
    """What pycocotools makes of detections (n, DETECTIONS, 6), class number (-1: none), score, y0,
    x0, y1, x1, on images of these objects (n, MOST_OBJECTS, 5), see `cnnlab.ignored`: of objects of
    every size, and of each of `sizes`. It is quiet, which the library is not."""
    numbers = np.rint(detected[..., 0]).astype(np.int64)
    found = [
        _annotation(image, row, id=DETECTIONS * image + place + 1, score=float(row[1]))
        for image, rows in enumerate(np.asarray(detected, np.float64))
        for place, row in enumerate(rows)
        if numbers[image, place] >= 0
    ]
    objects = [
        _annotation(image, box, iscrowd=crowd)
        for image, boxes in enumerate(truth)
        for crowd, some in enumerate(parted(boxes))
        for box in some
    ]
    # Ids are from 1 on: 0 says in the library that nothing was matched.
    objects = [{**one, "id": i} for i, one in enumerate(objects, 1)]
    ranges = [EVERY, *sizes]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _listed(objects, len(truth), classes), _listed(found, len(truth), classes), "bbox"
        )
        evaluation.params.areaRng = [[size.least, size.most] for size in ranges]
        evaluation.params.areaRngLbl = [size.name for size in ranges]
        evaluation.params.maxDets = [DETECTIONS]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., 0].transpose(3, 2, 0, 1)
    precision = np.where(precision < 0, np.nan, precision)
    of_each = np.reshape(np.array(evaluation.evalImgs, object), (classes, len(ranges), len(truth)))
    return [
        _made(numbers, np.asarray(detected[..., 1], np.float64), of_each[:, i], precision[i])
        for i in range(len(ranges))
    ]


def _made(numbers, score, of_each, precision) -> Matched:
    """`of_each`: (classes, n) of what the library says of a class on an image."""
    n, classes = len(numbers), len(of_each)
    hit = np.zeros((n * DETECTIONS, len(THRESHOLDS)), bool)
    ignored = np.zeros_like(hit)
    true = np.zeros((n, classes), np.int64)
    for number, image in np.ndindex(*of_each.shape):
        about = of_each[number, image]
        if about is None:  # no object, no detection
            continue
        rows = np.array(about["dtIds"], int) - 1
        ignored[rows] = about["dtIgnore"].T
        hit[rows] = (about["dtMatches"] > 0).T & ~ignored[rows]
        true[image, number] = np.sum(about["gtIgnore"] == 0)
    shape = (n, DETECTIONS, len(THRESHOLDS))
    return Matched(numbers, score, hit.reshape(shape), ignored.reshape(shape), true, precision)


def _annotation(image: int, box: NDArray[np.float64], **more) -> dict:
    """An object, or a detection, as COCO's JSON has it. `box`: class number first, the corners
    last."""
    y0, x0, y1, x1 = box[-4:].tolist()
    about = {"image_id": image, "category_id": int(box[0])}
    return {**about, "bbox": [x0, y0, x1 - x0, y1 - y0], "area": float(areas(box[-5:])), **more}


def _listed(annotations: Iterable[dict], images: int, classes: int) -> COCO:
    made = COCO()
    made.dataset = {
        "images": [{"id": i} for i in range(images)],
        "annotations": list(annotations),
        "categories": [{"id": i} for i in range(classes)],
    }
    made.createIndex()
    return made


def without_each(m: Matched) -> NDArray[np.float64]:
    """Average precision without each image, float64 (classes, thresholds, n): exactly; 1 where no
    object of the class is left. Raises RuntimeError where what `cnnlab.detections` computes of all
    images is not what the library does, which is a mistake in this code."""
    made = np.ones((*m.average.shape, len(m.true)))
    for t in range(len(THRESHOLDS)):
        number = np.where(m.ignored[..., t], -1, m.number)
        p = Parts(number, m.score, m.hit, m.true, np.zeros(len(number)))
        for c in np.flatnonzero(m.true.any(axis=0)):
            ours, made[c, t] = average_precision_without(p, c, [t])
            theirs = m.average[c, t]
            if not abs(ours - theirs) <= FAR:
                raise RuntimeError(
                    f"average precision of class {c} at an IoU of {THRESHOLDS[t]}: {ours!r} by "
                    f"cnnlab, {theirs!r} by pycocotools: a mistake in cnnlab, please report it"
                )
    return made


def mean_ap(
    m: Matched, without: NDArray[np.float64], thresholds: Sequence[int]
) -> tuple[float, NDArray[np.float64]]:
    """Mean average precision over classes of which there is an object and over `THRESHOLDS` of
    these numbers, by the library; and the influence of each image on it, float64 (n,). 1 where
    there is no object. `without`: from `without_each`."""
    total = m.true.sum(axis=0)
    whole = float(m.average[total > 0][:, thresholds].mean()) if total.any() else 1.0
    each = without[:, thresholds].mean(axis=1).T
    return whole, influence(whole, mean_where(each, total - m.true > 0))
