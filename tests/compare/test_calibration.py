"""Temperature and prediction sets: what they find, what they promise, and that no image has a part
in what it is judged by."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.compare import calibration as c
from cnnlab.compare.scores import Outcomes

CLASSES = 4


def drawn(n, temperature, seed=0, spread=3.0):
    """Labels, and probabilities of a network whose logits are `temperature` times too large."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, spread, (n, CLASSES))
    true = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(CLASSES, p=p) for p in true])
    large = np.exp(logits * temperature)
    return labels, (large / large.sum(axis=1, keepdims=True)).astype(np.float32)


def outcomes(n=300, temperature=2.0, repeats=2, folds=5):
    labels, shares = drawn(n, temperature)
    rng = np.random.default_rng(1)
    fold = np.stack([rng.permutation(n) % folds for _ in range(repeats)])
    return Outcomes(np.arange(n), labels, fold, np.stack([shares[None]] * repeats))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_is_found(temperature):
    assert c.fit_temperature(*drawn(4000, temperature)) == pytest.approx(temperature, rel=0.08)


def test_where_all_are_right_or_nothing_is_known_probabilities_stay():
    labels, shares = np.array([0, 1, 2]), np.eye(CLASSES)[[0, 1, 2]] * 0.8 + 0.05
    assert c.fit_temperature(labels, shares) == 1
    assert c.fit_temperature(labels, np.full((3, CLASSES), 1 / CLASSES)) == 1


def test_scaling_keeps_the_answer_and_one_is_no_change():
    _, shares = drawn(50, 1)
    np.testing.assert_allclose(c.scaled(shares, 1.0), shares, atol=1e-6)
    softer = c.scaled(shares, 3.0)
    assert (softer.argmax(1) == shares.argmax(1)).all() and softer.max() < shares.max()
    np.testing.assert_allclose(softer.sum(1), 1)
    assert np.isfinite(c.scaled(np.array([[1.0, 0.0]]), 0.1)).all()


@pytest.mark.parametrize("n", [19, 40, 99])
def test_a_limit_covers_as_much_as_is_declared(n):
    """Over many draws: at least as declared, and by no more than one image's share."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(4000):
        values = rng.random(n + 1)
        covered.append(values[n] >= c.least_probability(values[:n], 0.9, n))
    assert 0.9 - 0.015 < np.mean(covered) < 0.9 + 1 / (n + 1) + 0.015


def test_too_few_images_rule_nothing_out():
    values = np.linspace(0.1, 1, 8)
    assert c.least_probability(values, 0.9, 8) == 0
    assert c.least_probability(values, 0.8, 8) == values[0]
    assert c.sets(np.array([[0.7, 0.2, 0.1]]), 0.0).all()


def test_repeats_add_no_images():
    """The same images seen by three networks: the limit of one, not that of three times as many."""
    values = np.random.default_rng(0).random(37)
    once = c.least_probability(values, 0.9, 37)
    assert c.least_probability(np.tile(values, 3), 0.9, 37) == once
    assert c.least_probability(np.tile(values, 3), 0.9, 111) > once


def test_images_of_a_group_count_as_one():
    made = outcomes()
    alone = c.calibrate(made, made.image_id, 0.9)
    grouped = c.calibrate(made, made.image_id // 20, 0.9)
    assert grouped.least < alone.least


def test_the_likeliest_is_always_in_and_others_where_they_are_likely():
    chosen = c.sets(np.array([[0.4, 0.35, 0.25], [0.98, 0.01, 0.01]]), 0.3)
    assert chosen.tolist() == [[True, True, False], [True, False, False]]
    assert c.sets(np.array([[0.4, 0.3, 0.3]]), 0.9).tolist() == [[True, False, False]]


def test_calibration_mends_what_is_too_sure_and_says_so():
    made = outcomes(800, 3.0)
    found = c.calibrate(made, made.image_id, 0.9)
    assert found.temperature == pytest.approx(3, rel=0.2)
    assert found.after.nll < found.before.nll and found.after.ece < found.before.ece / 2
    assert found.after.covered == pytest.approx(0.9, abs=0.03)
    assert 1 <= found.after.size < CLASSES
    assert found.after_probabilities.shape == made.outputs.shape


def test_what_makes_nothing_better_is_not_done():
    labels = np.random.default_rng(0).integers(0, CLASSES, 40)
    shares = np.full((1, 1, 40, CLASSES), 1 / CLASSES, np.float32)
    made = Outcomes(np.arange(40), labels, (np.arange(40) % 4)[None], shares)
    found = c.calibrate(made, made.image_id, 0.9)
    assert found.temperature == 1 and found.before == found.after
    np.testing.assert_allclose(found.after_probabilities, shares)


def test_no_fold_has_a_part_in_what_it_is_judged_by():
    made = outcomes()
    held = made.fold[0] == 0
    turned = np.where(held, (made.labels + 1) % CLASSES, made.labels)
    other = replace(made, labels=turned, fold=made.fold[:1], outputs=made.outputs[:1])
    made = replace(made, fold=made.fold[:1], outputs=made.outputs[:1])
    one, two = (c.calibrate(o, o.image_id, 0.9).after_probabilities for o in (made, other))
    np.testing.assert_array_equal(one[0, 0, held], two[0, 0, held])
    assert not np.array_equal(one[0, 0, ~held], two[0, 0, ~held])
