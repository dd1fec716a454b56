"""What a network's probabilities are worth: a temperature, and sets of classes that hold the truth.

Both are learnt from predictions of images that were held out, so no image is needed besides. The
temperature divides the logits, of which the logarithms of probabilities are as good (Guo et al.,
"On Calibration of Modern Neural Networks", ICML 2017). A set holds each class that is at least as
probable as a limit, and always the likeliest: the least ambiguous sets of Sadinle, Lei and
Wasserman (Journal of the American Statistical Association 114, 2019), with scores from
cross-validation as in cross-conformal prediction (Vovk, Annals of Mathematics and Artificial
Intelligence 74, 2015). Theirs is a guarantee for the networks of the folds; the network that is
taken home learnt from more images, so that its coverage is near what is declared, and measured.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.metrics import METRICS
from cnnlab.compare.scores import Outcomes

LOWEST, HIGHEST = 0.05, 20.0  # temperatures; a minimum at either end is none


@dataclass(frozen=True)
class Worth:
    """How good probabilities and sets were on some images."""

    nll: float  # nats
    ece: float  # calibration error, in [0, 1]
    covered: float  # share of images whose set holds the true class
    size: float  # classes a set, on average


@dataclass(frozen=True)
class Calibration:
    """What is done to a network's probabilities, and what it was worth out of fold."""

    temperature: float  # 1: they stay as they are
    least: float  # probability, after that, of a class in a set
    before: Worth  # as trained; its sets have a limit of their own
    after: Worth  # each fold with temperature and limit from the other folds
    after_probabilities: NDArray[np.float64]  # as `Outcomes.outputs`, likewise


def scaled(probabilities: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Probabilities (..., classes) as they are after their logits are divided by `temperature`."""
    values = np.asarray(probabilities, np.float64)
    logits = np.log(np.maximum(values, np.finfo(np.float32).tiny)) / temperature
    shares = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return shares / shares.sum(axis=-1, keepdims=True)


def fit_temperature(labels: NDArray[np.int64], probabilities: NDArray[np.floating]) -> float:
    """The temperature of the least negative log likelihood; 1 where there is none, as where every
    image is right.

    `labels`: int (n,). `probabilities`: (n, classes).
    """
    from scipy.optimize import minimize_scalar  # slow to import

    logits = np.log(np.maximum(probabilities.astype(np.float64), np.finfo(np.float32).tiny))
    true = logits[np.arange(len(labels)), labels]
    if (true == logits.max(axis=1)).all():  # the surer, the better
        return 1.0

    def nll(log_temperature: float) -> float:
        factor = math.exp(-log_temperature)
        top = logits.max(axis=1) * factor
        sums = np.exp(logits * factor - top[:, None]).sum(axis=1)
        return float(np.mean(top + np.log(sums) - true * factor))

    ends = math.log(LOWEST), math.log(HIGHEST)
    best = minimize_scalar(nll, bounds=ends, method="bounded", options={"xatol": 1e-6}).x
    inside = ends[0] + 0.01 < best < ends[1] - 0.01
    return round(math.exp(best), 4) if inside else 1.0


def least_probability(true: NDArray[np.float64], coverage: float, units: int) -> float:
    """The limit at which a new image's set holds its class with a probability of `coverage`.

    `true`: the probability of the true class, (n,), of images that were held out, each as often as
    there were networks. `units`: of them that tell something new each: images or, where some
    belong together, groups. 0, every class, where these are too few to rule anything out.
    """
    below = math.floor((units + 1) * (1 - coverage) + 1e-9) / units
    rank = math.floor(below * len(true) + 1e-9)
    return float(np.sort(true)[rank - 1]) if rank else 0.0


def sets(probabilities: NDArray[np.floating], least: float) -> NDArray[np.bool_]:
    """Which classes are in the set of each image, (n, classes): those of at least that
    probability, and the likeliest."""
    likeliest = np.eye(probabilities.shape[1], dtype=bool)[probabilities.argmax(axis=1)]
    return (probabilities >= least) | likeliest


def worth(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    chosen: NDArray[np.bool_],
) -> Worth:
    """How good probabilities (n, classes) and sets, as `sets` gives them, are."""
    return Worth(
        nll=METRICS["nll"].score(labels, probabilities),
        ece=METRICS["ece"].score(labels, probabilities),
        covered=float(chosen[np.arange(len(labels)), labels].mean()),
        size=float(chosen.sum(axis=1).mean()),
    )


def calibrate(outcomes: Outcomes, groups: NDArray, coverage: float) -> Calibration:
    """Learn temperature and limit from predictions of held-out images, and say what they are worth.

    All repeats and members count alike. The worth of a fold is with temperature and limit from the
    other folds of its repeat, so that no image has a part in what it is judged by. Where that makes
    the negative log likelihood no better, the temperature is 1.

    `groups`: (images,) ids, in the order of `outcomes`; images of a group count as one.
    """
    _, group = np.unique(groups, return_inverse=True)
    every = np.ones(outcomes.fold.shape, bool)
    before, plain = _crossed(outcomes, group, coverage, scale=False)
    after, shares = _crossed(outcomes, group, coverage, scale=True)
    labels, raw = _taken(outcomes, outcomes.outputs, every)
    temperature = fit_temperature(labels, raw)
    if after.nll >= before.nll or temperature == 1:
        temperature, after, shares = 1.0, before, plain
    true = scaled(raw, temperature)[np.arange(len(labels)), labels]
    least = least_probability(true, coverage, int(group.max()) + 1)
    return Calibration(temperature, least, before, after, shares)


def _crossed(outcomes: Outcomes, group: NDArray[np.int64], coverage: float, scale: bool):
    """The worth of all predictions, and their probabilities, with what other folds tell."""
    shares = np.empty(outcomes.outputs.shape, np.float64)
    chosen = np.empty(shares.shape, bool)
    for repeat, folds in enumerate(outcomes.fold):
        for fold in np.unique(folds):
            rest = np.zeros(outcomes.fold.shape, bool)
            rest[repeat] = folds != fold
            labels, raw = _taken(outcomes, outcomes.outputs, rest)
            temperature = fit_temperature(labels, raw) if scale else 1.0
            true = scaled(raw, temperature)[np.arange(len(labels)), labels]
            least = least_probability(true, coverage, len(np.unique(group[rest[repeat]])))
            for member, values in enumerate(outcomes.outputs[repeat]):
                held = scaled(values[folds == fold], temperature)
                shares[repeat, member, folds == fold] = held
                chosen[repeat, member, folds == fold] = sets(held, least)
    every = np.ones(outcomes.fold.shape, bool)
    labels, of_each = _taken(outcomes, shares, every)
    return worth(labels, of_each, _taken(outcomes, chosen, every)[1]), shares


def _taken(outcomes: Outcomes, values: NDArray, which: NDArray[np.bool_]):
    """Labels (n,) and values (n, classes) of some images of some repeats, `which` (repeats,
    images), of all members."""
    parts = [
        (outcomes.labels[images], member[images])
        for images, repeat in zip(which, values, strict=True)
        for member in repeat
    ]
    labels, taken = zip(*parts, strict=True)
    return np.concatenate(labels), np.concatenate(taken)
