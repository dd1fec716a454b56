"""Accuracy and negative log likelihood: one definition for learning curves and tables."""

import numpy as np
import pytest

from cnnlab import scoring
from cnnlab.tasks.classification import METRICS

LABELS = np.array([0, 1, 2, 1])
SHARES = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.4, 0.2, 0.4]])


def test_accuracy_is_the_share_of_right_answers():
    assert scoring.accuracy(LABELS, SHARES) == 0.5
    assert scoring.accuracy(LABELS[:2], SHARES[:2]) == 1


def test_nll_is_the_mean_negative_log_of_the_true_class():
    expected = -(np.log(0.5) + np.log(0.8) + np.log(0.1) + np.log(0.2)) / 4
    assert scoring.nll(LABELS, SHARES) == pytest.approx(expected, rel=1e-12)
    assert scoring.nll(LABELS, SHARES.astype(np.float32)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_what_was_held_impossible_and_is_true_costs_much_but_not_everything(kind):
    sure = np.array([[1, 0, 0], [0, 1, 0]], kind)
    assert scoring.nll(np.array([0, 1]), sure) == 0
    assert scoring.nll(np.array([0, 2]), sure) == pytest.approx(-np.log(scoring.LEAST) / 2)
    less = np.array([[scoring.LEAST / 9, 1, 0]], kind)
    assert scoring.nll(np.array([0]), less) == scoring.nll(np.array([2]), less)
    more = np.array([[scoring.LEAST * 9, 1, 0]], kind)
    assert scoring.nll(np.array([0]), more) < scoring.nll(np.array([2]), more)


def test_rounding_above_1_is_no_gain():
    assert scoring.nll(np.array([0]), np.array([[1 + 1e-6, 0]], np.float32)) == 0


@pytest.mark.parametrize("name", ["accuracy", "nll"])
def test_tables_have_the_same_numbers(name):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    shares = rng.dirichlet([0.02] * 3, 50)
    shares[:5] = np.eye(3)[(labels[:5] + 1) % 3]  # surely wrong
    for given in (shares, shares.astype(np.float32)):
        assert METRICS[name].score(labels, given) == getattr(scoring, name)(labels, given)
