"""A class for each pixel: the network gives a map of probabilities, of which a trial keeps counts.

A mask is uint8 (height, width): class numbers, the first class being the background; pixels that
are `VOID` count nowhere.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cnnlab.overlap import VOID, iou, pixel_nll
from cnnlab.recipe.decoder import network as network  # to logits (n, height, width, classes)
from cnnlab.train.augmentation import resample
from cnnlab.train.tasks._counts import counts
from cnnlab.train.tasks.classification import losses as losses  # of each pixel
from cnnlab.train.tasks.classification import truth as truth

LOSS = "pixel_nll"


def targets(data):
    return data.truth


def spec(shape):
    return tf.TensorSpec([None, *shape[:2]], tf.uint8)


def seen(data, train):
    labels = data.truth[train]
    return labels[labels != VOID].astype(np.int64)


def moved(targets, matrix):
    """Masks (n, height, width) moved as their images are, each pixel from the nearest one; what
    comes from beyond the edge is void."""
    if matrix is None:
        return targets
    return resample(targets[..., None], matrix, "CONSTANT", "NEAREST", VOID)[..., 0]


def mean(weights, losses):
    """Over the pixels that are not void; of losses of whole images, (n,), over the images."""
    if losses.shape.rank == 1:
        return tf.reduce_mean(losses)
    return tf.reduce_sum(weights * losses) / tf.maximum(tf.reduce_sum(weights), 1e-6)


def outputs(logits, targets):
    """Counts, see `cnnlab.overlap`: float32 (n, 4 * classes + 2)."""
    shares = tf.nn.softmax(tf.cast(logits, tf.float32))
    return counts(shares, targets, logits.shape[-1])


def scores(labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Intersection over union, mean over an image's classes, then over images, and the
    cross-entropy of a pixel."""
    each = {"iou": iou(labels, outputs), "pixel_nll": pixel_nll(labels, outputs)}
    return {name: float(np.mean(values)) for name, values in each.items()}
