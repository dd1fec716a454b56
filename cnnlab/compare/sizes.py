"""Scores against the size of the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnnlab.compare.inference import Split, score_interval
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.tables import Rules

SIZE_COLUMNS = ["variant", "per_class", "mean", "mean_low", "mean_high", "minus", "effect"]
SIZE_COLUMNS += ["low", "high", "p", "n"]


def size_rows(
    values: Mapping[int, Mapping[str, np.ndarray]], split: Split, rules: Rules
) -> list[dict]:
    """One row a variant and size, smallest first: mean score with its interval, and the paired
    difference from the first variant with its own (nothing in that variant's rows).

    `values`: training images per class -> variant -> (repeats, images), of the metric of `rules`.
    Values of p are not corrected for their number.
    """
    rows, bounds = [], METRICS[rules.metric].bounds
    for size in sorted(values):
        first, *others = values[size]
        scores = rules.estimates(list(values[size].values()), split)
        lessened = [values[size][name] - values[size][first] for name in others]
        effects = dict(zip(others, rules.estimates(lessened, split), strict=True))
        for name, score in zip(values[size], scores, strict=True):
            low, high = score_interval(score, rules.confidence, bounds)
            row = {"variant": name, "per_class": size, "n": score.n, "mean": score.mean}
            row |= {"mean_low": low, "mean_high": high}
            if name != first:
                effect = effects[name]
                row |= {"minus": first, "effect": effect.mean, "p": effect.p}
                row["low"], row["high"] = effect.interval(rules.confidence)
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
    """Whether the interval of a row's difference leaves zero out, and is to be believed: p is 1
    where nothing can be said, such as where all folds are alike."""
    return (row["low"] > 0 or row["high"] < 0) and row["p"] < 1
