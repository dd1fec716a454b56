"""describe, of boxes: some of them on their images, how many there are, and images without any."""

import numpy as np

from cnnlab.data.pool import Pool
from cnnlab.detections import counted
from cnnlab.look import boxes_figure
from cnnlab.look.figure import Picture, plural

SHOWN = 12  # images


def described(dev: Pool) -> dict[str, Picture]:
    """Pictures for the report on the data, by name."""
    counts, empty = counted(dev.truth, dev.classes)
    picks = np.unique(np.linspace(0, len(dev.truth) - 1, SHOWN).astype(int))
    rows = []
    for image, boxes in zip(dev.images[picks], dev.truth[picks], strict=True):
        objects = boxes[boxes[:, 0] >= 0]
        rows.append((image, objects, np.zeros((0, 6)), plural(len(objects), "object")))
    total, without = plural(sum(counts.values()), "object"), plural(empty, "image")
    title = f"Development images: {total}; {without} without any"
    return {"boxes": boxes_figure(title, rows, dev.classes, None)}
