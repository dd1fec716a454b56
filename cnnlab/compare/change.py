"""Did an estimate change from one study to another, or is the difference noise?

All that is known of either study is what its tables hold: mean, interval and degrees of freedom.
What was measured fold by fold is not in them, so the two cannot be paired. Their difference is
tested as if they were independent: standard errors add in squares, and the smaller number of
degrees of freedom counts. Studies of the same images move together, so their difference is steadier
than that: a real change may stay undetected, but noise is called a change no more often than
`alpha`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr, stdtrit

from cnnlab.compare.inference import holm

Verdict = Literal["unchanged", "no practical change", "real change", "within noise"]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a table says of an estimate, in the metric's units; df at least 1."""

    mean: float
    error: float  # standard error, on the corrected scale
    df: int


@dataclass(frozen=True, kw_only=True)
class Change:
    """After minus before with its interval; p_holm: that it is 0, over all that were asked."""

    mean: float
    low: float
    high: float
    p_holm: float
    verdict: Verdict


def changes(
    pairs: Mapping[str, tuple[Known, Known]], *, confidence: float, alpha: float, rope: float
) -> dict[str, Change]:
    """What changed from the first to the second of each pair.

    confidence: of the intervals, in (0, 1). alpha: significance after Holm's correction over all
    pairs that are not equal. rope: what makes no practical difference, at least 0.

    "unchanged": the same numbers. "no practical change": the whole interval within +-rope.
    "real change": p_holm below alpha. Else "within noise".
    """
    moved = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    differences = {name: _difference(*pair, confidence) for name, pair in moved.items()}
    p_values = [p for *_, p in differences.values()]
    corrected = dict(zip(differences, holm(p_values), strict=True))
    result = {}
    for name in pairs:
        if name not in differences:
            result[name] = Change(mean=0.0, low=0.0, high=0.0, p_holm=1.0, verdict="unchanged")
            continue
        mean, low, high, _ = differences[name]
        p = float(corrected[name])
        if -rope <= low and high <= rope:
            verdict: Verdict = "no practical change"
        else:
            verdict = "real change" if p < alpha else "within noise"
        result[name] = Change(mean=mean, low=low, high=high, p_holm=p, verdict=verdict)
    return result


def _difference(before: Known, after: Known, confidence: float) -> tuple[float, ...]:
    """After minus before, its bounds, and the two-sided p of no difference."""
    mean = after.mean - before.mean
    error = math.hypot(before.error, after.error)
    df = min(before.df, after.df)
    if error == 0:  # all folds of both agree
        return mean, mean, mean, float(mean == 0)
    half = error * _quantile(df, confidence)
    return mean, mean - half, mean + half, float(2 * stdtr(df, -abs(mean) / error))


def standard_error(low: float, high: float, df: int, confidence: float) -> float:
    """Of an estimate with a symmetric interval, from the ends of that."""
    return (high - low) / 2 / _quantile(df, confidence)


def _quantile(df: int, confidence: float) -> float:
    return float(stdtrit(df, (1 + confidence) / 2))
