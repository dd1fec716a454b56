"""Random contrast: the distance of each pixel from its image's mean grey is scaled.

Mechanism: makes the network tolerate flat and harsh light (Howard 2013, extra photometric changes).

Sensible: 0.1 to 0.4 for photographs; less where contrast is the finding, as in medical images.
Goes badly with: images whose contrast tells the class.
Cost: next to none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    fraction: float = Field(
        gt=0, lt=1, description="factor drawn from 1 - fraction to 1 + fraction"
    )


def apply(recipe, options):
    return recipe.augmenting("contrast", fraction=options.fraction)


def recolour(seed, images, fraction):
    import tensorflow as tf

    factor = tf.random.stateless_uniform(
        [tf.shape(images)[0], 1, 1, 1], seed, 1 - fraction, 1 + fraction
    )
    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return tf.clip_by_value((images - mean) * factor + mean, 0, 255)
