"""The rows of the committed tables."""

import dataclasses
import math

import numpy as np
import pytest

from cnnlab.compare import looks, tables
from cnnlab.compare.contrasts import Contrast, alone, differences, ensemble, pair, placebo, removed
from cnnlab.compare.designs import ablation
from cnnlab.compare.inference import (
    Bar,
    Split,
    corrected_t,
    crossed,
    holm,
    images_to_decide,
    probabilities,
    repeats_to_decide,
    score_interval,
    spread,
)
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.tables import (
    CLASS_COLUMNS,
    EFFECT_COLUMNS,
    VARIANT_COLUMNS,
    Looks,
    Rules,
    class_rows,
    effect_rows,
    information,
    intervals,
    looks_of,
    needed,
    open_effects,
    variant_rows,
    watched,
)

RULES = Rules()
VARIANTS = {"none": [], "x": ["x"], "y": ["y"], "xy": ["x", "y"]}


def split_of(n=100, k=5, repeats=3, seed=0) -> Split:
    rng = np.random.default_rng(seed)
    fold = np.stack([rng.permutation(np.arange(n) % k) for _ in range(repeats)])
    return Split(fold, np.arange(n))


SPLIT = split_of()


def values_of(seed=0, n=100, repeats=3, lift=0.1):
    """Shares of right members: each technique adds the lift, and images are easy or hard."""
    rng = np.random.default_rng(seed)
    easy = rng.uniform(0.3, 0.7, n)
    return {
        name: easy + lift * len(on) + rng.normal(0, 0.1, (repeats, n))
        for name, on in VARIANTS.items()
    }


def replaced(**changes) -> Rules:
    return dataclasses.replace(RULES, **changes)


# Variants -----------------------------------------------------------------------------------------


def test_columns_are_those_that_are_documented():
    metrics = {"accuracy": values_of(), "nll": values_of(1)}
    for row in variant_rows(metrics, VARIANTS, SPLIT, RULES):
        expected = set(VARIANT_COLUMNS)
        for metric in metrics:
            expected |= {metric + end for end in ("", "_sd", "_se", "_low", "_high")}
        assert set(row) == expected
    for row in effect_rows(ablation(VARIANTS), values_of(), SPLIT, RULES):
        assert list(row) == EFFECT_COLUMNS
    documented = set(tables.__doc__.replace(",", " ").replace(".", " ").split())
    assert {*EFFECT_COLUMNS, *CLASS_COLUMNS, *VARIANT_COLUMNS} <= documented


def test_a_variant_as_worked_out_by_hand():
    """By the corrected t: three folds of one image."""
    split = Split(np.array([[0, 1, 2]]), np.arange(3))
    values = {"accuracy": {"a": np.array([[0.5, 0.6, 0.7]])}}
    (row,) = variant_rows(values, {"a": ["x", "y"]}, split, replaced(estimate="corrected_t"))
    error = 0.1 * math.sqrt(5 / 6)
    half = 4.302652729911275 * error / (0.6 * 0.4)  # on the logit scale, where 0.6 is log(1.5)
    low, high = (1 / (1 + math.exp(-(math.log(1.5) + sign * half))) for sign in (-1, 1))
    expected = {"n": 3, "repeats": 1, "accuracy": 0.6, "accuracy_sd": 0.1, "accuracy_se": error}
    expected |= {"accuracy_low": low, "accuracy_high": high}
    assert {k: row[k] for k in expected} == pytest.approx(expected)
    assert (row["name"], row["techniques"]) == ("a", "x y")


def test_a_variant_s_row_is_its_crossed_estimate():
    values = values_of()
    rows = variant_rows({"accuracy": values}, VARIANTS, SPLIT, RULES)
    for row in rows:
        estimate = crossed(values[row["name"]], SPLIT, 1.25)
        low, high = score_interval(estimate, 0.95, (0.0, 1.0))
        assert (row["accuracy"], row["accuracy_se"]) == (estimate.mean, estimate.error)
        assert (row["accuracy_low"], row["accuracy_high"]) == (low, high)
        assert (row["n"], row["repeats"]) == (100, 3)
        folds = SPLIT.means(values[row["name"]])
        assert row["accuracy_sd"] == pytest.approx(folds.std(ddof=1))
    assert intervals(values, SPLIT, RULES) == {
        row["name"]: (row["accuracy"], row["accuracy_low"], row["accuracy_high"]) for row in rows
    }


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("estimate", ["crossed", "corrected_t"])
def test_intervals_of_scores_stay_within_what_is_possible(metric, estimate):
    least, most = METRICS[metric].bounds
    most = min(most, 16.0)
    split = split_of(n=40, k=4, repeats=1)
    ends = {"low": [0, 0, 0.1, 0] * 10, "high": [1, 0.9, 1, 1] * 10}
    ends |= {"none": [0] * 40, "all": [1] * 40}
    scores = {name: least + (most - least) * np.array([shares]) for name, shares in ends.items()}
    rules = replaced(metric=metric, estimate=estimate, confidence=0.99)
    for row in variant_rows({metric: scores}, {name: [] for name in ends}, split, rules):
        low, score, high = (row[metric + end] for end in ("_low", "", "_high"))
        assert METRICS[metric].bounds[0] <= low <= score <= high
        assert high <= METRICS[metric].bounds[1]
        assert low < high or (METRICS[metric].bounds[1] > 16 and score in (0, 16))


