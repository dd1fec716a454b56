"""Gaussian noise: each pixel and channel is moved by a draw of its own.

Mechanism: to first order a penalty on the slope of the net's function (Bishop 1995).

Sensible: sd 0.01 to 0.1; for sensors that are noisy.
Goes badly with: images whose texture tells the class; strong noise on small images, which then
underfit.
Cost: next to none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "single pixels cannot be memorised"
EVIDENCE = ("gap", "lower")


class Options(Base):
    sd: float = Field(gt=0, le=1, description="standard deviation, share of the full range")


def apply(recipe, options):
    return recipe.augmenting("noise", sd=options.sd)


def recolour(seed, images, sd):
    import tensorflow as tf

    drawn = tf.random.stateless_normal(tf.shape(images), seed, stddev=255 * sd)
    return tf.clip_by_value(images + drawn, 0, 255)
