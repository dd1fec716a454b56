"""How many trainings a design needs before its effects can be told."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from cnnlab.compare.contrasts import Contrast, plus_and_minus
from cnnlab.compare.inference import Parts

MOST = 1000  # repeats that are thought of


@dataclass(frozen=True, kw_only=True)
class Variances:
    """Of an effect, by the sum of its squared weights: `shared` + that sum times `own`.

    `own` are those of a variant, which cancel the better, the more variants there are; `shared` is
    what a technique does to each image (to some more than to others) in whatever company.
    """

    shared: Parts
    own: Parts

    def of(self, contrast: Contrast) -> Parts:
        """The variances of an effect."""
        size, shared = _size(contrast), vars(self.shared)
        return Parts(**{part: shared[part] + size * own for part, own in vars(self.own).items()})


# Of accuracy: means over five techniques in 160 studies of a small network on 300 digits, fitted to
# what a star, a fraction of 16 variants, the full factorial, and each technique alone have shown.
TYPICAL = Variances(
    shared=Parts(images=0.0040, interplay=0.0066, networks=0.000055),
    own=Parts(images=0.0014, interplay=0.0208, networks=0.00008),
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is asked of a design: to tell an effect of this size from 0 with this power, by a
    two-sided test at the level `alpha`, Holm's correction over `family` effects."""

    effect: float  # above 0, in the units of the variances' roots
    power: float
    alpha: float
    family: int
    images: int
    folds: int
    guard: float


def variances(rows: Iterable[Mapping], contrasts: Sequence[Contrast]) -> Variances | None:
    """The variances of main effects, and with what techniques do alone also how they depend on
    weights, from a study's table of effects; None where it has none of these very contrasts, or
    they were seen in one repeat."""
    size = {(c.kind, c.name, *plus_and_minus(c)): _size(c) for c in contrasts}
    seen: dict[str, list[tuple[float, ...]]] = {"main": [], "alone": []}
    for row in rows:
        key = tuple(row[column] for column in ("kind", "technique", "plus", "minus"))
        if row["kind"] in seen and key in size and row["repeats"] > 1:
            seen[row["kind"]].append((size[key], *(row[part] for part in "heu")))
    if not seen["main"] or np.isnan(seen["main"]).any():
        return None
    main_size, *main = np.mean(seen["main"], axis=0)
    main, own = np.array(main), np.zeros(3)
    if seen["alone"]:
        alone_size, *alone = np.mean(seen["alone"], axis=0)
        own = np.clip((alone - main) / (alone_size - main_size), 0, main / main_size)
    return Variances(shared=_parts(main - own * main_size), own=_parts(own))


def repeats(contrasts: Sequence[Contrast], known: Variances, plan: Plan) -> int | None:
    """The fewest repeats at which each of these effects is told; None where no number is enough."""
    for number in range(1, MOST + 1):
        if all(_variance(known.of(c), number, plan) <= _enough(plan) for c in contrasts):
            return number
    return None


def images(contrasts: Sequence[Contrast], known: Variances, plan: Plan) -> int:
    """How many images it takes at least, however often they are split."""
    most = max(known.of(c).images for c in contrasts)
    return math.ceil(plan.guard * most / _enough(plan))


def _enough(plan: Plan) -> float:
    """The variance at which an effect is told as the plan asks."""
    errors = float(-ndtri(plan.alpha / plan.family / 2) + ndtri(plan.power))
    return (plan.effect / errors) ** 2


def _variance(parts: Parts, repeats: int, plan: Plan) -> float:
    of_images = (parts.images + parts.interplay / repeats) / plan.images
    return plan.guard * of_images + parts.networks / (repeats * plan.folds)


def _parts(values: np.ndarray) -> Parts:
    images, interplay, networks = values.tolist()
    return Parts(images=images, interplay=interplay, networks=networks)


def _size(contrast: Contrast) -> float:
    return math.fsum(w**2 for w in contrast.weights.values())
