"""Boxes in TensorFlow: what a network should say of them, what it says, and what of that is right.

Boxes are (n, k, 4): y0, x0, y1, x1 as shares of the image's height and width, so that they fit maps
of any size; objects (n, k, 5) have their class number first, -1 where there is no object. Nothing
here depends on the size of the batch, and all of it can be compiled by XLA.
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from cnnlab.detections import DETECTIONS, THRESHOLDS, VISIBLE
from cnnlab.recipe.detector import BOX

OVERLAP = 0.7  # IoU with the object's that a box shifted by a radius has at least, as Zhou et al.
GAMMA, BETA = 2, 4  # of the focal loss, likewise
SIZE = 0.1  # weight of the sizes in the loss, likewise; that of offsets is 1
CANDIDATES = 100  # peaks of an image that are looked at, as Zhou et al.
SAME = 0.5  # IoU from which the less sure one of two boxes of a class is left out
SUREST = 0.01  # a score below which nothing is detected: it would come after all hits


class Said(NamedTuple):
    """What logits (n, rows, columns, classes + BOX) hold, in cells of the map."""

    heat: tf.Tensor  # (n, rows, columns, classes): logits of an object whose centre lies there
    size: tf.Tensor  # (n, rows, columns, 2): height and width
    offset: tf.Tensor  # (n, rows, columns, 2): of the centre from the cell's upper left corner


def said(logits: tf.Tensor) -> Said:
    classes = logits.shape[-1] - BOX
    return Said(*tf.split(tf.cast(logits, tf.float32), [classes, 2, 2], axis=-1))


def losses(objects: tf.Tensor, weights: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Of each image, float32 (n,): per object, of an image without any in all.

    The focal loss of centres, and how far sizes and offsets at the true centres are from the true
    ones, in cells (equations 1 to 4 of Zhou et al., where sums are over an image, not a batch).

    `objects`: (n, k, 5); `weights`: (n, k), of each object. `logits`: (n, rows, columns, classes +
    BOX), all but n known when traced.
    """
    heat, size, offset = said(logits)
    rows, columns, classes = heat.shape[1:]
    cells = tf.constant([rows, columns], tf.float32)
    true_size, centre = _sizes_and_centres(objects[..., 1:], cells)
    cell = tf.clip_by_value(tf.floor(centre), 0, cells - 1)  # (n, k, 2)
    there = tf.cast(objects[..., 0] >= 0, tf.float32)  # (n, k)
    weights *= there
    number = tf.cast(objects[..., 0], tf.int32)
    near = _near(number, cell, true_size, heat.shape)
    less = tf.nn.sigmoid(heat)
    misses = -((1 - near) ** BETA) * less**GAMMA * tf.math.log_sigmoid(-heat)
    misses = tf.reduce_sum(misses, axis=[1, 2, 3])
    # What the map says at each centre: by products with 0 and 1, whose gradient is deterministic.
    down, across = tf.unstack(tf.cast(cell, tf.int32), axis=-1)
    row, column = tf.one_hot(down, rows), tf.one_hot(across, columns)  # (n, k, rows), (n, k, cols)
    at = tf.einsum("nkr,nrcf->nkcf", row, tf.concat([heat, size, offset], axis=-1))
    at = tf.reduce_sum(at * column[..., None], axis=2)  # (n, k, classes + BOX)
    here = tf.reduce_sum(at[..., :classes] * tf.one_hot(number, classes), axis=-1)
    hits = -((1 - tf.nn.sigmoid(here)) ** GAMMA) * tf.math.log_sigmoid(here)
    sizes = tf.reduce_sum(tf.abs(at[..., classes : classes + 2] - true_size), axis=-1)
    offsets = tf.reduce_sum(tf.abs(at[..., classes + 2 :] - (centre - cell)), axis=-1)
    of_objects = tf.reduce_sum(weights * (hits + SIZE * sizes + offsets), axis=1)
    return (misses + of_objects) / tf.maximum(tf.reduce_sum(there, axis=1), 1.0)


