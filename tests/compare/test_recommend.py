"""Which variant is recommended."""

import dataclasses

import numpy as np
import pytest

from cnnlab.compare import recommend as recommending
from cnnlab.compare.contrasts import Incomparable
from cnnlab.compare.inference import Split, crossed, probabilities, score_interval
from cnnlab.compare.recommend import COLUMNS, RULES, recommend
from cnnlab.compare.tables import Rules

RULE = Rules(probability=0.95)
N, REPEATS = 200, 3
SPLIT = Split(
    np.stack([np.random.default_rng(r).permutation(np.arange(N) % 5) for r in range(REPEATS)]),
    np.arange(N),
)
TECHNIQUES = {"none": [], "x": ["x"], "y": ["y"], "xy": ["x", "y"]}
COSTS = {"none": 1.0, "x": 3.0, "y": 2.0, "xy": 4.0}


def values(spread=0.02, **lifts):
    """Each variant's values: common images, a lift, and noise of its own, of mean 0."""
    rng = np.random.default_rng(0)
    image = rng.uniform(0.3, 0.5, N)
    made = {}
    for name, lift in lifts.items():
        noise = rng.normal(0, spread, (REPEATS, N))
        made[name] = image + lift + noise - noise.mean()
    return made


def chosen(rows):
    (name,) = [row["name"] for row in rows if row["recommended"]]
    return name


def rows_of(given, rule="best", costs=COSTS, techniques=TECHNIQUES, **changes):
    rules = dataclasses.replace(RULE, **changes)
    return recommend(rule, given, techniques, costs, SPLIT, rules)


def recommended(given, rule="best", **changes):
    return chosen(rows_of(given, rule, **changes))


# Of the best -------------------------------------------------------------------------------------


def test_of_unequal_repeats_the_best_is_one_that_none_leads():
    """`x` has the better mean, of a lucky first repeat; on what both have, `xy` is ahead."""
    given = values(none=0, x=0.1, y=0.01, xy=0.12)
    given["x"] = given["x"][:1] + 0.04
    given["xy"][0] += 0.05
    assert np.mean(given["x"]) > np.mean(given["xy"])
    loss = {name: 1 - v for name, v in given.items()}
    for rule in RULES:
        for signed, higher in ((given, True), (loss, False)):
            rows = rows_of(signed, rule, higher_is_better=higher)
            assert min(row["behind"] for row in rows) == 0
            assert [row["name"] for row in rows if row["behind"] == 0] == ["xy"]


def test_where_leads_go_round_in_a_circle_only_repeats_that_all_have_count():
    """a leads b on the first repeat, b leads c on two, c leads a on the first."""
    level = {"a": [0.6], "b": [0.5, 0.9], "c": [0.65, 0.7]}
    rng = np.random.default_rng(0)
    given = {
        name: np.array(means)[:, None] + rng.normal(0, 0.001, (len(means), N))
        for name, means in level.items()
    }
    rows = recommend(
        "best", given, dict.fromkeys("abc", ()), dict.fromkeys("abc", 1.0), SPLIT, RULE
    )
    behind = {row["name"]: row["behind"] for row in rows}
    assert behind["c"] == 0 and min(behind.values()) == 0
    assert behind["b"] == pytest.approx(0.15, abs=0.001)  # of the first repeat alone


def test_scores_have_the_intervals_that_all_of_the_study_give():
    """With one repeat what stands beside the variants, as a placebo does, counts too."""
    given = {name: v[:1] for name, v in values(none=0, x=0.1, y=0, xy=0.1).items()}
    beside = [np.random.default_rng(5).uniform(0, 1, (1, N))]
    rows = recommend("best", given, TECHNIQUES, COSTS, SPLIT, RULE, beside)
    every = RULE.estimates([*given.values(), *beside], SPLIT)
    for row, estimate in zip(rows, every, strict=False):
        bounds = score_interval(estimate, RULE.confidence, (0, 1))
        assert (row["low"], row["high"]) == bounds


# The best, less what it can do without ------------------------------------------------------------


def test_what_matters_is_kept():
    assert recommended(values(none=0, x=0.05, y=0.05, xy=0.1)) == "xy"
    loss = {name: 1 - v for name, v in values(none=0, x=0.05, y=0.05, xy=0.1).items()}
    assert recommended(loss, higher_is_better=False) == "xy"


def test_a_technique_without_which_nothing_that_matters_is_lost_is_left_out():
    assert recommended(values(none=0, x=0.1, y=0, xy=0.104)) == "x"
    assert recommended(values(none=0, x=0.001, y=0, xy=0.002)) == "none"


def test_the_odds_decide_and_not_their_being_sure():
    """The best leads by more than the rope, more likely than not, though far from surely."""
    noisy = values(spread=0.5, none=0, x=0.0, y=0.0, xy=0.02)
    rows = {row["name"]: row for row in rows_of(noisy)}
    assert 0.5 < rows["none"]["p_worse"] < 0.8
    assert recommended(noisy) == "xy" and recommended(noisy, "simplest") == "none"
    closer = values(spread=0.5, none=0, x=0.0, y=0.0, xy=0.008)
    assert 0.3 < {r["name"]: r["p_worse"] for r in rows_of(closer)}["none"] < 0.5
    assert recommended(closer) == "none"


def test_only_what_is_in_the_best_is_weighed():
    """y is cheaper, as good and as simple as x, but no part of the best one."""
    techniques = {"none": [], "x": ["x"], "y": ["y"], "xz": ["x", "z"]}
    given = values(none=0, x=0.098, y=0.099, xz=0.1)
    costs = {"none": 1.0, "x": 3.0, "y": 0.5, "xz": 4.0}
    assert chosen(rows_of(given, techniques=techniques, costs=costs)) == "x"


