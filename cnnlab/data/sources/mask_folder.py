"""A folder of images and one of their masks, here or behind an fsspec URL, or a .tar or .zip.

`images/` holds images, `masks/` for each of them a PNG of the same size whose name is the same but
for the ending, both at any depth; optionally both lie below train/ and test/, or have those below
them (see `_splits` for what they may be called). Folders that wrap all of it are seen through.
Archives are read in place; see `_files` for what is refused.

A mask is indexed (palette) or grey, where each pixel's value says the class and 255 is void, or in
colour. `classes.csv`, beside the folders or above them, says which class is which: columns `name`
and either `value` (whole numbers) or `colour` (#rrggbb). The class that is called background is the
background, else the first; one that is called void is void. Without it, the values in masks are the
classes: 0 is called background, the others by their numbers.
"""

from __future__ import annotations

import csv
import io
import posixpath
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from cnnlab.data import formats, images
from cnnlab.data.sources import Source, _masks, refused, shown, tidy
from cnnlab.data.sources._files import Files, holds, is_hidden, look
from cnnlab.data.sources._files import images as image_names
from cnnlab.data.sources.image_table import READERS
from cnnlab.overlap import VOID

TRUTH = ("masks",)
LAYOUT = (
    "images/ with images and masks/ with a .png of the same name for each, optionally below train/"
    " and test/"
)
TABLE = "classes.csv"
VALUES = 2**16  # that a pixel may have
TOO_MANY = 64  # different values that are no classes, but shades of a drawing or objects' numbers
LISTED = 5  # codes that an error names


class Key(NamedTuple):
    """What the image and the mask of a row are found by."""

    image: Any
    mask: Any
    name: str  # of the mask's file
    size: tuple[int, int] | None  # width and height of the image, None where it cannot be read


class NotAMask(Exception):
    """An image that can be read and is no mask; says what is wrong with it."""


@dataclass(frozen=True)
class Meanings:
    """Which class each code is: the value of a pixel or, of a colour, 0xRRGGBB."""

    classes: tuple[str, ...]
    numbers: Mapping[int, int]  # code -> number of the class, or VOID
    colour: bool

    def of(self, codes: np.ndarray) -> np.ndarray:
        """Class numbers, uint8, of codes, int, of any one shape. Raises NotAMask."""
        known = np.array(sorted(self.numbers))
        at = np.searchsorted(known, codes).clip(max=len(known) - 1)
        strange = np.unique(codes[known[at] != codes]).tolist()
        if strange:
            what = "colour" if self.colour else "value"
            some = ", ".join(map(self._text, strange[:LISTED]))
            more = f" and {len(strange) - LISTED} more" if len(strange) > LISTED else ""
            raise NotAMask(f"holds the {what} {some}{more}; allowed: {self._allowed()}")
        return np.array([self.numbers[code] for code in known.tolist()], np.uint8)[at]

    def _text(self, code: int) -> str:
        return f"#{code:06x}" if self.colour else str(code)

    def _allowed(self) -> str:
        names = {VOID: "void", **dict(enumerate(self.classes))}
        return ", ".join(f"{self._text(c)} ({names[n]})" for c, n in self.numbers.items())


@dataclass(frozen=True)
class Masks:
    """`Source.mask`."""

    place: str
    files: Callable[[Sequence[Any]], list[bytes | Exception]]
    meanings: Meanings

    def __call__(self, key: Key) -> np.ndarray:
        try:
            codes = _codes(*self.files([key.mask]), self.meanings.colour)
            if _differs(codes, key.size):
                raise NotAMask(_differs(codes, key.size))
            return self.meanings.of(codes)
        except NotAMask as problem:
            raise refused(self.place, f"{shown(key.name)} {problem}") from None
        except images.BadImage as problem:
            raise refused(self.place, f"{shown(key.name)} cannot be read ({problem})") from None


def recognises(files):
    """Whether there are images/ and masks/."""
    return holds(files, frozenset({"images"})) and holds(files, frozenset({"masks"}), {".png"})


def open_source(place):
    files = look(place)
    meanings = _table(place, files)
    pairs = _pairs(files)
    held = _held(place, files, pairs, meanings is not None and meanings.colour)
    usable = [i for i, codes in enumerate(held) if codes is not None]
    if not usable:
        left = [f"{f.what}: {f.where}" for f in files.findings]
        seen = f"; left out: {len(left)}, the first is {left[0]}" if left else ""
        raise refused(place, f"no images with masks found; expected {LAYOUT}{seen}")
    used = sorted(set().union(*(held[i] for i in usable)))
    meanings = meanings or _of_values(place, used)
    for i in usable:
        try:
            meanings.of(np.array([*held[i]]))
        except NotAMask as problem:
            raise refused(place, f"{shown(pairs[i][1].name)} {problem}") from None
    meanings = _without_unused(place, files, meanings, used)
    names, labels, keys = [], [], []
    for i in usable:
        name, key = pairs[i]
        numbers, counts = meanings.of(np.array([*held[i]])), np.array([*held[i].values()])
        if (numbers == VOID).all():
            files.note("image whose mask is void everywhere", name)
            continue
        names.append(name)
        keys.append(key)
        labels.append(_masks.label(numbers, counts, meanings.classes))
    split, findings = _masks.splits(names)
    columns = {"source": list(map(shown, names)), "label": labels, "split": split}
    return Source(
        pd.DataFrame(columns, dtype=str),
        keys,
        _masks.Images(files.read),
        files.parallel,
        [key.image[0] for key in keys] if files.ordered else None,
        [*files.findings, *findings],
        meanings.classes,
        Masks(place, files.read, meanings),
    )


