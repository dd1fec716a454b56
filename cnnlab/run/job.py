"""A job: trials of one variant, and what decides the result of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab.data.folds import enough
from cnnlab.data.pool import Pool
from cnnlab.errors import UserError
from cnnlab.recipe.recipe import Recipe
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.records import Trial
from cnnlab.records.fingerprint import FIT, PHASES, code, fingerprint
from cnnlab.seeds import derive
from cnnlab.tasks import TASKS

RESIZING = "cnnlab.train.resizing"  # trains what sees smaller images first
NEVER = -1  # the fold of an image that is trained on in all trials


@dataclass(frozen=True)
class Planned:
    """A trial with all that decides its result."""

    trial: Trial
    seed: int
    mark: str  # its fingerprint
    train: np.ndarray  # rows of the pool
    held_out: np.ndarray  # rows of the pool; none where all are trained on


@dataclass(frozen=True)
class Job:
    """Trials of one variant: one recipe over all splits and members."""

    name: str
    recipe: Recipe
    pool: Pool
    folds: (
        pd.DataFrame
    )  # as cnnlab.data.folds makes it; of a repeat that is all NEVER none is held out
    members: int
    seed: int  # the study's
    device: str  # the kind that trials are computed on, as `cnnlab.run.device` says it
    backbone: Path | None = None  # a saved network, where the recipe starts from one
    features: Path | None = None  # folder that keeps features of frozen backbones
    per_class: int | None = None  # training images per class, the same ones first; None: all

    @property
    def keeps_networks(self) -> bool:
        """Whether the network of each trial is kept: records do not hold maps, which an ensemble
        averages. Of few images none is formed."""
        return self.members > 1 and not self.per_class and TASKS[self.pool.task].MAPS

    def plan(self) -> list[Planned]:
        """The job's trials in the order in which they are run.

        Raises UserError where an image of the pool has no fold, or a class too few images.
        """
        ids, codes, start = self.pool.manifest["image_id"], self.pool.codes, self._start()
        if self.per_class:
            enough(self.folds, self.pool.manifest, [self.per_class])
        planned = []
        for repeat, split in self.folds.groupby("repeat"):
            fold = split.set_index("image_id")["fold"].reindex(ids)
            if fold.isna().any():
                raise UserError(f"data/folds.csv: image {fold[fold.isna()].index[0]} has no fold")
            for number in sorted(set(fold) - {NEVER}) or [0]:
                out = fold.to_numpy() == number
                train, held_out = np.flatnonzero(~out), np.flatnonzero(out)
                if self.per_class:
                    train = self._few(train, derive(self.seed, "few", int(repeat), int(number)))
                content = [[codes[row] for row in rows] for rows in (train, held_out)]
                for member in range(self.members):
                    t = Trial(self.name, int(repeat), int(number), member)
                    seed = trial_seed(self.seed, t, self.recipe.stream)
                    how = self.device, self.pool.task
                    mark = fingerprint(self.recipe, seed, *content, start, *how)
                    planned.append(Planned(t, seed, mark, train, held_out))
        return planned

    def _start(self) -> str:
        """Digest of what trials begin from: the backbone, and a trainer that `fingerprint` does not
        know of itself."""
        start = hashlib.sha256(self.backbone.read_bytes()).hexdigest() if self.backbone else ""
        trainer = trained_by(self.recipe)
        return start if trainer in (FIT, PHASES) else f"{start} {code([trainer])}"

    def _few(self, train: np.ndarray, seed: int) -> np.ndarray:
        """`per_class` of these rows of each class, in order; fewer are part of more."""
        order, labels = np.random.default_rng(seed).permutation(train), self.pool.labels
        classes = range(len(self.pool.classes))
        kept = [order[labels[order] == number][: self.per_class] for number in classes]
        return np.sort(np.concatenate(kept))


@dataclass(frozen=True)
class Part:
    """What one job has in a run of several."""

    job: Job
    plan: list[Planned]  # which of its trials, in the order in which they are run
    folder: Path  # takes their records
    with_network: bool = False  # whether the network of the first trial is saved beside the records

    def keeps_model(self, planned: Planned) -> bool:
        """Whether the network of a trial of the plan is saved as that of the variant."""
        return self.with_network and planned is self.plan[0]


def trained_by(recipe: Recipe) -> str:
    """The module whose function trains a recipe."""
    if any(hasattr(TECHNIQUES[name], "resolutions") for name, _ in recipe.ops):
        return RESIZING
    return PHASES if recipe.phases else FIT


def trial_seed(seed: int, trial: Trial, stream: int) -> int:
    """The seed of a trial, in a study of this seed. The variant takes no part: variants of one
    stream are compared from the same start."""
    split = (trial.repeat, trial.fold, trial.member)
    return derive(seed, "trial", *split, *([stream] if stream else []))
