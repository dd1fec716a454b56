"""What the loss does while the learning rate rises: a short training that is no trial."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import tensorflow as tf

from cnnlab.recipe.network import Weights
from cnnlab.recipe.recipe import Recipe
from cnnlab.train.fit import _compiled
from cnnlab.train.input import Data, class_weights, order


def rising(
    recipe: Recipe, data: Data, seed: int, rates: np.ndarray, start: Weights | None = None
) -> Iterator[float]:
    """The training loss of each step, the first at `rates[0]`, the next at `rates[1]`, and so on;
    that of step i is of the weights before its own step.

    All of the recipe takes part but its schedule, averages and early stopping; of one with phases
    the last phase is trained, from the weights `start` on, images passing the backbone.
    """
    plain = {"schedule": None, "snapshots": False, "stopping": None, "ema": None}
    recipe = replace(recipe, **plain, mean_from=None, features=None)
    net = _compiled(recipe, len(recipe.phases), data.shape, data.classes, len(rates), data.learning)
    net.reset(seed, start or {})
    weights, rows = class_weights(recipe, data, data.train), tf.constant(data.train, tf.int64)
    drawn, size = tf.constant(seed, tf.int64), recipe.batch_size
    per_epoch = -(-len(data.train) // size)
    for number, rate in enumerate(rates):
        epoch, step = (tf.constant(n, tf.int64) for n in divmod(number, per_epoch))
        if int(step) == 0:
            ordered = order(rows, drawn, epoch).numpy()
        now = ordered[int(step) * size : (int(step) + 1) * size]
        net.optimizer.learning_rate = float(rate)
        targets = tf.constant(data.targets[now], data.learning.spec(data.shape).dtype)
        batch = (tf.constant(now), data.raw(now), targets)
        yield float(net._batch(*batch, weights, (drawn, epoch, step)))
