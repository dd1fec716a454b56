"""The parts that nets are made of, with what a recipe puts in them.

Regularisers are given to layers as they are made: one attached to a built layer adds no loss.
"""

from __future__ import annotations

import keras

from cnnlab.training.recipe import Place, Recipe


def conv(recipe: Recipe, name: str, filters: int, kernel: int) -> list[keras.layers.Layer]:
    """Conv, what the recipe inserts after convs, ReLU; 'same' padding."""
    made = keras.layers.Conv2D(filters, kernel, padding="same", name=name, **_penalties(recipe))
    return [made, *inserted(recipe, "conv", name), _relu(name)]


def dense(recipe: Recipe, name: str, units: int) -> list[keras.layers.Layer]:
    """Hidden dense layer, ReLU, what the recipe inserts after dense layers."""
    made = keras.layers.Dense(units, name=name, **_penalties(recipe))
    return [made, _relu(name), *inserted(recipe, "dense", name)]


def logits(recipe: Recipe, classes: int) -> keras.layers.Layer:
    """The last layer: one logit a class, float32 whatever the compute type."""
    return keras.layers.Dense(classes, dtype="float32", name="logits", **_penalties(recipe))


def inserted(recipe: Recipe, place: Place, name: str) -> list[keras.layers.Layer]:
    """The layers that the recipe's techniques put at a place of the layer `name`."""
    return [
        getattr(keras.layers, i.layer)(name=f"{name}_{i.layer.lower()}", **i.config)
        for i in recipe.inserts
        if i.at == place
    ]


def _relu(name: str) -> keras.layers.Layer:
    return keras.layers.Activation("relu", name=f"{name}_act")


def _penalties(recipe: Recipe) -> dict[str, keras.regularizers.Regularizer]:
    totals = {target: recipe.penalty(target) for target in ("kernel", "bias", "activity")}
    return {
        f"{target}_regularizer": keras.regularizers.L1L2(l1, l2)
        for target, (l1, l2) in totals.items()
        if l1 or l2
    }
