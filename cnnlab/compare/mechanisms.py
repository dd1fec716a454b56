"""Did a technique do what theory says? A quantity of every trial, without it and with it.

Columns of the table of mechanisms:

    technique, kind           as in the table of effects: what was compared
    claim                     what the technique should do, in words
    quantity, way             what should move by it, and "lower" or "higher"
    without, with             means over folds and repeats
    change, low, high         mean of with - without over folds, and its corrected interval
    p, p_holm                 corrected t test; after Holm's correction over the table
    holds                     "yes": it moved as claimed, significant; "no": the other way;
                              "not shown": neither

All are in the quantity's own units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Literal

import numpy as np

from cnnlab.compare.contrasts import Contrast, differences
from cnnlab.compare.inference import corrected_t, holm
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.scores import Grid, ensemble_scores, member_scores
from cnnlab.records.trial import Record

COLUMNS = ["technique", "kind", "claim", "quantity", "way", "without", "with", "change", "low"]
COLUMNS += ["high", "p", "p_holm", "holds"]

CALM = 0.25  # of the evaluations, the last ones, which a wobble is taken over


@dataclass(frozen=True)
class Quantity:
    """Something measured of each trial. A value times `scale` is in `unit`."""

    title: str
    scale: float
    unit: str
    digits: int
    of: Callable[[Record], float]


@dataclass(frozen=True)
class Claim:
    """What theory says that a technique does."""

    words: str
    quantity: str
    way: Literal["lower", "higher"]


def _final(name: str) -> Callable[[Record], float]:
    return lambda record: record.final[name]


def _last(record: Record) -> Mapping[str, float]:
    return record.history[-1]


def _ece(record: Record) -> float:
    return METRICS["ece"].score(record.labels, record.probabilities.astype(np.float64))


def _confidence(record: Record) -> float:
    return float(record.probabilities.max(axis=1).mean())


def _wobble(record: Record) -> float:
    """Mean absolute change of the held-out negative log likelihood from one evaluation to the next,
    over the last quarter of them; 0 where there are fewer than two."""
    values = np.array([entry["nll"] for entry in record.history if "nll" in entry])
    last = values[-max(2, round(CALM * len(values))) :]
    return float(np.abs(np.diff(last)).mean()) if len(last) > 1 else 0.0


QUANTITIES = {
    "objective": Quantity(
        "training loss at the end, with all that is on",
        1,
        "nats",
        3,
        lambda r: _last(r)["objective"],
    ),
    "gap": Quantity(
        "training minus held-out accuracy, both clean", 100, "points", 1, _final("gap")
    ),
    "nll": Quantity("held-out negative log likelihood", 1, "nats", 3, _final("nll")),
    "ece": Quantity("held-out calibration error", 100, "%", 1, _ece),
    "confidence": Quantity("mean probability of the predicted class", 100, "%", 1, _confidence),
    "wobble": Quantity("change of held-out NLL between the last epochs", 1, "nats", 4, _wobble),
    "weight_norm": Quantity("L2 norm of all kernels", 1, "", 2, _final("weight_norm")),
    "weight_gini": Quantity("Gini index of |w|, layer by layer", 1, "", 3, _final("weight_gini")),
    "weight_near_zero": Quantity(
        "weights below a thousandth of the layer's largest", 100, "%", 1, _final("weight_near_zero")
    ),
    "largest_filter_norm": Quantity(
        "largest norm of the weights into a unit", 1, "", 2, _final("largest_filter_norm")
    ),
    "unit_correlation": Quantity(
        "mean |correlation| of the last hidden units", 1, "", 3, _final("unit_correlation")
    ),
    "dead_units": Quantity(
        "last hidden units that never change", 100, "%", 1, _final("dead_units")
    ),
    "preactivation_drift": Quantity(
        "move of pre-activations' mean an evaluation", 1, "sd", 3, _final("preactivation_drift")
    ),
}


def measured(grid: Grid, quantity: str) -> np.ndarray:
    """A quantity of one variant's records, float64 (repeats, folds), averaged over members."""
    of = QUANTITIES[quantity].of
    return np.array([[np.mean([of(r) for r in cell]) for cell in row] for row in grid])


DIVERSITY = Claim("what is trained on is harder than the plain images", "objective", "higher")


def claims(technique: ModuleType) -> list[Claim]:
    """What the file of a technique says that it does; an augmentation should also bring diversity:
    a higher final training loss (Gontijo-Lopes et al. 2021)."""
    made = [Claim(technique.CLAIM, *technique.EVIDENCE)]
    return (
        [*made, DIVERSITY]
        if technique.EVIDENCE == ("gap", "lower") and _augments(technique)
        else made
    )


