"""Random shift: each image is moved by up to a share of its width and height.

Mechanism: makes the network see what it learnt at other places (LeCun et al. 1998, distortions).

Sensible: 0.05 to 0.15; half a pixel to a pixel for 8x8, four of 32.
Goes badly with: things at the edge, which it pushes out of the image.
Cost: a few percent of a step on the CPU.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    fraction: float = Field(gt=0, le=0.5, description="largest shift, share of width and height")


def apply(recipe, options):
    return recipe.augmenting("shift", fraction=options.fraction)


def warp(seed, n, aspect, fraction):
    import tensorflow as tf

    # A whole width is 2 in units of the half width.
    x, y = tf.unstack(tf.random.stateless_uniform([2, n], seed, -2 * fraction, 2 * fraction))
    one, zero = tf.ones_like(x), tf.zeros_like(x)
    rows = [[one, zero, x], [zero, one, y], [zero, zero, one]]
    return tf.stack([tf.stack(row, -1) for row in rows], -2)