def test_variants_may_have_other_numbers_of_repeats():
    values = values_of()
    values["x"] = values["x"][:2]
    rows = {r["name"]: r for r in variant_rows({"accuracy": values}, VARIANTS, SPLIT, RULES)}
    assert (rows["x"]["repeats"], rows["y"]["repeats"]) == (2, 3)
    assert rows["x"]["accuracy"] == pytest.approx(values["x"].mean())
    assert rows["x"]["accuracy_se"] == crossed(values["x"], SPLIT, 1.25).error


def test_no_variants_no_rows():
    assert effect_rows([], values_of(), SPLIT, RULES) == []
    assert variant_rows({"nll": {}}, {}, SPLIT, RULES) == []


# Effects ------------------------------------------------------------------------------------------


def test_an_effect_as_worked_out_by_hand():
    """By the corrected t. Differences 0.1, 0.2, 0.3 over three folds: mean 0.2, sd 0.1, standard
    error 0.1 * sqrt(1/3 + 1/2), two degrees of freedom, for which Student's t has a closed form."""
    split = Split(np.array([[0, 1, 2]]), np.arange(3))
    scores = {"a": np.array([[0.6, 0.8, 0.8]]), "b": np.array([[0.5, 0.6, 0.5]])}
    (row,) = effect_rows([pair("a", "b")], scores, split, replaced(estimate="corrected_t"))
    error = 0.1 * math.sqrt(5 / 6)
    t = 0.2 / error
    p = 1 - t / math.sqrt(2 + t**2)
    quantile = 0.95 * math.sqrt(2 / (1 - 0.95**2))  # 4.3027
    expected = {"effect": 0.2, "low": 0.2 - quantile * error, "high": 0.2 + quantile * error}
    expected |= {"se": error, "df": 2, "n": 3, "repeats": 1, "p": p, "p_holm": p}
    assert {k: row[k] for k in expected} == pytest.approx(expected)
    assert row | {"plus": "a", "minus": "b", "kind": "pair", "technique": "a - b"} == row
    assert (row["clear"], row["why"], row["look"]) == (False, "", 0)
    assert all(math.isnan(row[part]) for part in "heu")


def test_an_effect_s_row_is_its_crossed_estimate():
    values = values_of()
    for row in effect_rows(ablation(VARIANTS), values, SPLIT, RULES):
        contrast = next(
            c for c in ablation(VARIANTS) if (c.kind, c.name) == (row["kind"], row["technique"])
        )
        estimate = crossed(differences(contrast, values), SPLIT, 1.25)
        parts = estimate.parts
        assert (row["effect"], row["se"], row["df"]) == (
            *(estimate.mean, estimate.error, estimate.df),
        )
        assert (row["h"], row["e"], row["u"]) == (parts.images, parts.interplay, parts.networks)
        assert (row["p"], row["low"], row["high"]) == (estimate.p, *estimate.interval(0.95))
        assert (row["n"], row["repeats"]) == (100, 3)
        assert (row["p_hurts"], row["p_same"], row["p_helps"]) == probabilities(estimate, 0.01)
        assert row["floor"] == estimate.half_width(math.inf, 0.95)
        assert (row["aliases"], row["approximate"]) == ("", False)


def test_the_guard_is_that_of_the_rules():
    loose, strict = (
        effect_rows(ablation(VARIANTS), values_of(), SPLIT, replaced(guard=g)) for g in (1.0, 4.0)
    )
    for a, b in zip(loose, strict, strict=True):
        assert a["se"] < b["se"] <= 2 * a["se"]
        assert (a["effect"], a["h"]) == (b["effect"], b["h"])


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_that_is_not_shown_to_be_calibrated_is_called_approximate(metric):
    (row,) = effect_rows([pair("x", "y")], values_of(), SPLIT, replaced(metric=metric))
    assert row["approximate"] == (metric in ("ece", "miou", "map", "map50"))


