"""A trial: one training run of one variant, and the record that it leaves."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np


@dataclass(frozen=True, order=True)
class Trial:
    """One training run: which variant (or transfer strategy), which split, which member."""

    variant: str
    repeat: int  # from 0
    fold: int  # from 0; the fold that judges
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
    history: list[dict[str, float]]  # one entry an epoch, as cnnlab.training.fit.fit gives it
    image_id: np.ndarray  # int (n,): the judged images
    labels: np.ndarray  # int (n,)
    probabilities: np.ndarray  # float32 (n, classes), out of fold

    @property
    def final(self) -> dict[str, float]:
        """The last epoch's evaluation: accuracy, nll, train_accuracy, train_nll and the clean gap
        (train_accuracy - accuracy)."""
        last = {k: v for k, v in self.history[-1].items() if k not in ("epoch", "objective")}
        return {**last, "gap": last["train_accuracy"] - last["accuracy"]}

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
