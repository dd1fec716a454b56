"""An effect is a contrast: a weighted sum of variants' scores, taken image by image.

Variants share images and folds and differ only in their techniques, so what an image adds to every
score cancels. Main effects, interactions and Shapley values are other weights of the same kind.

Here `variants` maps a name to the techniques that are on.
"""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
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
    kind: which question it answers, one of `designs.KINDS`.
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


def placebo(variant: str, baseline: str) -> Contrast:
    """The baseline under other seeds minus itself: what no technique at all looks like."""
    return _minus("placebo", "placebo", variant, baseline)


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


def plus_and_minus(contrast: Contrast) -> tuple[str, str]:
    """The variants that are weighed up, and those weighed down, each separated by blanks."""
    plus = " ".join(v for v, weight in contrast.weights.items() if weight > 0)
    return plus, " ".join(v for v, weight in contrast.weights.items() if weight < 0)


def averaged(variant: str) -> str:
    """What the ensemble of a variant's members is called among scores."""
    return f"{variant}+ensemble"


def least_squares(technique: str, variants: Mapping[str, Collection[str]]) -> Contrast:
    """A main effect by least squares over all variants: what having the technique does, on average
    over having the others or not.

    The fit is additive: a constant and each technique's effect, on or off (pseudo-inverse). In an
    orthogonal set of variants it is the mean score with the technique minus that without. Raises
    Incomparable where the variants do not tell the effect from those of other techniques.
    """
    techniques = sorted({t for on in variants.values() for t in on} | {technique})
    levels = np.array([[1.0, *(t in on for t in techniques)] for on in variants.values()])
    if np.linalg.matrix_rank(levels) <= len(techniques):
        raise Incomparable(
            f"the {len(variants)} variants do not tell the main effects of {', '.join(techniques)}"
            " from each other"
        )
    row = np.linalg.pinv(levels)[1 + techniques.index(technique)]
    row[np.abs(row) < 1e-12] = 0.0
    return Contrast(technique, "main", dict(zip(variants, row.tolist(), strict=True)))


def interaction(effect: Sequence[str], variants: Mapping[str, Collection[str]]) -> Contrast:
    """An interaction of several techniques, of an orthogonal set of variants.

    It is half the change that one technique's effect undergoes when another is added, and so on for
    higher orders (Box, Hunter and Hunter, Statistics for Experimenters, 2005). In a fraction of all
    sets the estimate holds, besides, the effects aliased with it; those of the same order are in
    its name, "a × b + c × d", and those of higher order are taken to be nothing.

    Raises Incomparable where the variants do not tell the effect: its levels go together, wholly
    or in part, with the levels of another effect of a lower order, or in part with one of its own.
    """
    order, names = len(set(effect)), [" × ".join(effect)]
    techniques = sorted({t for on in variants.values() for t in on} | set(effect))
    signs = _signs(effect, variants)
    for size in range(order + 1):
        for other in itertools.combinations(techniques, size):
            together = float(signs @ _signs(other, variants)) / len(signs)
            if set(other) == set(effect) or together == 0:
                continue
            alias = " × ".join(other) or "the mean"
            if abs(together) < 1 or size < order:
                raise Incomparable(
                    f"the {len(variants)} variants do not tell the effect of {names[0]} from "
                    f"{alias}: the correlation of their levels is {together:+.2f}"
                )
            names.append(f"{'+' if together > 0 else '−'} {alias}")
    weights = signs / np.sum(signs > 0)
    weighed = dict(zip(variants, weights.tolist(), strict=True))
    return Contrast(" ".join(names), "interaction", weighed)


def aliased(
    contrast: Contrast, variants: Mapping[str, Collection[str]], techniques: Sequence[str]
) -> list[str]:
    """The two-way interactions of `techniques` that a main effect's estimate holds besides, as
    text: "b × c", "−a × d", or with the share that it holds of them, "0.33 a × b"."""
    names = []
    for pair in itertools.combinations(techniques, 2):
        signs = _signs(pair, {v: variants[v] for v in contrast.weights})
        share = float(np.dot(list(contrast.weights.values()), signs)) / 2
        if abs(share) > 1e-9 and contrast.name not in pair:
            size = "" if abs(abs(share) - 1) < 1e-9 else f"{abs(share):.2f} "
            names.append(f"{'−' if share < 0 else ''}{size}{' × '.join(pair)}")
    return names


def _signs(effect: Sequence[str], variants: Mapping[str, Collection[str]]) -> NDArray[np.float64]:
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


def differences(contrast: Contrast, values: Mapping[str, ArrayLike]) -> NDArray[np.float64]:
    """The contrast image by image, in the units of the metric.

    values: variant -> (repeats, images) of one metric, the same images in the same order. Variants
        that the contrast does not weigh are ignored; repeats that not all others have are left out.

    Returns float64 (repeats, images). A difference no larger than the rounding error of its terms
    is returned as exactly 0.

    Raises Incomparable for a variant that is missing or has other images than another, or that
    holds a value which is not finite; repeats and images are counted from 0.
    """
    used = {v: weight for v, weight in contrast.weights.items() if weight}
    missing = [variant for variant in used if variant not in values]
    if missing:
        raise Incomparable(
            f"contrast '{contrast.name}' needs the scores of variant '{missing[0]}'; "
            f"there are scores for {sorted(values)}"
        )
    arrays = {v: finite_matrix(values[v], f"variant '{v}'") for v in used}
    repeats, images = np.min([array.shape for array in arrays.values()], axis=0)
    for variant, array in arrays.items():
        if array.shape[1] != images:
            raise Incomparable(
                f"variant '{variant}' has scores of {array.shape[1]} images, another of "
                f"contrast '{contrast.name}' of {images}"
            )
    total, size = np.zeros((repeats, images)), np.zeros((repeats, images))
    for variant, weight in used.items():
        term = weight * arrays[variant][:repeats]
        total += term
        size += np.abs(term)
    total[np.abs(total) <= ROUNDING * size] = 0.0
    return total


def finite_matrix(values: ArrayLike, what: str) -> NDArray[np.float64]:
    """`values` as float64, a row a repeat, or an Incomparable that begins with `what`."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2 or not array.size:
        raise Incomparable(
            f"{what}: shape {array.shape}; it must be two-dimensional, a row a repeat, not empty"
        )
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        repeat, column = bad[0]
        raise Incomparable(
            f"{what}: {array[repeat, column]} at repeat {repeat}, column {column} (from 0); "
            "values must be finite"
        )
    return array
