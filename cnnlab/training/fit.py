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
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from cnnlab.training import quantities
from cnnlab.training.augmentation import augment, mix
from cnnlab.training.recipe import MODELS, Recipe
from cnnlab.training.records import Checkpoint

tf.config.experimental.enable_op_determinism()

RESIDENT = 256 * 2**20  # bytes; a larger pool is read from its file, batch by batch: same results
PIXELS = 2**19  # of the images that a net sees at once outside training
PROBE = 64  # training images on which pre-activations are watched


@dataclass(frozen=True)
class Data:
    """What one trial trains on and is judged on, as rows of one pool of images."""

    images: np.ndarray  # uint8 (pool, height, width, channels)
    labels: np.ndarray  # int (pool,)
    train: np.ndarray  # rows, int (n_train,)
    judged: np.ndarray  # rows, int (n_judged,); evaluated, never learnt from
    classes: int
    groups: np.ndarray | None = None  # (pool,); images of one group never part company


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns."""

    model: keras.Model  # shared with the next fit of this recipe: use or save it before that
    history: list[dict[str, float]]  # one entry an epoch
    probabilities: np.ndarray  # float32 (n_judged, classes), inference mode
    final: dict[str, float]  # scores of the net as it is kept, and what `quantities` says of it
    preactivations: dict[str, np.ndarray]  # conv -> float32 (evaluations, 2): mean, sd on the probe


def fit(
    recipe: Recipe,
    data: Data,
    seed: int,
    start: Mapping[str, list[np.ndarray]] | None = None,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[dict[str, float]], None] | None = None,
) -> Fitted:
    """Train one net; evaluate it clean, in inference mode, every `recipe.evaluate_every` epochs.

    `start`: layer name -> the weights that it begins from; others begin as the seed says.
    `on_epoch` is called with each entry of the history: `epoch` (from 1), `objective` (mean
    training loss with penalties, dropout and augmentation on), and where the net was evaluated,
    which the last epoch always is, for clean training images and judged ones `train_accuracy`,
    `train_nll`, `accuracy`, `nll` (natural logarithm); with early stopping also `stopping_nll`, of
    the held-back images. With a `checkpoint` training goes on from the last epoch that it holds, to
    the same result to the bit.
    """
    train, held = _held_back(data, recipe, seed)
    steps = -(-len(train) // recipe.batch_size)
    net = _compiled(recipe, data.images.shape[1:], data.classes, steps)
    net.reset(seed, start or {})
    history: list[dict[str, float]] = []
    watched: list[np.ndarray] = []  # of each evaluation, (convs, 2)
    kept: list[np.ndarray] = []  # the best weights so far, or the snapshots' probabilities
    if saved := checkpoint.load() if checkpoint else None:
        size, history = len(net.state), saved.history
        net.state, (past, *kept) = saved.arrays[:size], saved.arrays[size:]
        watched = list(past)
        for entry in history if on_epoch else []:
            on_epoch(entry)
    probe = data.images[train[np.linspace(0, len(train) - 1, PROBE).astype(int)]]

    def end(epoch: int, logs: dict[str, float]) -> None:
        entry = {"epoch": epoch + 1, "objective": float(logs["loss"])}
        with net.averaged():
            if held is not None:
                shares = net.probabilities(data.images, held)
                entry["stopping_nll"] = scores(shares, data.labels[held])["nll"]
            stop = epoch + 1 == recipe.epochs or _is_over(recipe, [*history, entry])
            if stop or (epoch + 1) % recipe.evaluate_every == 0:
                for prefix, rows in (("train_", train), ("", data.judged)):
                    got = scores(net.probabilities(data.images, rows), data.labels[rows])
                    entry |= {prefix + name: value for name, value in got.items()}
                watched.append(net.preactivations(probe))
            if held is not None and _best([*history, entry]) == entry["epoch"]:
                kept[:] = net.weights
            if recipe.snapshots and _ends_cycle(recipe, epoch + 1):
                kept.extend(net.probabilities(data.images, r) for r in (train, data.judged))
        history.append(entry)
        if on_epoch:
            on_epoch(entry)
        if stop:
            net.model.stop_training = True
        elif checkpoint and checkpoint.due():
            checkpoint.save([*net.state, np.array(watched), *kept], history)

    net.model.fit(
        _batches(recipe, data, train, seed, first=len(history)),
        initial_epoch=len(history),
        epochs=recipe.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches come in their order
        verbose=0,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=end)],
    )
    if recipe.ema:
        net.average()
    if held is not None:
        net.weights = kept
    if recipe.snapshots:
        shares = [np.mean(kept[i::2], axis=0) for i in (0, 1)]
    else:
        shares = [net.probabilities(data.images, rows) for rows in (train, data.judged)]
    final = scores(shares[1], data.labels[data.judged])
    final |= {f"train_{k}": v for k, v in scores(shares[0], data.labels[train]).items()}
    final |= quantities.of(net.model, data.images[data.judged[: at_once(net.shape)]])
    stacked = np.array(watched, np.float32)
    names = [layer.name.removesuffix("_act") for layer in net.activations]
    preactivations = {name: stacked[:, i] for i, name in enumerate(names)}
    final["preactivation_drift"] = quantities.drift(preactivations)
    return Fitted(net.model, history, shares[1], final, preactivations)


def scores(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Accuracy and negative log likelihood (natural logarithm) of (n, classes) probabilities."""
    own = np.clip(probabilities[np.arange(len(labels)), labels], 1e-7, 1)
    return {
        "accuracy": float(np.mean(probabilities.argmax(1) == labels)),
        "nll": float(-np.mean(np.log(own))),
    }


