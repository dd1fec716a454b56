"""The sections `design`, `compare` and `final` of params.yaml."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, create_model

from cnnlab.compare.designs import DESIGNS
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.recommend import RULES
from cnnlab.plugins import Options, one_of


class Design(Options):
    kind: one_of("design", DESIGNS)
    techniques: list[str] = Field(max_length=20)
    starts: list[str] = Field(min_length=1)
    resolution: int = Field(ge=3, le=8)
    placebo: bool


ROPE = (float | None, Field(default=None, ge=0))  # of the task's metrics alone


class Compare(Options):
    metric: one_of("metric", METRICS)
    estimate: Literal["crossed", "corrected_t"]
    guard: float = Field(ge=1, le=10)
    confidence: float = Field(ge=0.5, le=0.999)
    alpha: float = Field(ge=0.001, le=0.5)
    probability: float = Field(gt=0.5, le=0.999)
    rope: create_model("Rope", __base__=Options, **dict.fromkeys(METRICS, ROPE))
    order: int = Field(ge=1, le=5)
    pairs: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    draws: int = Field(ge=100, le=1_000_000)


class Decide(Options):
    max_repeats: int | None = Field(ge=2, le=100)


class Final(Options):
    rule: one_of("rule", RULES)
    probability: float = Field(gt=0.5, le=0.999)
    flips: bool
    coverage: float = Field(ge=0.5, le=0.999)
    false_alarms: float = Field(ge=0.001, le=0.5)
