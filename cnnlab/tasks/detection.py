"""Objects are found: a box and a class for each.

`outputs`: what became of each detection, see `cnnlab.detections`. The metrics do not ask for
`labels`.
"""

from __future__ import annotations

import math

from cnnlab.detections import (
    THRESHOLDS,
    average_precision_without,
    loss,
    mean_ap_without,
    parts,
)
from cnnlab.metric import SHARE, Metric, influence
from cnnlab.overlap import ratio

MEASURED = {"map": "mAP", "detection_loss": "loss"}
AVERAGED = False
PREDICTS = "cnnlab.predict_boxes"
QUESTIONS = ()
BY_CLASS = (
    "class_ap50.csv",
    "Average precision of each class at an IoU of 0.5, over all images together, out of fold",
)
PREDICTED = (
    "Images that the first trial of each variant held out. An error is of one kind: the right "
    "class in a wrong place, a wrong class, both, a second box of an object, or a box where "
    "nothing is (Bolya et al. 2020)."
)
MAPS = False
LOGITS = (
    "maps (n, rows, columns, classes + 4), no probabilities; of each cell: for each class a logit, "
    "whose sigmoid is the score of an object with its centre there, then height and width of its "
    "box, then how far its centre lies below and right of the cell's upper left corner, in cells; "
    "cnnlab/served.py makes boxes of them (`detected`)"
)
MERGES = False
FEATURES = False
INSTEAD = {
    "gap": "map_gap",
    "nll": "detection_loss",
    "objective": "detection_objective",
    **dict.fromkeys(["ece", "confidence", "wobble"]),
}


def mean_ap(labels, outputs):
    """Influence on the mean average precision of all images together, in [0, 1]: the mean over
    classes and over IoU from 0.5 to 0.95, as COCO computes it. Each image is left out in turn,
    exactly."""
    return influence(*mean_ap_without(outputs, range(len(THRESHOLDS))))


def mean_ap50(labels, outputs):
    """As `mean_ap`, at an IoU of 0.5 alone."""
    return influence(*mean_ap_without(outputs, [0]))


def recall50(labels, outputs):
    """The share of the image's objects that are found at an IoU of 0.5, whatever the scores, in
    [0, 1]. An image without objects has no say: its value is the mean of the others'; 1 where no
    image has any."""
    p = parts(outputs)
    true = p.true.sum(axis=1).astype(float)
    found, there = ratio(p.hit[..., 0].sum(axis=1).astype(float), true), true > 0
    if there.all() or not there.any():
        return found if there.any() else found + 1.0
    whole, weight = found[there].mean(), there / there.mean()  # 1 on average
    return whole + weight * (found - whole)


def ap50_of_class(number):
    """What gives each image its influence on the average precision of one class at an IoU of 0.5; 1
    where there is no object of it."""

    def values(labels, outputs):
        return influence(*average_precision_without(parts(outputs), number, [0]))

    return values


METRICS = {
    "map": Metric("mAP", True, 100, "%", "points", 1, mean_ap, SHARE, True),
    "map50": Metric("mAP at IoU 0.5", True, 100, "%", "points", 1, mean_ap50, SHARE, True),
    "recall50": Metric("recall at IoU 0.5", True, 100, "%", "points", 1, recall50, SHARE),
    "detection_loss": Metric(
        "detection loss", False, 1, "per object", "per object", 3, loss, (0.0, math.inf)
    ),
}


def places(of_net):
    """Hidden dense layers have no part; what goes after them comes before the last conv."""
    return (*(place for place in of_net if place != "dense"), "dense")
