"""Screening: what techniques do to the head of a frozen backbone, before a study is trained.

What became of it are rows of technique, screened and full (the rows of the effect in both), p (of
the two being the same, two-sided) and misled: how, empty where it did not.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from scipy.special import ndtr

from cnnlab.compare.designs import full, star

FACTORIAL = 3  # techniques, at most, of which every set is tried
ALPHA = 0.05  # below it two estimates are not of the same effect


def sets(techniques: Sequence[str]) -> tuple[str, list[frozenset[str]]]:
    """The kind of design, and its sets of techniques: all of them where they are few."""
    if len(techniques) <= FACTORIAL:
        return "factorial", full(techniques)
    return "star", star(techniques)


def against(screened: Iterable[Mapping], rows: Iterable[Mapping]) -> list[dict]:
    """What became of a screening: a row for each technique whose effect both tell.

    `screened`, `rows`: effects (see `cnnlab.compare.tables`) on one metric. Their errors are taken
    to be independent; they share images, so that p is too large rather than too small.
    """
    of_full = {row["technique"]: row for row in of_techniques(rows)}
    made = []
    for row in of_techniques(screened):
        after = of_full.get(row["technique"])
        if after is None or row["why"] or after["why"]:
            continue
        error = math.hypot(float(row["se"]), float(after["se"]))
        apart = abs(row["effect"] - after["effect"])
        p = 2 * float(ndtr(-apart / error)) if error else float(apart == 0)
        made.append(
            {
                "technique": row["technique"],
                "screened": row,
                "full": after,
                "p": p,
                "misled": _misled(row, after, p),
            }
        )
    return made


def of_techniques(rows: Iterable[Mapping]) -> list[Mapping]:
    """The effects that answer first: the main ones, or where there are none those of techniques
    that are added alone."""
    rows = list(rows)
    for kind in ("main", "alone"):
        if of_kind := [row for row in rows if row["kind"] == kind]:
            return of_kind
    return []


def _misled(screened: Mapping, after: Mapping, p: float) -> str:
    """How; empty where it did not. What is undecided promises nothing."""
    verdict, truth = screened["verdict"], after["verdict"]
    if "undecided" not in (verdict, truth) and verdict != truth:
        return f"it said {verdict}, the full study says {truth}"
    return "the effects differ significantly" if p < ALPHA else ""
