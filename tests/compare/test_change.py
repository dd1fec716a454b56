"""Real change or noise."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.compare.change import Known, changes, standard_error
from cnnlab.compare.inference import corrected_t

RULES = {"confidence": 0.95, "alpha": 0.05, "rope": 0.01}


def known(values):
    e = corrected_t(values, 0.95)
    return Known(mean=e.mean, error=e.standard_error, df=e.df)


def draw(seed, mean=0.0, sd=0.02, shape=(3, 5)):
    return np.random.default_rng(seed).normal(mean, sd, shape)


@given(st.floats(0.5, 0.99), st.integers(0, 99))
def test_the_standard_error_is_got_back_from_the_interval(confidence, seed):
    e = corrected_t(draw(seed), confidence)
    assert standard_error(e.low, e.high, e.df, confidence) == pytest.approx(e.standard_error)


def test_the_difference_is_that_of_independent_means():
    before, after = draw(0), draw(1, 0.1, shape=(1, 5))
    change = changes({"x": (known(before), known(after))}, **RULES)["x"]
    errors = [corrected_t(v, 0.95).standard_error for v in (before, after)]
    assert change.mean == pytest.approx(after.mean() - before.mean())
    half = math.hypot(*errors) * 2.7764451  # t, 0.975, of the smaller 4 degrees of freedom
    assert (change.low, change.high) == pytest.approx((change.mean - half, change.mean + half))


def test_each_verdict():
    same, tight = known(draw(0)), known(draw(1, sd=1e-4))
    pairs = {
        "same": (same, same),
        "moved": (same, known(draw(2, mean=0.3))),
        "noise": (same, known(draw(3))),
        "little": (tight, known(draw(4, mean=0.002, sd=1e-4))),
    }
    assert {name: c.verdict for name, c in changes(pairs, **RULES).items()} == {
        "same": "unchanged",
        "moved": "real change",
        "noise": "within noise",
        "little": "no practical change",
    }


def test_where_all_folds_agree_any_difference_is_real():
    flat = tuple(Known(mean=v, error=0.0, df=4) for v in (0.0, 0.5))
    change = changes({"x": flat}, **RULES)["x"]
    assert (change.low, change.high, change.p_holm) == (0.5, 0.5, 0.0)
    assert change.verdict == "real change"


def test_asking_about_many_makes_each_harder_to_tell():
    before, after = known(draw(0)), known(draw(5, mean=0.04))
    alone = changes({"x": (before, after)}, **RULES)["x"]
    others = {str(i): (known(draw(10 + i)), known(draw(50 + i))) for i in range(20)}
    among = changes({"x": (before, after), **others}, **RULES)["x"]
    assert among.p_holm > alone.p_holm
    assert dataclasses.replace(among, p_holm=0, verdict="unchanged") == dataclasses.replace(
        alone, p_holm=0, verdict="unchanged"
    )
    # What has not been measured anew is no question.
    unchanged = {str(i): (before, before) for i in range(20)}
    assert changes({"x": (before, after), **unchanged}, **RULES)["x"] == alone


def test_noise_is_rarely_called_a_change_also_when_folds_share_images():
    """Folds of one study are correlated by 1 / folds, as the corrected t supposes; the images that
    two studies share make a common part of both means."""
    for shared in (0.0, 0.7):
        rng, calls = np.random.default_rng(7), 0
        for _ in range(2000):
            common = rng.normal(0, math.sqrt(0.2))
            studies = []
            for _ in range(2):
                single = rng.normal(0, math.sqrt(0.2))
                mean = math.sqrt(shared) * common + math.sqrt(1 - shared) * single
                studies.append(known(mean + rng.normal(0, math.sqrt(0.8), (3, 5))))
            change = changes({"x": tuple(studies)}, **{**RULES, "rope": 0.0})["x"]
            calls += change.verdict == "real change"
        assert calls / 2000 < 0.06
