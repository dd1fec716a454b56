"""What a trial learns from, and how its batches reach the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from cnnlab.recipe.recipe import Recipe
from cnnlab.train.augmentation import augment, mix

RESIDENT = 256 * 2**20  # bytes; a larger pool is read from its file, batch by batch: same results
PIXELS = 2**19  # of the images that a network sees at once outside training


@dataclass(frozen=True)
class Data:
    """What one trial trains on and is evaluated on, as rows of one pool.

    `inputs` are images, uint8 (pool, height, width, channels), or features of a frozen backbone,
    float32 (pool, 1 + draws, units): of the clean image first, then of augmented ones.
    """

    inputs: np.ndarray
    labels: np.ndarray  # int (pool,)
    train: np.ndarray  # rows, int (n_train,)
    held_out: np.ndarray  # rows, int (n_held_out,); evaluated, never learnt from
    classes: int
    groups: np.ndarray | None = None  # (pool,); images of one group never part company

    @property
    def shape(self) -> tuple[int, ...]:
        """Of what the network takes: (height, width, channels) or (units,)."""
        return self.inputs.shape[1:] if self.are_images else self.inputs.shape[2:]

    @property
    def are_images(self) -> bool:
        """Whether the inputs are images, not features."""
        return self.inputs.dtype == np.uint8

    def raw(self, rows: np.ndarray) -> tf.Tensor:
        """Rows of the inputs as they are kept."""
        return tf.constant(self.inputs[rows])


def clean(raw: tf.Tensor) -> tf.Tensor:
    """Rows of `Data.inputs` as a network takes them outside training, float32."""
    return tf.cast(raw, tf.float32) if raw.dtype == tf.uint8 else raw[:, 0]


def at_once(shape: tuple[int, ...]) -> int:
    """How many inputs of a shape a network sees at once outside training: bounds memory, and has no
    effect on results."""
    return max(1, min(512, PIXELS // (shape[0] * shape[1]))) if len(shape) == 3 else 512


def batches(
    recipe: Recipe, data: Data, train: np.ndarray, seed: int, first: int, epochs: int
) -> tf.data.Dataset:
    """The batches of the epochs `first` .. `epochs` - 1, each a function of (seed, epoch, step).

    (inputs, targets), and with `recipe.balanced` each image's weight in the loss.
    """
    read, labels = _reader(data.inputs), tf.constant(data.labels, tf.int32)
    rows, size = tf.constant(train, tf.int64), recipe.batch_size
    counts = np.bincount(data.labels[train], minlength=data.classes).clip(1)
    weights = tf.constant(len(train) / (np.count_nonzero(counts) * counts), tf.float32)

    def epoch(e):
        order = tf.random.experimental.stateless_shuffle(rows, [tf.constant(seed, tf.int64), e])
        numbered = tf.data.Dataset.from_tensor_slices(order).batch(size).enumerate()
        return numbered.map(lambda step, batch: (e, step, batch))

    def batch(e, step, chosen):
        y = tf.one_hot(tf.gather(labels, chosen), data.classes)
        w = tf.linalg.matvec(y, weights)
        y = (1 - recipe.label_smoothing) * y + recipe.label_smoothing / data.classes
        fold_in = tf.random.experimental.stateless_fold_in
        draw = tf.cast(fold_in(fold_in([seed, 1], e), step), tf.int32)
        if data.are_images:
            x = augment(recipe, tf.cast(read(chosen), tf.float32), draw)
            x, y = mix(recipe, x, y, draw)
        else:
            x = _one_draw(read(chosen), draw)
        return (x, y, w) if recipe.balanced else (x, y)

    options = tf.data.Options()
    options.autotune.enabled = False  # it would stall at the end of each epoch
    numbers = tf.data.Dataset.range(first, epochs).flat_map(epoch)
    return numbers.map(batch).prefetch(2).with_options(options)


def _one_draw(features: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Of features (n, 1 + draws, units) those of one augmented draw of each image, at random; those
    of the clean image where there are no draws."""
    draws = features.shape[1] - 1
    if not draws:
        return features[:, 0]
    pick = tf.random.stateless_uniform([tf.shape(features)[0]], seed, 1, draws + 1, tf.int32)
    return tf.gather(features, pick, batch_dims=1)


_kept: list = [None, None]  # the inputs that were used last, and their tensor


def _reader(inputs: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """What reads rows of a pool inside the graph, as they are kept."""
    if inputs.nbytes <= RESIDENT:
        if _kept[0] is not inputs:
            _kept[:] = inputs, tf.constant(inputs)
        resident = _kept[1]
        return lambda rows: tf.gather(resident, rows)

    def read(rows: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(lambda r: inputs[r], [rows], inputs.dtype, stateful=False)
        return tf.ensure_shape(pixels, [None, *inputs.shape[1:]])

    return read
