"""Objects are found: the network says of each cell of a map whether an object's centre lies in it,
and how large that is (X. Zhou et al., "Objects as Points", 2019); a trial keeps what became of the
surest.

Objects are float32 (n, k, 5): class number and y0, x0, y1, x1 as shares of the image's height and
width; rows that hold -1 are none.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from cnnlab import detections
from cnnlab.errors import UserError
from cnnlab.recipe.detector import BOX
from cnnlab.recipe.detector import network as network  # to logits (n, rows, columns, classes + BOX)
from cnnlab.train.tasks import _boxes

LOSS = "detection_loss"

_shares: list = [None, None, None]  # boxes in pixels that were used last, their shape, and objects


def targets(data):
    """Objects, of as many rows as any image of the pool has. Made once for each pool."""
    if _shares[0] is not data.truth or _shares[1] != data.shape[:2]:
        most = max(1, int((data.truth[..., 0] >= 0).sum(axis=1).max(initial=0)))
        boxes, (height, width) = np.array(data.truth[:, :most], np.float32), data.shape[:2]
        boxes[..., 1:] /= np.where(boxes[..., :1] >= 0, [height, width, height, width], 1)
        _shares[:] = data.truth, data.shape[:2], boxes
    return _shares[2]


def spec(shape):
    return tf.TensorSpec([None, None, 5], tf.float32)


def seen(data, train):
    numbers = data.truth[train][..., 0]
    return numbers[numbers >= 0].astype(np.int64)


def moved(targets, matrix):
    return targets if matrix is None else _boxes.moved(targets, matrix)


def truth(recipe, targets, weights):
    """Objects and the weight of each, float32 (n, k, 6), and these weights, (n, k)."""
    if recipe.label_smoothing:
        raise UserError("label smoothing does not serve detection: no class is one of several")
    w = tf.linalg.matvec(tf.one_hot(tf.cast(targets[..., 0], tf.int32), weights.shape[0]), weights)
    return tf.concat([targets, w[..., None]], axis=-1), w


def losses(y, logits):
    return _boxes.losses(y[..., :5], y[..., 5], logits)


def mean(weights, losses):
    """Over images: objects have been weighed already."""
    return tf.reduce_mean(losses)


def outputs(logits, targets):
    """What became of each detection, see `cnnlab.detections`: float32 (n, 12 * DETECTIONS + classes
    + 1). In the loss all classes weigh the same."""
    found = _boxes.detected(logits)
    of_each = tf.concat([found[..., :2], _boxes.hits(found, targets)], axis=-1)
    of_each = tf.reshape(of_each, [-1, detections.DETECTIONS * detections.WIDE])
    numbers = tf.cast(targets[..., 0], tf.int32)
    true = tf.reduce_sum(tf.one_hot(numbers, logits.shape[-1] - BOX), axis=1)
    loss = _boxes.losses(targets, tf.ones_like(targets[..., 0]), logits)
    return tf.concat([of_each, true, loss[:, None]], axis=1)


def scores(labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Mean average precision of all images together, and the mean loss."""
    every = range(len(detections.THRESHOLDS))
    loss = float(np.mean(detections.loss(labels, outputs)))
    return {"map": detections.mean_ap(outputs, every), "detection_loss": loss}
