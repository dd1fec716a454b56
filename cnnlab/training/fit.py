"""The one `fit`: every net of every study, trained or transferred, is trained here.

What makes it fast on small data (each measured): images stay uint8 in one tensor (many of them in
their memory-mapped file) and batches are gathered, cast and augmented in the graph; one tf.data
iterator serves all epochs, with autotune off, which would stall at the end of each; a whole epoch
runs as one call into TensorFlow; and a compiled net is reused for the next fold, its weights,
optimizer state, statistics and seed generators reset to those of a net built afresh (tests show
that nothing leaks).
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cnnlab.training.augmentation import augment
from cnnlab.training.recipe import MODELS, Recipe
from cnnlab.training.records import Checkpoint

tf.config.experimental.enable_op_determinism()

EVALUATION_BATCH = 512  # images; no effect on results
RESIDENT = 256 * 2**20  # bytes; a larger pool is read from its file, batch by batch: same results


@dataclass(frozen=True)
class Data:
    """What one trial trains on and is judged on, as rows of one pool of images."""

    images: np.ndarray  # uint8 (pool, height, width, channels)
    labels: np.ndarray  # int (pool,)
    train: np.ndarray  # rows, int (n_train,)
    judged: np.ndarray  # rows, int (n_judged,); evaluated, never learnt from
    classes: int


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns."""

    model: keras.Model  # shared with the next fit of this recipe: use or save it before that
    history: list[dict[str, float]]  # one entry an epoch
    probabilities: np.ndarray  # float32 (n_judged, classes), inference mode


def fit(
    recipe: Recipe,
    data: Data,
    seed: int,
    backbone: keras.Model | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Fitted:
    """Train one net; evaluate it clean, in inference mode, every `recipe.evaluate_every` epochs.

    `backbone`: the net whose conv part a recipe with `start="backbone"` begins from. `on_epoch` is
    called with each entry of the history: `epoch` (from 1), `objective` (mean training loss with
    penalties, dropout and augmentation on), and where the net was evaluated, which the last epoch
    always is, for clean training images and judged ones `train_accuracy`, `train_nll`, `accuracy`,
    `nll` (natural logarithm). With a `checkpoint`
    training goes on from the last epoch that it holds, to the same result to the bit.
    """
    steps = -(-len(data.train) // recipe.batch_size)
    net = _compiled(recipe, data.images.shape[1:], data.classes, steps)
    net.reset(seed, backbone)
    saved = checkpoint.load() if checkpoint else None
    history = saved.history if saved else []
    if saved:
        net.state = saved.arrays
        for entry in history if on_epoch else []:
            on_epoch(entry)

    def evaluate(epoch: int, logs: dict[str, float]) -> None:
        entry = {"epoch": epoch + 1, "objective": float(logs["loss"])}
        last = epoch + 1 == recipe.epochs
        if last or (epoch + 1) % recipe.evaluate_every == 0:
            for prefix, rows in (("train_", data.train), ("", data.judged)):
                probabilities = net.probabilities(data.images, rows)
                for name, value in scores(probabilities, data.labels[rows]).items():
                    entry[prefix + name] = value
        history.append(entry)
        if on_epoch:
            on_epoch(entry)
        if checkpoint and checkpoint.due() and not last:
            checkpoint.save(net.state, history)

    net.model.fit(
        _batches(recipe, data, seed, first=len(history)),
        initial_epoch=len(history),
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches come in their order
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=evaluate)],
    )
    return Fitted(net.model, history, net.probabilities(data.images, data.judged))


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and negative log likelihood (natural logarithm) of (n, classes) probabilities."""
    own = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1)
    return {
        "accuracy": float(np.mean(probabilities.argmax(1) == labels)),
        "nll": float(-np.mean(np.log(own))),
    }


class _Compiled:
    """A net compiled for one recipe, image shape and number of steps, and how to start it anew."""

    def __init__(self, recipe: Recipe, shape: tuple[int, ...], classes: int, steps: int):
        self.recipe, self.shape, self.classes = recipe, shape, classes
        self.model = self._build()
        for layer in conv_part(self.model):
            layer.trainable = recipe.train_conv
        self.model.compile(
            optimizer=keras.optimizers.get(
                {"class_name": recipe.optimizer, "config": {"learning_rate": recipe.learning_rate}}
            ),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            steps_per_execution=steps,
        )
        optimizer = self.model.optimizer  # which scales the loss, where float16 asks for it
        optimizer.build(self.model.trainable_variables)
        self._optimizer_start = [v.numpy() for v in optimizer.variables]
        self._softmax = tf.function(
            lambda images: tf.nn.softmax(self.model(tf.cast(images, tf.float32), training=False)),
            input_signature=[tf.TensorSpec([None, *shape], tf.uint8)],
        )

    def _build(self) -> keras.Model:
        with _precision(self.recipe.precision):
            return MODELS[self.recipe.net].build(self.recipe, self.shape, self.classes)

    def reset(self, seed: int, backbone: keras.Model | None) -> None:
        """Put every variable to what a net built afresh from `seed` has."""
        keras.utils.set_random_seed(seed)
        fresh = self._build()
        if self.recipe.start == "backbone":
            for layer, source in zip(conv_part(fresh), conv_part(backbone), strict=True):
                layer.set_weights(source.get_weights())
        self.state = [*(v.numpy() for v in fresh.variables), *self._optimizer_start]

    @property
    def state(self) -> list[np.ndarray]:
        """All that training changes: weights, statistics, seed generators, optimizer."""
        return [v.numpy() for v in self._variables]

    @state.setter
    def state(self, arrays: list[np.ndarray]) -> None:
        for variable, array in zip(self._variables, arrays, strict=True):
            variable.assign(array)

    @property
    def _variables(self) -> list[keras.Variable]:
        return [*self.model.variables, *self.model.optimizer.variables]

    def probabilities(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Class probabilities (n, classes) of rows of the pool, in inference mode."""
        parts = [
            self._softmax(tf.constant(images[rows[i : i + EVALUATION_BATCH]])).numpy()
            for i in range(0, len(rows), EVALUATION_BATCH)
        ]
        return np.concatenate(parts)


