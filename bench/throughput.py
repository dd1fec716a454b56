"""Training throughput: the one `fit` against idiomatic Keras, PyTorch and the machine's own limit.

The same VGG-like network of 38.8 million multiply-accumulates an image, CIFAR-size images, batch
128, Adam. `python -m bench.throughput [rounds]`; needs requirements-bench.txt for PyTorch. One
network at a time on all cores, in float32 and all three in mixed precision; and as a study trains,
one network a core side by side, each on one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial

import numpy as np

from bench import alternate, has, median, save

FILTERS, CONVS, DENSE, CLASSES, BATCH, SHAPE = [32, 64, 128], 2, [64], 10, 128, (32, 32, 3)
IMAGES, EPOCHS = 2048, 4  # the first epoch is not timed
PRECISIONS = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # to Keras's names


def macs() -> int:
    """Multiply-accumulates of one image's forward pass."""
    total, side, inputs = 0, SHAPE[0], SHAPE[2]
    for filters in FILTERS:
        for _ in range(CONVS):
            total += side * side * 9 * inputs * filters
            inputs = filters
        side //= 2
    width = side * side * inputs
    for units in [*DENSE, CLASSES]:
        total += width * units
        width = units
    return total


def images() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (IMAGES, *SHAPE), np.uint8), rng.integers(0, CLASSES, IMAGES)


class Watch:
    """Notes when epochs end. The first one is not timed; after it, networks side by side wait for
    each other."""

    together: multiprocessing.Barrier | None = None

    def __init__(self):
        self.stamps: list[float] = []

    def epoch_ends(self, *_) -> None:
        if self.together and not self.stamps:
            self.together.wait()
        self.stamps.append(time.perf_counter())

    def rate(self) -> float:
        """Images a second over the epochs that are timed."""
        timed = self.stamps[:EPOCHS]
        return IMAGES * (EPOCHS - 1) / (timed[-1] - timed[0])


def cnnlab(threads: int, precision: str) -> float:
    from cnnlab.recipe.recipe import Recipe
    from cnnlab.train.fit import fit, set_up
    from cnnlab.train.input import Data

    set_up(threads)
    x, y = images()
    options = {"filters": FILTERS, "convs": CONVS, "kernel": 3, "dense": DENSE}
    recipe = Recipe(
        net="vgg", net_options=options, epochs=EPOCHS, batch_size=BATCH, optimizer="adam",
        learning_rate=1e-3, fill_mode="constant", threads=threads, evaluate_every=EPOCHS,
        precision=PRECISIONS[precision], balanced=False,
    )  # fmt: skip
    rows, watch = np.arange(IMAGES), Watch()
    # Evaluated once, after the last epoch, which is left out: training alone, as for the peers.
    recipe = replace(recipe, epochs=EPOCHS + 1, evaluate_every=EPOCHS + 1)
    data = Data(x, y, rows, rows[:1], CLASSES)
    fit(recipe, data, seed=0, on_epoch=watch.epoch_ends)
    return watch.rate()


def keras_fit(threads: int, precision: str) -> float:
    import keras

    keras.config.set_dtype_policy(PRECISIONS[precision])
    x, y = images()
    layers = [keras.Input(SHAPE), keras.layers.Rescaling(1 / 255)]
    for filters in FILTERS:
        for _ in range(CONVS):
            layers.append(keras.layers.Conv2D(filters, 3, padding="same", activation="relu"))
        layers.append(keras.layers.MaxPooling2D())
    layers.append(keras.layers.Flatten())
    layers += [keras.layers.Dense(units, activation="relu") for units in DENSE]
    layers.append(keras.layers.Dense(CLASSES, activation="softmax", dtype="float32"))
    model = keras.Sequential(layers)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    watch = Watch()
    ended = keras.callbacks.LambdaCallback(on_epoch_end=watch.epoch_ends)
    model.fit(x, y, batch_size=BATCH, epochs=EPOCHS, verbose=0, callbacks=[ended])
    return watch.rate()


def torch_eager(threads: int, precision: str) -> float:
    import torch
    from torch import nn

    torch.set_num_threads(threads)

    x, y = images()
    layers: list[nn.Module] = []
    inputs, side = SHAPE[2], SHAPE[0]
    for filters in FILTERS:
        for _ in range(CONVS):
            layers += [nn.Conv2d(inputs, filters, 3, padding=1), nn.ReLU()]
            inputs = filters
        layers.append(nn.MaxPool2d(2))
        side //= 2
    layers.append(nn.Flatten())
    width = side * side * inputs
    for units in DENSE:
        layers += [nn.Linear(width, units), nn.ReLU()]
        width = units
    net = nn.Sequential(*layers, nn.Linear(width, CLASSES)).to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(x).permute(0, 3, 1, 2)  # uint8, channels last in memory
    labels = torch.from_numpy(y)
    adam, loss = torch.optim.Adam(net.parameters(), 1e-3), nn.CrossEntropyLoss()
    watch = Watch()
    for _ in range(EPOCHS):
        order = torch.randperm(IMAGES)
        for i in range(0, IMAGES, BATCH):
            rows = order[i : i + BATCH]
            batch = pixels[rows].float().div_(255).contiguous(memory_format=torch.channels_last)
            adam.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
                cost = loss(net(batch), labels[rows])
            cost.backward()
            adam.step()
        watch.epoch_ends()
    return watch.rate()


def matmul(threads: int, precision: str) -> float:
    """Images a second if nothing but the network's arithmetic took time, at the measured rate of a
    2048-cube float32 matrix product; forward and backward are 3 x 2 x MACs."""
    from cnnlab.train.fit import tf  # as cnnlab sets it up, which is the faster way

    a = tf.constant(np.random.default_rng(0).normal(size=(2048, 2048)), tf.float32)
    product = tf.function(lambda: tf.matmul(a, a))
    product()
    best = float("inf")
    for _ in range(12):
        began = time.perf_counter()
        product().numpy()
        best = min(best, time.perf_counter() - began)
    return 2 * 2048**3 / best / (6 * macs())


def side_by_side(contender: Callable[[int, str], float], networks: int) -> float:
    """Images a second of several networks together, each in a process of its own on one thread."""
    spawn = multiprocessing.get_context("spawn")
    meet = spawn.Barrier(networks)
    with ProcessPoolExecutor(networks, spawn, initializer=_wait_at, initargs=(meet,)) as processes:
        return sum(processes.map(contender, [1] * networks, ["float32"] * networks))


def _wait_at(barrier) -> None:
    Watch.together = barrier


CORES = os.cpu_count() or 1
CONTENDERS = {
    **{f.__name__: partial(f, CORES, "float32") for f in (cnnlab, keras_fit, torch_eager, matmul)},
    **{
        f"{f.__name__}_bfloat16": partial(f, CORES, "bfloat16")
        for f in (cnnlab, keras_fit, torch_eager)
    },
    **{
        f"{f.__name__}_side_by_side": partial(side_by_side, f, CORES) for f in (cnnlab, torch_eager)
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
    commands = {name: [sys.executable, "-m", "bench.throughput", name] for name in CONTENDERS}
    values = alternate(commands, rounds, "images/s")
    medians = {name: median(v) for name, v in values.items()}
    ratios = {f"{a} / {b}": medians[a] / medians[b] for a, b in RATIOS}
    # What limits it differs so much that the README quotes both kinds of processor.
    name = "throughput_avx512" if has("avx512f") else "throughput"
    save(name, {"macs": macs(), "images_per_second": values, **ratios})


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in CONTENDERS:
        print(CONTENDERS[sys.argv[1]]())
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 5)