def test_effects_of_one_kind_are_one_family():
    rows = effect_rows(ablation(VARIANTS), values_of(lift=0.02), SPLIT, RULES)
    kinds = [row["kind"] for row in rows]
    assert sorted(kinds) == ["alone"] * 2 + ["removed"] * 2 + ["together"]
    for kind in set(kinds):
        family = [row for row in rows if row["kind"] == kind]
        adjusted = holm([row["p"] for row in family])
        assert [row["p_holm"] for row in family] == pytest.approx(list(adjusted))
    assert any(row["p_holm"] > row["p"] for row in rows)
    (together,) = [row for row in rows if row["kind"] == "together"]
    assert together["p_holm"] == together["p"]


def test_clear_follows_the_adjusted_p():
    values = values_of(lift=0.02)
    rows = effect_rows(ablation(VARIANTS), values, SPLIT, RULES)
    row = next(row for row in rows if row["p"] < row["p_holm"])
    between = (row["p"] + row["p_holm"]) / 2
    for alpha, clear in ((between, False), (row["p_holm"] + 1e-9, True)):
        again = effect_rows(ablation(VARIANTS), values, SPLIT, replaced(alpha=alpha))
        assert again[rows.index(row)]["clear"] is clear


def test_bounds_of_a_family_are_bonferroni_s():
    values = values_of()
    for row in effect_rows(ablation(VARIANTS), values, SPLIT, RULES):
        size = 1 if row["kind"] == "together" else 2
        estimate = crossed(values[row["plus"]] - values[row["minus"]], SPLIT, 1.25)
        bounds = estimate.interval(1 - 0.05 / size)
        assert (row["low_all"], row["high_all"]) == pytest.approx(bounds)
        assert row["p_helps"] + row["p_same"] + row["p_hurts"] == pytest.approx(1)


def one(mean, spread=0.0, n=400, rules=RULES, seed=0):
    """The row of one pair whose images differ by `mean`, with a spread of exactly that mean."""
    noise = np.random.default_rng(seed).normal(0, spread, (3, n)) if spread else np.zeros((3, n))
    values = {"a": 0.4 + mean + noise - noise.mean(), "b": np.full((3, n), 0.4)}
    (row,) = effect_rows([pair("a", "b")], values, split_of(n), rules)
    return row


@pytest.mark.parametrize(
    ("mean", "verdict", "clear"),
    [
        (0.05, "helps", True),
        (-0.05, "hurts", True),
        (0.0, "no practical difference", False),
        (0.005, "no practical difference", True),  # significant, but too small to matter
        (0.0105, "helps", True),  # more likely than not above the rope, and surely not nothing
    ],
)
def test_verdicts(mean, verdict, clear):
    row = one(mean, spread=0.05)
    assert (row["verdict"], row["clear"]) == (verdict, clear)
    loss = one(mean, spread=0.05, rules=replaced(higher_is_better=False))
    swapped = {"helps": "hurts", "hurts": "helps"}
    assert (loss["verdict"], loss["clear"]) == (swapped.get(verdict, verdict), clear)


def test_what_is_neither_significant_nor_surely_small_is_undecided():
    row = one(0.01, spread=0.5)
    assert (row["verdict"], row["clear"]) == ("undecided", False)
    assert row["more"] > 0


def test_no_practical_difference_needs_its_probability():
    row = one(0.004, spread=0.15)
    assert 0.6 < row["p_same"] < 0.99
    for step, verdict in ((-1e-6, "no practical difference"), (1e-6, "undecided")):
        rules = replaced(probability=row["p_same"] + step)
        assert one(0.004, spread=0.15, rules=rules)["verdict"] == verdict


@pytest.mark.parametrize("mean", [0.0, 0.005, 0.05, 1.0])
def test_all_alike_is_undecided_and_says_why(mean):
    row = one(mean)
    assert (row["verdict"], row["why"]) == ("undecided", "all folds are alike")
    assert (row["p"], row["p_holm"], row["clear"], row["more"]) == (1, 1, False, 0)
    assert not any(isinstance(v, float) and math.isnan(v) for v in row.values())


def test_few_images_decide_nothing_however_large_the_effect():
    row = one(0.3, spread=0.01, n=15)
    assert (row["verdict"], row["why"]) == ("undecided", "fewer than 20 images")
    assert (row["p"], row["clear"]) == (1, False)


