"""No transfer: all weights begin at random. What the other strategies must beat."""

from dataclasses import replace

from pydantic import Field

from cnnlab.plugins import Options as Base


class Options(Base):
    epochs: int = Field(ge=1, le=100_000)
    learning_rate: float = Field(gt=0, le=10)


def apply(recipe, options):
    return replace(recipe, **options.model_dump())
