"""Batch normalisation in the one operation that TensorFlow has for it.

Keras computes it in several, each of which reads and writes all maps: see bench.batchnorm.
"""

from __future__ import annotations

import keras
import tensorflow as tf

MAPS = ("float32", "float16", "bfloat16")  # types that the operation takes; it counts in float32


class BatchNormalization(keras.layers.BatchNormalization):
    """Keras' layer, whose training pass over maps is fused; results are equal but for rounding.

    Other passes are Keras' own: those in inference mode are cheap as they are, and a GPU has no
    deterministic gradient of them when fused.
    """

    __module__ = "keras.layers"  # saved as Keras' layer, so that a model file does not need cnnlab

    def call(self, inputs, training=None, mask=None):
        """As Keras' layer."""
        if not (training and self.trainable and mask is None and self._can_fuse(inputs)):
            return super().call(inputs, training=training, mask=mask)
        channels = inputs.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=self.gamma if self.scale else tf.ones(channels),
            offset=self.beta if self.center else tf.zeros(channels),
            mean=[],
            variance=[],
            epsilon=self.epsilon,
            is_training=True,
        )
        # The variance comes as an estimate for all images, divided by n - 1; Keras divides by n.
        n = tf.cast(tf.size(inputs) // channels, tf.float32)
        variance *= (n - 1) / n
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + value * (1 - self.momentum))
        return outputs

    def _can_fuse(self, inputs) -> bool:
        return (
            len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) in MAPS
            and self.variable_dtype == "float32"
            and not (self.renorm or self.synchronized)
        )


def fuse(model: keras.Model) -> None:
    """Let Keras' batch normalisation in a model compute as above, whoever put it there.

    The layers change their class and stay the same objects, as other models share them.
    """
    for layer in model.layers:
        if type(layer) is keras.layers.BatchNormalization:
            layer.__class__ = BatchNormalization
