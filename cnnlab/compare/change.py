"""Did an estimate change from one study to another, or is the difference noise?

All that is known of either study is what its tables hold: mean, standard error and degrees of
freedom. What was measured image by image is not in them, so the two cannot be paired. Their
difference is tested on two assumptions: that the studies are independent, so that standard errors
add in squares, and that these errors are right. The smaller number of degrees of freedom counts.
Where both hold, noise is called a change about as often as `alpha` says. Studies that share images
move together, so that their difference is steadier than assumed: of them the test is cautious, and
misses real changes sooner than it invents one. Where the errors are too small, it invents more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.special import stdtr, stdtrit

from cnnlab.compare.inference import holm

Verdict = Literal[
    "unchanged", "no practical change", "real change", "within noise", "cannot be told"
]


@dataclass(frozen=True, kw_only=True)
class Known:
    """What a table says of an estimate, in the metric's units."""

    mean: float
    error: float  # standard error; 0 where nothing is known of it, as where all folds are alike
    df: float  # at least 1


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

    "unchanged": the same numbers. "cannot be told": an error is not known. "no practical change":
    the whole interval within +-rope. "real change": p_holm below alpha. Else "within noise".
    """
    moved = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    known = {name: pair for name, pair in moved.items() if pair[0].error and pair[1].error}
    differences = {name: _difference(*pair, confidence) for name, pair in known.items()}
    p_values = [p for *_, p in differences.values()]
    corrected = dict(zip(differences, holm(p_values), strict=True))
    result = {}
    for name, (before, after) in pairs.items():
        mean = low = high = after.mean - before.mean
        p, verdict = 1.0, "unchanged"
        if name in differences:
            mean, low, high, _ = differences[name]
            p = float(corrected[name])
            verdict = "real change" if p < alpha else "within noise"
            if -rope <= low and high <= rope:
                verdict = "no practical change"
        elif name in moved:
            verdict = "cannot be told"
        result[name] = Change(mean=mean, low=low, high=high, p_holm=p, verdict=verdict)
    return result


def _difference(before: Known, after: Known, confidence: float) -> tuple[float, ...]:
    """After minus before, its bounds, and the two-sided p of no difference."""
    mean = after.mean - before.mean
    error = math.hypot(before.error, after.error)
    df = min(before.df, after.df)
    half = error * float(stdtrit(df, (1 + confidence) / 2))
    return mean, mean - half, mean + half, float(2 * stdtr(df, -abs(mean) / error))
