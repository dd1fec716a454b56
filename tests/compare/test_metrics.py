"""Metrics of probabilities, and the grids of answers that they score."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from cnnlab import scoring
from cnnlab.compare import metrics
from cnnlab.compare.contrasts import Incomparable
from cnnlab.compare.metrics import BINS, METRICS, ece, nll, reliability
from cnnlab.compare.scores import check, correct, ensemble_scores, member_scores, pooled

# The example of torchmetrics' tests.
PROBABILITIES = np.array([[0.25, 0.2, 0.55], [0.55, 0.05, 0.4], [0.1, 0.3, 0.6], [0.9, 0.05, 0.05]])
LABELS = np.array([0, 1, 2, 0])


@st.composite
def answers(draw, classes=4):
    n = draw(st.integers(2, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    probabilities = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.02, 0.3, 3]))), n)
    return rng.integers(0, classes, n), probabilities


def test_torchmetrics_calibration_error():
    assert ece(LABELS, PROBABILITIES, np.linspace(0, 1, 4)) == pytest.approx(0.2, abs=1e-4)


def test_calibration_by_hand_with_bins_of_equal_mass():
    """Four images of different confidence fill four of the bins: each is off by itself."""
    distinct = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.9, 0.05, 0.05]])
    gaps = [abs(0.5 - 1), abs(0.6 - 0), abs(0.7 - 1), abs(0.9 - 1)]
    assert ece(LABELS, distinct) == pytest.approx(np.mean(gaps))


REFERENCES = {
    "accuracy": lambda y, p: sk.accuracy_score(y, p.argmax(1)),
    "nll": lambda y, p: -np.mean(np.log(np.maximum(p[np.arange(len(y)), y], 1e-7))),
    "balanced_accuracy": lambda y, p: sk.recall_score(
        y, p.argmax(1), labels=np.unique(y), average="macro", zero_division=0
    ),
    "macro_f1": lambda y, p: sk.f1_score(y, p.argmax(1), average="macro", zero_division=0),
    "mcc": lambda y, p: np.nan_to_num(sk.matthews_corrcoef(y, p.argmax(1))),
    "brier": lambda y, p: sk.brier_score_loss(
        y, p, labels=np.arange(p.shape[1]), scale_by_half=False
    ),
}


@pytest.mark.parametrize("name", REFERENCES)
@given(answers())
def test_a_metric_agrees_with_its_reference(name, made):
    labels, probabilities = made
    expected = REFERENCES[name](labels, probabilities)
    assert METRICS[name].score(labels, probabilities) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
@given(made=answers(), chance=st.randoms(use_true_random=False))
def test_the_order_of_images_does_not_matter(name, made, chance):
    labels, probabilities = made
    order = chance.sample(range(len(labels)), len(labels))
    score = METRICS[name].score
    assert score(labels[order], probabilities[order]) == pytest.approx(
        score(labels, probabilities), abs=1e-9
    )


@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_net_scores_best(name):
    truth = np.eye(3)[LABELS]
    metric = METRICS[name]
    perfect, worse = metric.score(LABELS, truth), metric.score(LABELS, PROBABILITIES)
    assert perfect == pytest.approx(1 if metric.higher_is_better else 0, abs=1e-9)
    assert (perfect > worse) == metric.higher_is_better


def test_there_is_one_negative_log_likelihood_and_one_accuracy():
    """Learning curves, early stopping, MLflow and tables once had two, with different floors."""
    assert metrics.nll is scoring.nll and METRICS["nll"].score is scoring.nll
    assert METRICS["accuracy"].score is scoring.accuracy
    expected = sk.log_loss(LABELS, PROBABILITIES)
    assert scoring.nll(LABELS, PROBABILITIES.astype(np.float32)) == pytest.approx(
        expected, rel=1e-6
    )


@pytest.mark.parametrize("name", METRICS)
@given(made=answers(), worst=st.booleans())
def test_scores_lie_within_what_is_possible(name, made, worst):
    labels, probabilities = made
    if worst:
        probabilities = np.eye(4)[(labels + 1) % 4]
    least, most = METRICS[name].bounds
    assert least - 1e-9 <= METRICS[name].score(labels, probabilities) <= most + 1e-9


def test_a_certain_error_is_a_finite_loss():
    assert nll(np.array([1]), np.array([[1.0, 0.0]])) == pytest.approx(16.118, abs=1e-3)


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
    assert ece(labels, probabilities) < 0.01
    assert ece(labels, probabilities**3 / (probabilities**3).sum(axis=1, keepdims=True)) > 0.1


# Grids --------------------------------------------------------------------------------------------


@dataclass
class Answer:
    image_id: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray


def grid_of(seed=0, repeats=2, folds=3, members=2, n=5):
    rng = np.random.default_rng(seed)
    return [
        [
            [
                Answer(
                    np.arange(n) + n * ((fold + repeat) % folds),
                    np.arange(n) % 3,
                    rng.dirichlet([1, 1, 1], n).astype(np.float32),
                )
                for _ in range(members)
            ]
            for fold in range(folds)
        ]
        for repeat in range(repeats)
    ]


def test_members_are_scored_each_and_together():
    grid, score = grid_of(), METRICS["brier"].score
    each = member_scores(grid, score)
    assert each.shape == (2, 3, 2) and each.dtype == np.float64
    cell = grid[1][2]
    assert each[1, 2, 0] == pytest.approx(score(cell[0].labels, cell[0].probabilities), abs=1e-6)
    mean = (cell[0].probabilities + cell[1].probabilities) / 2
    together = ensemble_scores(grid, score)
    assert together[1, 2] == pytest.approx(score(cell[0].labels, mean), abs=1e-6)
    assert np.all(together <= each.mean(axis=2) + 1e-9)  # a convex loss


def test_correct_is_the_share_of_members_image_by_image():
    grid = grid_of()
    shares = correct(grid, np.arange(15))
    assert shares.shape == (2, 15)
    for repeat in (0, 1):
        for cell in grid[repeat]:
            for i, image in enumerate(cell[0].image_id):
                right = [a.probabilities[i].argmax() == a.labels[i] for a in cell]
                assert shares[repeat, image] == np.mean(right)


def test_pooled_holds_all_answers():
    labels, probabilities = pooled(grid_of())
    assert labels.shape == (2 * 3 * 2 * 5,) and probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)


def test_grids_of_one_study_can_be_compared():
    check({"a": grid_of(0), "b": grid_of(1)})
    check({})


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (grid_of(1, repeats=1), r"variant b: answers of 1 x 3 x 2 .* variant a: 2 x 3 x 2"),
        (grid_of(1, folds=2), r"variant b: answers of 2 x 2 x 2"),
        (grid_of(1, members=1), r"variant b: answers of 2 x 3 x 1"),
        (grid_of(1, n=4), r"variant b: repeat 0, fold 0, member 0 was evaluated on other images"),
    ],
)
def test_unequal_grids_are_refused(other, message):
    with pytest.raises(Incomparable, match=message):
        check({"a": grid_of(), "b": other})


def test_probabilities_that_are_not_finite_are_named():
    bad = grid_of(1)
    bad[1][2][0].probabilities[3, 1] = np.nan
    with pytest.raises(Incomparable, match="variant b: repeat 1, fold 2, member 0 holds prob"):
        check({"a": grid_of(), "b": bad})
