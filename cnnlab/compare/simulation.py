"""Simulated studies whose true effects are known: how often is the comparison wrong?

A study draws images from a known population, splits them into folds, and trains small networks with
real noise: a hidden layer of random ReLU units, another draw for each (variant, repeat, fold), and
a ridge regression on top (Rahimi and Recht 2007). Training sets overlap between folds and images
repeat between repeats just as in a study of CNNs, so the correlation of folds is not assumed but
made. A wider layer is a better network: the effect of widening it is known from many networks that
are each trained on images of their own.

NumPy and SciPy only.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betaincinv, stdtr

from cnnlab.compare.contrasts import pair
from cnnlab.compare.inference import mcnemar
from cnnlab.compare.tables import Rules, effect_rows

RIDGE = 5.0  # penalty on the squared weights of the upper layer


@dataclass(frozen=True)
class World:
    """The population: classes are normal clouds round centres that never change."""

    images: int = 400  # of a study; a multiple of its folds
    pixels: int = 20
    classes: int = 4
    spread: float = 1.3  # of the pixels round a class's centre, whose own spread is 1


@dataclass(frozen=True)
class Setting:
    """What is simulated: a baseline and variants, by the width of their hidden layer."""

    name: str
    baseline: int
    variants: tuple[int, ...]  # one of the baseline's width: no effect
    folds: int = 5
    repeats: int = 3
    world: World = World()


@dataclass(frozen=True)
class Tally:
    """What many studies of one setting gave for its first variant, or, of a family, of any one.

    Counts of studies: `clear`: any significant after Holm's correction; `wrong_sign`: one of
    those had the other sign than the true effect; `verdicts`: by verdict, for the first variant;
    `covered`: its interval held the true effect; `naive` and `mcnemar`: the plain paired
    t, and McNemar's test of the first repeat, found it significant.
    """

    setting: Setting
    effect: float  # true, of the first variant: share of images
    studies: int
    clear: int
    wrong_sign: int
    covered: int
    verdicts: dict[str, int]
    naive: int
    mcnemar: int


def share(count: int, of: int, confidence: float) -> tuple[float, float, float]:
    """A share with its exact binomial interval (Clopper and Pearson 1934), all in [0, 1]."""
    tail = (1 - confidence) / 2
    low = float(betaincinv(count, of - count + 1, tail)) if count else 0.0
    high = float(betaincinv(count + 1, of - count, 1 - tail)) if count < of else 1.0
    return count / of, low, high


def run(setting: Setting, studies: int, rules: Rules, seed: int) -> Tally:
    """Simulate `studies` studies and compare in each as in a real one."""
    world = setting.world
    n_train = world.images - world.images // setting.folds
    truths = {w: accuracy(world, w, n_train, seed) for w in {setting.baseline, *setting.variants}}
    effects = [truths[w] - truths[setting.baseline] for w in setting.variants]
    counts = dict.fromkeys(("clear", "wrong_sign", "covered", "naive", "mcnemar"), 0)
    verdicts = dict.fromkeys(("helps", "no practical difference", "hurts", "undecided"), 0)
    contrasts = [pair(str(i), "baseline") for i in range(len(effects))]
    names = ["baseline", *(str(i) for i in range(len(effects)))]
    for number in range(studies):
        rng = np.random.default_rng([seed, number])
        right, fold_of = study(setting, rng)
        scores = dict(zip(names, fold_scores(right, fold_of, setting.folds), strict=True))
        rows = effect_rows(contrasts, scores, rules)
        significant = [(row, e) for row, e in zip(rows, effects, strict=True) if row["clear"]]
        counts["clear"] += bool(significant)
        counts["wrong_sign"] += any(row["effect"] * effect < 0 for row, effect in significant)
        counts["covered"] += rows[0]["low"] <= effects[0] <= rows[0]["high"]
        counts["naive"] += naive_p(scores["0"] - scores["baseline"]) < rules.alpha
        only = [int(np.sum(right[i, 0] & ~right[1 - i, 0])) for i in (0, 1)]
        counts["mcnemar"] += mcnemar(*only, exact=True)[1] < rules.alpha
        verdicts[rows[0]["verdict"]] += 1
    return Tally(setting, effects[0], studies, verdicts=verdicts, **counts)


def run_gaussian(
    name: str, folds: int, repeats: int, studies: int, rules: Rules, seed: int
) -> Tally:
    """Studies of no effect whose differences are normal and correlated just as far as the corrected
    t test assumes, 1 / folds: the hardest case that it allows for."""
    setting = Setting(name, 0, (0,), folds, repeats)
    rng = np.random.default_rng(seed)
    rho = 1 / folds
    counts = dict.fromkeys(("clear", "covered", "naive"), 0)
    verdicts = dict.fromkeys(("helps", "no practical difference", "hurts", "undecided"), 0)
    for _ in range(studies):
        noise = math.sqrt(1 - rho) * rng.normal(size=(repeats, folds))
        values = 0.02 * (noise + math.sqrt(rho) * rng.normal())
        scores = {"a": values, "b": np.zeros_like(values)}
        (row,) = effect_rows([pair("a", "b")], scores, rules)
        counts["clear"] += row["clear"]
        counts["covered"] += row["low"] <= 0 <= row["high"]
        counts["naive"] += naive_p(values) < rules.alpha
        verdicts[row["verdict"]] += 1
    return Tally(setting, 0.0, studies, wrong_sign=0, mcnemar=0, verdicts=verdicts, **counts)


def study(
    setting: Setting, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """One study: which images each variant got right when they were out of fold, bool
    (1 + variants, repeats, images), baseline first; and the fold of each image, (repeats, images).
    """
    x, y = draw(setting.world, setting.world.images, rng)
    sizes = np.arange(len(y)) % setting.folds
    fold_of = np.stack([rng.permutation(sizes) for _ in range(setting.repeats)])
    held_out = fold_of[:, None, :] == np.arange(setting.folds)[:, None]  # repeats, folds, images
    trained = ~held_out.reshape(-1, len(y))
    right = []
    for width in (setting.baseline, *setting.variants):
        correct = predicted(x, y, trained, width, setting.world.classes, rng) == y
        right.append(np.any(correct.reshape(held_out.shape) & held_out, axis=1))
    return np.stack(right), fold_of


def fold_scores(right: NDArray[np.bool_], fold_of: NDArray[np.int64], folds: int) -> NDArray:
    """Accuracy in each fold, float64 (variants, repeats, folds)."""
    held_out = fold_of[:, None, :] == np.arange(folds)[:, None]
    return np.einsum("vri,rki->vrk", right.astype(float), held_out) / held_out.sum(axis=2)


def naive_p(differences: NDArray[np.float64]) -> float:
    """Two-sided p of the plain paired t test, which takes folds for independent."""
    n, spread = differences.size, differences.std(ddof=1)
    if spread == 0:
        return float(differences.mean() == 0)
    return float(2 * stdtr(n - 1, -abs(differences.mean()) / (spread / math.sqrt(n))))


@functools.cache
def accuracy(world: World, width: int, n_train: int, seed: int, nets: int = 2000) -> float:
    """Expected accuracy of a network trained on `n_train` images, by `nets` of them, each trained
    on images of its own and evaluated on 500 more. The standard error is below 0.1 points."""
    rights = []
    for number in range(nets):
        rng = np.random.default_rng([seed, 1 << 40, number])
        x, y = draw(world, n_train + 500, rng)
        trained = np.arange(len(y))[None] < n_train
        correct = predicted(x, y, trained, width, world.classes, rng)[0] == y
        rights.append(correct[n_train:].mean())
    return float(np.mean(rights))


def draw(
    world: World, count: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images (count, pixels) and their classes (count,)."""
    centres = np.random.default_rng(0).normal(size=(world.classes, world.pixels))
    y = rng.integers(0, world.classes, count)
    return centres[y] + world.spread * rng.normal(size=(count, world.pixels)), y


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
