"""Dropout after each hidden dense layer, for masks and boxes before the last conv (Srivastava et
al., JMLR 2014).

Mechanism: units cannot rely on particular others, so they co-adapt less.

Sensible: rate 0.2 to 0.5 for hidden dense layers of some hundred units, 0.1 to 0.3 for small ones.
Goes badly with: networks that tell classes without hidden dense layers, where it is refused;
underfitting; `batchnorm` behind it (Li et al. 2019).
Cost: none a step; convergence is slower by about 1 / (1 - rate) (a rule of thumb).
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "hidden units do not echo each other"
EVIDENCE = ("unit_correlation", "lower")


class Options(Base):
    rate: float = Field(gt=0, lt=1, description="share of units dropped at each step")


def apply(recipe, options):
    return recipe.inserting("dense", "Dropout", rate=options.rate)
