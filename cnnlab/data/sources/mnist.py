"""MNIST: 70,000 grey images of 28x28 pixels, handwritten digits (LeCun et al. 1998)."""

from cnnlab.data.sources._keras import open_keras

CLASSES = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]


def open_source(place):
    return open_keras("mnist", CLASSES)
