"""What a net is worth on images that it has never met."""

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from cnnlab.compare.judgement import CLASS_COLUMNS, judge, wilson
from cnnlab.tasks.classification import METRICS

CLASSES = ["cat", "dog", "eel"]
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1])  # no eel
SAID = np.array([0, 0, 1, 2, 1, 1, 1, 1])


def shares(said, sure=0.8):
    values = np.full((len(said), 3), (1 - sure) / 2, np.float32)
    values[np.arange(len(said)), said] = sure
    return values


def judged(groups=None, labels=LABELS, said=SAID):
    groups = np.arange(len(labels)) if groups is None else groups
    return judge(labels, shares(said), groups, CLASSES, confidence=0.95, draws=2000, seed=3)


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (90, 100), (1, 3)])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_wilson_agrees_with_statsmodels(right, n, confidence):
    expected = proportion_confint(right, n, alpha=1 - confidence, method="wilson")
    assert wilson(right, n, confidence) == pytest.approx(expected, abs=1e-12)


def test_it_counts():
    found = judged()
    assert (found.images, found.right, found.metrics["accuracy"]) == (8, 6, 0.75)
    assert found.confusion.tolist() == [[2, 1, 1], [0, 4, 0], [0, 0, 0]]
    assert (found.low, found.high) == pytest.approx(wilson(6, 8, 0.95))
    assert found.method == "Wilson"
    assert list(found.metrics) == list(METRICS)
    assert found.metrics["nll"] == pytest.approx(-(6 * np.log(0.8) + 2 * np.log(0.1)) / 8, rel=1e-6)


def test_a_row_a_class():
    cat, dog, eel = judged().classes
    assert list(cat) == CLASS_COLUMNS
    assert (cat["class"], cat["images"], cat["recall"], cat["precision"]) == ("cat", 4, 0.5, 1.0)
    assert (cat["low"], cat["high"]) == pytest.approx(wilson(2, 4, 0.95))
    assert (cat["f1"], cat["mistaken_for"]) == (pytest.approx(2 / 3), "dog")
    assert (dog["recall"], dog["precision"], dog["mistaken_for"]) == (1.0, 0.8, "")
    assert eel["images"] == 0 and np.isnan([eel["recall"], eel["low"], eel["high"]]).all()
    assert eel["precision"] == 0


def test_a_class_that_is_never_said_has_no_precision():
    found = judged(labels=np.array([0, 1, 2]), said=np.array([0, 1, 1]))
    assert (found.classes[2]["precision"], found.classes[2]["f1"]) == (0, 0)


def test_images_of_one_group_count_once():
    """Forty copies of four images are no forty images."""
    labels, said = np.repeat([0, 0, 1, 1], 10), np.repeat([0, 1, 1, 1], 10)
    grouped = judged(np.repeat([7, 8, 9, 10], 10), labels, said)
    alone = judged(None, labels, said)
    assert grouped.method == "bootstrap over 4 groups"
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)
    assert 0 <= grouped.low < 0.75 < grouped.high <= 1
