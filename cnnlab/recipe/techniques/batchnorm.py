"""Batch normalisation between each conv and its activation (Ioffe and Szegedy 2015).

Mechanism: pre-activations keep zero mean and unit spread over a batch while the weights below move,
so that larger steps are safe; a batch's noise regularises a little.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "pre-activations drift less while the network learns"
EVIDENCE = ("preactivation_drift", "lower")


class Options(Base):
    momentum: float = Field(ge=0, lt=1, description="of the moving mean and variance, per step")


def apply(recipe, options):
    return recipe.inserting("conv", "BatchNormalization", momentum=options.momentum)
