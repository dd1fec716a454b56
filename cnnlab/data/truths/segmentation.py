"""Masks: the class number of each pixel, brought to the shape of a study's images."""

from __future__ import annotations

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

from cnnlab.data.images import pad
from cnnlab.data.sources import Finding, Source
from cnnlab.errors import UserError
from cnnlab.overlap import VOID

TRUTH = "masks"
LEAST = 1  # a study of one class besides the background is one
HELD = ("pixels", 2)
SOUGHT = "pixels of a class besides the background"

SAMPLED = 200  # masks that are counted in
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


def there(made: np.ndarray, classes: int) -> np.ndarray:
    """Of which classes each image has a pixel, bool (n, classes)."""
    held = np.zeros((len(made), VOID + 1), bool)
    for of_image, mask in zip(held, made, strict=True):
        of_image[mask] = True
    return held[:, :classes]


def lost(source: Source, rows: pd.DataFrame, made: np.ndarray) -> list[Finding]:
    """A finding for each mask of which nothing but void is left."""
    void = (made == VOID).all(axis=(1, 2))
    what = "image whose mask is void everywhere after resizing"
    return [Finding(what, name, "kept", "nothing is learnt of it") for name in rows["source"][void]]


def empty(source: Source, rows: pd.DataFrame) -> np.ndarray:
    """Which images have the background alone, bool (n,)."""
    return (source.table["label"].iloc[rows["row"]] == source.classes[0]).to_numpy()


def counted(source: Source, rows: pd.DataFrame) -> dict[str, list[str]]:
    """The share of pixels of each class, of `SAMPLED` images where there are more, and how many
    images hold nothing but the background."""
    some = np.unique(np.linspace(0, len(rows) - 1, min(SAMPLED, len(rows))).astype(int))
    pixels = np.zeros(VOID + 1, int)
    for row in rows["row"].iloc[some]:
        pixels += np.bincount(source.mask(source.keys[row]).ravel(), minlength=VOID + 1)
    shares, names = pixels / pixels.sum(), source.classes
    each = [f"{name} {share:.1%}" for name, share in zip(names, shares, strict=False)]
    each += [f"void {shares[VOID]:.1%}"] if pixels[VOID] else []
    of = f" of {len(some)} of them" if len(some) < len(rows) else ""
    return {
        f"{len(rows)} images with masks of {len(names)} classes; pixels{of}": each,
        f"images of {names[0]} alone: {empty(source, rows).sum()}": [],
    }


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


def restored(mask: np.ndarray, size: tuple[int, int], resize: str) -> np.ndarray:
    """A mask of an image that was brought to the mask's shape, at the size (height, width) that the
    image had, uint8: the opposite of `fitted`, each pixel from the nearest one. What was cropped
    away is void."""
    height, width = mask.shape
    high, wide = size
    if resize == "squash":
        rows, columns = _places(high, 0, high, height), _places(wide, 0, wide, width)
    elif resize == "crop":
        # The part that ImageOps.fit keeps.
        kept = min(high, wide * height / width), min(wide, high * width / height)
        rows = _places(high, (high - kept[0]) / 2, kept[0], height)
        columns = _places(wide, (wide - kept[1]) / 2, kept[1], width)
    else:
        # Where `images.pad` puts it.
        shares = wide / high / (width / height)
        thin = max(1, round(height * min(1, 1 / shares))), max(1, round(width * min(1, shares)))
        first = round((height - thin[0]) / 2), round((width - thin[1]) / 2)
        rows = first[0] + _places(high, 0, high, thin[0])
        columns = first[1] + _places(wide, 0, wide, thin[1])
    inside = ((rows >= 0) & (rows < height))[:, None] & ((columns >= 0) & (columns < width))
    whole = mask[rows.clip(0, height - 1)[:, None], columns.clip(0, width - 1)]
    return np.where(inside, whole, np.uint8(VOID))


def _places(size: int, begin: float, length: float, of: int) -> np.ndarray:
    """Which of `of` parts of the stretch of `length` pixels from `begin` on the centre of each of
    `size` pixels is in, int (size,); below 0 or from `of` on: in none."""
    return np.floor((np.arange(size) + 0.5 - begin) * of / length).astype(int)
