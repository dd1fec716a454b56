"""Images with the boxes of their objects as COCO's JSON gives them (`bbox`), here or behind an
fsspec URL, or a .tar or .zip.

The JSON and its images are found as by `coco_masks`. A box is x, y, width and height in pixels from
the image's upper left corner. Regions marked `iscrowd` are no single objects: they are not learnt,
and what is detected there counts as nothing where the test set is evaluated, as by COCO itself (out
of fold as wrong). An image that the JSON lists without an annotation has no objects.
"""

from __future__ import annotations

import sys
from typing import Any

from cnnlab.data.sources import _boxes, coco_masks
from cnnlab.data.sources._files import look

TRUTH = ("boxes",)
LARGEST = sys.float_info.max


def _is_box(value: Any) -> bool:
    numbers = isinstance(value, list) and all(type(v) in (int, float) for v in value)
    # Not by `isfinite`, which fails for a whole number that is no float.
    return numbers and len(value) == 4 and all(-LARGEST <= v <= LARGEST for v in value)


BOX = coco_masks.Place("bbox", "4 numbers: x, y, width, height", _is_box)


def recognises(files):
    """Whether every annotation has a box."""
    return coco_masks.annotated(files, BOX.key)


def open_source(place):
    files = look(place)
    listed, categories = coco_masks.read(place, files, BOX)
    ids = sorted(categories)
    things, sizes = {}, {}
    for name in coco_masks.of_right_size(place, files, listed):
        about = listed[name]
        sizes[name], things[name] = (about.width, about.height), []
        for thing in about.things:
            if thing.crowd:
                files.note("crowd", name, "not learnt, ignored in the test", thing.what)
            x, y, wide, high = thing.region
            box, single = (y, x, y + high, x + wide), not thing.crowd
            number = ids.index(thing.category)
            things[name].append(_boxes.Thing(thing.what, number, box, single, single))
    return _boxes.source(place, files, things, sizes, [categories[i] for i in ids])
