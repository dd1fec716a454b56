"""A recipe as Keras layers: body and head joined, and the weights that training starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from cnnlab.recipe.nets import NETS
from cnnlab.recipe.norm import fuse
from cnnlab.recipe.recipe import Recipe
from cnnlab.seeds import derive

Weights = Mapping[str, Sequence[np.ndarray]]  # layer name -> its arrays


@dataclass(frozen=True)
class Network:
    """A network and its lower part, which share layers."""

    model: keras.Model  # from images, or features where there is no body, to logits
    body: keras.Model | None  # from images to features (n, units); None: the head alone

    @property
    def units(self) -> list[list[keras.layers.Layer]]:
        """The body from bottom to top: each layer with a kernel and what follows it; what comes
        before the first of them is part of that one's."""
        units: list[list[keras.layers.Layer]] = [[]] if self.body else []
        for layer in self.body.layers if self.body else ():
            if _has_kernel(layer) and any(_has_kernel(one) for one in units[-1]):
                units.append([])
            units[-1].append(layer)
        return units


def _has_kernel(layer: keras.layers.Layer) -> bool:
    return hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel")


def network(recipe: Recipe, shape: Sequence[int], classes: int) -> Network:
    """The network of a recipe, for images of `shape` (height, width, channels), or the head alone
    for features of `shape` (units,). Its weights are at random; `initial_weights` says which.

    Raises UserError where the network cannot take such images.
    """
    module = NETS[recipe.net]
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)  # weights are float32 in all of them
    try:
        if len(shape) == 1:
            features = keras.Input(shape, name="features")
            logits = module.head(recipe, features, classes)
            return Network(keras.Model(features, logits, name="head"), None)
        images = keras.Input(shape, name="images")
        features = module.body(recipe, images)
        body = keras.Model(images, features, name="body")
        logits = module.head(recipe, features, classes)
        whole = keras.Model(images, logits, name=recipe.net)
        fuse(whole)
        return Network(whole, body)
    finally:
        keras.config.set_dtype_policy(before)


def initial(recipe: Recipe, seed: int, shape: Sequence[int], classes: int) -> Network:
    """The network at random weights, each layer's decided by the seed and its name alone."""
    made = network(recipe, shape, classes)
    set_random(made.model, seed)
    return made


def set_random(model: keras.Model, seed: int) -> None:
    """Put every variable of a model to what its layer begins with: weights drawn by a seed of the
    layer's own, and the same for the generators of layers that draw while training.

    So two networks begin alike wherever they have a layer of the same name and shape.
    """
    for layer in model.layers:
        if layer.variables:
            fresh = type(layer).from_config(_seeded(layer, seed))
            fresh.build(layer.input.shape)
            for variable, value in zip(layer.variables, fresh.variables, strict=True):
                variable.assign(value)


def _seeded(layer: keras.layers.Layer, seed: int) -> dict:
    """The layer's config with seeds derived from its name."""
    config = layer.get_config()
    if "seed" in config:
        config["seed"] = derive(seed, layer.name, "draws")
    for key, value in config.items():
        if isinstance(value, dict) and "seed" in value.get("config", {}):
            initializer = {**value["config"], "seed": derive(seed, layer.name, key)}
            config[key] = {**value, "config": initializer}
    return config


def weights_of(model: keras.Model) -> Weights:
    """The arrays of all layers that have some, statistics included."""
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


def put(model: keras.Model, weights: Weights) -> None:
    """Give the layers of a model the weights that there are for their names."""
    for layer in model.layers:
        if layer.name in weights:
            layer.set_weights(weights[layer.name])
