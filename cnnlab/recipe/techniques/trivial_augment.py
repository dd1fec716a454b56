"""TrivialAugment: each image gets one op, at a magnitude drawn anew.

Mechanism: a broad policy with nothing to choose (Mueller and Hutter 2021); the ops are those of
`randaugment`, the magnitude is uniform up to `strongest`.

Sensible: strongest 0.3 to 1 for photographs; the first policy to try, as nothing has to be tuned.
Goes badly with: digits and text; classes that differ by colour; short trainings.
Cost: as `randaugment` with one op.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.techniques import randaugment

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    strongest: float = Field(
        gt=0, le=1, description="the highest magnitude, share of full strength"
    )


def apply(recipe, options):
    return recipe.augmenting("trivial_augment", **options.model_dump())


def warp(seed, n, aspect, strongest):
    return randaugment.warp(seed, n, aspect, 1, _magnitudes(seed, n, strongest))


def recolour(seed, images, strongest):
    import tensorflow as tf

    magnitudes = _magnitudes(seed, tf.shape(images)[0], strongest)
    return randaugment.recolour(seed, images, 1, magnitudes)


def _magnitudes(seed, n, strongest):
    import tensorflow as tf

    return tf.random.stateless_uniform([n], seed + 2, 0, strongest)
