"""A trial: one training run of one variant, and what it leaves: a record, or that it diverged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, order=True)
class Trial:
    """One training run: which variant, which split, which member."""

    variant: str
    repeat: int  # from 0
    fold: int  # from 0; the fold that is held out
    member: int  # from 0; of an ensemble

    @property
    def key(self) -> str:
        """Name of its record."""
        return f"r{self.repeat}_f{self.fold}_m{self.member}"


@dataclass(frozen=True)
class Record:
    """What a trial leaves behind."""

    trial: Trial
    fingerprint: str
    seed: int
    n_train: int
    history: list[dict[str, float]]  # one entry an epoch, as cnnlab.train.fit.fit gives it
    measured: dict[str, float]  # of the network as it is kept, as fit's `final` gives it
    preactivations: dict[str, np.ndarray]  # conv -> float32 (evaluations, 2): mean, sd on a probe
    image_id: np.ndarray  # int (n,): the held-out images
    labels: np.ndarray  # int (n,)
    outputs: np.ndarray  # float32 (n, ...), out of fold: as the task's `outputs` gives them

    @property
    def final(self) -> dict[str, float]:
        """Of the network as it is kept: the task's scores (accuracy and nll of classes), the same
        of training images (train_accuracy, train_nll), the clean gap between both of the first of
        them (train_accuracy - accuracy), and what `cnnlab.train.quantities` says of it; without
        scores of held-out images and gap where there were none."""
        measured = self.measured
        of_training = [name.removeprefix("train_") for name in measured if name[:6] == "train_"]
        score = next((name for name in of_training if name in measured), None)
        if score is None:
            return dict(measured)
        return {**measured, "gap": measured[f"train_{score}"] - measured[score]}

    def summary(self) -> dict:
        """The JSON part of the record."""
        return {
            **asdict(self.trial),
            "fingerprint": self.fingerprint,
            "seed": self.seed,
            "n_train": self.n_train,
            "metrics": self.final,
            "history": self.history,
        }


@dataclass(frozen=True)
class Diverged:
    """What a trial leaves behind whose loss became infinite or no number. It would again."""

    trial: Trial
    fingerprint: str
    loss: str  # what it became: nan, inf or -inf
    cure: str  # what to change in params.yaml
    history: list[dict[str, float]]  # the epochs before, as in a record

    @property
    def what(self) -> str:
        """What happened, in words."""
        return f"the loss was {self.loss} in epoch {len(self.history) + 1}"

    def summary(self) -> dict:
        """As a record's, with what it became in the place of metrics."""
        return {
            **asdict(self.trial),
            "fingerprint": self.fingerprint,
            "diverged": self.loss,
            "cure": self.cure,
            "metrics": {},
            "history": self.history,
        }


def in_words(diverged: Sequence[Diverged], trials: int) -> str:
    """That so many of so many trials diverged, in words; "" where none did."""
    if not diverged:
        return ""
    first = diverged[0]
    of = f"{len(diverged)} of {trials} trainings diverged"
    return f"{of}; in {first.trial.key} {first.what}: {first.cure}"
