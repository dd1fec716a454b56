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

SAID = {  # of an effect of each kind: one that is told from zero, and one that is not
    "alone": ("{effect} when added", "adding it changes nothing {seen}"),
    "removed": (
        "the full recipe has {effect} from it",
        "removing it from the full recipe changes nothing {seen}",
    ),
    "together": ("{effect} over the baseline", "no change from the baseline {seen}"),
    "main": ("{effect} on average over the others", "on average it changes nothing {seen}"),
    "shapley": ("{effect} is its share of all", "its share of all is nothing {seen}"),
    "ensemble": (
        "averaging its nets adds {effect}",
        "averaging its nets adds nothing {seen}",
    ),
    "interaction": ("they change each other's effect by {effect}", ""),
    "pair": ("{effect}", "no difference {seen}"),
}


def readings(rows: Rows, metric: Metric, confidence: float) -> list[str]:
    """One reading a technique (or pair), in the order of the table, in Markdown.

    `rows`: the table of effects on one metric. Interactions are read where they are told from zero.
    """
    rows = [row for row in rows if row["kind"] != "interaction" or row["clear"]]
    said = []
    for name in dict.fromkeys(row["technique"] for row in rows):
        own = [row for row in rows if row["technique"] == name]
        parts = [_part(row, metric, confidence) for row in own]
        said.append(f"**{name}**: {'; '.join(parts)}. {_practice(own, metric)}")
    return said


def _part(row: Mapping, metric: Metric, confidence: float) -> str:
    told, untold = SAID[row["kind"]]
    effect = f"{signed(row['effect'], metric)} {metric.step}"
    if row["degenerate"]:
        return f"{told.format(effect=effect)} in every fold alike, which no test can judge"
    interval = f"{confidence:.0%} CI {bounds(row, metric)}"
    if row["clear"]:
        return told.format(effect=f"{effect}, {interval},").rstrip(",")
    seen = f"that {row['n']:.0f} folds can see"
    return f"{untold.format(seen=seen)} ({effect}, {interval})"


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
