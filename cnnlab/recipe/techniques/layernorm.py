"""Layer normalisation between each conv and its activation: each image by itself (Ba et al. 2016).

Mechanism: as batch normalisation, with no need of other images, and the same at inference.

Sensible: where batches are small or single images are trained on; usual in transformers more than
in CNNs.
Goes badly with: `batchnorm` in the same variant; CNNs with large batches, where `batchnorm` is
better (Wu and He 2018).
Cost: 10 to 30 percent more time an epoch (a rule of thumb; not fused).
"""

from cnnlab.plugins import Options as Base

CLAIM = "pre-activations drift less while the network learns"
EVIDENCE = ("preactivation_drift", "lower")


class Options(Base):
    pass


def apply(recipe, options):
    # One group: mean and spread over all of an image's maps, gain and offset a channel.
    return recipe.inserting("conv", "GroupNormalization", groups=1)