def test_of_a_loss_less_helps():
    loss = replaced(metric="nll", higher_is_better=False)
    rows, losses = (effect_rows(ablation(VARIANTS), values_of(), SPLIT, r) for r in (RULES, loss))
    for gain, cost in zip(rows, losses, strict=True):
        assert (gain["p_helps"], gain["p_hurts"]) == (cost["p_hurts"], cost["p_helps"])
        assert (gain["effect"], cost["metric"]) == (cost["effect"], "nll")
    assert any(row["verdict"] == "helps" for row in rows)
    assert any(row["verdict"] == "hurts" for row in losses)


def test_rows_are_plain_values():
    rows = effect_rows(ablation(VARIANTS), values_of(), SPLIT, RULES)
    rows += effect_rows(
        ablation(VARIANTS), values_of(), SPLIT, replaced(looks=Looks(first=1, most=5))
    )
    rows += variant_rows({"nll": values_of()}, VARIANTS, SPLIT, replaced(metric="nll"))
    rows += class_rows([pair("x", "y")], values_of(), np.arange(100) % 2, ["a", "b"], SPLIT, RULES)
    assert {type(v) for row in rows for v in row.values()} <= {str, int, float, bool}


@pytest.mark.parametrize("name", METRICS)
def test_params_allow_exactly_the_metrics_that_can_be_shown(name, frozen):
    assert type(frozen.compare).model_validate({**dict(frozen.compare), "metric": name})
    assert hasattr(frozen.compare.rope, name)


def test_what_it_would_take_to_decide_an_effect():
    """By the level that Holm's correction may ask for."""
    values = values_of(lift=0.014)
    seen = set()
    for row in effect_rows(ablation(VARIANTS), values, SPLIT, RULES):
        estimate = crossed(values[row["plus"]] - values[row["minus"]], SPLIT, 1.25)
        size = 1 if row["kind"] == "together" else 2
        bar = Bar(alpha=0.05 / size, probability=0.95, rope=0.01)
        repeats = repeats_to_decide(estimate, bar)
        if row["verdict"] != "undecided":
            expected = (0, 100)
        elif repeats is None:
            expected = (math.inf, images_to_decide(estimate, bar))
        else:
            expected = (max(repeats - 3, 1), 100)
        assert (row["more"], row["images_needed"]) == expected
        seen.add(row["verdict"])
    assert "undecided" in seen


def test_images_that_the_corrected_t_asks_for_are_images_and_not_folds():
    rules = replaced(estimate="corrected_t")
    row = one(0.009, spread=0.5, n=400, rules=rules)
    assert (row["n"], row["more"]) == (400, math.inf)
    assert 400 < row["images_needed"] < math.inf


def test_repeats_that_decide_do_so():
    """The same spread in so many more repeats, and in one less."""
    row = one(0.004, spread=0.5, n=2000)
    assert row["verdict"] == "undecided" and 1 < row["more"] < math.inf
    noise = np.random.default_rng(0).normal(0, 0.5, (3, 2000))
    estimate = crossed(0.004 + noise - noise.mean(), split_of(2000), 1.25)
    for more, enough in ((row["more"], True), (row["more"] - 1, False)):
        after = estimate.after(3 + more)
        assert Bar(alpha=0.05, probability=0.95, rope=0.01).reaches(0.004, *after) == enough


def test_members_split_the_spread_where_every_variant_has_them():
    rng = np.random.default_rng(3)
    split = split_of(40, 4, 2)
    members = {name: rng.uniform(0, 2, (2, 40, 3)) for name in ("a", "b")}
    scores = {name: each.mean(axis=2) for name, each in members.items()}
    scores["a+ensemble"] = scores["a"] + 0.1
    contrasts = [pair("a", "b"), ensemble("a")]
    first, other = effect_rows(contrasts, scores, split, RULES, members)

    def cells(values):
        return np.stack([split.means(values[..., i]) for i in range(3)], axis=-1)

    expected = spread(cells(members["a"] - members["b"]))
    assert (first["sd_folds"], first["sd_seeds"]) == (expected.folds, expected.seeds)
    assert "sd_folds" not in other and list(other) == EFFECT_COLUMNS
    rules = replaced(metric="nll")
    (row,) = variant_rows({"nll": scores}, {"a": []}, split, rules, {"nll": members})
    assert row["nll_sd_seeds"] == spread(cells(members["a"])).seeds
    single = {name: values[..., :1] for name, values in members.items()}
    assert "sd_folds" not in effect_rows([pair("a", "b")], scores, split, RULES, single)[0]


