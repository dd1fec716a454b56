"""Mechanisms: quantities of records, and whether a claim holds."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.compare import comparison, mechanisms
from cnnlab.compare.contrasts import alone, least_squares, removed
from cnnlab.compare.inference import crossed
from cnnlab.compare.mechanisms import Claim, mechanism_rows
from cnnlab.compare.tables import Rules
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.tasks import TASKS
from tests.made_up import FROZEN

RULES, RNG = Rules(), np.random.default_rng(0)
REPEATS, FOLDS, IMAGES = 2, 3, 10  # images a fold


@pytest.fixture
def grids(record):
    """Variants of 2 x 3 trials, in which `x` lowers the gap and nothing moves the weight norm."""

    def grid(name, gap):
        rng = np.random.default_rng(len(name))

        def made(r, f):
            one = record(name, r, f)
            noise = rng.normal(0, 0.005, 2)
            labels = np.arange(IMAGES) % 3
            shares = np.full((IMAGES, 3), 0.1, np.float32)
            shares[np.arange(IMAGES), (labels + (rng.random(IMAGES) < 0.1)) % 3] = 0.8
            accuracy = float((shares.argmax(axis=1) == labels).mean())
            measured = {"accuracy": accuracy, "train_accuracy": accuracy + gap + noise[0]}
            measured["weight_norm"] = 5 + noise[1]
            return replace(
                one,
                measured={**one.measured, **measured},
                image_id=np.arange(IMAGES) + IMAGES * ((f + r) % FOLDS),
                labels=labels,
                outputs=shares,
            )

        return [[[made(r, f)] for f in range(FOLDS)] for r in range(REPEATS)]

    return {"none": grid("none", 0.3), "x": grid("x", 0.1), "both": grid("both", 0.6)}


CONTRASTS = [alone("x", "x", "none"), removed("y", "both", "x")]


def rows_of(grids, claims, contrasts=CONTRASTS, options=None, rules=RULES):
    """The table of mechanisms of grids, compared as the stage does."""
    groups = {image: image for image in range(IMAGES * FOLDS)}
    compared = comparison.compare(grids, contrasts, options or FROZEN.compare, groups)
    return mechanism_rows(compared, claims, grids, rules)


@pytest.mark.parametrize(
    ("quantity", "way", "holds"),
    [
        ("gap", "lower", "yes"),
        ("gap", "higher", "no"),
        ("weight_norm", "lower", "not shown"),
    ],
)
def test_a_claim_holds_where_the_numbers_say_so(grids, quantity, way, holds):
    (row,) = rows_of(grids, {"x": [Claim("says x", quantity, way)]})
    assert (row["technique"], row["kind"], row["holds"]) == ("x", "alone", holds)
    assert set(row) == set(mechanisms.COLUMNS)
    assert row["change"] == pytest.approx(row["with"] - row["without"])
    assert row["low"] <= row["change"] <= row["high"]
    if quantity == "gap":
        assert row["without"] == pytest.approx(0.3, abs=0.01)
        assert row["change"] == pytest.approx(-0.2, abs=0.01)


def test_p_is_corrected_over_the_table(grids):
    claims = {"x": [Claim("a", "gap", "lower")], "y": [Claim("b", "gap", "lower")]}
    both = rows_of(grids, claims)
    assert [row["technique"] for row in both] == ["x", "y"]
    assert [row["holds"] for row in both] == ["yes", "no"]  # y raises the gap
    smallest = min(both, key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(2 * smallest["p"])


def test_a_network_s_own_quantity_is_judged_by_its_folds_alone(grids):
    (row,) = rows_of(grids, {"x": [Claim("a", "weight_norm", "lower")]})
    split = comparison.split_of(
        {name: comparison.Outcomes.of(grid, name) for name, grid in grids.items()},
        {image: image for image in range(IMAGES * FOLDS)},
    )
    folds = mechanisms.measured(grids["x"], "weight_norm")
    folds -= mechanisms.measured(grids["none"], "weight_norm")
    estimate = crossed(split.spread(folds), split, 1.25)
    assert (row["change"], row["p"]) == pytest.approx((folds.mean(), estimate.p))
    between = folds.var(axis=1, ddof=1).mean()
    assert estimate.error**2 == pytest.approx(between / (REPEATS * FOLDS))
    assert estimate.df == pytest.approx(REPEATS * (FOLDS - 1))


def test_of_one_repeat_a_network_s_own_quantity_is_not_moderated_by_that_of_images(grids):
    claims = {"x": [Claim("a", "weight_norm", "lower"), Claim("b", "nll", "lower")]}
    once = {name: grid[:1] for name, grid in grids.items()}
    alone_in_table, beside = (
        rows_of(once, {"x": some})[0] for some in (claims["x"][:1], claims["x"])
    )
    assert alone_in_table["p"] == beside["p"]
    assert (alone_in_table["low"], alone_in_table["high"]) == (beside["low"], beside["high"])


def test_what_images_make_keeps_the_fold_s_measure_and_the_images_spread(grids):
    claims = {"x": [Claim("a", "nll", "lower")]}
    (row,) = rows_of(grids, claims)
    measured = {name: mechanisms.measured(grids[name], "nll") for name in ("none", "x")}
    assert row["change"] == pytest.approx((measured["x"] - measured["none"]).mean())
    assert row["low"] < row["change"] < row["high"]


def test_the_main_effect_speaks_before_what_is_added_alone(grids):
    variants = {"none": [], "x": ["x"], "both": ["x", "y"]}
    contrasts = [*CONTRASTS, least_squares("x", variants), least_squares("y", variants)]
    claims = {name: [Claim(name, "gap", "lower")] for name in "xy"}
    assert [row["kind"] for row in rows_of(grids, claims, contrasts)] == ["main", "main"]


def test_without_claims_there_are_no_rows(grids):
    assert rows_of(grids, {}) == []
    assert rows_of(grids, {"z": [Claim("z", "gap", "lower")]}) == []


def test_variants_may_have_other_numbers_of_repeats(grids):
    claims = {"x": [Claim("a", "gap", "lower")]}
    fewer = grids | {"none": grids["none"][:1]}
    (row,) = rows_of(fewer, claims)
    expected, _ = mechanisms.sides(CONTRASTS[0], fewer, "gap")
    assert expected.shape == (1, FOLDS) and row["without"] == expected.mean()


def test_a_wobble_is_the_change_between_the_last_evaluations(record):
    def history(values):
        return [{"epoch": i + 1, **({"nll": v} if v else {})} for i, v in enumerate(values)]

    wobble = mechanisms.QUANTITIES["wobble"].of
    values = [9.0, 1.0, 5.0, 2.0, 3.0, 3.5, 1.0, 2.0]
    assert wobble(replace(record(), history=history(values))) == pytest.approx(1.0)
    assert wobble(replace(record(), history=history([None, 4.0, None, 5.0]))) == pytest.approx(1.0)
    assert wobble(replace(record(), history=history([2.0]))) == 0


def test_confidence_and_calibration_come_from_the_probabilities(record):
    one = record()
    shares = np.float32([[0.9, 0.1, 0], [0.2, 0.6, 0.2], [0, 0.3, 0.7], [0.8, 0.1, 0.1]])
    sure = replace(one, outputs=shares, labels=np.array([0, 1, 2, 0]))
    assert mechanisms.QUANTITIES["confidence"].of(sure) == pytest.approx(0.75)
    assert mechanisms.QUANTITIES["ece"].of(sure) == pytest.approx(0.25)  # all right


def test_preactivations_of_trials_that_stopped_early_are_cut_to_the_shortest(grids):
    trial = grids["x"][1][2][0]
    grids["x"][1][2][0] = replace(
        trial, preactivations={k: v[:1] for k, v in trial.preactivations.items()}
    )
    epochs, none, x = mechanisms.preactivations(grids["none"], grids["x"])
    assert epochs == [1]
    assert none["conv1"].shape == x["conv1"].shape == (6, 1, 2)


def test_members_that_err_differently_are_better_together(record):
    """Two networks, each sure of a wrong class on another image."""

    def net(fold, member, wrong):
        labels = np.arange(IMAGES) % 3
        shares = np.full((IMAGES, 3), 0.05, np.float32)
        guess = labels.copy()
        guess[wrong] = (guess[wrong] + 1) % 3
        shares[np.arange(IMAGES), guess] = 0.9
        ids = np.arange(IMAGES) + IMAGES * fold
        made = record(member=member, fold=fold)
        return replace(made, outputs=shares, labels=labels, image_id=ids)

    grid = [[[net(f, 0, f % 2), net(f, 1, 2 + f % 2)] for f in range(FOLDS)]]
    (row,) = rows_of({"base": grid}, {}, [])
    assert row["technique"] == "ensemble of base" and row["with"] < row["without"]
    assert "disagreement 2.00 of their error" in row["claim"]  # never wrong on the same image
    alike = [[[net(f, 0, 1), net(f, 1, 1)] for f in range(FOLDS)]]
    (row,) = rows_of({"base": alike}, {}, [])
    assert row["change"] == pytest.approx(0) and row["holds"] == "not shown"
    assert rows_of({"base": [[[net(f, 0, 1)] for f in range(FOLDS)]]}, {}, []) == []


def test_members_that_keep_counts_are_better_together_by_the_loss_of_their_task(record):
    """Which of four pixels they miss, counts do not say."""

    def counts(nll):
        rows = np.array([[1, 2, 1, 2, 2, 2, 0.5, 0.5, nll, 4]] * IMAGES, np.float32)
        rows[:, 8] += RNG.uniform(-0.01, 0.01, IMAGES)
        return rows

    def net(fold, member):
        ids = np.arange(IMAGES) + IMAGES * fold
        labels = np.zeros(IMAGES, int)
        made = record(member=member, fold=fold)
        return replace(made, outputs=counts(0.7), labels=labels, image_id=ids)

    grid = [[[net(f, 0), net(f, 1)] for f in range(FOLDS)] for _ in range(2)]
    rope = FROZEN.compare.rope.model_copy(update=dict.fromkeys(TASKS["segmentation"].METRICS, 0.1))
    options = FROZEN.compare.model_copy(update={"metric": "iou", "rope": rope})
    groups = {image: image for image in range(IMAGES * FOLDS)}
    compared = comparison.compare(
        {"base": grid}, [], options, groups, together=lambda cell: counts(0.4)
    )
    (row,) = mechanism_rows(compared, {}, {"base": grid}, RULES)
    assert (row["quantity"], row["claim"]) == ("pixel_nll", "members err differently")
    assert row["without"] == pytest.approx(0.7, abs=0.01) and row["holds"] == "yes"
    assert row["change"] == pytest.approx(-0.3, abs=0.01)


def test_a_placebo_claims_nothing():
    assert mechanisms.claims(TECHNIQUES["placebo"]) == []


@pytest.mark.parametrize("task", TASKS.names())
def test_losses_are_told_in_the_task_s_own_unit(task):
    """The one that is trained, and the one of held-out images."""
    _, loss = TASKS[task].MEASURED
    unit, instead = TASKS[task].METRICS[loss].unit, TASKS[task].INSTEAD
    assert {mechanisms.QUANTITIES[instead.get(q, q)].unit for q in ("objective", "nll")} == {unit}


def test_an_augmentation_should_also_bring_diversity():
    quantities = {
        name: [c.quantity for c in mechanisms.claims(TECHNIQUES[name])]
        for name in ("augment", "rotation", "l2", "mixup")
    }
    assert quantities["augment"] == quantities["rotation"] == ["gap", "objective"]
    assert quantities["l2"] == ["weight_norm"] and quantities["mixup"] == ["confidence"]
