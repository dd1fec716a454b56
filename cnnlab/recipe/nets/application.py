"""Any image network of keras.applications, cut at a layer: a body that known weights fit.

Images are brought to the network's input size and its own preprocessing inside the graph, so a
study's pool stays uint8 at its own size. The head is the mean of each map, then dense layers.
"""

import ast
import difflib
import functools
import importlib.util
import sys
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, field_validator

from cnnlab.errors import UserError
from cnnlab.plugins import Options as Base

SMALLEST = 32  # pixels; all networks of keras.applications halve the image five times


class Options(Base):
    name: str = Field(description="a function of keras.applications", examples=["MobileNet"])
    cut: str | None = Field(
        description="layer whose maps go to the head; null: the last", examples=["conv_pw_2_relu"]
    )
    size: int | None = Field(ge=SMALLEST, le=1024, description="pixels that images are resized to")
    preprocessing: Literal["own", "tf", "torch", "caffe", "none"]
    momentum: float | None = Field(ge=0, lt=1, description="of batch norm; null: the network's own")
    dense: list[Annotated[int, Field(ge=1, le=65536)]] = Field(description="units of hidden layers")

    @field_validator("name")
    @classmethod
    def _known(cls, name):
        if name not in names():
            raise ValueError(f"no network of keras.applications; allowed: {', '.join(names())}")
        return name


def places(options):
    return ("dense",)


def body(recipe, images):
    import keras

    from cnnlab.recipe import blocks

    options = recipe.net_options
    limits = {target: blocks.kept(recipe, axes) for target, axes in (("full", 3), ("deep", 2))}

    def as_in_recipe(layer):
        if isinstance(layer, keras.Sequential):
            return layer  # its layers are called one by one
        config = layer.get_config()
        _limit(config, limits)
        if isinstance(layer, keras.layers.BatchNormalization):
            config["momentum"] = options["momentum"] or config["momentum"]
        return type(layer).from_config(config)

    def called(layer, *inputs, **options):
        if not isinstance(layer, keras.Sequential):
            return layer(*inputs, **options)
        return blocks.through(inputs[0], map(as_in_recipe, layer.layers))

    pixels = keras.Input(images.shape[1:], name="pixels")
    net = keras.Model(pixels, _maps(options, pixels))
    clone = keras.models.clone_model(net, images, clone_function=as_in_recipe, call_function=called)
    maps = clone.outputs[0]
    return keras.layers.GlobalAveragePooling2D(name="means")(maps)


def head(recipe, features, classes):
    from cnnlab.recipe import blocks

    x = blocks.through(features, blocks.inserted(recipe, "dense", "means"))
    for d, units in enumerate(recipe.net_options["dense"], 1):
        x = blocks.through(x, blocks.dense(recipe, f"dense{d}", units))
    return blocks.logits(recipe, classes)(x)


def layer_name(name):
    return name


def imagenet(options, shape):
    import keras

    size = (options["size"],) * 2 if options["size"] else tuple(shape[:2])
    pixels = keras.Input((*size, 3))
    fetched = keras.Model(pixels, _maps(options, pixels, "imagenet"))
    layers = [inner for layer in fetched.layers for inner in getattr(layer, "layers", [layer])]
    return {layer.name: layer.get_weights() for layer in layers if layer.weights}


def _maps(options, images, weights=None):
    """The maps at the cut, from `images`, a Keras input of pixels in 0..255.

    `weights`: None for random ones, or "imagenet", which Keras fetches. Raises UserError for an
    unknown cut and for images that are too small.
    """
    import keras

    from cnnlab.recipe import blocks

    x = images
    if x.shape[3] == 1:
        x = keras.layers.Concatenate(name="rgb")([x, x, x])
    if options["size"] and x.shape[1:3] != (options["size"],) * 2:
        x = blocks.resized(x, (options["size"],) * 2, name="resize")
    if min(x.shape[1:3]) < SMALLEST:
        raise UserError(
            f"params.yaml: application.size = {options['size']}: {options['name']} takes images of "
            f"at least {SMALLEST} pixels, these have {x.shape[1]}x{x.shape[2]}; give a larger size"
        )
    make = getattr(keras.applications, options["name"])
    x = _preprocessed(x, make, options["preprocessing"])
    net = make(include_top=False, weights=weights, input_tensor=x)
    cut, layers = options["cut"] or net.layers[-1].name, [layer.name for layer in net.layers]
    if cut not in layers:
        like = difflib.get_close_matches(cut, layers, 8, 0) or layers
        raise UserError(
            f"params.yaml: application.cut = {cut!r}: {options['name']} has no such layer; it has "
            f"{len(layers)}, among them: {', '.join(like)}"
        )
    return net.get_layer(cut).output


@functools.cache
def names():
    """What keras.applications has, sorted. Does not load Keras."""
    folder = Path(importlib.util.find_spec("keras").origin).parent
    files = [folder / "applications/__init__.py", folder / "api/applications/__init__.py"]
    tree = ast.parse(next(f for f in files if f.exists()).read_text())
    imported = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    functions = {alias.asname or alias.name for node in imported for alias in node.names}
    return sorted(name for name in functions if name[0].isupper())


def _preprocessed(x, make, mode):
    """Pixels as the network takes them. Every preprocessing of keras.applications is a scale and an
    offset for each channel, and their order: found by asking it, and made of layers."""
    import keras

    def asked(pixels):
        pixels = np.array(pixels, np.float32).reshape(1, 1, 1, 3)
        if mode == "own":
            result = sys.modules[make.__module__].preprocess_input(pixels)
        else:
            result = keras.applications.imagenet_utils.preprocess_input(pixels, mode=mode)
        return np.asarray(result).reshape(3)

    if mode == "none":
        return x
    offset = asked([0, 0, 0])
    scale = np.array([asked(255 * one) - offset for one in np.eye(3)]) / 255  # (from, to) channel
    if np.abs(np.fliplr(scale).diagonal()[[0, 2]]).max() > 0:  # blue comes first
        x, scale = keras.ops.flip(x, axis=-1), scale[::-1]
    scale, offset = scale.diagonal().tolist(), offset.tolist()
    if scale == [1, 1, 1] and offset == [0, 0, 0]:  # the network has it built in
        return x
    return keras.layers.Rescaling(scale, offset, name="scale")(x)


def _limit(config, limits):
    """Put the recipe's penalties and limits into the config of a conv, as `blocks.kept` does."""
    import keras

    if "kernel_size" not in config:
        return
    for key in config:
        what, _, kind = key.rpartition("_")
        if kind not in ("regularizer", "constraint"):
            continue
        target = what if what in ("bias", "activity") else "kernel"
        value = limits["deep" if what == "depthwise" else "full"].get(f"{target}_{kind}")
        if value is not None:
            config[key] = keras.saving.serialize_keras_object(value)