def test_members_of_unequal_repeats_are_those_that_all_have():
    rng = np.random.default_rng(3)
    split = split_of(40, 4, 3)
    members = {"a": rng.uniform(0, 1, (3, 40, 2)), "b": rng.uniform(0, 1, (2, 40, 2))}
    scores = {name: each.mean(axis=2) for name, each in members.items()}
    (row,) = effect_rows([pair("a", "b")], scores, split, RULES, members)
    (short,) = effect_rows(
        [pair("a", "b")],
        {name: each[:2] for name, each in scores.items()},
        Split(split.fold[:2], split.group),
        RULES,
        {name: each[:2] for name, each in members.items()},
    )
    assert row == short and row["repeats"] == 2


def test_contrasts_of_unequal_repeats_use_those_that_all_have():
    values = values_of()
    values["x"] = values["x"][:2]
    rows = {
        (r["kind"], r["technique"]): r
        for r in effect_rows(ablation(VARIANTS), values, SPLIT, RULES)
    }
    assert rows["alone", "x"]["repeats"] == rows["removed", "y"]["repeats"] == 2
    assert rows["alone", "y"]["repeats"] == rows["together", "all techniques"]["repeats"] == 3
    gains = values["x"] - values["none"][:2]
    assert rows["alone", "x"]["effect"] == pytest.approx(gains.mean())


def test_a_placebo_has_a_row_and_a_family_of_its_own():
    rng = np.random.default_rng(0)
    values = values_of(lift=0.05)
    values["again"] = values["none"] + rng.normal(0, 0.1, values["none"].shape)
    contrasts = [*ablation(VARIANTS), placebo("again", "none")]
    *others, row = effect_rows(contrasts, values, SPLIT, RULES)
    assert (row["technique"], row["kind"], row["plus"]) == ("placebo", "placebo", "again")
    assert row["p_holm"] == row["p"] and not row["clear"]
    assert others == effect_rows(ablation(VARIANTS), values, SPLIT, RULES)


# Looks --------------------------------------------------------------------------------------------

CONTRASTS = [pair(name, "none") for name in ("x", "y", "xy")]


def grown(seed=0, n=100, repeats=6, lifts=(0.05, 0.02, 0.0), noise=0.3):
    """Values of a study that grows by repeats."""
    rng = np.random.default_rng(seed)
    image = rng.normal(0, 0.05, (3, n))
    values = {"none": rng.normal(0, noise, (repeats, n))}
    for name, lift, each in zip(("x", "y", "xy"), lifts, image, strict=True):
        values[name] = lift + each + rng.normal(0, noise, (repeats, n))
    return values


def after(values, repeats, rules, split):
    some = {name: array[:repeats] for name, array in values.items()}
    return effect_rows(CONTRASTS, some, Split(split.fold[:repeats], split.group), rules)


def test_looks_are_for_studies_that_add_repeats():
    assert looks_of(3, None) is None
    assert looks_of(3, 10) == Looks(first=3, most=10)


@pytest.mark.parametrize("seed", range(6))
def test_what_a_look_decides_stays_decided(seed):
    split = split_of(100, 5, 6, seed)
    rules = replaced(looks=Looks(first=2, most=6))
    values = grown(seed)
    tables_ = [after(values, r, rules, split) for r in range(2, 7)]
    for rows in zip(*tables_, strict=True):
        verdicts = [row["verdict"] for row in rows]
        decided = [v != "undecided" for v in verdicts]
        assert decided == sorted(decided)  # once, for all
        assert len({v for v in verdicts if v != "undecided"}) <= 1
        first = decided.index(True) if any(decided) else len(rows) - 1
        assert [row["look"] for row in rows] == [min(i, first) + 1 for i in range(len(rows))]


def test_some_are_decided_early_and_some_never():
    split = split_of(100, 5, 6)
    rules = replaced(looks=Looks(first=2, most=6))
    rows = effect_rows(CONTRASTS, grown(lifts=(0.4, 0.03, 0.0)), split, rules)
    assert [row["verdict"] for row in rows] == ["helps", "undecided", "undecided"]
    assert [row["look"] for row in rows] == [1, 5, 5]