def _pairs(files: Files) -> list[tuple[str, Key]]:
    """Names of the images that have masks of their size, as far as that is known, and their
    keys."""
    pictures, masks = {}, {}  # where, without images/ or masks/ and the ending -> name
    for name in image_names(files):
        *folders, file = name.split("/")
        kinds = [i for i, folder in enumerate(folders) if folder.casefold() in ("images", "masks")]
        if not kinds:
            files.note("image outside of the layout", name, detail=f"expected: {LAYOUT}")
            continue
        kind = folders.pop(kinds[-1]).casefold()
        stem, ending = posixpath.splitext(file)
        where = (kinds[-1], *folders, stem)
        if kind == "masks" and ending.lower() != ".png":
            files.note("mask that is no .png", name)
            continue
        what, those = ("image", pictures) if kind == "images" else ("mask", masks)
        if where in those:
            detail = f"beside {shown(those[where])}"
            files.note(f"{what} of the same name but for the ending", name, detail=detail)
        else:
            those[where] = name
    for what, those, others in (
        ("image without a mask", pictures, masks),
        ("mask without an image", masks, pictures),
    ):
        for where, name in those.items():
            if where not in others:
                files.note(what, name)
    paired = {name: masks[where] for where, name in pictures.items() if where in masks}
    sizes = _masks.sizes(files, [files.keys[name] for name in paired])
    return [
        (name, Key(files.keys[name], files.keys[mask], mask, size))
        for (name, mask), size in zip(paired.items(), sizes, strict=True)
    ]


def _held(
    place: str, files: Files, pairs: Sequence[tuple[str, Key]], colour: bool
) -> list[dict[int, int] | None]:
    """For each mask: code -> how many pixels; None for one that is left out."""
    held: list[dict[int, int] | None] = [None] * len(pairs)
    for i, content in _masks.contents(files, [key.mask for _, key in pairs]):
        name, key = pairs[i]
        try:
            codes = _codes(content, colour)
        except images.BadImage as problem:
            files.note("image whose mask cannot be read", name, detail=f"{key.name}: {problem}")
            continue
        except NotAMask as problem:
            raise refused(place, f"{shown(key.name)} {problem}") from None
        if differs := _differs(codes, key.size):
            files.note("image whose mask has another size", name, detail=f"{key.name} {differs}")
            continue
        values, counts = np.unique(codes, return_counts=True)
        held[i] = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return held


def _differs(codes: np.ndarray, size: tuple[int, int] | None) -> str:
    """What is to be said of a mask that has not its image's size."""
    height, width = codes.shape
    if size in (None, (width, height)):
        return ""
    turned = ", upright as its EXIF says" if size == (height, width) else ""
    return f"is {width}x{height}; allowed: {size[0]}x{size[1]}, as its image is{turned}"


def _codes(content: bytes | Exception, colour: bool) -> np.ndarray:
    """The values of a mask's pixels, int (height, width), or their colours, 0xRRGGBB.

    Raises BadImage for what cannot be read, NotAMask for an image of another kind.
    """
    if isinstance(content, Exception):
        raise images.BadImage(str(content))
    images.header(content, _masks.MEGAPIXELS)  # refuses what is too large or damaged
    if (kind := formats.kind(content)) != "PNG":
        raise images.BadImage(f"{kind}; allowed: PNG")
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(content), formats=["PNG"]) as mask,
        ):
            mask.load()
            return _in_colour(mask) if colour else _in_values(mask, content[24])
    except images.UNREADABLE as error:
        raise images.BadImage(f"PNG: {' '.join(str(error).split())}") from None


def _in_colour(mask: Image.Image) -> np.ndarray:
    if mask.mode.startswith("I"):
        raise NotAMask(f"has 16 bits; allowed: colours of 8, as in {TABLE}")
    red, green, blue = np.moveaxis(np.asarray(_opaque(mask).convert("RGB"), np.int32), 2, 0)
    return red << 16 | green << 8 | blue


def _in_values(mask: Image.Image, bits: int) -> np.ndarray:
    """`bits`: of a value in the file."""
    mask = _opaque(mask)
    values = np.asarray(mask)
    if bits == 16 and not mask.mode.startswith("I"):  # of which Pillow takes the upper 8
        raise NotAMask("has 16 bits and more than one channel; allowed: indexed or grey")
    if mask.mode == "RGB":
        if (values != values[..., :1]).any():
            raise NotAMask(f"is in colour; allowed: indexed, grey, or a {TABLE} of colours")
        return values[..., 0]
    if mask.mode == "L" and bits in (2, 4):  # which Pillow stretches to 0 .. 255
        return values // (255 // (2**bits - 1))
    return values.astype(np.uint8) if mask.mode == "1" else values


