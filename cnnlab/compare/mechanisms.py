"""Did a technique do what theory says? A quantity of every trial, without it and with it.

Columns of the table of mechanisms:

    technique, kind           as in the table of effects: what was compared
    claim                     what the technique should do, in words
    quantity, way             what should move by it, and "lower" or "higher"
    without, with             means over folds and repeats
    change, low, high         mean of with - without, and its interval
    p, p_holm                 two-sided; after Holm's correction over the table
    holds                     "yes": it moved as claimed, significant; "no": the other way;
                              "not shown": neither

All are in the quantity's own units.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np

from cnnlab.compare.contrasts import Contrast, averaged, differences
from cnnlab.compare.inference import holm
from cnnlab.compare.metrics import METRICS, measured_in
from cnnlab.compare.scores import Grid
from cnnlab.records.trial import Record
from cnnlab.scoring import nll_of_each
from cnnlab.tasks.classification import ece, right

if TYPE_CHECKING:
    from cnnlab.compare.comparison import Comparison
    from cnnlab.compare.tables import Rules

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
    return METRICS["ece"].score(record.labels, record.outputs.astype(np.float64))


def _confidence(record: Record) -> float:
    return float(record.outputs.max(axis=1).mean())


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
    "detection_objective": Quantity(
        "training loss at the end, with all that is on",
        1,
        "per object",
        3,
        lambda r: _last(r)["objective"],
    ),
    "gap": Quantity(
        "training minus held-out accuracy, both clean", 100, "points", 1, _final("gap")
    ),
    "iou_gap": Quantity("training minus held-out IoU, both clean", 100, "points", 1, _final("gap")),
    "map_gap": Quantity("training minus held-out mAP, both clean", 100, "points", 1, _final("gap")),
    "iou": Quantity("held-out IoU", 100, "%", 1, _final("iou")),
    "nll": Quantity("held-out negative log likelihood", 1, "nats", 3, _final("nll")),
    "pixel_nll": Quantity(
        "held-out negative log likelihood of a pixel", 1, "nats", 3, _final("pixel_nll")
    ),
    "detection_loss": Quantity(
        "held-out detection loss", 1, "per object", 3, _final("detection_loss")
    ),
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


# Those that are means over held-out images: their sign, and the value of each image.
OF_IMAGES = {
    "gap": (-1.0, right),
    "iou_gap": (-1.0, METRICS["iou"].values),
    "iou": (1.0, METRICS["iou"].values),
    "pixel_nll": (1.0, METRICS["pixel_nll"].values),
    "map_gap": (-1.0, METRICS["map"].values),
    "detection_loss": (1.0, METRICS["detection_loss"].values),
    "nll": (1.0, nll_of_each),
    "ece": (1.0, ece),
    "confidence": (1.0, lambda labels, probabilities: probabilities.max(axis=1)),
}


def measured(grid: Grid, quantity: str) -> np.ndarray:
    """A quantity of one variant's records, float64 (repeats, folds), averaged over members."""
    of = QUANTITIES[quantity].of
    return np.array([[np.mean([of(r) for r in cell]) for cell in row] for row in grid])


DIVERSITY = Claim("what is trained on is harder than the plain images", "objective", "higher")


def claims(technique: ModuleType, instead: Mapping[str, str | None] | None = None) -> list[Claim]:
    """What the file of a technique says that it does, a placebo's nothing; an augmentation should
    also bring diversity: a higher final training loss (Gontijo-Lopes et al. 2021). `instead`: of a
    task, what it measures in the place of a quantity, None where it has nothing like it."""
    if not hasattr(technique, "CLAIM"):
        return []
    made = [Claim(technique.CLAIM, *technique.EVIDENCE)]
    if technique.EVIDENCE == ("gap", "lower") and _augments(technique):
        made.append(DIVERSITY)
    named = [(claim, (instead or {}).get(claim.quantity, claim.quantity)) for claim in made]
    return [replace(claim, quantity=quantity) for claim, quantity in named if quantity]


def _augments(technique: ModuleType) -> bool:
    return any(hasattr(technique, kind) for kind in ("warp", "recolour", "mix", "OPS"))


