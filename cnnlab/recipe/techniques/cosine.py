"""Cosine schedule: the learning rate falls along half a cosine (Loshchilov and Hutter 2017).

Mechanism: large steps first, to find a good region; small ones last, to settle in it.

Sensible: floor 0 to 0.01; a safe default of nearly all trainings of fixed length.
Goes badly with: `one_cycle` and `snapshot`, which set the schedule too; `swa` with a floor of 0,
which then averages weights that hardly move; `early_stopping`, which ends before the small steps.
Cost: none.
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
