"""Layer normalisation between each conv and its activation: each image by itself (Ba et al. 2016).

Mechanism: as batch normalisation, with no need of other images, and the same at inference.
"""

from cnnlab.plugins import Options as Base

CLAIM = "pre-activations drift less while the network learns"
EVIDENCE = ("preactivation_drift", "lower")


class Options(Base):
    pass


def apply(recipe, options):
    # One group: mean and spread over all of an image's maps, gain and offset a channel.
    return recipe.inserting("conv", "GroupNormalization", groups=1)
