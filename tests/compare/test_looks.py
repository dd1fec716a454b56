"""Bounds for looking after each repeat: published numbers, simulation, and their inverse."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cnnlab.compare import looks

# Share of the images in the variance of a repeat, of the trainings that chose the guard.
IMAGES = 0.0945


def after_repeats(most, images=IMAGES):
    """The share of what `most` repeats tell that is there after each."""
    return tuple((images + 1 / most) / (images + 1 / r) for r in range(1, most + 1))


def crossings(times, bounds, draws=200_000, seed=0):
    """Of random walks: how often each look is the first that crosses."""
    rng = np.random.default_rng(seed)
    place, crossed, first = np.zeros(draws), np.zeros(draws, bool), []
    for time, step, bound in zip(times, np.diff(times, prepend=0), bounds, strict=True):
        place += rng.normal(0, np.sqrt(step), draws)
        now = (np.abs(place) >= bound * np.sqrt(time)) & ~crossed
        first.append(now.mean())
        crossed |= now
    return np.array(first)


def test_bounds_of_ten_looks_at_the_digits():
    printed = [4.65, 3.45, 2.93, 2.66, 2.50, 2.39, 2.31, 2.24, 2.19, 2.16]
    assert looks.bounds(after_repeats(10), 0.05) == pytest.approx(printed, abs=0.025)


@pytest.mark.parametrize("times", [(0.2, 0.5, 1.0), (0.6, 0.65, 0.9)])
def test_bounds_agree_with_the_integral_of_scipy(times):
    """That no look crosses, as a rectangle of the normal distribution of all looks together."""
    bounds = np.array(looks.bounds(times, 0.05))
    for last in (1, 2, 3):
        t = np.array(times[:last])
        correlation = np.sqrt(np.minimum.outer(t, t) / np.maximum.outer(t, t))
        within = stats.multivariate_normal(np.zeros(last), correlation, seed=0).cdf(
            bounds[:last], lower_limit=-bounds[:last]
        )
        spent = 2 * stats.norm.sf(stats.norm.isf(0.025) / np.sqrt(t[-1]))
        assert 1 - within == pytest.approx(spent, abs=2e-5)


@pytest.mark.parametrize(
    "times",
    [
        after_repeats(10),
        after_repeats(10)[2:],
        after_repeats(4, images=20.0),
        after_repeats(60),
        (0.3, 0.31, 0.9, 0.905, 1.0),
        (0.9, 0.9001, 0.9002, 0.9003, 1.0),
        (1.0,),
    ],
    ids=["ten", "from three on", "images alone", "sixty", "uneven", "nothing new", "one"],
)
@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_crossing_at_any_look_has_the_probability_that_was_asked_for(times, alpha):
    first = crossings(times, looks.bounds(times, alpha))
    error = np.sqrt(alpha * (1 - alpha) / 200_000)
    assert first.sum() == pytest.approx(alpha, abs=3.5 * error)
    spent = 2 * stats.norm.sf(stats.norm.isf(alpha / 2) / np.sqrt(times))
    np.testing.assert_allclose(np.cumsum(first), spent, atol=4 * error)


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
def test_early_looks_ask_for_more(alpha):
    bounds = looks.bounds(after_repeats(10), alpha)
    assert list(bounds) == sorted(bounds, reverse=True)
    assert bounds[-1] > stats.norm.isf(alpha / 2)


def test_one_look_at_the_end_changes_nothing():
    for alpha in (0.001, 0.05, 0.4):
        assert looks.level([1.0], alpha) == pytest.approx(alpha, rel=1e-4)
        assert looks.adjusted(alpha, [1.0]) == alpha


TIMES = st.lists(st.floats(0.02, 1), min_size=1, max_size=5).map(sorted)


@given(TIMES, st.floats(0.001, 0.5))
def test_a_level_is_never_above_alpha_and_adjusted_is_its_inverse(times, alpha):
    level = looks.level(times, alpha)
    assert 0 < level <= alpha * (1 + 1e-4)
    if level > 1e-9:  # below it the quadrature tells nothing
        assert looks.adjusted(level, times) == pytest.approx(alpha, rel=0.01)


@given(TIMES, st.floats(0, 1), st.floats(0, 1))
def test_adjusted_is_a_larger_p_and_keeps_the_order(times, p, q):
    low, high = sorted((p, q))
    adjusted = [looks.adjusted(value, times) for value in (low, high)]
    assert adjusted[0] <= adjusted[1] * (1 + 1e-3)
    for value, worth in zip((low, high), adjusted, strict=True):
        assert value <= worth <= 1


@pytest.mark.parametrize("p", [0.0, 1e-12, 1e-6, 0.003, 0.049, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("times", [(0.4,), (0.4, 0.9), after_repeats(10)])
def test_adjusted_p_is_below_alpha_exactly_where_the_bound_is_crossed(p, times):
    for alpha in (0.01, 0.05, 0.1):
        level = looks.level(times, alpha)
        assert (looks.adjusted(p, times) < alpha) == (p < level)


def test_looks_of_equal_information_are_allowed():
    """Such as where images alone make the variance: repeats add nothing."""
    level = looks.level([1.0] * 5, 0.05)
    assert 0 < level <= 0.05
    assert looks.adjusted(0.001, [1.0, 1.0, 1.0]) < 0.05
