"""One cycle: the learning rate rises to a peak above its usual value, then falls to almost none.

Mechanism: large steps in the middle of training regularise, small ones at its end settle (Smith and
Topin 2018).

Sensible: peak 3 to 10 times the usual rate, warm-up 0.2 to 0.4; where `make find-lr` says that a
higher rate holds; for short trainings.
Goes badly with: `cosine` and `snapshot`, which set the schedule too; networks without
normalisation, which a high peak throws off.
Cost: none; often fewer epochs.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.recipe import Schedule

CLAIM = "the last epochs are calm: the score no longer jumps"
EVIDENCE = ("wobble", "lower")


class Options(Base):
    peak: float = Field(ge=1, le=100, description="highest learning rate, times the recipe's")
    warmup: float = Field(gt=0, lt=1, description="share of training until the peak")
    start: float = Field(gt=0, lt=1, description="first learning rate, share of the peak")
    floor: float = Field(ge=0, lt=1, description="last learning rate, share of the peak")


def apply(recipe, options):
    return recipe.setting(schedule=Schedule(**options.model_dump()))
