"""Images with objects as COCO's JSON gives them, here or behind an fsspec URL, or a .tar or .zip.

The JSON is the file `instances.json`, or whose name begins so; else any `.json`. Of several, as one
for each of train, validation and test, all are read. Images are found by their `file_name`: beside
the JSON, in `images/` there, or wherever one lies whose path ends so. The folders train, validation
and test that they lie in keep their meaning, see `_splits`.

Regions are polygons, or runs of pixels (RLE) as numbers or in COCO's compressed text. A pixel is an
object's where its centre lies inside. Smaller objects are painted over larger ones, later ones over
earlier ones of the same size. What is marked `iscrowd` and is no object's is void; the rest is the
background. Archives are read in place; see `_files` for what is refused.
"""

from __future__ import annotations

import json
import posixpath
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cnnlab.data.sources import Source, _masks, refused, shown, tidy
from cnnlab.data.sources._files import Files, is_hidden, look
from cnnlab.data.sources._files import images as image_names
from cnnlab.overlap import VOID

TRUTH = ("masks",)
LAYOUT = "a JSON as COCO's with the lists images, annotations and categories, beside the images"
FIRST = "instances"  # begins the name of the JSON that counts, where there are others
BACKGROUNDS = ("background", "_background_")  # names of a category that is none
FAR = 1e6  # pixels from an image's corner, beyond which a number is no coordinate
AT_ONCE = 2**22  # of rows times edges that are compared


class Bad(Exception):
    """What is wrong with a JSON, or a part of it."""


class Key(NamedTuple):
    """What the image and the mask of a row are found by."""

    image: Any
    name: str  # of the image's file


class Place(NamedTuple):
    """What in an annotation says where the thing is."""

    key: str
    allowed: str
    fits: Callable[[Any], bool]


REGION = Place("segmentation", "polygons or runs", lambda value: value is not None)


class Thing(NamedTuple):
    """One annotation: something on an image."""

    what: str  # it is called in errors
    category: int  # its id
    region: Any  # of `REGION`: list of polygons, or dict with `size` and `counts`
    crowd: bool


@dataclass
class Listed:
    """What a JSON says of an image."""

    height: int  # pixels
    width: int
    things: list[Thing] = field(default_factory=list)


@dataclass(frozen=True)
class Masks:
    """`Source.mask`. Masks are kept compressed: their polygons would take more."""

    packed: Mapping[str, bytes]  # name of an image -> class numbers, uint8
    shapes: Mapping[str, tuple[int, int]]

    def __call__(self, key: Key) -> np.ndarray:
        numbers = np.frombuffer(zlib.decompress(self.packed[key.name]), np.uint8)
        return numbers.reshape(self.shapes[key.name]).copy()


def recognises(files):
    """Whether every annotation has a region; where some have none, their boxes say more."""
    return annotated(files, REGION.key)


def annotated(files: Files, key: str) -> bool:
    """Whether the first JSON is one of COCO's, each of whose annotations says something under a
    key."""
    names = _jsons(files)
    try:
        coco = _parsed(*files.read([files.keys[name] for name in names[:1]])) if names else {}
    except Bad:
        return False
    return bool(coco) and all(entry.get(key) for entry in coco["annotations"])


def open_source(place):
    files = look(place)
    listed, categories = read(place, files, REGION)
    names = of_right_size(place, files, listed)
    things = [thing for name in names for thing in listed[name].things if not thing.crowd]
    classes, numbers = _classes(place, files, categories, {thing.category for thing in things})
    labels, packed = {}, {}
    for name in names:
        mask = _painted(place, files, name, listed[name], numbers)
        if (mask == VOID).all():
            files.note("image that is void everywhere", name)
            continue
        labels[name] = _masks.label(*np.unique(mask, return_counts=True), classes)
        packed[name] = zlib.compress(mask.tobytes(), 1)
    if not labels:
        raise refused(place, f"all {len(names)} images are void everywhere; allowed: objects, too")
    split, findings = _masks.splits(list(labels))
    columns = {"source": list(map(shown, labels)), "label": list(labels.values()), "split": split}
    keys = [Key(files.keys[name], name) for name in labels]
    return Source(
        pd.DataFrame(columns, dtype=str),
        keys,
        _masks.Images(files.read),
        files.parallel,
        [key.image[0] for key in keys] if files.ordered else None,
        [*files.findings, *findings],
        classes,
        Masks(packed, {name: (listed[name].height, listed[name].width) for name in packed}),
    )


