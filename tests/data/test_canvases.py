"""Canvases of digits: what lies on them, and that the masks say it."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnnlab.data.sources import SOURCES, canvases
from cnnlab.data.sources.canvases import EACH, INK, NAMES, SIDE, SIZES
from cnnlab.overlap import VOID


@pytest.fixture(scope="module")
def source():
    return SOURCES["canvases"].open_source("ignored")


def test_images_and_masks_are_all_there(source):
    assert len(source.table) == len(source.keys) == 599
    assert list(source.table) == ["source", "label", "split"]
    assert source.table["source"].is_unique and set(source.table["split"]) == {""}
    assert source.classes == NAMES == ("background", *"0123456789")
    images = np.stack(source.read(source.keys))
    masks = np.stack([source.mask(key) for key in source.keys])
    assert (images.shape, images.dtype) == ((599, SIDE, SIDE, 1), np.uint8)
    assert (masks.shape, masks.dtype) == ((599, SIDE, SIDE), np.uint8)
    assert set(np.unique(masks)) == set(range(11)) and VOID not in masks
    # Ink is brighter than what lies around, but not so that a threshold would do.
    ink = images[..., 0][masks > 0]
    ground = images[..., 0][masks == 0]
    assert ink.mean() > 3 * ground.mean() and 1 < ground.std() < 40
    assert np.percentile(ink, 1) < np.percentile(ground, 99)


def test_labels_are_the_digits_of_most_pixels_and_stratify(source):
    for key, label in zip(source.keys, source.table["label"], strict=True):
        pixels = {n: int((source.mask(key) == NAMES.index(n)).sum()) for n in NAMES[1:]}
        assert pixels[label] == max(pixels.values()) > 0
    assert source.table["label"].value_counts().min() >= 30


def test_each_digit_lies_on_one_canvas():
    """Of each class as many digits as there are scans; and none of these is used twice."""
    boxes = canvases.canvases().boxes
    assert boxes.shape == (599, EACH, 5)
    counts = np.bincount(boxes[..., 0].ravel(), minlength=11)
    np.testing.assert_array_equal(counts[1:], np.bincount(load_digits().target))


def test_boxes_hold_the_ink_and_nothing_else():
    _, masks, boxes = canvases.canvases()
    for mask, three in zip(masks, boxes, strict=True):
        left = mask.copy()
        for number, x0, y0, x1, y1 in three:
            part = mask[y0:y1, x0:x1]
            assert 0 <= x0 < x1 <= SIDE and 0 <= y0 < y1 <= SIDE
            assert set(np.unique(part)) <= {0, number}  # no other digit's, so boxes are apart
            for edge in (part[0], part[-1], part[:, 0], part[:, -1]):
                assert edge.any()
            assert SIZES[0] // 2 < y1 - y0 <= SIZES[1] and x1 - x0 <= SIZES[1]
            left[y0:y1, x0:x1] = 0
        assert not left.any()


def test_the_source_gives_boxes_that_hold_the_masks(source):
    """Numbered without the background, and named so."""
    assert source.object_classes == NAMES[1:]
    for key in source.keys[:50]:
        boxes, mask = source.boxes(key), source.mask(key)
        assert (boxes.shape, boxes.dtype) == ((EACH, 5), np.float32)
        covered = np.zeros_like(mask)
        for number, *corners in boxes.astype(int):
            y0, x0, y1, x1 = corners
            assert (mask[y0:y1, x0:x1] == number + 1).any()
            covered[y0:y1, x0:x1] = number + 1
        np.testing.assert_array_equal(covered[mask > 0], mask[mask > 0])


def test_squares_keep_apart_and_have_all_sizes():
    rng, sides = np.random.default_rng(0), set()
    for _ in range(200):
        squares = canvases._squares(rng)
        covered = np.zeros((SIDE, SIDE), int)
        for x, y, side in squares:
            covered[y : y + side, x : x + side] += 1
            sides.add(side)
        assert covered.max() == 1 and covered.sum() == (squares[:, 2] ** 2).sum()
    assert sides == set(range(SIZES[0], SIZES[1] + 1))


def test_canvases_are_ever_the_same():
    one = canvases.canvases()
    canvases.canvases.cache_clear()
    for first, second in zip(one, canvases.canvases(), strict=True):
        np.testing.assert_array_equal(first, second)
    assert 0 < INK < 255
