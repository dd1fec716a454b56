"""Regions of an image in which detections are neither right nor wrong: COCO's crowds, and objects
that Pascal VOC calls difficult.

Among objects (k, 5), see `cnnlab.data.truths.detection`, such a region of class 0, 1, ... has the
number -2, -3, ..., so that nothing learns it. An object that is learnt, and that the evaluation is
to ignore, is there twice: as an object and as such a region, with the same box.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def turned(numbers):
    """The numbers of ignored regions of these classes; or the classes of such regions."""
    return -2 - numbers


def parted(boxes: NDArray[np.floating]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The objects that are evaluated, and the regions that are ignored, both with their class
    numbers, float64 (objects, 5) and (regions, 5), of an image's boxes (k, 5)."""
    boxes = np.asarray(boxes, np.float64)
    objects, regions = boxes[boxes[:, 0] >= 0], boxes[boxes[:, 0] < -1]
    regions[:, 0] = turned(regions[:, 0])
    also = (objects[:, None] == regions[None]).all(axis=2).any(axis=1)
    return objects[~also], regions
