"""Squeeze and excite: each map after a block is scaled by what all maps together show.

Mechanism: the means of the maps go through two small dense layers to a factor in 0..1 for each, so
that maps count by what is in the image (Hu et al. 2018, section 3).

Sensible: ratio 4 to 16; 4 for blocks of less than 64 maps.
Goes badly with: tiny networks, of which the extra weights are a large part.
Cost: a few percent of time and weights.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "maps count by what is in the image: held-out images fit better"
EVIDENCE = ("nll", "lower")


class Options(Base):
    ratio: int = Field(ge=1, le=64, description="maps a unit of the first dense layer")


def apply(recipe, options):
    return recipe.inserting("block", "squeeze_excite", ratio=options.ratio)


def layers(name, ratio):
    import keras

    def scaled(maps):
        width = maps.shape[-1]
        small, called = max(1, width // ratio), f"{name}_excite"
        x = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(maps)
        x = keras.layers.Conv2D(small, 1, activation="relu", name=f"{called}1")(x)
        x = keras.layers.Conv2D(width, 1, activation="sigmoid", name=f"{called}2")(x)
        return keras.layers.Multiply(name=called)([maps, x])

    return [scaled]
