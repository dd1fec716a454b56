"""L1 weight decay: the sum of |v| times a coefficient joins the loss (Tibshirani 1996).

Mechanism: a constant pull to zero, which small weights do not withstand: weights become sparse.
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
