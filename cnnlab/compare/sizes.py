"""Scores against the size of the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnnlab.compare.inference import corrected_t, score_interval
from cnnlab.compare.metrics import Metric

SIZE_COLUMNS = ["variant", "per_class", "mean", "mean_low", "mean_high", "minus", "effect"]
SIZE_COLUMNS += ["low", "high", "p", "n"]


def size_rows(
    scores: Mapping[int, Mapping[str, np.ndarray]], metric: Metric, confidence: float
) -> list[dict]:
    """One row a variant and size, smallest first: mean score with its interval, and the paired
    difference from the first variant with its own (nothing in that variant's rows).

    `scores`: training images per class -> variant -> (repeats, folds). Values of p are not
    corrected for their number.
    """
    rows = []
    for size in sorted(scores):
        first = next(iter(scores[size]))
        for name, values in scores[size].items():
            interval = score_interval(values, confidence, metric.bounds)
            row = {"variant": name, "per_class": size, "n": interval.n, "mean": interval.mean}
            row |= {"mean_low": interval.low, "mean_high": interval.high}
            if name != first:
                effect = corrected_t(values - scores[size][first], confidence)
                row |= {"minus": first, "effect": effect.mean, "p": effect.p}
                row |= {"low": effect.low, "high": effect.high}
            rows.append(row)
    return rows


def overtakes(rows: Sequence[Mapping], variant: str, sign: int) -> tuple[int | None, int | None]:
    """The sizes from which on a variant's mean is better than the one it is compared with, and from
    which on its interval says so too; None: at no size looked at.

    `rows`: of `size_rows`. `sign`: 1 where more is better, -1 where less is.
    """
    rows = [row for row in rows if row["variant"] == variant]
    worse = {
        kind: [sign * row["effect"] <= 0 or (kind and not clear(row)) for row in rows]
        for kind in (False, True)
    }
    sizes = []
    for kind in (False, True):
        after = max((i + 1 for i, bad in enumerate(worse[kind]) if bad), default=0)
        sizes.append(rows[after]["per_class"] if after < len(rows) else None)
    return sizes[0], sizes[1]


def clear(row: Mapping) -> bool:
    """Whether the interval of a row's difference leaves zero out."""
    return row["low"] > 0 or row["high"] < 0
