"""Random flips: each image is mirrored with probability 1/2 in each direction that is on.

Mechanism: doubles what is seen of left-right symmetric things (Krizhevsky et al. 2012). Wrong for
digits and text.

Sensible: horizontal for photographs of things and scenes; both for images without an up (cells,
satellites).
Goes badly with: digits, text, and things whose sides differ; vertical where gravity shows.
Cost: next to none.
"""

from pydantic import model_validator

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    horizontal: bool
    vertical: bool

    @model_validator(mode="after")
    def _some(self):
        if not (self.horizontal or self.vertical):
            raise ValueError("one of horizontal and vertical must be true")
        return self


def apply(recipe, options):
    return recipe.augmenting("flip", **options.model_dump())


def warp(seed, n, aspect, horizontal, vertical):
    import tensorflow as tf

    draws = tf.random.stateless_uniform([2, n], seed)
    flip = draws < tf.constant([[0.5 if horizontal else 0.0], [0.5 if vertical else 0.0]])
    x, y = tf.unstack(tf.where(flip, -1.0, 1.0))
    return tf.linalg.diag(tf.stack([x, y, tf.ones_like(x)], -1))
