"""What a trial learns from, and how its batches reach the network."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import tensorflow as tf

from cnnlab.recipe.blocks import on_gpu
from cnnlab.recipe.recipe import Recipe
from cnnlab.train.augmentation import augment, mix, warp
from cnnlab.train.tasks import classification

RESIDENT = 256 * 2**20  # bytes; a larger pool is read from its file, batch by batch: same results
PIXELS = 2**19  # of the images that a network on a CPU sees at once outside training
SHARE = 1 / 4  # of a GPU's memory, for the pool, and for what a network makes of inputs at once
PER_PIXEL = 2048  # bytes of a GPU's memory for what a network makes of each pixel


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
    learning: ModuleType = classification  # a module of cnnlab.train.tasks
    truth: np.ndarray | None = None  # (pool, ...): what is learnt of each besides the label

    @property
    def targets(self) -> np.ndarray:
        """What the network learns to say of each input, (pool, ...)."""
        return self.learning.targets(self)

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


def at_once(shape: tuple[int, ...], size: int | None = None) -> int:
    """How many inputs of a shape a network sees at once outside training: bounds memory, and has no
    effect on results but rounding. `size`: pixels of the sides that the network resizes images to,
    if it does; a GPU has room for fewer if they are more."""
    if not gpu_memory():
        return drawn_at_once(shape)
    if len(shape) != 3:
        return 4096
    pixels = max(shape[0] * shape[1], (size or 0) ** 2)
    return max(1, min(4096, int(SHARE * gpu_memory()) // PER_PIXEL // pixels))


def drawn_at_once(shape: tuple[int, ...]) -> int:
    """How many images of a shape are augmented at once outside training. What is drawn for an image
    depends on that, so it is the same on all devices."""
    return max(1, min(512, PIXELS // (shape[0] * shape[1]))) if len(shape) == 3 else 512


@functools.cache
def gpu_memory() -> int:
    """Bytes of the GPU that this process computes on, of those that are free as it begins; 0: it
    computes on the CPU. A power of 2: some more or less in use elsewhere changes no result."""
    if not on_gpu():
        return 0
    from tensorflow.python.client import device_lib

    devices = device_lib.list_local_devices()
    free = max(device.memory_limit for device in devices if device.device_type == "GPU")
    return 2 ** (free.bit_length() - 1)


def order(rows: tf.Tensor, seed: tf.Tensor, epoch: tf.Tensor) -> tf.Tensor:
    """The rows as an epoch goes through them, a function of (seed, epoch)."""
    return tf.random.experimental.stateless_shuffle(rows, tf.stack([seed, epoch]))


def class_weights(recipe: Recipe, data: Data, train: np.ndarray) -> tf.Tensor:
    """Of each class in the loss, float32 (classes,): 1, or with `recipe.balanced` as much as makes
    all weigh the same."""
    seen = data.learning.seen(data, train)
    counts = np.bincount(seen, minlength=data.classes).clip(1)
    balanced = len(seen) / (np.count_nonzero(counts) * counts)
    return tf.constant(balanced if recipe.balanced else np.ones(data.classes), tf.float32)


def batch(
    recipe: Recipe,
    rows: tf.Tensor,
    raw: tf.Tensor,
    targets: tf.Tensor,
    weights: tf.Tensor,
    at: tuple[tf.Tensor, tf.Tensor, tf.Tensor],
    learning: ModuleType = classification,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What a network learns from at one step: inputs, and the truth and the weight of each label in
    it as `truth` of the task's module makes them, of labels (n, ..., classes) and (n, ...).

    `rows`: numbers of the inputs, int64 (n,); `raw`, `targets`: these rows of `Data.inputs` and
    `Data.targets`; `weights`: of the classes; `at`: seed, epoch and step, which decide all draws.
    """
    fold_in = tf.random.experimental.stateless_fold_in
    seed, epoch, step = at
    draw = tf.cast(fold_in(fold_in(tf.stack([seed, 1]), epoch), step), tf.int32)
    images, moving = tf.cast(raw, tf.float32), learning.moved
    if moving and raw.dtype == tf.uint8:
        targets = moving(targets, warp(recipe, images, draw, rows, epoch))
    y, w = learning.truth(recipe, targets, weights)
    if raw.dtype != tf.uint8:
        return _one_draw(raw, draw), y, w
    x = augment(recipe, images, draw, rows, epoch)
    x, y = mix(recipe, x, y, draw)
    return x, y, w


def _one_draw(features: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Of features (n, 1 + draws, units) those of one augmented draw of each image, at random; those
    of the clean image where there are no draws."""

    def picked() -> tf.Tensor:
        pick = tf.random.stateless_uniform([tf.shape(features)[0]], seed, 1, draws + 1, tf.int32)
        return tf.gather(features, pick, batch_dims=1)

    draws = tf.shape(features)[1] - 1
    return tf.cond(draws > 0, picked, lambda: features[:, 0])


_kept: dict[str, tuple] = {}  # inputs and targets that were used last, each with its tensor


def resident(data: Data) -> tuple[tf.Tensor, tf.Tensor] | None:
    """Inputs and targets as tensors where training computes; None where they are too large for
    that."""
    if data.inputs.nbytes > (SHARE * gpu_memory() or RESIDENT):
        return None
    kinds = {"inputs": data.inputs.dtype, "targets": data.learning.spec(data.shape).dtype}
    for name, kind in kinds.items():
        array = getattr(data, name)
        if name not in _kept or _kept[name][0] is not array:
            _kept[name] = array, tf.constant(array, kind)
    return _kept["inputs"][1], _kept["targets"][1]


def read(data: Data, rows: np.ndarray, size: int) -> tf.data.Dataset:
    """Rows of inputs that stay in their file, in batches: (rows, raw, targets); the next ones are
    read while a network learns from these."""

    def fetch(chosen):
        spec = data.learning.spec(data.shape)
        raw, truth = tf.numpy_function(
            lambda r: (data.inputs[r], data.targets[r].astype(spec.dtype.as_numpy_dtype)),
            [chosen],
            (data.inputs.dtype, spec.dtype),
            stateful=False,
        )
        raw = tf.ensure_shape(raw, [None, *data.inputs.shape[1:]])
        return chosen, raw, tf.ensure_shape(truth, spec.shape)

    options = tf.data.Options()
    options.autotune.enabled = False  # it would stall at the end of each epoch
    numbers = tf.data.Dataset.from_tensor_slices(rows).batch(size)
    return numbers.map(fetch).prefetch(2).with_options(options)
