"""Look into trained nets: kernels and feature maps as matplotlib figures with alt text.

Takes Keras models and arrays and returns `Picture`s; only `save` writes a file. Imports TensorFlow
and Keras late, where a model is looked into.
"""

from cnnlab.look.capture import feature_maps, layers
from cnnlab.look.features import dead_filters, feature_figure, overview_figure
from cnnlab.look.figure import Picture, montage, save
from cnnlab.look.kernels import kernel_figure, kernels, near_zero_share

__all__ = [
    "Picture",
    "dead_filters",
    "feature_figure",
    "feature_maps",
    "kernel_figure",
    "kernels",
    "layers",
    "montage",
    "near_zero_share",
    "overview_figure",
    "save",
]
