"""The section `execution` of params.yaml."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator

from cnnlab.plugins import Options, one_of
from cnnlab.run.execute import BACKENDS


class Execution(Options):
    backend: one_of("backend", BACKENDS.names())
    workers: int | None = Field(ge=1, le=1024)
    device: Literal["auto", "cpu", "gpu"]
    per_gpu: int = Field(ge=1, le=64)
    gpus: float = Field(ge=0, le=8)

    @field_validator("gpus")
    @classmethod
    def _shared_or_whole(cls, gpus: float) -> float:
        if gpus > 1 and gpus != int(gpus):  # trials may share one GPU, not several
            raise ValueError("should be a whole number, or a fraction below 1")
        return gpus

    @property
    def where(self) -> dict[str, Any]:
        """What `cnnlab.run.execute` is told: all but the device, which each job says."""
        return self.model_dump(exclude={"device"})
