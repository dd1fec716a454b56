"""Cosine schedule: the learning rate falls along half a cosine (Loshchilov and Hutter 2017).

Mechanism: large steps first, to find a good region; small ones last, to settle in it.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.recipe import Schedule

CLAIM = "the last epochs are calm: the score no longer jumps"
EVIDENCE = ("wobble", "lower")


class Options(Base):
    floor: float = Field(ge=0, lt=1, description="last learning rate, share of the first")


def apply(recipe, options):
    return recipe.setting(schedule=Schedule(floor=options.floor))
