"""The rows of the committed tables."""

import dataclasses
import math

import numpy as np
import pytest

from cnnlab.compare import (
    Rules,
    ablation,
    alone,
    cluster_bootstrap,
    corrected_t,
    effect_rows,
    ensemble,
    holm,
    pair,
    simultaneous,
    spread,
    variant_rows,
)
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.tables import (
    CONDITIONAL_COLUMNS,
    EFFECT_COLUMNS,
    VARIANT_COLUMNS,
    conditional_rows,
)

RULES = Rules(
    metric="accuracy",
    higher_is_better=True,
    rope=0.01,
    confidence=0.95,
    alpha=0.05,
    probability=0.95,
)
VARIANTS = {"none": [], "x": ["x"], "y": ["y"], "xy": ["x", "y"]}


def scores_of(seed=0, shape=(2, 4)):
    rng = np.random.default_rng(seed)
    return {name: 0.5 + 0.1 * len(on) + rng.normal(0, 0.05, shape) for name, on in VARIANTS.items()}


def test_columns_are_those_that_are_documented():
    metrics = {"accuracy": scores_of(), "nll": scores_of(1)}
    for row in variant_rows(metrics, VARIANTS, 0.95):
        expected = set(VARIANT_COLUMNS)
        for metric in metrics:
            expected |= {metric + end for end in ("", "_sd", "_se", "_low", "_high")}
        assert set(row) == expected
    for row in effect_rows(ablation(VARIANTS), scores_of(), RULES):
        assert list(row) == EFFECT_COLUMNS


def test_an_effect_as_worked_out_by_hand():
    """Differences 0.1, 0.2, 0.3 over three folds: mean 0.2, sd 0.1, standard error
    0.1 * sqrt(1/3 + 1/2), two degrees of freedom, for which Student's t has a closed form."""
    scores = {"a": np.array([[0.6, 0.8, 0.8]]), "b": np.array([[0.5, 0.6, 0.5]])}
    (row,) = effect_rows([pair("a", "b")], scores, RULES)
    error = 0.1 * math.sqrt(5 / 6)
    t = 0.2 / error
    p = 1 - t / math.sqrt(2 + t**2)
    quantile = 0.95 * math.sqrt(2 / (1 - 0.95**2))  # 4.3027
    expected = {"effect": 0.2, "low": 0.2 - quantile * error, "high": 0.2 + quantile * error}
    expected |= {"sd": 0.1, "t": t, "df": 2, "n": 3, "p": p, "p_holm": p}
    assert {k: row[k] for k in expected} == pytest.approx(expected)
    assert row | {"plus": "a", "minus": "b", "kind": "pair", "technique": "a - b"} == row
    assert (row["clear"], row["degenerate"]) == (False, False)


def test_a_variant_as_worked_out_by_hand():
    (row,) = variant_rows({"accuracy": {"a": np.array([[0.5, 0.6, 0.7]])}}, {"a": ["x", "y"]}, 0.95)
    error = 0.1 * math.sqrt(5 / 6)
    half = 4.302652729911275 * error / (0.6 * 0.4)  # on the logit scale, where 0.6 is log(1.5)
    low, high = (1 / (1 + math.exp(-(math.log(1.5) + sign * half))) for sign in (-1, 1))
    expected = {"n": 3, "accuracy": 0.6, "accuracy_sd": 0.1, "accuracy_se": error}
    expected |= {"accuracy_low": low, "accuracy_high": high}
    assert {k: row[k] for k in expected} == pytest.approx(expected)
    assert (row["name"], row["techniques"]) == ("a", "x y")


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_of_scores_stay_within_what_is_possible(metric):
    least, most = METRICS[metric].bounds
    ends = {"low": [[0, 0, 0.1, 0]], "high": [[1, 0.9, 1, 1]]}
    scores = {name: least + (most - least) * np.array(shares) for name, shares in ends.items()}
    for row in variant_rows({metric: scores}, {"low": [], "high": []}, 0.99):
        assert least <= row[f"{metric}_low"] < row[metric] < row[f"{metric}_high"] <= most


def test_effects_of_one_kind_are_one_family():
    rows = effect_rows(ablation(VARIANTS), scores_of(), RULES)
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
    rows = effect_rows(ablation(VARIANTS), scores_of(), RULES)
    row = next(row for row in rows if row["p"] < row["p_holm"])
    between = (row["p"] + row["p_holm"]) / 2
    for alpha, clear in ((between, False), (row["p_holm"] + 1e-9, True)):
        again = effect_rows(
            ablation(VARIANTS), scores_of(), dataclasses.replace(RULES, alpha=alpha)
        )
        assert again[rows.index(row)]["clear"] is clear


