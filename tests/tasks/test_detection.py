"""Metrics of detection: what each image adds, against leaving it out and against chance."""

import numpy as np
import pytest

from cnnlab.detections import mean_ap
from cnnlab.tasks import TASKS
from cnnlab.tasks.detection import METRICS
from tests import coco


def labels_of(outputs):
    return np.zeros(len(outputs), int)


@pytest.mark.parametrize(("name", "thresholds"), [("map", coco.THRESHOLDS), ("map50", [0.5])])
def test_influence_is_what_leaving_an_image_out_does(name, thresholds):
    images = coco.made(3, 10)
    outputs = coco.outputs_of(images, 3)
    values = METRICS[name].values(labels_of(outputs), outputs)
    whole = coco.mean_ap(images, 3, thresholds)
    left = np.array([coco.mean_ap(images[:i] + images[i + 1 :], 3, thresholds) for i in range(10)])
    np.testing.assert_allclose(values, whole + 9 * (left.mean() - left), atol=1e-9)
    assert METRICS[name].score(labels_of(outputs), outputs) == pytest.approx(whole)
    assert METRICS[name].approximate


def test_recall_is_the_share_that_is_found():
    images = coco.made(4)
    images.append((images[0][0], images[0][1][:0]))  # without objects
    outputs = coco.outputs_of(images, 3)
    shares = [
        sum(hit for c in range(3) for _, hit in coco.matched(d, o, c, 0.5)) / len(o)
        for d, o in images
        if len(o)
    ]
    score = METRICS["recall50"].score(labels_of(outputs), outputs)
    assert score == pytest.approx(np.mean(shares)) and 0.2 < score < 0.95
    values = METRICS["recall50"].values(labels_of(outputs), outputs)
    assert values[-1] == pytest.approx(score)  # has no say
    none = coco.outputs_of([(d, o[:0]) for d, o in images], 3)
    assert METRICS["recall50"].values(labels_of(none), none).tolist() == [1] * len(images)


def test_the_loss_is_the_last_column():
    outputs = coco.outputs_of(coco.made(0, 3), 3, [1.5, 2, 0])
    assert METRICS["detection_loss"].values(labels_of(outputs), outputs).tolist() == [1.5, 2, 0]
    assert not METRICS["detection_loss"].higher_is_better


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("n", [1, 2, 30])
def test_there_is_a_finite_value_for_each_image(name, n):
    outputs, metric = coco.outputs_of(coco.made(n, n), 3), METRICS[name]
    values = metric.values(labels_of(outputs), outputs)
    assert values.shape == (n,) and values.dtype == np.float64 and np.isfinite(values).all()
    score = metric.score(labels_of(outputs), outputs)
    assert metric.bounds[0] - 1e-9 <= score <= metric.bounds[1] + 1e-9


@pytest.mark.parametrize("name", ["map", "map50", "recall50"])
def test_what_is_right_everywhere_scores_best(name):
    images = [
        (np.column_stack([o[:, :1], np.full(len(o), 0.9), o[:, 1:]]), o)
        for _, o in coco.made(5, 20)
    ]
    outputs = coco.outputs_of(images, 3)
    np.testing.assert_allclose(METRICS[name].values(labels_of(outputs), outputs), 1, atol=1e-9)


def test_the_spread_of_influence_is_that_of_map():
    """Standard deviation over fresh images, against what one set of them says of itself."""
    pool = coco.outputs_of(coco.made(7, 1500, 2, 4), 2)
    rng = np.random.default_rng(0)
    metric, sets = METRICS["map50"], [rng.choice(1500, 150) for _ in range(200)]
    true = np.std([mean_ap(pool[rows], [0]) for rows in sets])
    seen = np.mean([metric.values(None, pool[rows]).std() / np.sqrt(150) for rows in sets[:20]])
    assert seen == pytest.approx(true, rel=0.15)


def test_the_task_measures_what_it_has():
    task = TASKS["detection"]
    assert list(task.MEASURED) == ["map", "detection_loss"] and {*task.MEASURED} <= {*METRICS}
    assert task.places(("conv", "dense")) == ("conv", "dense") == task.places(("conv",))