def _held_back(data: Data, recipe: Recipe, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The rows that are trained on, and those that early stopping holds back (None without it).

    Whole groups in random order, until each class has given its share, but never a class's last
    training image.
    """
    if recipe.stopping is None:
        return data.train, None
    groups = np.arange(len(data.labels)) if data.groups is None else data.groups
    names, own = np.unique(groups[data.train], return_inverse=True)
    counts = np.zeros((len(names), data.classes), int)
    np.add.at(counts, (own, data.labels[data.train]), 1)
    left = counts.sum(0)
    wanted = np.round(left * recipe.stopping.share).clip(1)
    held = np.zeros(len(names), bool)
    for group in np.random.default_rng([seed, 2]).permutation(len(names)):
        there = counts[group] > 0
        if (wanted[there] > 0).all() and (left[there] > counts[group, there]).all():
            held[group] = True
            wanted, left = wanted - counts[group], left - counts[group]
    return data.train[~held[own]], data.train[held[own]]


def _best(history: list[dict[str, float]]) -> int:
    """The epoch at which the held-back images were predicted best; the first of equals."""
    return min(history, key=lambda entry: entry["stopping_nll"])["epoch"]


def _is_over(recipe: Recipe, history: list[dict[str, float]]) -> bool:
    stopping = recipe.stopping
    return stopping is not None and history[-1]["epoch"] - _best(history) >= stopping.patience


def _ends_cycle(recipe: Recipe, epoch: int) -> bool:
    """Whether a cycle of the schedule ends with this epoch, which the last one always does."""
    cycles = recipe.schedule.cycles
    return epoch in {round(recipe.epochs * (i + 1) / cycles) for i in range(cycles)}


class _Compiled:
    """A net compiled for one recipe, image shape and number of steps, and how to start it anew."""

    def __init__(self, recipe: Recipe, shape: tuple[int, ...], classes: int, steps: int):
        self.recipe, self.shape, self.classes = recipe, shape, classes
        self.model = self._build()
        config: dict = {"learning_rate": _learning_rate(recipe, steps)}
        if recipe.decay:
            config["weight_decay"] = recipe.decay
        if recipe.ema:
            config |= {"use_ema": True, "ema_momentum": recipe.ema}
        optimizer = keras.optimizers.get({"class_name": recipe.optimizer, "config": config})
        if recipe.decay:
            flat = [v for v in self.model.trainable_variables if len(v.shape) < 2]
            optimizer.exclude_from_weight_decay(var_list=flat)
        self.model.compile(
            optimizer=optimizer,
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            steps_per_execution=steps,
        )
        self._optimizer = optimizer
        self.model.optimizer.build(self.model.trainable_variables)
        self._optimizer_start = [v.numpy() for v in self.model.optimizer.variables]
        self._softmax = tf.function(
            lambda images: tf.nn.softmax(self.model(tf.cast(images, tf.float32), training=False)),
            input_signature=[tf.TensorSpec([None, *shape], tf.uint8)],
        )
        self.activations = [a for a in self.model.layers if a.name.endswith("_act")]
        inner = keras.Model(self.model.inputs[0], [a.input for a in self.activations])

        def moments(images):
            maps = inner(tf.cast(images, tf.float32), training=False)
            each = [tf.cast(m, tf.float32) for m in keras.tree.flatten(maps)]  # one comes bare
            return tf.stack([[tf.reduce_mean(m), tf.math.reduce_std(m)] for m in each])

        self._moments = tf.function(
            moments, input_signature=[tf.TensorSpec([None, *shape], tf.uint8)]
        )

    def _build(self) -> keras.Model:
        with computing_in(self.recipe.precision):
            return MODELS[self.recipe.net].build(self.recipe, self.shape, self.classes)

    def reset(self, seed: int, start: Mapping[str, list[np.ndarray]]) -> None:
        """Put every variable to what a net built afresh from `seed` and `start` has."""
        keras.utils.set_random_seed(seed)
        fresh = self._build()
        put(fresh, start)
        self.state = [*(v.numpy() for v in fresh.variables), *self._optimizer_start]

    @property
    def state(self) -> list[np.ndarray]:
        """All that training changes: weights, statistics, seed generators, optimizer."""
        return [v.numpy() for v in (*self.model.variables, *self.model.optimizer.variables)]

    @state.setter
    def state(self, arrays: list[np.ndarray]) -> None:
        variables = [*self.model.variables, *self.model.optimizer.variables]
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    @property
    def weights(self) -> list[np.ndarray]:
        """The net's part of the state."""
        return [v.numpy() for v in self.model.variables]

    @weights.setter
    def weights(self, arrays: list[np.ndarray]) -> None:
        for variable, array in zip(self.model.variables, arrays, strict=True):
            variable.assign(array)

    def average(self) -> None:
        """Put the average over steps, which the optimizer keeps, in the place of the weights."""
        averages = self._optimizer._model_variables_moving_average
        for variable, average in zip(self.model.trainable_variables, averages, strict=True):
            variable.assign(average)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the net has the weights that the recipe judges: with `ema` their average."""
        if not self.recipe.ema:
            yield
            return
        own = self.weights
        self.average()
        yield
        self.weights = own

    def probabilities(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Class probabilities (n, classes) of rows of the pool, in inference mode."""
        size = at_once(self.shape)
        starts = range(0, len(rows), size)
        parts = [self._softmax(tf.constant(images[rows[i : i + size]])).numpy() for i in starts]
        return np.concatenate(parts)

    def preactivations(self, images: np.ndarray) -> np.ndarray:
        """Mean and standard deviation of what goes into each activation, float32 (layers, 2)."""
        return self._moments(tf.constant(images)).numpy()


def _learning_rate(
    recipe: Recipe, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    plan, total = recipe.schedule, steps * recipe.epochs
    if plan is None:
        return recipe.learning_rate
    schedules = keras.optimizers.schedules
    if plan.cycles > 1:
        first = round(total / plan.cycles)
        return schedules.CosineDecayRestarts(
            recipe.learning_rate, first, t_mul=1.0, m_mul=1.0, alpha=plan.floor
        )
    warmup = round(total * plan.warmup)
    return schedules.CosineDecay(
        recipe.learning_rate * plan.start,
        total - warmup,
        alpha=plan.floor,
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )


def at_once(shape: tuple[int, ...]) -> int:
    """How many images of a shape (height, width, channels) a net sees at once outside training:
    bounds memory, and says nothing about results."""
    return max(1, min(512, PIXELS // (shape[0] * shape[1])))


def put(net: keras.Model, weights: Mapping[str, list[np.ndarray]]) -> None:
    """Give layers the weights that there are for their names."""
    for layer in net.layers:
        if layer.name in weights:
            layer.set_weights(weights[layer.name])


@contextlib.contextmanager
def computing_in(policy: str) -> Iterator[None]:
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
    tf.config.threading.set_inter_op_parallelism_threads(1)  # each op has all of the others


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


def _batches(
    recipe: Recipe, data: Data, train: np.ndarray, seed: int, first: int
) -> tf.data.Dataset:
    """The batches of all epochs from `first`, each a function of (seed, epoch, step) alone.

    (images, targets), and with `recipe.balanced` each image's weight in the loss.
    """
    images, labels = _reader(data.images), tf.constant(data.labels, tf.int32)
    rows, size = tf.constant(train, tf.int64), recipe.batch_size
    counts = np.bincount(data.labels[train], minlength=data.classes).clip(1)
    weights = tf.constant(len(train) / (np.count_nonzero(counts) * counts), tf.float32)

    def epoch(e):
        order = tf.random.experimental.stateless_shuffle(rows, [tf.constant(seed, tf.int64), e])
        numbered = tf.data.Dataset.from_tensor_slices(order).batch(size).enumerate()
        return numbered.map(lambda step, batch: (e, step, batch))

    def batch(e, step, chosen):
        x = tf.cast(images(chosen), tf.float32)
        y = tf.one_hot(tf.gather(labels, chosen), data.classes)
        w = tf.linalg.matvec(y, weights)
        y = (1 - recipe.label_smoothing) * y + recipe.label_smoothing / data.classes
        if recipe.ops:
            draw = tf.random.experimental.stateless_fold_in(
                tf.random.experimental.stateless_fold_in([seed, 1], e), step
            )
            draw = tf.cast(draw, tf.int32)
            x, y = mix(recipe, augment(recipe, x, draw), y, draw)
        return (x, y, w) if recipe.balanced else (x, y)

    options = tf.data.Options()
    options.autotune.enabled = False
    epochs = tf.data.Dataset.range(first, recipe.epochs).flat_map(epoch)
    return epochs.map(batch).prefetch(2).with_options(options)
