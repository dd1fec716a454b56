"""Images with the boxes of their objects as PASCAL VOC's XML gives them, here or behind an fsspec
URL, or a .tar or .zip.

`JPEGImages/` (or `images/`) holds images, `Annotations/` for each of them an .xml whose name is the
same but for the ending, both at any depth; optionally both lie below train/ and test/, or have
those below them (see `_splits`). Lists of images, as in `ImageSets/`, are not read. Coordinates
count pixels from 1, and the last one belongs to the box. Objects marked `difficult` are learnt as
any other, and passed over where the test set is evaluated, as VOC does (out of fold they count). An
image whose .xml names none has no objects; one without an .xml is left out. An .xml with a document
type or with entities is refused.
"""

from __future__ import annotations

import math
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

from cnnlab.data.pool import natural
from cnnlab.data.sources import _boxes, _masks, refused, shown, tidy
from cnnlab.data.sources._files import look

TRUTH = ("boxes",)

LAYOUT = _boxes.Layout(
    frozenset({"jpegimages", "images"}),
    "annotations",
    ".xml",
    "JPEGImages/ with images and Annotations/ with an .xml of the same name for each",
)
CORNERS = ("ymin", "xmin", "ymax", "xmax")


class Bad(Exception):
    """What is wrong with an .xml."""


class Object(NamedTuple):
    """What an .xml says of an object."""

    name: str
    box: tuple[float, float, float, float]  # y0, x0, y1, x1, pixels from the upper left corner
    difficult: bool


def recognises(files):
    return _boxes.lies_so(files, LAYOUT)


def open_source(place):
    files = look(place)
    text_of, keys = _boxes.found(place, files, LAYOUT)
    for name, xml in text_of.items():
        if not xml:
            files.note("image without an .xml", name)
    names = [name for name, xml in text_of.items() if xml]
    sizes = dict(zip(names, _masks.sizes(files, [files.keys[n] for n in names]), strict=True))
    objects: dict[str, list[Object]] = {}
    for i, content in _masks.contents(files, [keys[text_of[name]] for name in names]):
        try:
            said, objects[names[i]] = read(content)
        except Bad as problem:
            raise refused(place, f"{shown(text_of[names[i]])}: {problem}") from None
        if said and sizes[names[i]] not in (None, said):
            detail = "{}x{}, by the .xml {}x{}".format(*sizes[names[i]], *said)
            files.note("image of another size than its .xml says", names[i], detail=detail)
            del objects[names[i]]
    if not objects:
        left = f"the first is {files.findings[0].what}: {files.findings[0].where}"
        raise refused(place, f"no images with annotations of their size; left out: {left}")
    classes = sorted({one.name for some in objects.values() for one in some}, key=natural)
    things: dict[str, list[_boxes.Thing]] = {name: [] for name in objects}
    for name, some in objects.items():
        for i, one in enumerate(some):
            what = f"{shown(text_of[name])}: object {i + 1}"
            number, easy = classes.index(one.name), not one.difficult
            things[name].append(_boxes.Thing(what, number, one.box, evaluated=easy))
            if one.difficult:
                files.note("object marked difficult", name, "learnt, ignored in the test", what)
    return _boxes.source(place, files, things, sizes, classes)


def read(content: bytes | Exception) -> tuple[tuple[int, int] | None, list[Object]]:
    """Width and height, None where they are not said, and objects of an .xml. Raises Bad."""
    if isinstance(content, Exception):
        raise Bad(f"cannot be read: {content}")
    root = _parsed(content)
    if root.tag != "annotation":
        raise Bad(f"holds <{root.tag[:40]}>; allowed: <annotation>")
    size = None
    if root.find("size") is not None:
        sides = [root.findtext(f"size/{side}", "0").strip() for side in ("width", "height")]
        if not all(side.isdecimal() for side in sides):
            raise Bad(f"has the size {' x '.join(sides)!r}; allowed: whole numbers of pixels")
        size = tuple(map(int, sides))
    return size if size and all(size) else None, [
        _object(entry, i + 1) for i, entry in enumerate(root.findall("object"))
    ]


def _parsed(content: bytes) -> ElementTree.Element:
    def refuse(*_):
        raise Bad("has a document type or entities, which may do harm; allowed: elements alone")

    check = expat.ParserCreate()
    check.StartDoctypeDeclHandler = check.EntityDeclHandler = refuse
    try:
        check.Parse(content, True)
        return ElementTree.fromstring(content)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError) as error:
        raise Bad(f"is no XML that can be read ({error})") from None


def _object(entry: ElementTree.Element, number: int) -> Object:
    name = tidy(entry.findtext("name", ""))
    if not name:
        raise Bad(f"object {number} has no name; allowed: <name> with the class")
    values = []
    for corner in CORNERS:
        text = entry.findtext(f"bndbox/{corner}", "").strip()
        try:
            values.append(float(text))
        except ValueError:
            values.append(math.nan)
        if not math.isfinite(values[-1]):
            raise Bad(f"object {number} has {corner} = {text[:40]!r}; allowed: a number of pixels")
    ymin, xmin, ymax, xmax = values
    difficult = entry.findtext("difficult", "0").strip() == "1"
    return Object(name, (ymin - 1, xmin - 1, ymax, xmax), difficult)
