"""Random rotation about the centre, by up to so many degrees to either side.

Mechanism: makes the network tolerate slant (Simard et al. 2003, affine distortions of digits).

Sensible: 5 to 15 degrees for digits and upright photographs; 180 for images without an up (cells,
satellites).
Goes badly with: 6 against 9 and the like at large angles; corners that turn black and tell the
angle (`train.fill_mode`).
Cost: a few percent of a step on the CPU.
"""

import math

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    degrees: float = Field(gt=0, le=180, description="largest angle, degrees")


def apply(recipe, options):
    return recipe.augmenting("rotation", degrees=options.degrees)


def warp(seed, n, aspect, degrees):
    import tensorflow as tf

    limit = math.radians(degrees)
    angle = tf.random.stateless_uniform([n], seed, -limit, limit)
    c, s, one, zero = tf.cos(angle), tf.sin(angle), tf.ones_like(angle), tf.zeros_like(angle)
    # In units of half width and half height a plain turn would squeeze oblong images.
    rows = [[c, -s / aspect, zero], [s * aspect, c, zero], [zero, zero, one]]
    return tf.stack([tf.stack(row, -1) for row in rows], -2)
