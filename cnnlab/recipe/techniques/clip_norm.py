"""Gradient clipping: no step goes further than a gradient of this norm.

Mechanism: where the loss is as steep as a cliff, one step would throw the weights far away; its
direction is kept and its length is bounded (Pascanu, Mikolov and Bengio 2013).

Sensible: 1 to 5 for networks without normalisation; a safety belt, not a way to better scores (a
rule of thumb: so that few steps are clipped once training runs).
Goes badly with: norms far below the usual ones: training then crawls.
Cost: next to none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "no single step goes far: the score no longer jumps"
EVIDENCE = ("wobble", "lower")


class Options(Base):
    norm: float = Field(gt=0, le=1e6, description="of the gradient of all weights together")


def apply(recipe, options):
    return recipe.setting(clip_norm=options.norm)
