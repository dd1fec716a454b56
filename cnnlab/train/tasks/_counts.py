"""Counts of the pixels of predicted masks: what a trial keeps of each held-out image.

Boundary F1 is that of G. Csurka, D. Larlus and F. Perronnin, "What is a good evaluation measure for
semantic segmentation?", BMVC 2013: precision is the share of the predicted boundary that lies
within a tolerance of the true one, recall the share of the true one that lies within it of the
predicted one, both of one image and one class.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from cnnlab.overlap import VOID
from cnnlab.scoring import LEAST

TOLERANCE = 0.0075  # of the image's diagonal, as Csurka et al.; at least 1 pixel


def counts(probabilities: tf.Tensor, masks: tf.Tensor, classes: int) -> tf.Tensor:
    """Counts, see `cnnlab.overlap`, float32 (n, 4 * classes + 2).

    `probabilities`: float32 (n, height, width, classes), height and width known when traced; their
    rows sum to 1. `masks`: uint8 or int (n, height, width), class numbers or `VOID`. The predicted
    class is the most probable one, the first of equals. A probability of the true class below
    `LEAST` counts as `LEAST`. Of an image without judged pixels all is 0 but the boundaries, -1.

    Counts are exact to 2**24 pixels an image. It takes several times the memory of
    `probabilities`.
    """
    numbers = tf.cast(masks, tf.int32)
    judged = tf.cast(numbers != VOID, tf.float32)  # (n, h, w)
    true = tf.one_hot(numbers, classes)  # (n, h, w, classes), zeros where void
    predicted = tf.one_hot(tf.argmax(probabilities, axis=-1), classes) * judged[..., None]
    likely = tf.reduce_sum(probabilities * true, axis=-1)
    nll = -tf.math.log(tf.clip_by_value(likely, LEAST, 1.0)) * judged
    pixels = _sum(judged)  # (n,)
    return tf.concat(
        [
            _sum(true * predicted),
            _sum(predicted),
            _sum(true),
            boundary_f1(true, predicted),
            tf.math.divide_no_nan(_sum(nll), pixels)[:, None],
            pixels[:, None],
        ],
        axis=1,
    )


def boundary_f1(true: tf.Tensor, predicted: tf.Tensor) -> tf.Tensor:
    """F1 of the boundaries of each class, (n, classes), in 0..1, or -1 where neither has the class.

    `true`, `predicted`: float32 (n, height, width, classes), 1 where a pixel is of the class. A
    class that fills an image has no boundary: 1 if it fills both, 0 if one. Near is what lies in a
    disc whose radius is the tolerance.
    """
    height, width = true.shape[1:3]
    disc = _disc(max(1.0, TOLERANCE * math.hypot(height, width)))
    edges = boundary(true), boundary(predicted)
    of_true, of_predicted = (_sum(edge) for edge in edges)  # (n, classes)
    recall = tf.math.divide_no_nan(_sum(edges[0] * _near(edges[1], disc)), of_true)
    precision = tf.math.divide_no_nan(_sum(edges[1] * _near(edges[0], disc)), of_predicted)
    f1 = tf.math.divide_no_nan(2 * precision * recall, precision + recall)
    has = _sum(true) > 0, _sum(predicted) > 0
    f1 = tf.where(of_true + of_predicted > 0, f1, tf.cast(has[0] & has[1], tf.float32))
    return tf.where(has[0] | has[1], f1, -1.0)


def boundary(regions: tf.Tensor) -> tf.Tensor:
    """The pixels of regions that have one of their 4 neighbours outside the region, but in the
    image; 0 or 1, float32 (n, height, width, classes) as `regions`.

    A pixel that is not judged is outside: with masks that leave a band between objects open, as
    those of PASCAL VOC, the boundary is the edge of the band.
    """
    wide = tf.pad(regions, [[0, 0], [1, 1], [1, 1], [0, 0]], "SYMMETRIC")
    inside = regions * wide[:, :-2, 1:-1] * wide[:, 2:, 1:-1]
    return regions - inside * wide[:, 1:-1, :-2] * wide[:, 1:-1, 2:]


def _near(edges: tf.Tensor, disc: np.ndarray) -> tf.Tensor:
    """1 where an edge lies within the disc, else 0: a dilation."""
    kernel = tf.tile(tf.constant(disc[..., None, None]), [1, 1, edges.shape[-1], 1])
    number = tf.nn.depthwise_conv2d(edges, kernel, [1, 1, 1, 1], "SAME")
    return tf.cast(number > 0.5, tf.float32)  # whole numbers, but for rounding


def _disc(radius: float) -> np.ndarray:
    """1 at whole distances of at most `radius` pixels from the centre, float32."""
    reach = np.arange(-math.floor(radius), math.floor(radius) + 1)
    return (np.hypot(*np.meshgrid(reach, reach)) <= radius).astype(np.float32)


def _sum(values: tf.Tensor) -> tf.Tensor:
    """Over the pixels of each image, (n, ...)."""
    return tf.reduce_sum(values, axis=[1, 2])
