"""The one `fit`: every network of every study, whatever it starts from, is trained here.

What makes it fast on small data (each measured): images stay uint8 in one tensor (many of them in
their memory-mapped file) and batches are gathered, cast and augmented in the graph; one tf.data
iterator serves all epochs; a whole epoch runs as one call into TensorFlow; and a compiled network
is reused for the next fold, its weights, optimizer state, statistics and seed generators reset to
those of one built afresh (tests show that nothing leaks).
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf

from cnnlab import scoring
from cnnlab.recipe.network import Network, Weights, network, put, set_random
from cnnlab.recipe.recipe import Phase, Recipe
from cnnlab.seeds import derive
from cnnlab.train import quantities
from cnnlab.train.input import Data, at_once, batches, clean

tf.config.experimental.enable_op_determinism()

PROBE = 64  # training images on which pre-activations are watched

Entry = dict[str, float]  # of the history: what was measured after an epoch


class Saved(Protocol):
    """How far a fit had come: its history, and every array that training changes."""

    history: list[Entry]
    arrays: list[np.ndarray]


class Checkpoint(Protocol):
    """What keeps how far a fit has come (`cnnlab.records.Checkpoint`)."""

    def due(self) -> bool: ...
    def save(self, arrays: list[np.ndarray], history: list[Entry]) -> None: ...
    def load(self) -> Saved | None: ...


@dataclass(frozen=True)
class Fitted:
    """What `fit` returns."""

    model: keras.Model  # shared with the next fit of this recipe: use or save it before that
    history: list[Entry]  # one entry an epoch
    probabilities: np.ndarray  # float32 (n_held_out, classes), inference mode
    final: Entry  # scores of the network as it is kept, and what `quantities` says of it
    preactivations: dict[
        str, np.ndarray
    ]  # layer -> float32 (evaluations, 2): mean, sd on the probe


def fit(
    recipe: Recipe,
    data: Data,
    seed: int,
    start: Weights | None = None,
    phase: int = 0,
    checkpoint: Checkpoint | None = None,
    on_epoch: Callable[[Entry], None] | None = None,
) -> Fitted:
    """Train one network; evaluate it clean, in inference mode, every `recipe.evaluate_every`
    epochs.

    `start`: layer name -> the weights that it begins from; others begin as the seed says. `phase`:
    which of the recipe's phases, from 1; 0 for a recipe without. `on_epoch` is called with each
    entry of the history: `epoch` (from 1), `objective` (mean training loss with penalties, dropout
    and augmentation on), and where the network was evaluated, which the last epoch always is, for
    clean training images and held-out ones `train_accuracy`, `train_nll`, `accuracy`, `nll`
    (natural logarithm); with early stopping also `stopping_nll`, of the held-back images. With a
    `checkpoint` training goes on from the last epoch that it holds, to the same result to the bit.
    """
    train, held_back = _split(data, recipe, seed)
    steps = -(-len(train) // recipe.batch_size)
    net = _compiled(recipe, phase, data.shape, data.classes, steps)
    net.reset(seed, start or {})
    course = _Course(net, data, train, held_back, checkpoint, on_epoch or (lambda entry: None))
    course.resume()
    done = len(course.history)
    order = seed if phase < 2 else derive(seed, "phase", phase)
    net.model.fit(
        batches(recipe, data, train, order, first=done, epochs=net.epochs),
        initial_epoch=done,
        epochs=net.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches come in their order
        verbose=0,
        callbacks=[course],
    )
    return course.fitted()


class _Course(keras.callbacks.Callback):
    """One training from epoch to epoch: what was measured, and what is kept."""

    def __init__(self, net, data, train, held_back, checkpoint, on_epoch):
        super().__init__()
        self.net, self.data, self.recipe = net, data, net.recipe
        self.train, self.held_back = train, held_back
        self.checkpoint, self.on_epoch = checkpoint, on_epoch
        self.history: list[Entry] = []
        self.watched: list[np.ndarray] = []  # of each evaluation, (layers, 2)
        self.kept: list[np.ndarray] = []  # the best weights, or the snapshots' probabilities
        self.probe = data.raw(train[np.linspace(0, len(train) - 1, PROBE).astype(int)])

    def resume(self) -> None:
        """Go on from where the checkpoint was saved, if one was."""
        saved = self.checkpoint.load() if self.checkpoint else None
        if saved:
            size = len(self.net.state)
            self.net.state, (past, *self.kept) = saved.arrays[:size], saved.arrays[size:]
            self.history, self.watched = saved.history, list(past)
            for entry in self.history:
                self.on_epoch(entry)

    def on_epoch_end(self, epoch, logs=None):
        """Keras calls it: evaluate, note, and stop or save."""
        entry = {"epoch": epoch + 1, "objective": float(logs["loss"])}
        with self.net.averaged():
            if self.held_back is not None:
                entry["stopping_nll"] = self._scores(self.held_back)["nll"]
            self.history.append(entry)
            last = epoch + 1 == self.net.epochs or self._past_best()
            if last or (epoch + 1) % self.recipe.evaluate_every == 0:
                entry |= {f"train_{k}": v for k, v in self._scores(self.train).items()}
                entry |= self._scores(self.data.held_out)
                self.watched.append(self.net.preactivations(self.probe))
            self._keep(epoch + 1)
        self.on_epoch(entry)
        if last:
            self.net.model.stop_training = True
        elif self.checkpoint and self.checkpoint.due():
            arrays = [*self.net.state, np.array(self.watched), *self.kept]
            self.checkpoint.save(arrays, self.history)

    def fitted(self) -> Fitted:
        """What training came to, with the network as the recipe keeps it."""
        if self.recipe.ema:
            self.net.average()
        if self.held_back is not None:
            self.net.weights = self.kept
        both = (self.train, self.data.held_out)
        if self.recipe.snapshots:
            shares = [np.mean(self.kept[i::2], axis=0) for i in (0, 1)]
        else:
            shares = [self.net.probabilities(self.data, rows) for rows in both]
        on_train, final = (
            _scores(p, self.data.labels[r]) for p, r in zip(shares, both, strict=True)
        )
        final |= {f"train_{name}": value for name, value in on_train.items()}
        some = self.data.raw(self.data.held_out[: at_once(self.data.shape)])
        final |= quantities.of(self.net.model, clean(some))
        stacked = np.array(self.watched, np.float32)
        preactivations = {name: stacked[:, i] for i, name in enumerate(self.net.activations)}
        final["preactivation_drift"] = quantities.drift(preactivations)
        return Fitted(self.net.model, self.history, shares[1], final, preactivations)

    def _scores(self, rows: np.ndarray) -> Entry:
        return _scores(self.net.probabilities(self.data, rows), self.data.labels[rows])

    def _best(self) -> int:
        """The epoch at which the held-back images were predicted best; the first of equals."""
        return min(self.history, key=lambda entry: entry["stopping_nll"])["epoch"]

    def _past_best(self) -> bool:
        stopping = self.recipe.stopping
        return stopping is not None and len(self.history) - self._best() >= stopping.patience

    def _keep(self, epoch: int) -> None:
        """Keep the weights that early stopping goes back to, or a snapshot's probabilities."""
        if self.held_back is not None and self._best() == epoch:
            self.kept = self.net.weights
        if self.recipe.snapshots:
            cycles = self.recipe.schedule.cycles
            if epoch in {round(self.net.epochs * (i + 1) / cycles) for i in range(cycles)}:
                both = (self.train, self.data.held_out)
                self.kept += [self.net.probabilities(self.data, rows) for rows in both]


