"""How many trials are run: those of a variant whose records are missing or out of date."""

from __future__ import annotations

import functools
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from cnnlab.data.pool import Pool
from cnnlab.errors import UserError
from cnnlab.training import records
from cnnlab.training.recipe import Recipe
from cnnlab.training.trial import Record, Trial, fingerprint

NEVER = -1  # the fold of an image that is trained on in all trials


class Watcher(Protocol):
    """Who looks on while trials run: a progress display, a tracker."""

    def epoch(self, trial: Trial, entry: dict[str, float]) -> None:
        """An epoch of a trial ended; `entry` as in `fit`'s history."""

    def done(self, record: Record, trained: bool) -> None:
        """A trial's record is on disk; `trained` is False where it was there before."""


@dataclass(frozen=True)
class Planned:
    """A trial with all that decides its result."""

    trial: Trial
    seed: int
    mark: str  # its fingerprint
    train: np.ndarray  # rows of the pool
    judged: np.ndarray  # rows of the pool


@dataclass(frozen=True)
class Job:
    """All trials of one variant or transfer strategy: one recipe over all splits and members."""

    name: str
    recipe: Recipe
    pool: Pool
    folds: pd.DataFrame  # as cnnlab.data.folds makes it
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
            for judge in sorted(set(fold) - {NEVER}):
                judged = fold.to_numpy() == judge
                train, judged = np.flatnonzero(~judged), np.flatnonzero(judged)
                told = [[codes[row] for row in rows] for rows in (train, judged)]
                for member in range(self.members):
                    t = Trial(self.name, int(repeat), int(judge), member)
                    seed = t.seed(self.seed)
                    mark = fingerprint(self.recipe, seed, *told, start)
                    planned.append(Planned(t, seed, mark, train, judged))
        return planned


def run(job: Job, plan: list[Planned], folder: Path, watcher: Watcher) -> list[Record]:
    """Bring a variant's folder up to date and return its records, in the order of the plan.

    A trial is trained only where its record is missing or was made by something else than the plan
    says now (see `trial.fingerprint`); records that belong to no trial of it are removed.
    TensorFlow is imported only if something must be trained.
    """
    folder.mkdir(parents=True, exist_ok=True)
    records.prune(folder, {p.trial.key for p in plan})
    done = []
    for planned in plan:
        first = planned is plan[0]  # whose net is kept, to look into
        record = _kept(folder, planned)
        trained = record is None or (first and not (folder / records.MODEL).exists())
        if trained:
            record, model = _train(job, planned, watcher)
            if first:
                records.save_model(model, folder / records.MODEL)
            records.write(folder, record)
        watcher.done(record, trained)
        done.append(record)
    return done


def _kept(folder: Path, planned: Planned) -> Record | None:
    if not (folder / f"{planned.trial.key}.json").exists():
        return None
    record = records.read(folder, planned.trial.key)
    return record if record.fingerprint == planned.mark else None


@functools.lru_cache(maxsize=1)
def _backbone(path: Path):
    return records.load_model(path)


def _train(job: Job, planned: Planned, watcher: Watcher) -> tuple[Record, Any]:
    from cnnlab.training.fit import Data, fit  # imports TensorFlow

    pool = job.pool
    data = Data(pool.images, pool.labels, planned.train, planned.judged, len(pool.classes))
    backbone = _backbone(job.backbone) if job.backbone else None
    fitted = fit(
        job.recipe, data, planned.seed, backbone, lambda entry: watcher.epoch(planned.trial, entry)
    )
    record = Record(
        trial=planned.trial,
        fingerprint=planned.mark,
        seed=planned.seed,
        n_train=len(planned.train),
        history=fitted.history,
        image_id=pool.manifest["image_id"].to_numpy()[planned.judged],
        labels=pool.labels[planned.judged],
        probabilities=fitted.probabilities,
    )
    return record, fitted.model
