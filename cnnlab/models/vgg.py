"""A small VGG-like net: blocks of 3x3 convs and a max pool, then dense layers.

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
    return ("conv", "block", "dense")


def build(recipe, shape, classes):
    import keras

    from cnnlab.training import blocks

    size = recipe.net_options
    if min(shape[:2]) < 2 ** len(size["filters"]):
        raise UserError(
            f"params.yaml: model.vgg.filters: {len(size['filters'])} blocks halve the image as many"
            f" times, but it has only {shape[0]}x{shape[1]} pixels; use fewer blocks"
        )
    layers = [keras.Input(shape, name="images"), keras.layers.Rescaling(1 / 255, name="scale")]
    for b, filters in enumerate(size["filters"], 1):
        for c in range(1, size["convs"] + 1):
            layers += blocks.conv(recipe, f"conv{b}_{c}", filters, size["kernel"])
        layers.append(keras.layers.MaxPooling2D(name=f"pool{b}"))
        layers += blocks.inserted(recipe, "block", f"pool{b}")
    layers.append(keras.layers.Flatten(name="flatten"))
    for d, units in enumerate(size["dense"], 1):
        layers += blocks.dense(recipe, f"dense{d}", units)
    layers.append(blocks.logits(recipe, classes))
    return keras.Sequential(layers, name="vgg")
