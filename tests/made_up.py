"""Hyperparameters for tests: those of tests/params.yaml, and for all else values that its own
constraints allow, so that a new technique, start or network needs no entry in any test."""

from __future__ import annotations

import itertools
import types
import typing
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from ruamel.yaml import YAML

from cnnlab import params
from cnnlab.plugins import Options, chosen
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.recipe.variants import Sections
from cnnlab.train.input import Data

FILE = Path(__file__).with_name("params.yaml")  # not the root's, which people edit


def frozen() -> params.Params:
    """The params of tests/params.yaml, with those techniques alone that are written there: tests
    rest on no default."""
    whole, written = params.read(FILE), YAML(typ="safe").load(FILE.read_text())["techniques"]
    others = dict.fromkeys(set(TECHNIQUES.names()) - set(written))
    techniques = whole.techniques.model_copy(update=others)
    return whole.model_copy(update={"techniques": techniques})


FROZEN = frozen()


def options(kind: type[Options], **wanted: Any) -> Options:
    """Values for every field of a group of hyperparameters, near the low end of what it allows.

    `wanted`: values for some fields; those that the group has not are left out. A field whose type
    does not say what it may be has to name one by `Field(examples=[...])`.
    """
    fields = kind.model_fields
    if all(_group(field.annotation) for field in fields.values()):  # such as a policy
        fields = dict(list(fields.items())[:2])
    values = {name: _value(f.annotation, f.metadata, f.examples) for name, f in fields.items()}
    return kind.model_validate(values | {k: v for k, v in wanted.items() if k in fields})


def _group(annotation: Any) -> type[Options] | None:
    """The group of hyperparameters that a field may hold."""
    for kind in typing.get_args(annotation) or (annotation,):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _value(kind: Any, limits: list, examples: list | None = None) -> Any:
    if examples:
        return examples[0]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        more = [m for f in inner[1:] for m in (f.metadata if isinstance(f, FieldInfo) else [f])]
        return _value(inner[0], [*limits, *more])
    if _group(kind):
        return options(_group(kind))
    if origin in (types.UnionType, typing.Union):  # with None
        return None if inner[0] is str else _value(inner[0], limits)
    if origin is Literal:
        return inner[0]
    if origin is list:
        return [_value(inner[0], []) + 6] * 2
    low = next((getattr(m, k) for m in limits for k in ("ge", "gt") if hasattr(m, k)), kind is int)
    high = next((getattr(m, k) for m in limits for k in ("le", "lt") if hasattr(m, k)), low + 1)
    known = {bool: True, int: min(low + 1, high), float: low + min((high - low) / 2, 0.3)}
    if kind not in known:
        raise TypeError(f"{kind}: give the field `examples`")
    return known[kind]


def techniques(**wanted: Any) -> Any:
    """The section `techniques` with hyperparameters for every technique there is, `wanted` as
    `options` takes it."""
    given = chosen(FROZEN.techniques)
    for op, strength in chosen(FROZEN.techniques.augment).items():
        given.setdefault(op, strength)
    made = {}
    for name in TECHNIQUES.names():
        kind = TECHNIQUES[name].Options
        values = (given.get(name) or options(kind)).model_dump()
        here = {k: v for k, v in wanted.items() if k in kind.model_fields}
        made[name] = kind.model_validate(values | here)
    return type(FROZEN.techniques).model_validate(made)


def model(net: str, **wanted: Any) -> Any:
    """The section `model` with a small network, of its switches those that leave techniques the
    most places."""
    kind = NETS[net].Options
    switches = [name for name, field in kind.model_fields.items() if field.annotation is bool]
    ways = itertools.product([True, False], repeat=len(switches))
    made = [options(kind, **dict(zip(switches, way, strict=True)) | wanted) for way in ways]
    most = max(made, key=lambda each: len(NETS[net].places(each.model_dump())))
    return NETS.options("Model").model_validate({net: most})


def sections(net: str = "vgg", backbone: dict | None = None, **train: Any) -> Sections:
    """A small network, hyperparameters for every technique, and changes of the section `train` and
    of the section `backbone`."""
    small = {"epochs": 3, "batch_size": 8}
    return Sections(
        model(net),
        FROZEN.train.model_copy(update=small | train),
        techniques(),
        FROZEN.backbone.model_copy(update=backbone or {}),
    )


def using(given: Sections, **hyperparameters: dict) -> Sections:
    """Sections with other hyperparameters of some techniques."""
    made = {n: TECHNIQUES[n].Options.model_validate(h) for n, h in hyperparameters.items()}
    return replace(given, techniques=given.techniques.model_copy(update=made))


def data(n: int = 40, classes: int = 3, seed: int = 0, channels: int = 1) -> Data:
    """Noise images whose mean brightness tells the class, a fifth of them held out."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 60, (n, 8, 8, channels)) + labels[:, None, None, None] * 60
    rows = rng.permutation(n)
    return Data(images.astype(np.uint8), labels, rows[: n * 4 // 5], rows[n * 4 // 5 :], classes)
