"""What a saved network says of images."""

from __future__ import annotations

from types import ModuleType

import keras
import numpy as np
import tensorflow as tf

from cnnlab.train.input import at_once


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

    size = at_once(images.shape[1:])
    parts = (images[i : i + size] for i in range(0, len(images), size))
    return np.concatenate([answer(tf.constant(part)).numpy() for part in parts])


def masks(net: keras.Model, images: np.ndarray) -> np.ndarray:
    """The most probable class of each pixel, uint8 (n, height, width), in inference mode; as
    `probabilities`, of a network that gives a map of logits."""

    @tf.function(input_signature=[tf.TensorSpec([None, *images.shape[1:]], tf.uint8)])
    def answer(pixels: tf.Tensor) -> tf.Tensor:
        logits = net(tf.cast(pixels, "float32"), training=False)
        return tf.cast(tf.argmax(logits, axis=-1), tf.uint8)

    size = at_once(images.shape[1:])
    parts = (images[i : i + size] for i in range(0, len(images), size))
    return np.concatenate([answer(tf.constant(part)).numpy() for part in parts])


def outputs(
    learning: ModuleType, net: keras.Model, images: np.ndarray, truth: np.ndarray
) -> np.ndarray:
    """What a trial would keep of what a network says, float32 (n, ...), in inference mode; as
    `probabilities`. `learning`: the task's module of `cnnlab.train.tasks`; `truth`: what is true of
    the images, (n, ...); may be memory-mapped."""
    pixels = tf.TensorSpec([None, *images.shape[1:]], tf.uint8)
    targets = learning.spec(images.shape[1:])

    @tf.function(input_signature=[pixels, targets])
    def answer(some: tf.Tensor, true: tf.Tensor) -> tf.Tensor:
        return learning.outputs(net(tf.cast(some, "float32"), training=False), true)

    size = at_once(images.shape[1:])
    parts = [slice(i, i + size) for i in range(0, len(images), size)]
    kept = [answer(tf.constant(images[p]), tf.constant(truth[p], targets.dtype)) for p in parts]
    return np.concatenate([part.numpy() for part in kept])
