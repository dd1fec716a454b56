"""A job: all trials of one variant or transfer strategy, and what decides the result of each."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab.data.pool import Pool
from cnnlab.errors import UserError
from cnnlab.seeds import derive
from cnnlab.training.fingerprint import fingerprint
from cnnlab.training.recipe import Recipe
from cnnlab.training.trial import Trial

NEVER = -1  # the fold of an image that is trained on in all trials


@dataclass(frozen=True)
class Planned:
    """A trial with all that decides its result."""

    trial: Trial
    seed: int
    mark: str  # its fingerprint
    train: np.ndarray  # rows of the pool
    judged: np.ndarray  # rows of the pool; none where all are trained on


@dataclass(frozen=True)
class Job:
    """All trials of one variant or transfer strategy: one recipe over all splits and members."""

    name: str
    recipe: Recipe
    pool: Pool
    folds: pd.DataFrame  # as cnnlab.data.folds makes it; a repeat that is all NEVER judges none
    members: int
    seed: int  # the study's
    backbone: Path | None = None  # a saved net, where the recipe starts from one

    def plan(self) -> list[Planned]:
        """The job's trials in the order in which they are run.

        Raises UserError where an image of the pool has no fold.
        """
        ids, codes = self.pool.manifest["image_id"], self.pool.codes
        start = hashlib.sha256(self.backbone.read_bytes()).hexdigest() if self.backbone else ""
        planned = []
        for repeat, split in self.folds.groupby("repeat"):
            fold = split.set_index("image_id")["fold"].reindex(ids)
            if fold.isna().any():
                raise UserError(f"data/folds.csv: image {fold[fold.isna()].index[0]} has no fold")
            for judge in sorted(set(fold) - {NEVER}) or [0]:
                judged = fold.to_numpy() == judge
                train, judged = np.flatnonzero(~judged), np.flatnonzero(judged)
                told = [[codes[row] for row in rows] for rows in (train, judged)]
                for member in range(self.members):
                    t = Trial(self.name, int(repeat), int(judge), member)
                    # The variant takes no part: equal recipes give equal results, and variants
                    # are compared from the same start.
                    seed = derive(self.seed, "trial", t.repeat, t.fold, t.member)
                    mark = fingerprint(self.recipe, seed, *told, start)
                    planned.append(Planned(t, seed, mark, train, judged))
        return planned