def test_looks_ask_for_more():
    split = split_of(100, 5, 6)
    rules = replaced(looks=Looks(first=1, most=8))
    plain = effect_rows(CONTRASTS, grown(), split, RULES)
    looked = effect_rows(CONTRASTS, grown(), split, rules)
    for a, b in zip(plain, looked, strict=True):
        for low, high in (("low", "high"), ("low_all", "high_all")):
            assert b[low] < a[low] and a[high] < b[high]
        assert b["p"] > a["p"] and b["p_holm"] > a["p"]
        assert (a["effect"], a["se"], a["df"]) == (b["effect"], b["se"], b["df"])
        assert b["look"] > a["look"] == 0


def test_a_single_look_at_the_end_changes_nothing():
    split = split_of(100, 5, 6)
    rules = replaced(looks=Looks(first=6, most=6))
    for a, b in zip(
        effect_rows(CONTRASTS, grown(), split, RULES),
        effect_rows(CONTRASTS, grown(), split, rules),
        strict=True,
    ):
        assert b.pop("look") == 1 and a.pop("look") == 0
        assert {k: v for k, v in b.items() if isinstance(v, float)} == pytest.approx(
            {k: v for k, v in a.items() if isinstance(v, float)}, rel=1e-3, abs=1e-6
        )
        assert (a["verdict"], a["clear"]) == (b["verdict"], b["clear"])


@pytest.mark.parametrize("done", [1, 2])
def test_a_study_of_its_first_repeats_alone_has_one_look(done):
    """Also of fewer repeats than were to be the first ones."""
    split = split_of(100, 5, 6)
    rows = after(grown(), done, replaced(looks=Looks(first=2, most=6)), split)
    assert [row["look"] for row in rows] == [1, 1, 1]
    assert all(row["repeats"] == done for row in rows)


def test_only_what_repeats_are_added_for_is_looked_at():
    split = split_of(100, 5, 6)
    values = grown()
    contrasts = [*CONTRASTS, removed("x", "x", "none")]
    looked = effect_rows(contrasts, values, split, replaced(looks=Looks(first=2, most=6)))
    plain = effect_rows(contrasts, values, split, RULES)
    assert looked[-1] == plain[-1] and looked[-1]["look"] == 0
    assert looked[0] != plain[0]


def test_what_techniques_add_alone_is_looked_at_where_there_are_no_main_effects():
    assert watched(["alone", "removed", "start", "pair"]) == {"alone", "start", "pair"}
    assert watched(["main", "alone", "placebo"]) == {"main"}
    split = split_of(100, 5, 6)
    contrasts = [alone("x", "x", "none")]
    rules = replaced(looks=Looks(first=2, most=6))
    (row,) = effect_rows(contrasts, grown(), split, rules)
    assert row["look"] > 0


def test_p_after_looks_is_the_best_of_them_and_holm_s_correction_comes_after():
    split = split_of(100, 5, 6)
    values = grown()
    rows = effect_rows(CONTRASTS, values, split, replaced(looks=Looks(first=2, most=6)))
    best = []
    for contrast in CONTRASTS:
        gains, seen = differences(contrast, values), []
        for repeats in range(2, 7):
            estimate = crossed(gains[:repeats], split, 1.25)
            times = information(estimate, range(2, repeats + 1), 6)
            seen.append(looks.adjusted(estimate.p, times))
        best.append(min(seen))
    assert [row["p"] for row in rows] == best
    undecided = [i for i, row in enumerate(rows) if row["look"] == 5]
    assert undecided
    for i in undecided:
        assert rows[i]["p_holm"] == holm(best)[i]


def test_information_rises_to_all_of_it():
    values = grown()
    estimate = crossed(values["x"] - values["none"], split_of(100, 5, 6), 1.25)
    times = information(estimate, range(1, 11), 10)
    assert times == sorted(times) and times[-1] == 1 and times[0] > 0
    variances = [estimate.after(r)[0] ** 2 for r in range(1, 11)]
    assert times == pytest.approx([variances[-1] / v for v in variances])
    more = information(estimate, range(1, 13), 10)  # than were meant to be
    assert more[-1] == 1 and more[9] < 1
    flat = corrected_t(np.zeros((2, 5)))
    assert information(flat, range(1, 3), 4) == [0.25, 0.5]


def test_a_look_that_could_decide_nothing_does_not():
    """One repeat of two folds is too little, whatever it seems to show; two are enough."""
    split = split_of(2000, 2, 2)
    values = {"a": np.random.default_rng(0).normal(0, 0.02, (2, 2000)), "b": np.zeros((2, 2000))}
    rules = replaced(looks=Looks(first=1, most=2))
    one, two = (
        effect_rows(
            [pair("a", "b")],
            {name: array[:r] for name, array in values.items()},
            Split(split.fold[:r], split.group),
            rules,
        )[0]
        for r in (1, 2)
    )
    assert (one["verdict"], one["why"]) == ("undecided", "fewer than 4 trainings")
    assert (two["verdict"], two["look"], two["why"]) == ("no practical difference", 2, "")


