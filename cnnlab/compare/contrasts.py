"""An effect is a contrast: a weighted sum of variant scores, taken within each fold.

Variants share folds and differ only in their techniques, so what a fold adds to every score
cancels. Main effects, interactions and Shapley values are other weights of the same kind.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

# Scores that are equal on paper differ by rounding once members are averaged. What is left below
# this share of the terms is that rounding, far under the step of any metric.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Contrast:
    """An effect to be estimated.

    name: what a table shows, such as the technique.
    kind: which question it answers: "alone", "removed", "pair", ...
    weights: variant -> weight; finite, summing to 0.

    Raises ValueError, naming the contrast, for weights that are empty, not finite, or sum to
    anything but 0.
    """

    name: str
    kind: str
    weights: Mapping[str, float] = field(hash=False)

    def __post_init__(self) -> None:
        weights = self.weights.values()
        finite = len(weights) > 0 and all(map(math.isfinite, weights))
        if not finite or abs(math.fsum(weights)) > ROUNDING * math.fsum(map(abs, weights)):
            raise ValueError(
                f"contrast '{self.name}' has weights {dict(self.weights)}; "
                "they must be finite and sum to 0"
            )


def alone(technique: str, variant: str, baseline: str) -> Contrast:
    """The gain from adding `technique` to nothing: `variant` (it alone) minus `baseline`."""
    return _minus(technique, "alone", variant, baseline)


def removed(technique: str, full: str, without: str) -> Contrast:
    """The gain from having `technique` in the full recipe: `full` minus `without`.

    It has the sign of `alone`: above 0 means that scores are higher with the technique.
    """
    return _minus(technique, "removed", full, without)


def pair(a: str, b: str) -> Contrast:
    """Variant `a` minus variant `b`."""
    return _minus(f"{a} - {b}", "pair", a, b)


def _minus(name: str, kind: str, plus: str, minus: str) -> Contrast:
    if plus == minus:
        raise ValueError(f"contrast '{name}' ({kind}) compares variant '{plus}' with itself")
    return Contrast(name, kind, {plus: 1.0, minus: -1.0})


def differences(contrast: Contrast, scores: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """The contrast in each fold, in the units of the metric.

    scores: variant -> (repeats, folds) of one metric, averaged over members. Variants that the
        contrast does not weigh are ignored.

    Returns float64 (repeats, folds). A difference no larger than the rounding error of its terms
    is returned as exactly 0.

    Raises ValueError for a variant that is missing, that lacks a repeat or fold which another
    has, or that holds a score which is not finite; repeats and folds are counted from 0.
    """
    missing = [variant for variant in contrast.weights if variant not in scores]
    if missing:
        raise ValueError(
            f"contrast '{contrast.name}' needs the scores of variant '{missing[0]}'; "
            f"there are scores for {sorted(scores)}"
        )
    arrays = {v: finite_matrix(scores[v], f"variant '{v}'") for v in contrast.weights}
    repeats, folds = np.max([array.shape for array in arrays.values()], axis=0)
    for variant, (r, k) in ((v, array.shape) for v, array in arrays.items()):
        if (r, k) != (repeats, folds):
            repeat, fold = (r, 0) if r < repeats else (0, k)
            raise ValueError(
                f"variant '{variant}' has no score at repeat {repeat}, fold {fold}: it holds "
                f"{r} x {k} (repeats x folds), contrast '{contrast.name}' needs "
                f"{repeats} x {folds}"
            )
    terms = np.stack([weight * arrays[v] for v, weight in contrast.weights.items()])
    sums = terms.sum(axis=0)
    return np.where(np.abs(sums) <= ROUNDING * np.abs(terms).sum(axis=0), 0.0, sums)


def finite_matrix(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """`values` as float64 (repeats, folds), or a ValueError that begins with `what`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise ValueError(f"{what}: shape {array.shape}; it must be (repeats, folds), not empty")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        repeat, fold = bad[0]
        raise ValueError(
            f"{what}: {array[repeat, fold]} at repeat {repeat}, fold {fold} (counted from 0); "
            "values must be finite"
        )
    return array
