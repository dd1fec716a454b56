"""Averaged weights: judged and kept is a moving average of the weights over steps.

Mechanism: averages out the noise of single steps (Polyak and Juditsky 1992; Tarvainen and Valpola
2017).
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "the noise of single steps is averaged out: the score no longer jumps"
EVIDENCE = ("wobble", "lower")


class Options(Base):
    momentum: float = Field(gt=0, lt=1, description="of the average, per step")


def apply(recipe, options):
    return recipe.setting(ema=options.momentum)
