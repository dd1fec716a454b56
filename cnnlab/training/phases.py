"""The phases of transfer, each trained by the one `fit`, one beginning where the last ended.

Phases in which the backbone stands still can learn from its stored features: see `features`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from cnnlab.seeds import derive
from cnnlab.training import features, fit, quantities, transferred
from cnnlab.training.recipe import Recipe
from cnnlab.training.records import Checkpoint, Saved


def train(
    recipe: Recipe,
    data: fit.Data,
    seed: int,
    backbone: Mapping[str, list[np.ndarray]],
    folder: Path,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> fit.Fitted:
    """Train one net through the phases of its recipe; as `cnnlab.training.fit.fit`.

    `backbone`: layer name -> arrays of the conv part that it begins from. `folder`: where features
    are stored. Entries of the history say their `phase`, from 1, and count epochs through all of
    them. Pre-activations are those of the last phase.
    """
    shape, start = data.images.shape[1:], dict(backbone)
    saved = checkpoint.load() if checkpoint else None
    history = saved.history if saved else []
    reached = int(history[-1]["phase"]) if history else 1
    earlier = [entry for entry in history if entry["phase"] < reached]
    for entry in earlier if on_epoch else []:
        on_epoch(entry)
    for number, phase in enumerate(recipe.phases, 1):
        if number < reached:
            continue
        fast = recipe.features is not None and not phase.learning
        own = _recipe_of(recipe, number, shape if fast else None)
        if not start.keys() - backbone.keys():
            start |= _fresh_head(own, shape, data.classes, seed)
        seen = data
        if fast:
            stored = features.stored(own, backbone, data.images, recipe.features, folder)
            seen = replace(data, images=stored)
        part = _Part(number, earlier, checkpoint)
        done = fit.fit(
            own,
            seen,
            seed if number == 1 else derive(seed, "phase", number),
            start,
            checkpoint=part if checkpoint else None,
            on_epoch=(lambda e, part=part: on_epoch(part.outer(e))) if on_epoch else None,
        )
        start |= transferred.held(done.model)
        earlier = [*earlier, *map(part.outer, done.history)]
    net = transferred.whole(own, shape, data.classes)
    fit.put(net, start)
    final = done.final
    if fast:  # what was said of the head, said of the whole net
        final = final | quantities.of(net, data.images[data.judged[: fit.at_once(shape)]])
    return replace(done, model=net, history=earlier, final=final)


def _recipe_of(recipe: Recipe, number: int, image: tuple[int, ...] | None) -> Recipe:
    """The recipe by which `fit` trains a phase; `image`: of the head alone, for such images."""
    phase = recipe.phases[number - 1]
    wrapped = {"net": recipe.net, "options": recipe.net_options, "image": image}
    return replace(
        recipe,
        net="_transferred",
        net_options={**wrapped, "phase": asdict(phase)},
        epochs=phase.epochs,
        learning_rate=phase.learning_rate,
        phases=(),
    )


def _fresh_head(
    recipe: Recipe, shape: tuple[int, ...], classes: int, seed: int
) -> dict[str, list[np.ndarray]]:
    """A head that depends on the seed alone, whether it learns from images or from features."""
    options = {**recipe.net_options, "image": shape}
    with fit.computing_in(recipe.precision):
        return transferred.held(
            transferred.head(replace(recipe, net_options=options), classes, seed=seed)
        )


@dataclass(frozen=True)
class _Part:
    """A trial's checkpoint and history as one phase sees them: it counts its own epochs."""

    number: int
    earlier: list[dict[str, float]]  # epochs of the phases before
    checkpoint: Checkpoint | None

    def outer(self, entry: dict[str, float]) -> dict[str, float]:
        epoch = entry["epoch"] + len(self.earlier)
        return {**entry, "epoch": epoch, "phase": self.number}

    def due(self) -> bool:
        return self.checkpoint.due()

    def save(self, arrays: list[np.ndarray], history: list[dict[str, float]]) -> None:
        self.checkpoint.save(arrays, [*self.earlier, *map(self.outer, history)])

    def load(self) -> Saved | None:
        saved = self.checkpoint.load()
        if saved is None or saved.history[-1]["phase"] != self.number:
            return None
        own = [dict(entry) for entry in saved.history[len(self.earlier) :]]
        for entry in own:
            entry["epoch"] -= len(self.earlier)
            del entry["phase"]
        return Saved(own, saved.arrays)
