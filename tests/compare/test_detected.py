"""What one network's boxes are worth: against what trials' outputs say, and a bootstrap that copies
images."""

import math

import numpy as np
import pytest

from cnnlab.compare.coco import Size, matched, sizes_of
from cnnlab.compare.detected import CLASS_COLUMNS, SIZE_COLUMNS, judge_boxes
from cnnlab.tasks.detection import METRICS
from tests import coco
from tests.compare.test_coco import CLASSES, padded

NAMES = ["cat", "dog", "owl"]
HOW = {"confidence": 0.9, "draws": 4000, "seed": 7}


def judged(images, groups=None, scale=1.0, sizes=None, **how):
    detected, truth = padded(images, scale)
    sizes = sizes_of(truth) if sizes is None else sizes
    groups = np.arange(len(images)) if groups is None else groups
    losses = np.linspace(1, 2, len(images))
    made = matched(detected, truth, CLASSES, sizes)
    return judge_boxes(made, sizes, losses, groups, NAMES, **(HOW | how))


def test_metrics_are_those_of_the_task_and_classes_those_of_all_images():
    images = coco.made(0, 30)
    made = judged(images)
    outputs = coco.outputs_of(images, CLASSES, np.linspace(1, 2, 30))
    assert list(made.metrics) == list(METRICS)
    for name, metric in METRICS.items():
        score = metric.score(np.zeros(30, np.int64), outputs)
        assert made.metrics[name].value == pytest.approx(score, rel=1e-6), name
        assert made.metrics[name].low < score < made.metrics[name].high, name
    assert made.metrics["map"].value == pytest.approx(coco.mean_ap(images, CLASSES), abs=1e-9)
    for number, row in enumerate(made.classes):
        assert list(row) == CLASS_COLUMNS and row["class"] == NAMES[number]
        ap = coco.average_precision(images, number, 0.5)
        assert row["ap50"] == pytest.approx(ap, abs=1e-9) and row["low"] < ap < row["high"]
        true = [(o[:, 0] == number).sum() for _, o in images]
        hits = [hit for d, o in images for _, hit in coco.matched(d, o, number, 0.5)]
        assert (row["images"], row["objects"]) == (np.count_nonzero(true), sum(true))
        assert row["recall50"] == pytest.approx(sum(hits) / sum(true))
    assert (made.images, made.objects) == (30, sum(len(o) for _, o in images))
    assert made.method == "bootstrap over 30 images"


def test_sizes_have_their_objects_and_those_without_any_say_so():
    sizes = (Size("small", 0, 0.02), Size("large", 0.02, 9), Size("none", 9, 99))
    made = judged(coco.made(0, 30), sizes=sizes)
    small, large, none = made.sizes
    assert list(small) == SIZE_COLUMNS
    assert small["objects"] + large["objects"] == made.objects and small["objects"] > 9
    for row in (small, large):
        assert 0 < row["low"] < row["map"] < row["high"] < 1 and row["map"] < row["map50"]
        assert 0 < row["recall50"] <= 1
    assert (none["images"], none["objects"], none["most"]) == (0, 0, 99)
    assert all(math.isnan(none[key]) for key in ("map", "low", "high", "map50", "recall50"))


def test_a_class_without_objects_has_no_value():
    images = [(d, o[o[:, 0] != 1]) for d, o in coco.made(1)]
    row = judged(images).classes[1]
    assert (row["images"], row["objects"]) == (0, 0)
    assert all(math.isnan(row[key]) for key in ("ap50", "low", "high", "recall50"))


def test_intervals_are_those_of_a_bootstrap_that_copies_whole_groups():
    images, groups = coco.made(2, 24), np.arange(24) // 2
    made = judged(images, groups)
    assert made.method == "bootstrap over 12 groups of images"
    rng, drawn = np.random.default_rng(0), []
    outputs = coco.outputs_of(images, CLASSES)
    for _ in range(300):
        rows = np.concatenate([[2 * g, 2 * g + 1] for g in rng.integers(0, 12, 12)])
        drawn.append(METRICS["map50"].score(np.zeros(24, int), outputs[rows]))
    low, high = np.quantile(drawn, [0.05, 0.95])
    ends = made.metrics["map50"]
    width = high - low
    assert 0.7 * width < ends.high - ends.low < 1.4 * width
    assert abs((ends.low + ends.high) / 2 - (low + high) / 2) < 0.3 * width
    assert judged(images, groups) == made and judged(images, groups, seed=8) != made


@pytest.mark.parametrize("grouped", [False, True])
def test_objects_of_one_image_or_group_alone_have_a_value_without_an_interval(grouped):
    """Without it there would be none, of which an average precision of 1 says nothing."""
    images, groups = coco.made(1), np.arange(len(coco.made(1)))
    have = [i for i, (_, o) in enumerate(images) if (o[:, 0] == 1).any()][: 2 if grouped else 1]
    images = [(d, o if i in have else o[o[:, 0] != 1]) for i, (d, o) in enumerate(images)]
    groups[have] = groups[have[0]]
    row = judged(images, groups).classes[1]
    assert row["images"] == len(have) and 0 <= row["ap50"] <= 1
    assert math.isnan(row["low"]) and math.isnan(row["high"])
    assert not math.isnan(judged(images, groups).classes[0]["low"])
    if grouped:  # by themselves they are two
        assert not math.isnan(judged(images).classes[1]["low"])


def test_a_size_of_one_image_has_no_interval():
    images = [(d, o[:1]) for d, o in coco.made(1)]
    images[0] = (images[0][0], np.array([[0, 0, 0, 50, 50]], float))
    small, large = judged(images, sizes=(Size("small", 0, 99), Size("large", 99, 9999))).sizes
    assert large["images"] == 1 and math.isnan(large["low"]) and not math.isnan(large["map"])
    assert not math.isnan(small["low"])
