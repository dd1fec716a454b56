"""A trial's fingerprint: all that can change its result, and nothing else."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import json
import os
from pathlib import Path

from cnnlab.training.recipe import Recipe

# What else decides a result, besides recipe, data and seed.
_CODE = ["fit", "blocks", "augmentation", "quantities"]
_LIBRARIES = ["tensorflow", "keras", "numpy"]


def fingerprint(recipe: Recipe, seed: int, train: list[str], judged: list[str], start: str) -> str:
    """Hash of all that can change a trial's result, and of nothing else.

    `train`, `judged`: digest and label of each image, in order. `start`: digest of the weights it
    begins from, empty for random ones. Includes the code that takes part (a technique's file only
    where the recipe uses it; comments, docstrings and what it claims aside) and the versions of the
    libraries that compute.
    """
    modules = [f"cnnlab.training.{name}" for name in _CODE]
    modules += [f"cnnlab.models.{recipe.net}"]
    if recipe.phases:
        modules += ["cnnlab.training.phases", "cnnlab.training.transferred"]
    if recipe.features is not None:
        modules += ["cnnlab.training.features"]
    modules += [f"cnnlab.techniques.{name}" for name in sorted(set(recipe.techniques))]
    parts = {
        "recipe": json.loads(recipe.json()),
        "seed": seed,
        "train": train,
        "judged": judged,
        "start": start,
        "code": {name: code_digest(name) for name in modules},
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def versions() -> dict[str, str]:
    """The libraries that compute, and their versions on this machine; whether oneDNN takes part."""
    found = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {**found, "oneDNN": os.environ["TF_ENABLE_ONEDNN_OPTS"]}


@functools.cache
def code_digest(module: str) -> str:
    """Of a module's code, comments and docstrings aside."""
    path = importlib.util.find_spec(module).origin
    tree = ast.parse(Path(path).read_text())
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        if documented and ast.get_docstring(node) is not None:
            del node.body[0]
    tree.body = [node for node in tree.body if not _is_told(node)]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()[:16]


def _is_told(node: ast.stmt) -> bool:
    """Whether a statement says what a technique is for, and computes nothing."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(t, ast.Name) and t.id in ("CLAIM", "EVIDENCE") for t in targets)
