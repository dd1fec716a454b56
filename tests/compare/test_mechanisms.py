"""Mechanisms: quantities of records, and whether a claim holds."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.compare import alone, mechanisms, removed
from cnnlab.compare.mechanisms import Claim, mechanism_rows
from cnnlab.recipe.techniques import TECHNIQUES


@pytest.fixture
def grids(record):
    """Variants of 2 x 3 trials, in which `x` lowers the gap and nothing moves the weight norm."""

    def grid(name, gap):
        rng = np.random.default_rng(len(name))

        def made(r, f):
            one = record(name, r, f)
            noise = rng.normal(0, 0.005, 2)
            measured = {"train_accuracy": 0.9 + noise[0], "accuracy": 0.9 - gap}
            measured["weight_norm"] = 5 + noise[1]
            return replace(one, measured={**one.measured, **measured})

        return [[[made(r, f)] for f in range(3)] for r in range(2)]

    return {"none": grid("none", 0.2), "x": grid("x", 0.1), "both": grid("both", 0.3)}


CONTRASTS = [alone("x", "x", "none"), removed("y", "both", "x")]


@pytest.mark.parametrize(
    ("quantity", "way", "holds"),
    [
        ("gap", "lower", "yes"),
        ("gap", "higher", "no"),
        ("weight_norm", "lower", "not shown"),
    ],
)
def test_a_claim_holds_where_the_numbers_say_so(grids, quantity, way, holds):
    claims = {"x": [Claim("says x", quantity, way)]}
    (row,) = mechanism_rows(CONTRASTS, claims, grids, confidence=0.95, alpha=0.05)
    assert (row["technique"], row["kind"], row["holds"]) == ("x", "alone", holds)
    assert set(row) == set(mechanisms.COLUMNS)
    assert row["change"] == pytest.approx(row["with"] - row["without"])
    assert row["low"] <= row["change"] <= row["high"]
    if quantity == "gap":
        assert row["without"] == pytest.approx(0.2, abs=0.01)
        assert row["change"] == pytest.approx(-0.1, abs=0.01)


def test_p_is_corrected_over_the_table(grids):
    claims = {"x": [Claim("a", "gap", "lower")], "y": [Claim("b", "gap", "lower")]}
    both = mechanism_rows(CONTRASTS, claims, grids, 0.95, 0.05)
    assert [row["technique"] for row in both] == ["x", "y"]
    assert [row["holds"] for row in both] == ["yes", "no"]  # y raises the gap
    smallest = min(both, key=lambda row: row["p"])
    assert smallest["p_holm"] == pytest.approx(2 * smallest["p"])


def test_without_claims_there_are_no_rows(grids):
    assert mechanism_rows(CONTRASTS, {}, grids, 0.95, 0.05) == []


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
    sure = replace(one, probabilities=shares, labels=np.array([0, 1, 2, 0]))
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
    """Two nets, each sure of a wrong class on another image."""

    def net(member, wrong):
        shares = np.full((4, 3), 0.05, np.float32)
        labels = np.array([0, 1, 2, 0])
        said = labels.copy()
        said[wrong] = (said[wrong] + 1) % 3
        shares[np.arange(4), said] = 0.9
        return replace(record(member=member), probabilities=shares, labels=labels)

    grid = [[[net(0, f % 2), net(1, 2 + f % 2)] for f in range(3)]]
    (row,) = mechanism_rows([], {}, {"base": grid}, 0.95, 0.05)
    assert row["technique"] == "ensemble of base" and row["with"] < row["without"]
    assert "disagreement 2.00 of their error" in row["claim"]  # never wrong on the same image
    (_, same) = (net(0, 1), net(1, 1))
    alike = [[[net(0, 1), same] for _ in range(3)]]
    (row,) = mechanism_rows([], {}, {"base": alike}, 0.95, 0.05)
    assert row["change"] == pytest.approx(0) and row["holds"] == "not shown"
    assert mechanism_rows([], {}, {"base": [[[net(0, 1)]] * 3]}, 0.95, 0.05) == []


def test_an_augmentation_should_also_bring_diversity():
    quantities = {
        name: [c.quantity for c in mechanisms.claims(TECHNIQUES[name])]
        for name in ("augment", "rotation", "l2", "mixup")
    }
    assert quantities["augment"] == quantities["rotation"] == ["gap", "objective"]
    assert quantities["l2"] == ["weight_norm"] and quantities["mixup"] == ["confidence"]
