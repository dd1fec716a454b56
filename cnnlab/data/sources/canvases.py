"""Scanned digits on dark canvases, with masks and boxes: 599 grey images of 32x32 pixels, no
download.

Three of scikit-learn's digits (see `digits`) lie on each, 8 to 14 pixels a side, as bright as
chance says, on mild noise. Their ink is the mask: which digit each pixel shows; and the smallest
box that holds a digit's ink is its box. Each digit lies on one canvas only, so no canvas shows what
another one does.
"""

import functools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from cnnlab.data.sources import of_array

TRUTH = ("masks", "boxes")
NAMES = ("background", *map(str, range(10)))  # of the class numbers in masks
SEED = 20_250_101  # of all that chance decides
SIDE = 32  # pixels of a canvas
EACH = 3  # digits on a canvas: 1,797 make 599 canvases
SIZES = (8, 14)  # least and largest side of a digit's square, pixels
INK = 96  # of 255, as the digit is scaled: brighter pixels are its ink
LIGHT = (0.45, 1.0)  # a digit's brightness is multiplied by something between
NOISE = (24, 12)  # mean and standard deviation of what lies below all, of 255


class Canvases(NamedTuple):
    """All canvases."""

    images: np.ndarray  # uint8 (n, SIDE, SIDE)
    masks: np.ndarray  # uint8 (n, SIDE, SIDE), numbers of NAMES
    # int64 (n, EACH, 5): a digit's class number, and the box of its ink x0, y0, x1, y1 in pixels
    # from the upper left corner, where x1 and y1 are the first that are outside
    boxes: np.ndarray


def open_source(place):
    images, masks, boxes = canvases()
    pixels = np.stack([(masks == number).sum((1, 2)) for number in range(1, len(NAMES))], axis=1)
    table = pd.DataFrame(
        {
            "source": [f"canvases/{i}" for i in range(len(images))],
            "label": [NAMES[1 + most] for most in pixels.argmax(1)],
            "split": "",
        }
    )
    number, x0, y0, x1, y1 = np.moveaxis(boxes, 2, 0)
    boxes = np.stack([number - 1, y0, x0, y1, x1], axis=2).astype(np.float32)
    return replace(
        of_array(table, images),
        classes=NAMES,
        mask=masks.__getitem__,
        object_classes=NAMES[1:],
        boxes=boxes.__getitem__,
    )


@functools.cache
def canvases() -> Canvases:
    """Draw all canvases, ever the same."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    rng = np.random.default_rng(SEED)
    shown = rng.permutation(len(digits.images)).reshape(-1, EACH)
    noise = rng.normal(*NOISE, (len(shown), SIDE, SIDE))
    masks = np.zeros(noise.shape, np.uint8)
    boxes = np.empty((*shown.shape, 5), np.int64)
    for i, three in enumerate(shown):
        for k, (digit, square) in enumerate(zip(three, _squares(rng), strict=True)):
            x, y, side = square
            scanned = Image.fromarray(np.round(digits.images[digit] * (255 / 16)).astype(np.uint8))
            scaled = np.asarray(scanned.resize((side, side), Image.Resampling.BILINEAR))
            ink, number = scaled > INK, 1 + digits.target[digit]
            noise[i, y : y + side, x : x + side] += scaled * rng.uniform(*LIGHT)
            masks[i, y : y + side, x : x + side][ink] = number
            rows, columns = np.flatnonzero(ink.any(1)), np.flatnonzero(ink.any(0))
            low, high = (columns[0], rows[0]), (columns[-1] + 1, rows[-1] + 1)
            boxes[i, k] = number, *np.add(low, (x, y)), *np.add(high, (x, y))
    return Canvases(np.round(noise).clip(0, 255).astype(np.uint8), masks, boxes)


def _squares(rng: np.random.Generator) -> np.ndarray:
    """EACH squares that do not overlap: int (EACH, 3), the least x and y and the side."""
    while True:
        sides = rng.integers(SIZES[0], SIZES[1], EACH, endpoint=True)
        corners = rng.integers(0, SIDE - sides + 1, (2, EACH)).T
        apart = np.abs(2 * (corners[:, None] - corners) + (sides[:, None] - sides)[..., None])
        clear = (apart >= (sides[:, None] + sides)[..., None]).any(2)  # of twice the centres
        if clear[np.triu_indices(EACH, 1)].all():
            return np.column_stack([corners, sides])
