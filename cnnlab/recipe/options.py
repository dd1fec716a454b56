"""The sections of params.yaml that recipes are made from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from cnnlab.plugins import Options
from cnnlab.recipe.nets import NETS


class Train(Options):
    epochs: int = Field(ge=1, le=100_000)
    batch_size: int = Field(ge=1, le=100_000)
    optimizer: Literal["adam", "sgd", "rmsprop"]
    learning_rate: float = Field(gt=0, le=10)
    members: int = Field(ge=1, le=100)
    fill_mode: Literal["constant", "nearest", "reflect"]
    evaluate_every: int = Field(ge=1, le=100_000)
    threads: int = Field(ge=1, le=1024)
    deterministic: bool
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"]
    balanced: bool
    techniques: list[str]


class Backbone(Options):
    model: NETS.options("BackboneModel") | None
    weights: str
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")
    techniques: list[str]
    epochs: int = Field(ge=1, le=100_000)
    features: int | None = Field(ge=0, le=1000)

    @field_validator("model", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        if isinstance(value, dict) and len(value) != 1:
            raise ValueError("should be null, or one network with its size")
        return value


class Sizes(Options):
    per_class: list[Annotated[int, Field(ge=1)]]
    variants: list[str]
    steps: int = Field(ge=0, le=1_000_000)