@contextlib.contextmanager
def _precision(policy: str) -> Iterator[None]:
    """Layers made inside compute in this Keras dtype policy; weights are float32 in all of them."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def use_threads(threads: int) -> None:
    """TensorFlow's threads in this process; their number shows in the last bits of results.

    Must come before TensorFlow computes anything, or be the same again.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)


@functools.lru_cache(maxsize=1)
def _compiled(recipe: Recipe, shape, classes, steps) -> _Compiled:
    keras.backend.clear_session()
    return _Compiled(recipe, shape, classes, steps)


_held: list = [None, None]  # the pool of images that was used last, and its tensor


def _reader(images: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """What reads rows of a pool inside the graph, as uint8 (n, height, width, channels)."""
    if images.nbytes <= RESIDENT:
        if _held[0] is not images:
            _held[:] = images, tf.constant(images)
        resident = _held[1]
        return lambda rows: tf.gather(resident, rows)

    def read(rows: tf.Tensor) -> tf.Tensor:
        pixels = tf.numpy_function(lambda r: images[r], [rows], tf.uint8, stateful=False)
        return tf.ensure_shape(pixels, [None, *images.shape[1:]])

    return read


def conv_part(model: keras.Model) -> list[keras.layers.Layer]:
    """The layers that transfer hands on or freezes: convs, what belongs to them, and pools."""
    return [layer for layer in model.layers if layer.name.startswith(("conv", "pool"))]


def _batches(recipe: Recipe, data: Data, seed: int, first: int) -> tf.data.Dataset:
    """The batches of all epochs from `first`, each a function of (seed, epoch, step) alone."""
    images, labels = _reader(data.images), tf.constant(data.labels, tf.int32)
    rows, size = tf.constant(data.train, tf.int64), recipe.batch_size

    def epoch(e):
        order = tf.random.experimental.stateless_shuffle(rows, [tf.constant(seed, tf.int64), e])
        numbered = tf.data.Dataset.from_tensor_slices(order).batch(size).enumerate()
        return numbered.map(lambda step, batch: (e, step, batch))

    def batch(e, step, chosen):
        x = tf.cast(images(chosen), tf.float32)
        if recipe.ops:
            draw = tf.random.experimental.stateless_fold_in(
                tf.random.experimental.stateless_fold_in([seed, 1], e), step
            )
            x = augment(recipe, x, tf.cast(draw, tf.int32))
        return x, tf.gather(labels, chosen)

    options = tf.data.Options()
    options.autotune.enabled = False
    epochs = tf.data.Dataset.range(first, recipe.epochs).flat_map(epoch)
    return epochs.map(batch).prefetch(2).with_options(options)