def _sizes_and_centres(boxes: tf.Tensor, cells: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """In cells, (n, k, 2) each: down and across."""
    low, high = boxes[..., :2] * cells, boxes[..., 2:] * cells
    return high - low, (low + high) / 2


def _near(number: tf.Tensor, cell: tf.Tensor, size: tf.Tensor, shape) -> tf.Tensor:
    """How near each cell is to the next centre of each class, (n, rows, columns, classes): 1 where
    it is one, less around it, as a Gaussian whose width grows with the object's."""
    _, rows, columns, classes = shape
    n, k = tf.shape(number)[0], tf.shape(number)[1]
    spread = (2 * radius(size) + 1) / 6  # (n, k)
    scale = 1 / (2 * spread[..., None] ** 2)
    row, column = tf.range(rows, dtype=tf.float32), tf.range(columns, dtype=tf.float32)
    down = tf.exp(-((row - cell[..., :1]) ** 2) * scale)  # (n, k, rows)
    across = tf.exp(-((column - cell[..., 1:]) ** 2) * scale)
    each = tf.reshape(down[..., None] * across[..., None, :], [n * k, rows * columns])
    # The largest of each image and class; of rows without an object nowhere.
    segment = tf.range(n)[:, None] * classes + number
    segment = tf.reshape(tf.where(number >= 0, segment, -1), [-1])
    largest = tf.math.unsorted_segment_max(each, segment, n * classes)
    largest = tf.maximum(tf.reshape(largest, [n, classes, rows, columns]), 0.0)
    return tf.transpose(largest, [0, 2, 3, 1])


def radius(size: tf.Tensor) -> tf.Tensor:
    """How far both corners of a box of `size` (..., 2) may lie from the true ones, down and across,
    for an IoU of at least `OVERLAP`, (...).

    The least of three: one corner inside and one outside, both inside, both outside (H. Law and
    J. Deng, "CornerNet", 2018; the roots as they are, not as the published code has them).
    """
    total, area, share = tf.reduce_sum(size, -1), tf.reduce_prod(size, -1), OVERLAP
    shifted = _root(1.0, total, area * (1 - share) / (1 + share))
    inside = _root(4.0, 2 * total, area * (1 - share))
    outside = (tf.sqrt(total**2 * share**2 + 4 * share * (1 - share) * area) - share * total) / (
        2 * share * 2
    )
    return tf.maximum(tf.minimum(tf.minimum(shifted, inside), outside), 0.0)


def _root(a: float, b: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
    """The lower root of a x**2 - b x + c."""
    return (b - tf.sqrt(tf.maximum(b**2 - 4 * a * c, 0.0))) / (2 * a)


def detected(logits: tf.Tensor) -> tf.Tensor:
    """What a network detects, float32 (n, DETECTIONS, 6), the surest first: class number (-1: no
    further detection), score, and the box, cut off at the image's edge.

    The peaks of each class among their 3x3 neighbours (Zhou et al.), and of those whose boxes
    overlap by more than `SAME` the surest.
    """
    heat, size, offset = said(logits)
    rows, columns, classes = heat.shape[1:]
    scores = tf.nn.sigmoid(heat)
    is_peak = scores >= tf.nn.max_pool2d(scores, 3, 1, "SAME")
    flat = tf.where(is_peak & (scores >= SUREST), scores, 0.0)
    flat = tf.reshape(flat, [-1, rows * columns * classes])
    flat = tf.pad(flat, [[0, 0], [0, max(0, CANDIDATES - flat.shape[1])]])
    score, place = tf.math.top_k(flat, CANDIDATES)
    number, cell = place % classes, tf.minimum(place // classes, rows * columns - 1)
    about = tf.reshape(tf.concat([size, offset], -1), [-1, rows * columns, BOX])
    about = tf.gather(about, cell, batch_dims=1)  # (n, candidates, BOX)
    corner = tf.cast(tf.stack([cell // columns, cell % columns], -1), tf.float32)
    centre, half = corner + about[..., 2:], tf.maximum(about[..., :2], 0.0) / 2
    cells = tf.constant([rows, columns], tf.float32)
    boxes = tf.concat([(centre - half) / cells, (centre + half) / cells], axis=-1)
    boxes = tf.clip_by_value(boxes, 0.0, 1.0)
    # Moved apart by class, no box overlaps one of another. TensorFlow takes a box at 0 for none.
    apart = boxes + 1 + 2 * tf.cast(number, tf.float32)[..., None]
    kept, valid = tf.image.non_max_suppression_padded(
        apart,
        score,
        DETECTIONS,
        iou_threshold=SAME,
        score_threshold=0.0,
        pad_to_max_output_size=True,
        sorted_input=True,
        canonicalized_coordinates=True,
        tile_size=CANDIDATES,
    )
    every = [tf.cast(number, tf.float32)[..., None], score[..., None], boxes]
    every = tf.gather(tf.concat(every, axis=-1), kept, batch_dims=1)
    there = tf.range(DETECTIONS) < valid[:, None]
    return tf.where(there[..., None], every, tf.constant([-1.0] + [0.0] * 5))


def hits(detections: tf.Tensor, objects: tf.Tensor) -> tf.Tensor:
    """Which detections are right, float32 (n, DETECTIONS, thresholds), 1 or 0, as COCO's evaluation
    has it: each in turn gets the object of its class that it overlaps most, of those that no surer
    one has got and that it overlaps by the threshold at least.

    `detections`: (n, DETECTIONS, 6), as `detected` gives them; `objects`: (n, k, 5).
    """
    same = detections[:, :, None, 0] == objects[:, None, :, 0]
    same &= objects[:, None, :, 0] >= 0
    overlap = tf.where(same, iou(detections[..., 2:], objects[..., 1:]), -1.0)  # (n, d, k)
    least = tf.constant(THRESHOLDS, tf.float32)[:, None]  # (thresholds, 1)
    n, k = tf.shape(objects)[0], tf.shape(objects)[1]
    numbers = tf.range(k)

    def step(state, i):
        free, _ = state  # (n, thresholds, k), (n, thresholds)
        candidate = tf.where(free, overlap[:, i, None, :], -1.0)
        best = tf.argmax(candidate, axis=-1, output_type=tf.int32)  # (n, thresholds)
        hit = tf.reduce_max(candidate, axis=-1) >= least[:, 0]
        return free & ~(hit[..., None] & (numbers == best[..., None])), hit

    free = tf.ones([n, len(THRESHOLDS), k], tf.bool)
    start = free, tf.zeros([n, len(THRESHOLDS)], tf.bool)
    _, every = tf.scan(step, tf.range(DETECTIONS), start)
    return tf.cast(tf.transpose(every, [1, 0, 2]), tf.float32)


def iou(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Of boxes (n, k, 4) and (n, m, 4), (n, k, m); 0 where neither has an area."""
    one, other = one[:, :, None], other[:, None]
    low, high = tf.maximum(one[..., :2], other[..., :2]), tf.minimum(one[..., 2:], other[..., 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0.0), axis=-1)
    areas = [
        tf.reduce_prod(tf.maximum(b[..., 2:] - b[..., :2], 0.0), axis=-1) for b in (one, other)
    ]
    return tf.math.divide_no_nan(shared, areas[0] + areas[1] - shared)


def moved(objects: tf.Tensor, matrix: tf.Tensor) -> tf.Tensor:
    """Objects (n, k, 5) of images that were warped, of which `matrix` (n, 3, 3) says where each
    output pixel was taken from: the smallest upright boxes that hold what the old ones became, cut
    off at the image's edge. One of which less than `VISIBLE` is left is no object any more.

    Warps are affine: the last row of `matrix` is (0, 0, 1).
    """
    y0, x0, y1, x1 = tf.unstack(2 * objects[..., 1:] - 1, axis=-1)  # in units of half the size
    corners = [tf.stack([x, y, tf.ones_like(x)], axis=-1) for x in (x0, x1) for y in (y0, y1)]
    back = tf.linalg.inv(matrix)[:, None, None]  # where each input point goes
    points = tf.linalg.matvec(back, tf.stack(corners, axis=2))[..., 1::-1]  # (n, k, 4, y and x)
    points = (points + 1) / 2
    hull = tf.concat([tf.reduce_min(points, axis=2), tf.reduce_max(points, axis=2)], axis=-1)
    cut = tf.clip_by_value(hull, 0.0, 1.0)
    area = [tf.reduce_prod(boxes[..., 2:] - boxes[..., :2], axis=-1) for boxes in (hull, cut)]
    left = (objects[..., 0] >= 0) & (area[1] > 0) & (area[1] >= VISIBLE * area[0])
    return tf.where(left[..., None], tf.concat([objects[..., :1], cut], axis=-1), -1.0)
