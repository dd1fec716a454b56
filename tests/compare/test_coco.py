"""What pycocotools says of detections: the same as trials' outputs do, as its own summary, and as
the library says of fewer images."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from cnnlab.compare import coco as library
from cnnlab.compare.coco import COCOS, EVERY, Size, matched, mean_ap, sizes_of, without_each
from cnnlab.detections import DETECTIONS, MOST_OBJECTS, THRESHOLDS, parts
from cnnlab.detections import mean_ap as out_of_fold
from cnnlab.ignored import turned
from cnnlab.metric import influence
from tests import coco

CLASSES = 3


def padded(images, scale=1.0):
    """Detections (n, DETECTIONS, 6) and truth (n, MOST_OBJECTS, 5) of `tests.coco.made`."""
    detected = np.zeros((len(images), DETECTIONS, 6), np.float32)
    detected[..., 0] = -1
    truth = np.full((len(images), MOST_OBJECTS, 5), -1, np.float32)
    for i, (rows, objects) in enumerate(images):
        detected[i, : len(rows)] = rows
        truth[i, : len(objects)] = objects
    detected[..., 2:] *= scale
    truth[truth[..., 0] >= 0, 1:] *= scale
    return detected, truth


def grid(number, n):
    """So many objects of a class, none over another."""
    low = np.stack(np.divmod(np.arange(n), 8), axis=1) * 10.0
    return np.column_stack([np.full(n, number), low, low + 9]).astype(np.float32)


def with_scores(objects, scores):
    return np.insert(objects.astype(float), 1, scores, axis=1)


NOTHING = np.zeros((0, 6)), np.zeros((0, 5), np.float32)
MORE = grid(0, MOST_OBJECTS)  # than can be detected
HALF = np.array([[1, 0, 0, 10, 10], [1, 20, 0, 30, 10]], np.float32)
ODD = {
    "equal scores": [(np.column_stack([d[:, :1], d[:, :1] * 0 + 0.5, d[:, 2:]]), o)
                     for d, o in coco.made(7, 20)],
    "a class without objects": [(d, o[o[:, 0] != 1]) for d, o in coco.made(8)],
    "one class alone": [(d[d[:, 0] == 0], o[o[:, 0] == 0]) for d, o in coco.made(9)],
    "images without objects": [(d, o if i % 2 else o[:0]) for i, (d, o) in enumerate(coco.made(1))],
    "nothing detected": [(d[:0], o) for d, o in coco.made(2)],
    "more objects than detections": [(with_scores(MORE[:DETECTIONS], 0.9), MORE), *coco.made(3)],
    "one image": [(with_scores(HALF, [0.9, 0.9]), HALF)],
    # Twice each object, equally sure; and boxes at an IoU of exactly 0.5 and 0.75.
    "duplicates": [(with_scores(np.concatenate([HALF, HALF]), 0.25), HALF), NOTHING],
    "at the threshold": [
        (with_scores(HALF - [[0, 0, 0, 5, 0], [0, 0, 0, 2.5, 0]], [0.3, 0.2]), HALF), NOTHING
    ],
}  # fmt: skip
SETS = {f"random {seed}": coco.made(seed, 15) for seed in range(4)} | ODD


@pytest.mark.parametrize("name", SETS)
def test_what_trials_keep_says_what_the_library_does(name, capsys):
    images = SETS[name]
    kept = coco.outputs_of(images, CLASSES)
    (m,) = matched(*padded(images), CLASSES)
    theirs = m.outputs(np.ones(len(images)))
    np.testing.assert_array_equal(theirs[:, : DETECTIONS * 12], kept[:, : DETECTIONS * 12])
    np.testing.assert_array_equal(m.true, parts(kept).true)
    assert not m.ignored.any()
    for thresholds in (range(len(THRESHOLDS)), [0], [5]):
        value, values = mean_ap(m, without_each(m), thresholds)
        assert out_of_fold(kept, thresholds) == pytest.approx(value, abs=1e-12)
        assert values.mean() == pytest.approx(value, abs=1e-9)
    there = m.true.any(axis=0)
    assert np.isnan(m.average[~there]).all() and np.isfinite(m.average[there]).all()
    assert m.curve.mean() == pytest.approx(m.average[there, 0].mean(), abs=1e-12)
    assert capsys.readouterr() == ("", "")


def test_without_any_object_nothing_is_missed():
    (m,) = matched(*padded([(d, o[:0]) for d, o in coco.made(0, 3)]), CLASSES)
    value, values = mean_ap(m, without_each(m), [0])
    assert (value, values.tolist(), m.curve.min()) == (1, [1, 1, 1], 1)


def summary(images, scale, crowds=()):
    """The twelve numbers of the library's own summary, in its usual way: from lists of results, by
    default parameters; at most 100 detections of a class on an image."""

    def box(row):
        y0, x0, y1, x1 = row[-4:].astype(float) * scale
        return {"category_id": int(row[0]), "bbox": [x0, y0, x1 - x0, y1 - y0]}

    truth = [
        {"image_id": i, "id": 1 + 1000 * i + k, "iscrowd": int((i, k) in crowds), **box(row)}
        for i, (_, objects) in enumerate(images)
        for k, row in enumerate(objects)
    ]
    truth = [{**one, "area": one["bbox"][2] * one["bbox"][3]} for one in truth]
    results = [
        {"image_id": i, "score": row[1], **box(row)} for i, (d, _) in enumerate(images) for row in d
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        listed = COCO()
        listed.dataset = {
            "images": [{"id": i} for i in range(len(images))],
            "categories": [{"id": i} for i in range(CLASSES)],
            "annotations": truth,
        }
        listed.createIndex()
        evaluation = COCOeval(listed, listed.loadRes(results), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def test_sizes_are_those_of_the_library_s_summary():
    images = coco.made(5, 80, CLASSES, 8)
    detected, truth = padded(images, 400.0)
    assert sizes_of(truth) is COCOS
    every, *of_sizes = matched(detected, truth, CLASSES, COCOS)
    stats = summary(images, 400.0)
    everywhere = range(len(THRESHOLDS))
    for m, expected in zip((every, *of_sizes), (stats[0], *stats[3:6]), strict=True):
        value, _ = mean_ap(m, without_each(m), everywhere)
        assert 0 < value < 1 and value == pytest.approx(expected, abs=1e-9)
    assert mean_ap(every, without_each(every), [0])[0] == pytest.approx(stats[1], abs=1e-9)
    assert sum(m.true.sum() for m in of_sizes) == every.true.sum()


def test_crowds_are_ignored_as_the_library_s_summary_does():
    images = coco.made(6, 30, CLASSES, 8)
    crowds = {(i, 0) for i, (_, objects) in enumerate(images) if len(objects) > 2 and i % 2}
    detected, truth = padded(images)
    for i, k in crowds:
        truth[i, k, 0] = turned(truth[i, k, 0])
    (m,) = matched(detected, truth, CLASSES)
    assert len(crowds) > 5 and m.ignored.any() and not (m.ignored & m.hit).any()
    stats = summary(images, 1.0, crowds)
    without = without_each(m)
    assert mean_ap(m, without, range(10))[0] == pytest.approx(stats[0], abs=1e-9)
    assert stats[0] != pytest.approx(summary(images, 1.0)[0], abs=1e-4)
    # And what is left without an image is what the library says of the others.
    for i in (0, 3, 11, 29):
        (left,) = matched(np.delete(detected, i, 0), np.delete(truth, i, 0), CLASSES)
        np.testing.assert_allclose(without[..., i], left.average, atol=1e-12)


def test_regions_by_hand():
    """A detection inside a crowd counts as nothing, however often; outside of it, or of another
    class, it is wrong. A difficult object need not be found."""
    truth = np.full((1, MOST_OBJECTS, 5), -1, np.float32)
    truth[0, :2] = [[0, 0, 0, 10, 10], [0, 50, 50, 60, 60]]  # the second is difficult
    truth[0, 2:4] = [[turned(0), 50, 50, 60, 60], [turned(0), 20, 20, 40, 40]]
    detected = np.full((1, DETECTIONS, 6), -1, np.float32)
    detected[0, :6] = [
        [0, 0.9, 20, 20, 30, 30],
        [0, 0.8, 25, 25, 35, 35],
        [1, 0.7, 25, 25, 35, 35],
        [0, 0.6, 51, 50, 60, 60],
        [0, 0.5, 0, 0, 10, 10],
        [0, 0.4, 80, 80, 90, 90],
    ]
    (m,) = matched(detected, truth, 2)
    assert m.ignored[0, :7, 0].tolist() == [True, True, False, True, False, False, False]
    assert m.hit[0].any(axis=1).nonzero()[0].tolist() == [4]
    assert m.true.tolist() == [[1, 0]]
    assert m.average[0] == pytest.approx([1.0] * 10)


def test_influence_is_that_of_leaving_an_image_out_of_a_size():
    images = coco.made(4, 12)
    detected, truth = padded(images, 64.0)
    size = Size("some", 60.0, 200.0)
    m = matched(detected, truth, CLASSES, [size])[1]
    assert m.ignored.any() and 0 < m.true.sum() < (truth[..., 0] >= 0).sum()
    value, values = mean_ap(m, without_each(m), range(10))
    left = []
    for i in range(len(images)):
        fewer = matched(np.delete(detected, i, 0), np.delete(truth, i, 0), CLASSES, [size])[1]
        left.append(np.nanmean(fewer.average))
    np.testing.assert_allclose(values, influence(value, np.array(left)), atol=1e-9)


def test_numbers_that_differ_are_a_mistake():
    (m,) = matched(*padded(coco.made(0)), CLASSES)
    wrong = m.precision.copy()
    wrong[1, 3, 50] += 1e-6
    with pytest.raises(RuntimeError, match=r"class 1 at an IoU of 0.65: .* by pycocotools"):
        without_each(m._replace(precision=wrong))


def boxed(areas):
    truth = np.full((len(areas), MOST_OBJECTS, 5), -1, np.float32)
    for row, area in zip(truth, areas, strict=True):
        row[0] = [0, 0, 0, 1, area]
    return truth


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([5, 1, 2, 6, 3, 4], [("smallest third", 0, 2.5), ("middle third", 2.5, 4.5),
                              ("largest third", 4.5, np.inf)]),
        # An edge goes where it makes thirds most nearly, never through one area.
        ([1, 2, 2, 2, 3, 4], [("smallest third", 0, 1.5), ("middle third", 1.5, 2.5),
                              ("largest third", 2.5, np.inf)]),
        ([7, 7, 7, 9], [("smaller", 0, 8), ("larger", 8, np.inf)]),
        ([7, 7], []),
        ([], []),
        ([1000, 1100], COCOS),
        ([10, 10000], COCOS),
    ],
)  # fmt: skip
def test_sizes_tell_objects_apart(areas, expected):
    made = sizes_of(np.concatenate([boxed(areas), np.full((1, MOST_OBJECTS, 5), -1)]))
    assert made == tuple(expected)


def test_regions_are_of_no_size():
    truth = boxed([4, 4])
    truth[0, 1] = [turned(0), 0, 0, 1, 2000]
    assert sizes_of(truth) == ()
    assert EVERY.least == 0 and EVERY.most == np.inf and library.FAR == 1e-9
