"""An effect is a contrast: a weighted sum of variant scores, taken within each fold.

Variants share folds and differ only in their techniques, so what a fold adds to every score
cancels. Main effects, interactions and Shapley values are other weights of the same kind.

Here `variants` maps a name to the techniques that are on.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cnnlab.errors import UserError

# Scores that are equal on paper differ by rounding once members are averaged. What is left below
# this share of the terms is that rounding, far under the step of any metric.
ROUNDING = 1e-12


class Incomparable(UserError, ValueError):
    """Scores that cannot be compared, or an effect that a set of variants does not tell."""


@dataclass(frozen=True)
class Contrast:
    """An effect to be estimated.

    name: what a table shows, such as the technique.
    kind: which question it answers: "alone", "removed", "together", "start", "main",
        "interaction", "shapley", "ensemble" or "pair".
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


def ensemble(variant: str) -> Contrast:
    """The gain from averaging the members' probabilities over the mean score of one member."""
    return _minus(variant, "ensemble", averaged(variant), variant)


def averaged_over(contrasts: Sequence[Contrast]) -> Contrast:
    """The mean of contrasts of one name and kind, such as one from each block."""
    weights: dict[str, float] = {}
    for contrast in contrasts:
        for variant, weight in contrast.weights.items():
            weights[variant] = weights.get(variant, 0.0) + weight / len(contrasts)
    return replace(contrasts[0], weights=weights)


def averaged(variant: str) -> str:
    """What the ensemble of a variant's members is called among scores."""
    return f"{variant}+ensemble"


def factorial(effect: Sequence[str], variants: Mapping[str, Sequence[str]]) -> Contrast:
    """A main effect (one technique) or an interaction (several), of an orthogonal set of variants.

    A main effect is the mean score with the technique minus that without it. An interaction is
    half the change that one technique's effect undergoes when another is added, and so on for
    higher orders (Box, Hunter and Hunter, Statistics for Experimenters, 2005). In a fraction of all
    sets the estimate holds, besides, the effects aliased with it; those of the same order are in
    its name, "a × b + c × d", and those of higher order are taken to be nothing.

    Raises Incomparable where the variants do not tell the effect: its levels go together, wholly
    or in part, with the levels of another effect of its order or a lower one, or never change.
    """
    order = len(set(effect))
    name = " × ".join(effect)
    techniques = sorted({t for on in variants.values() for t in on} | set(effect))
    signs = _signs(effect, variants)
    names = [name]
    for size in range(order + 1):
        for other in itertools.combinations(techniques, size):
            if set(other) == set(effect):
                continue
            together = float(signs @ _signs(other, variants)) / len(signs)
            if together == 0:
                continue
            alias = " × ".join(other) or "the mean"
            if abs(together) < 1 or size < order or order == 1:
                raise Incomparable(
                    f"the {len(variants)} variants do not tell the effect of {name} from {alias}: "
                    f"the correlation of their levels is {together:+.2f}"
                )
            names.append(f"{'+' if together > 0 else '−'} {alias}")
    weights = signs / np.sum(signs > 0)
    kind = "main" if order == 1 else "interaction"
    return Contrast(" ".join(names), kind, dict(zip(variants, weights.tolist(), strict=True)))


def _signs(effect: Sequence[str], variants: Mapping[str, Sequence[str]]) -> NDArray[np.float64]:
    """The levels of an effect, ±1 a variant: the product of ±1 for each technique on or off."""
    return np.array([math.prod(1 if t in on else -1 for t in effect) for on in variants.values()])


def shapley(technique: str, variants: Mapping[str, Sequence[str]]) -> Contrast:
    """The technique's gain averaged over all orders in which techniques can be added.

    The values of all techniques sum to the score of all of them minus that of none (Shapley 1953).
    Needs every set of the techniques that the variants use; raises Incomparable for one that is
    missing.
    """
    named = {frozenset(on): name for name, on in variants.items()}
    others = sorted({t for on in variants.values() for t in on} - {technique})
    weights = dict.fromkeys(variants, 0.0)
    for size in range(len(others) + 1):
        share = 1 / (len(others) + 1) / math.comb(len(others), size)
        for before in map(frozenset, itertools.combinations(others, size)):
            for on, sign in ((before | {technique}, 1), (before, -1)):
                if on not in named:
                    raise Incomparable(
                        f"the Shapley value of {technique} needs a variant with just "
                        f"{', '.join(sorted(on)) or 'no technique'}"
                    )
                weights[named[on]] += sign * share
    return Contrast(technique, "shapley", weights)


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

    Raises Incomparable for a variant that is missing, that lacks a repeat or fold which another
    has, or that holds a score which is not finite; repeats and folds are counted from 0.
    """
    missing = [variant for variant in contrast.weights if variant not in scores]
    if missing:
        raise Incomparable(
            f"contrast '{contrast.name}' needs the scores of variant '{missing[0]}'; "
            f"there are scores for {sorted(scores)}"
        )
    arrays = {v: finite_matrix(scores[v], f"variant '{v}'") for v in contrast.weights}
    repeats, folds = np.max([array.shape for array in arrays.values()], axis=0)
    for variant, (r, k) in ((v, array.shape) for v, array in arrays.items()):
        if (r, k) != (repeats, folds):
            repeat, fold = (r, 0) if r < repeats else (0, k)
            raise Incomparable(
                f"variant '{variant}' has no score at repeat {repeat}, fold {fold}: it holds "
                f"{r} x {k} (repeats x folds), contrast '{contrast.name}' needs "
                f"{repeats} x {folds}"
            )
    terms = np.stack([weight * arrays[v] for v, weight in contrast.weights.items()])
    sums = terms.sum(axis=0)
    return np.where(np.abs(sums) <= ROUNDING * np.abs(terms).sum(axis=0), 0.0, sums)


def finite_matrix(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """`values` as float64 (repeats, folds), or an Incomparable that begins with `what`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise Incomparable(f"{what}: shape {array.shape}; it must be (repeats, folds), not empty")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        repeat, fold = bad[0]
        raise Incomparable(
            f"{what}: {array[repeat, fold]} at repeat {repeat}, fold {fold} (counted from 0); "
            "values must be finite"
        )
    return array
