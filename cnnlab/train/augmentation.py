"""Augmentation of a batch inside TensorFlow's graph, from a recipe's list of ops.

Every draw comes from a stateless seed, so what an image becomes depends on the trial, epoch and
step alone. All ops work on whole batches and on any number of channels.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import tensorflow as tf

from cnnlab.recipe.recipe import Recipe
from cnnlab.recipe.techniques import TECHNIQUES

_FILL = {"constant": "CONSTANT", "nearest": "NEAREST", "reflect": "REFLECT"}


def augment(
    recipe: Recipe, images: tf.Tensor, seed: tf.Tensor, rows: tf.Tensor, epoch: tf.Tensor
) -> tf.Tensor:
    """Augmented images, float32 (n, height, width, channels) in 0..255, of float32 ones.

    Images by themselves; ops that mix them with each other are `mix`'s.

    `seed`: int32 tensor of shape (2,). `rows`, the images' numbers, int64 (n,), and `epoch`, int64,
    are for ops that take turns instead of drawing. Warps come first, multiplied together so that
    pixels are resampled once (bilinear); then colours, in the recipe's order.
    """
    matrix = warp(recipe, images, seed, rows, epoch)
    if matrix is not None:
        images = resample(images, matrix, _FILL[recipe.fill_mode])
    for op, op_seed, strength in _ops(recipe, seed, "recolour"):
        images = op.recolour(op_seed, images, **strength)
    return images


def warp(
    recipe: Recipe, images: tf.Tensor, seed: tf.Tensor, rows: tf.Tensor, epoch: tf.Tensor
) -> tf.Tensor | None:
    """Where `augment`, given the same, takes each output pixel from: all warps multiplied together,
    float32 (n, 3, 3); None where the recipe has none."""
    n, aspect = tf.shape(images)[0], images.shape[2] / images.shape[1]
    warps = [op.warp(drawn, n, aspect, **kw) for op, drawn, kw in _ops(recipe, seed, "warp")]
    for op, _, strength in _ops(recipe, seed, "warp_in_turn"):
        warps.append(op.warp_in_turn(rows, epoch, aspect, **strength))
    return functools.reduce(tf.matmul, warps) if warps else None


def mix(
    recipe: Recipe, images: tf.Tensor, targets: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Images mixed with each other, as `augment` takes them, and their targets, (n, classes)."""
    for op, op_seed, strength in _ops(recipe, seed, "mix"):
        images, targets = op.mix(op_seed, images, targets, **strength)
    return images, targets


def _ops(recipe: Recipe, seed: tf.Tensor, kind: str) -> Iterator[tuple[ModuleType, tf.Tensor, Any]]:
    """The recipe's ops that do one kind of thing, each with a seed of its own and its strength."""
    for i, (name, strength) in enumerate(recipe.ops):
        if hasattr(TECHNIQUES[name], kind):
            yield TECHNIQUES[name], seed + tf.constant([0, i], tf.int32) * 7919, strength


def resample(
    images: tf.Tensor, matrix: tf.Tensor, fill: str, way: str = "BILINEAR", beyond: float = 0.0
) -> tf.Tensor:
    """Each output pixel taken from where `matrix` (centred half-size units) says. `fill`, `way`:
    as TensorFlow calls them; `beyond`: the value outside of the image, with the fill "CONSTANT"."""
    height, width = images.shape[1], images.shape[2]
    # pixel index -> centred units: u = (x - (size - 1) / 2) / (size / 2)
    sx, sy = width / 2, height / 2
    cx, cy = (width - 1) / 2, (height - 1) / 2
    to_units = tf.constant([[1 / sx, 0, -cx / sx], [0, 1 / sy, -cy / sy], [0, 0, 1]], tf.float32)
    to_pixels = tf.constant([[sx, 0, cx], [0, sy, cy], [0, 0, 1]], tf.float32)
    pixels = to_pixels @ matrix @ to_units
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.reshape(pixels, [-1, 9])[:, :8],
        output_shape=[height, width],
        interpolation=way,
        fill_mode=fill,
        fill_value=beyond,
    )
