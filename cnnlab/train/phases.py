"""Training from a backbone: phases, each trained by the one `fit`, one beginning where the last
ended.

Phases in which the backbone stands still can learn from its stored features: see `features`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cnnlab.recipe.network import Weights, put, weights_of
from cnnlab.recipe.recipe import Recipe
from cnnlab.train import features, quantities
from cnnlab.train.fit import Checkpoint, Entry, Fitted, Saved, fit
from cnnlab.train.input import Data, at_once, clean


def train(
    recipe: Recipe,
    data: Data,
    seed: int,
    backbone: Weights,
    folder: Path,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Entry], None] | None = None,
) -> Fitted:
    """Train one network through the phases of its recipe; as `cnnlab.train.fit.fit`.

    `backbone`: weights that the body begins from; what they hold of a head is left out. `folder`:
    where features are stored. Entries of the history say their `phase`, from 1, and count epochs
    through all of them. Pre-activations are those of the last phase.
    """
    begin = body_weights(recipe, data, backbone)
    start = dict(begin)
    saved = checkpoint.load() if checkpoint else None
    history = saved.history if saved else []
    reached = int(history[-1]["phase"]) if history else 1
    earlier = [entry for entry in history if entry["phase"] < reached]
    for entry in earlier if on_epoch else []:
        on_epoch(entry)
    for number, phase in list(enumerate(recipe.phases, 1))[reached - 1 :]:
        fast = recipe.features is not None and phase.head_only
        inputs = features.stored(recipe, begin, data.inputs, folder) if fast else data.inputs
        part = _Part(number, earlier, checkpoint)
        done = fit(
            recipe,
            replace(data, inputs=inputs),
            seed,
            start,
            number,
            checkpoint=part if checkpoint else None,
            on_epoch=(lambda e, part=part: on_epoch(part.outer(e))) if on_epoch else None,
        )
        start |= weights_of(done.model)
        earlier = [*earlier, *map(part.outer, done.history)]
    done = replace(done, history=earlier)
    return _whole(recipe, data, start, done) if fast else done


def body_weights(recipe: Recipe, data: Data, backbone: Weights) -> Weights:
    """Those of the weights that belong to the body of the recipe's network."""
    body = data.learning.network(recipe, data.shape, data.classes).body
    return {layer.name: backbone[layer.name] for layer in body.layers if layer.name in backbone}


def _whole(recipe: Recipe, data: Data, weights: Weights, done: Fitted) -> Fitted:
    """What was found of the head alone, with the whole network and what is measured of that."""
    model = data.learning.network(recipe, data.shape, data.classes).model
    put(model, weights)
    some = data.raw(data.held_out[: at_once(data.shape, recipe.size)])
    return replace(done, model=model, final=done.final | quantities.of(model, clean(some)))


@dataclass(frozen=True)
class _Part:
    """A trial's checkpoint and history as one phase sees them: it counts its own epochs."""

    number: int
    earlier: list[Entry]  # epochs of the phases before
    checkpoint: Checkpoint | None

    def outer(self, entry: Entry) -> Entry:
        epoch = entry["epoch"] + len(self.earlier)
        return {**entry, "epoch": epoch, "phase": self.number}

    def due(self) -> bool:
        return self.checkpoint.due()

    def save(self, arrays: list[np.ndarray], history: list[Entry]) -> None:
        self.checkpoint.save(arrays, [*self.earlier, *map(self.outer, history)])

    def load(self) -> Saved | None:
        saved = self.checkpoint.load()
        if saved is None or saved.history[-1]["phase"] != self.number:
            return None
        history = [
            {k: v for k, v in entry.items() if k != "phase"}
            | {"epoch": entry["epoch"] - len(self.earlier)}
            for entry in saved.history[len(self.earlier) :]
        ]
        return replace(saved, history=history)
