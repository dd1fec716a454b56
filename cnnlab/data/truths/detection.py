"""Boxes of objects, see `cnnlab.data.boxes`."""

from cnnlab.data import boxes
from cnnlab.errors import UserError

LEAST = 1


def classes(source):
    return source.object_classes


def truth(source, rows, shape, resize):
    """Boxes, float32 (n, boxes.MOST, 5)."""
    if source.boxes is None:
        raise UserError("params.yaml: data.source has no boxes, which task: detection needs")
    return boxes.of(source, rows, shape, resize)
