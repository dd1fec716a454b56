"""What a saved network says of images."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cnnlab.train.input import at_once


def probabilities(net: keras.Model, images: np.ndarray) -> np.ndarray:
    """Class probabilities, float32 (n, classes), in inference mode.

    `net`: gives out logits, as all networks that this project trains. `images`: uint8 (n, height,
    width, channels), n at least 1; may be memory-mapped.
    """
    answer = tf.function(
        lambda batch: tf.nn.softmax(
            tf.cast(net(tf.cast(batch, "float32"), training=False), "float32")
        ),
        input_signature=[tf.TensorSpec([None, *images.shape[1:]], tf.uint8)],
    )
    size = at_once(images.shape[1:])
    parts = (images[i : i + size] for i in range(0, len(images), size))
    return np.concatenate([answer(tf.constant(part)).numpy() for part in parts])
