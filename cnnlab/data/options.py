"""The sections `data` and `folds` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from cnnlab.data.findings import CODES
from cnnlab.data.images import RESIZE
from cnnlab.data.sources import SOURCES, tidy
from cnnlab.plugins import Options, one_of

SIDES = (4, 1024)  # pixels that an image may be brought to, at least and at most
# Told apart by what they are, so that a message speaks of one of them; KINDS are no part of a key.
KINDS = ("names", "merged")
Name = Annotated[str, AfterValidator(tidy)]
Classes = Annotated[
    Annotated[list[Name], Tag("names")]
    | Annotated[dict[Name, Annotated[list[Name], Field(min_length=1)]], Tag("merged")],
    Discriminator(lambda classes: KINDS[isinstance(classes, dict) and bool(classes)]),
]


class Bad(Options):
    policy: Literal["skip", "fail"]
    limit: float = Field(ge=0, le=1)
    megapixels: float = Field(gt=0, le=10_000)


class Pretrain(Options):
    task: Literal["labels", "rotation"] | None
    classes: list[Name] | None
    per_class: int = Field(ge=1)
    source: one_of("source", SOURCES.names()) | None
    raw: str

    @property
    def taken(self) -> list[str]:
        """The classes of the study's own source that the target does without."""
        return (self.classes or []) if self.from_own else []

    @property
    def from_own(self) -> bool:
        """Whether the backbone learns from the study's own source."""
        return self.task is not None and self.source is None

    @model_validator(mode="after")
    def _possible(self) -> Pretrain:
        if self.task == "labels" and self.source is None and self.classes is None:
            raise ValueError(
                "with task: labels, classes should name some, or source another source"
            )
        if self.task and self.classes is not None and len(self.classes) < 2:
            raise ValueError(
                "classes should be null, or name at least 2: one alone teaches nothing"
            )
        return self


class Data(Options):
    source: one_of("source", SOURCES.names())
    raw: str
    remote: str | None = Field(min_length=1)
    classes: Classes | None
    image_size: int | None = Field(ge=SIDES[0], le=SIDES[1])
    resize: one_of("way", RESIZE)
    channels: Literal[1, 3] | None
    bad: Bad
    near_duplicates: int | None = Field(ge=0, le=4)
    dev_per_class: int | None = Field(ge=4)
    test_per_class: int | None = Field(ge=1)
    test_share: float = Field(gt=0, lt=1)
    mute: list[one_of("code", CODES)]
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
