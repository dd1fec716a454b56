"""A trial: one training run of one variant, and the record that it leaves."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cnnlab.training.recipe import Recipe

# What else decides a result, besides recipe, data and seed.
_CODE = ["fit", "blocks", "augmentation"]
_LIBRARIES = ["tensorflow", "keras", "numpy"]


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

    def seed(self, study_seed: int) -> int:
        """The trial's own seed. The variant takes no part: equal recipes give equal results, and
        variants are compared from the same start."""
        return derive(study_seed, "trial", self.repeat, self.fold, self.member)


def derive(seed: int, *parts: object) -> int:
    """A seed in 0 .. 2**31 - 1 of its own for each (seed, *parts)."""
    text = json.dumps([seed, *parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def fingerprint(recipe: Recipe, seed: int, train: list[str], judged: list[str], start: str) -> str:
    """Hash of all that can change a trial's result, and of nothing else.

    `train`, `judged`: digest and label of each image, in order. `start`: digest of the weights it
    begins from, empty for random ones. Includes the code that takes part (a technique's file only
    where the recipe uses it; comments and docstrings aside) and the versions of the libraries that
    compute.
    """
    modules = [f"cnnlab.training.{name}" for name in _CODE]
    modules += [f"cnnlab.models.{recipe.net}"]
    modules += [f"cnnlab.techniques.{name}" for name in sorted(set(recipe.techniques))]
    parts = {
        "recipe": json.loads(recipe.json()),
        "seed": seed,
        "train": train,
        "judged": judged,
        "start": start,
        "code": {name: _code_digest(name) for name in modules},
        "versions": {name: importlib.metadata.version(name) for name in _LIBRARIES},
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


@functools.cache
def _code_digest(module: str) -> str:
    path = importlib.util.find_spec(module).origin
    tree = ast.parse(Path(path).read_text())
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        if documented and ast.get_docstring(node) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


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
