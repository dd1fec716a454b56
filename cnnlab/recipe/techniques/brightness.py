"""Random brightness: one amount is added to all pixels of an image.

Mechanism: makes the network tolerate exposure (Krizhevsky et al. 2012, lighting).

Sensible: 0.1 to 0.3 for photographs; 0 to 0.1 where exposure is controlled (microscopes, scanners).
Goes badly with: images whose brightness tells the class.
Cost: next to none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    fraction: float = Field(gt=0, le=1, description="largest change, share of the full range")


def apply(recipe, options):
    return recipe.augmenting("brightness", fraction=options.fraction)


def recolour(seed, images, fraction):
    import tensorflow as tf

    limit = 255 * fraction
    amount = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed, -limit, limit)
    return tf.clip_by_value(images + amount, 0, 255)
