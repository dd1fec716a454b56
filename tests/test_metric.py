"""How values of metrics are written, and what an image adds to one."""

import numpy as np
import pytest

from cnnlab.metric import Metric, influence, percent, plain, signed


@pytest.mark.parametrize(
    ("value", "digits", "as_value", "as_difference"),
    [
        (1.25, 1, "1.2", "+1.2"),
        (-1.26, 1, "−1.3", "−1.3"),
        (0.0, 1, "0.0", "0.0"),
        (-0.04, 1, "0.0", "0.0"),
        (0.04, 1, "0.0", "0.0"),
        (12, 0, "12", "+12"),
    ],
)
def test_numbers_have_a_true_minus_and_zero_has_no_sign(value, digits, as_value, as_difference):
    assert plain(value, digits) == as_value
    assert signed(value, digits) == as_difference


@pytest.mark.parametrize(
    ("share", "written"), [(0.95, "95%"), (0.999, "99.9%"), (0.995, "99.5%"), (0.5, "50%")]
)
def test_a_level_has_the_digits_that_it_was_asked_with(share, written):
    assert percent(share) == written


def test_a_metric_is_the_mean_of_its_values_in_double_precision_and_shown_in_its_unit():
    share = Metric("share", True, 100, "%", "points", 1, lambda _, x: x[:, 0], (0, 1))
    outputs = np.array([[0.1], [0.2], [0.3]], np.float32)
    assert share.score(np.zeros(3, int), outputs) == outputs.astype(np.float64).mean()
    assert (share.plain(0.256), share.signed(-0.021)) == ("25.6", "−2.1")


def test_the_influence_on_a_mean_is_the_values_themselves():
    values = np.array([3.0, -1.0, 7.0, 2.0])
    without = (values.sum() - values) / 3
    np.testing.assert_allclose(influence(values.mean(), without), values)


def test_influences_have_the_metric_as_their_mean():
    rng = np.random.default_rng(0)
    assert influence(0.7, rng.random(50)).mean() == pytest.approx(0.7)
