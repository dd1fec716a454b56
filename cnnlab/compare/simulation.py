"""Simulated studies whose true effects are known: networks of NumPy, trained in milliseconds.

A study draws images from a known population, splits them into folds, and trains small networks with
real noise: a hidden layer of random ReLU units, another draw for each (variant, repeat, fold), and
a ridge regression on top (Rahimi and Recht 2007). Training sets overlap between folds and images
repeat between repeats just as in a study of CNNs, so the correlation of folds is not assumed but
made. A wider layer is a better network: what each width is worth is known from many networks that
are each trained on images of their own.

NumPy and SciPy only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.contrasts import Contrast
from cnnlab.compare.inference import Split
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.validity import Study

RIDGE = 5.0  # penalty on the squared weights of the upper layer


@dataclass(frozen=True)
class World:
    """The population: classes are normal clouds round centres that never change."""

    images: int = 400  # of a study; a multiple of its folds times `group`
    pixels: int = 20
    classes: int = 4
    frequent: tuple[float, ...] = ()  # share of each class; empty: all alike
    spread: float = 1.3  # of the pixels round a class's centre, whose own spread is 1
    group: int = 1  # near duplicates: so many images each are alike, and are split together
    alike: float = 0.8  # share of the variance of `spread` that images of one group have in common


@dataclass(frozen=True)
class Setting:
    """What is simulated: a baseline and variants, by the width of their hidden layer."""

    name: str
    baseline: int
    variants: tuple[int, ...]  # one of the baseline's width: no effect
    folds: int = 5
    repeats: int = 3
    world: World = World()

    @property
    def widths(self) -> dict[str, int]:
        """Of every variant, the baseline first."""
        named = {f"width {width} ({i})": width for i, width in enumerate(self.variants, 1)}
        return {"baseline": self.baseline, **named}

    @property
    def contrasts(self) -> list[Contrast]:
        """Each variant less the baseline: one family."""
        others = [name for name in self.widths if name != "baseline"]
        return [Contrast(name, "alone", {name: 1.0, "baseline": -1.0}) for name in others]

    def truth(self, metric: str, seed: int, networks: int) -> dict[str, float]:
        """variant -> its true score, from so many networks each."""
        n_train = self.world.images - self.world.images // self.folds
        return {
            name: true_scores(self.world, width, n_train, seed, networks)[metric]
            for name, width in self.widths.items()
        }


@dataclass(frozen=True)
class Simulated:
    """What one study predicted for its images when they were held out."""

    labels: NDArray[np.int64]  # (images,)
    predicted: dict[str, NDArray[np.int64]]  # variant -> (repeats, images)
    split: Split
    classes: int

    def measured(self, metric: str) -> Study:
        """The study's values of a metric of predicted classes."""
        of_each, sure = METRICS[metric].values, np.eye(self.classes)
        values = {
            name: np.stack([of_each(self.labels, sure[row]) for row in rows])
            for name, rows in self.predicted.items()
        }
        return Study(values, self.split)


def simulate(setting: Setting, studies: int, seed: int) -> Iterator[Simulated]:
    """Studies of one setting, one after another."""
    for number in range(studies):
        yield study(setting, np.random.default_rng([seed, number]))


def study(setting: Setting, rng: np.random.Generator) -> Simulated:
    """One study: folds of equally many groups, and every network of every variant."""
    world = setting.world
    x, y = draw(world, world.images, rng)
    group = np.arange(world.images) // world.group
    sizes = np.arange(group[-1] + 1) % setting.folds
    fold = np.stack([rng.permutation(sizes)[group] for _ in range(setting.repeats)])
    held_out = fold[:, None, :] == np.arange(setting.folds)[:, None]  # repeats, folds, images
    trained = ~held_out.reshape(-1, len(y))
    guesses = {}
    for name, width in setting.widths.items():
        guess = predicted(x, y, trained, width, world.classes, rng).reshape(held_out.shape)
        guesses[name] = np.take_along_axis(guess, fold[:, None, :], axis=1)[:, 0]
    return Simulated(y, guesses, Split(fold, group), world.classes)


def correlated(images: int, folds: int, repeats: int, studies: int, seed: int) -> Iterator[Study]:
    """Studies of no effect without networks: normal differences, whose folds are correlated just as
    far as the corrected t assumes, 1 / folds, in all repeats alike: what no study can see from
    within. Values of images are independent of each other otherwise."""
    rho, m = 1 / folds, images // folds
    for number in range(studies):
        rng = np.random.default_rng([seed, number])
        fold = np.stack([rng.permutation(np.arange(images) % folds) for _ in range(repeats)])
        noise = math.sqrt((1 - rho) * m) * rng.normal(size=(repeats, images))
        gain = 0.02 * (math.sqrt(rho) * rng.normal() + noise)
        split = Split(fold, np.arange(images))
        yield Study({"with": gain, "baseline": np.zeros_like(gain)}, split)


@functools.cache
def true_scores(
    world: World, width: int, n_train: int, seed: int, networks: int
) -> dict[str, float]:
    """Scores that a network has on average when it is trained on `n_train` images, by metric:
    networks that are each trained on images of their own predict 500 more, and what all predicted
    is scored at once. With 2,000 networks standard errors are below 0.1 points."""
    labels, guesses = [], []
    for number in range(networks):
        rng = np.random.default_rng([seed, 1 << 40, number])
        x, y = draw(world, n_train + 500, rng)
        trained = np.arange(len(y))[None] < n_train
        guesses.append(predicted(x, y, trained, width, world.classes, rng)[0, n_train:])
        labels.append(y[n_train:])
    truth, sure = np.concatenate(labels), np.eye(world.classes)[np.concatenate(guesses)]
    return {name: METRICS[name].score(truth, sure) for name in ("accuracy", "macro_f1", "mcc")}


def draw(
    world: World, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images (count, pixels) and their classes (count,), groups in order."""
    centres = np.random.default_rng(0).normal(size=(world.classes, world.pixels))
    groups = -(-count // world.group)
    y = rng.choice(world.classes, groups, p=world.frequent or None)
    x = rng.normal(size=(groups, world.pixels))
    if world.group > 1:
        one_by_one = rng.normal(size=(groups * world.group, world.pixels))
        x = math.sqrt(world.alike) * np.repeat(x, world.group, axis=0)
        x += math.sqrt(1 - world.alike) * one_by_one
        y = np.repeat(y, world.group)
    return centres[y[:count]] + world.spread * x[:count], y[:count]


def predicted(
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    trained: NDArray[np.bool_],
    width: int,
    classes: int,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Classes that networks give to all images, (networks, images); `trained`, of the same shape,
    says which images each network learns from. Each network draws a hidden layer of its own."""
    weights = rng.normal(size=(len(trained), x.shape[1], width)) / math.sqrt(x.shape[1])
    hidden = np.maximum(x @ weights, 0)  # networks, images, width
    learnt = (hidden * trained[..., None]).swapaxes(1, 2)
    upper = np.linalg.solve(
        learnt @ hidden + RIDGE * np.eye(width), learnt @ (np.eye(classes)[y] - 1 / classes)
    )
    return (hidden @ upper).argmax(axis=2)
