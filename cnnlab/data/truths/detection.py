"""Boxes: where the objects of an image are, brought to the shape of a study's images.

float32 (n, MOST_OBJECTS, 5): of each object its class number, from 0 (there is no background), and
its box y0, x0, y1, x1 in pixels from the upper left corner, where the first pixel reaches from 0 to
1; an image's objects come first, then what the evaluation of the test ignores (lower numbers than
-1, see `cnnlab.ignored`), the other rows hold -1.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from cnnlab.data.sources import Finding, Source
from cnnlab.detections import MOST_OBJECTS, VISIBLE, areas
from cnnlab.errors import UserError

TRUTH = "boxes"
LEAST = 1
HELD = ("objects", 1)
SOUGHT = "an object"


def classes(source):
    return source.object_classes


def truth(source: Source, rows: pd.DataFrame, shape: tuple[int, ...], resize: str) -> np.ndarray:
    """Objects and ignored regions of images that were brought to `shape` by
    `images.RESIZE[resize]`, float32 (n, MOST_OBJECTS, 5): moved as their images were.

    `rows`: of the source's table, with columns `row`, `source`, and `width` and `height` of the
    original. Raises UserError where the source has no boxes, and naming the first image that has
    too many objects.
    """
    if source.boxes is None:
        raise UserError("params.yaml: data.source has no boxes, which task: detection needs")
    made = np.full((len(rows), MOST_OBJECTS, 5), -1, np.float32)
    for at, (row, name, width, height) in enumerate(
        rows[["row", "source", "width", "height"]].itertuples(index=False)
    ):
        boxes = fitted(source.boxes(source.keys[row]), (int(height), int(width)), shape, resize)
        if len(boxes) > MOST_OBJECTS:
            regions = int((boxes[:, 0] < 0).sum())
            also = f" and {regions} regions that are ignored" if regions else ""
            has = f"{len(boxes) - regions} objects{also}"
            raise UserError(f"{name}: has {has}; allowed: {MOST_OBJECTS} an image")
        made[at, : len(boxes)] = boxes
    return made


def there(made: np.ndarray, classes: int) -> np.ndarray:
    """Of which classes each image has an object, bool (n, classes)."""
    return np.stack([(made[..., 0] == i).any(axis=1) for i in range(classes)], axis=1)


def lost(source: Source, rows: pd.DataFrame, made: np.ndarray) -> list[Finding]:
    """A finding for each image of which objects were cut away with its edges."""
    before = [int((source.boxes(source.keys[row])[:, 0] >= 0).sum()) for row in rows["row"]]
    gone = before - (made[..., 0] >= 0).sum(axis=1)
    about = zip(rows["source"], gone, before, strict=True)
    what = "image that loses objects by resizing"
    return [Finding(what, name, "kept", f"{n} of {of} objects") for name, n, of in about if n]


def empty(source: Source, rows: pd.DataFrame) -> np.ndarray:
    """Which images have no object, bool (n,)."""
    each = (source.boxes(source.keys[row]) for row in rows["row"])
    return np.array([not (boxes[:, 0] >= 0).any() for boxes in each], bool)


def counted(source: Source, rows: pd.DataFrame) -> dict[str, list[str]]:
    """Objects of each class, and how many images have none. What is ignored is none."""
    boxes = (source.boxes(source.keys[row]) for row in rows["row"])
    of_each = [some[some[:, 0] >= 0] for some in boxes]
    every = np.concatenate(of_each)
    counts = np.bincount(every[:, 0].astype(int), minlength=len(source.object_classes))
    pixels = (
        (rows["width"].astype(float) * rows["height"]).to_numpy().repeat(list(map(len, of_each)))
    )
    side = np.sqrt(np.median(areas(every) / pixels)) if len(every) else 0
    empty = sum(not len(boxes) for boxes in of_each)
    each = [f"{name} {n}" for name, n in zip(source.object_classes, counts, strict=True)]
    return {
        f"{len(rows)} images with {len(every)} objects in {len(each)} classes": each,
        f"images without an object: {empty}; at most {max(map(len, of_each))} on one": [],
        f"half of the objects are at least {side:.0%} of their image's side": [],
    }


def fitted(
    boxes: np.ndarray, old: tuple[int, int], shape: tuple[int, ...], resize: str
) -> np.ndarray:
    """Boxes (k, 5) of an image of `old` (height, width) at another size, float32 (left, 5): cut off
    at the image's edge, without those of which less than `VISIBLE` is left."""
    boxes = np.asarray(boxes, np.float64).reshape(-1, 5)
    moved = boxes.copy()
    for axis, (factor, shift) in enumerate(_moves(old, shape[:2], resize)):
        moved[:, [1 + axis, 3 + axis]] = boxes[:, [1 + axis, 3 + axis]] * factor + shift
    cut = moved.copy()
    cut[:, 1:] = np.clip(moved[:, 1:], 0, [*shape[:2], *shape[:2]])
    left = areas(cut)
    return cut[(left > 0) & (left >= VISIBLE * areas(moved))].astype(np.float32)


def returned(
    corners: np.ndarray, old: tuple[int, int], shape: tuple[int, ...], resize: str
) -> np.ndarray:
    """The opposite of `fitted`: boxes y0, x0, y1, x1 (k, 4) on an image of `shape` in the pixels
    of the image of `old` (height, width) that it was made of, cut off at its edge, float32."""
    moved = np.asarray(corners, np.float64).reshape(-1, 4)
    for axis, (factor, shift) in enumerate(_moves(old, shape[:2], resize)):
        moved[:, [axis, 2 + axis]] = (moved[:, [axis, 2 + axis]] - shift) / factor
    return np.clip(moved, 0, [*old, *old]).astype(np.float32)


def _moves(old: tuple[int, int], new: tuple[int, ...], resize: str) -> list[tuple[float, float]]:
    """Factor and shift of coordinates down and across, as `images.RESIZE` moves pixels."""
    height, width = old
    if tuple(new) == (height, width):
        return [(1.0, 0.0)] * 2
    if resize == "squash":
        return [(new[0] / height, 0.0), (new[1] / width, 0.0)]
    if resize == "crop":  # as ImageOps.fit: the largest part of the wanted shape, in the middle
        wanted = new[1] / new[0]
        kept = (height, wanted * height) if width / height >= wanted else (width / wanted, width)
        return [
            (after / part, -(before - part) / 2 * after / part)
            for before, part, after in zip(old, kept, new, strict=True)
        ]
    # As `images.pad`.
    ratio = width / height / (new[1] / new[0])
    thin = max(1, round(new[0] * min(1, 1 / ratio))), max(1, round(new[1] * min(1, ratio)))
    return [
        (inside / before, round((after - inside) / 2))
        for before, inside, after in zip(old, thin, new, strict=True)
    ]
