"""params.yaml, read strictly: the only module, besides the stages, that knows the file.

`load("seed", "train", "variants.dropout")` checks the whole file and hands out what was asked for;
what a stage asks for is what dvc.yaml must list for it.
"""

from __future__ import annotations

import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    create_model,
    field_validator,
    model_validator,
)
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from cnnlab.compare.designs import DESIGNS
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.recommend import RULES
from cnnlab.data.images import RESIZE
from cnnlab.data.sources import SOURCES
from cnnlab.errors import UserError
from cnnlab.plugins import Options, chosen
from cnnlab.strategies import STRATEGIES, plan
from cnnlab.training.execute import BACKENDS
from cnnlab.training.recipe import MODELS, TECHNIQUES, apply, base, variant

FILE = Path("params.yaml")
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$", max_length=64)]


def one_of(what: str, names: typing.Iterable[str]) -> Any:
    """The type of a name from a registry; any other is refused with those there are."""
    known = list(names)

    def check(name: str) -> str:
        if name not in known:
            raise ValueError(f"unknown {what}; allowed: {_join(known)}")
        return name

    return Annotated[str, AfterValidator(check)]


# Told apart by what they are, so that a message speaks of one of them; KINDS are no part of a key.
KINDS = ("names", "merged")
Classes = Annotated[
    Annotated[list[str], Tag("names")]
    | Annotated[dict[str, Annotated[list[str], Field(min_length=1)]], Tag("merged")],
    Discriminator(lambda classes: KINDS[isinstance(classes, dict) and bool(classes)]),
]


class Bad(Options):
    policy: Literal["skip", "fail"]
    limit: float = Field(ge=0, le=1)
    megapixels: float = Field(gt=0, le=10_000)


class Pretrain(Options):
    classes: list[str] | None
    per_class: int = Field(ge=1)
    source: one_of("source", SOURCES.names()) | None
    raw: str

    @property
    def taken(self) -> list[str]:
        """The classes of the study's own source that the target does without."""
        return [] if self.source else self.classes


class Data(Options):
    source: one_of("source", SOURCES.names())
    raw: str
    remote: str | None = Field(min_length=1)
    classes: Classes | None
    image_size: int | None = Field(ge=4, le=1024)
    resize: one_of("way", RESIZE)
    channels: Literal[1, 3] | None
    bad: Bad
    near_duplicates: int | None = Field(ge=0, le=4)
    dev_per_class: int | None = Field(ge=4)
    test_per_class: int | None = Field(ge=1)
    test_share: float = Field(gt=0, lt=1)
    pretrain: Pretrain

    @field_validator("channels", mode="before")
    @classmethod
    def _whole(cls, value: Any) -> Any:
        if isinstance(value, bool | float):  # which Python takes for 1
            raise ValueError("should be 1 or 3")
        return value


class Folds(Options):
    k: int = Field(ge=2, le=20)
    repeats: int = Field(ge=1, le=100)


class Train(Options):
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1, le=100_000)
    optimizer: Literal["adam", "sgd", "rmsprop"]
    learning_rate: float = Field(gt=0, le=10)
    members: int = Field(ge=1, le=100)
    fill_mode: Literal["constant", "nearest", "reflect"]
    evaluate_every: int = Field(ge=1, le=100_000)
    threads: int = Field(ge=1, le=1024)
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    balanced: bool
    techniques: list[str]


class Execution(Options):
    backend: one_of("backend", BACKENDS)
    workers: int | None = Field(ge=1, le=1024)
    gpus: float = Field(ge=0, le=8)

    @field_validator("gpus")
    @classmethod
    def _shared_or_whole(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):  # trials may share one GPU, not several
            raise ValueError("should be a whole number, or a fraction below 1")
        return gpus


class Transfer(Options):
    techniques: list[str]
    epochs: int = Field(ge=1, le=100_000)
    model: MODELS.options("TransferModel") | None
    weights: str
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")
    features: int | None = Field(ge=0, le=1000)
    per_class: list[Annotated[int, Field(ge=1)]]
    steps: int = Field(ge=0, le=1_000_000)

    @field_validator("model", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) != 1:
            raise ValueError("should be null, or one net with its size")
        return value


class Design(Options):
    kind: one_of("design", DESIGNS)
    techniques: list[str] = Field(max_length=20)
    resolution: int = Field(ge=3, le=8)


class Compare(Options):
    metric: one_of("metric", METRICS)
    confidence: float = Field(ge=0.5, le=0.999)
    alpha: float = Field(ge=0.001, le=0.5)
    probability: float = Field(gt=0.5, le=0.999)
    rope: create_model("Rope", __base__=Options, **dict.fromkeys(METRICS, (float, Field(ge=0))))
    order: int = Field(ge=1, le=5)
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    draws: int = Field(ge=100, le=1_000_000)


class Final(Options):
    rule: one_of("rule", RULES)
    probability: float = Field(gt=0.5, le=0.999)


class Visualize(Options):
    variants: list[str] = Field(min_length=1, max_length=6)
    images: int = Field(ge=1, le=8)


