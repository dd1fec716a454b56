"""Which variant to take home, by a rule that is declared before the scores are known.

`simplest`, the default, is the one-standard-error rule (Breiman et al., Classification and
Regression Trees, 1984) with a test in the place of the error bar: a technique has to earn its
place. What passes a variant over is not p but the probability that the best is better *by more than
the rope*: with many folds p would also pass over one that is surely behind by nothing that matters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.compare.contrasts import differences, pair
from cnnlab.compare.inference import corrected_t, correlated_t_rope, score_interval
from cnnlab.compare.metrics import bounds_of

if TYPE_CHECKING:
    from cnnlab.compare.tables import Rules, Scores

COLUMNS = ["name", "techniques", "score", "low", "high", "cost", "behind", "behind_low"]
COLUMNS += ["behind_high", "p_worse", "level", "recommended"]

# A rule: the rows of variants that are level with the best -> how good each is; least comes first.
RULES: dict[str, Callable[[Mapping], tuple]] = {
    "best": lambda row: (row["behind"],),
    "simplest": lambda row: (len(row["techniques"].split()), row["cost"], row["behind"]),
}


def recommend(
    rule: str,
    scores: Scores,
    techniques: Mapping[str, Sequence[str]],
    costs: Mapping[str, float],
    rules: Rules,
) -> list[dict]:
    """One row a variant, one of which is recommended; the first of equals.

    scores: variant -> (repeats, folds) on the metric of `rules`. techniques: variant -> what is on.
    costs: variant -> what one training takes, at least 0. rules: `probability` is the one at which
    a variant is passed over.

    Columns, besides name, techniques and cost: `score`, `low`, `high` (its interval); `behind`,
    `behind_low`, `behind_high` (the best one's lead over it, in the metric's units, with its
    interval; what is positive is worse, whatever the metric); `p_worse` (probability that the lead
    is larger than the rope); `level` (that is below `rules.probability`: not distinguishable from
    the best); `recommended`. Raises Incomparable for scores that differ in folds.
    """
    sign = 1.0 if rules.higher_is_better else -1.0
    best = max(scores, key=lambda name: sign * float(np.mean(scores[name])))
    rows = []
    for name, values in scores.items():
        interval = score_interval(values, rules.confidence, bounds_of(rules.metric))
        lead = np.zeros_like(np.asarray(values, np.float64))
        if name != best:
            lead = sign * differences(pair(best, name), scores)
        behind = corrected_t(lead, rules.confidence)
        p_worse = correlated_t_rope(
            lead, rules.rope, rules.probability, higher_is_better=True
        ).above
        rows.append(
            {
                "name": name,
                "techniques": " ".join(techniques[name]),
                "score": interval.mean,
                "low": interval.low,
                "high": interval.high,
                "cost": costs[name],
                "behind": behind.mean,
                "behind_low": behind.low,
                "behind_high": behind.high,
                "p_worse": p_worse,
                "level": p_worse < rules.probability,
            }
        )
    chosen = min((row for row in rows if row["level"]), key=RULES[rule])
    return [{**row, "recommended": row is chosen} for row in rows]
