"""What a saved network says of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

from cnnlab.train.input import Data, at_once
from cnnlab.train.tasks._boxes import detected


def probabilities(net: keras.Model, images: np.ndarray, flips: bool = False) -> np.ndarray:
    """Class probabilities, float32 (n, classes), in inference mode.

    `net`: gives out logits, as all networks that this project trains. `images`: uint8 (n, height,
    width, channels), n at least 1; may be memory-mapped. `flips`: logits are the mean of those of
    each image and its mirror image, as `records.Answering` does it.
    """

    def logits(batch: tf.Tensor) -> tf.Tensor:
        return tf.cast(net(batch, training=False), "float32")

    @tf.function(input_signature=[tf.TensorSpec([None, *images.shape[1:]], tf.uint8)])
    def answer(pixels: tf.Tensor) -> tf.Tensor:
        batch = tf.cast(pixels, "float32")
        if flips:
            return tf.nn.softmax((logits(batch) + logits(tf.reverse(batch, [2]))) / 2)
        return tf.nn.softmax(logits(batch))

    return _in_parts(answer, images)


def masks(net: keras.Model, images: np.ndarray) -> np.ndarray:
    """The most probable class of each pixel, uint8 (n, height, width), in inference mode; as
    `probabilities`, of a network that gives a map of logits."""

    @tf.function(input_signature=[tf.TensorSpec([None, *images.shape[1:]], tf.uint8)])
    def answer(pixels: tf.Tensor) -> tf.Tensor:
        logits = net(tf.cast(pixels, "float32"), training=False)
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

    return _in_parts(answer, images)


def boxes(net: keras.Model, images: np.ndarray) -> np.ndarray:
    """What a network detects, float32 (n, DETECTIONS, 6), in inference mode: class number (-1: no
    further detection), score, and y0, x0, y1, x1 in pixels, the surest first; as `probabilities`,
    of a network of `cnnlab.recipe.detector`."""

    @tf.function(input_signature=[tf.TensorSpec([None, *images.shape[1:]], tf.uint8)])
    def answer(pixels: tf.Tensor) -> tf.Tensor:
        found = detected(net(tf.cast(pixels, "float32"), training=False))
        return found * tf.constant([1.0, 1, *images.shape[1:3], *images.shape[1:3]])

    return _in_parts(answer, images)


def _in_parts(answer: Callable[[tf.Tensor], tf.Tensor], images: np.ndarray) -> np.ndarray:
    size = at_once(images.shape[1:])
    parts = (images[i : i + size] for i in range(0, len(images), size))
    return np.concatenate([answer(tf.constant(part)).numpy() for part in parts])


def ensemble(nets: Sequence[keras.Model]) -> Callable:
    """One network of several, which gives the logarithms of their mean probabilities as logits."""

    def logits(batch: tf.Tensor, training: bool = False) -> tf.Tensor:
        said = [tf.cast(net(batch, training=training), "float32") for net in nets]
        return tf.math.log(tf.add_n([tf.nn.softmax(one) for one in said]) / len(nets))

    return logits


def outputs(
    learning: ModuleType, net: keras.Model | Callable, images: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """What a trial would keep of what a network, or `ensemble`, says, float32 (n, ...), in
    inference mode; as `probabilities`. `learning`: the task's module of `cnnlab.train.tasks`;
    `truth`: what is true of the images, (n, ...), as a pool has it: labels, or `Pool.truth`; may be
    memory-mapped."""
    pixels = tf.TensorSpec([None, *images.shape[1:]], tf.uint8)
    spec, none = learning.spec(images.shape[1:]), np.zeros(0, int)
    targets = Data(images, truth, none, none, 0, learning=learning, truth=truth).targets

    @tf.function(input_signature=[pixels, spec])
    def answer(some: tf.Tensor, true: tf.Tensor) -> tf.Tensor:
        return learning.outputs(net(tf.cast(some, "float32"), training=False), true)

    size = at_once(images.shape[1:])
    parts = [slice(i, i + size) for i in range(0, len(images), size)]
    kept = [answer(tf.constant(images[p]), tf.constant(targets[p], spec.dtype)) for p in parts]
    return np.concatenate([part.numpy() for part in kept])
