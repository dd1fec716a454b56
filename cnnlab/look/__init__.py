"""Look into trained networks: kernels, feature maps, what excites a filter, where they look.

Takes Keras models and arrays and returns `Picture`s, matplotlib figures with alt text; only `save`
writes a file. Imports TensorFlow and Keras late, where a model is looked into.
"""

from cnnlab.look.boxes import boxes_figure, errors_figure, precision_recall_figure
from cnnlab.look.capture import feature_maps, forward, in_parts, layers
from cnnlab.look.confusion import confusion_figure
from cnnlab.look.features import feature_figure, overview_figure
from cnnlab.look.figure import Picture, montage, save
from cnnlab.look.gradcam import Case, cases, grad_cam, grad_cam_figure, prediction_figure, telling
from cnnlab.look.kernels import kernel_figure, kernels, near_zero_share, relative_change
from cnnlab.look.masks import (
    class_iou_figure,
    extremes_figure,
    masks_figure,
    pixels_figure,
    region_cam,
    region_figure,
    targets_figure,
)
from cnnlab.look.peaks import Peaks, peaks, peaks_figure, reach
from cnnlab.look.sheets import Sheet, feature_sheets, kernel_sheets, save_sheet
from cnnlab.look.view import Probe, View, drawn, figures, layers_of, sheets, view

__all__ = [
    "Case",
    "Peaks",
    "Picture",
    "Probe",
    "Sheet",
    "View",
    "boxes_figure",
    "cases",
    "class_iou_figure",
    "confusion_figure",
    "drawn",
    "errors_figure",
    "extremes_figure",
    "feature_figure",
    "feature_maps",
    "feature_sheets",
    "figures",
    "forward",
    "grad_cam",
    "grad_cam_figure",
    "in_parts",
    "kernel_figure",
    "kernel_sheets",
    "kernels",
    "layers",
    "layers_of",
    "masks_figure",
    "montage",
    "near_zero_share",
    "overview_figure",
    "peaks",
    "peaks_figure",
    "pixels_figure",
    "precision_recall_figure",
    "prediction_figure",
    "reach",
    "region_cam",
    "region_figure",
    "relative_change",
    "save",
    "save_sheet",
    "sheets",
    "targets_figure",
    "telling",
    "view",
]
