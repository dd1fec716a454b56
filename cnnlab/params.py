"""params.yaml, read strictly: the only module, besides the stages, that knows the file.

It puts together the sections that their owners define, and checks what they say of each other.
`load("seed", "train", "data.resize")` checks the whole file and hands out what was asked for; what
a stage asks for is what dvc.yaml must list for it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, ValidationInfo, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cnnlab.compare.designs import PLACEBO
from cnnlab.compare.options import Compare, Decide, Design, Final
from cnnlab.data.options import KINDS, Data, Folds
from cnnlab.errors import UserError
from cnnlab.plugins import Options, chosen
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.options import Backbone, Sizes, Train
from cnnlab.recipe.techniques import SCRATCH, TECHNIQUES, starts
from cnnlab.recipe.variants import Sections
from cnnlab.run.options import Execution

FILE = Path("params.yaml")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]


class Variants(Options):
    """Variants by where their weights come from, which their techniques say: one group is a foreach
    stage of dvc.yaml each."""

    train: dict[Name, list[str]]  # from random weights
    transfer: dict[Name, list[str]]  # from the backbone

    @property
    def every(self) -> dict[str, list[str]]:
        """All variants: name -> techniques."""
        return {**self.train, **self.transfer}


class Visualize(Options):
    variants: list[str] = Field(min_length=1, max_length=6)
    images: int = Field(ge=1, le=8)

    def among(self, names: Iterable[str]) -> list[str]:
        """Those of the variants that are among these; the first of these where none is."""
        names = list(names)
        return [name for name in self.variants if name in names] or names[:1]


class Params(Options):
    """The whole file."""

    study: Name
    seed: int = Field(ge=0, lt=2**31)
    data: Data
    folds: Folds
    model: NETS.options("Model")
    train: Train
    techniques: TECHNIQUES.options("Techniques")
    backbone: Backbone
    design: Design
    variants: Variants
    sizes: Sizes
    execution: Execution
    compare: Compare
    decide: Decide
    visualize: Visualize
    final: Final

    @property
    def sections(self) -> Sections:
        """Those that recipes are made from."""
        return Sections(self.model, self.train, self.techniques, self.backbone)

    @model_validator(mode="after")
    def _consistent(self, info: ValidationInfo) -> Params:
        to_come = bool(info.context and info.context["variants_to_come"])
        networks = f"exactly one network of {_join(NETS.names())}"
        _require(len(chosen(self.model)) == 1, "model", list(chosen(self.model)), networks)
        self._check_backbone()
        self._check_names(to_come)
        self._check_variants()
        if not to_come:
            self._check_pretraining()
        self._check_execution()
        return self

    def _check_backbone(self) -> None:
        """Where the backbone's weights come from is possible for its network."""
        ((net, _),) = chosen(self.backbone.model or self.model).items()
        weights = self.backbone.weights
        for value, needs in (("package", "PACKAGE"), ("imagenet", "imagenet")):
            able = [name for name in NETS.names() if hasattr(NETS[name], needs)]
            _require(
                weights != value or net in able,
                "backbone.weights",
                value,
                f"where backbone.model is {' or '.join(able)}; it is {net}",
            )
        _require(
            weights == "pretrain" or hasattr(NETS[net], "layer_name"),
            "backbone.weights",
            weights,
            f"pretrain, as the backbone is a {net}, which takes no weights of others",
        )
        _require(
            (weights in ("pretrain", "package", "imagenet")) == (self.backbone.sha256 is None),
            "backbone.sha256",
            self.backbone.sha256,
            "the file's sha256 where weights is a path or URL, null where it is not",
        )

    def _check_names(self, to_come: bool) -> None:
        """Every list of techniques, starts or variants names some that there are. `to_come`: lists
        may name variants that the design is yet to bring."""
        every = list(self.variants.every)
        _require(bool(every) or to_come, "variants", {}, "at least one variant")
        _require(len(every) == len(list(self._groups())), "variants", every, "each name once")
        known, everywhere = sorted(chosen(self.techniques)), self.train.techniques
        studied = {f"variants.{group}.{name}": on for group, name, on in self._groups()}
        studied["design.techniques"] = self.design.techniques
        for_all = {"train.techniques": everywhere, "backbone.techniques": self.backbone.techniques}
        for key, names in (for_all | studied).items():
            _check_list(key, names, known, "technique", "techniques with hyperparameters")
        for key, names in (for_all | {"design.techniques": self.design.techniques}).items():
            both = [name for name in names if name in starts()]
            _require(not both, key, both, "no start: starts are for variants and design.starts")
        shared = f"none of train.techniques, which every variant has: {_join(everywhere)}"
        for key, names in studied.items():
            _require(not set(names) & set(everywhere), key, names, shared)
        both = [name for name in self.design.techniques if name == PLACEBO]
        _require(not both, "design.techniques", both, "no placebo: design.placebo asks for it")
        if self.design.placebo:
            listed = f"false, or {PLACEBO}: {{}} under techniques"
            _require(PLACEBO in known, "design.placebo", True, listed)
        most = self.decide.max_repeats
        more = f"more than folds.repeats = {self.folds.repeats}, or null"
        _require(most is None or most > self.folds.repeats, "decide.max_repeats", most, more)
        begin = [SCRATCH, *(name for name in starts() if name in known)]
        _check_list("design.starts", self.design.starts, begin, "start", "starts")
        if to_come:
            return
        for key, names in (
            ("visualize.variants", self.visualize.variants),
            ("sizes.variants", self.sizes.variants),
        ):
            _check_list(key, names, every, "variant", "variants")
        for a, b in self.compare.pairs:
            _check_list("compare.pairs", [a], every, "variant", "variants")
            _check_list("compare.pairs", [b], every, "variant", "variants")
            _require(a != b, "compare.pairs", [a, b], "two different variants")

    def _check_variants(self) -> None:
        """Each variant is possible, another than all others, and in the group it belongs to."""
        _possible("train.techniques", self.sections.everywhere)
        _possible("backbone.techniques", self.sections.pretraining)
        sets: dict[frozenset[str], str] = {}
        for group, name, on in self._groups():
            key = f"variants.{group}.{name}"
            recipe = _possible(key, lambda on=on: self.sections.recipe(on))
            where = "transfer" if recipe.phases else "train"
            begins = "at the backbone" if recipe.phases else "at random weights"
            _require(group == where, key, on, f"below variants.{where}, as it begins {begins}")
            twin = sets.setdefault(frozenset(on), name)
            _require(twin == name, key, on, f"another set than {twin}'s")

    def _check_pretraining(self) -> None:
        """A backbone is learnt if, and only if, there are variants that begin at it."""
        task, weights = self.data.pretrain.task, self.backbone.weights
        learnt = bool(self.variants.transfer) and weights == "pretrain"
        _require(
            learnt == (task is not None),
            "data.pretrain.task",
            task,
            "labels or rotation where variants.transfer has entries and backbone.weights is"
            " pretrain, else null",
        )

    def _check_execution(self) -> None:
        """A cluster is asked for a GPU where trials are to be computed on one, and only there."""
        on = self.execution
        wrong = on.backend != "local" and on.device == ("cpu" if on.gpus else "gpu")
        some = f"{'0' if on.gpus else 'more than 0'}, as execution.device is {on.device}"
        _require(not wrong, "execution.gpus", on.gpus, some)

    def _groups(self) -> Iterable[tuple[str, str, list[str]]]:
        for group, variants in self.variants:
            for name, on in variants.items():
                yield group, name, on