class Params(Options):
    """The whole file."""

    study: Name
    seed: int = Field(ge=0, lt=2**31)
    data: Data
    folds: Folds
    model: MODELS.options("Model")
    train: Train
    techniques: TECHNIQUES.options("Techniques")
    design: Design
    variants: dict[Name, list[str]] = Field(min_length=1)
    transfer: Transfer
    strategies: STRATEGIES.options("Strategies")
    execution: Execution
    compare: Compare
    visualize: Visualize
    final: Final

    @model_validator(mode="after")
    def _consistent(self) -> Params:
        nets = f"exactly one net of {_join(MODELS.names())}"
        _require(len(chosen(self.model)) == 1, "model", list(chosen(self.model)), nets)
        known = sorted(chosen(self.techniques))
        everywhere = self.train.techniques
        lists = {"train.techniques": everywhere}
        lists |= {f"variants.{name}": names for name, names in self.variants.items()}
        lists["transfer.techniques"] = self.transfer.techniques
        lists["design.techniques"] = self.design.techniques
        for key, names in lists.items():
            for name in names:
                _require(name in known, key, name, f"techniques with a strength: {_join(known)}")
            _require(len(set(names)) == len(names), key, names, "each technique once")
            studied = key.startswith(("variants.", "design."))
            _require(
                not studied or not set(names) & set(everywhere),
                key,
                names,
                f"none of train.techniques, which every variant has: {_join(everywhere)}",
            )
        transfer = self.transfer
        transferred = transfer.model or self.model
        own = list(chosen(transferred))
        _require(len(own) == 1, "transfer.model", own, f"null, or {nets}")
        _require(
            transfer.weights == "pretrain" or own == ["application"],
            "transfer.weights",
            transfer.weights,
            "pretrain, or other weights where transfer.model is an application",
        )
        _require(
            (transfer.weights in ("pretrain", "imagenet")) == (transfer.sha256 is None),
            "transfer.sha256",
            transfer.sha256,
            "the file's sha256 where weights is a path or URL, null where it is not",
        )
        for key, names in lists.items():
            try:
                if key != "transfer.techniques":
                    variant(self.model, self.train, names, self.techniques)
                else:
                    made = apply(base(transferred, self.train), names, self.techniques)
                    for name, options in chosen(self.strategies).items():
                        plan(name, made, options, transfer.features)
            except UserError as error:
                raise ValueError(f"{key}: {error}") from None
        sets = {}
        for name, names in self.variants.items():
            twin = sets.setdefault(frozenset(names), name)
            _require(twin == name, f"variants.{name}", names, f"another set than {twin}'s")
        chosen_variants = [("visualize.variants", name) for name in self.visualize.variants]
        for a, b in self.compare.pairs:
            _require(a != b, "compare.pairs", [a, b], "two different variants")
            chosen_variants += [("compare.pairs", a), ("compare.pairs", b)]
        for key, name in chosen_variants:
            _require(name in self.variants, key, name, f"variants: {_join(self.variants)}")
        learns = bool(chosen(self.strategies)) and transfer.weights == "pretrain"
        learnt = self.data.pretrain
        _require(
            learnt.classes is not None or learnt.source is not None,
            "data.pretrain.classes",
            learnt.classes,
            "names of classes; null, for all, where data.pretrain.source names another source",
        )
        _require(
            learns == (learnt.classes != []),
            "data.pretrain.classes",
            learnt.classes,
            "some where strategies has entries and transfer.weights is pretrain, else []",
        )
        _require(
            learnt.classes is None or len(learnt.classes) != 1,
            "data.pretrain.classes",
            learnt.classes,
            "at least 2 classes: one alone teaches nothing",
        )
        return self


def load(*keys: str, path: Path = FILE) -> Any:
    """Check the whole file and return the values of `keys` in order (one key: the value itself).

    A key may be dotted, such as "variants.dropout". Raises UserError that names each bad key, its
    value and what is allowed.
    """
    params = read(path)
    values = tuple(_at(params, key) for key in keys)
    return values[0] if len(keys) == 1 else values


def read(path: Path = FILE) -> Params:
    """The checked file. Raises UserError as `load` does."""
    try:
        content = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"{path}: {error.strerror}; a study is a folder with a params.yaml"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {error}") from None
    try:
        return Params.model_validate(content)
    except ValidationError as error:
        lines = [_explain(e) for e in error.errors()]
        raise UserError("\n".join(f"{path}: {line}" for line in lines)) from None


def _at(params: Params, key: str) -> Any:
    value: Any = params
    for part in key.split("."):
        held = dict(value) if isinstance(value, dict | Options) else {}
        if part not in held:
            raise UserError(f"{FILE}: no {key}; allowed: {_join(held)}")
        value = held[part]
    return value


def _require(holds: bool, key: str, value: Any, allowed: str) -> None:
    if not holds:
        raise ValueError(f"{key} = {value!r}: allowed: {allowed}")


def _join(names: typing.Iterable[str]) -> str:
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