def test_looking_after_each_repeat_calls_no_more_that_is_false():
    """Effects of nothing, looked at after each of eight repeats."""
    studies, false, naive = 150, 0, 0
    rules = replaced(looks=Looks(first=1, most=8), guard=1.0)
    for seed in range(studies):
        rng = np.random.default_rng(seed)
        split = split_of(60, 5, 8, seed)
        image = rng.normal(0, 0.2, 60)
        gains = image + rng.normal(0, 0.4, (8, 60))
        values = {"a": gains, "b": np.zeros((8, 60))}
        (row,) = effect_rows([pair("a", "b")], values, split, rules)
        false += row["clear"]
        naive += min(crossed(gains[:r], split, 1.0).p for r in range(1, 9)) < 0.05
    assert false / studies <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / studies)
    assert naive > 2 * false


# Which repeats are still needed -------------------------------------------------------------------


def row(technique="x", kind="main", **changes):
    row = {"technique": technique, "kind": kind, "verdict": "undecided", "repeats": 3, "more": 2.0}
    return {**row, "why": "", **changes}


@pytest.mark.parametrize(
    ("changes", "is_open"),
    [
        ({}, True),
        ({"kind": "pair"}, True),
        ({"kind": "removed"}, False),
        ({"kind": "placebo"}, False),
        ({"verdict": "helps"}, False),
        ({"verdict": "no practical difference"}, False),
        ({"repeats": 10}, False),
        ({"repeats": 9}, True),
        ({"more": math.inf}, False),
        ({"why": "fewer than 4 trainings"}, True),
        ({"why": "fewer than 20 images"}, False),
        ({"why": "all folds are alike"}, False),
    ],
)
def test_effects_are_open_where_repeats_may_decide_them(changes, is_open):
    assert open_effects([row(**changes)], most=10) == [row(**changes)] * is_open


def test_open_effects_need_a_repeat_of_their_variants():
    main = Contrast("x", "main", {"none": -0.5, "x": 0.5, "y": 0.0, "xy": 0.0})
    contrasts = [main, pair("y", "none")]
    repeats = {"none": 3, "x": 3, "y": 3, "xy": 3}
    assert needed([row()], contrasts, repeats) == {"none": 4, "x": 4}
    both = [row(), row("y - none", "pair", repeats=3)]
    assert needed(both, contrasts, repeats) == {"none": 4, "x": 4, "y": 4}
    # Of a pair that has fewer, only what it lacks.
    ahead = {"none": 5, "x": 5, "y": 3, "xy": 3}
    assert needed([row("y - none", "pair", repeats=3)], contrasts, ahead) == {"y": 4}
    assert needed([row(repeats=5)], contrasts, ahead) == {"none": 6, "x": 6}
    assert needed([], contrasts, repeats) == {}


def test_repeats_are_added_until_nothing_is_open():
    """The loop of the stage `decide`, on made-up outcomes."""
    values, split = grown(lifts=(0.6, 0.05, 0.0), repeats=6), split_of(100, 5, 6)
    rules = replaced(looks=Looks(first=2, most=6))
    repeats = dict.fromkeys(values, 2)
    rounds = []
    while True:
        some = {name: values[name][:number] for name, number in repeats.items()}
        longest = max(repeats.values())
        rows = effect_rows(CONTRASTS, some, Split(split.fold[:longest], split.group), rules)
        open_ = open_effects(rows, 6)
        if not open_:
            break
        more = needed(open_, CONTRASTS, repeats)
        assert more and all(number == repeats[name] + 1 for name, number in more.items())
        repeats |= more
        rounds.append({r["technique"] for r in open_})
    assert rounds == sorted(rounds, key=len, reverse=True)
    assert repeats["x"] == 2 and repeats["none"] == max(repeats.values()) > 2
    assert [
        row["verdict"] != "undecided" or row["repeats"] == 6 or row["more"] == math.inf
        for row in rows
    ] == [True] * 3


# Classes ------------------------------------------------------------------------------------------


