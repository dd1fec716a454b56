"""Masks: the class number of each pixel, brought to the shape of a study's images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from cnnlab.data.images import pad
from cnnlab.data.sources import Source
from cnnlab.errors import UserError
from cnnlab.overlap import VOID

LEAST = 1  # a study of one class besides the background is one

NEAREST = Image.Resampling.NEAREST


def classes(source):
    return source.classes


def truth(source: Source, rows: pd.DataFrame, shape: tuple[int, ...], resize: str) -> np.ndarray:
    """Masks of images that were brought to `shape` by `images.RESIZE[resize]`, uint8 (n, height,
    width): moved as their images were, each pixel from the nearest one.

    `rows`: of the source's table, with columns `row`, `source`, and `width` and `height` of the
    original. Raises UserError where the source has no masks, and naming the first image whose mask
    is of another size.
    """
    if source.mask is None:
        raise UserError("params.yaml: data.source has no masks, which task: segmentation needs")
    made = np.empty((len(rows), *shape[:2]), np.uint8)
    for at, (row, name, width, height) in enumerate(
        rows[["row", "source", "width", "height"]].itertuples(index=False)
    ):
        mask = source.mask(source.keys[row])
        if mask.shape != (height, width):
            raise UserError(
                f"{name}: its mask has {mask.shape[1]}x{mask.shape[0]} pixels; allowed: those of"
                f" the image, {width:.0f}x{height:.0f}"
            )
        made[at] = fitted(mask, shape, resize)
    return made


def fitted(mask: np.ndarray, shape: tuple[int, ...], resize: str) -> np.ndarray:
    """A mask at another size, uint8 (height, width); what pads it is void."""
    picture, size = Image.fromarray(mask), (shape[1], shape[0])
    if picture.size == size:
        return mask
    if resize == "squash":
        return np.asarray(picture.resize(size, NEAREST))
    if resize == "crop":
        return np.asarray(ImageOps.fit(picture, size, NEAREST))
    return np.asarray(pad(picture, size, NEAREST, VOID))
