"""A trial's fingerprint: all that can change its result, and nothing else."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterable
from pathlib import Path

from cnnlab.recipe.recipe import Recipe

ROOT = Path(__file__).parents[2]  # of the package
LIBRARIES = ["tensorflow", "keras", "numpy"]
FIT = "cnnlab.train.fit"  # which every trial runs
PHASES = "cnnlab.train.phases"  # which those do that start from a backbone
SAME = Path(__file__).with_name("same.json")  # see `code`
# They name things and complain, and compute nothing.
NO_PART = {"cnnlab", "cnnlab.errors", "cnnlab.plugins"}


def fingerprint(
    recipe: Recipe,
    seed: int,
    train: list[str],
    held_out: list[str],
    start: str,
    device: str,
    task: str = "classification",
) -> str:
    """Hash of all that can change a trial's result, and of nothing else.

    `train`, `held_out`: digest and label of each image, in order. `start`: digest of the weights it
    begins from, empty for random ones. `device`: the kind that it is computed on. `task`: a module
    of cnnlab.train.tasks. Includes the code
    that takes part, and what that imports (a technique's file only where the recipe uses it;
    comments, docstrings and what it claims aside), and the versions of the libraries that compute.
    """
    modules = [PHASES if recipe.phases else FIT, f"cnnlab.recipe.nets.{recipe.net}"]
    modules.append(f"cnnlab.train.tasks.{task}")
    modules += [f"cnnlab.recipe.techniques.{name}" for name in recipe.techniques]
    parts = {
        "recipe": json.loads(recipe.json()),
        "seed": seed,
        "train": train,
        "held_out": held_out,
        "start": start,
        "device": device,
        "code": code(modules),
        "versions": versions(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def versions() -> dict[str, str]:
    """The libraries that compute, and their versions on this machine; whether oneDNN takes part."""
    numbers = {name: importlib.metadata.version(name) for name in LIBRARIES}
    return {**numbers, "oneDNN": os.environ["TF_ENABLE_ONEDNN_OPTS"]}


def code(modules: Iterable[str]) -> dict[str, str]:
    """Digest of the code of these modules and of all of this package that they import, at any
    depth; modules that are looked up by name at run time are not followed.

    Code that was rewritten and shown to compute the same to the bit keeps the digest that it had:
    `same.json` says so, module -> digest -> the earlier one, or null for what was part of another
    module. So trials stay valid.
    """
    same = json.loads(SAME.read_text())
    digests: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if module not in digests and module not in NO_PART:
            digests[module] = _digest(module)
            waiting += _imports(module)
    known = {name: same.get(name, {}).get(digest, digest) for name, digest in digests.items()}
    return {name: digest for name, digest in known.items() if digest is not None}


def _file(module: str) -> Path:
    """Where a module's code is, or would be. Looked up without importing anything."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _parsed(module: str) -> ast.Module:
    return ast.parse(_file(module).read_text())


@functools.cache
def _imports(module: str) -> tuple[str, ...]:
    """The modules of this package that a module imports, in functions too, but not for types
    alone."""
    names = []
    waiting: list[ast.AST] = [_parsed(module)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        waiting += ast.iter_child_nodes(node)
    return tuple(n for n in names if n.split(".")[0] == "cnnlab" and _file(n).exists())


@functools.cache
def _digest(module: str) -> str:
    """Of a module's code, comments and docstrings aside."""
    tree = _parsed(module)
    for node in ast.walk(tree):
        documented = isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
        if documented and ast.get_docstring(node) is not None:
            del node.body[0]
    tree.body = [node for node in tree.body if not _is_claim(node)]
    return hashlib.sha256(ast.unparse(_Called().visit(tree)).encode()).hexdigest()[:16]


class _Called(ast.NodeTransformer):
    """f-strings as calls: how they are quoted when they are written out depends on the version of
    Python, and the same code has the same digest on all of them."""

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.Call:
        self.generic_visit(node)
        parts = [v for v in node.values if not (isinstance(v, ast.Constant) and v.value == "")]
        return ast.Call(ast.Name("f"), parts, [])

    def visit_FormattedValue(self, node: ast.FormattedValue) -> ast.Call:
        self.generic_visit(node)
        form = [node.format_spec] if node.format_spec else []
        return ast.Call(ast.Name("f"), [node.value, ast.Constant(node.conversion), *form], [])


def _is_claim(node: ast.stmt) -> bool:
    """Whether a statement says what a technique is for, and computes nothing."""
    targets = node.targets if isinstance(node, ast.Assign) else []
    return any(isinstance(t, ast.Name) and t.id in ("CLAIM", "EVIDENCE", "SERVES") for t in targets)
