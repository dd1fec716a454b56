"""Transfer strategies: one file each, named in params.yaml under `strategies`.

A file defines `Options` and `apply(recipe, options) -> recipe`: from the recipe of a net on the
target classes to how that net begins, and in which phases which of its weights move
(`cnnlab.training.recipe.Phase`). `plan` makes it whole.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cnnlab.errors import UserError
from cnnlab.plugins import Registry

if TYPE_CHECKING:
    from cnnlab.training.recipe import Phase, Recipe

STRATEGIES = Registry(__name__, needs="Options")


def plan(name: str, target: Recipe, options: Any, features: int | None) -> Recipe:
    """The recipe of a strategy, from that of the net on the target classes.

    `features`: as `Recipe.features`, for the phases that can use it. Raises UserError for a
    technique of the target that would do nothing.
    """
    made = STRATEGIES[name].apply(target, options)
    if features is not None and any(not phase.learning for phase in made.phases):
        made = replace(made, features=features)
    for part, effect in _inert(made).items():
        if not effect:
            raise UserError(
                f"{part} would do nothing in strategy {name}, which trains on stored features of "
                f"{features} augmented draws an image: change transfer.features (null: none are "
                "stored) or transfer.techniques"
            )
    return made


def notes(recipe: Recipe) -> list[str]:
    """Which parts of the techniques have less effect than where all weights learn from images."""
    return [f"{part}: {effect}" for part, effect in _inert(recipe).items() if effect]


def phased(target: Recipe, phases: Sequence[Phase]) -> Recipe:
    """The target's net, begun at the backbone and trained in phases."""
    return replace(
        target,
        phases=tuple(phases),
        epochs=sum(phase.epochs for phase in phases),
        learning_rate=phases[-1].learning_rate,
    )


def lengthened(recipe: Recipe, images: int, steps: int) -> Recipe:
    """The recipe with as many times the epochs, in each phase, as it takes to make `steps` steps on
    so few images; evaluated so many times less often."""
    per_epoch = math.ceil(images / recipe.batch_size)

    def enough(epochs: int) -> int:
        return epochs * max(1, math.ceil(steps / (per_epoch * epochs)))

    phases = tuple(replace(phase, epochs=enough(phase.epochs)) for phase in recipe.phases)
    epochs = sum(phase.epochs for phase in phases) or enough(recipe.epochs)
    every = recipe.evaluate_every * math.ceil(epochs / recipe.epochs)
    return replace(recipe, epochs=epochs, evaluate_every=every, phases=phases)


def _inert(recipe: Recipe) -> dict[str, str]:
    """Part of the techniques -> where it has no effect; empty text: nowhere has it any."""
    from cnnlab.training.recipe import TECHNIQUES

    heads = [phase for phase in recipe.phases if not phase.learning]
    frozen = bool(heads) and len(heads) == len(recipe.phases)
    inside = [insert for insert in recipe.inserts if insert.at != "dense"]
    random = [i.layer for i in inside if {"rate", "stddev"} & set(i.config)]
    found = {}
    if recipe.features is not None:
        lost = [op for op, _ in recipe.ops if hasattr(TECHNIQUES[op], "mix") or not recipe.features]
        what = dict.fromkeys([*lost, *random])
        found |= dict.fromkeys(what, "" if frozen else "not while the head alone learns")
    if frozen:
        still = [i.layer for i in inside if i.layer not in random]
        found |= dict.fromkeys(still, "in the backbone it stays as pre-training left it")
        kept = {"penalties": recipe.penalties, "max_norm": recipe.max_norm, "decay": recipe.decay}
        acts = "on the head alone, since the backbone's weights do not move"
        found |= {part: acts for part, used in kept.items() if used}
    return found
