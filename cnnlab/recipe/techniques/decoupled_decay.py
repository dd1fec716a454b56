"""Decoupled weight decay: each step shrinks weights by a share of the learning rate.

Mechanism: unlike an L2 penalty it is not divided by an adaptive optimizer's scale, so that all
weights decay alike (Loshchilov and Hutter 2019; with adam this is AdamW). Biases and the gains of
normalisation are left alone.

Sensible: with adam 0.01 to 0.1 at a learning rate of 0.001 (each step shrinks weights by the
product of both).
Goes badly with: `l2`, which decays the same weights twice; very short trainings, in which it has no
time to act.
Cost: none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "weights stay small"
EVIDENCE = ("weight_norm", "lower")


class Options(Base):
    decay: float = Field(gt=0, le=1, description="times the learning rate, each step")


def apply(recipe, options):
    return recipe.setting(decay=options.decay)
