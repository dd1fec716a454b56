"""Images that changed sides: wrong without a technique and right with it, and the reverse.

They are counted over pairs of trainings that differ in the technique alone: each pair of variants,
in each repeat.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from cnnlab.compare.contrasts import Contrast
from cnnlab.compare.scores import Outcomes

COLUMNS = ["technique", "image_id", "label", "gained", "lost", "of", "mistaken_for"]


def figure_of(name: str) -> str:
    """How the figure of a contrast's changed sides is called: another one for `a - b-c` than for
    `a-b - c`."""
    dashed = "-" in name.replace(" - ", "")
    return f"sides_{name.replace(' - ', '_less_') if dashed else name.replace(' ', '')}"


def pairs_of(
    contrast: Contrast, variants: Mapping[str, Sequence[str]], starts: Sequence[str]
) -> list[tuple[str, str]]:
    """Pairs (with, without) of variants that a contrast compares and that differ in its technique
    alone, or of a start, in how training starts."""
    sets = {v: frozenset(variants[v]) for v, weight in contrast.weights.items() if weight}
    plus = [v for v in sets if contrast.weights[v] > 0]
    minus = [v for v in sets if contrast.weights[v] < 0]
    if contrast.kind == "pair":
        return [(plus[0], minus[0])]
    if contrast.kind == "start":
        every = set(starts)
        return [(a, b) for a in plus for b in minus if sets[a] - every == sets[b] - every]
    return [(a, b) for a in sets for b in sets if sets[b] | {contrast.name} == sets[a] != sets[b]]


def changed(
    technique: str,
    pairs: Sequence[tuple[str, str]],
    outcomes: Mapping[str, Outcomes],
    classes: Sequence[str],
) -> pd.DataFrame:
    """One row an image that changed sides in any pair of trainings, those that changed in most of
    them first, as COLUMNS: how often it was gained (wrong without, right with) and lost, of how
    many pairs, and what it was most often mistaken for by those that were wrong."""
    first = next(iter(outcomes.values()))
    images = len(first.labels)
    gained, lost, total = np.zeros(images, int), np.zeros(images, int), 0
    mistakes = np.zeros((images, len(classes)), int)
    for with_it, without in pairs:
        guesses = [outcomes[v].outputs.mean(axis=1).argmax(axis=2) for v in (with_it, without)]
        for one, other in zip(*guesses, strict=False):  # of the repeats that both have
            right, right_without = one == first.labels, other == first.labels
            gained += right & ~right_without
            lost += ~right & right_without
            total += 1
            for guess, hit in ((one, right), (other, right_without)):
                mistakes[np.flatnonzero(~hit), guess[~hit]] += 1
    table = pd.DataFrame(
        {
            "technique": technique,
            "image_id": first.image_id,
            "label": [classes[number] for number in first.labels],
            "gained": gained,
            "lost": lost,
            "of": total,
            "mistaken_for": [classes[number] for number in mistakes.argmax(axis=1)],
        },
        columns=COLUMNS,
    )
    table = table[(gained > 0) | (lost > 0)]
    order = np.argsort(-(table["gained"] - table["lost"]).abs(), kind="stable")
    return table.iloc[order]
