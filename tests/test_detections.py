"""Average precision: against COCO's own computation, transcribed in plain loops."""

import time

import numpy as np
import pytest

from cnnlab import detections
from cnnlab.detections import DETECTIONS, THRESHOLDS, iou, mean_ap, mean_ap_without, parts
from tests import coco

EVERY = range(len(THRESHOLDS))


@pytest.mark.parametrize("seed", range(6))
def test_mean_average_precision_is_cocos(seed):
    images = coco.made(seed)
    outputs = coco.outputs_of(images, 3)
    expected = coco.mean_ap(images, 3)
    assert 0.05 < expected < 0.95
    assert mean_ap(outputs, EVERY) == pytest.approx(expected, abs=1e-12)
    assert mean_ap(outputs, [0]) == pytest.approx(coco.mean_ap(images, 3, [0.5]), abs=1e-12)
    assert mean_ap(outputs, [5]) == pytest.approx(coco.mean_ap(images, 3, [0.75]), abs=1e-12)


def test_the_transcription_agrees_with_pycocotools():
    """Numbers that pycocotools 2.0.11 and faster-coco-eval 1.8.0 gave for these very boxes."""
    images = coco.made(3, 40, 5, 8)
    for thresholds, expected in ((EVERY, 0.3089395529), ([0], 0.5302444163), ([5], 0.3171611527)):
        assert mean_ap(coco.outputs_of(images, 5), thresholds) == pytest.approx(expected, abs=1e-6)
    assert coco.mean_ap(images, 5) == pytest.approx(0.3089395529, abs=1e-6)


@pytest.mark.parametrize("at_once", [1, 2**21])
@pytest.mark.parametrize("seed", range(4))
def test_without_each_image_it_is_exactly_that_of_the_others(seed, at_once, monkeypatch):
    monkeypatch.setattr(detections, "AT_ONCE", at_once)
    images = coco.made(seed, n=9, classes=4, most=3)  # a class that is on one image, or on none
    whole, without = mean_ap_without(coco.outputs_of(images, 4), EVERY)
    assert whole == pytest.approx(coco.mean_ap(images, 4), abs=1e-12)
    left = [coco.mean_ap(images[:i] + images[i + 1 :], 4) for i in range(len(images))]
    np.testing.assert_allclose(without, left, atol=1e-12)


def test_by_hand():
    """Of one class: two objects on the first image, one on the second; hit, miss, hit."""
    outputs = np.zeros((2, 12 * DETECTIONS + 2), np.float32)
    each = outputs[:, :-2].reshape(2, DETECTIONS, 12)
    each[..., 0] = -1
    each[0, 0] = [0, 0.9, *[1] * 10]
    each[1, 0] = [0, 0.8, *[0] * 10]
    each[0, 1] = [0, 0.7, 1, *[0] * 9]
    outputs[:, -2] = 2, 1
    # Recall 1/3 at precision 1, 2/3 at 2/3: 34 and 33 of the 101 recalls.
    assert mean_ap(outputs, [0]) == pytest.approx((34 + 33 * 2 / 3) / 101)
    assert mean_ap(outputs, [1]) == pytest.approx(34 / 101)
    whole, without = mean_ap_without(outputs, [0])
    assert whole == mean_ap(outputs, [0])
    assert without == pytest.approx([0, 1])  # the first alone: both found; the second: a miss


def test_where_there_is_no_object_nothing_is_missed():
    images = [(d, o[:0]) for d, o in coco.made(0, 3)]
    outputs = coco.outputs_of(images, 3)
    assert mean_ap(outputs, EVERY) == 1
    whole, without = mean_ap_without(outputs, EVERY)
    assert whole == 1 and without.tolist() == [1, 1, 1]


def test_parts_are_the_columns():
    images = coco.made(1)
    p = parts(coco.outputs_of(images, 3, range(12)))
    for i, (rows, objects) in enumerate(images):
        assert p.number[i, : len(rows)].tolist() == rows[:, 0].tolist()
        assert (p.number[i, len(rows) :] == -1).all()
        assert p.true[i].tolist() == np.bincount(objects[:, 0].astype(int), minlength=3).tolist()
    assert p.loss.tolist() == list(range(12))
    assert p.hit.shape == (12, DETECTIONS, 10) and p.hit.any()
    with pytest.raises(ValueError, match="columns"):
        parts(np.zeros((1, 12 * DETECTIONS + 1)))


def test_overlap_of_boxes():
    boxes = [[0, 0, 2, 2], [1, 1, 3, 3], [0, 0, 2, 1], [5, 5, 6, 6], [1, 1, 1, 1]]
    expected = [[coco.overlap(a, b) for b in boxes] for a in boxes]
    np.testing.assert_allclose(iou(np.array(boxes), np.array(boxes)), expected)
    assert iou(np.array(boxes), np.array(boxes))[0, :3] == pytest.approx([1, 1 / 7, 1 / 2])


def test_hundreds_of_images_take_no_time():
    images = coco.made(0, n=60, classes=10, most=8)
    outputs = np.tile(coco.outputs_of(images, 10), (10, 1))
    outputs[:, 1 : 12 * DETECTIONS : 12] *= np.random.default_rng(0).uniform(0.9, 1, (600, 1))
    begun = time.perf_counter()
    mean_ap_without(outputs, EVERY)
    assert time.perf_counter() - begun < 5  # about 0.5 s; by loops minutes