def of_right_size(place: str, files: Files, listed: Mapping[str, Listed]) -> list[str]:
    """The images that are there and, as far as their headers can be read, of the size that the JSON
    says; sorted. Refuses a place where none is."""
    names = sorted(listed)
    sizes = _masks.sizes(files, [files.keys[name] for name in names])
    kept = []
    for name, size in zip(names, sizes, strict=True):
        said = (listed[name].width, listed[name].height)
        if size in (None, said):
            kept.append(name)
            continue
        turned = ", upright as its EXIF says" if size == said[::-1] else ""
        detail = "{}x{}, by the JSON {}x{}".format(*size, *said) + turned
        files.note("image of another size than its JSON says", name, detail=detail)
    if not kept:
        left = [f"{f.what}: {f.where}" for f in files.findings]
        seen = f"; left out: {len(left)}, the first is {left[0]}" if left else ""
        raise refused(place, f"no images that a JSON names; expected {LAYOUT}{seen}")
    return kept


def _classes(
    place: str, files: Files, categories: Mapping[int, str], used: set[int]
) -> tuple[tuple[str, ...], dict[int, int]]:
    """Names of the classes, in the order of their ids, and id -> class number. Without those of
    which there is no object, which nothing could learn."""
    names, numbers = [_masks.BACKGROUND], {}
    for number, name in sorted(categories.items()):
        if name.casefold() in BACKGROUNDS:
            numbers[number] = 0
        elif number not in used:
            files.note("class without objects", name)
        else:
            numbers[number] = len(names)
            names.append(name)
    if not 2 <= len(names) <= _masks.MOST:
        most = f"1 to {_masks.MOST - 1}"
        raise refused(place, f"objects of {len(names) - 1} categories; allowed: {most}")
    return tuple(names), numbers


def _painted(
    place: str, files: Files, name: str, listed: Listed, numbers: Mapping[int, int]
) -> np.ndarray:
    """Class numbers uint8 (height, width) of an image."""
    mask = np.zeros((listed.height, listed.width), np.uint8)
    objects = []  # area, number, upper left corner, the box of it, bool
    for thing in listed.things:
        try:
            inside = region(thing.region, listed.height, listed.width)
        except Bad as problem:
            raise refused(place, f"{thing.what} {problem}") from None
        rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
        if not len(rows):
            files.note("object that covers no pixel", name, detail=thing.what)
        elif thing.crowd:
            mask[inside] = VOID
        else:
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            objects.append((inside.sum(), numbers[thing.category], box, inside[box].copy()))
    for _, number, box, inside in sorted(objects, key=lambda thing: -thing[0]):
        mask[box][inside] = number
    return mask


