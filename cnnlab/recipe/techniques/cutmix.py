"""CutMix: a rectangle of some images is replaced by that of another, labels by share of area.

Mechanism: as erasing, but no pixel is wasted, and labels are soft (Yun et al. 2019). The area is
drawn from Beta(alpha, alpha).

Sensible: probability 0.5 to 1, alpha 1, for photographs of 32 pixels on and long trainings.
Goes badly with: small things in large images, which the rectangle misses or takes away; digits and
text; trainings of few epochs; `mixup` in the same batch (a rule of thumb: one of both);
batches of one image, with which it is refused.
Cost: next to none a step; two to three times the epochs to pay in full.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.techniques.mixup import beta

SERVES = ("classification",)
CLAIM = "less sure of itself on images it has not seen"
EVIDENCE = ("confidence", "lower")


class Options(Base):
    probability: float = Field(gt=0, le=1, description="share of images that are mixed")
    alpha: float = Field(gt=0, le=100, description="of the Beta distribution; 1: all areas alike")


def apply(recipe, options):
    return recipe.augmenting("cutmix", **options.model_dump())


def mix(seed, images, targets, probability, alpha):
    import tensorflow as tf

    n, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    # Of the rectangle, as a share of the image's.
    side = tf.sqrt(1 - beta(seed, n, alpha))[:, None, None]
    u = tf.random.stateless_uniform([3, n, 1, 1], seed + 1)
    side = tf.where(u[2] < probability, side, 0)
    y = tf.range(height, dtype=tf.float32)[None, :, None] + 0.5
    x = tf.range(width, dtype=tf.float32)[None, None, :] + 0.5
    inside = tf.abs(y - u[0] * height) < side * height / 2
    inside &= tf.abs(x - u[1] * width) < side * width / 2
    other = tf.reduce_mean(tf.cast(inside, tf.float32), axis=[1, 2])[:, None]  # share of its area
    images = tf.where(inside[..., None], tf.roll(images, 1, axis=0), images)
    return images, (1 - other) * targets + other * tf.roll(targets, 1, axis=0)
