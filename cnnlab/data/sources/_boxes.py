"""What sources of files with boxes have in common: how they are paired, cut off and numbered."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cnnlab.data.sources import Source, _masks, refused, shown
from cnnlab.data.sources._files import Files, holds, is_hidden
from cnnlab.data.sources._files import images as image_names
from cnnlab.detections import areas
from cnnlab.ignored import turned

BEYOND = 1.0  # pixels beyond an image's edge that are rounding, of which nothing is said


class Key(NamedTuple):
    """What the image and the boxes of a row are found by."""

    image: Any
    name: str  # of the image's file


class Thing(NamedTuple):
    """An object on an image."""

    what: str  # it is called in findings and errors
    number: int  # of its class, in the order of all names
    box: tuple[float, float, float, float]  # y0, x0, y1, x1, pixels from the upper left corner
    learnt: bool = True
    evaluated: bool = True  # else what is detected there counts as neither right nor wrong


@dataclass(frozen=True)
class Boxes:
    """`Source.boxes`."""

    of: Mapping[str, np.ndarray]  # name of an image -> float32 (k, 5)

    def __call__(self, key: Key) -> np.ndarray:
        return self.of[key.name].copy()


def source(
    place: str,
    files: Files,
    things: Mapping[str, Sequence[Thing]],
    sizes: Mapping[str, tuple[int, int] | None],
    names: Sequence[str],
) -> Source:
    """The source of images and what is on them, by their names.

    `sizes`: width and height, upright; None where the header cannot be read, which decoding will
    say. `names`: of all classes. What reaches beyond its image is cut off, what has no area there
    is left out, and so are classes of which nothing is learnt; images without objects are kept.
    All of it is noted. Raises UserError where there is no object at all.
    """
    cut = {name: _cut(files, name, things[name], sizes[name]) for name in sorted(things)}
    used = sorted({int(n) for boxes in cut.values() for n in boxes[:, 0] if n >= 0})
    if not used:
        left = [f"{f.what}: {f.where}" for f in files.findings]
        seen = f"; left out or cut off: {len(left)}, the first is {left[0]}" if left else ""
        raise refused(place, f"no object on any of {len(cut)} images; allowed: at least one{seen}")
    for number, name in enumerate(names):
        if number not in used:
            files.note("class without objects", name)
    classes = tuple(names[number] for number in used)
    for name, boxes in cut.items():
        numbers, learnt = boxes[:, 0], boxes[:, 0] >= 0
        of_class = np.where(learnt, numbers, turned(numbers))
        known = np.isin(of_class, used)
        places = np.searchsorted(used, of_class)
        boxes[:, 0] = np.where(learnt, places, turned(places))
        cut[name] = boxes[known]
        if not learnt.any() and sizes[name]:
            files.note("image without objects", name, "kept", f"its label is {classes[0]}")
    split, findings = _masks.splits(list(cut))
    labels = [label(boxes, classes) for boxes in cut.values()]
    columns = {"source": list(map(shown, cut)), "label": labels, "split": split}
    keys = [Key(files.keys[name], name) for name in cut]
    return Source(
        pd.DataFrame(columns, dtype=str),
        keys,
        _masks.Images(files.read),
        files.parallel,
        [key.image[0] for key in keys] if files.ordered else None,
        [*files.findings, *findings],
        object_classes=classes,
        boxes=Boxes(cut),
    )


def label(boxes: np.ndarray, classes: Sequence[str]) -> str:
    """The class of most box area, by which images are stratified. Of an image without objects the
    first class, as there is no class for it: it shares a stratum with that one's images, and no
    more follows from it."""
    objects = boxes[boxes[:, 0] >= 0]
    if not len(objects):
        return classes[0]
    return classes[int(np.bincount(objects[:, 0].astype(int), areas(objects)).argmax())]


def _cut(
    files: Files, name: str, things: Sequence[Thing], size: tuple[int, int] | None
) -> np.ndarray:
    """Boxes that have an area on an image, float32 (k, 5): objects first, see `cnnlab.ignored`."""
    kept, regions = [], []
    width, height = size or (math.inf, math.inf)
    for thing in things:
        y0, x0, y1, x1 = thing.box
        inside = np.clip(thing.box, 0, [height, width, height, width])
        if not (inside[0] < inside[2] and inside[1] < inside[3]):
            about = f"{thing.what}: {x1 - x0:g}x{y1 - y0:g} at {x0:g}, {y0:g}"
            what = "box without an area" if y1 <= y0 or x1 <= x0 else "box outside of its image"
            files.note(what, name, detail=about)
            continue
        if np.abs(inside - thing.box).max() > BEYOND:
            files.note("box that reaches beyond its image", name, "cut off", thing.what)
        if thing.learnt:
            kept.append([thing.number, *inside])
        if not thing.evaluated:
            regions.append([turned(thing.number), *inside])
    return np.array(kept + regions, np.float32).reshape(-1, 5)


@dataclass(frozen=True)
class Layout:
    """Which folders of a data set hold images and texts that say what is on them."""

    images: frozenset[str]  # names of folders, in small letters
    texts: str
    ending: str  # of texts
    words: str  # what is expected, in errors


def lies_so(files: Files, layout: Layout) -> bool:
    """Whether there are both images and texts in the layout's folders."""
    texts = holds(files, frozenset({layout.texts}), {layout.ending})
    return texts and holds(files, layout.images)


def found(place: str, files: Files, layout: Layout) -> tuple[dict[str, str], dict[str, Any]]:
    """Name of each image in the layout -> name of its text, "" where it has none, in order; and
    name of each text -> its key, which is taken out of the files. Refuses a place without images or
    without texts."""
    texts = {}
    for name in sorted(files.keys):
        where = _where(name, {layout.texts})
        if where and name.lower().endswith(layout.ending) and not is_hidden(name.split("/")):
            texts[where] = name
    keys = {name: files.keys.pop(name) for name in texts.values()}
    pictures = {}
    for name in image_names(files):
        where = _where(name, layout.images)
        if where is None:
            files.note("image outside of the layout", name, detail=f"expected: {layout.words}")
        elif where in pictures:
            detail = f"beside {shown(pictures[where])}"
            files.note("image of the same name but for the ending", name, detail=detail)
        else:
            pictures[where] = name
    for where, name in texts.items():
        if where not in pictures:
            files.note(f"{layout.ending} without an image", name)
    if not pictures or not texts:
        left = [f"{f.what}: {f.where}" for f in files.findings]
        seen = f"; left out: {len(left)}, the first is {left[0]}" if left else ""
        what = "images" if not pictures else f"{layout.ending} files"
        raise refused(place, f"no {what} found; expected {layout.words}{seen}")
    return {name: texts.get(where, "") for where, name in sorted(pictures.items())}, keys


def _where(name: str, kinds: Collection[str]) -> tuple | None:
    """A file's path without the last folder that is called so and without the ending, and where
    that folder was."""
    *folders, file = name.split("/")
    at = [i for i, folder in enumerate(folders) if folder.casefold() in kinds]
    if not at:
        return None
    del folders[at[-1]]
    return (at[-1], *folders, posixpath.splitext(file)[0])
