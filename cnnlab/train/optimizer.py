"""The optimizer of a recipe: Keras' own, with what a recipe adds to it."""

from __future__ import annotations

import math

import keras
import tensorflow as tf

from cnnlab.recipe.recipe import Recipe

SMALL = 2**14  # elements, at most, of a variable that is moved together with others (measured)
BY_ELEMENT = ("adam", "lion", "rmsprop", "sgd")  # move each element by its gradients alone


def of(
    recipe: Recipe, model: keras.Model, rate: float, factors: dict[str, float], steps: int
) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for so many steps. `rate`: the learning rate, before the recipe's
    schedule. `factors`: layer name -> share of the rate."""
    config: dict = {"learning_rate": _learning_rate(recipe, rate, steps)}
    if recipe.decay:
        config["weight_decay"] = recipe.decay
    if recipe.momentum:
        config |= {"momentum": recipe.momentum, "nesterov": True}
    if recipe.clip_norm:
        config["global_clipnorm"] = recipe.clip_norm
    if recipe.averages:
        config |= {"use_ema": True, "ema_momentum": recipe.ema or 0.0}
    kind = type(keras.optimizers.get(recipe.optimizer))
    looks = factors or recipe.decay or recipe.clip_norm or recipe.averages  # at each variable
    small = [v for v in model.trainable_variables if _is_small(v)]
    if len(small) > 1 and recipe.optimizer in BY_ELEMENT and not looks:
        kind = _together(kind)
    if recipe.mean_from is not None:
        kind = _with_mean(kind, math.floor(recipe.mean_from * steps))
    optimizer = _with_factors(kind, model, factors)(**config) if factors else kind(**config)
    if recipe.decay:
        flat = [v for v in model.trainable_variables if len(v.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=flat)
    # Gradients of half precision would vanish.
    half = recipe.precision == "mixed_float16"
    return keras.optimizers.LossScaleOptimizer(optimizer) if half else optimizer


def _is_small(variable: keras.Variable) -> bool:
    return math.prod(variable.shape) <= SMALL and variable.constraint is None


def _together(kind: type[keras.optimizers.Optimizer]) -> type[keras.optimizers.Optimizer]:
    """An optimizer class that moves all small variables as one, to the same bits: of a small
    network it is most of the operations of a step to move each by itself."""

    class Together(kind):
        def build(self, variables):
            self._sizes = [math.prod(v.shape) for v in variables if _is_small(v)]
            self._move = keras.Variable(tf.zeros(sum(self._sizes)))  # of all small ones, in a row
            super().build([self._move, *(v for v in variables if not _is_small(v))])

        def apply(self, grads, trainable_variables=None):
            pairs = list(zip(grads, trainable_variables, strict=True))
            small = [pair for pair in pairs if _is_small(pair[1])]
            large = [pair for pair in pairs if not _is_small(pair[1])]
            row = tf.concat([tf.reshape(gradient, [-1]) for gradient, _ in small], 0)
            self._move.assign(tf.zeros_like(row))
            super().apply([row, *(g for g, _ in large)], [self._move, *(v for _, v in large)])
            for (_, variable), part in zip(small, tf.split(self._move, self._sizes), strict=True):
                variable.assign_add(tf.reshape(part, variable.shape))

    return Together


def _with_factors(
    kind: type[keras.optimizers.Optimizer], model: keras.Model, factors: dict[str, float]
) -> type[keras.optimizers.Optimizer]:
    """An optimizer class of which each variable has a learning rate of its own. (Scaled gradients
    would not do: Adam divides by them.)"""
    by_variable = {
        v.value.ref(): factors[layer.name]
        for layer in model.layers
        if layer.name in factors
        for v in layer.trainable_variables
    }

    class WithFactors(kind):
        def update_step(self, gradient, variable, learning_rate):
            factor = by_variable.get(variable.ref(), 1.0)
            super().update_step(gradient, variable, learning_rate * factor)

    return WithFactors


def _with_mean(
    kind: type[keras.optimizers.Optimizer], first: int
) -> type[keras.optimizers.Optimizer]:
    """An optimizer class whose average of the weights is their mean after each step from number
    `first` on, from 0; before it, the weights of the last step."""

    class WithMean(kind):
        @property
        def ema_momentum(self):
            past = tf.cast(tf.maximum(self.iterations - first, 0), tf.float32)  # steps in the mean
            return past / (past + 1)

        @ema_momentum.setter
        def ema_momentum(self, value):
            pass  # Keras' own, a constant

    return WithMean


def _learning_rate(
    recipe: Recipe, rate: float, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    plan = recipe.schedule
    if plan is None:
        return rate
    schedules, highest = keras.optimizers.schedules, rate * plan.peak
    if plan.cycles > 1:
        first = round(steps / plan.cycles)
        return schedules.CosineDecayRestarts(highest, first, t_mul=1.0, m_mul=1.0, alpha=plan.floor)
    warmup = round(steps * plan.warmup)
    return schedules.CosineDecay(
        highest * plan.start,
        steps - warmup,
        alpha=plan.floor,
        warmup_target=highest if warmup else None,
        warmup_steps=warmup,
    )
