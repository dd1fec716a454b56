"""Boxes in TensorFlow: against NumPy, box by box, and against images that are warped alike."""

import math

import numpy as np
import pytest
import tensorflow as tf

from cnnlab.compare.coco import matched
from cnnlab.detections import DETECTIONS, VISIBLE, mean_ap, parts
from cnnlab.recipe.detector import BOX
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.train.augmentation import resample
from cnnlab.train.tasks import _boxes, detection
from tests import coco

CLASSES = 3


def padded(images, wide):
    """Detections (n, DETECTIONS, 6) and objects (n, wide, 5) of `coco.made`."""
    detections = np.zeros((len(images), DETECTIONS, 6), np.float32)
    detections[..., 0] = -1
    objects = np.full((len(images), wide, 5), -1, np.float32)
    for i, (rows, some) in enumerate(images):
        detections[i, : len(rows)] = rows
        objects[i, : len(some)] = some
    return detections, objects


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_hits_are_those_of_coco(seed, compiled):
    images = coco.made(seed, 20, CLASSES, 8)
    detections, objects = padded(images, 9)
    traced = tf.function(_boxes.hits, jit_compile=compiled)
    hits = traced(tf.constant(detections), tf.constant(objects)).numpy()
    assert hits.shape == (20, DETECTIONS, 10)
    expected = parts(coco.outputs_of(images, CLASSES)).hit
    np.testing.assert_array_equal(hits > 0.5, expected)
    assert expected.any() and not hits[detections[..., 0] < 0].any()
    swapped = np.roll(objects, 3, axis=1)  # wherever the rows without an object are
    np.testing.assert_array_equal(_boxes.hits(tf.constant(detections), swapped), hits)


@pytest.mark.parametrize("seed", range(4))
def test_what_a_trial_keeps_is_what_pycocotools_says(seed):
    """With more objects than detections on the first image, and equal scores. No IoU of these
    boxes is a threshold but for float32's rounding."""
    images = coco.made(seed, 20, CLASSES, 8)
    images[0] = images[0][0], np.concatenate([some for _, some in coco.made(9, 40)])[:64]
    detections, objects = padded(images, 64)
    hits = _boxes.hits(tf.constant(detections), tf.constant(objects)).numpy() > 0.5
    (said,) = matched(detections, objects, CLASSES)
    np.testing.assert_array_equal(hits, said.hit)
    kept = said._replace(hit=hits).outputs(np.ones(20))
    assert mean_ap(kept, range(10)) == pytest.approx(np.nanmean(said.average), abs=1e-9)
    assert mean_ap(kept, [0]) == pytest.approx(np.nanmean(said.average[:, 0]), abs=1e-9)


def logits_of(rng, n=4, rows=12, columns=10):
    heat = rng.normal(-2, 1.5, (n, rows, columns, CLASSES))
    size = rng.uniform(0.5, 6, (n, rows, columns, 2))
    return np.concatenate([heat, size, rng.uniform(0, 1, size.shape)], -1).astype(np.float32)


def reference_detections(logits):
    """Of one image, one peak after the other."""
    rows, columns = logits.shape[:2]
    scores = 1 / (1 + np.exp(-logits[..., :CLASSES].astype(float)))
    found = []
    for r in range(rows):
        for c in range(columns):
            around = scores[max(0, r - 1) : r + 2, max(0, c - 1) : c + 2]
            high, wide, down, across = logits[r, c, CLASSES:].astype(float)
            box = [r + down - high / 2, c + across - wide / 2]
            box += [r + down + high / 2, c + across + wide / 2]
            box = np.clip(np.divide(box, [rows, columns, rows, columns]), 0, 1)
            for k in range(CLASSES):
                if scores[r, c, k] == around[..., k].max() and scores[r, c, k] >= 0.01:
                    found.append([k, scores[r, c, k], *box])
    found.sort(key=lambda row: -row[1])
    kept = []
    for row in found[:100]:
        same = [other for other in kept if other[0] == row[0]]
        if all(coco.overlap(row[2:], other[2:]) <= 0.5 for other in same):
            kept.append(row)
    return np.array(kept[:DETECTIONS])


@pytest.mark.parametrize("compiled", [False, True])
def test_detections_are_the_peaks_that_do_not_overlap_surer_ones(compiled):
    logits = logits_of(np.random.default_rng(0))
    traced = tf.function(_boxes.detected, jit_compile=compiled)
    found = traced(tf.constant(logits)).numpy()
    assert found.shape == (4, DETECTIONS, 6)
    for image, some in zip(logits, found, strict=True):
        expected = reference_detections(image)
        assert len(expected) > 10
        np.testing.assert_allclose(some[: len(expected)], expected, atol=1e-5)
        assert (some[len(expected) :] == [-1, 0, 0, 0, 0, 0]).all()


