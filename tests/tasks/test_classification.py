"""Metrics of probabilities: against references, and what each image adds to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from cnnlab import scoring
from cnnlab.tasks.classification import METRICS, bins_of, ece

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
    values = ece(LABELS, PROBABILITIES, np.linspace(0, 1, 4))
    assert np.mean(values) == pytest.approx(0.2, abs=1e-4)


def test_calibration_by_hand_with_bins_of_equal_mass():
    """Four images of different confidence fill four of the bins: each is off by itself."""
    distinct = np.array([[0.5, 0.3, 0.2], [0.6, 0.3, 0.1], [0.1, 0.2, 0.7], [0.9, 0.05, 0.05]])
    gaps = [abs(0.5 - 1), abs(0.6 - 0), abs(0.7 - 1), abs(0.9 - 1)]
    assert np.mean(ece(LABELS, distinct)) == pytest.approx(np.mean(gaps))


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
    assert METRICS["nll"].values is scoring.nll_of_each
    for name, one in (("nll", scoring.nll), ("accuracy", scoring.accuracy)):
        assert METRICS[name].score(LABELS, PROBABILITIES) == one(LABELS, PROBABILITIES)
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
    loss = METRICS["nll"].score(np.array([1]), np.array([[1.0, 0.0]]))
    assert loss == pytest.approx(16.118, abs=1e-3)


# Values of images ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", METRICS)
@given(made=answers())
def test_each_image_has_a_value_and_their_mean_is_the_metric(name, made):
    labels, probabilities = made
    values = METRICS[name].values(labels, probabilities)
    assert values.shape == labels.shape and values.dtype == np.float64
    assert np.isfinite(values).all()
    assert METRICS[name].score(labels, probabilities) == pytest.approx(values.mean())


def test_which_metrics_are_approximate():
    approximate = {name for name, metric in METRICS.items() if metric.approximate}
    assert approximate == {"ece"}


@given(answers(), st.data())
def test_a_mean_over_images_gives_each_its_own_value_whatever_the_others_are(made, data):
    labels, probabilities = made
    one = data.draw(st.integers(0, len(labels) - 1))
    for name in ("accuracy", "nll", "brier"):
        values = METRICS[name].values
        alone = values(labels[[one]], probabilities[[one]])
        assert alone[0] == pytest.approx(values(labels, probabilities)[one])


def without_each(score, labels, probabilities):
    """A metric of all images but one, for each one: the long way."""
    others = [np.arange(len(labels)) != i for i in range(len(labels))]
    return np.array([score(labels[keep], probabilities[keep]) for keep in others])


def f1_of(classes):
    """Macro F1 over the classes that are there or predicted among all images."""
    return lambda y, p: sk.f1_score(
        y, p.argmax(1), labels=classes, average="macro", zero_division=0
    )


@settings(max_examples=25)
@given(answers())
def test_influence_on_macro_f1_and_mcc_is_what_leaving_an_image_out_does(made):
    labels, probabilities = made
    classes = np.unique([*labels, *probabilities.argmax(axis=1)])
    references = {"macro_f1": f1_of(classes), "mcc": REFERENCES["mcc"]}
    for name, score in references.items():
        without = without_each(score, labels, probabilities)
        whole = score(labels, probabilities)
        expected = whole + (len(labels) - 1) * (without.mean() - without)
        np.testing.assert_allclose(
            METRICS[name].values(labels, probabilities), expected, atol=1e-7 * len(labels)
        )


@given(answers())
def test_influence_on_the_calibration_error_is_what_leaving_an_image_out_of_its_bin_does(made):
    labels, probabilities = made
    bin_of = bins_of(probabilities)
    gaps = probabilities.max(axis=1) - (probabilities.argmax(axis=1) == labels)

    def score(keep):
        return np.abs(np.bincount(bin_of[keep], weights=gaps[keep])).sum() / keep.sum()

    without = np.array([score(np.arange(len(labels)) != i) for i in range(len(labels))])
    whole = score(np.ones(len(labels), bool))
    expected = whole + (len(labels) - 1) * (without.mean() - without)
    np.testing.assert_allclose(ece(labels, probabilities), expected, atol=1e-9)


def test_the_spread_of_influence_is_that_of_the_metric():
    """Standard deviation over fresh images, against what one set of them says of itself."""
    rng = np.random.default_rng(0)

    def drawn():
        labels = rng.choice(3, 300, p=[0.5, 0.35, 0.15])
        lean = np.eye(3)[labels] * 1.5 + rng.gumbel(size=(300, 3))
        return labels, np.exp(lean) / np.exp(lean).sum(axis=1, keepdims=True)

    many = [drawn() for _ in range(400)]
    for name in ("macro_f1", "mcc", "balanced_accuracy", "accuracy"):
        true = np.std([METRICS[name].score(*made) for made in many])
        seen = np.mean([METRICS[name].values(*made).std() / np.sqrt(300) for made in many])
        assert seen == pytest.approx(true, rel=0.15), name


def test_balanced_accuracy_weighs_images_of_rare_classes_more():
    """Of 3 and 1 images: one right of three, and one of one."""
    labels, right = np.array([0, 0, 0, 1]), np.array([1, 0, 0, 1])
    shares = np.eye(2)[np.where(right, labels, 1 - labels)]
    values = METRICS["balanced_accuracy"].values(labels, shares)
    assert values.mean() == pytest.approx((1 / 3 + 1) / 2)
    np.testing.assert_allclose(values - values.mean(), [2 / 9, -4 / 9, -4 / 9, 2 / 3])


@given(answers())
def test_of_equally_many_images_of_each_class_balanced_accuracy_is_accuracy(made):
    _, probabilities = made
    probabilities = np.concatenate([probabilities] * 4)
    labels = np.arange(len(probabilities)) % 4
    values = [METRICS[m].values(labels, probabilities) for m in ("accuracy", "balanced_accuracy")]
    np.testing.assert_allclose(*values, atol=1e-12)


@given(answers())
def test_a_network_that_is_always_right_has_no_spread(made):
    labels = np.tile(made[0], 2)  # without the only one of its class a class is gone
    for name, metric in METRICS.items():
        if name != "nll":
            assert np.ptp(metric.values(labels, np.eye(4)[labels])) < 1e-9, name
