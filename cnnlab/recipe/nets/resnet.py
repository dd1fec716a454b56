"""A small residual network: a conv, stages of two-conv blocks with shortcuts, the mean of each map.

After He et al. (2016), section 4.2, the networks for CIFAR: 3x3 convs, batch normalisation after
every one of them, each stage after the first halves the image. A shortcut that changes shape is a
1x1 conv (their option B).
"""

from typing import Annotated

from pydantic import Field

from cnnlab.errors import UserError
from cnnlab.plugins import Options as Base


class Options(Base):
    filters: list[Annotated[int, Field(ge=1, le=4096)]] = Field(
        min_length=1, max_length=7, description="filters of each stage"
    )
    blocks: int = Field(ge=1, le=200, description="residual blocks a stage, of two convs each")
    kernel: int = Field(ge=1, le=15, description="kernel width and height, pixels")
    pool: bool = Field(description="a 2x2 max pool after the first conv, as for larger images")
    batchnorm: bool = Field(description="after every conv; false leaves the place to techniques")


def places(options):
    normalised = () if options["batchnorm"] else ("conv",)
    pooled = ("pool",) if options["pool"] else ()
    return (*normalised, "block", "branch", *pooled, "dense")


def body(recipe, images):
    import keras

    from cnnlab.recipe import blocks

    size, (height, width) = recipe.net_options, images.shape[1:3]
    stages, filters = len(size["filters"]), size["filters"]
    halvings = stages - 1 + size["pool"]
    if min(height, width) < 2**halvings:
        raise UserError(
            f"params.yaml: resnet.filters: {stages} stages halve the image {halvings} times"
            f"{', with resnet.pool' if size['pool'] else ''}, but it has only {height}x{width}"
            " pixels; use fewer stages"
        )

    def conv(x, name, width, kernel, strides=1):
        made = keras.layers.Conv2D(
            width,
            kernel,
            strides,
            padding="same",
            use_bias=not size["batchnorm"],
            kernel_initializer="he_normal",
            name=name,
            **blocks.kept(recipe, 3),
        )
        x = made(x)
        if size["batchnorm"]:
            x = keras.layers.BatchNormalization(momentum=0.9, name=f"{name}_bn")(x)
        return blocks.through(x, blocks.inserted(recipe, "conv", name))

    x = keras.layers.Rescaling(1 / 127.5, -1.0, name="scale")(images)
    x = blocks.relu("conv0")(conv(x, "conv0", filters[0], size["kernel"]))
    if size["pool"]:
        pool = keras.layers.MaxPooling2D(name="pool0")
        x = blocks.through(x, blocks.inserted(recipe, "pool", "halve0") or [pool])
    total = stages * size["blocks"]
    for s, width in enumerate(filters, 1):
        for b in range(1, size["blocks"] + 1):
            name, depth = f"conv{s}_{b}", ((s - 1) * size["blocks"] + b) / total
            strides = 2 if s > 1 and b == 1 else 1
            inner = blocks.relu(f"{name}a")(conv(x, f"{name}a", width, size["kernel"], strides))
            inner = conv(inner, f"{name}b", width, size["kernel"])
            inner = blocks.through(inner, blocks.inserted(recipe, "branch", name, depth))
            if x.shape[-1] != width or strides > 1:
                x = conv(x, f"{name}_shortcut", width, 1, strides)
            x = blocks.relu(name)(keras.layers.Add(name=f"{name}_add")([x, inner]))
        x = blocks.through(x, blocks.inserted(recipe, "block", f"conv{s}"))
    return keras.layers.GlobalAveragePooling2D(name="means")(x)


def head(recipe, features, classes):
    from cnnlab.recipe import blocks

    x = blocks.through(features, blocks.inserted(recipe, "dense", "means"))
    return blocks.logits(recipe, classes)(x)