def region(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Which pixels a region covers, bool (height, width). Raises Bad."""
    if isinstance(segmentation, dict):
        return _of_runs(segmentation, height, width)
    if not isinstance(segmentation, list):
        kind = type(segmentation).__name__
        raise Bad(f"segmentation is {kind}; allowed: a list of polygons, or size and counts")
    inside = np.zeros((height, width), bool)
    for polygon in segmentation:
        inside |= _of_polygon(polygon, height, width)
    return inside


def _of_polygon(polygon: Any, height: int, width: int) -> np.ndarray:
    """Pixels whose centres lie inside, by the even-odd rule.

    Corners are counted from the image's upper left one, so that the first pixel reaches from 0 to 1
    (which ImageDraw, of whole numbers and with its border, does not do).
    """
    try:
        corners = np.asarray(polygon) if polygon != [] else np.empty(0)
    except ValueError:  # lists of several lengths
        corners = np.empty(0, object)
    fits = corners.dtype.kind in "if" and corners.ndim == 1 and corners.size % 2 == 0
    if not fits or not (np.abs(corners) <= FAR).all():
        allowed = f"a list of x and y by turns, from -{FAR:g} to {FAR:g}"
        raise Bad(f"has the polygon {_short(polygon)}; allowed: {allowed}")
    x, y = corners.reshape(-1, 2).T.astype(float)
    # Each edge turns inside and outside about, from the first centre right of it to the row's end.
    turns = np.zeros((height, width + 1), bool)
    centres = np.arange(height) + 0.5
    step = max(1, AT_ONCE // height)
    for first in range(0, len(x), step):
        edges = slice(first, first + step)
        x1, y1, x2, y2 = x[edges], y[edges], np.roll(x, -1)[edges], np.roll(y, -1)[edges]
        row, edge = np.nonzero((y1 <= centres[:, None]) != (y2 <= centres[:, None]))
        x1, y1, x2, y2 = x1[edge], y1[edge], x2[edge], y2[edge]
        crossed = x1 + (centres[row] - y1) * ((x2 - x1) / (y2 - y1))
        column = np.ceil(crossed - 0.5).clip(0, width).astype(int)
        np.logical_xor.at(turns, (row, column), True)
    return np.logical_xor.accumulate(turns, axis=1)[:, :width]


def _of_runs(coded: dict, height: int, width: int) -> np.ndarray:
    """Runs of pixels outside and inside by turns, down each column from the left one on."""
    for key in ("size", "counts"):
        if key not in coded:
            raise Bad(f"has a segmentation without {key!r}; allowed: size and counts")
    if coded["size"] != [height, width]:
        size = [height, width]
        raise Bad(f"has the size {_short(coded['size'])}; allowed: {size}, height and width")
    counts = coded["counts"]
    runs = lengths(counts) if isinstance(counts, str) else counts
    whole = isinstance(runs, list) and all(type(run) is int and run >= 0 for run in runs)
    if not whole or sum(runs) != height * width:
        total = f"numbers that add up to {sum(runs)}" if whole else _short(runs)
        raise Bad(
            f"has the counts {total}; allowed: whole numbers from 0 on that add up to"
            f" {height * width}, or their compressed text"
        )
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return inside.reshape(width, height).T


def lengths(text: str) -> list[int]:
    """The runs in COCO's compressed text. Raises Bad.

    A number is written in pieces of five bits, the lowest first, each as the character 48 + piece,
    + 32 where more follow; bit 16 of the last is its sign. From the fourth on, numbers are
    differences to the last but one (`rleToString` in COCO's maskApi.c).
    """
    runs: list[int] = []
    number = shift = 0
    for character in text:
        piece = ord(character) - 48
        if not 0 <= piece < 64 or shift > 60:
            raise Bad(f"has the counts {_short(text)}; allowed: runs in COCO's compressed text")
        number |= (piece & 31) << shift
        shift += 5
        if piece & 32:
            continue
        if piece & 16:
            number -= 1 << shift
        runs.append(number + runs[-2] if len(runs) > 2 else number)
        number = shift = 0
    if shift:
        raise Bad(f"has the counts {_short(text)}, which are cut off; allowed: whole numbers")
    return runs


def _short(value: Any) -> str:
    """A value as an error shows it."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def read(place: str, files: Files, where: Place) -> tuple[dict[str, Listed], dict[int, str]]:
    """Name of each image that is there -> what is said of it, and id -> name of each category."""
    jsons = _jsons(files)
    contents = {name: files.read([files.keys.pop(name)])[0] for name in jsons}
    if not contents:
        raise refused(place, f"no .json found; expected {LAYOUT}")
    by_file: dict[str, list[str]] = {}
    for name in image_names(files):
        by_file.setdefault(posixpath.basename(name), []).append(name)
    listed: dict[str, Listed] = {}
    categories: dict[int, str] = {}
    for name, content in contents.items():
        try:
            coco = _parsed(content)
            _add_categories(coco, categories)
            _add_images(coco, name, by_file, files, listed, where)
        except Bad as problem:
            raise refused(place, f"{shown(name)}: {problem}") from None
    for name in sorted(set().union(*by_file.values()) - listed.keys()):
        files.note("file that no JSON names", name)
    return listed, categories


def _jsons(files: Files) -> list[str]:
    names = sorted(
        name
        for name in files.keys
        if name.lower().endswith(".json") and not is_hidden(name.split("/"))
    )
    first = [name for name in names if posixpath.basename(name).lower().startswith(FIRST)]
    return first or names


def _parsed(content: bytes | Exception) -> dict[str, list[dict]]:
    if isinstance(content, Exception):
        raise Bad(f"cannot be read: {content}")
    try:
        coco = json.loads(content)
    except (ValueError, RecursionError) as error:  # of no UTF-8, too
        raise Bad(f"not JSON that can be read ({error})") from None
    if not isinstance(coco, dict):
        raise Bad(f"holds a {type(coco).__name__}; expected {LAYOUT}")
    for key in ("images", "annotations", "categories"):
        entries = _of(coco, key, "the JSON", "a list", lambda value: isinstance(value, list))
        for i, entry in enumerate(entries):
            if not isinstance(entry, dict):
                raise Bad(f"{key}[{i}] is {_short(entry)}; allowed: an object with keys")
    return coco


def _of(entry: dict, key: str, what: str, allowed: str, fits: Callable[[Any], bool]) -> Any:
    """A value of an entry. Raises Bad where it is missing or does not fit."""
    if key not in entry:
        raise Bad(f"{what} has no {key!r}; it has {_short(sorted(entry))}")
    if not fits(entry[key]):
        raise Bad(f"{what} has {key} = {_short(entry[key])}; allowed: {allowed}")
    return entry[key]


def _is_id(value: Any) -> bool:
    return type(value) in (int, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and tidy(value) != ""


def _add_categories(coco: dict, categories: dict[int, str]) -> None:
    own: dict[int, str] = {}
    for i, entry in enumerate(coco["categories"]):
        what = f"categories[{i}]"
        number = _of(entry, "id", what, "a whole number", lambda value: type(value) is int)
        name = tidy(_of(entry, "name", what, "a name", _is_name))
        if number in own or name in own.values():
            raise Bad(f"{what} is {name!r}, {number}; allowed: each name and id once")
        if categories.get(number, name) != name:
            raise Bad(f"{what} is {name!r}, in another JSON {categories[number]!r}, both {number}")
        own[number] = name
    categories |= own
    if len(set(categories.values())) < len(categories):
        raise Bad("has categories whose names have other ids in another JSON")


def _add_images(
    coco: dict,
    json_name: str,
    by_file: dict[str, list[str]],
    files: Files,
    listed: dict,
    where: Place,
) -> None:
    own: dict[int | str, Listed] = {}
    side = f"a whole number of pixels; at most {_masks.MEGAPIXELS} million in all"
    for i, entry in enumerate(coco["images"]):
        what = f"images[{i}]"
        number = _of(entry, "id", what, "a whole number or text", _is_id)
        file = _of(entry, "file_name", what, "the path of an image", _is_name)
        height, width = (
            _of(entry, key, what, side, lambda v: type(v) is int and v > 0)
            for key in ("height", "width")
        )
        if height * width > _masks.MEGAPIXELS * 1e6:
            raise Bad(f"{what} has {width}x{height}; allowed: {side}")
        if number in own:
            raise Bad(f"{what} has id = {number!r}, as another; allowed: each id once")
        own[number] = Listed(height, width)
        name = _found(file, json_name, by_file)
        if name is None:
            files.note("image that is not there, which a JSON names", file)
        elif name in listed:
            raise Bad(f"{what} has file_name = {file!r}, which is listed twice")
        else:
            listed[name] = own[number]
    ids = {entry["id"] for entry in coco["categories"]}
    for i, entry in enumerate(coco["annotations"]):
        what = f"annotations[{i}]"
        image = _of(entry, "image_id", what, "the id of an image", lambda v: _is_id(v) and v in own)
        category = _of(
            entry,
            "category_id",
            what,
            f"one of {_short(sorted(ids))}",
            lambda v: type(v) is int and v in ids,
        )
        crowd = entry.get("iscrowd") or 0
        if crowd not in (0, 1):
            raise Bad(f"{what} has iscrowd = {_short(crowd)}; allowed: 0 or 1")
        region = _of(entry, where.key, what, where.allowed, where.fits)
        called = f"{shown(json_name)}: {what}"
        own[image].things.append(Thing(called, category, region, crowd == 1))


def _found(file: str, json_name: str, by_file: dict[str, list[str]]) -> str | None:
    """The image that a JSON calls so; None where there is none. It is looked for among those that
    are there, so no name leads anywhere else."""
    path = posixpath.normpath(file.replace("\\", "/"))
    folder = posixpath.dirname(json_name)
    names = by_file.get(posixpath.basename(path), [])
    for beside in (path, f"images/{path}"):
        if posixpath.join(folder, beside) in names:
            return posixpath.join(folder, beside)
    ends = [name for name in names if f"/{name}".endswith(f"/{path}")]
    if len(ends) > 1:
        raise Bad(f"file_name = {file!r} may be {ends[0]!r} or {ends[1]!r}; allowed: a longer path")
    return ends[0] if ends else None