def _scores(probabilities: np.ndarray, labels: np.ndarray) -> Entry:
    """Accuracy and negative log likelihood of (n, classes) probabilities."""
    return {
        "accuracy": scoring.accuracy(labels, probabilities),
        "nll": scoring.nll(labels, probabilities),
    }


def _split(data: Data, recipe: Recipe, seed: int) -> tuple[np.ndarray, np.ndarray | None]:
    """The rows that are trained on, and those that early stopping holds back (None without it).

    Whole groups in random order, until each class has given its share, but never a class's last
    training image.
    """
    if recipe.stopping is None:
        return data.train, None
    groups = np.arange(len(data.labels)) if data.groups is None else data.groups
    names, group_of = np.unique(groups[data.train], return_inverse=True)
    counts = np.zeros((len(names), data.classes), int)
    np.add.at(counts, (group_of, data.labels[data.train]), 1)
    left = counts.sum(0)
    wanted = np.round(left * recipe.stopping.share).clip(1)
    back = np.zeros(len(names), bool)
    for group in np.random.default_rng([seed, 2]).permutation(len(names)):
        classes = counts[group] > 0
        if (wanted[classes] > 0).all() and (left[classes] > counts[group, classes]).all():
            back[group] = True
            wanted, left = wanted - counts[group], left - counts[group]
    return data.train[~back[group_of]], data.train[back[group_of]]