def _opaque(mask: Image.Image) -> Image.Image:
    """A mask without its transparency. Refuses one of which anything can be seen through."""
    if mask.mode not in ("LA", "RGBA"):
        return mask
    if mask.getchannel("A").getextrema()[0] < 255:
        raise NotAMask("has transparent pixels; allowed: none, as they have no class")
    return mask.convert(mask.mode[:-1])


def _of_values(place: str, used: Sequence[int]) -> Meanings:
    """What the values in masks are, where nothing says it."""
    values = [value for value in used if value not in (0, VOID)]
    if not values:
        raise refused(
            place,
            f"masks hold the values {', '.join(map(str, used))} alone, of which 0 is the background"
            f" and 255 void; where 255 is an object, say so in {TABLE}: name,value",
        )
    if len(values) > TOO_MANY or max(values) > VOID:
        raise refused(
            place,
            f"masks hold {len(used)} values, up to {max(used)}; without a {TABLE} (name,value) are"
            f" allowed: {TOO_MANY} beside 0 and 255, up to 254",
        )
    numbers = {0: 0, **{value: i for i, value in enumerate(values, 1)}, VOID: VOID}
    return Meanings((_masks.BACKGROUND, *map(str, values)), numbers, colour=False)


def _without_unused(place: str, files: Files, meanings: Meanings, used: Sequence[int]) -> Meanings:
    """Without the classes of which there is no pixel, which nothing could learn."""
    seen = {meanings.numbers[code] for code in used} | {0}
    kept = [i for i in range(len(meanings.classes)) if i in seen]
    for i, name in enumerate(meanings.classes):
        if i not in seen:
            files.note("class without pixels", name)
    if len(kept) < 2:
        raise refused(place, f"masks hold no class but {meanings.classes[0]}; allowed: 2 or more")
    renumbered = {VOID: VOID, **{number: i for i, number in enumerate(kept)}}
    numbers = {c: renumbered[n] for c, n in meanings.numbers.items() if n in renumbered}
    return Meanings(tuple(meanings.classes[i] for i in kept), numbers, meanings.colour)


def _table(place: str, files: Files) -> Meanings | None:
    """What the table of classes says, None where there is none. Takes it out of the files."""
    tables = sorted(
        name
        for name in files.keys
        if name.split("/")[-1].lower() == TABLE and not is_hidden(name.split("/"))
    )
    if not tables:
        return None
    contents = files.read([files.keys.pop(name) for name in tables])
    for name, content in zip(tables, contents, strict=True):
        if content != contents[0] or isinstance(content, Exception):
            bad = isinstance(content, Exception)
            why = f"cannot be read: {content}" if bad else f"says other than {shown(tables[0])}"
            raise refused(place, f"{shown(name)} {why}; allowed: one table of classes")
    try:
        return _meanings(READERS[".csv"](io.BytesIO(contents[0])))
    except (ValueError, csv.Error) as error:
        raise refused(place, f"{shown(tables[0])}: {error}") from None


def _meanings(table: pd.DataFrame) -> Meanings:
    """Raises ValueError that says what is wrong with a table of classes."""
    table = table.rename(columns=lambda name: str(name).strip().lower())
    by = [name for name in ("value", "colour", "color") if name in table]
    if "name" not in table or len(by) != 1 or not table.columns.is_unique:
        columns = list(table.columns)
        raise ValueError(f"columns {columns}; allowed: name, and either value or colour, once each")
    colour = by[0] != "value"
    codes: dict[int, str] = {}
    for name, text in zip(table["name"].map(tidy), table[by[0]].str.strip(), strict=True):
        code = _code(text, colour)
        if code is None:
            allowed = "#rrggbb" if colour else f"whole numbers from 0 to {VALUES - 1}"
            raise ValueError(f"{by[0]} of {name!r} is {text!r}; allowed: {allowed}")
        if code in codes or name in codes.values() or not name:
            raise ValueError(f"row {name!r}, {text!r}; allowed: each name and {by[0]} once")
        codes[code] = name
    voids = {code: VOID for code, name in codes.items() if name.casefold() == "void"}
    names = [name for code, name in codes.items() if code not in voids]
    names.sort(key=lambda name: name.casefold() != _masks.BACKGROUND)
    if not 2 <= len(names) <= _masks.MOST:
        raise ValueError(f"{len(names)} classes; allowed: 2 to {_masks.MOST}, and void")
    numbers = {code: names.index(name) for code, name in codes.items() if code not in voids}
    numbers |= voids
    if not colour:
        numbers.setdefault(VOID, VOID)
    return Meanings(tuple(names), numbers, colour)


def _code(text: str, colour: bool) -> int | None:
    """The code that a table says; None for what is none."""
    if colour:
        return int(text[1:], 16) if re.fullmatch("#[0-9a-fA-F]{6}", text) else None
    return int(text) if re.fullmatch("[0-9]{1,5}", text) and int(text) < VALUES else None
