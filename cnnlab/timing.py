"""How long trials take on this machine: a few steps of a recipe, in processes like those that will
train, as many side by side as will be.

Measured is what a trial is made of, so that the time of other numbers of images, epochs and folds
can be told. On CPUs seconds are those of the processor, so that what else runs for a moment does
not count.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from cnnlab.processes import end_with_parent, hidden, silence
from cnnlab.recipe.recipe import Recipe
from cnnlab.run.backends import local

IMAGES = 16  # that are trained on, in one batch, and as many that are held out
EPOCHS = 4  # of which every other one is evaluated
STAGES = "import stages.train, stages.compare, stages.visualize, stages.report"


@dataclass(frozen=True)
class Cost:
    """What trials of one recipe take at one size of images, seconds."""

    first: float  # once a worker, to compile the network
    trial: float  # once a trial, whatever its images and epochs
    step: float  # an image that is trained on
    look: float  # an image that is evaluated

    def seconds(self, images: int, epochs: int, looks: int, looked_at: int) -> float:
        """A trial of so many training images and epochs, evaluated `looks` times on
        `looked_at` images."""
        return self.trial + epochs * images * self.step + looks * looked_at * self.look


@dataclass(frozen=True)
class Learnt:
    """What networks that are timed learn of images: a task, and of `2 * IMAGES` images what it asks
    for besides labels, see `cnnlab.data.truths`."""

    task: str = "classification"
    classes: int = 2
    truth: np.ndarray | None = None


@dataclass(frozen=True)
class Machine:
    """What this machine takes besides training."""

    workers: int  # trials side by side
    stage: float  # seconds to start a stage
    worker: float  # seconds to start a worker


def machine(on_gpu: bool, threads: int) -> Machine:
    """Measure this machine."""
    before = _of_children()
    subprocess.run([sys.executable, "-c", STAGES], check=True, capture_output=True)
    stage = _of_children() - before
    subprocess.run([sys.executable, "-c", "import keras"], check=True, capture_output=True)
    worker = _of_children() - before - stage
    return Machine(len(local.places(on_gpu, threads, None, 1)), stage, worker)


def _of_children() -> float:
    """Seconds of the processor that child processes which have ended took."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def costs(
    recipes: Mapping[str, Recipe],
    shape: tuple[int, int, int],
    on_gpu: bool,
    threads: int,
    again: bool = True,
    learnt: Learnt = Learnt(),
) -> dict[str, Cost]:
    """What trials of recipes take with images of `shape`, by the recipes' names: the mean of
    workers side by side. `again`: each is trained twice, to tell what a trial takes beside its
    images; else that is 0.

    Pixels and, where a recipe begins at a backbone, weights are made up, which changes no time.
    Raises any error of training.
    """
    seats = local.places(on_gpu, threads, None, 1)
    spawn = multiprocessing.get_context("spawn")
    pools = [
        ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin, initargs=(seat,))
        for seat in seats
    ]
    try:
        given = dict(recipes), shape, on_gpu, again, learnt
        waiting = [pool.submit(_measured, *given) for pool in pools]
        found = [one.result() for one in waiting]
    finally:
        for pool in pools:
            pool.shutdown(wait=True, cancel_futures=True)
    return {name: _mean([each[name] for each in found]) for name in recipes}


def _mean(each: list[Cost]) -> Cost:
    return Cost(
        **{f.name: float(np.mean([getattr(c, f.name) for c in each])) for f in fields(Cost)}
    )


def _begin(environment: dict[str, str]) -> None:
    os.environ.update(environment)
    silence()
    end_with_parent()
    with hidden("matplotlib", "sklearn"):  # as in a worker
        import keras  # noqa: F401


def _measured(
    recipes: dict[str, Recipe], *given: tuple[int, int, int] | bool | Learnt
) -> dict[str, Cost]:
    return {name: _cost(recipe, *given) for name, recipe in recipes.items()}


def _cost(
    recipe: Recipe, shape: tuple[int, int, int], on_gpu: bool, again: bool, learnt: Learnt
) -> Cost:
    from cnnlab.recipe.network import weights_of
    from cnnlab.train import phases
    from cnnlab.train.fit import fit, set_up
    from cnnlab.train.input import Data
    from cnnlab.train.tasks import LEARNING

    set_up(recipe.threads, recipe.deterministic)
    clock = time.monotonic if on_gpu else time.process_time
    recipe = replace(
        recipe,
        epochs=EPOCHS,
        batch_size=IMAGES,
        evaluate_every=2,
        phases=tuple(replace(phase, epochs=EPOCHS) for phase in recipe.phases),
    )
    pixels = np.random.default_rng(0).integers(0, 256, (2 * IMAGES, *shape), np.uint8)
    labels, rows = np.arange(2 * IMAGES) % min(2, learnt.classes), np.arange(2 * IMAGES)
    data = Data(
        pixels,
        labels,
        rows[:IMAGES],
        rows[IMAGES:],
        learnt.classes,
        learning=LEARNING[learnt.task],
        truth=learnt.truth,
    )
    made = data.learning.network(recipe, shape, learnt.classes)
    weights = weights_of(made.body) if recipe.phases else {}

    def timed(folder: Path) -> tuple[float, np.ndarray]:
        """Seconds of a trial, and of each epoch after its first."""
        began, stamps = clock(), []

        def stamp(entry: dict) -> None:
            stamps.append(clock())

        if recipe.phases:
            phases.train(recipe, data, 0, weights, folder, on_epoch=stamp)
        else:
            fit(recipe, data, 0, on_epoch=stamp)
        return clock() - began, np.diff(stamps)

    with tempfile.TemporaryDirectory() as folder:
        first, epochs = timed(Path(folder))
        # The third epoch only trains, the fourth evaluates too, with all compiled before.
        step, look = epochs[1] / IMAGES, max(epochs[2] - epochs[1], 0) / (2 * IMAGES)
        known = EPOCHS * IMAGES * step + 2 * 2 * IMAGES * look
        trial = max(timed(Path(folder))[0] - known, 0) if again else 0.0
    return Cost(max(first - known - trial, 0), trial, step, look)
