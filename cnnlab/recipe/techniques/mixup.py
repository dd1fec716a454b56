"""Mixup: each image is blended with another one, and their labels in the same share.

Mechanism: the network is asked to be linear between examples, so it is less sure off them (Zhang et
al. 2018). The share is drawn for each image from Beta(alpha, alpha).

Sensible: alpha 0.1 to 0.4 for photographs, up to 1 for small networks that overfit much.
Goes badly with: `label_smoothing` and `cutmix` besides (a rule of thumb: one of them); classes that
differ by details; small networks that underfit; batches of one image, with which it is refused.
Cost: next to none a step; more epochs to pay in full.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

SERVES = ("classification",)
CLAIM = "less sure of itself on images it has not seen"
EVIDENCE = ("confidence", "lower")


class Options(Base):
    alpha: float = Field(gt=0, le=100, description="of the Beta distribution; 1: all shares alike")


def apply(recipe, options):
    return recipe.augmenting("mixup", alpha=options.alpha)


def mix(seed, images, targets, alpha):
    import tensorflow as tf

    share = beta(seed, tf.shape(images)[0], alpha)
    images = _blend(images, share[:, None, None, None])
    return images, _blend(targets, share[:, None])


def beta(seed, n, alpha):
    """Draws from Beta(alpha, alpha), float32 (n,)."""
    import tensorflow as tf

    # The gamma of a small shape may be 0 in float32; as well both of them.
    one, other = tf.unstack(tf.random.stateless_gamma([2, n], seed, alpha) + 1e-20)
    return one / (one + other)


def _blend(values, share):
    import tensorflow as tf

    # Batches are in random order, so the next image is any image.
    return share * values + (1 - share) * tf.roll(values, 1, axis=0)
