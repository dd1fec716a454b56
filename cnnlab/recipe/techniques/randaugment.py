"""RandAugment: for each image some ops, drawn from one list, all at one magnitude.

Mechanism: a broad policy with two numbers to choose instead of a learnt one (Cubuk et al. 2020,
whose list of ops and full strengths these are; a signed op goes either way).

Sensible: ops 1 to 2, magnitude 0.2 to 0.5 for photographs of some thousand images; less for small
networks.
Goes badly with: digits and text; classes that differ by colour; small networks and short trainings,
which underfit with it.
Cost: a few percent to a fifth of a step on the CPU, by the number of ops.
"""

import math

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")
WARPS = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
COLOURS = ("autocontrast", "equalize", "posterize", "solarize", "saturation", "contrast")
COLOURS += ("brightness", "sharpness")
LIST = ("identity", *WARPS, *COLOURS)


class Options(Base):
    ops: int = Field(ge=1, le=8, description="ops an image")
    magnitude: float = Field(gt=0, le=1, description="of all of them, share of full strength")


def apply(recipe, options):
    return recipe.augmenting("randaugment", **options.model_dump())


# Magnitudes below are one for all images, or float32 (n,), one for each.


def _drawn(seed, n, ops):
    """Which ops, int32 (ops, n), and to which side, -1.0 or 1.0 (ops, n)."""
    import tensorflow as tf

    which = tf.random.stateless_uniform([ops, n], seed, 0, len(LIST), tf.int32)
    side = tf.random.stateless_uniform([ops, n], seed + 1)
    return which, tf.where(side < 0.5, -1.0, 1.0)


def warp(seed, n, aspect, ops, magnitude):
    import tensorflow as tf

    which, side = _drawn(seed, n, ops)
    total = None
    for k, sign in zip(tf.unstack(which), tf.unstack(side), strict=True):

        def amount(name, full, k=k, sign=sign):
            return tf.where(k == LIST.index(name), sign * magnitude * full, 0.0)

        angle = amount("rotate", math.radians(30))
        c, s, one = tf.cos(angle), tf.sin(angle), tf.ones_like(angle)
        rows = [
            [c, -s / aspect + amount("shear_x", 0.3), amount("translate_x", 0.9)],
            [s * aspect + amount("shear_y", 0.3), c, amount("translate_y", 0.9)],
            [0 * one, 0 * one, one],
        ]
        step = tf.stack([tf.stack(row, -1) for row in rows], -2)
        total = step if total is None else total @ step
    return total


def recolour(seed, images, ops, magnitude):
    import tensorflow as tf

    which, side = _drawn(seed, tf.shape(images)[0], ops)
    magnitude = tf.reshape(tf.cast(magnitude, tf.float32), [-1, 1, 1, 1])
    for k, sign in zip(tf.unstack(which), tf.unstack(side), strict=True):
        factor = 1 + 0.9 * magnitude * sign[:, None, None, None]
        for name in COLOURS:
            chosen = (k == LIST.index(name))[:, None, None, None]
            images = tf.where(chosen, globals()[f"_{name}"](images, magnitude, factor), images)
    return images


def _autocontrast(images, magnitude, factor):
    import tensorflow as tf

    low = tf.reduce_min(images, axis=[1, 2], keepdims=True)
    high = tf.reduce_max(images, axis=[1, 2], keepdims=True)
    stretched = (images - low) * 255 / tf.maximum(high - low, 1)
    return tf.where(high - low < 1, images, stretched)


def _equalize(images, magnitude, factor):
    """Each value becomes the share of the channel's pixels up to it, the lowest 0."""
    import tensorflow as tf

    _, height, width, channels = images.shape
    flat = tf.reshape(tf.transpose(images, [0, 3, 1, 2]), [-1, height * width])
    ordered = tf.sort(flat)
    upto = tf.searchsorted(ordered, flat, side="right")
    first = tf.searchsorted(ordered, ordered[:, :1], side="right")
    rest = height * width - first
    levels = tf.cast(upto - first, tf.float32) * 255 / tf.cast(tf.maximum(rest, 1), tf.float32)
    levels = tf.where(rest > 0, levels, flat)
    return tf.transpose(tf.reshape(levels, [-1, channels, height, width]), [0, 2, 3, 1])


def _posterize(images, magnitude, factor):
    import tensorflow as tf

    step = 2.0 ** tf.round(4 * magnitude)  # 8 bits down to 4
    return tf.floor(images / step) * step


def _solarize(images, magnitude, factor):
    import tensorflow as tf

    return tf.where(images >= 256 * (1 - magnitude), 255 - images, images)


def _saturation(images, magnitude, factor):
    import tensorflow as tf

    grey = tf.reduce_mean(images, axis=3, keepdims=True)
    return tf.clip_by_value(grey + (images - grey) * factor, 0, 255)


def _contrast(images, magnitude, factor):
    import tensorflow as tf

    mean = tf.reduce_mean(images, axis=[1, 2, 3], keepdims=True)
    return tf.clip_by_value(mean + (images - mean) * factor, 0, 255)


def _brightness(images, magnitude, factor):
    import tensorflow as tf

    return tf.clip_by_value(images * factor, 0, 255)


def _sharpness(images, magnitude, factor):
    import tensorflow as tf

    around = tf.pad(images, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    mean = tf.nn.avg_pool2d(around, 3, 1, "VALID")
    smooth = (9 * mean + 4 * images) / 13  # the centre counts five times
    return tf.clip_by_value(smooth + (images - smooth) * factor, 0, 255)
