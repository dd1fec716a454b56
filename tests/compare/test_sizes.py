"""Scores against the size of the training set."""

import numpy as np
import pandas as pd
import pytest

from cnnlab import report
from cnnlab.compare.inference import Split, corrected_t, crossed, score_interval
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.sizes import SIZE_COLUMNS, overtakes, size_rows
from cnnlab.compare.tables import Rules

# Three folds of twenty images, all images of a fold alike: intervals come from folds alone.
SPLIT = Split(np.arange(60)[None] // 20, np.arange(60))
BY_FOLDS = Rules(estimate="corrected_t")


def grid(*means):
    return np.repeat(np.array([means]), 20, axis=1)


SCORES = {
    100: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.71, 0.8, 0.91)},
    20: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.5, 0.7, 0.75)},
    50: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.9, 0.6, 0.85)},
}


def test_rows_hold_means_and_paired_differences_by_size():
    rows = size_rows(SCORES, SPLIT, BY_FOLDS)
    assert [(r["per_class"], r["variant"]) for r in rows] == [
        (size, name) for size in (20, 50, 100) for name in ("freeze", "finetune")
    ]
    last = rows[-1]
    score = corrected_t([[0.71, 0.8, 0.91]])
    effect = corrected_t([[0.11, 0.1, 0.11]])
    assert (last["mean"], last["mean_low"], last["mean_high"]) == pytest.approx(
        (score.mean, *score_interval(score, 0.95, (0.0, 1.0)))
    )
    assert [last[k] for k in ("effect", "low", "high", "p")] == pytest.approx(
        [effect.mean, *effect.interval(0.95), effect.p]
    )
    assert (last["minus"], last["n"]) == ("freeze", 60)
    assert set(last) == set(SIZE_COLUMNS)
    assert "effect" not in rows[0] and "minus" not in rows[0]


def right(share, repeats=1, seed=0):
    return (np.random.default_rng(seed).random((repeats, 60)) < share).astype(float)


def test_the_estimate_is_that_of_single_images():
    values = {5: {"a": right(0.5), "b": right(0.9, seed=1), "c": right(0.6, seed=2)}}
    rules = Rules()
    rows = {row["variant"]: row for row in size_rows(values, SPLIT, rules)}
    gains = [values[5][name] - values[5]["a"] for name in "bc"]
    for name, expected in zip("bc", rules.estimates(gains, SPLIT), strict=True):
        row = rows[name]
        assert (row["effect"], row["p"]) == (expected.mean, expected.p)
        assert (row["low"], row["high"]) == expected.interval(0.95)
        assert (row["n"], row["minus"]) == (60, "a")


def test_of_a_study_with_more_repeats_the_first_ones_are_meant():
    """As `decide` adds repeats, but not for other sizes."""
    fold = np.stack([np.random.default_rng(r).permutation(np.arange(60) % 3) for r in range(5)])
    longer = Split(fold, np.arange(60))
    values = {5: {"a": right(0.5, 2), "b": right(0.9, 2, seed=1)}}
    rows = size_rows(values, longer, Rules())
    expected = crossed(values[5]["b"] - values[5]["a"], Split(fold[:2], np.arange(60)), 1.25)
    assert (rows[1]["effect"], rows[1]["p"]) == (expected.mean, expected.p)


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_stay_within_what_is_possible(metric):
    least, most = METRICS[metric].bounds
    most = min(most, 16.0)
    scores = {5: {"a": least + (most - least) * grid(0.95, 1.0, 0.9)}}
    scores[5]["b"] = least + (most - least) * grid(0.0, 0.05, 0.0)
    for estimate in ("crossed", "corrected_t"):
        rules = Rules(metric=metric, confidence=0.99, estimate=estimate)
        for row in size_rows(scores, SPLIT, rules):
            assert least <= row["mean_low"] < row["mean"] < row["mean_high"]
            assert row["mean_high"] <= METRICS[metric].bounds[1]


def test_where_one_overtakes_another():
    rows = size_rows(SCORES, SPLIT, BY_FOLDS)
    assert overtakes(rows, "finetune", 1) == (50, 100)
    assert overtakes(rows, "finetune", -1) == (None, None)
    first = size_rows({20: SCORES[100]}, SPLIT, BY_FOLDS)
    assert overtakes(first, "finetune", 1) == (20, 20)


def test_what_is_the_same_in_all_folds_overtakes_but_is_not_sure():
    """An interval without width leaves zero out, and says nothing."""
    values = {20: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.7, 0.8, 0.9)}}
    rows = size_rows(values, SPLIT, BY_FOLDS)
    assert (rows[1]["low"], rows[1]["p"]) == pytest.approx((0.1, 1))
    assert overtakes(rows, "finetune", 1) == (20, None)


@pytest.mark.parametrize("sizes", [(20,), (20, 100)])
def test_one_variant_alone_has_scores_and_nothing_to_be_compared_with(sizes, tmp_path):
    """Its table once lacked the column `minus`, and the report stopped there."""
    alone = {n: {"freeze": SCORES[n]["freeze"]} for n in sizes}
    rows = size_rows(alone, SPLIT, BY_FOLDS)
    path = tmp_path / "sizes.csv"
    pd.DataFrame(rows, columns=SIZE_COLUMNS).to_csv(path, index=False)  # as stages.compare does
    table = report.read_table(path, ["effect", "low", "high", "p"])
    lines = report.sizes_table(table, "accuracy", 0.95).splitlines()
    assert len(lines) == 2 + len(sizes)
    assert lines[2].startswith("| 20 | **freeze** | 70.0 [") and lines[2].endswith("| – |")
    assert report.overtaking(table, "accuracy") == []
