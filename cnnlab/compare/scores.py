"""From what networks predicted for held-out images to values of single images.

A variant's answers are a grid, `[repeat][fold][member]`, of objects with `image_id` int (n,),
`labels` int (n,) and `outputs` float (n, ...), such as records: probabilities (n, classes), or
what else the task keeps of what a network says of an image. `Outcomes` are the same
in the order of images.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.contrasts import Incomparable
from cnnlab.compare.inference import Split
from cnnlab.metric import Values

ROUNDING = 1e-3  # of the sum of a row of probabilities, at most


class Answer(Protocol):
    """What one network predicted for the images of one fold."""

    image_id: NDArray[np.int64]
    labels: NDArray[np.int64]
    outputs: NDArray[np.floating]


Grid = Sequence[Sequence[Sequence[Answer]]]
Together = Callable[[Sequence[Answer]], NDArray[np.floating]]  # members of a cell -> outputs
Score = Callable[[NDArray[np.int64], NDArray[np.floating]], float]  # `Metric.score`


@dataclass(frozen=True)
class Outcomes:
    """What a variant's networks predicted for each image when it was held out, images sorted by
    id."""

    image_id: NDArray[np.int64]  # (images,)
    labels: NDArray[np.int64]  # (images,)
    fold: NDArray[np.int64]  # (repeats, images)
    outputs: NDArray[np.floating]  # (repeats, members, images, ...)

    @classmethod
    def of(cls, grid: Grid, name: str) -> Outcomes:
        """The outcomes of a variant called `name`. Raises Incomparable, naming it and the place,
        where an image is not held out once a repeat, or an output is not finite."""
        first = [cell[0] for cell in grid[0]]
        ids = np.sort(np.concatenate([answer.image_id for answer in first]))
        labels = np.empty(len(ids), np.int64)
        fold = np.full((len(grid), len(ids)), -1)
        members, each = len(grid[0][0]), first[0].outputs.shape[1:]
        kind = first[0].outputs.dtype
        outputs = np.full((len(grid), members, len(ids), *each), np.nan, kind)
        for (repeat, number), cell in (
            ((r, f), cell) for r, row in enumerate(grid) for f, cell in enumerate(row)
        ):
            if len(cell) != members:
                raise Incomparable(
                    f"variant {name}: repeat {repeat}, fold {number} has {len(cell)} members, "
                    f"another {members}"
                )
            for member, answer in enumerate(cell):
                where = np.searchsorted(ids, answer.image_id).clip(max=len(ids) - 1)
                place = f"variant {name}: repeat {repeat}, fold {number}, member {member}"
                before = number if member else -1
                if not np.array_equal(ids[where], answer.image_id):
                    raise Incomparable(f"{place} was evaluated on other images than repeat 0")
                if (fold[repeat, where] != before).any():
                    raise Incomparable(f"{place} was evaluated on images of another fold")
                if not np.isfinite(answer.outputs).all():
                    raise Incomparable(f"{place} holds outputs that are not finite")
                labels[where], fold[repeat, where] = answer.labels, number
                outputs[repeat, member, where] = answer.outputs
        if np.isnan(outputs).any():
            raise Incomparable(f"variant {name}: not every image is held out once a repeat")
        return cls(ids, labels, fold, outputs)

    def of_each(self, values: Values) -> NDArray[np.float64]:
        """A value of each image, by each member: float64 (repeats, images, members)."""
        return np.stack(
            [
                np.stack([values(self.labels, _sound(p)) for p in repeat], axis=1)
                for repeat in self.outputs
            ]
        )

    def of_fold(self, score: Score) -> NDArray[np.float64]:
        """The score of each fold by itself, the mean of members: float64 (repeats, folds)."""
        masks = self.fold[:, None] == np.arange(self.fold.max() + 1)[:, None]
        return np.array(
            [
                [np.mean([score(self.labels[f], _sound(p[f])) for p in members]) for f in folds]
                for members, folds in zip(self.outputs, masks, strict=True)
            ]
        )


def mean_outputs(cell: Sequence[Answer]) -> NDArray[np.float64]:
    """What an ensemble says whose members say probabilities, (n, classes): their mean."""
    return np.mean([_sound(answer.outputs) for answer in cell], axis=0)


def ensembles(grid: Grid, outputs: Together = mean_outputs) -> Grid:
    """A variant's members together, as one network: it costs as many trainings, and passes at
    prediction, as there are members."""
    return [[[replace(cell[0], outputs=outputs(cell))] for cell in row] for row in grid]


def split_of(outcomes: Mapping[str, Outcomes], groups: Mapping[int, object]) -> Split:
    """How the images of several variants were held out; `groups`: image_id -> group.

    Raises Incomparable, naming the variant, where one has other images, folds or members than
    another. They may differ in how many repeats they have.
    """
    longest = max(outcomes.values(), key=lambda o: len(o.fold))
    shape = longest.outputs.shape[1:]
    for name, o in outcomes.items():
        if not np.array_equal(o.image_id, longest.image_id):
            raise Incomparable(f"variant {name} was evaluated on other images than another")
        if not np.array_equal(o.fold, longest.fold[: len(o.fold)]):
            raise Incomparable(f"variant {name} was evaluated in other folds than another")
        if o.outputs.shape[1:] != shape:
            raise Incomparable(
                f"variant {name}: {o.outputs.shape[1]} members and "
                f"{o.outputs.shape[3]} outputs, another: {shape[0]} and {shape[2]}"
            )
    group = [groups[image] for image in longest.image_id.tolist()]
    return Split(longest.fold, np.unique(group, return_inverse=True)[1])


def pooled(grid: Grid) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Labels (n,) and probabilities (n, classes) of all answers, one after another."""
    answers = [a for row in grid for cell in row for a in cell]
    probabilities = np.concatenate([_sound(a.outputs) for a in answers])
    return np.concatenate([a.labels for a in answers]), probabilities


def _sound(outputs: NDArray[np.floating]) -> NDArray[np.float64]:
    """float64; rows of probabilities sum to 1, which those of float32 miss by their rounding."""
    values = np.asarray(outputs, np.float64)
    sums = values.sum(axis=1, keepdims=True)
    return values / np.where(np.abs(sums - 1) < ROUNDING, sums, 1)
