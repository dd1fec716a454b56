"""A comparison of variants: every metric, every contrast, from answers of networks."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.compare import comparison, designs
from cnnlab.compare.contrasts import Incomparable, alone, ensemble, least_squares, pair
from cnnlab.compare.inference import crossed
from cnnlab.compare.scores import Outcomes, ensembles
from cnnlab.compare.tables import Looks
from cnnlab.tasks.classification import METRICS

FOLDS, IMAGES = 4, 8  # images a fold
GROUPS = {image: image for image in range(FOLDS * IMAGES)}


@pytest.fixture
def grid(record):
    """Makes the records of a variant whose networks are right more or less often."""

    def make(name="x", share=0.6, repeats=2, members=1, seed=0):
        def made(r, f, m):
            rng = np.random.default_rng([seed, r, f, m, *map(ord, name)])
            ids = (np.arange(IMAGES) * FOLDS + f + r * np.arange(IMAGES)) % FOLDS
            ids = ids + FOLDS * np.arange(IMAGES)
            labels = ids % 3
            lean = rng.gumbel(size=(IMAGES, 3)) + 4 * share * np.eye(3)[labels]
            shares = np.exp(lean) / np.exp(lean).sum(axis=1, keepdims=True)
            one = record(name, r, f, m)
            return replace(one, image_id=ids, labels=labels, outputs=shares.astype(np.float32))

        return [
            [[made(r, f, m) for m in range(members)] for f in range(FOLDS)] for r in range(repeats)
        ]

    return make


CONTRASTS = [alone("x", "x", "none"), pair("x", "y")]


def test_every_metric_and_contrast_is_estimated_the_primary_metric_first(grid, frozen):
    grids = {name: grid(name) for name in ("none", "x", "y")}
    options = frozen.compare.model_copy(update={"metric": "brier"})
    compared = comparison.compare(grids, CONTRASTS, options, GROUPS)
    assert compared.contrasts == CONTRASTS
    assert [row["metric"] for row in compared.effects[:2]] == ["brier"] * 2
    assert {row["metric"] for row in compared.effects} == {*METRICS}
    assert len(compared.effects) == 2 * len(METRICS)
    outcomes = {name: Outcomes.of(grids[name], name) for name in grids}
    for name, metric in METRICS.items():
        first, _ = compared.of(name)
        gains = [outcomes[v].of_each(metric.values)[..., 0] for v in ("x", "none")]
        estimate = crossed(gains[0] - gains[1], compared.split, options.guard)
        assert (first["effect"], first["p"]) == pytest.approx((estimate.mean, estimate.p))
        assert first["rope"] == getattr(options.rope, name)
        better = first["p_helps"] > first["p_hurts"]
        assert better == ((first["effect"] > 0) == metric.higher_is_better)


def test_only_the_metrics_that_are_asked_for(grid, frozen):
    grids = {name: grid(name) for name in ("none", "x", "y")}
    compared = comparison.compare(grids, CONTRASTS, frozen.compare, GROUPS, metrics=())
    assert [*compared.values] == [frozen.compare.metric]
    assert len(compared.effects) == len(CONTRASTS)


def test_members_are_averaged_and_their_ensemble_is_a_contrast_of_its_own(grid, frozen):
    grids = {name: grid(name, members=2) for name in ("none", "x")}
    compared = comparison.compare(grids, CONTRASTS[:1], frozen.compare, GROUPS)
    assert compared.contrasts == [CONTRASTS[0], ensemble("none"), ensemble("x")]
    for name in METRICS:
        values, members = compared.values[name], compared.members[name]
        assert members["x"].shape == (2, 32, 2)
        np.testing.assert_array_equal(values["x"], members["x"].mean(axis=2))
        together = Outcomes.of(ensembles(grids["x"]), "x").of_each(METRICS[name].values)
        np.testing.assert_array_equal(values["x+ensemble"], together[..., 0])
    brier = [row for row in compared.of("brier") if row["kind"] == "ensemble"]
    assert [row["technique"] for row in brier] == ["none", "x"]
    assert all(row["effect"] < 0 for row in brier)  # a convex loss
    assert "sd_seeds" in compared.effects[0] and "sd_seeds" not in brier[0]
    without = comparison.compare(grids, CONTRASTS[:1], frozen.compare, GROUPS, together=None)
    assert without.contrasts == CONTRASTS[:1] and "x+ensemble" not in without.values["brier"]
    np.testing.assert_array_equal(without.values["brier"]["x"], compared.values["brier"]["x"])


def test_the_estimate_and_the_guard_are_those_of_the_options(grid, frozen):
    grids = {name: grid(name) for name in ("none", "x", "y")}
    rows = {}
    for estimate, guard in (("crossed", 1.25), ("crossed", 2.0), ("corrected_t", 1.25)):
        options = frozen.compare.model_copy(update={"estimate": estimate, "guard": guard})
        rows[estimate, guard] = comparison.compare(grids, CONTRASTS, options, GROUPS).effects[0]
    assert rows["crossed", 1.25]["se"] < rows["crossed", 2.0]["se"]
    corrected = rows["corrected_t", 1.25]
    assert (corrected["df"], corrected["n"]) == (7, 32) and np.isnan(corrected["h"])
    assert rows["crossed", 1.25]["effect"] == pytest.approx(corrected["effect"])


def test_groups_count_as_one_image(grid, frozen):
    grids = {name: grid(name) for name in ("none", "x", "y")}
    fold = Outcomes.of(grids["x"], "x").fold
    same = {image: str(fold[:, image]) for image in GROUPS}  # held out together
    compared = comparison.compare(grids, CONTRASTS, frozen.compare, same)
    assert compared.effects[0]["n"] == len(set(same.values())) < 32
    single = comparison.compare(grids, CONTRASTS, frozen.compare, GROUPS)
    assert compared.effects[0]["effect"] == single.effects[0]["effect"]


def test_looks_are_at_the_primary_metric_alone(grid, frozen):
    grids = {name: grid(name, repeats=3) for name in ("none", "x", "y")}
    compared = comparison.compare(
        grids, CONTRASTS, frozen.compare, GROUPS, Looks(first=1, most=4), ("accuracy", "nll")
    )
    looks = {(row["metric"], row["kind"]): row["look"] for row in compared.effects}
    assert looks.pop(("accuracy", "pair")) > 0 < looks.pop(("accuracy", "alone"))
    assert set(looks.values()) == {0}


def test_variants_of_unequal_repeats_are_compared_on_those_that_both_have(grid, frozen):
    grids = {"none": grid("none"), "x": grid("x", repeats=4), "y": grid("y", repeats=4)}
    compared = comparison.compare(grids, CONTRASTS, frozen.compare, GROUPS)
    by = {row["kind"]: row for row in compared.of("accuracy")}
    assert (by["alone"]["repeats"], by["pair"]["repeats"]) == (2, 4)
    assert compared.split.fold.shape == (4, 32)


def test_answers_that_cannot_be_compared_are_refused(grid, frozen):
    grids = {"none": grid("none"), "x": grid("x")}
    with pytest.raises(Incomparable, match="needs the scores of variant 'y'"):
        comparison.compare(grids, CONTRASTS, frozen.compare, GROUPS)
    grids["y"] = grid("y")[::-1]
    with pytest.raises(Incomparable, match="variant y was evaluated in other folds"):
        comparison.compare(grids, CONTRASTS, frozen.compare, GROUPS)


def test_aliases_are_noted_in_the_rows_of_main_effects():
    variants = {"none": [], "ac": ["a", "c"], "bc": ["b", "c"], "ab": ["a", "b"]}
    contrasts = [*(least_squares(t, variants) for t in "abc"), pair("ac", "none")]
    rows = [{"kind": c.kind, "technique": c.name, "aliases": ""} for c in contrasts]
    comparison.note_aliases(rows, contrasts, variants, ["a", "b", "c"])
    assert [row["aliases"] for row in rows] == ["−b × c", "−a × c", "−a × b", ""]


def test_an_ensemble_costs_as_many_trainings_as_it_has_members():
    costs = {"a": 2.0, "b": 3.0}
    assert comparison.with_ensembles(costs, 1) == costs
    both = costs | {"a+ensemble": 6.0, "b+ensemble": 9.0}
    assert comparison.with_ensembles(costs, 3) == both


def test_the_best_is_that_of_the_best_mean():
    values = {"a": np.array([[0.2, 0.4]]), "b": np.array([[0.5, 0.3], [0.4, 0.4]])}
    values |= {"c": np.array([[0.4, 0.4]])}
    assert comparison.best(values, ["a", "b", "c"], METRICS["accuracy"]) == "b"
    assert comparison.best(values, ["c", "b"], METRICS["accuracy"]) == "c"
    assert comparison.best(values, ["a", "b", "c"], METRICS["nll"]) == "a"


def test_a_variant_that_is_not_there_costs_its_set_in_the_blocks_of_all_starts(frozen):
    design = frozen.design.model_copy(
        update={"kind": "star", "techniques": list("abc"), "starts": ["scratch", "freeze"]}
    ).model_copy(update={"placebo": False})
    sets = designs.sets_of(**dict(design))
    variants = designs.named(sets, design.techniques, ["freeze"])
    options = frozen.compare.model_copy(update={"pairs": [["a", "b"], ["c", "b"]]})
    whole = comparison.contrasts_of(variants, design, options, ["freeze"])
    left = {name: on for name, on in variants.items() if name != "a"}
    contrasts = comparison.contrasts_of(left, design, options, ["freeze"])
    assert len(whole) > len(contrasts)
    main = {c.name: c.weights for c in contrasts if c.kind == "main"}
    assert set(main) == {"a", "b", "c"}
    for weights in main.values():
        assert "a" not in weights and weights.get("freeze-a", 0.0) == 0.0
        assert any(weights[name] for name in weights if name.startswith("freeze"))
    assert [c.name for c in contrasts if c.kind == "pair"] == ["c - b"]
