"""Was training long enough? What learning curves still do in their last quarter."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cnnlab.compare.metrics import METRICS, measured_in, task_of
from cnnlab.report import best_first
from cnnlab.report.words import signed
from cnnlab.tasks import TASKS

LAST = 0.25  # of a curve's epochs
FEWEST = 4  # points that a line is laid through


@dataclass(frozen=True)
class Trend:
    """How much a curve changes along the least-squares line through its last quarter, in the
    metric's own units, and that change's standard error from the scatter of epochs about it."""

    change: float
    error: float


def trend(epochs: ArrayLike, values: ArrayLike) -> Trend | None:
    """The trend of one curve, (points,) each, epochs rising; None where there are too few points.

    Epochs of one training run are not independent, so the error is a guide, not a test.
    """
    x, y = np.asarray(epochs, float), np.asarray(values, float)
    late = x > (1 - LAST) * x[-1]
    x, y = x[late], y[late]
    if len(x) < FEWEST:
        return None
    length = LAST * np.asarray(epochs)[-1]
    x, y = x - x.mean(), y - y[0]  # of a constant curve nothing is left, rounding neither
    y = y - y.mean()
    squares = x @ x
    slope = (x @ y) / squares
    rest = y - slope * x
    error = np.sqrt(rest @ rest / (len(x) - 2) / squares)
    return Trend(float(slope * length), float(error * length))


def convergence_table(
    curves: pd.DataFrame, ropes: Mapping[str, float], scheduled: Collection[str] = ()
) -> str:
    """A row a variant in Markdown, what gains most first; "" with too few points.

    `curves`: as `look.curves.curve_table` gives them. `ropes`: metric -> what makes no difference.
    `scheduled`: whose learning rate falls to the end. Their curves settle with it, whether or not
    there is more to learn, so nothing is concluded of them.
    """
    trends = {
        (name, metric): trend(curve["epoch"], curve["held_out"])
        for (name, metric), curve in curves.groupby(["name", "metric"], sort=False)
    }
    trends = {key: late for key, late in trends.items() if late}
    score, _ = measured_in(curves["metric"].to_list())
    m, called = METRICS[score], TASKS[task_of(score)].MEASURED[score]
    rows = [
        {
            "name": name,
            "gain": late.change,
            "state": "scheduled" if name in scheduled else _state(late.change, ropes[score]),
        }
        for (name, metric), late in trends.items()
        if metric == score
    ]
    if not rows:
        return ""
    ends = curves[curves["metric"] == score].groupby("name")["training"].last()
    metrics = [name for name in METRICS if any(metric == name for _, metric in trends)]
    titles = (f"{METRICS[k].title} ({METRICS[k].step})" for k in metrics)
    lines = [
        f"| | training {called}, at the end (%) | {' | '.join(titles)} | held-out {called} |",
        "|---" * (len(metrics) + 3) + "|",
    ]
    for row in best_first(pd.DataFrame(rows), "gain", m).to_dict("records"):
        name = row["name"]
        cells = [_cell(trends.get((name, metric)), metric) for metric in metrics]
        lines.append(
            f"| **{name}** | {100 * ends[name]:.1f} | {' | '.join(cells)} | {row['state']} |"
        )
    return "\n".join(lines)


def _cell(late: Trend | None, metric: str) -> str:
    m = METRICS[metric]
    return f"{signed(late.change, m)} ± {late.error * m.scale:.{m.digits}f}" if late else "–"


def _state(change: float, rope: float) -> str:
    if abs(change) <= rope:
        return "level"
    return "still rises" if change > 0 else "falls"
