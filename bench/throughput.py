"""Training throughput: the one `fit` against idiomatic Keras, PyTorch and the machine's own limit.

The same VGG-like network of 38.8 million multiply-accumulates an image, CIFAR-size images, batch
128, Adam. `python -m bench.throughput [rounds]`; needs requirements-bench.txt for PyTorch. On CPUs,
also where there is a GPU (bench.gpu measures those): one network at a time on all cores, in float32
and all three in mixed precision; and as a study trains, one network a core side by side, each on
one thread.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from bench import alternate, machine_kind, median, need, save, without_gpus

if TYPE_CHECKING:
    import keras

    from cnnlab.recipe.recipe import Recipe

CLASSES, SHAPE = 10, (32, 32, 3)
CORES = os.cpu_count() or 1
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # to Keras's names


@dataclass(frozen=True)
class Work:
    """What all contenders train, and how long."""

    precision: str = "float32"
    threads: int = CORES
    batch: int = 128
    images: int = 2048
    epochs: int = 4  # the first one is not timed
    filters: tuple[int, ...] = (32, 64, 128)  # of each block's convs
    convs: int = 2  # a block
    dense: tuple[int, ...] = (64,)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one image's forward pass."""
        total, side, inputs = 0, SHAPE[0], SHAPE[2]
        for filters in self.filters:
            for _ in range(self.convs):
                total += side * side * 9 * inputs * filters
                inputs = filters
            side //= 2
        width = side * side * inputs
        for units in [*self.dense, CLASSES]:
            total += width * units
            width = units
        return total

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels, at random."""
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (self.images, *SHAPE), np.uint8)
        return images, rng.integers(0, CLASSES, self.images)


class Watch:
    """Notes when epochs end. The first one is not timed; after it, networks side by side wait for
    each other."""

    together: multiprocessing.Barrier | None = None

    def __init__(self, work: Work):
        self.work, self.stamps = work, []

    def epoch_ends(self, *_) -> None:
        if self.together and not self.stamps:
            self.together.wait()
        self.stamps.append(time.perf_counter())

    def seconds(self) -> list[float]:
        """Of each epoch that is timed."""
        return np.diff(self.stamps[: self.work.epochs]).tolist()

    def rate(self) -> float:
        """Images a second over the epochs that are timed."""
        return self.work.images * (self.work.epochs - 1) / sum(self.seconds())


def recipe(work: Work) -> Recipe:
    """The same for cnnlab. Evaluated once, after one more epoch, which is not timed: training
    alone, as for the peers."""
    from cnnlab.recipe.recipe import Recipe

    options = {"filters": list(work.filters), "convs": work.convs, "kernel": 3}
    return Recipe(
        net="vgg", net_options=options | {"dense": list(work.dense)}, epochs=work.epochs + 1,
        batch_size=work.batch, optimizer="adam", learning_rate=1e-3, fill_mode="constant",
        threads=work.threads, evaluate_every=work.epochs + 1,
        precision=PRECISIONS[work.precision], balanced=False, deterministic=False,
    )  # fmt: skip


def trained(work: Work, recipe: Recipe) -> Watch:
    """When the epochs of cnnlab's `fit` of a recipe ended."""
    from cnnlab.train.fit import fit, set_up
    from cnnlab.train.input import Data

    set_up(recipe.threads, recipe.deterministic)
    x, y = work.data()
    rows, watch = np.arange(len(x)), Watch(work)
    fit(recipe, Data(x, y, rows, rows[:1], CLASSES), seed=0, on_epoch=watch.epoch_ends)
    return watch


def cnnlab(work: Work) -> float:
    return trained(work, recipe(work)).rate()


def keras_network(work: Work) -> keras.Model:
    """As one writes it by hand, to logits."""
    import keras

    keras.config.set_dtype_policy(PRECISIONS[work.precision])
    layers = [keras.Input(SHAPE), keras.layers.Rescaling(1 / 255)]
    for filters in work.filters:
        for _ in range(work.convs):
            layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling2D())
    layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(units, activation="relu") for units in work.dense]
    return keras.Sequential([*layers, keras.layers.Dense(CLASSES, dtype="float32")])


def keras_fit(work: Work) -> float:
    import keras

    x, y = work.data()
    model, watch = keras_network(work), Watch(work)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    ended = keras.callbacks.LambdaCallback(on_epoch_end=watch.epoch_ends)
    model.fit(x, y, batch_size=work.batch, epochs=work.epochs, verbose=0, callbacks=[ended])
    return watch.rate()


