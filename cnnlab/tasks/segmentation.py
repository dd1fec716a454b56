"""Each pixel is classified: a mask of class numbers an image, of which 0 is the background.

`outputs`: counts, see `cnnlab.overlap`. The metrics do not ask for `labels`.
"""

from __future__ import annotations

from cnnlab.metric import NATS, SHARE, Metric, influence
from cnnlab.overlap import iou, mean_where, of_judged, parts, pixel_nll, ratio

MEASURED = {"iou": "IoU", "pixel_nll": "NLL of a pixel"}
AVERAGED = True
PREDICTS = "cnnlab.predict_masks"
QUESTIONS = ()
BY_CLASS = (
    "class_iou.csv",
    "Intersection over union of each class, over the pixels of all images together, out of fold",
)
PREDICTED = (
    "Images that the first trial of each variant held out. What speaks for a region is its class's "
    "mean logit there, followed back to the last maps before the image is enlarged again "
    "(Vinogradova et al. 2020)."
)
MAPS = True
LOGITS = ""
INSTEAD = {
    "gap": "iou_gap",
    "nll": "pixel_nll",
    **dict.fromkeys(["ece", "confidence", "wobble"]),
}
MERGES = False
FEATURES = False


def dice(labels, outputs):
    """The mean over classes that are in truth or predicted of twice what both have, of what they
    have together (Dice coefficient, F1 of pixels), in [0, 1]."""
    p = parts(outputs)
    both = p.true + p.predicted
    return of_judged(mean_where(ratio(2 * p.shared, both), both > 0), p)


def foreground_iou(labels, outputs):
    """As `iou`, without the background; 1 where nothing else is in truth or predicted."""
    p = parts(outputs)
    either = (p.true + p.predicted - p.shared)[:, 1:]
    return of_judged(mean_where(ratio(p.shared[:, 1:], either), either > 0), p)


def miou(labels, outputs):
    """Influence on the mean IoU of all images' pixels together, in [0, 1], over the classes that
    are in truth or predicted in any of them (M. Everingham et al., International Journal of
    Computer Vision 88, 2010)."""
    p = parts(outputs)
    either = p.true + p.predicted - p.shared
    shared, union = p.shared.sum(axis=0), either.sum(axis=0)  # (classes,)
    whole = mean_where(ratio(shared, union), union > 0)
    left = union - either  # (n, classes), without each image
    # Without the only image of a class the class is not there, as when images are drawn.
    without = mean_where(ratio(shared - p.shared, left), left > 0)
    return influence(float(whole), without)


def boundary_f1(labels, outputs):
    """The mean over classes that are in truth or predicted of the boundary's F1, in [0, 1]."""
    p = parts(outputs)
    return of_judged(mean_where(p.boundary, p.boundary >= 0), p)


def pixel_accuracy(labels, outputs):
    """The share of the image's pixels that are right, in [0, 1]."""
    p = parts(outputs)
    return of_judged(ratio(p.shared.sum(axis=1), p.pixels), p)


def iou_of_class(number):
    """What gives each image its influence on the IoU of one class over all images together."""

    def values(labels, outputs):
        p = parts(outputs)
        shared = p.shared[:, number]
        either = p.true[:, number] + p.predicted[:, number] - shared
        left = ratio(shared.sum() - shared, either.sum() - either)
        return influence(float(ratio(shared.sum(), either.sum())), left)

    return values


METRICS = {
    "iou": Metric("IoU", True, 100, "%", "points", 1, iou, SHARE),
    "dice": Metric("Dice coefficient", True, 100, "%", "points", 1, dice, SHARE),
    "foreground_iou": Metric("foreground IoU", True, 100, "%", "points", 1, foreground_iou, SHARE),
    "miou": Metric("mIoU of all pixels", True, 100, "%", "points", 1, miou, SHARE, True),
    "boundary_f1": Metric("boundary F1", True, 100, "%", "points", 1, boundary_f1, SHARE),
    "pixel_accuracy": Metric("pixel accuracy", True, 100, "%", "points", 1, pixel_accuracy, SHARE),
    "pixel_nll": Metric("NLL of pixels", False, 1, "nats", "nats", 3, pixel_nll, NATS),
}


def places(of_net):
    """Hidden dense layers have no part; what goes after them comes before the last conv."""
    return (*(place for place in of_net if place != "dense"), "dense")
