"""What learning curves still do in their last quarter."""

import numpy as np
import pandas as pd
import pytest

from cnnlab.report.convergence import convergence_table, trend

EPOCHS = np.arange(1, 61)
ROPES = {"accuracy": 0.01, "nll": 0.02}


def test_a_line_s_gain_over_the_last_quarter_is_its_slope_times_fifteen_epochs():
    found = trend(EPOCHS, 0.5 + 0.002 * EPOCHS)
    assert found.change == pytest.approx(0.03)
    assert found.error == pytest.approx(0, abs=1e-12)


def test_what_comes_before_the_last_quarter_does_not_matter():
    values = np.where(EPOCHS <= 45, EPOCHS / 100, 0.6)
    assert trend(EPOCHS, values).change == pytest.approx(0)


def test_the_error_is_the_standard_error_of_the_slope():
    """By hand: of 1, 2, 3, 4 about their line through 1, 3, 2, 4 the slope is 0.8, the residuals'
    squares sum to 1.8, and the standard error is sqrt(1.8 / 2 / 5)."""
    found = trend([10, 13, 14, 15, 16], [0, 1, 3, 2, 4])
    assert found.change == pytest.approx(4 * 0.8)
    assert found.error == pytest.approx(4 * (1.8 / 2 / 5) ** 0.5)


@pytest.mark.parametrize("value", [0.0, 0.1, 0.3, 1.0, 1 / 3, 97.3])
def test_a_constant_curve_is_level_and_has_no_scatter(value):
    found = trend(EPOCHS, np.full(60, value))
    assert (found.change, found.error) == (0.0, 0.0)
    table = convergence_table(curves(flat=0.0), ROPES)
    assert "| 0.0 ± 0.0 | 0.000 ± 0.000 | level |" in table and "nan" not in table


@pytest.mark.parametrize("epochs", [[60], [20, 40, 60], range(1, 13)])
def test_three_points_are_no_trend(epochs):
    assert trend(list(epochs), [0.5] * len(epochs)) is None


def curves(**slopes):
    """Curves of a constant slope an epoch."""
    parts = [
        pd.DataFrame({"name": n, "metric": metric, "epoch": EPOCHS, "training": 0.75})
        .assign(held_out=0.5 + slope * EPOCHS)
        for n, slope in slopes.items()
        for metric in ("accuracy", "nll")
    ]  # fmt: skip
    return pd.concat(parts)


def test_variants_are_told_by_the_rope_what_gains_most_first():
    table = convergence_table(curves(down=-0.001, flat=0.0006, up=0.001), ROPES).splitlines()
    assert [line.split(" ** ")[0].split("**")[1] for line in table[2:]] == ["up", "flat", "down"]
    assert [line.rstrip("| ").rsplit("| ", 1)[1] for line in table[2:]] == [
        "still rises",
        "level",
        "falls",
    ]
    assert "| 75.0 | +1.5 ± 0.0 | +0.015 ± 0.000 |" in table[2]
    assert "−1.5 ± 0.0" in table[4]
    assert len({line.count("|") for line in table}) == 1


def test_nothing_is_concluded_of_a_curve_that_settles_with_its_learning_rate():
    found = curves(down=-0.001, up=0.001)
    plain, table = (convergence_table(found, ROPES, s).splitlines() for s in ((), {"up"}))
    assert table[2] == plain[2].replace("still rises", "scheduled")
    assert table[3] == plain[3]


def test_a_short_training_has_no_table():
    short = curves(up=0.01)
    assert convergence_table(short[short["epoch"] <= 3], ROPES) == ""
