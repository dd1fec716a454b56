"""A network that gives a class to each pixel: the body of any network, and a decoder on it.

After Ronneberger et al. (2015, U-Net): from the body's smallest map upwards, each step enlarges the
map to the size of the last one that the body had before it halved the image, joins both and puts
them through a conv. With a `vgg` this is a small U-Net; the body of a backbone is used as it is.
What a body does after its last map, such as the mean of each, and its hidden dense layers have no
part.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from cnnlab.recipe import blocks
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.network import Network, _has_kernel
from cnnlab.recipe.norm import fuse
from cnnlab.recipe.recipe import Recipe

WIDEST = 64  # maps of a step: as many as the body has at that size, and no more than these


def network(recipe: Recipe, shape: Sequence[int], classes: int) -> Network:
    """The network of a recipe, from images of `shape` (height, width, channels) to logits, float32
    (n, height, width, classes). Its weights are at random.

    Techniques act in the convs of the decoder as in those of the body; what they put after hidden
    dense layers comes before the logits. Raises UserError where the network cannot take such
    images.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)  # weights are float32 in all of them
    try:
        images = keras.Input(shape, name="images")
        maps = maps_of(keras.Model(images, NETS[recipe.net].body(recipe, images)))
        body = keras.Model(images, maps[-1], name="body")
        x = joined(recipe, maps)
        x = blocks.through(x, blocks.inserted(recipe, "dense", "decoded"))
        last = keras.layers.Conv2D(
            classes, 1, dtype="float32", name="logits", **blocks.kept(recipe, 3)
        )
        x = enlarged(last(x), (None, *shape), "enlarge", "bilinear")
        whole = keras.Model(images, x, name=recipe.net)
        fuse(whole)
        return Network(whole, body)
    finally:
        keras.config.set_dtype_policy(before)


def joined(recipe: Recipe, maps: Sequence):
    """Maps from the largest to the smallest put together, at the size of the largest."""
    x = maps[-1]
    for step, skip in enumerate(reversed(maps[:-1]), 1):
        x = enlarged(x, skip.shape, f"enlarge{step}")
        x = keras.layers.Concatenate(name=f"join{step}")([x, skip])
        filters = min(skip.shape[-1], WIDEST)
        x = blocks.through(x, blocks.conv(recipe, f"up{step}", filters, 3))
    return x


def maps_of(body: keras.Model) -> list:
    """The last map of each size that a body makes, from the largest to the smallest; not what comes
    before its first conv, nor padded maps, nor the mean of one."""
    last, begun = {}, False
    for layer in body.layers:
        begun = begun or _has_kernel(layer)
        is_map = len(layer.output.shape) == 4 and min(layer.output.shape[1:3]) > 1
        if begun and is_map and not isinstance(layer, keras.layers.ZeroPadding2D):
            last[tuple(layer.output.shape[1:3])] = layer.output
    return [last[size] for size in sorted(last, reverse=True)]


def enlarged(x, shape, name: str, way: str = "nearest"):
    """Maps at the height and width of `shape` (n, height, width, channels)."""
    if tuple(x.shape[1:3]) == tuple(shape[1:3]):
        return x
    if way == "nearest" and blocks.on_gpu():
        # Of the gradient of that resizing GPUs have no deterministic form, and XLA has none.
        for axis, size in enumerate(shape[1:3], 1):
            scale = np.float32(x.shape[axis]) / np.float32(size)  # as TensorFlow rounds it
            nearest = (np.arange(size, dtype=np.float32) + np.float32(0.5)) * scale
            x = keras.ops.take(x, nearest.astype(int), axis)
        return x
    kind = {"dtype": "float32"} if way == "bilinear" else {}
    return blocks.resized(x, shape[1:3], name=name, interpolation=way, **kind)
