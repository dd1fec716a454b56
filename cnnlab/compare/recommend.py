"""Which variant to take home, by a rule that is declared before the scores are known.

`best`, the default, is the best mean, less what it can do without: of the variants that are part of
the best one (none of their techniques is not in it), the one of fewest techniques of which it is
more likely than not that it loses nothing that matters, up to the rope. In 320 recorded studies
(reports/validity) that lost 0.15 points of true accuracy on average, the best mean itself 0.08.

`simplest` passes over a variant only where the best is better by more than the rope at a declared
probability, and takes the simplest of those that are left. It is for whom simplicity is worth
accuracy: at a probability of 0.95 it lost 1.5 points in those studies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cnnlab.compare.contrasts import differences, pair
from cnnlab.compare.inference import Estimate, Split, probabilities, score_interval
from cnnlab.compare.metrics import bounds_of

if TYPE_CHECKING:
    from cnnlab.compare.tables import Rules, Values

COLUMNS = ["name", "techniques", "score", "low", "high", "cost", "behind", "behind_low"]
COLUMNS += ["behind_high", "p_worse", "level", "recommended"]
ROUNDING = 1e-12  # of a score, below which a lead is none
EVEN = 0.5  # odds above which the rule `best` keeps a technique


def _best(rows: Sequence[Mapping]) -> Mapping:
    top = set(min(rows, key=lambda row: row["behind"])["techniques"].split())
    parts = [row for row in rows if set(row["techniques"].split()) <= top]
    enough = [row for row in parts if row["p_worse"] < EVEN]
    return min(enough, key=lambda row: (len(row["techniques"].split()), row["behind"]))


def _simplest(rows: Sequence[Mapping]) -> Mapping:
    level = [row for row in rows if row["level"]]
    return min(level, key=lambda row: (len(row["techniques"].split()), row["cost"], row["behind"]))


# A rule: from the rows of all variants, the one that is recommended; the first of equals.
RULES: dict[str, Callable[[Sequence[Mapping]], Mapping]] = {"best": _best, "simplest": _simplest}


def recommend(
    rule: str,
    values: Values,
    techniques: Mapping[str, Sequence[str]],
    costs: Mapping[str, float],
    split: Split,
    rules: Rules,
    beside: Sequence[np.ndarray] = (),
) -> list[dict]:
    """One row a variant, one of which is recommended.

    values: variant -> (repeats, images) on the metric of `rules`. techniques: variant -> what is
    on. costs: variant -> what one training takes, at least 0. rules: `probability` is the one at
    which the rule `simplest` passes over a variant. beside: values of what the study has and nobody
    takes home, a placebo: with one repeat they tell, as the others do, how far scores vary.

    Columns, besides name, techniques and cost: `score`, `low`, `high` (its interval); `behind`,
    `behind_low`, `behind_high` (the best one's lead over it, in the metric's units, with its
    interval; what is positive is worse, whatever the metric); `p_worse` (probability that the lead
    is larger than the rope); `level` (that is below `rules.probability`: too close to the best to
    call); `recommended`. Raises Incomparable for scores of other images.
    """
    sign = 1.0 if rules.higher_is_better else -1.0
    best, compared = _leader(values, sign)
    others = [name for name in values if name != best]
    leads = [sign * differences(pair(best, name), compared) for name in others]
    leads = dict(zip(others, rules.estimates(leads, split), strict=True))
    scores = dict(zip(values, rules.estimates([*values.values(), *beside], split), strict=False))
    rows = []
    for name, score in scores.items():
        low, high = score_interval(score, rules.confidence, bounds_of(rules.metric))
        row = {"name": name, "techniques": " ".join(techniques[name]), "score": score.mean}
        row |= {"low": low, "high": high, "cost": costs[name]}
        row |= {"behind": 0.0, "behind_low": 0.0, "behind_high": 0.0, "p_worse": 0.0}
        if name in leads:
            row["behind"] = leads[name].mean
            row["behind_low"], row["behind_high"] = leads[name].interval(rules.confidence)
            row["p_worse"] = _behind(leads[name], rules.rope)
        rows.append({**row, "level": row["p_worse"] < rules.probability})
    chosen = RULES[rule](rows)
    return [{**row, "recommended": row is chosen} for row in rows]


def _leader(values: Values, sign: float) -> tuple[str, Values]:
    """The best variant, and the values by which others are compared with it.

    It is the one of the best mean. Where some have more repeats than others, it is one that no
    other leads on the repeats that both have; and where each is led by another, only repeats count
    that all have."""
    means: dict[str, float] = {name: sign * float(np.mean(v)) for name, v in values.items()}
    best, seen = max(means, key=means.__getitem__), set()
    while best not in seen:
        seen.add(best)

        def lead(name: str, best: str = best) -> float:
            both = min(len(values[name]), len(values[best]))
            return sign * float(np.mean(values[name][:both]) - np.mean(values[best][:both]))

        ahead = max(values, key=lead)
        if lead(ahead) <= ROUNDING:
            return best, values
        best = ahead
    common = min(map(len, values.values()))
    values = {name: v[:common] for name, v in values.items()}
    return max(values, key=lambda name: sign * float(np.mean(values[name]))), values


def recommended(table: Path) -> str:
    """The variant that a written table of these rows recommends."""
    rows = pd.read_csv(table, dtype={"name": str}, keep_default_na=False)
    return rows.loc[rows["recommended"], "name"].item()


def _behind(lead: Estimate, rope: float) -> float:
    """The probability that the best one's lead is larger than the rope; where all folds are alike,
    whether it is: a choice has to be made, and there is nothing better to go by."""
    return probabilities(lead, rope)[2] if lead.error else float(lead.mean > rope)
