"""The parts that networks are made of, with what a recipe puts in them.

Regularisers and constraints are given to layers as they are made: one attached to a built layer is
without effect.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from cnnlab.recipe.recipe import Place, Recipe
from cnnlab.recipe.techniques import TECHNIQUES


def on_gpu() -> bool:
    """Whether TensorFlow computes on a GPU in this process."""
    return bool(tf.config.get_visible_devices("GPU"))


def conv(recipe: Recipe, name: str, filters: int, kernel: int) -> list[keras.layers.Layer]:
    """Conv, what the recipe inserts after convs, ReLU; 'same' padding."""
    made = keras.layers.Conv2D(filters, kernel, padding="same", name=name, **kept(recipe, 3))
    return [made, *inserted(recipe, "conv", name), relu(name)]


def dense(recipe: Recipe, name: str, units: int) -> list[keras.layers.Layer]:
    """Hidden dense layer, ReLU, what the recipe inserts after dense layers."""
    made = keras.layers.Dense(units, name=name, **kept(recipe, 1))
    return [made, relu(name), *inserted(recipe, "dense", name)]


def logits(recipe: Recipe, classes: int) -> keras.layers.Layer:
    """The last layer: one logit a class, float32 whatever the compute type."""
    return keras.layers.Dense(classes, dtype="float32", name="logits", **kept(recipe, 1))


def inserted(
    recipe: Recipe, place: Place, name: str, depth: float = 1.0
) -> list[Callable[[Any], Any]]:
    """The layers that the recipe's techniques put at a place of the layer `name`.

    `depth`, 0..1: how far up the network; a rate at a residual branch grows with it.
    """
    made = []
    for insert in recipe.inserts:
        if insert.at == place:
            config = dict(insert.config)
            if place == "branch" and "rate" in config:
                config["rate"] *= depth
            if insert.layer in TECHNIQUES:
                made += TECHNIQUES[insert.layer].layers(name, **config)
            else:
                kind = getattr(keras.layers, insert.layer)
                made.append(kind(name=f"{name}_{insert.layer.lower()}", **config))
    return made


def resized(x: Any, size: Sequence[int], **options: Any) -> Any:
    """Maps (n, height, width, channels) at `size`, (height, width) in pixels, by a
    `keras.layers.Resizing` of these options.

    Keras 3.15 takes this layer's `training` as true where nothing is said, and with it that of all
    that comes after: a network that is called with its images alone would normalise by the batch
    at hand, and learn from it. So it is said here; who calls a network with `training` overrules.
    """
    return keras.layers.Resizing(*size, **options)(x, training=False)


def relu(name: str) -> keras.layers.Layer:
    """The activation of the layer `name`."""
    return keras.layers.Activation("relu", name=f"{name}_act")


def kept(recipe: Recipe, inputs: int) -> dict[str, Any]:
    """What keeps a layer's weights small: penalties, and the limit to the norm of the weights into
    a unit, which are the first `inputs` axes of its kernel."""
    totals = {target: recipe.penalty(target) for target in ("kernel", "bias", "activity")}
    options: dict[str, Any] = {
        f"{target}_regularizer": keras.regularizers.L1L2(l1, l2)
        for target, (l1, l2) in totals.items()
        if l1 or l2
    }
    if recipe.max_norm:
        limit = keras.constraints.MaxNorm(recipe.max_norm, axis=list(range(inputs)))
        options["kernel_constraint"] = limit
    return options


def through(x: Any, layers: Iterable[Callable[[Any], Any]]) -> Any:
    """The tensor `x` passed through layers, one after another."""
    for layer in layers:
        x = layer(x)
    return x
