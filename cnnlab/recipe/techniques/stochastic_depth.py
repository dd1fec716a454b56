"""Stochastic depth: at each step, residual branches are left out of some images' way.

Mechanism: trains many shallower networks at once, and gradients reach the first layers (Huang et
al. 2016); the chance grows in a straight line with depth, up to `rate` at the last branch. For
networks with residual branches.

Sensible: rate 0.1 to 0.2 for ten blocks, up to 0.5 for fifty and more.
Goes badly with: shallow networks; networks without residual branches, where it is refused.
Cost: none as implemented here: dropped branches are computed and set to 0.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "many networks of several depths in one: it overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    rate: float = Field(gt=0, lt=1, description="chance that the last branch is left out")


def apply(recipe, options):
    # Dropout with one draw an image; what is kept is scaled up, so that inference needs nothing.
    return recipe.inserting("branch", "Dropout", rate=options.rate, noise_shape=(None, 1, 1, 1))
