"""AugMix: several short chains of ops, blended with each other and with the image itself.

Mechanism: broad changes that still look like images, since no chain comes through whole (Hendrycks
et al. 2020, algorithm 1, without its consistency loss, which sees three versions of an image at
once and would need a trainer of its own). The ops are those of `randaugment`, more than the paper's
nine, each at a magnitude drawn anew up to `strongest`.

Sensible: `width` 3, `depth` 3, `strongest` 0.3, `alpha` 1, those of the paper.
Goes badly with: digits and text, where large turns change the class; images of a few pixels.
Cost: `width` times `depth` rounds of all ops an image: the dearest augmentation here.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.techniques import randaugment
from cnnlab.recipe.techniques.mixup import beta

SERVES = ("classification",)
CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    width: int = Field(ge=1, le=8, description="chains")
    depth: int = Field(ge=1, le=8, description="ops a chain at most; drawn from 1 up to it")
    strongest: float = Field(
        gt=0, le=1, description="the highest magnitude, share of full strength"
    )
    alpha: float = Field(gt=0, le=100, description="of the blend; 1: all shares alike")


def apply(recipe, options):
    return recipe.augmenting("augmix", **options.model_dump())


def recolour(seed, images, width, depth, strongest, alpha):
    import tensorflow as tf

    n, shape = tf.shape(images)[0], images.shape[1:]
    chains = tf.tile(images, [width, 1, 1, 1])  # all at once, as one batch
    length = tf.random.stateless_uniform([width * n], seed + 3, 1, depth + 1, tf.int32)
    for number in range(depth):
        step = seed + 4 + 3 * number  # an op draws from its seed and the next
        magnitude = tf.random.stateless_uniform([width * n], step + 2, 0, strongest)
        changed = _op(step, chains, magnitude)
        chains = tf.where((number < length)[:, None, None, None], changed, chains)
    # Gammas over their sum are Dirichlet; of a small shape all may be 0 in float32.
    shares = tf.random.stateless_gamma([width, n, 1, 1, 1], seed, alpha) + 1e-20
    shares /= tf.reduce_sum(shares, axis=0)
    blend = tf.reduce_sum(shares * tf.reshape(chains, [width, -1, *shape]), axis=0)
    kept = beta(seed + 1, n, alpha)[:, None, None, None]
    return tf.clip_by_value(kept * images + (1 - kept) * blend, 0, 255)


def _op(seed, images, magnitude):
    """Each image after one op of `randaugment`, black beyond its edges."""
    import tensorflow as tf

    height, width = images.shape[1], images.shape[2]
    warps = randaugment.warp(seed, tf.shape(images)[0], width / height, 1, magnitude)
    # From centred units of half the size to pixels, around the matrix, and back.
    scale = tf.constant([[width / 2, 0, (width - 1) / 2], [0, height / 2, (height - 1) / 2]])
    to_pixels = tf.concat([scale, [[0.0, 0, 1]]], axis=0)
    matrices = to_pixels @ warps @ tf.linalg.inv(to_pixels)
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.reshape(matrices, [-1, 9])[:, :8],
        output_shape=[height, width],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=0.0,
    )
    return randaugment.recolour(seed, moved, 1, magnitude)
