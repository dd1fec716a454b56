"""Labels that are likely wrong, and hard images."""

import numpy as np
import pytest

from cnnlab.compare import labels
from cnnlab.compare.labels import COLUMNS, confident_errors, losses, too_often_wrong
from cnnlab.compare.scores import Outcomes

# What cleanlab 2.9.0 gives for `guesses(...)`:
# np.flatnonzero(find_label_issues(labels, probabilities, filter_by="confident_learning"))
CLEANLAB = {
    (0, 40, 3, 1.0): "",
    (1, 60, 4, 0.7): "1 4 5 7 8 9 10 11 13 14 21 28 38 39 42 44 48 49 50 52 53 55 57 58 59",
    (2, 200, 10, 1.0): "4 9 12 17 18 19 28 32 34 40 41 45 46 48 57 59 60 62 86 93 95 96 97 104 107"
    " 109 111 112 113 118 120 125 133 134 137 140 142 148 157 163 167 169 172 173 178 180 186 190",
}


def guesses(seed, images, classes, strength):
    """Labels, and probabilities that prefer them somewhat."""
    rng = np.random.default_rng(seed)
    labels, p = rng.integers(0, classes, images), rng.random((images, classes))
    p[np.arange(images), labels] += strength * rng.random(images)
    return labels, p / p.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("case", CLEANLAB)
def test_it_finds_what_cleanlab_finds(case):
    labels, probabilities = guesses(*case)
    found = np.flatnonzero(confident_errors(labels, probabilities))
    assert " ".join(map(str, found)) == CLEANLAB[case]


@pytest.mark.parametrize("seed", range(5))
def test_it_finds_what_an_installed_cleanlab_finds(seed):
    filters = pytest.importorskip("cleanlab.filter")
    labels, p = guesses(seed, 300, 5, 0.8)
    theirs = filters.find_label_issues(labels, p, filter_by="confident_learning", n_jobs=1)
    np.testing.assert_array_equal(confident_errors(labels, p), theirs)


def test_a_class_without_images_is_nobodys():
    labels = np.array([0, 0, 1, 1])
    p = np.array([[0.1, 0.1, 0.8], [0.9, 0.1, 0], [0.1, 0.8, 0.1], [0.7, 0.2, 0.1]])
    assert confident_errors(labels, p).tolist() == [False, False, False, True]


def outcomes(labels, *repeats):
    ids = np.arange(len(labels)) * 10
    p = np.array(repeats, np.float32)[:, None]  # one member
    return Outcomes(ids, np.array(labels), np.zeros((len(repeats), len(labels)), int), p)


def test_each_image_has_its_loss_and_what_it_was_taken_for(monkeypatch):
    monkeypatch.setattr(labels, "RIGHT", 0.5)
    one = [[0.9, 0.1], [0.05, 0.95], [0.2, 0.8], [0.4, 0.6]]
    two = [[0.7, 0.3], [0.15, 0.85], [0.4, 0.6], [0.6, 0.4]]
    table = losses(outcomes([0, 0, 1, 1], one, two), ["cat", "dog"])
    assert list(table.columns) == COLUMNS
    assert table["image_id"].tolist() == [10, 30, 20, 0]
    first = table.iloc[0]
    assert (first["label"], first["predicted"], first["wrong"], first["of"]) == ("cat", "dog", 2, 2)
    assert first["probability"] == pytest.approx(0.1) and first["other"] == pytest.approx(0.9)
    assert first["loss"] == pytest.approx(-np.log(0.1))
    assert table["suspect"].tolist() == [True, False, False, False]
    assert table["wrong"].tolist() == [2, 1, 0, 0]


def test_a_class_that_is_a_little_more_probable_is_no_reason():
    close = [[0.4, 0.6], [0.6, 0.4], [0.45, 0.55], [0.4, 0.6]]
    found = outcomes([0, 0, 1, 1], close)
    assert confident_errors(found.labels, np.array(close))[0]
    assert not losses(found, ["cat", "dog"])["suspect"].any()


def test_swapped_labels_come_out_and_right_ones_do_not():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 400)
    logits = rng.normal(size=(3, 400, 5))
    logits[:, np.arange(400), true] += 5
    p = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    labels = true.copy()
    labels[:10] = (true[:10] + 1) % 5
    table = losses(outcomes(labels, *p), list("abcde"))
    found = set(table.loc[table["suspect"], "image_id"] // 10)
    swapped = set(range(10))  # those as probable as usual for their class: never all
    assert len(found & swapped) >= 7 and len(found - swapped) <= 1


def test_where_networks_err_often_no_label_is_doubted():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 5, 400)
    p = np.full((400, 5), 0.02)
    taken = np.where(rng.random(400) < 0.25, (true + 1) % 5, true)  # surely, and often wrongly
    p[np.arange(400), taken] = 0.92
    table = losses(outcomes(true, p), list("abcde"))
    assert not table["suspect"].any()
    right = (taken == true).mean()
    assert f"{right:.0%} of the images are answered right" in too_often_wrong(table)
    seldom = losses(outcomes(taken, p), list("abcde"))
    assert too_often_wrong(seldom) == ""


def test_a_probability_of_nothing_has_a_loss_all_the_same():
    table = losses(outcomes([0, 1], [[0.0, 1.0], [0.0, 1.0]]), ["a", "b"])
    assert np.isfinite(table["loss"]).all()