def test_equal_scores_are_degenerate_and_leave_no_nan():
    scores = dict.fromkeys(VARIANTS, np.full((2, 4), 0.7)) | {"x": np.full((2, 4), 0.8)}
    rows = effect_rows(ablation(VARIANTS), scores, RULES)
    assert all(row["degenerate"] for row in rows)
    assert not any(isinstance(v, float) and math.isnan(v) for row in rows for v in row.values())
    by_kind = {(row["technique"], row["kind"]): row for row in rows}
    assert by_kind["x", "alone"]["p"] == 0
    assert by_kind["y", "alone"]["p"] == 1


def test_rows_are_plain_values():
    rows = effect_rows(ablation(VARIANTS), scores_of(), RULES)
    rows += variant_rows({"nll": scores_of()}, VARIANTS, 0.95)
    assert {type(v) for row in rows for v in row.values()} <= {str, int, float, bool}


def test_no_contrasts_no_rows():
    assert effect_rows([], scores_of(), RULES) == []
    assert variant_rows({"nll": {}}, {}, 0.95) == []


@pytest.mark.parametrize("name", METRICS)
def test_params_allow_exactly_the_metrics_that_can_be_shown(name, frozen):
    assert type(frozen.compare).model_validate({**dict(frozen.compare), "metric": name})
    assert hasattr(frozen.compare.rope, name)


def test_bounds_of_a_family_and_what_would_decide():
    rows = effect_rows(ablation(VARIANTS), scores_of(), RULES)
    for row in rows:
        size = sum(other["kind"] == row["kind"] for other in rows)
        plus, minus = (scores_of()[row[side]] for side in ("plus", "minus"))
        bounds = simultaneous(corrected_t(plus - minus, 0.95), size, 0.95)
        assert (row["low_all"], row["high_all"]) == pytest.approx((bounds.low, bounds.high))
        assert row["p_helps"] + row["p_same"] + row["p_hurts"] == pytest.approx(1)
        undecidable = abs(abs(row["effect"]) - row["rope"]) < row["floor"]
        assert math.isinf(row["repeats"]) == undecidable


def test_of_a_loss_less_helps():
    loss = dataclasses.replace(RULES, metric="nll", higher_is_better=False)
    rows, losses = (effect_rows(ablation(VARIANTS), scores_of(), r) for r in (RULES, loss))
    for gain, cost in zip(rows, losses, strict=True):
        assert (gain["p_helps"], gain["p_hurts"]) == (cost["p_hurts"], cost["p_helps"])
        assert (gain["effect"], cost["metric"]) == (cost["effect"], "nll")
    assert any(row["verdict"] == "helps" for row in rows)
    assert any(row["verdict"] == "hurts" for row in losses)


def test_members_split_the_spread_where_every_variant_has_them():
    rng = np.random.default_rng(3)
    members = {name: rng.uniform(0, 2, (2, 4, 3)) for name in ("a", "b")}
    scores = {name: cells.mean(axis=2) for name, cells in members.items()}
    scores["a+ensemble"] = scores["a"] + 0.1
    first, other = effect_rows([pair("a", "b"), ensemble("a")], scores, RULES, members)
    expected = spread(members["a"] - members["b"])
    assert (first["sd_folds"], first["sd_seeds"]) == (expected.folds, expected.seeds)
    assert "sd_folds" not in other
    (row,) = variant_rows({"nll": scores}, {"a": []}, 0.95, {"nll": members})
    assert row["nll_sd_seeds"] == spread(members["a"]).seeds
    single = {name: cells[..., :1] for name, cells in members.items()}
    assert "sd_folds" not in effect_rows([pair("a", "b")], scores, RULES, single)[0]


def test_the_conditional_table_is_the_bootstrap():
    rng = np.random.default_rng(0)
    correct = {name: (rng.random((2, 50)) < 0.8).astype(float) for name in VARIANTS}
    settings = {"draws": 500, "confidence": 0.9, "seed": 1}
    contrasts = [alone("x", "x", "none"), ensemble("x")]
    (row,) = conditional_rows(contrasts, correct, np.arange(50), **settings)
    assert list(row) == CONDITIONAL_COLUMNS
    found = cluster_bootstrap(correct["x"], correct["none"], np.arange(50), **settings)
    assert (row["difference"], row["low"], row["high"]) == pytest.approx(
        (found.mean, found.low, found.high), abs=1e-11
    )


def test_a_weighted_contrast_is_drawn_as_a_weighted_sum():
    from cnnlab.compare import factorial

    rng = np.random.default_rng(0)
    correct = {name: (rng.random((2, 50)) < 0.8).astype(float) for name in VARIANTS}
    main = factorial(["x"], VARIANTS)
    (row,) = conditional_rows([main], correct, np.arange(50), draws=500, confidence=0.9, seed=1)
    by_hand = sum(w * correct[v].mean() for v, w in main.weights.items())
    assert row["difference"] == pytest.approx(by_hand) and row["low"] < by_hand < row["high"]
