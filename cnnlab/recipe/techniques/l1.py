"""L1 weight decay: the sum of |v| times a coefficient joins the loss (Tibshirani 1996).

Mechanism: a constant pull to zero, which small weights do not withstand: weights become sparse.

Sensible: kernel 1e-6 to 1e-4, for sparse weights rather than for better scores.
Goes badly with: `l2` and `decoupled_decay` at full strength besides; normalised networks, which
scale the shrunk weights up again.
Cost: next to none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "weights become sparse"
EVIDENCE = ("weight_gini", "higher")


class Options(Base):
    kernel: float = Field(ge=0, le=1, description="coefficient for conv and dense kernels")
    bias: float = Field(ge=0, le=1, description="coefficient for biases")
    activity: float = Field(ge=0, le=1, description="coefficient for layer outputs")


def apply(recipe, options):
    for target, coefficient in options:
        recipe = recipe.penalising(target, l1=coefficient)
    return recipe
