"""Fashion-MNIST: 70,000 grey images of 28x28 pixels, clothes (Xiao et al. 2017)."""

from cnnlab.data.sources._keras import open_keras

CLASSES = [
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle_boot",
]


def open_source(place):
    return open_keras("fashion_mnist", CLASSES)
