"""Which variant is recommended."""

import numpy as np
import pytest

from cnnlab.compare import RULES, Rules, corrected_t, correlated_t_rope, recommend
from cnnlab.compare.contrasts import Incomparable
from cnnlab.compare.recommend import COLUMNS

RULE = Rules(
    metric="accuracy",
    higher_is_better=True,
    rope=0.01,
    confidence=0.95,
    alpha=0.05,
    probability=0.95,
)
FOLDS = np.array([[0.60, 0.64, 0.59, 0.63, 0.62]])
NOISE = np.array([[0.004, -0.003, 0.001, -0.004, 0.002]])
TECHNIQUES = {"none": [], "x": ["x"], "y": ["y"], "xy": ["x", "y"]}
COSTS = {"none": 1.0, "x": 3.0, "y": 2.0, "xy": 4.0}


def scores(**lifts):
    """Each variant's scores: common folds, a lift, and noise of its own."""
    shifted = {name: np.roll(NOISE, i) for i, name in enumerate(lifts)}
    return {name: FOLDS + lift + shifted[name] for name, lift in lifts.items()}


def chosen(rows):
    (name,) = [row["name"] for row in rows if row["recommended"]]
    return name


def recommended(values, rule="simplest", **changes):
    rules = Rules(**{**vars(RULE), **changes})
    return chosen(recommend(rule, values, TECHNIQUES, COSTS, rules))


def test_the_best_rule_takes_the_best_mean():
    values = scores(none=0, x=0.001, y=0, xy=0.002)
    assert recommended(values, "best") == "xy"
    assert (
        recommended({k: 1 - v for k, v in values.items()}, "best", higher_is_better=False) == "xy"
    )


def test_where_nothing_is_significant_the_simplest_is_taken():
    assert recommended(scores(none=0, x=0.001, y=0, xy=0.002)) == "none"


def test_a_technique_that_helps_is_taken_and_one_that_adds_nothing_is_not():
    assert recommended(scores(none=0, x=0.1, y=0, xy=0.101)) == "x"
    assert recommended(scores(none=0, x=0.1, y=0.1, xy=0.3)) == "xy"


def test_of_equally_many_techniques_the_cheaper_is_taken_then_the_better():
    values = scores(none=0, x=0.101, y=0.1, xy=0.1)
    assert recommended(values) == "y"
    same = dict.fromkeys(COSTS, 1.0)
    assert chosen(recommend("simplest", values, TECHNIQUES, same, RULE)) == "x"


def test_what_is_surely_behind_by_nothing_that_matters_stays_level():
    """As p < alpha would not have it."""
    values = {"none": FOLDS + NOISE / 100, "x": FOLDS + 0.005}
    techniques, costs = {k: TECHNIQUES[k] for k in values}, {k: COSTS[k] for k in values}
    assert corrected_t(values["x"] - values["none"], 0.95).p < 0.001
    assert chosen(recommend("simplest", values, techniques, costs, RULE)) == "none"
    strict = Rules(**{**vars(RULE), "rope": 0.0})
    assert chosen(recommend("simplest", values, techniques, costs, strict)) == "x"


def test_the_lower_the_probability_the_closer_to_the_best():
    lead = np.array([[0.0, 0.03, 0.01, 0.05, 0.02]])
    values = {"none": FOLDS, "x": FOLDS + lead}
    techniques, costs = {k: TECHNIQUES[k] for k in values}, {k: COSTS[k] for k in values}
    p = correlated_t_rope(lead, 0.01, 0.95, higher_is_better=True).above
    assert 0.6 < p < 0.95
    for probability, name in ((p - 0.01, "x"), (p + 0.01, "none")):
        rules = Rules(**{**vars(RULE), "probability": probability})
        assert chosen(recommend("simplest", values, techniques, costs, rules)) == name


@pytest.mark.parametrize("sign", [1, -1])
def test_a_row_says_how_far_the_variant_is_behind(sign):
    values = {name: (1 - sign) / 2 + sign * v for name, v in scores(none=0, x=0.1).items()}
    rules = Rules(**{**vars(RULE), "higher_is_better": sign > 0})
    techniques, costs = {k: TECHNIQUES[k] for k in values}, {k: COSTS[k] for k in values}
    none, x = recommend("simplest", values, techniques, costs, rules)
    assert list(none) == COLUMNS
    assert (x["behind"], x["p_worse"], x["level"], x["techniques"]) == (0, 0, True, "x")
    assert none["behind"] == pytest.approx(0.1, abs=0.003) and none["behind_low"] > 0
    assert none["p_worse"] > 0.95 and not none["level"]
    assert none["low"] < none["score"] < none["high"]


def test_all_folds_alike_need_no_luck():
    equal = {"none": FOLDS, "x": FOLDS + 0.25, "xy": FOLDS + 0.25}
    rows = recommend("simplest", equal, TECHNIQUES, COSTS, RULE)
    assert chosen(rows) == "x"
    assert all(np.isfinite(v) for row in rows for v in row.values() if not isinstance(v, str))


def test_scores_have_intervals_within_what_is_possible_and_leads_symmetric_ones():
    values = {"none": np.array([[1.0, 0.98, 1.0, 0.94, 1.0]])}
    values["x"] = values["none"][:, ::-1] - 0.02
    techniques, costs = {k: TECHNIQUES[k] for k in values}, {k: COSTS[k] for k in values}
    none, x = recommend("best", values, techniques, costs, RULE)
    assert 0 < none["low"] < none["score"] < none["high"] < 1
    lead = corrected_t(values["none"] - values["x"], 0.95)
    assert (x["behind"], x["behind_low"], x["behind_high"]) == pytest.approx(
        (lead.mean, lead.low, lead.high)
    )


@pytest.mark.parametrize("rule", list(RULES))
def test_one_variant_is_its_own_recommendation(rule):
    assert recommended({"none": FOLDS}, rule) == "none"


def test_scores_of_other_folds_are_refused():
    with pytest.raises(Incomparable):
        recommended({"none": FOLDS, "x": FOLDS[:, :4] + 1})