class _Compiled:
    """A network compiled for one phase of a recipe, and how to start it anew."""

    def __init__(
        self, recipe: Recipe, phase: Phase | None, shape: tuple[int, ...], classes: int, steps: int
    ):
        self.recipe = recipe
        self.epochs = phase.epochs if phase else recipe.epochs
        made = network(recipe, shape, classes)
        self.model = made.model
        rates = _let_move(made, phase) if phase else {}
        rate = phase.learning_rate if phase else recipe.learning_rate
        self._optimizer = _optimizer(recipe, self.model, rate, rates, steps * self.epochs)
        self.model.compile(
            optimizer=self._optimizer,
            loss=keras.losses.CategoricalCrossentropy(from_logits=True),
            steps_per_execution=steps,
        )
        self._optimizer.build(self.model.trainable_variables)
        self._optimizer_start = [v.numpy() for v in self._optimizer.variables]
        layers = [
            layer
            for layer in self.model.layers
            if isinstance(layer, keras.layers.Activation | keras.layers.ReLU)
        ]
        self.activations = [layer.name.removesuffix("_act") for layer in layers]
        # Images come as bytes, features (n, 1 + draws, units) with as many draws as there are.
        kept = [None, *shape] if len(shape) == 3 else [None, None, *shape]
        signature = [tf.TensorSpec(kept, tf.uint8 if len(shape) == 3 else tf.float32)]
        self._softmax = tf.function(
            lambda raw: tf.nn.softmax(self.model(clean(raw), training=False)),
            input_signature=signature,
        )

        # Of a head alone there may be none.
        before = keras.Model(self.model.inputs[0], [x.input for x in layers]) if layers else None

        def moments(raw):
            maps = keras.tree.flatten(before(clean(raw), training=False)) if before else []
            each = [tf.cast(m, tf.float32) for m in maps]
            pairs = [[tf.reduce_mean(m), tf.math.reduce_std(m)] for m in each]
            return tf.stack(pairs) if pairs else tf.zeros([0, 2])

        self._moments = tf.function(moments, input_signature=signature)

    def reset(self, seed: int, start: Weights) -> None:
        """Put every variable to what a network built afresh from `seed` and `start` has."""
        set_random(self.model, seed)
        put(self.model, start)
        for variable, array in zip(self._optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(array)

    @property
    def state(self) -> list[np.ndarray]:
        """All that training changes: weights, statistics, seed generators, optimizer."""
        return [v.numpy() for v in (*self.model.variables, *self._optimizer.variables)]

    @state.setter
    def state(self, arrays: list[np.ndarray]) -> None:
        variables = [*self.model.variables, *self._optimizer.variables]
        for variable, array in zip(variables, arrays, strict=True):
            variable.assign(array)

    @property
    def weights(self) -> list[np.ndarray]:
        """The network's part of the state."""
        return [v.numpy() for v in self.model.variables]

    @weights.setter
    def weights(self, arrays: list[np.ndarray]) -> None:
        for variable, array in zip(self.model.variables, arrays, strict=True):
            variable.assign(array)

    def average(self) -> None:
        """Put the average over steps, which the optimizer keeps, in the place of the weights."""
        self._optimizer.finalize_variable_values(self.model.trainable_variables)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the network has the weights that the recipe evaluates: with `ema` their
        average."""
        if not self.recipe.ema:
            yield
            return
        current = self.weights
        self.average()
        yield
        self.weights = current

    def probabilities(self, data: Data, rows: np.ndarray) -> np.ndarray:
        """Class probabilities (n, classes) of rows of the pool, in inference mode."""
        size = at_once(data.shape)
        parts = (rows[i : i + size] for i in range(0, len(rows), size))
        return np.concatenate([self._softmax(data.raw(part)).numpy() for part in parts])

    def preactivations(self, raw: tf.Tensor) -> np.ndarray:
        """Mean and standard deviation of what goes into each activation, float32 (layers, 2)."""
        return self._moments(raw).numpy()


@functools.lru_cache(maxsize=1)
def _compiled(recipe: Recipe, phase: int, shape, classes: int, steps: int) -> _Compiled:
    keras.backend.clear_session()
    return _Compiled(recipe, recipe.phases[phase - 1] if phase else None, shape, classes, steps)


def _let_move(made: Network, phase: Phase) -> dict[str, float]:
    """Fix the layers that a phase does not let move; returns by what factor the learning rates of
    others are lower than the head's, by the layer's name."""
    units, factors = made.units, {}
    fixed = len(units) - math.ceil(phase.learning * len(units))
    top = max(len(units) - 1, 1)
    for i, unit in enumerate(units):
        for layer in unit:
            norm = isinstance(layer, keras.layers.BatchNormalization)
            layer.trainable = i >= fixed and not (norm and phase.batchnorm == "fixed")
            if phase.lowest != 1:
                factors[layer.name] = phase.lowest ** ((top - i) / top)
    return factors


def _optimizer(
    recipe: Recipe, model: keras.Model, rate: float, factors: dict[str, float], steps: int
) -> keras.optimizers.Optimizer:
    """The recipe's optimizer for so many steps. `factors`: layer name -> share of the rate."""
    config: dict = {"learning_rate": _learning_rate(recipe, rate, steps)}
    if recipe.decay:
        config["weight_decay"] = recipe.decay
    if recipe.clip_norm:
        config["global_clipnorm"] = recipe.clip_norm
    if recipe.ema:
        config |= {"use_ema": True, "ema_momentum": recipe.ema}
    kind = type(keras.optimizers.get(recipe.optimizer))
    optimizer = _with_factors(kind, model, factors)(**config) if factors else kind(**config)
    if recipe.decay:
        flat = [v for v in model.trainable_variables if len(v.shape) < 2]
        optimizer.exclude_from_weight_decay(var_list=flat)
    return optimizer


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


def use_threads(threads: int) -> None:
    """TensorFlow's threads in this process; their number shows in the last bits of results.

    Must come before TensorFlow computes anything, or be the same again.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)  # each op has all of the others
