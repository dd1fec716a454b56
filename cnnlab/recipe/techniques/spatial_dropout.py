"""Spatial dropout: whole feature maps are dropped after each conv block (Tompson et al. 2015).

Mechanism: as dropout, where neighbouring pixels of a map would give away what one pixel lost.

Sensible: rate 0.05 to 0.2 for convs of 16 filters and more.
Goes badly with: layers of few maps; `batchnorm` behind it (Li et al. 2019).
Cost: none a step; slower convergence.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "maps cannot rely on particular others"
EVIDENCE = ("unit_correlation", "lower")


class Options(Base):
    rate: float = Field(gt=0, lt=1, description="share of maps dropped at each step")


def apply(recipe, options):
    return recipe.inserting("block", "SpatialDropout2D", rate=options.rate)
