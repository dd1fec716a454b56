"""An epoch with batch norm against one without, as cnnlab trains and with Keras' own layer.

A small VGG-like network for images of CIFAR's size, one conv a block and batch 32, where batch norm
is dearest beside the convs. `python -m bench.batchnorm [rounds]`, on one core.
"""

from __future__ import annotations

import sys

from bench import alternate, machine_kind, median, save, without_gpus
from bench.throughput import Work, recipe, trained

WORK = Work(threads=1, batch=32, epochs=8, filters=(16, 32, 64), convs=1, dense=(128,))
CONTENDERS = ("without", "fused", "keras")


def epoch(contender: str) -> float:
    """Milliseconds of a training epoch; the median of several."""
    from cnnlab.recipe import network

    made = recipe(WORK)
    if contender != "without":
        made = made.inserting("conv", "BatchNormalization", momentum=0.9)
    if contender == "keras":
        network.fuse = lambda model: None
    return 1000 * median(trained(WORK, made).seconds())


def main(rounds: int) -> None:
    commands = {name: [sys.executable, "-m", "bench.batchnorm", name] for name in CONTENDERS}
    values = alternate(commands, rounds, "ms", without_gpus())
    medians = {name: median(v) for name, v in values.items()}
    ratios = {f"{x} / without": medians[x] / medians["without"] for x in ("fused", "keras")}
    result = {"images": WORK.images, "milliseconds": values, **ratios}
    save(f"batchnorm_{machine_kind()}", result)


if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in CONTENDERS:
        print(epoch(sys.argv[1]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else 5)
