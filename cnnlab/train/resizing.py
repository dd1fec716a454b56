"""Training at a resolution that grows: each phase in stretches, every one trained by the one `fit`,
one beginning where the last ended. See `cnnlab.recipe.techniques.progressive_resizing`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from cnnlab.recipe.network import Weights, network, weights_of
from cnnlab.recipe.recipe import Phase, Recipe
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.train import features
from cnnlab.train.fit import Checkpoint, Entry, Fitted, fit
from cnnlab.train.input import Data
from cnnlab.train.phases import _Part as Part  # fingerprints hold its name
from cnnlab.train.phases import body_weights

AT_ONCE = 256  # images that are made smaller


def train(
    recipe: Recipe,
    data: Data,
    seed: int,
    backbone: Weights,
    folder: Path | None,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Entry], None] | None = None,
) -> Fitted:
    """As `cnnlab.train.phases.train`, each stretch a phase; for a recipe that starts from random
    weights `backbone` is empty and `folder` not used.

    The last stretch, and so the network that is returned, is of whole images. (The loop is that of
    `phases.train`, which stays as it is for as long as the records of committed studies hold.)
    """
    stretched, scales = stretches(recipe)
    begin = body_weights(recipe, data, backbone) if backbone else {}
    start = dict(begin)
    saved = checkpoint.load() if checkpoint else None
    history = saved.history if saved else []
    reached = int(history[-1]["phase"]) if history else 1
    earlier = [entry for entry in history if entry["phase"] < reached]
    for entry in earlier if on_epoch else []:
        on_epoch(entry)
    for number in range(reached, len(scales) + 1):
        phase, scale = stretched.phases[number - 1], scales[number - 1]
        used, some = _at(scale, stretched, data)
        if recipe.features is not None and phase.head_only:
            some = replace(data, inputs=features.stored(recipe, begin, data.inputs, folder))
        part = Part(number, earlier, checkpoint)
        done = fit(
            used,
            some,
            seed,
            start,
            number,
            checkpoint=part if checkpoint else None,
            on_epoch=(lambda e, part=part: on_epoch(part.outer(e))) if on_epoch else None,
        )
        start |= weights_of(done.model)
        earlier = [*earlier, *map(part.outer, done.history)]
    return replace(done, history=earlier)


def stretches(recipe: Recipe) -> tuple[Recipe, list[float]]:
    """The recipe with each phase in which the body learns split into its stretches, and the scale
    of the images in each. Training from random weights is one phase in which all learns."""
    ((name, options),) = [op for op in recipe.ops if hasattr(TECHNIQUES[op[0]], "resolutions")]
    whole = Phase(recipe.epochs, recipe.learning_rate, learning=1.0, batchnorm="learning")
    split, scales = [], []
    for phase in recipe.phases or (whole,):
        if phase.head_only:
            parts = [(phase.epochs, 1.0)]
        else:
            parts = TECHNIQUES[name].resolutions(phase.epochs, **options)
        split += [replace(phase, epochs=epochs) for epochs, _ in parts]
        scales += [scale for _, scale in parts]
    return replace(recipe, phases=tuple(split)), scales


def _at(scale: float, recipe: Recipe, data: Data) -> tuple[Recipe, Data]:
    """A recipe and its images at a share of their width and height. A network that brings images to
    a size of its own is asked for a smaller one; one whose weights fit one size alone gets the
    small images enlarged again."""
    if scale == 1:
        return recipe, data
    if size := recipe.net_options.get("size"):
        options = {**recipe.net_options, "size": _scaled(size, scale)}
        return replace(recipe, net_options=options), data
    height, width, channels = data.shape
    small = _scaled(height, scale), _scaled(width, scale)
    same = _units(recipe, (*small, channels)) == _units(recipe, data.shape)
    return recipe, replace(data, inputs=_resized(data.inputs, small, None if same else data.shape))


def _scaled(side: int, scale: float) -> int:
    return max(1, math.floor(side * scale))


@functools.lru_cache(maxsize=8)
def _units(recipe: Recipe, shape: tuple[int, ...]) -> int:
    """How many features the network has of an image."""
    return network(recipe, shape, 2).body.output.shape[1]


_made: list = [None, None, None]  # images, how they were resized last, and what came of it


def _resized(
    images: np.ndarray, small: tuple[int, int], again: tuple[int, ...] | None
) -> np.ndarray:
    """uint8 images (n, height, width, channels) made smaller, bilinear with antialiasing, and, with
    `again`, brought to that height and width after it. Trials of one pool share them."""
    if _made[0] is not images or _made[1] != (small, again):
        parts = (images[at : at + AT_ONCE] for at in range(0, len(images), AT_ONCE))
        made = np.concatenate([_of_size(part, small) for part in parts])
        _made[:] = images, (small, again), made if again is None else _of_size(made, again[:2])
    return _made[2]


def _of_size(images: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    resized = tf.image.resize(tf.constant(images), size, antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8).numpy()
