"""An epoch with batch norm against one without, as cnnlab trains and with Keras' own layer.

A small VGG-like network for images of CIFAR's size, one conv a block and batch 32, where batch norm
is dearest beside the convs. `python -m bench.batchnorm [rounds]`, on one core.
"""

from __future__ import annotations

import sys

import numpy as np

from bench import alternate, median, save, throughput

SIZE = {"filters": [16, 32, 64], "convs": 1, "kernel": 3, "dense": [128]}
CONTENDERS = ("without", "fused", "keras")


def epoch(contender: str) -> float:
    """Milliseconds of a training epoch; the median of several, the first left out."""
    from cnnlab.recipe import network
    from cnnlab.recipe.recipe import Recipe
    from cnnlab.train.fit import fit, use_threads
    from cnnlab.train.input import Data

    use_threads(1)
    x, y = throughput.images()
    epochs = 2 * throughput.EPOCHS  # and one, after which it is evaluated, that is not timed
    recipe = Recipe(
        net="vgg", net_options=SIZE, epochs=epochs + 1, batch_size=32, optimizer="adam",
        learning_rate=1e-3, fill_mode="constant", threads=1, evaluate_every=epochs + 1,
        precision="float32", balanced=False,
    )  # fmt: skip
    if contender != "without":
        recipe = recipe.inserting("conv", "BatchNormalization", momentum=0.9)
    if contender == "keras":
        network.fuse = lambda model: None
    rows, watch = np.arange(len(x)), throughput.Watch()
    fit(recipe, Data(x, y, rows, rows[:1], throughput.CLASSES), 0, on_epoch=watch.epoch_ends)
    return 1000 * median(np.diff(watch.stamps[:epochs]).tolist())


def main(rounds: int) -> None:
    commands = {name: [sys.executable, "-m", "bench.batchnorm", name] for name in CONTENDERS}
    values = alternate(commands, rounds, "ms")
    without, *others = (median(values[name]) for name in CONTENDERS)
    ratios = {
        f"{name} / without": other / without
        for name, other in zip(CONTENDERS[1:], others, strict=True)
    }
    save("batchnorm", {"images": throughput.IMAGES, "milliseconds": values, **ratios})


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in CONTENDERS:
        print(epoch(sys.argv[1]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 5)
