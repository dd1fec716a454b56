"""Real change or noise."""

import dataclasses
import math

import numpy as np
import pytest

from cnnlab.compare.change import Known, changes
from cnnlab.compare.inference import corrected_t

RULES = {"confidence": 0.95, "alpha": 0.05, "rope": 0.01}


def known(values):
    e = corrected_t(values)
    return Known(mean=e.mean, error=e.error, df=e.df)


def draw(seed, mean=0.0, sd=0.02, shape=(3, 5)):
    return np.random.default_rng(seed).normal(mean, sd, shape)


def test_the_difference_is_that_of_independent_means():
    before, after = draw(0), draw(1, 0.1, shape=(1, 5))
    change = changes({"x": (known(before), known(after))}, **RULES)["x"]
    errors = [corrected_t(v).error for v in (before, after)]
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


def test_an_error_that_is_not_known_is_no_certainty():
    """All folds alike on both sides: two numbers, and nothing on how they vary."""
    flat = tuple(Known(mean=v, error=0.0, df=4) for v in (0.0, 0.5))
    change = changes({"x": flat, "y": (known(draw(0)), flat[1])}, **RULES)
    assert {c.verdict for c in change.values()} == {"cannot be told"}
    assert (change["x"].mean, change["x"].p_holm) == (0.5, 1.0)
    assert changes({"x": flat[:1] * 2}, **RULES)["x"].verdict == "unchanged"


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


def calls(shared, claimed):
    """How often noise is called a change, of two studies whose means have a standard error of 1, a
    part `shared` of its square from the images that both have; their tables claim `claimed`."""
    rng, n = np.random.default_rng(7), 4000
    common = math.sqrt(shared) * rng.normal(size=(n, 1))
    means = common + math.sqrt(1 - shared) * rng.normal(size=(n, 2))
    rules = {**RULES, "rope": 0.0}
    pairs = [tuple(Known(mean=m, error=claimed, df=1e6) for m in pair) for pair in means.tolist()]
    return np.mean([changes({"x": p}, **rules)["x"].verdict == "real change" for p in pairs])


def test_false_calls_are_as_many_as_alpha_says_where_what_is_assumed_holds():
    assert calls(shared=0.0, claimed=1.0) == pytest.approx(0.05, abs=0.01)
    assert calls(shared=0.7, claimed=1.0) < 0.01  # of the same images: cautious
    assert calls(shared=0.0, claimed=0.5) > 0.25  # errors too small: no such promise
