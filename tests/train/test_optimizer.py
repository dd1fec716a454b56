"""The optimizers that recipes get."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab.train import optimizer
from tests import made_up

BASE = made_up.sections().recipe([])
SHAPES = {"kernel": (3, 3, 1, 4), "bias": (4,), "kept short": (6, 5), "large": (200, 100)}


class Model:
    """As much of a network as an optimizer asks for."""

    layers = ()

    def __init__(self):
        rng, short = np.random.default_rng(1), keras.constraints.MaxNorm(1.0)
        constraints = {"kept short": short}
        self.trainable_variables = [
            keras.Variable(rng.normal(size=shape).astype(np.float32)) for shape in SHAPES.values()
        ]
        for name, variable in zip(SHAPES, self.trainable_variables, strict=True):
            variable.constraint = constraints.get(name)


def after_steps(of, model, steps=20):
    """A model's weights after steps along random gradients of all sizes, by an optimizer."""
    of.build(model.trainable_variables)
    rng = np.random.default_rng(2)
    step = tf.function(lambda g: of.apply(g, model.trainable_variables), autograph=False)
    for _ in range(steps):
        size = 10.0 ** rng.uniform(-6, 1)
        step([tf.constant(size * rng.normal(size=s), tf.float32) for s in SHAPES.values()])
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.mark.parametrize("momentum", [None, 0.9])
@pytest.mark.parametrize("name", optimizer.BY_ELEMENT)
def test_small_variables_that_move_together_end_where_each_would_by_itself(name, momentum):
    if momentum and name != "sgd":
        pytest.skip("only SGD is given a momentum")
    recipe = replace(BASE, optimizer=name, momentum=momentum)
    one, other = Model(), Model()
    together = optimizer.of(recipe, one, 0.01, {}, 20)
    plain = {"momentum": momentum, "nesterov": True} if momentum else {}
    by_itself = type(keras.optimizers.get(name))(learning_rate=0.01, **plain)
    made, expected = after_steps(together, one), after_steps(by_itself, other)
    for got, wanted in zip(made, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)
    assert np.linalg.norm(made[2], axis=0).max() < 1 + 1e-6  # the constraint held
    assert type(together).__name__ == "Together"


@pytest.mark.parametrize(
    "what", [{"decay": 0.1}, {"clip_norm": 1.0}, {"ema": 0.9}, {"optimizer": "muon"}]
)
def test_what_looks_at_each_variable_moves_it_by_itself(what):
    made = optimizer.of(replace(BASE, **what), Model(), 0.01, {}, 20)
    assert type(made).__name__ != "Together"
