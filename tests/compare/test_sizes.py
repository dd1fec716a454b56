"""Scores against the size of the training set."""

import numpy as np
import pandas as pd
import pytest

from cnnlab import report
from cnnlab.compare.inference import corrected_t, score_interval
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.sizes import SIZE_COLUMNS, overtakes, size_rows

M = METRICS["accuracy"]


def grid(*means):
    return np.array([means])


SCORES = {
    100: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.71, 0.8, 0.91)},
    20: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.5, 0.7, 0.75)},
    50: {"freeze": grid(0.6, 0.7, 0.8), "finetune": grid(0.9, 0.6, 0.85)},
}


def test_rows_hold_means_and_paired_differences_by_size():
    rows = size_rows(SCORES, M, 0.95)
    assert [(r["per_class"], r["variant"]) for r in rows] == [
        (size, name) for size in (20, 50, 100) for name in ("freeze", "finetune")
    ]
    last = rows[-1]
    score = score_interval(SCORES[100]["finetune"], 0.95, M.bounds)
    effect = corrected_t(grid(0.11, 0.1, 0.11), 0.95)
    assert (last["mean"], last["mean_low"], last["mean_high"]) == (
        *(score.mean, score.low, score.high),
    )
    assert [last[k] for k in ("effect", "low", "high", "p")] == pytest.approx(
        [effect.mean, effect.low, effect.high, effect.p]
    )
    assert (last["minus"], last["n"]) == ("freeze", 3)
    assert set(last) == set(SIZE_COLUMNS)
    assert "effect" not in rows[0] and "minus" not in rows[0]


@pytest.mark.parametrize("metric", METRICS)
def test_intervals_stay_within_what_is_possible(metric):
    least, most = METRICS[metric].bounds
    scores = {5: {"a": least + (most - least) * grid(0.95, 1.0, 1.0, 0.9)}}
    scores[5]["b"] = least + (most - least) * grid(0.0, 0.0, 0.05, 0.0)
    for row in size_rows(scores, METRICS[metric], 0.99):
        assert least <= row["mean_low"] < row["mean"] < row["mean_high"] <= most


def test_where_one_overtakes_another():
    rows = size_rows(SCORES, M, 0.95)
    assert overtakes(rows, "finetune", 1) == (50, 100)
    assert overtakes(rows, "finetune", -1) == (None, None)
    first = size_rows({20: SCORES[100]}, M, 0.95)
    assert overtakes(first, "finetune", 1) == (20, 20)


@pytest.mark.parametrize("sizes", [(20,), (20, 100)])
def test_one_variant_alone_has_scores_and_nothing_to_be_compared_with(sizes, tmp_path):
    """Its table once lacked the column `minus`, and the report stopped there."""
    rows = size_rows({n: {"freeze": SCORES[n]["freeze"]} for n in sizes}, M, 0.95)
    path = tmp_path / "sizes.csv"
    pd.DataFrame(rows, columns=SIZE_COLUMNS).to_csv(path, index=False)  # as stages.compare does
    table = pd.read_csv(path)
    lines = report.sizes_table(table, "accuracy", 0.95).splitlines()
    assert len(lines) == 2 + len(sizes)
    assert lines[2].startswith("| 20 | **freeze** | 70.0 [") and lines[2].endswith("| – |")
    assert report.overtaking(table, "accuracy") == []