def sides(
    contrast: Contrast, grids: Mapping[str, Grid], quantity: str
) -> tuple[np.ndarray, np.ndarray]:
    """A quantity without and with what a contrast adds, each (repeats, folds), of the repeats that
    all its variants have."""
    values = {v: measured(grids[v], quantity) for v, weight in contrast.weights.items() if weight}
    repeats = min(map(len, values.values()))
    size = sum(w for w in contrast.weights.values() if w > 0)
    without, with_it = (
        sum(
            abs(contrast.weights[v]) / size * x[:repeats]
            for v, x in values.items()
            if sign * contrast.weights[v] > 0
        )
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
    history = every[0][0].history
    seen = [e["epoch"] for e in history if any(k.startswith("train_") for k in e)][:shortest]
    watched = [
        {
            layer: np.stack([r.preactivations[layer][:shortest] for r in trials])
            for layer in trials[0].preactivations
        }
        for trials in every
    ]
    return seen, *watched


def mechanism_rows(
    compared: Comparison,
    claims: Mapping[str, Sequence[Claim]],
    grids: Mapping[str, Grid],
    rules: Rules,
) -> list[dict]:
    """One row a claim of a technique, from its main effect, a start's from that with scratch, else
    from its contrast alone, else what is lost when it is removed; and where there are several
    members one for their ensemble, from the variant that is first. `claims`: technique -> what it
    should do. `rules`: of estimates and significance."""
    order = ["main", "start", "alone", "removed"]
    chosen: dict[str, Contrast] = {}
    for contrast in sorted(
        (c for c in compared.contrasts if c.kind in order), key=lambda c: order.index(c.kind)
    ):
        if contrast.name in claims:
            chosen.setdefault(contrast.name, contrast)
    table, values = [], []
    for name, contrast in chosen.items():
        for claim in claims[name]:
            used = [v for v, weight in contrast.weights.items() if weight]
            images = {v: _of_images(compared, v, grids[v], claim.quantity) for v in used}
            values.append(differences(contrast, images))
            without, with_it = sides(contrast, grids, claim.quantity)
            table.append(_row(name, contrast.kind, claim, without, with_it))
    first, grid = next(iter(grids.items()), ("", []))
    if grid and len(grid[0][0]) > 1:
        _, loss = measured_in(compared.values)
        single, together = (compared.values[loss][v] for v in (first, averaged(first)))
        values.append(together - single)
        words = "members err differently"
        if loss == "nll":  # outputs are probabilities, which say where they do
            words += f" (disagreement {_disagreement(grid):.2f} of their error)"
        claim = Claim(words, loss, "lower")
        table.append(_row(f"ensemble of {first}", "ensemble", claim, single, together))
    estimates = rules.estimates(values, compared.split)
    adjusted = holm([estimate.p for estimate in estimates])
    for row, estimate, p in zip(table, estimates, adjusted, strict=True):
        row["change"], row["p"], row["p_holm"] = estimate.mean, estimate.p, float(p)
        row["low"], row["high"] = estimate.interval(rules.confidence)
        as_claimed = (row["change"] < 0) == (row["way"] == "lower")
        row["holds"] = ("yes" if as_claimed else "no") if p < rules.alpha else "not shown"
    return [{column: row[column] for column in COLUMNS} for row in table]


def _of_images(compared: Comparison, name: str, grid: Grid, quantity: str) -> np.ndarray:
    """A quantity of a variant as a value of each image in each repeat, (repeats, images): that of
    the training run that held it out; where held-out images make it, with what is the image's own.
    """
    values, split = measured(grid, quantity), compared.split
    if quantity not in OF_IMAGES:
        return split.spread(values)
    sign, of_each = OF_IMAGES[quantity]
    each = sign * compared.outcomes[name].of_each(of_each).mean(axis=2)
    return split.spread(values - split.means(each)) + each


def _row(name: str, kind: str, claim: Claim, without: np.ndarray, with_it: np.ndarray) -> dict:
    row = {"technique": name, "kind": kind, "claim": claim.words, "quantity": claim.quantity}
    row |= {"way": claim.way, "without": float(without.mean()), "with": float(with_it.mean())}
    return row


def _disagreement(grid: Grid) -> float:
    """Share of images on which two members differ, over their error, mean over trials (Fort et al.
    2019; 1 is what independent errors come to)."""
    return float(np.mean([_of_cell(cell) for row in grid for cell in row]))


def _of_cell(cell: Sequence[Record]) -> float:
    predicted = np.array([r.outputs.argmax(axis=1) for r in cell])
    pairs = np.triu_indices(len(predicted), 1)
    differ = (predicted[pairs[0]] != predicted[pairs[1]]).mean()
    wrong = (predicted != cell[0].labels).mean()
    return float(differ / wrong) if wrong else 0.0