def variant(name: str, path: Path = FILE) -> list[str]:
    """The techniques of a variant, from the group that it is in. Raises UserError as `load`
    does."""
    every = read(path).variants.every
    if name not in every:
        raise UserError(f"{path}: no variant {name}; allowed: {_join(every)}")
    return every[name]


def load(*keys: str, path: Path = FILE) -> Any:
    """Check the whole file and return the values of `keys` in order (one key: the value itself).

    A key may be dotted, such as "data.resize". Raises UserError that names each bad key, its
    value and what is allowed.
    """
    params = read(path)
    values = tuple(_at(params, key) for key in keys)
    return values[0] if len(keys) == 1 else values


def read(path: Path = FILE, variants_to_come: bool = False) -> Params:
    """The checked file. `variants_to_come`: its variants are not written yet, so that what depends
    on them is not checked. Raises UserError as `load` does."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; a study is a folder with a params.yaml"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    try:
        context = {"variants_to_come": variants_to_come}
        return Params.model_validate(content, context=context)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]
        raise UserError("\n".join(f"{path}: {line}" for line in lines)) from None


def _at(params: Params, key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        children = dict(value) if isinstance(value, dict | Options) else {}
        if part not in children:
            raise UserError(f"{FILE}: no {key}; allowed: {_join(children)}")
        value = children[part]
    return value


def _require(holds: bool, key: str, value: Any, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{key} = {value!r}: allowed: {allowed}")


def _check_list(key: str, names: list[str], known: list[str], what: str, allowed: str) -> None:
    """Names of a list are known, and each is there once."""
    for name in names:
        _require(name in known, key, name, f"{allowed}: {_join(known)}")
    _require(len(set(names)) == len(names), key, names, f"each {what} once")


def _possible(key: str, make: Callable[[], Any]) -> Any:
    """What `make` makes; where it cannot, an error that names the key."""
    try:
        return make()
    except UserError as error:
        raise ValueError(f"{key}: {error}") from None


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _explain(error: dict) -> str:
    """One line: key = value: what is allowed."""
    loc = error["loc"]
    if loc[:2] == ("data", "classes") and loc[2:3] and loc[2] in KINDS:
        loc = (*loc[:2], *loc[3:])
    key = ".".join(str(part) for part in loc)
    if error["type"] == "extra_forbidden":
        return f"{key}: unknown key; allowed: {_join(_siblings(error['loc']))}"
    if error["type"] == "missing":
        return f"{key}: missing"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key} = {error['input']!r}: {message}" if key else message


def _siblings(loc: tuple) -> list[str]:
    """The keys that the group which holds `loc` may have."""
    group: Any = Params
    for part in loc[:-1]:
        group = group.model_fields[part].annotation
        if isinstance(group, types.UnionType) or typing.get_origin(group) is typing.Union:
            group = next(a for a in typing.get_args(group) if a is not type(None))
    return sorted(group.model_fields)
