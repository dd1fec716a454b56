"""Random erasing: a rectangle of some images is painted with the image's mean colour.

Mechanism: the network must use the whole object and not one tell-tale part (DeVries and Taylor
2017, cutout; Zhong et al. 2020, whose draw of area and aspect this is).

Sensible: probability 0.25 to 0.5, area 0.02 to 0.3, for photographs.
Goes badly with: small things in large images, which it may hide; digits, where a hidden stroke
changes the class.
Cost: next to none.
"""

import math

from pydantic import Field, model_validator

from cnnlab.plugins import Options as Base

CLAIM = "no single part of an image can be relied on"
EVIDENCE = ("gap", "lower")
ASPECT = 3.0  # of the rectangle, at most, either way; Zhong et al.


class Options(Base):
    probability: float = Field(gt=0, le=1, description="share of images with a rectangle")
    smallest: float = Field(gt=0, lt=1, description="its area, share of the image's")
    largest: float = Field(gt=0, lt=1, description="its area, share of the image's")

    @model_validator(mode="after")
    def _ordered(self):
        if self.smallest > self.largest:
            raise ValueError("smallest must not be above largest")
        return self


def apply(recipe, options):
    return recipe.augmenting("erasing", **options.model_dump())


def recolour(seed, images, probability, smallest, largest):
    import tensorflow as tf

    n, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    u = tf.random.stateless_uniform([5, n, 1, 1], seed)
    area = (smallest + (largest - smallest) * u[0]) * height * width
    aspect = tf.exp((2 * u[1] - 1) * math.log(ASPECT))
    tall = tf.clip_by_value(tf.round(tf.sqrt(area * aspect)), 1, height)
    wide = tf.clip_by_value(tf.round(tf.sqrt(area / aspect)), 1, width)
    top, left = tf.floor(u[2] * (height - tall + 1)), tf.floor(u[3] * (width - wide + 1))
    y = tf.range(height, dtype=tf.float32)[None, :, None]
    x = tf.range(width, dtype=tf.float32)[None, None, :]
    inside = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
    inside &= u[4] < probability
    mean = tf.reduce_mean(images, axis=[1, 2], keepdims=True)
    return tf.where(inside[..., None], mean, images)
