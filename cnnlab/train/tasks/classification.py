"""One class an image: the network gives a probability to each."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from cnnlab import scoring
from cnnlab.recipe.network import network as network  # (n, units) to logits (n, classes)

LOSS = "nll"
moved = None


def targets(data):
    return data.labels


def spec(shape):
    return tf.TensorSpec([None], tf.int32)


def seen(data, train):
    return data.labels[train]


def truth(recipe, targets, weights):
    """One-hot and smoothed, float32 (n, ..., classes), and the weight of each label, (n, ...)."""
    classes = weights.shape[0]
    y = tf.one_hot(targets, classes)
    w = tf.linalg.matvec(y, weights)
    return (1 - recipe.label_smoothing) * y + recipe.label_smoothing / classes, w


def losses(y, logits):
    return keras.losses.categorical_crossentropy(y, logits, from_logits=True)


def mean(weights, losses):
    return tf.reduce_mean(weights * losses)


def outputs(logits, targets):
    """Probabilities, float32 (n, classes)."""
    return tf.nn.softmax(tf.cast(logits, tf.float32))


def scores(labels: np.ndarray, outputs: np.ndarray) -> dict[str, float]:
    """Accuracy and negative log likelihood (natural logarithm)."""
    return {"accuracy": scoring.accuracy(labels, outputs), "nll": scoring.nll(labels, outputs)}