def test_small_maps_and_those_without_peaks_have_as_many_rows():
    quiet = np.full((2, 3, 3, CLASSES + BOX), -9, np.float32)
    assert (_boxes.detected(tf.constant(quiet)).numpy() == [-1, 0, 0, 0, 0, 0]).all()
    loud = quiet.copy()
    loud[0, 1, 2] = [-9, 3, -9, 2, 1, 0.5, 0.25]
    found = _boxes.detected(tf.constant(loud)).numpy()
    np.testing.assert_allclose(
        found[0, 0], [1, 1 / (1 + math.exp(-3)), 0.5 / 3, 1.75 / 3, 2.5 / 3, 2.75 / 3], rtol=1e-5
    )
    assert (found[0, 1:, 0] == -1).all() and (found[1, :, 0] == -1).all()


def objects_of(rng, n=4, wide=5):
    low = rng.uniform(0, 0.6, (n, wide, 2))
    objects = np.concatenate([low, low + rng.uniform(0.05, 0.4, low.shape)], -1)
    number = rng.integers(0, CLASSES, (n, wide, 1))
    objects = np.concatenate([number, objects], -1)
    objects[rng.random((n, wide)) < 0.3] = -1
    objects[-1] = -1  # an image without objects
    return objects.astype(np.float32)


def reference_loss(objects, weights, logits):
    """Of one image, after equations 1 to 4 of Zhou et al., cell by cell."""
    rows, columns = logits.shape[:2]
    p = 1 / (1 + np.exp(-logits[..., :CLASSES].astype(float)))
    near = np.zeros((rows, columns, CLASSES))
    some = [(o, w) for o, w in zip(objects.astype(float), weights, strict=True) if o[0] >= 0]
    total = 0.0
    for (number, y0, x0, y1, x1), weight in some:
        number = int(number)
        high, wide = (y1 - y0) * rows, (x1 - x0) * columns
        centre = (y0 + y1) / 2 * rows, (x0 + x1) / 2 * columns
        cell = int(centre[0]), int(centre[1])
        spread = (2 * float(_boxes.radius(tf.constant([high, wide]))) + 1) / 6
        for r in range(rows):
            for c in range(columns):
                far = (r - cell[0]) ** 2 + (c - cell[1]) ** 2
                near[r, c, number] = max(near[r, c, number], math.exp(-far / 2 / spread**2))
        sure = p[(*cell, number)]
        total += weight * -((1 - sure) ** 2) * math.log(sure)
        said = logits[cell][CLASSES:].astype(float)
        total += weight * 0.1 * (abs(said[0] - high) + abs(said[1] - wide))
        total += weight * sum(abs(said[2 + i] - (centre[i] - cell[i])) for i in (0, 1))
    total -= ((1 - near) ** 4 * p**2 * np.log(1 - p)).sum()
    return total / max(len(some), 1)


@pytest.mark.parametrize("compiled", [False, True])
def test_losses_are_those_of_the_paper(compiled):
    rng = np.random.default_rng(1)
    logits, objects = logits_of(rng), objects_of(rng)
    weights = rng.uniform(0.5, 2, objects.shape[:2]).astype(np.float32)
    traced = tf.function(_boxes.losses, jit_compile=compiled)
    found = traced(*map(tf.constant, (objects, weights, logits))).numpy()
    expected = [reference_loss(*of) for of in zip(objects, weights, logits, strict=True)]
    assert found.shape == (4,)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    order = [3, 0, 4, 1, 2]
    again = _boxes.losses(objects[:, order], weights[:, order], tf.constant(logits))
    np.testing.assert_allclose(again, found, rtol=1e-5)


def test_the_loss_falls_where_the_map_says_what_is_true():
    objects = np.array([[[1, 0.25, 0.5, 0.75, 0.7]]], np.float32)  # centre at 5.0, 6.0 of 10
    logits = np.full((1, 10, 10, CLASSES + BOX), -8.0, np.float32)
    logits[..., CLASSES:] = [5, 2, 0, 0]
    right, elsewhere = logits.copy(), logits.copy()
    right[0, 5, 6, 1] = elsewhere[0, 2, 2, 1] = 8
    ones = np.ones((1, 1), np.float32)
    losses = [float(_boxes.losses(objects, ones, tf.constant(x))[0]) for x in (right, elsewhere)]
    assert losses[0] < 0.01 and losses[1] > 5


@pytest.mark.parametrize("size", [(3, 3), (10, 4), (40, 60)])
def test_corners_within_the_radius_leave_the_overlap(size):
    r = float(_boxes.radius(tf.constant(size, tf.float32)))
    box, worst = (0, 0, *size), 1.0
    for signs in np.ndindex(2, 2):
        a, b = np.where(signs, r, -r)
        worst = min(worst, coco.overlap(box, (a, a, size[0] + b, size[1] + b)))
    assert worst == pytest.approx(0.7, abs=1e-5)


WARPS = ["flip", "shift", "rotation", "zoom"]


