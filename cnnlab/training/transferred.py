"""A net as one phase of transfer trains it: where it begins, and what moves.

The recipe's net is `_transferred`; its net_options are the `net` itself and its `options`, the
`phase` as a dict, and `image`: None for the whole net, or the shape of an image where the head
alone is trained, on stored features.
"""

import functools
import math
from dataclasses import replace

import keras
import tensorflow as tf

from cnnlab.training.recipe import MODELS, Phase


def build(recipe, shape, classes):
    options = recipe.net_options
    if options["image"]:
        return head(recipe, classes, draws=shape[0] - 1)
    net = whole(recipe, shape, classes)
    net = Transferred(net.inputs[0], net.outputs[0], name=net.name)
    net.phase = Phase(**options["phase"])
    return net


def whole(recipe, shape, classes):
    """The net itself, at random weights."""
    own = {"net": recipe.net_options["net"], "net_options": recipe.net_options["options"]}
    return MODELS[own["net"]].build(replace(recipe, **own), tuple(shape), classes)


def held(net):
    """Layer name -> its arrays, statistics included, for all layers that have some."""
    return {layer.name: layer.get_weights() for layer in net.layers if layer.weights}


def conv_part(net):
    """The layers of the backbone: convs, what belongs to them, and pools."""
    return [layer for layer in net.layers if in_conv_part(layer.name)]


def in_conv_part(name):
    """Whether a layer of this name belongs to the backbone."""
    return name.startswith(("conv", "pool"))


def units(net):
    """The backbone from bottom to top, a list of layers for each conv and what belongs to it."""
    found = []
    for layer in conv_part(net):
        if hasattr(layer, "kernel") or hasattr(layer, "depthwise_kernel") or not found:
            found.append([])
        found[-1].append(layer)
    return found


def features(net):
    """The tensor that stored features are, and the layers of the head that learn from it."""
    last = net.layers.index(conv_part(net)[-1])
    head = net.layers[last + 1 :]
    tensor = net.layers[last].output
    while isinstance(head[0], keras.layers.GlobalAveragePooling2D | keras.layers.Flatten):
        tensor = head.pop(0).output
    return tensor, head


class Transferred(keras.Model):
    """A net of which a phase says what moves. It is followed when the net is compiled."""

    phase: Phase

    def compile(self, optimizer, **options):
        backbone = units(self)
        still = len(backbone) - math.ceil(self.phase.learning * len(backbone))
        for i, unit in enumerate(backbone):
            for layer in unit:
                fixed = isinstance(layer, keras.layers.BatchNormalization)
                layer.trainable = i >= still and not (fixed and self.phase.batchnorm == "fixed")
        if self.phase.lowest != 1:
            top = max(len(backbone) - 1, 1)
            for i, unit in enumerate(backbone):
                _slow(optimizer, unit, self.phase.lowest ** ((top - i) / top))
        super().compile(optimizer=optimizer, **options)


def _slow(optimizer, layers, factor):
    """Multiply the learning rate of some layers. Gradients would not do: Adam divides by them."""
    refs = {v.value.ref() for layer in layers for v in layer.trainable_variables}
    step = optimizer.update_step

    def slowed(gradient, variable, learning_rate):
        own = learning_rate * factor if variable.ref() in refs else learning_rate
        return step(gradient, variable, own)

    vars(optimizer)["update_step"] = slowed  # past Keras's attribute tracking


def head(recipe, classes, draws=0, seed=None):
    """The head alone: from stored features, uint8 bytes (1 + draws, units, 4), to logits."""
    units, layers = _layers(recipe, classes)
    if seed is not None:
        keras.utils.set_random_seed(seed)
    first = [keras.Input((1 + draws, units, 4), name="features"), Drawn(name="drawn")]
    first += [keras.layers.Activation("linear", name="features_act")]
    return keras.Sequential([*first, *(kind.from_config(c) for kind, c in layers)], name="head")


@functools.lru_cache(maxsize=8)
def _layers(recipe, classes):
    """Number of features, and the head's layers as class and config: to build the backbone, which
    tells them, takes a while."""
    net = whole(recipe, recipe.net_options["image"], classes)
    tensor, layers = features(net)
    return math.prod(tensor.shape[1:]), [(type(layer), layer.get_config()) for layer in layers]


class Drawn(keras.layers.Layer):
    """From bytes of float32 features (n, 1 + draws, units, 4) to features (n, units): in training
    those of a draw at random, where there are some, else those of the clean image."""

    def __init__(self, **options):
        super().__init__(**options)
        self.random = keras.random.SeedGenerator()

    def call(self, numbers, training=False):
        several = tf.bitcast(tf.cast(numbers, tf.uint8), tf.float32)
        draws = several.shape[1] - 1
        if not training or not draws:
            return several[:, 0]
        picked = keras.random.randint([tf.shape(several)[0]], 1, draws + 1, seed=self.random)
        return tf.gather(several, picked, batch_dims=1)
