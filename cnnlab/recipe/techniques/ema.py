"""Averaged weights: judged and kept is a moving average of the weights over steps.

Mechanism: averages out the noise of single steps (Polyak and Juditsky 1992; Tarvainen and Valpola
2017).

Sensible: momentum 0.99 for some hundred steps, 0.999 for thousands: it looks back over 1 / (1 -
momentum) steps, which should be a tenth of training at most.
Goes badly with: short trainings with a high momentum, whose average still holds the beginning;
`swa`, which sets the average too; a schedule that falls to 0 gains little from it.
Cost: memory of one more copy of the weights.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "the noise of single steps is averaged out: the score no longer jumps"
EVIDENCE = ("wobble", "lower")


class Options(Base):
    momentum: float = Field(gt=0, lt=1, description="of the average, per step")


def apply(recipe, options):
    return recipe.setting(ema=options.momentum)
