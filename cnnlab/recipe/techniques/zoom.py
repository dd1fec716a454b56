"""Random zoom: each image is magnified or shrunk about its centre.

Mechanism: makes the network tolerate size (Simard et al. 2003, affine distortions).

Sensible: 0.1 to 0.3 for photographs, where distance varies.
Goes badly with: images whose size tells the class (cells, parts measured at one scale).
Cost: a few percent of a step on the CPU.
"""

import math

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    fraction: float = Field(gt=0, lt=1, description="size drawn from 1/(1 + it) to 1 + it")


def apply(recipe, options):
    return recipe.augmenting("zoom", fraction=options.fraction)


def warp(seed, n, aspect, fraction):
    import tensorflow as tf

    limit = math.log1p(fraction)  # as often half the size as twice the size
    scale = tf.exp(tf.random.stateless_uniform([n], seed, -limit, limit))
    return tf.linalg.diag(tf.stack([1 / scale, 1 / scale, tf.ones_like(scale)], -1))
