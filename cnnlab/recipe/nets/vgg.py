"""A small VGG-like network: blocks of 3x3 convs and a max pool, then dense layers.

After Simonyan and Zisserman (2015), at the size that small images ask for.
"""

from typing import Annotated

from pydantic import Field

from cnnlab.errors import UserError
from cnnlab.plugins import Options as Base


class Options(Base):
    filters: list[Annotated[int, Field(ge=1, le=4096)]] = Field(
        min_length=1, max_length=7, description="filters of each block's convs"
    )
    convs: int = Field(ge=1, le=8, description="convs a block")
    kernel: int = Field(ge=1, le=15, description="kernel width and height, pixels")
    dense: list[Annotated[int, Field(ge=1, le=65536)]] = Field(description="units of hidden layers")


def places(options):
    return ("conv", "block", "pool", "dense") if options["dense"] else ("conv", "block", "pool")


def body(recipe, images):
    import keras

    from cnnlab.recipe import blocks

    size, (height, width) = recipe.net_options, images.shape[1:3]
    if min(height, width) < 2 ** len(size["filters"]):
        raise UserError(
            f"params.yaml: vgg.filters: {len(size['filters'])} blocks halve the image as many"
            f" times, but it has only {height}x{width} pixels; use fewer blocks"
        )
    x = keras.layers.Rescaling(1 / 255, name="scale")(images)
    for b, filters in enumerate(size["filters"], 1):
        for c in range(1, size["convs"] + 1):
            name = f"conv{b}_{c}"
            x = blocks.through(x, blocks.conv(recipe, name, filters, size["kernel"]))
        pool = keras.layers.MaxPooling2D(name=f"pool{b}")
        x = blocks.through(x, blocks.inserted(recipe, "pool", f"halve{b}") or [pool])
        x = blocks.through(x, blocks.inserted(recipe, "block", f"pool{b}"))
    return keras.layers.Flatten(name="flatten")(x)


def head(recipe, features, classes):
    from cnnlab.recipe import blocks

    x = features
    for d, units in enumerate(recipe.net_options["dense"], 1):
        x = blocks.through(x, blocks.dense(recipe, f"dense{d}", units))
    return blocks.logits(recipe, classes)(x)
