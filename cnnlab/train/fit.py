"""The one `fit`: every network of every study, whatever it starts from, is trained here.

What makes it fast on small data (each measured): images stay uint8 in one tensor where training
computes (many of them in their memory-mapped file), and what crosses to there is the numbers of
rows; a whole epoch, its shuffling, gathering, augmentation and steps, is one call into TensorFlow,
and so is an evaluation; and compiled networks are kept and reused, such as for the next fold, their
weights, optimizer state, statistics and seed generators reset to those of one built afresh (tests
show that nothing leaks). On a GPU XLA compiles the step, unless that is to be deterministic.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Protocol

import cachetools
import keras
import numpy as np
import tensorflow as tf

from cnnlab.recipe.network import Network, Weights, put, set_random
from cnnlab.recipe.recipe import Phase, Recipe
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.seeds import derive
from cnnlab.train import optimizer, quantities
from cnnlab.train.input import (
    Data,
    at_once,
    batch,
    class_weights,
    clean,
    gpu_memory,
    order,
    read,
    resident,
)

PROBE = 64  # training images on which pre-activations are watched
KEPT = 600 * 2**20  # bytes of compiled networks: phases and variants are trained in turns
GRAPHS = 64 * 2**20  # bytes, about, that one takes besides its variables

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
    outputs: np.ndarray  # float32 (n_held_out, ...): what the task keeps of what it says of each
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
    and augmentation on), and where the network was evaluated, which the last epoch always is, the
    scores of the task for clean training images and held-out ones: `train_accuracy`, `train_nll`,
    `accuracy`, `nll` (natural logarithm) of classes; with early stopping also `stopping_nll`, of
    the held-back images. With a `checkpoint` training goes on from the last epoch that it holds, to
    the same result to the bit.
    """
    train, held_back = _split(data, recipe, seed)
    steps = -(-len(train) // recipe.batch_size)
    net = _compiled(recipe, phase, data.shape, data.classes, steps, data.learning)
    net.reset(seed, start or {})
    course = _Course(net, data, train, held_back, checkpoint, on_epoch or (lambda entry: None))
    course.resume()
    epoch = net.epochs_of(data, train, seed if phase < 2 else derive(seed, "phase", phase))
    for number in range(len(course.history), net.epochs):
        if course.ends(epoch(number)):
            break
    return course.fitted()


class _Course:
    """One training from epoch to epoch: what was measured, and what is kept."""

    def __init__(self, net, data, train, held_back, checkpoint, on_epoch):
        self.net, self.data, self.recipe = net, data, net.recipe
        self.train, self.held_back = train, held_back
        self.checkpoint, self.on_epoch = checkpoint, on_epoch
        self.history: list[Entry] = []
        self.watched: list[np.ndarray] = []  # of each evaluation, (layers, 2)
        self.kept: list[np.ndarray] = []  # the best weights, or the snapshots' outputs
        self.latest: list[np.ndarray] = []  # outputs for training and held-out images
        # Spread over the training images, and first of all that are asked in an evaluation.
        few = min(PROBE, at_once(data.shape, self.recipe.size))
        probe = np.linspace(0, len(train) - 1, few).astype(int)
        self.probe = len(np.unique(probe))
        self.places = np.concatenate([np.unique(probe), np.setdiff1d(np.arange(len(train)), probe)])
        self.asked = np.concatenate([train[self.places], data.held_out])

    def resume(self) -> None:
        """Go on from where the checkpoint was saved, if one was."""
        saved = self.checkpoint.load() if self.checkpoint else None
        if saved:
            size = len(self.net.state)
            self.net.state, (past, *self.kept) = saved.arrays[:size], saved.arrays[size:]
            self.history, self.watched = saved.history, list(past)
            for entry in self.history:
                self.on_epoch(entry)

    def ends(self, objective: float) -> bool:
        """After an epoch: evaluate, note, and save; whether it was the last one."""
        epoch = len(self.history) + 1
        entry = {"epoch": epoch, "objective": objective}
        with self.net.averaged():
            if self.held_back is not None:
                scores = self._scores(self.held_back, self.net.outputs(self.data, self.held_back))
                entry["stopping_nll"] = scores[self.data.learning.LOSS]
            self.history.append(entry)
            last = epoch == self.net.epochs or self._past_best()
            if last or epoch % self.recipe.evaluate_every == 0:
                entry |= self._evaluated()
            self._keep(epoch)
        self.on_epoch(entry)
        if not last and self.checkpoint and self.checkpoint.due():
            arrays = [*self.net.state, np.array(self.watched), *self.kept]
            self.checkpoint.save(arrays, self.history)
        return last

    def _evaluated(self) -> Entry:
        """Scores on clean training images and held-out ones; pre-activations are noted."""
        self.latest, moments = self._answers()
        self.watched.append(moments)
        on_train, held_out = self._both_scores(self.latest)
        return {f"train_{name}": value for name, value in on_train.items()} | held_out

    def _answers(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Outputs for training and held-out images, and moments of pre-activations."""
        answers, moments = self.net.looked_at(self.data, self.asked, self.probe)
        on_train = np.empty_like(answers[: len(self.train)])
        on_train[self.places] = answers[: len(self.train)]
        return [on_train, answers[len(self.train) :]], moments

    def fitted(self) -> Fitted:
        """What training came to, with the network as the recipe keeps it."""
        if self.recipe.averages:
            self.net.average()
        if self.held_back is not None:
            self.net.weights = self.kept
            self.latest, _ = self._answers()
        outputs = self.latest
        if self.recipe.snapshots:
            outputs = [np.mean(self.kept[i::2], axis=0) for i in (0, 1)]
        on_train, final = self._both_scores(outputs)
        final |= {f"train_{name}": value for name, value in on_train.items()}
        few = at_once(self.data.shape, self.recipe.size)
        some = self.data.raw(self.data.held_out[:few])
        final |= quantities.of(self.net.model, clean(some))
        stacked = np.array(self.watched, np.float32)
        preactivations = {name: stacked[:, i] for i, name in enumerate(self.net.activations)}
        final["preactivation_drift"] = quantities.drift(preactivations)
        return Fitted(self.net.model, self.history, outputs[1], final, preactivations)

    def _both_scores(self, outputs: list[np.ndarray]) -> tuple[Entry, Entry]:
        return self._scores(self.train, outputs[0]), self._scores(self.data.held_out, outputs[1])

    def _scores(self, rows: np.ndarray, outputs: np.ndarray) -> Entry:
        """The task's scores of outputs for rows of the pool."""
        return self.data.learning.scores(self.data.labels[rows], outputs)

    def _best(self) -> int:
        """The epoch at which the held-back images were predicted best; the first of equals."""
        return min(self.history, key=lambda entry: entry["stopping_nll"])["epoch"]

    def _past_best(self) -> bool:
        stopping = self.recipe.stopping
        return stopping is not None and len(self.history) - self._best() >= stopping.patience

    def _keep(self, epoch: int) -> None:
        """Keep the weights that early stopping goes back to, or a snapshot's outputs."""
        if self.held_back is not None and self._best() == epoch:
            self.kept = self.net.weights
        if self.recipe.snapshots:
            cycles = self.recipe.schedule.cycles
            if epoch in {round(self.net.epochs * (i + 1) / cycles) for i in range(cycles)}:
                self.kept += self._answers()[0]


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
        self,
        recipe: Recipe,
        phase: Phase | None,
        shape: tuple[int, ...],
        classes: int,
        steps: int,
        learning: ModuleType,
    ):
        self.recipe, self.learning = recipe, learning
        self.epochs = phase.epochs if phase else recipe.epochs
        made = self.learning.network(recipe, shape, classes)
        self.model = made.model
        rates = _let_move(made, phase) if phase else {}
        rate = phase.learning_rate if phase else recipe.learning_rate
        self.optimizer = optimizer.of(recipe, self.model, rate, rates, steps * self.epochs)
        self.optimizer.build(self.model.trainable_variables)
        self._optimizer_start = [v.numpy() for v in self.optimizer.variables]
        self._steps = steps
        layers = [
            layer
            for layer in self.model.layers
            if isinstance(layer, keras.layers.Activation | keras.layers.ReLU)
        ]
        self.activations = [layer.name.removesuffix("_act") for layer in layers]
        before = [layer.input for layer in layers]  # of a head alone there may be none
        self._inside = keras.Model(self.model.inputs[0], [self.model.outputs[0], *before])

        # Images come as bytes, features (n, 1 + draws, units) with as many draws as there are.
        image = len(shape) == 3
        drawn, kind = ([], tf.uint8) if image else ([None], tf.float32)
        raw = tf.TensorSpec([None, *drawn, *shape], kind)
        rows, targets = tf.TensorSpec([None], tf.int64), self.learning.spec(shape)
        weights, number = tf.TensorSpec([classes], tf.float32), tf.TensorSpec([], tf.int64)
        on_gpu = bool(gpu_memory())
        # Of some ops, such as the gradient of max pooling, XLA has no deterministic form.
        xla = on_gpu and not recipe.deterministic
        kinds = [raw, targets, weights, rows, number, number]
        plain = functools.partial(tf.function, autograph=False)  # which takes long to translate
        # Of bytes a GPU gathers by XLA alone, else all of them would go to the host at each step.
        self._take = plain(_take, input_signature=[raw, targets, rows], jit_compile=on_gpu)
        self._step = plain(self._learn, jit_compile=xla)
        self._batch = plain(self._of_batch, reduce_retracing=True)
        self._epoch = plain(self._epoch_in_memory, input_signature=kinds)
        self._say = plain(self._answers, input_signature=[raw, targets], jit_compile=xla)
        self._look = plain(self._answers_and_moments, input_signature=[raw, targets, number])

    def epochs_of(self, data: Data, train: np.ndarray, seed: int) -> Callable[[int], float]:
        """What trains for an epoch, given its number from 0, and returns the mean loss."""
        pool = resident(data)
        weights, rows = class_weights(self.recipe, data, train), tf.constant(train, tf.int64)
        drawn = tf.constant(seed, tf.int64)
        starts = np.arange(0, len(train), self.recipe.batch_size)
        sizes = np.minimum(len(train) - starts, self.recipe.batch_size)

        def epoch(number: int) -> float:
            at = tf.constant(number, tf.int64)
            if pool is not None:
                losses = self._epoch(*pool, weights, rows, drawn, at).numpy()
            else:
                batches = read(data, order(rows, drawn, at), self.recipe.batch_size).enumerate()
                said = [self._batch(*b, weights, (drawn, at, i)) for i, b in batches]
                losses = [float(loss) for loss in said]  # at last: none waits for the one before
            return float(np.average(np.asarray(losses, np.float64), weights=sizes))

        return epoch

    def _epoch_in_memory(self, pool, targets, weights, rows, seed, epoch):
        """The loss of each step, float32 (steps,)."""
        ordered, size = order(rows, seed, epoch), self.recipe.batch_size

        def step(number):
            now = ordered[number * size : (number + 1) * size]
            return self._of_batch(
                now, *self._take(pool, targets, now), weights, (seed, epoch, number)
            )

        numbers = tf.range(self._steps, dtype=tf.int64)
        return tf.map_fn(step, numbers, parallel_iterations=1, fn_output_signature=tf.float32)

    def _of_batch(self, rows, raw, targets, weights, at):
        """Learn from a batch; its mean loss."""
        return self._step(*batch(self.recipe, rows, raw, targets, weights, at, self.learning))

    def _learn(self, x, y, w):
        """One step; the mean loss with penalties."""
        variables = self.model.trainable_variables

        def here():
            with tf.GradientTape() as tape:
                loss = self.learning.mean(w, self._losses(y, self.model(x, training=True)))
                loss = tf.add_n([loss, *(tf.cast(term, loss.dtype) for term in self.model.losses)])
                scaled = self.optimizer.scale_loss(loss)
            return loss, tape.gradient(scaled, variables)

        if self.recipe.gradients:
            name, options = self.recipe.gradients
            loss, gradients = TECHNIQUES[name].gradients(here, variables, **options)
        else:
            loss, gradients = here()
        self.optimizer.apply(gradients, variables)
        return loss

    def _losses(self, targets, logits):
        """Of each image, float32 (n,), or of each label of it, (n, ...)."""
        if self.recipe.loss:
            name, options = self.recipe.loss
            return TECHNIQUES[name].loss(targets, logits, **options)
        return self.learning.losses(targets, logits)

    def _answers(self, raw, targets):
        return self.learning.outputs(self.model(clean(raw), training=False), targets)

    def _answers_and_moments(self, raw, targets, count):
        """Outputs, and of the first `count` inputs mean and standard deviation of what goes
        into each activation, float32 (layers, 2)."""
        logits, *maps = keras.tree.flatten(self._inside(clean(raw), training=False))
        probes = [tf.cast(m[:count], tf.float32) for m in maps]
        pairs = [[tf.reduce_mean(m), tf.math.reduce_std(m)] for m in probes]
        said = self.learning.outputs(logits, targets)
        return said, tf.stack(pairs) if pairs else tf.zeros([0, 2])

    def reset(self, seed: int, start: Weights) -> None:
        """Put every variable to what a network built afresh from `seed` and `start` has."""
        set_random(self.model, seed)
        put(self.model, start)
        for variable, array in zip(self.optimizer.variables, self._optimizer_start, strict=True):
            variable.assign(array)

    @property
    def state(self) -> list[np.ndarray]:
        """All that training changes: weights, statistics, seed generators, optimizer."""
        return [v.numpy() for v in (*self.model.variables, *self.optimizer.variables)]

    @state.setter
    def state(self, arrays: list[np.ndarray]) -> None:
        variables = [*self.model.variables, *self.optimizer.variables]
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
        self.optimizer.finalize_variable_values(self.model.trainable_variables)

    @contextlib.contextmanager
    def averaged(self) -> Iterator[None]:
        """Inside, the network has the weights that the recipe evaluates, which may be an average
        over steps."""
        if not self.recipe.averages:
            yield
            return
        current = self.weights
        self.average()
        yield
        self.weights = current

    def outputs(self, data: Data, rows: np.ndarray) -> np.ndarray:
        """What the task keeps of what the network says of rows of the pool, float32 (n, ...)."""
        parts = [self._say(*self._raw(data, part)) for part in self._parts(data, rows)]
        return np.concatenate([part.numpy() for part in parts])

    def looked_at(self, data: Data, rows: np.ndarray, probe: int) -> tuple[np.ndarray, np.ndarray]:
        """Outputs for rows of the pool, and of the first `probe` of them, which go
        through at once, mean and standard deviation of what goes into each activation, float32
        (layers, 2)."""
        first, *others = self._parts(data, rows)
        answers, moments = self._look(*self._raw(data, first), tf.constant(probe, tf.int64))
        parts = [answers, *(self._say(*self._raw(data, part)) for part in others)]
        return np.concatenate([part.numpy() for part in parts]), moments.numpy()

    def _raw(self, data: Data, rows: np.ndarray) -> tuple[tf.Tensor, tf.Tensor]:
        """Rows of the inputs as they are kept, and of the targets."""
        pool = resident(data)
        if pool is None:
            kind = self.learning.spec(data.shape).dtype
            return data.raw(rows), tf.constant(data.targets[rows], kind)
        return self._take(*pool, tf.constant(rows, tf.int64))

    def _parts(self, data: Data, rows: np.ndarray) -> list[np.ndarray]:
        """Rows that go through the network at once outside training."""
        size = at_once(data.shape, self.recipe.size)
        return [rows[i : i + size] for i in range(0, len(rows), size)]


def _take(pool, targets, rows):
    """Rows of a pool that is where training computes."""
    return tf.gather(pool, rows), tf.gather(targets, rows)


def _memory(net: _Compiled) -> int:
    """Bytes that it counts as; one that is larger than all that are kept is kept alone."""
    variables = (*net.model.variables, *net.optimizer.variables)
    return min(GRAPHS + sum(4 * math.prod(v.shape) for v in variables), KEPT)


@cachetools.cached(cachetools.LRUCache(KEPT, getsizeof=_memory), info=True)
def _compiled(recipe: Recipe, phase: int, *how) -> _Compiled:
    keras.backend.clear_session()
    return _Compiled(recipe, recipe.phases[phase - 1] if phase else None, *how)


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


def set_up(threads: int, deterministic: bool = True) -> None:
    """How TensorFlow computes in this process: with how many threads, whose number shows in the
    last bits of results, and whether the same again gives the same bits.

    Must come before TensorFlow computes anything, or be the same again.
    """
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)  # each op has all of the others
    if deterministic:
        tf.config.experimental.enable_op_determinism()
