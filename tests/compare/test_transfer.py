"""Scores against the size of the target; CKA and change of weights."""

import numpy as np
import pytest

from cnnlab.compare import transfer
from cnnlab.compare.inference import corrected_t, mean_interval


def hsic_by_definition(a, b):
    """Song et al. (2012): the U-statistic, summed over four different images."""
    n, total = len(a), 0.0
    for i, j, q, r in np.ndindex(n, n, n, n):
        if len({i, j, q, r}) == 4:
            total += a[i, j] * (b[i, j] + b[q, r] - 2 * b[i, q])
    return total / (n * (n - 1) * (n - 2) * (n - 3))


def test_hsic_is_the_u_statistic():
    rng = np.random.default_rng(0)
    grams = [x @ x.T for x in rng.normal(size=(2, 6, 3))]
    for gram in grams:
        np.fill_diagonal(gram, 0)
    assert transfer._hsic(*grams) == pytest.approx(hsic_by_definition(*grams))


def test_cka_is_one_for_rotated_scaled_and_shifted_maps():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3, 3, 4)).astype(np.float32)
    rotation = np.linalg.qr(rng.normal(size=(36, 36)))[0]
    y = 3 * x.reshape(20, -1) @ rotation + 7
    assert transfer.cka(x, y) == pytest.approx(1)
    assert transfer.cka(x, x) == pytest.approx(1, abs=1e-12)


def test_cka_of_unrelated_maps_is_zero_on_average_however_few_images():
    rng = np.random.default_rng(1)
    found = [transfer.cka(*rng.normal(size=(2, 10, 200))) for _ in range(300)]
    assert abs(np.mean(found)) < 0.02  # the biased estimate is 0.95 here
    assert min(found) < 0


def test_cka_is_not_a_number_where_nothing_changes_and_needs_four_images():
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert np.isnan(transfer.cka(x, np.ones((5, 3))))
    with pytest.raises(ValueError, match="3 images"):
        transfer.cka(x[:3], x[:3])


def test_change_is_a_share_of_the_norm_before():
    before = [np.array([[3.0, 0.0]]), np.array([4.0])]
    assert transfer.change(before, before) == 0
    assert transfer.change(before, [np.array([[3.0, 3.0]]), np.array([0.0])]) == pytest.approx(1)


def grid(*means):
    return np.array([means])


SCORES = {
    100: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.71, 0.8, 0.91)},
    20: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.5, 0.7, 0.75)},
    50: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.9, 0.6, 0.85)},
}


def test_rows_hold_means_and_paired_differences_by_size():
    rows = transfer.size_rows(SCORES, "freeze", 0.95)
    assert [(r["per_class"], r["strategy"]) for r in rows] == [
        (size, name) for size in (20, 50, 100) for name in ("freeze", "finetune")
    ]
    last = rows[-1]
    own = mean_interval(SCORES[100]["finetune"], 0.95)
    found = corrected_t(grid(0.11, 0.1, 0.11), 0.95)
    assert (last["mean"], last["mean_low"], last["mean_high"]) == (own.mean, own.low, own.high)
    assert last["effect"] == pytest.approx(found.mean)
    assert last["low"] == pytest.approx(found.low)
    assert last["p"] == pytest.approx(found.p)
    assert "effect" not in rows[0]


def test_where_one_overtakes_another():
    rows = transfer.size_rows(SCORES, "freeze", 0.95)
    assert transfer.overtakes(rows, "finetune", 1) == (50, 100)
    assert transfer.overtakes(rows, "finetune", -1) == (None, None)
    first = transfer.size_rows({20: SCORES[100]}, "freeze", 0.95)
    assert transfer.overtakes(first, "finetune", 1) == (20, 20)
