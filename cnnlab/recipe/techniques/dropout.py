"""Dropout after each hidden dense layer (Srivastava et al., JMLR 2014).

Mechanism: units cannot rely on particular others, so they co-adapt less.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "hidden units do not echo each other"
EVIDENCE = ("unit_correlation", "lower")


class Options(Base):
    rate: float = Field(gt=0, lt=1, description="share of units dropped at each step")


def apply(recipe, options):
    return recipe.inserting("dense", "Dropout", rate=options.rate)