def torch_eager(work: Work, compiled: bool = False) -> float:
    """PyTorch, channels last; on the GPU, with all data there, where it sees one."""
    import torch
    from torch import nn

    torch.set_num_threads(work.threads)
    torch.set_float32_matmul_precision("high")  # TensorFloat-32, as TensorFlow has it
    device = "cuda" if torch.cuda.is_available() else "cpu"
    layers: list[nn.Module] = []
    inputs, side = SHAPE[2], SHAPE[0]
    for filters in work.filters:
        for _ in range(work.convs):
            layers += [nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU()]
            inputs = filters
        layers.append(nn.MaxPool2d(2))
        side //= 2
    layers.append(nn.Flatten())
    width = side * side * inputs
    for units in work.dense:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    net = nn.Sequential(*layers, nn.Linear(width, CLASSES))
    net = net.to(device, memory_format=torch.channels_last)
    adam = torch.optim.Adam(net.parameters(), 1e-3, fused=device == "cuda" or None)
    forward = torch.compile(net) if compiled else net
    x, y = work.data()
    pixels = torch.from_numpy(x).to(device).permute(0, 3, 1, 2)  # uint8, channels last in memory
    labels, loss, watch = torch.from_numpy(y).to(device), nn.CrossEntropyLoss(), Watch(work)
    for _ in range(work.epochs):
        order = torch.randperm(work.images, device=device)
        for i in range(0, work.images, work.batch):
            rows = order[i : i + work.batch]
            batch = pixels[rows].float().div_(255).contiguous(memory_format=torch.channels_last)
            adam.zero_grad()
            with torch.autocast(device, torch.bfloat16, enabled=work.precision == "bfloat16"):
                cost = loss(forward(batch), labels[rows])
            cost.backward()
            adam.step()
        cost.item()  # the device has done what it was given
        watch.epoch_ends()
    return watch.rate()


def matmul(work: Work) -> float:
    """Images a second if nothing but the network's arithmetic took time, at the measured rate of a
    matrix product; forward and backward are 3 x 2 x MACs."""
    return product(2048, "float32") / (6 * work.macs)


def product(side: int, dtype: str, times: int = 1) -> float:
    """Operations a second of the product of two square matrices: the best of several measurements
    of so many `times`."""
    importlib.import_module("cnnlab")  # sets TensorFlow up in the way that is faster
    import tensorflow as tf

    numbers = np.random.default_rng(0).normal(size=(side, side))
    a = tf.cast(tf.constant(numbers, tf.float32), dtype)
    once = tf.function(lambda: tf.matmul(a, a))
    best = float("inf")
    for _ in range(13):  # the first is traced
        began = time.perf_counter()
        for _ in range(times):
            made = once()
        made[0, 0].numpy()  # the device has done what it was given
        best = min(best, time.perf_counter() - began)
    return 2 * side**3 * times / best


def side_by_side(contender: Callable[[Work], float], work: Work) -> float:
    """Images a second of several networks together, each in a process of its own on one thread."""
    spawn = multiprocessing.get_context("spawn")
    meet = spawn.Barrier(CORES)
    with ProcessPoolExecutor(CORES, spawn, initializer=_wait_at, initargs=(meet,)) as processes:
        return sum(processes.map(contender, [work] * CORES))


def _wait_at(barrier) -> None:
    Watch.together = barrier


CONTENDERS = {
    **{f.__name__: partial(f, Work()) for f in (cnnlab, keras_fit, torch_eager, matmul)},
    **{
        f"{f.__name__}_bfloat16": partial(f, Work("bfloat16"))
        for f in (cnnlab, keras_fit, torch_eager)
    },
    **{
        f"{f.__name__}_side_by_side": partial(side_by_side, f, Work(threads=1))
        for f in (cnnlab, torch_eager)
    },
}
RATIOS = [
    ("cnnlab", "keras_fit"),
    ("cnnlab", "torch_eager"),
    ("cnnlab", "matmul"),
    ("cnnlab_side_by_side", "torch_eager"),
    ("cnnlab_side_by_side", "torch_eager_side_by_side"),
    ("cnnlab_bfloat16", "cnnlab"),
    ("cnnlab_bfloat16", "keras_fit_bfloat16"),
    ("cnnlab_bfloat16", "torch_eager_bfloat16"),
]


def main(rounds: int) -> None:
    need("torch")
    commands = {name: [sys.executable, "-m", "bench.throughput", name] for name in CONTENDERS}
    values = alternate(commands, rounds, "images/s", without_gpus())
    medians = {name: median(v) for name, v in values.items()}
    ratios = {f"{a} / {b}": medians[a] / medians[b] for a, b in RATIOS}
    result = {"macs": Work().macs, "images_per_second": values, **ratios}
    # What limits it differs so much from one kind of machine to another that each has its file.
    save(f"throughput_{machine_kind()}", result)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in CONTENDERS:
        print(CONTENDERS[sys.argv[1]]())
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 5)
