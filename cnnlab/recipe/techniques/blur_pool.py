"""Blur pool: maps are blurred before a pooling takes every second pixel of them.

Mechanism: what varies faster than the pixels that are left cannot come back as something else, so
that an image moved by a pixel gives nearly the same maps (Zhang 2019, MaxBlurPool with the
binomial filter of width 3). For networks that pool.

Sensible: on where objects may be anywhere in the image and networks pool early.
Goes badly with: images of few pixels, such as 8x8, of which little is left to blur; textures finer
than two pixels.
Cost: pooling takes about three times as long, of a network a few percent.
"""

from cnnlab.plugins import Options as Base

CLAIM = "answers hardly depend on a shift by a pixel: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    pass


def apply(recipe, options):
    return recipe.inserting("pool", "blur_pool")


def layers(name):
    import keras

    # Two means of two pixels, one after the other, are the filter (1, 2, 1) / 4.
    return [
        keras.layers.MaxPooling2D(2, strides=1, padding="same", name=f"{name}_max"),
        keras.layers.AveragePooling2D(2, strides=1, padding="same", name=f"{name}_blur"),
        keras.layers.AveragePooling2D(2, name=f"{name}_mean"),
    ]