def test_of_equally_few_techniques_the_better_is_taken():
    assert recommended(values(none=0, x=0.096, y=0.097, xy=0.1)) == "y"


def test_a_rope_of_nothing_keeps_the_best_mean():
    given = values(none=0, x=0.0, y=0.0, xy=0.002)
    assert recommended(given, rope=0.0) == "xy" and recommended(given) == "none"


# The simplest of those too close to call ----------------------------------------------------------


def test_where_nothing_is_significant_the_simplest_is_taken():
    assert recommended(values(none=0, x=0.001, y=0, xy=0.002), "simplest") == "none"


def test_a_technique_that_helps_is_taken_and_one_that_adds_nothing_is_not():
    assert recommended(values(none=0, x=0.1, y=0, xy=0.101), "simplest") == "x"
    assert recommended(values(none=0, x=0.1, y=0.1, xy=0.3), "simplest") == "xy"


def test_of_equally_many_techniques_the_cheaper_is_taken_then_the_better():
    given = values(none=0, x=0.101, y=0.1, xy=0.1)
    assert recommended(given, "simplest") == "y"
    same = dict.fromkeys(COSTS, 1.0)
    assert chosen(rows_of(given, "simplest", costs=same)) == "x"


def test_what_is_surely_behind_by_nothing_that_matters_stays_level():
    """As p < alpha would not have it."""
    given = values(spread=0.005, none=0, x=0.005)
    assert crossed(given["x"] - given["none"], SPLIT, 1.25).p < 0.001
    assert recommended(given, "simplest") == "none"
    assert recommended(given, "simplest", rope=0.0) == "x"


def test_the_lower_the_probability_the_closer_to_the_best():
    given = values(spread=0.15, none=0, x=0.02)
    p = probabilities(crossed(given["x"] - given["none"], SPLIT, 1.25), 0.01)[2]
    assert 0.6 < p < 0.95
    for probability, name in ((p - 0.01, "x"), (p + 0.01, "none")):
        assert recommended(given, "simplest", probability=probability) == name


# Rows ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rule", list(RULES))
def test_a_row_says_how_far_the_variant_is_behind(sign, rule):
    given = {name: (1 - sign) / 2 + sign * v for name, v in values(none=0, x=0.1).items()}
    none, x = rows_of(given, rule, higher_is_better=sign > 0)
    assert list(none) == COLUMNS
    assert (x["behind"], x["p_worse"], x["level"], x["techniques"]) == (0, 0, True, "x")
    lead = crossed(sign * (given["x"] - given["none"]), SPLIT, 1.25)
    assert none["behind"] == pytest.approx(0.1)
    assert (none["behind_low"], none["behind_high"]) == lead.interval(0.95)
    assert none["p_worse"] == probabilities(lead, 0.01)[2] > 0.95 and not none["level"]
    assert none["low"] < none["score"] < none["high"]
    assert x["recommended"]


def test_where_all_folds_are_alike_the_means_decide():
    image = np.random.default_rng(0).uniform(0.3, 0.5, (REPEATS, N))
    equal = {"none": image, "x": image + 0.25, "xy": image + 0.25}
    for rule in RULES:
        rows = rows_of(equal, rule)
        assert chosen(rows) == "x"
        assert {r["name"]: r["p_worse"] for r in rows} == {"none": 1, "x": 0, "xy": 0}
        assert all(np.isfinite(v) for row in rows for v in row.values() if not isinstance(v, str))


def test_scores_have_intervals_within_what_is_possible():
    right = np.ones((REPEATS, N))
    right[:, :3] = 0
    rows = rows_of({"none": right, "x": right[:, ::-1], "xy": np.ones((REPEATS, N))})
    for row in rows:
        assert 0 < row["low"] <= row["score"] <= row["high"] <= 1 and row["low"] < 1
    expected = score_interval(crossed(right, SPLIT, 1.25), 0.95, (0.0, 1.0))
    assert (rows[0]["low"], rows[0]["high"]) == expected


@pytest.mark.parametrize("rule", list(RULES))
def test_one_variant_is_its_own_recommendation(rule):
    assert recommended({"none": values(none=0)["none"]}, rule) == "none"


@pytest.mark.parametrize("rule", list(RULES))
def test_variants_may_have_other_numbers_of_repeats(rule):
    given = values(none=0, x=0.1, y=0, xy=0.104)
    given["x"] = given["x"][:2]
    rows = {row["name"]: row for row in rows_of(given, rule)}
    lead = crossed((given["xy"][:2] - given["x"]), SPLIT, 1.25)
    assert rows["x"]["behind"] == lead.mean and rows["x"]["recommended"]


def test_the_estimate_is_that_of_the_rules():
    given = values(none=0, x=0.02)
    rows = rows_of(given, estimate="corrected_t")
    crossed_rows = rows_of(given)
    width, narrow = (r[0]["behind_high"] - r[0]["behind_low"] for r in (rows, crossed_rows))
    assert width > narrow


def test_scores_of_other_images_are_refused():
    given = values(none=0, x=0.1)
    with pytest.raises(Incomparable):
        rows_of({"none": given["none"], "x": given["x"][:, :4]})


def test_the_recommended_variant_is_read_by_its_name_whatever_that_looks_like(tmp_path):
    for name in ("none", "null", "007", "1e3", "true"):
        table = tmp_path / "recommended.csv"
        table.write_text(f"name,techniques,recommended\nbaseline,,False\n{name},x,True\n")
        assert recommending.recommended(table) == name
