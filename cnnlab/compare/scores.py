"""From what networks predicted for the images of each fold to scores.

A variant's answers are a grid, `[repeat][fold][member]`, of objects with `image_id` int (n,),
`labels` int (n,) and `probabilities` float (n, classes), such as records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.contrasts import Incomparable
from cnnlab.compare.metrics import Score


class Answer(Protocol):
    """What one network predicted for the images of one fold."""

    image_id: NDArray[np.int64]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.floating]


Grid = Sequence[Sequence[Sequence[Answer]]]


def member_scores(grid: Grid, score: Score) -> NDArray[np.float64]:
    """The score of each network, float64 (repeats, folds, members)."""
    return np.array(
        [[[score(a.labels, _sound(a.probabilities)) for a in c] for c in row] for row in grid]
    )


def ensemble_scores(grid: Grid, score: Score) -> NDArray[np.float64]:
    """The score of the members' averaged probabilities, float64 (repeats, folds).

    It costs as many trainings, and passes at prediction, as there are members.
    """
    return np.array(
        [
            [score(c[0].labels, np.mean([_sound(a.probabilities) for a in c], axis=0)) for c in row]
            for row in grid
        ]
    )


def check(grids: Mapping[str, Grid]) -> None:
    """Whether the answers of several variants can be compared fold by fold.

    Raises Incomparable, naming variant, repeat and fold (counted from 0), where one lacks a fold or
    member that another has, was evaluated on other images, or holds probabilities that are not
    finite.
    """
    shapes = {name: (len(grid), len(grid[0]), len(grid[0][0])) for name, grid in grids.items()}
    for name, shape in shapes.items():
        first, expected = next(iter(shapes.items()))
        if shape != expected:
            shown, needed = ("{} x {} x {}".format(*s) for s in (shape, expected))
            raise Incomparable(
                f"variant {name}: answers of {shown} (repeats x folds x members), variant {first}: "
                f"{needed}"
            )
        for repeat, fold, member in np.ndindex(*shape):
            answer, other = (grids[n][repeat][fold][member] for n in (name, first))
            place = f"variant {name}: repeat {repeat}, fold {fold}, member {member}"
            if not np.array_equal(answer.image_id, other.image_id):
                raise Incomparable(f"{place} was evaluated on other images than variant {first}")
            if not np.isfinite(answer.probabilities).all():
                raise Incomparable(f"{place} holds probabilities that are not finite")


def correct(grid: Grid, image_ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of members that were right about each image, float64 (repeats, images), in [0, 1].

    `image_ids`: (images,), sorted; each is held out once a repeat.
    """
    shares = np.full((len(grid), len(image_ids)), np.nan)
    for repeat, row in enumerate(grid):
        for cell in row:
            right = np.mean([a.probabilities.argmax(axis=1) == a.labels for a in cell], axis=0)
            shares[repeat, np.searchsorted(image_ids, cell[0].image_id)] = right
    return shares


def pooled(grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels (n,) and probabilities (n, classes) of all answers, one after another."""
    answers = [a for row in grid for cell in row for a in cell]
    probabilities = np.concatenate([_sound(a.probabilities) for a in answers])
    return np.concatenate([a.labels for a in answers]), probabilities


def _sound(probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    """float64 whose rows sum to 1: float32 misses it by its rounding."""
    values = np.asarray(probabilities, np.float64)
    return values / values.sum(axis=1, keepdims=True)
