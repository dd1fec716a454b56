"""How well detected objects agree with the true ones: average precision as COCO computes it.

`outputs`: float (n, 12 * DETECTIONS + classes + 1), of each image in this order

- for each of its at most DETECTIONS detections, the surest first: the class number, -1 where there
  is none; the score, 0..1; and for each of `THRESHOLDS` whether it is a hit, 1 or 0: a true object
  of its class whose box it overlaps as much (IoU), and that no surer detection has got;
- for each class the number of true objects;
- the loss.

So an image with more objects than DETECTIONS cannot have all of them found.

After T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", 2014, and its evaluation code:
detections of one class of all images are ranked by score; precision is made to fall, and read at
`RECALLS`; what is never reached is 0. Mean average precision is the mean over classes of which
there is an object, and over thresholds.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cnnlab.overlap import mean_where, ratio

DETECTIONS = 50  # of an image, at most
MOST_OBJECTS = 64  # of an image
VISIBLE = 0.25  # share of a box's area that has to be on the image; of less nothing is learnt
THRESHOLDS = tuple(round(0.5 + 0.05 * i, 2) for i in range(10))  # of the IoU
RECALLS = np.linspace(0, 1, 101)
WIDE = 2 + len(THRESHOLDS)  # columns of a detection
AT_ONCE = 2**21  # of images times hits that are computed together


class Parts(NamedTuple):
    """The columns of `outputs` by what they hold."""

    number: NDArray[np.int64]  # (n, DETECTIONS): class number, -1 where there is no detection
    score: NDArray[np.float64]  # (n, DETECTIONS)
    hit: NDArray[np.bool_]  # (n, DETECTIONS, thresholds)
    true: NDArray[np.int64]  # (n, classes): true objects
    loss: NDArray[np.float64]  # (n,)


class Ranked(NamedTuple):
    """The detections of one class, the surest first, those of equal scores in their order."""

    image: NDArray[np.int64]  # (detections,): row of `outputs`
    score: NDArray[np.float64]  # (detections,)
    hit: NDArray[np.bool_]  # (detections, thresholds)
    true: NDArray[np.int64]  # (n,): true objects of the class on each image


def parts(outputs: NDArray[np.floating]) -> Parts:
    """What (n, 12 * DETECTIONS + classes + 1) columns hold. Raises ValueError for fewer of them."""
    classes = outputs.shape[1] - WIDE * DETECTIONS - 1
    if classes < 1:
        raise ValueError(f"{outputs.shape[1]} columns; there are {WIDE * DETECTIONS} + classes + 1")
    of_each = outputs[:, : WIDE * DETECTIONS].reshape(len(outputs), DETECTIONS, WIDE)
    return Parts(
        np.rint(of_each[..., 0]).astype(np.int64),
        of_each[..., 1].astype(np.float64),
        of_each[..., 2:] > 0.5,
        np.rint(outputs[:, WIDE * DETECTIONS : -1]).astype(np.int64),
        outputs[:, -1].astype(np.float64),
    )


def ranked(p: Parts, number: int) -> Ranked:
    """The detections of a class."""
    image, place = np.nonzero(p.number == number)
    score = p.score[image, place]
    order = np.argsort(-score, kind="stable")
    image, place = image[order], place[order]
    return Ranked(image, score[order], p.hit[image, place], p.true[:, number])


def precisions(hit: NDArray[np.bool_], true: int) -> NDArray[np.float64]:
    """Precision at `RECALLS`, float64 (101,), of ranked detections, bool (detections,), where there
    are `true` objects, at least 1."""
    at = np.flatnonzero(hit)  # precision is highest where there is a hit
    falling = np.maximum.accumulate((np.arange(1, len(at) + 1) / (at + 1))[::-1])[::-1]
    first = _first(true)
    return np.where(first < len(at), np.append(falling, 0.0)[np.minimum(first, len(at))], 0.0)


def _first(true: int) -> NDArray[np.int64]:
    """For each of `RECALLS` the number, from 0, of the first hit that reaches it."""
    return np.searchsorted(np.arange(1, true + 1) / true, RECALLS, side="left")


def mean_ap(outputs: NDArray[np.floating], thresholds: Sequence[int]) -> float:
    """Mean average precision over `THRESHOLDS` of these numbers; 1 where there is no object."""
    p = parts(outputs)
    there = p.true.sum(axis=0) > 0
    each = np.zeros(len(there))
    for number in np.flatnonzero(there):
        of_class = ranked(p, number)
        total = of_class.true.sum()
        each[number] = np.mean([precisions(of_class.hit[:, t], total).mean() for t in thresholds])
    return float(mean_where(each, there))


def mean_ap_without(
    outputs: NDArray[np.floating], thresholds: Sequence[int]
) -> tuple[float, NDArray[np.float64]]:
    """The same, and for each image the mean average precision without it, float64 (n,): exactly.

    A class of which no object is left is left out, as when images are drawn. The work grows with
    the images times the true objects, and with the thresholds.
    """
    p = parts(outputs)
    every = [average_precision_without(p, c, thresholds) for c in range(p.true.shape[1])]
    there = p.true.sum(axis=0) > 0
    left = p.true.sum(axis=0) - p.true > 0
    whole = mean_where(np.array([ap for ap, _ in every]), there)
    return float(whole), mean_where(np.stack([without for _, without in every], axis=1), left)


def average_precision_without(
    p: Parts, number: int, thresholds: Sequence[int]
) -> tuple[float, NDArray[np.float64]]:
    """Average precision of a class, the mean over `THRESHOLDS` of these numbers, and for each image
    that without it, float64 (n,): exactly. 1 where no object of the class is left."""
    of_class = ranked(p, number)
    if not of_class.true.any():
        return 1.0, np.ones(len(p.true))
    each = [_without(of_class, t) for t in thresholds]
    without = np.mean([left for _, left in each], axis=0)
    gone = of_class.true == of_class.true.sum()
    return float(np.mean([ap for ap, _ in each])), np.where(gone, 1.0, without)


def _without(of_class: Ranked, threshold: int) -> tuple[float, NDArray[np.float64]]:
    """Average precision of a class at a threshold, and without each image, float64 (n,)."""
    hit, true = of_class.hit[:, threshold], of_class.true
    total = int(true.sum())
    at = np.flatnonzero(hit)
    whole = precisions(hit, total).mean()
    without = np.full(len(true), whole)
    if not len(at):
        return whole, without
    # Only misses before the last hit count; `before` is the hit that each one stands before.
    misses = np.flatnonzero(~hit[: at[-1]])
    before, of_miss = np.searchsorted(at, misses), of_class.image[misses]
    of_hit = of_class.image[at]
    kept, weights = np.unique(total - true, return_inverse=True)  # objects left -> row of `weight`
    weight = np.array([_weights(k, len(at)) for k in kept])
    # Images that have neither an object nor such a miss change nothing.
    rows = np.union1d(np.flatnonzero(true), of_miss)
    step = max(1, AT_ONCE // len(at))
    for some in (rows[i : i + step] for i in range(0, len(rows), step)):
        place = np.full(len(true), -1)
        place[some] = np.arange(len(some))
        gone = np.zeros((len(some), len(at)), np.int64)  # whether the hit is the image's
        mine = place[of_hit] >= 0
        gone[place[of_hit[mine]], np.flatnonzero(mine)] = 1
        less = np.zeros_like(gone)
        mine = place[of_miss] >= 0
        np.add.at(less, (place[of_miss[mine]], before[mine]), 1)
        hits = np.arange(1, len(at) + 1) - gone.cumsum(axis=1)  # up to each hit, without the image
        seen = (at + 1) - gone.cumsum(axis=1) - less.cumsum(axis=1)
        precision = ratio(np.where(gone, 0, hits).astype(float), seen.astype(float))
        falling = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        share = weight[weights[some][:, None], np.maximum(hits - 1, 0)]
        without[some] = np.sum(falling * np.where(gone, 0.0, share), axis=1)
    return whole, without


def _weights(true: int, most: int) -> NDArray[np.float64]:
    """The share of `RECALLS` that each hit, of the first `most`, is the first to reach, where there
    are `true` objects."""
    if true == 0:
        return np.zeros(most)
    return np.bincount(_first(true), minlength=most)[:most] / len(RECALLS)


def loss(labels, outputs):
    """The loss of each image, float64 (n,)."""
    return outputs[:, -1].astype(np.float64)


def areas(boxes: np.ndarray) -> np.ndarray:
    """Of objects (..., 5), see `cnnlab.data.truths`, in square pixels, (...)."""
    return np.prod(boxes[..., 3:5] - boxes[..., 1:3], axis=-1)


def counted(boxes: np.ndarray, classes: Sequence[str]) -> tuple[dict[str, int], int]:
    """Objects of each class, and how many images have none, of boxes (n, MOST_OBJECTS, 5)
    (see `cnnlab.data.truths`)."""
    numbers = boxes[..., 0].astype(int)
    counts = np.bincount(numbers[numbers >= 0], minlength=len(classes))
    empty = int((numbers < 0).all(axis=1).sum())
    return dict(zip(classes, counts.tolist(), strict=True)), empty


def iou(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Area that boxes share, of the area that either covers, (m, k), of (m, 4) and (k, 4): y0, x0,
    y1, x1; 0 where neither has any."""
    one, other = np.asarray(one, float)[:, None], np.asarray(other, float)[None]
    low, high = np.maximum(one[..., :2], other[..., :2]), np.minimum(one[..., 2:], other[..., 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    areas = [np.prod(np.clip(b[..., 2:] - b[..., :2], 0, None), axis=-1) for b in (one, other)]
    return ratio(shared, areas[0] + areas[1] - shared)


def mean_precisions(outputs: NDArray[np.floating], threshold: int) -> NDArray[np.float64]:
    """Precision at `RECALLS`, the mean over classes of which there is an object, float64 (101,), at
    one of `THRESHOLDS` by its number; its mean is the mean average precision there. 1 where there
    is no object."""
    p = parts(outputs)
    there = np.flatnonzero(p.true.sum(axis=0))
    if not len(there):
        return np.ones(len(RECALLS))
    every = (ranked(p, number) for number in there)
    return np.mean([precisions(c.hit[:, threshold], c.true.sum()) for c in every], axis=0)


HIT = "right"
KINDS = ("localisation", "class", "class and localisation", "duplicate", "background")
MISSED = "missed"
NEAR, FAR = 0.5, 0.1  # IoU: of a hit at least; of the background at most


def kinds(detected: NDArray[np.floating], objects: NDArray[np.floating]) -> list[str]:
    """What each detection on an image is: `HIT`, or one of `KINDS` (D. Bolya et al., "TIDE", 2020).

    At an IoU of `NEAR` a detection is a hit, or its box is off (it overlaps an object of its class
    by more than `FAR`), or its class is wrong, or the object has a surer detection already; or it
    overlaps nothing, or both class and box are wrong.

    `detected`: (k, 6), class number, score, y0, x0, y1, x1; `objects`: (m, 5), without the score.
    """
    overlap = iou(detected[:, 2:], objects[:, 1:])
    same = detected[:, :1] == objects[None, :, 0]
    mine, others = np.where(same, overlap, 0.0), np.where(same, 0.0, overlap)
    free, made = np.ones(len(objects), bool), [""] * len(detected)
    for i in np.argsort(-detected[:, 1], kind="stable"):
        candidates = mine[i] * free
        if candidates.max(initial=0) >= NEAR:
            free[candidates.argmax()] = False
            made[i] = HIT
    for i in (i for i, kind in enumerate(made) if not kind):
        best, other = mine[i].max(initial=0), others[i].max(initial=0)
        if FAR < best < NEAR:
            made[i] = "localisation"
        elif other >= NEAR:
            made[i] = "class"
        elif best >= NEAR:
            made[i] = "duplicate"
        else:
            made[i] = "background" if max(best, other) <= FAR else "class and localisation"
    return made


def errors(
    images: Iterable[tuple[NDArray[np.floating], NDArray[np.floating]]], least: float
) -> dict[str, int]:
    """How many detections with a score of at least `least` are of each of `KINDS`, and how many
    objects are `MISSED`, of (detected, objects) of each image as `kinds` takes them."""
    counts = dict.fromkeys((*KINDS, MISSED), 0)
    for detected, objects in images:
        made = kinds(detected[detected[:, 1] >= least], objects)
        for kind in KINDS:
            counts[kind] += made.count(kind)
        counts[MISSED] += len(objects) - made.count(HIT)
    return counts
