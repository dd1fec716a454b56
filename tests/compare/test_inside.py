"""How far a network has moved inside: CKA and change of weights."""

import numpy as np
import pytest

from cnnlab.compare import inside


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
    assert inside._hsic(*grams) == pytest.approx(hsic_by_definition(*grams))


def test_cka_is_one_for_rotated_scaled_and_shifted_maps():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20, 3, 3, 4)).astype(np.float32)
    rotation = np.linalg.qr(rng.normal(size=(36, 36)))[0]
    y = 3 * x.reshape(20, -1) @ rotation + 7
    assert inside.cka(x, y) == pytest.approx(1)
    assert inside.cka(x, x) == pytest.approx(1, abs=1e-12)


def test_cka_of_unrelated_maps_is_zero_on_average_however_few_images():
    rng = np.random.default_rng(1)
    values = [inside.cka(*rng.normal(size=(2, 10, 200))) for _ in range(300)]
    assert abs(np.mean(values)) < 0.02  # the biased estimate is 0.95 here
    assert min(values) < 0


def test_cka_is_not_a_number_where_nothing_changes_and_needs_four_images():
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert np.isnan(inside.cka(x, np.ones((5, 3))))
    with pytest.raises(ValueError, match="3 images"):
        inside.cka(x[:3], x[:3])


def test_change_is_a_share_of_the_norm_before():
    before = [np.array([[3.0, 0.0]]), np.array([4.0])]
    assert inside.change(before, before) == 0
    assert inside.change(before, [np.array([[3.0, 3.0]]), np.array([0.0])]) == pytest.approx(1)
    assert np.isnan(inside.change([np.zeros(2)], [np.ones(2)]))
