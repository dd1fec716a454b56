"""Critical readings: the table of effects in words, generated from its numbers.

A reading says no more than the test after Holm's correction and the region of practical
equivalence allow, and what it would take to say more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from cnnlab.compare.metrics import Metric
from cnnlab.report import bounds, signed

Rows = Sequence[Mapping]

WORDS = {  # of an effect of each kind: one that is significant, and one that is not
    "alone": ("{effect} when added", "adding it changes nothing {seen}"),
    "removed": (
        "{effect} is lost when it is removed from the full recipe",
        "removing it from the full recipe changes nothing {seen}",
    ),
    "together": ("{effect} over the baseline", "no change from the baseline {seen}"),
    "main": ("{effect} on average over the others", "on average it changes nothing {seen}"),
    "shapley": ("{effect} is its share of all", "its share of all is nothing {seen}"),
    "ensemble": (
        "averaging its networks adds {effect}",
        "averaging its networks adds nothing {seen}",
    ),
    "start": ("{effect} on average over the techniques", "on average no difference {seen}"),
    "interaction": ("they change each other's effect by {effect}", ""),
    "pair": ("{effect}", "no difference {seen}"),
}


def readings(rows: Rows, metric: Metric, confidence: float) -> list[str]:
    """One reading a technique (or pair), in the order of the table, in Markdown.

    `rows`: the table of effects on one metric. Interactions are read where they are significant.
    """
    rows = [row for row in rows if row["kind"] != "interaction" or row["clear"]]
    texts = []
    for name in dict.fromkeys(row["technique"] for row in rows):
        of_name = [row for row in rows if row["technique"] == name]
        parts = [_part(row, metric, confidence) for row in of_name]
        texts.append(f"**{name}**: {'; '.join(parts)}. {_practice(of_name, metric)}")
    return texts


def _part(row: Mapping, metric: Metric, confidence: float) -> str:
    significant, otherwise = WORDS[row["kind"]]
    effect = f"{signed(row['effect'], metric)} {metric.step}"
    if row["degenerate"]:
        return f"{significant.format(effect=effect)} in every fold alike: nothing to test"
    interval = f"{confidence:.0%} CI {bounds(row, metric)}"
    if row["clear"]:
        return significant.format(effect=f"{effect}, {interval},").rstrip(",")
    seen = f"that {row['n']:.0f} folds can see"
    return f"{otherwise.format(seen=seen)} ({effect}, {interval})"


def _practice(rows: Rows, metric: Metric) -> str:
    """The verdicts, and what would decide what is undecided."""
    rope = f"±{rows[0]['rope'] * metric.scale:.{metric.digits}f} {metric.step}"
    verdicts = {row["verdict"] for row in rows}
    if len(verdicts) == 1:
        text = f"With {rope} as no practical difference: {verdicts.pop()}."
    else:
        each = (f"{row['kind']} {row['verdict']}" for row in rows)
        text = f"With {rope} as no practical difference: {', '.join(each)}."
    if all(row["verdict"] != "undecided" for row in rows):
        return text
    waiting = [row for row in rows if row["verdict"] == "undecided"]
    needed = max(row["repeats"] for row in waiting)
    if not math.isinf(needed):
        return f"{text} About {needed:.0f} repeats in all should decide it."
    floor = max(row["floor"] for row in waiting if math.isinf(row["repeats"]))
    left = f"±{floor * metric.scale:.{metric.digits}f} {metric.step}"
    return f"{text} More repeats would not decide it ({left} would stay); more images might."
