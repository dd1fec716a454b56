"""Batch normalisation between each conv and its activation (Ioffe and Szegedy 2015).

Mechanism: pre-activations keep zero mean and unit spread over a batch while the weights below move,
so that larger steps are safe; a batch's noise regularises a little.

Sensible: momentum 0.9 for trainings of some hundred steps, 0.99 for thousands; nearly always on in
networks of more than a few convs.
Goes badly with: batches below 16 images, where `groupnorm` is safer; `early_stopping` after few
steps, whose statistics lag behind; `dropout` before it (Li et al. 2019).
Cost: about a quarter more time an epoch for small networks, less for large ones.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "pre-activations drift less while the network learns"
EVIDENCE = ("preactivation_drift", "lower")


class Options(Base):
    momentum: float = Field(ge=0, lt=1, description="of the moving mean and variance, per step")


def apply(recipe, options):
    return recipe.inserting("conv", "BatchNormalization", momentum=options.momentum)
