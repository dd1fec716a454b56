"""Metrics of masks: against scikit-learn's, pixel by pixel, and what each image adds to them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from cnnlab.tasks.segmentation import METRICS, parts

VOID = 255


def counted(truth, predicted, classes):
    """Outputs of masks, (n, pixels) each; boundary F1 and cross-entropy are made up."""
    rows = []
    for t, p in zip(truth, predicted, strict=True):
        keep = t != VOID
        t, p = t[keep], p[keep]
        columns = [np.bincount(x, minlength=classes) for x in (t[t == p], p, t)]
        there = (columns[1] + columns[2]) > 0
        f1 = np.where(there, (columns[0] + 1) / (columns[2] + columns[0] + 1), -1)
        rows.append(np.concatenate([*columns, f1, [np.mean(t != p) if len(t) else 0, len(t)]]))
    return np.array(rows, np.float32)


@st.composite
def masks(draw, classes=4, void=True):
    """Truth and prediction, (n, pixels) each: of some classes only, and partly not judged."""
    n, pixels = draw(st.integers(1, 8)), draw(st.integers(1, 30))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    share = rng.dirichlet(np.full(classes, draw(st.sampled_from([0.1, 1.0]))), n)
    truth = np.array([rng.choice(classes, pixels, p=p) for p in share])
    noise = rng.integers(0, classes, truth.shape)
    predicted = np.where(rng.random(truth.shape) < draw(st.sampled_from([0, 0.4])), noise, truth)
    if void:
        truth = np.where(rng.random(truth.shape) < 0.2, VOID, truth)
        truth[:, 0] = np.where(truth[:, 0] == VOID, 0, truth[:, 0])  # something is judged
    return truth, predicted


def labels_of(outputs):
    return np.zeros(len(outputs), np.int64)


def each(score, truth, predicted):
    """A score of the judged pixels of each image."""
    pairs = zip(truth, predicted, strict=True)
    return np.array([score(t[t != VOID], p[t != VOID]) for t, p in pairs])


def foreground(t, p):
    there = np.setdiff1d([*t, *p], [0])
    return sk.jaccard_score(t, p, labels=there, average="macro") if len(there) else 1.0


REFERENCES = {
    "iou": lambda t, p: sk.jaccard_score(t, p, average="macro"),
    "dice": lambda t, p: sk.f1_score(t, p, average="macro"),
    "foreground_iou": foreground,
    "pixel_accuracy": sk.accuracy_score,
    "pixel_nll": lambda t, p: np.mean(t != p),
}


@pytest.mark.parametrize("name", REFERENCES)
@given(made=masks())
def test_values_agree_with_the_reference_image_by_image(name, made):
    outputs = counted(*made, 4)
    expected = each(REFERENCES[name], *made)
    np.testing.assert_allclose(
        METRICS[name].values(labels_of(outputs), outputs), expected, atol=1e-7
    )
    assert METRICS[name].score(labels_of(outputs), outputs) == pytest.approx(expected.mean())


def pooled(truth, predicted):
    """The mean IoU of all judged pixels together."""
    judged = truth != VOID
    return sk.jaccard_score(truth[judged], predicted[judged], average="macro")


@given(masks())
def test_miou_is_that_of_all_pixels_together(made):
    outputs = counted(*made, 4)
    assert METRICS["miou"].score(labels_of(outputs), outputs) == pytest.approx(pooled(*made))


@settings(max_examples=50)
@given(masks())
def test_influence_on_miou_is_what_leaving_an_image_out_does(made):
    truth, predicted = made
    n, outputs = len(truth), counted(*made, 4)
    values = METRICS["miou"].values(labels_of(outputs), outputs)
    if n == 1:
        assert values == pytest.approx([pooled(*made)])
        return
    keep = [np.arange(n) != i for i in range(n)]
    without = np.array([pooled(truth[k], predicted[k]) for k in keep])
    np.testing.assert_allclose(
        values, pooled(*made) + (n - 1) * (without.mean() - without), atol=1e-9
    )


def test_by_hand():
    """Two images of 4 pixels: the background is right in 2 of 3, class 1 in 1 of 2; all right."""
    truth = np.array([[0, 0, 1, 1], [0, 0, 0, 0]])
    predicted = np.array([[0, 0, 0, 1], [0, 0, 0, 0]])
    outputs = counted(truth, predicted, 3)
    outputs[:, 9:12] = [[0.25, 0.75, -1], [1, -1, -1]]
    values = {name: m.values(labels_of(outputs), outputs) for name, m in METRICS.items()}
    assert values["iou"] == pytest.approx([(2 / 3 + 1 / 2) / 2, 1])
    assert values["dice"] == pytest.approx([(4 / 5 + 2 / 3) / 2, 1])
    assert values["foreground_iou"] == pytest.approx([1 / 2, 1])
    assert values["boundary_f1"] == pytest.approx([0.5, 1])
    assert values["pixel_accuracy"] == pytest.approx([0.75, 1])
    assert values["pixel_nll"] == pytest.approx([0.25, 0])
    assert values["miou"].mean() == pytest.approx((6 / 7 + 1 / 2) / 2)


def test_the_spread_of_influence_on_miou_is_that_of_miou():
    """Standard deviation over fresh images, against what one set of them says of itself."""
    rng = np.random.default_rng(0)

    def drawn():
        truth = (rng.random((200, 50)) < rng.beta(1, 3, (200, 1))).astype(int)
        wrong = rng.random((200, 50)) < rng.beta(1, 6, (200, 1))
        return counted(truth, np.where(wrong, 1 - truth, truth), 2)

    metric, labels = METRICS["miou"], np.zeros(200, int)
    many = [drawn() for _ in range(300)]
    true = np.std([metric.score(labels, outputs) for outputs in many])
    seen = np.mean([metric.values(labels, outputs).std() / np.sqrt(200) for outputs in many])
    assert seen == pytest.approx(true, rel=0.15)


@pytest.mark.parametrize("name", METRICS)
@given(made=masks(), worst=st.booleans())
def test_there_is_a_finite_value_for_each_image_within_what_is_possible(name, made, worst):
    truth, predicted = made
    if worst:
        predicted = np.where(truth == VOID, 0, (truth + 1) % 4)
    outputs, metric = counted(truth, predicted, 4), METRICS[name]
    values = metric.values(labels_of(outputs), outputs)
    assert values.shape == (len(truth),) and values.dtype == np.float64
    assert np.isfinite(values).all()
    score = metric.score(labels_of(outputs), outputs)
    assert values.mean() == pytest.approx(score)
    assert metric.bounds[0] - 1e-9 <= score <= metric.bounds[1] + 1e-9
    if not metric.approximate:
        assert (metric.bounds[0] <= values).all() and (values <= metric.bounds[1]).all()


@pytest.mark.parametrize("name", METRICS)
@given(made=masks())
def test_what_is_right_everywhere_scores_best(name, made):
    truth, _ = made
    outputs = counted(truth, np.where(truth == VOID, 0, truth), 4)
    outputs[:, 12:16] = np.where(outputs[:, 12:16] < 0, -1, 1)
    values = METRICS[name].values(labels_of(outputs), outputs)
    np.testing.assert_allclose(values, METRICS[name].higher_is_better, atol=1e-9)


@pytest.mark.parametrize("name", METRICS)
@given(made=masks())
def test_an_image_without_judged_pixels_has_no_say(name, made):
    outputs = counted(*made, 4)
    empty = counted(np.full((2, 5), VOID), np.zeros((2, 5), int), 4)
    values, score = METRICS[name].values, METRICS[name].score
    both = np.concatenate([outputs, empty])
    assert score(labels_of(both), both) == pytest.approx(score(labels_of(outputs), outputs))
    if not METRICS[name].approximate:
        mean = values(labels_of(outputs), outputs).mean()
        np.testing.assert_allclose(values(labels_of(both), both)[-2:], mean, atol=1e-9)
    assert np.isfinite(values(labels_of(empty), empty)).all()


def test_which_metrics_are_approximate():
    assert {name for name, metric in METRICS.items() if metric.approximate} == {"miou"}


def test_sums_over_many_large_images_are_exact():
    """In float32 what is added to 2**24 is lost."""
    one = np.array([[2**24, 1, 2**24, 1, 2**24, 1, 1, 1, 0.5, 2**24 + 2]], np.float32)
    outputs = np.repeat(one, 1001, axis=0)
    score = METRICS["miou"].score(labels_of(outputs), outputs)
    assert score == 1


@pytest.mark.parametrize("columns", [2, 5, 7, 11])
def test_other_columns_are_refused(columns):
    with pytest.raises(ValueError, match=f"{columns} columns"):
        parts(np.zeros((3, columns)))
