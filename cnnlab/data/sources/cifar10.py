"""CIFAR-10: 60,000 colour images of 32x32 pixels, ten classes (Krizhevsky 2009)."""

from cnnlab.data.sources._keras import open_keras

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def open_source(place):
    return open_keras("cifar10", CLASSES)
