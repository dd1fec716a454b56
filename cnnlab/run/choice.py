"""Which kind of device the trials of a network are computed on: what `execution.device` says, or,
where it leaves the choice, a GPU if one is there and the network gains from it."""

from __future__ import annotations

import functools
import math
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import MISSING, fields, replace

from cnnlab.errors import UserError
from cnnlab.processes import silence
from cnnlab.recipe.recipe import Recipe
from cnnlab.run import device
from cnnlab.run.backends import local
from cnnlab.run.options import Execution

# Multiply-adds an image from which on a network is taken to gain from a GPU. On an H100 one of 0.25
# million (digits) trains at half the speed of 16 cores, one of 38.8 million on 24,700 images a
# second, where two cores reach 525; between these the limit is a judgement.
ENOUGH = 3_000_000


def kind(execution: Execution, recipe: Recipe, shape: tuple[int, ...], task: str) -> str:
    """The kind of device (see `cnnlab.run.device`) for trials of a task's recipe on images of
    `shape`.

    Says in a line, once a process, what that is and why. Raises UserError where the GPU that
    `execution.device` asks for cannot be used.
    """
    if execution.backend != "local":
        asks = f"{execution.gpus:g} GPUs" if execution.gpus else "no GPU"
        _say(f"{'GPU' if execution.gpus else 'CPU'}: a trial asks the cluster for {asks}")
        return device.kind(execution.backend, execution.gpus)
    if execution.device == "cpu":
        return device.cpu()
    gpus = device.visible()
    if not gpus and execution.device == "gpu":
        raise UserError(
            f"params.yaml: execution.device = 'gpu': neither nvidia-smi nor {device.VISIBLE} names"
            " a GPU of this machine; allowed: auto, cpu"
        )
    why_not = _why_not(gpus, execution.device, recipe, shape, task)
    if why_not:
        _say(f"CPU: {why_not}")
        return device.cpu()
    used = device.alike(gpus)
    number = len(local.places(True, recipe.threads, execution.workers, execution.per_gpu))
    line = f"{_named(used)}, {number} trial{'s' if number > 1 else ''} at a time"
    others = [gpu for gpu in gpus if gpu not in used]
    _say(f"{line}; not used, as another model: {_named(others)}" if others else line)
    return device.kind("local", 0)


def _why_not(
    gpus: list[device.Gpu], wanted: str, recipe: Recipe, shape: tuple[int, ...], task: str
) -> str:
    """Why trials are not computed on these GPUs; empty where they are."""
    if not gpus:
        return "there is no GPU"
    defaults = {f.name: f.default for f in fields(recipe) if f.default is not MISSING}
    bare = replace(recipe, epochs=1, learning_rate=1.0, **defaults)  # one for all of its variants
    usable, count = asked(bare, tuple(shape), task)
    if not usable:
        said = f"TensorFlow cannot use {_named(gpus)}: `make gpu` installs what it lacks"
        if wanted == "gpu":
            raise UserError(f"params.yaml: execution.device = 'gpu': {said}; allowed: auto, cpu")
        _say(f"warning: {said}")
        return "TensorFlow cannot use the GPU"
    if wanted == "auto" and count < ENOUGH:
        return (
            f"the network is too small to gain from the GPU: {count / 1e6:.2g} million "
            f"multiply-adds an image, and {ENOUGH / 1e6:g} are enough"
        )
    return ""


def _named(gpus: list[device.Gpu]) -> str:
    return f"GPU {', '.join(gpu.number for gpu in gpus)}: {gpus[0].model}"


@functools.cache
def _say(line: str) -> None:
    print(line, file=sys.stderr)


@functools.cache
def asked(recipe: Recipe, shape: tuple[int, ...], task: str) -> tuple[bool, int]:
    """Whether TensorFlow can use a GPU, and the multiply-adds of a recipe's network for an image.

    Asked of a process of its own, as a stage does not load TensorFlow.
    """
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, mp_context=spawn) as process:
            return process.submit(_answer, recipe, shape, task).result()
    except BrokenProcessPool:  # the GPU's driver has ended it
        return False, 0


def _answer(recipe: Recipe, shape: tuple[int, ...], task: str) -> tuple[bool, int]:
    silence()
    import tensorflow as tf

    from cnnlab.train.tasks import LEARNING

    usable = bool(tf.config.list_physical_devices("GPU"))
    tf.config.set_visible_devices([], "GPU")  # to count takes none of their memory
    return usable, multiply_adds(LEARNING[task].network(recipe, shape, 2).model)


def multiply_adds(model) -> int:
    """Of a Keras model's kernels, for one image: each weight once for each place it is applied."""
    return sum(
        math.prod(layer.output.shape[1:-1])
        * sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
        for layer in model.layers
        if layer.weights
    )