@pytest.mark.parametrize("name", WARPS)
def test_boxes_move_as_their_images_do(name):
    """Painted boxes, warped as pixels: the smallest box around what can be seen of them."""
    height, width, n = 96, 64, 24
    rng = np.random.default_rng(0)
    corners = np.stack([rng.integers(4, 40, n), rng.integers(4, 30, n)], -1)
    ends = corners + rng.integers(14, 30, (n, 2))
    images = np.zeros((n, height, width, 1), np.float32)
    for image, (y0, x0), (y1, x1) in zip(images, corners, ends, strict=True):
        image[y0:y1, x0:x1] = 1
    scale = np.array([height, width, height, width])
    boxes = np.concatenate([corners, ends], -1) / scale
    objects = np.concatenate([np.ones((n, 1)), boxes], -1)[:, None].astype(np.float32)
    wanted = {"fraction": 0.3, "degrees": 40.0, "horizontal": True, "vertical": True}
    from tests import made_up

    options = made_up.options(TECHNIQUES[name].Options, **wanted).model_dump()
    seed = tf.constant([3, 1])
    matrix = TECHNIQUES[name].warp(seed, n, width / height, **options)
    seen = resample(tf.constant(images), matrix, "CONSTANT", "NEAREST").numpy()[..., 0] > 0.5
    found = _boxes.moved(tf.constant(objects), matrix).numpy()[:, 0]
    kept = 0
    for i, image in enumerate(seen):
        if found[i, 0] < 0:
            continue
        down, across = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        expected = [down[0], across[0], down[-1] + 1, across[-1] + 1]
        # A hull whose corners alone stick out is larger than what can be seen.
        room = 1.5 if name != "rotation" or _inside(found[i, 1:]) else 16
        np.testing.assert_allclose(found[i, 1:] * scale, expected, atol=room)
        kept += 1
    assert kept > n / 2


def _inside(box):
    return box.min() > 0.01 and box.max() < 0.99


def test_a_box_of_which_too_little_is_left_is_gone():
    for shift, left in ((0.3, 0.4), (0.374, VISIBLE + 0.002), (0.376, None), (0.6, None)):
        objects = tf.constant([[[2, 0.5, 0.5, 0.75, 1.0], [-1] * 5, [0, 0, 0, 0.5, 0.25]]])
        matrix = [[1, 0, -2 * shift], [0, 1, 0], [0, 0, 1]]  # taken from the left: moves right
        found = _boxes.moved(objects, tf.constant([matrix], tf.float32)).numpy()[0]
        if left is None:
            assert (found[0] == -1).all()
        else:
            assert found[0].tolist() == pytest.approx([2, 0.5, 0.5 + shift, 0.75, 1])
            assert (found[0, 4] - found[0, 2]) / 0.5 == pytest.approx(left, abs=1e-3)
        assert (found[1] == -1).all()
        assert found[2].tolist() == pytest.approx([0, 0, shift, 0.5, min(1, 0.25 + shift)])


@pytest.mark.parametrize("compiled", [False, True])
def test_outputs_are_what_metrics_take_for_batches_of_any_size(compiled):
    rng = np.random.default_rng(2)
    logits, objects = logits_of(rng), objects_of(rng)
    signature = [tf.TensorSpec([None, 12, 10, CLASSES + BOX]), tf.TensorSpec([None, None, 5])]
    traced = tf.function(detection.outputs, signature, jit_compile=compiled)
    found = traced(logits, objects).numpy()
    assert found.dtype == np.float32 and found.shape == (4, 12 * DETECTIONS + CLASSES + 1)
    np.testing.assert_allclose(traced(logits[:1], objects[:1]), found[:1], rtol=1e-5)
    p = parts(found)
    for i, some in enumerate(objects[..., 0]):
        counts = np.bincount(some[some >= 0].astype(int), minlength=CLASSES)
        assert p.true[i].tolist() == counts.tolist()
    ones = np.ones(objects.shape[:2], np.float32)
    np.testing.assert_allclose(p.loss, _boxes.losses(objects, ones, tf.constant(logits)), rtol=1e-5)


def test_a_map_that_is_right_finds_everything():
    rng = np.random.default_rng(3)
    n, rows, columns = 6, 32, 32
    logits = np.full((n, rows, columns, CLASSES + BOX), -9, np.float32)
    objects = np.full((n, 4, 5), -1, np.float32)
    for i in range(n):
        for k in range(rng.integers(0, 5)):  # each in a quarter of its own
            low = np.array([k // 2, k % 2]) / 2 + rng.uniform(0, 0.2, 2)
            box = np.concatenate([low, low + rng.uniform(0.1, 0.28, 2)])
            number = rng.integers(CLASSES)
            objects[i, k] = [number, *box]
            high, wide = (box[2:] - box[:2]) * [rows, columns]
            centre = (box[:2] + box[2:]) / 2 * [rows, columns]
            cell = centre.astype(int)
            logits[i, cell[0], cell[1], number] = 5
            logits[i, cell[0], cell[1], CLASSES:] = [high, wide, *(centre - cell)]
    outputs = detection.outputs(tf.constant(logits), tf.constant(objects)).numpy()
    assert (objects[..., 0] >= 0).sum() > 8
    assert mean_ap(outputs, range(10)) == 1
