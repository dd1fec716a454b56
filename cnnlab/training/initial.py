"""A net as it was before training: the trial's recipe and seed decide every weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnlab.training.recipe import MODELS, Recipe

if TYPE_CHECKING:
    import keras


def initial(recipe: Recipe, seed: int, shape: tuple[int, ...], classes: int) -> keras.Model:
    """The net from which a trial of this recipe with this seed started (a test compares them).

    `shape`: (height, width, channels) of its images. For recipes that start from random weights.
    Raises ValueError for those of transfer. Sets the global seeds of Python, NumPy and TensorFlow.
    """
    import keras

    if recipe.phases:
        raise ValueError("a recipe of transfer begins from its backbone, not from its seed")
    keras.utils.set_random_seed(seed)
    return MODELS[recipe.net].build(recipe, shape, classes)