def right_of(gains, n=150, repeats=3, seed=0):
    """Right or not of `none` and of `x`, which turns so many images of each class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(gains)
    none = (rng.random((repeats, n)) < 0.5).astype(float)
    x = none.copy()
    for number, gain in enumerate(gains):
        rows = np.flatnonzero(labels == number)
        for r in range(repeats):
            some = rng.choice(rows, size=round(abs(gain) * len(rows)), replace=False)
            x[r, some] = 1.0 if gain > 0 else 0.0
    return labels, {"none": none, "x": x}


def test_classes_that_gain_and_lose():
    labels, right = right_of((0.9, -0.9, 0.0))
    split = split_of(150)
    rows = class_rows([alone("x", "x", "none")], right, labels, ["a", "b", "c"], split, RULES)
    assert [list(r) for r in rows] == [CLASS_COLUMNS] * 3
    assert [(r["class"], r["verdict"], r["images"]) for r in rows] == [
        *(("a", "helps", 50), ("b", "hurts", 50), ("c", "undecided", 50)),
    ]
    first = labels == 0
    estimate = crossed((right["x"] - right["none"])[:, first], split.of(first), 1.25)
    a, b, c = rows
    assert (a["effect"], a["p"], a["low"], a["high"]) == (
        *(estimate.mean, estimate.p, *estimate.interval(0.95)),
    )
    assert [r["p_holm"] for r in rows] == list(holm([r["p"] for r in rows]))
    assert (c["why"], c["effect"], a["kind"], a["technique"]) == (
        *("all folds are alike", 0, "alone", "x"),
    )
    assert b["clear"] and b["effect"] < 0


def test_a_class_that_is_not_in_every_fold_is_undecided():
    labels, right = right_of((0.5, 0.5, 0.5))
    split = split_of(150)
    fold = split.fold.copy()
    fold[1][(labels == 1) & (fold[1] == 4)] = 0  # no image of b in the last fold
    fold[0][(labels == 2) & (fold[0] == 1)] = 0  # nor of c in one that is not
    broken = Split(fold, split.group)
    names = ["a", "b", "c", "never"]
    rows = class_rows([alone("x", "x", "none")], right, labels, names, broken, RULES)
    assert [r["why"] for r in rows] == ["", *["not in every fold"] * 3]
    for r in rows[1:]:
        assert (r["verdict"], r["p"], r["p_holm"], r["clear"]) == ("undecided", 1, 1, False)
        assert r["low"] == r["effect"] == r["high"]
    assert rows[1]["effect"] == pytest.approx((right["x"] - right["none"])[:, labels == 1].mean())
    assert (rows[3]["images"], rows[3]["effect"]) == (0, 0)


def test_classes_of_one_contrast_are_one_family():
    labels, right = right_of((0.9, -0.9, 0.1))
    right["y"] = right["none"][:, ::-1]
    contrasts = [alone("x", "x", "none"), alone("y", "y", "none")]
    rows = class_rows(contrasts, right, labels, ["a", "b", "c"], split_of(150), RULES)
    assert [r["technique"] for r in rows] == ["x"] * 3 + ["y"] * 3
    for family in (rows[:3], rows[3:]):
        assert [r["p_holm"] for r in family] == list(holm([r["p"] for r in family]))
    assert class_rows([], right, labels, ["a"], split_of(150), RULES) == []


def test_of_one_repeat_a_class_is_moderated_by_the_same_class_of_other_contrasts():
    rng = np.random.default_rng(0)
    labels, split = np.arange(150) % 3, split_of(150, repeats=1)
    right = {name: (rng.random((1, 150)) < 0.6).astype(float) for name in ("none", "x", "y")}
    contrasts = [alone(t, t, "none") for t in "xy"]
    rows = class_rows(contrasts, right, labels, ["a", "b", "c"], split, RULES)
    first = labels == 0
    arrays = [(right[t] - right["none"])[:, first] for t in "xy"]
    estimates = RULES.estimates(arrays, split.of(first))
    assert [r["p"] for r in rows if r["class"] == "a"] == [e.p for e in estimates]


def test_few_images_of_a_class_cannot_show_that_there_is_no_difference():
    """Of 50 images not even 3 that changed sides could be told from none at a rope of 1 %."""
    labels = np.zeros(50, int)
    none = np.ones((3, 50))
    x = none.copy()
    x[0, 0] = 0
    for rope, verdict in ((0.01, "undecided"), (0.1, "no practical difference")):
        (r,) = class_rows(
            [alone("x", "x", "none")],
            {"none": none, "x": x},
            *(labels, ["a"], split_of(50), replaced(rope=rope)),
        )
        assert r["verdict"] == verdict
