"""What may be compared, of all tasks, and the calibration curve."""

import numpy as np
import pytest
from hypothesis import given

from cnnlab.compare.metrics import (
    METRICS,
    RECORDED,
    bounds_of,
    metrics_of,
    reliability,
    task_of,
)
from cnnlab.errors import UserError
from cnnlab.tasks import TASKS
from cnnlab.tasks.classification import BINS
from tests.tasks.test_classification import answers


def test_no_two_tasks_share_the_name_of_a_metric():
    assert [name for task in TASKS.names() for name in metrics_of(task)] == [*METRICS]


@pytest.mark.parametrize("task", TASKS.names())
def test_a_task_has_its_own_metrics_and_measures_some_of_them(task):
    module = TASKS[task]
    assert {name: METRICS[name] for name in metrics_of(task)} == module.METRICS
    assert {task_of(name) for name in metrics_of(task)} == {task}
    score, loss = module.MEASURED
    assert module.METRICS[score].higher_is_better and not module.METRICS[loss].higher_is_better
    assert isinstance(module.AVERAGED, bool)


def test_an_unknown_task_is_refused_with_those_there_are():
    with pytest.raises(
        UserError, match=r"'regression' .*: classification, detection, segmentation"
    ):
        metrics_of("regression")


def test_what_trials_record_besides_has_bounds_too():
    assert bounds_of("accuracy") == bounds_of("train_accuracy") == (0, 1)
    assert bounds_of("train_nll") == (0, np.inf)
    assert bounds_of("gap") == RECORDED["gap"] == (-1, 1)
    assert bounds_of("weight_norm") is None


@given(answers())
def test_a_calibration_curve_holds_every_image_once(made):
    labels, probabilities = made
    bins = reliability(labels, probabilities)
    assert 1 <= len(bins.share) <= BINS
    assert bins.share.sum() == pytest.approx(1)
    assert bins.share @ bins.accuracy == pytest.approx(METRICS["accuracy"].score(*made))
    assert bins.share @ bins.confidence == pytest.approx(probabilities.max(axis=1).mean())
    assert np.all(np.diff(bins.confidence) > 0)


def test_believed_probabilities_are_well_calibrated():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 20_000)
    labels = (probabilities.cumsum(axis=1) > rng.random((20_000, 1))).argmax(axis=1)
    score = METRICS["ece"].score
    assert score(labels, probabilities) < 0.01
    assert score(labels, probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)) > 0.1
