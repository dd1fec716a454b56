"""Images with the boxes of their objects as YOLO's text files give them, here or behind an fsspec
URL, or a .tar or .zip.

`images/` holds images, `labels/` for each of them a .txt whose name is the same but for the ending,
both at any depth; optionally both lie below train/ and test/, or have those below them (see
`_splits`). A line is an object: its class id, and the centre x, centre y, width and height of its
box as shares of the image's. An image without a .txt, or with an empty one, has no objects.

`names` in a .yaml (a list, or id: name), or the lines of `classes.txt` or `obj.names`, say what
classes are called; where nothing does, they are called by their ids.
"""

from __future__ import annotations

import math
import posixpath
from collections.abc import Mapping
from typing import Any

from cnnlab.data.sources import _boxes, _masks, refused, shown, text, tidy
from cnnlab.data.sources._files import Files, is_hidden, look

TRUTH = ("boxes",)

LAYOUT = _boxes.Layout(
    frozenset({"images"}),
    "labels",
    ".txt",
    "images/ with images and labels/ with a .txt of the same name for each that has objects",
)
LISTS = ("classes.txt", "obj.names")
YAML = (".yaml", ".yml")
LARGEST = 2**20  # bytes of a file of names
MOST = 10_000  # classes
ROUNDING = 0.01  # by which a share may be beyond 0..1
VALUES = "class x y width height"


class Bad(Exception):
    """What is wrong with a file."""


def recognises(files):
    return _boxes.lies_so(files, LAYOUT)


def open_source(place):
    files = look(place)
    names = _names(place, files)
    text_of, keys = _boxes.found(place, files, LAYOUT)
    sizes = dict(zip(text_of, _masks.sizes(files, [files.keys[n] for n in text_of]), strict=True))
    with_text = [name for name, txt in text_of.items() if txt]
    lines: dict[str, list] = {name: [] for name in text_of}
    for i, content in _masks.contents(files, [keys[text_of[name]] for name in with_text]):
        try:
            lines[with_text[i]] = read(content, names)
        except Bad as problem:
            raise refused(place, f"{shown(text_of[with_text[i]])}: {problem}") from None
    if names is None:
        names = {line[0]: str(line[0]) for some in lines.values() for line in some}
    ids = sorted(names)
    things = {name: [] for name in lines}
    for name, some in lines.items():
        width, height = sizes[name] or (0, 0)
        for i, (number, x, y, wide, high) in enumerate(some if sizes[name] else ()):
            what = f"{shown(text_of[name])}: object {i + 1}"
            low, far = (y - high / 2, x - wide / 2), (y + high / 2, x + wide / 2)
            box = (low[0] * height, low[1] * width, far[0] * height, far[1] * width)
            things[name].append(_boxes.Thing(what, ids.index(number), box))
    return _boxes.source(place, files, things, sizes, [names[number] for number in ids])


def read(
    content: bytes | Exception, names: Mapping[int, str] | None
) -> list[tuple[int, float, float, float, float]]:
    """Class id, centre x and y, width and height of each object of a .txt. Raises Bad."""
    if isinstance(content, Exception):
        raise Bad(f"cannot be read: {content}")
    objects = []
    for i, line in enumerate(_lines(content), 1):
        values = line.split()
        if not values:
            continue
        if len(values) != 5:
            more = " (a polygon or points?)" if len(values) > 5 else ""
            raise Bad(f"line {i} has {len(values)} values{more}; allowed: {VALUES}")
        number = int(values[0]) if values[0].isdecimal() and len(values[0]) < 6 else -1
        if number < 0 or number >= MOST or (names is not None and number not in names):
            allowed = f"0 to {MOST - 1}" if names is None else ", ".join(map(str, sorted(names)))
            raise Bad(f"line {i} has the class {values[0][:40]!r}; allowed: {allowed[:200]}")
        try:
            shares = [float(value) for value in values[1:]]
        except ValueError:
            shares = [math.nan]
        if not all(-ROUNDING <= share <= 1 + ROUNDING for share in shares):
            raise Bad(f"line {i} is {line.strip()[:80]!r}; allowed: shares of the image, 0 to 1")
        objects.append((number, *shares))
    return objects


def _lines(content: bytes) -> list[str]:
    try:
        return content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise Bad(f"is no text in UTF-8 ({error})") from None


def _names(place: str, files: Files) -> dict[int, str] | None:
    """Class id -> name, None where no file says it. Takes such files out of the files."""
    said: dict[str, dict[int, str]] = {}
    for name in sorted(files.keys):
        file = posixpath.basename(name).lower()
        is_yaml = file.endswith(YAML)
        if is_hidden(name.split("/")) or not (is_yaml or file in LISTS):
            continue
        (content,) = files.read([files.keys.pop(name)], LARGEST + 1)
        try:
            names = _of_file(content, is_yaml)
        except Bad as problem:
            raise refused(place, f"{shown(name)}: {problem}") from None
        if names is not None:
            said[name] = names
    first, *others = said or [""]
    for other in others:
        if said[other] != said[first]:
            raise refused(
                place, f"{shown(other)} says other than {shown(first)}; allowed: one list of names"
            )
    return said.get(first)


def _of_file(content: bytes | Exception, is_yaml: bool) -> dict[int, str] | None:
    """None for a .yaml that has no names."""
    if isinstance(content, Exception):
        raise Bad(f"cannot be read: {content}")
    if len(content) > LARGEST:
        raise Bad(f"is larger than {LARGEST >> 20} MiB; allowed: a list of names")
    listed = _of_yaml(content) if is_yaml else _of_list(content)
    if listed is None:
        return None
    names = dict(enumerate(listed)) if isinstance(listed, list) else listed
    if not isinstance(names, dict) or not 0 < len(names) <= MOST:
        raise Bad(f"has names that are {str(listed)[:60]!r}; allowed: a list, or id: name")
    for number, name in names.items():
        if type(number) is not int or not 0 <= number < MOST or not isinstance(name, str | int):
            raise Bad(f"has {number!r}: {str(name)[:60]!r} among its names; allowed: id: name")
    names = {number: tidy(text(name)) for number, name in names.items()}
    if len(set(names.values())) < len(names) or "" in names.values():
        raise Bad("has a name twice, or an empty one; allowed: each name once")
    return names


def _of_list(content: bytes) -> list[str]:
    """Without empty lines at the end; one before would move all names after it."""
    lines = _lines(content)
    while lines and not lines[-1].strip():
        lines.pop()
    return lines


def _of_yaml(content: bytes) -> Any:
    from ruamel.yaml import YAML as Reader
    from ruamel.yaml.error import YAMLError

    try:
        whole = Reader(typ="safe", pure=True).load("\n".join(_lines(content)))
    except (YAMLError, ValueError, RecursionError) as error:
        raise Bad(f"is no YAML that can be read ({' '.join(str(error).split())[:120]})") from None
    return whole.get("names") if isinstance(whole, dict) else None