def _augments(technique: ModuleType) -> bool:
    return any(hasattr(technique, kind) for kind in ("warp", "recolour", "mix", "OPS"))


def sides(
    contrast: Contrast, grids: Mapping[str, Grid], quantity: str
) -> tuple[np.ndarray, np.ndarray]:
    """A quantity without and with what a contrast adds, each (repeats, folds)."""
    values = {name: measured(grids[name], quantity) for name in contrast.weights}
    without, with_it = (
        sum(sign * w * values[v] for v, w in contrast.weights.items() if sign * w > 0)
        for sign in (-1, 1)
    )
    return without, with_it


def preactivations(
    *grids: Grid,
) -> tuple[list[int], *tuple[dict[str, np.ndarray], ...]]:
    """The epochs at which pre-activations were watched, then for each variant
    layer -> (trials, evaluations, 2). Trials that stopped early are cut to the shortest."""
    every = [[record for row in grid for cell in row for record in cell] for grid in grids]
    shortest = min(len(m) for trials in every for r in trials for m in r.preactivations.values())
    seen = [entry["epoch"] for entry in every[0][0].history if "nll" in entry][:shortest]
    watched = [
        {
            layer: np.stack([r.preactivations[layer][:shortest] for r in trials])
            for layer in trials[0].preactivations
        }
        for trials in every
    ]
    return seen, *watched


def mechanism_rows(
    contrasts: Sequence[Contrast],
    claims: Mapping[str, Sequence[Claim]],
    grids: Mapping[str, Grid],
    confidence: float,
    alpha: float,
) -> list[dict]:
    """One row a claim of a technique, from its contrast alone, a start's from that with scratch,
    else its main effect, else what is lost when it is removed; and where there are several members
    one for their ensemble, from the variant that is first. `claims`: technique -> what it should
    do."""
    order = ["alone", "start", "main", "removed"]
    chosen: dict[str, Contrast] = {}
    for contrast in sorted(
        (c for c in contrasts if c.kind in order), key=lambda c: order.index(c.kind)
    ):
        if contrast.name in claims:
            chosen.setdefault(contrast.name, contrast)
    table = [
        _row(c, claim, grids, confidence) for name, c in chosen.items() for claim in claims[name]
    ]
    table += _ensemble(grids, confidence)
    for row, p in zip(table, holm([row["p"] for row in table]), strict=True):
        row["p_holm"] = float(p)
        as_claimed = (row["change"] < 0) == (row["way"] == "lower")
        row["holds"] = ("yes" if as_claimed else "no") if p < alpha else "not shown"
    return table


def _ensemble(grids: Mapping[str, Grid], confidence: float) -> list[dict]:
    """What averaging the members of a variant's trials does to their negative log likelihood, and
    how much they disagree: share of images on which two of them differ, over their error (Fort et
    al. 2019; 1 is what independent errors come to)."""
    name, grid = next(iter(grids.items()), ("", []))
    if not grid or len(grid[0][0]) < 2:
        return []
    score = METRICS["nll"].score
    single, together = member_scores(grid, score).mean(axis=2), ensemble_scores(grid, score)
    disagreements = [[_disagreement(cell) for cell in row] for row in grid]
    words = f"members err differently (disagreement {np.mean(disagreements):.2f} of their error)"
    estimate = corrected_t(together - single, confidence)
    return [
        {
            "technique": f"ensemble of {name}",
            "kind": "ensemble",
            "claim": words,
            "quantity": "nll",
            "way": "lower",
            "without": float(single.mean()),
            "with": float(together.mean()),
            "change": estimate.mean,
            "low": estimate.low,
            "high": estimate.high,
            "p": estimate.p,
        }
    ]


def _disagreement(cell: Sequence[Record]) -> float:
    predicted = np.array([r.probabilities.argmax(axis=1) for r in cell])
    pairs = np.triu_indices(len(predicted), 1)
    differ = (predicted[pairs[0]] != predicted[pairs[1]]).mean()
    wrong = (predicted != cell[0].labels).mean()
    return float(differ / wrong) if wrong else 0.0


def _row(contrast: Contrast, claim: Claim, grids: Mapping[str, Grid], confidence: float) -> dict:
    values = {name: measured(grids[name], claim.quantity) for name in contrast.weights}
    estimate = corrected_t(differences(contrast, values), confidence)
    without, with_it = sides(contrast, grids, claim.quantity)
    return {
        "technique": contrast.name,
        "kind": contrast.kind,
        "claim": claim.words,
        "quantity": claim.quantity,
        "way": claim.way,
        "without": float(without.mean()),
        "with": float(with_it.mean()),
        "change": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "p": estimate.p,
    }
