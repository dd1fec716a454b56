"""Data sources: one file each, named in params.yaml as `data.source`.

A file defines `open_source(place) -> Source`, where `place` is the study's `data.remote` or, where
that is null, its `data.raw`; only sources that read files use it. One that knows more of images
than their labels also defines `TRUTH`: what of it, a tuple of names that tasks (`cnnlab.tasks`) ask
for. Any task whose images need labels alone takes these sources too. By `recognises(files)`, of a
`cnnlab.data.sources._files.Files`, it may say whether files lie as it reads them, so that a new
study finds it by itself.
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cnnlab.errors import UserError
from cnnlab.plugins import Registry

SOURCES = Registry(__name__, needs="open_source")


class Finding(NamedTuple):
    """Something in the data that people should know of."""

    what: str  # the kind of thing, such as "hidden file"
    where: str  # the file or folder
    done: str  # what became of it
    detail: str = ""


@dataclass(frozen=True)
class Source:
    """What there is, and how to read it.

    `table`: one row an image, in an order that does not depend on the machine, with columns
    `source` (where it came from, unique), `label` (class name) and `split` ("train" or "test" where
    the source comes split, else ""); optionally `group` (images that belong together, such as one
    person's or one specimen's; they never part company).
    `keys`: for each row, what `read` finds its image by.
    `read`: keys -> for each one a file's content, or pixels uint8 (height, width, 1 or 3), or the
    Exception that says why it cannot be read.
    `parallel`: `read` may be called in other processes, where it is unpickled.
    `order`: for each row a number; to read in this order is fastest. None: any.
    `findings`: what was seen while looking for images.

    Sources with masks, for segmentation, also give:
    `classes`: names of the class numbers in masks, first that of the background; then `label` is
    the one of the others that covers most pixels of the image, the background where none does.
    `mask`: one of `keys` -> class numbers uint8 (height, width), of the size of the image as it is
    read, upright; `cnnlab.overlap.VOID` where nobody says. Raises UserError that names the file,
    what it held and what is allowed.
    Both are None where images have no masks.

    Sources with boxes, for detection, also give:
    `object_classes`: names of the class numbers in boxes, without a background; then `label` is the
    one of most box area, the first of an image without objects (where there are masks, too, it is
    what these say).
    `boxes`: one of `keys` -> its objects, float32 (k, 5): class number, from 0, and y0, x0, y1, x1
    in pixels of the image as it is read, upright, from its upper left corner, where the first pixel
    reaches from 0 to 1: 0 <= y0 < y1 <= height, 0 <= x0 < x1 <= width; after them regions that the
    evaluation of the test ignores, numbered as `cnnlab.ignored` says. Raises UserError as `mask`.
    Both are None where images have no boxes.
    """

    table: pd.DataFrame
    keys: Sequence[Any]
    read: Callable[[Sequence[Any]], list[bytes | np.ndarray | Exception]]
    parallel: bool = False
    order: Sequence[int] | None = None
    findings: list[Finding] = field(default_factory=list)
    classes: tuple[str, ...] | None = None
    mask: Callable[[Any], np.ndarray] | None = None
    object_classes: tuple[str, ...] | None = None
    boxes: Callable[[Any], np.ndarray] | None = None


def of_array(table: pd.DataFrame, images: np.ndarray, findings: Sequence[Finding] = ()) -> Source:
    """The source of images that are in memory, uint8 (n, height, width[, 1 or 3])."""
    images = images if images.ndim == 4 else images[..., None]

    def read(keys: Sequence[int]) -> list[np.ndarray]:
        return [images[key] for key in keys]

    return Source(table, range(len(images)), read, findings=[*findings])


def refused(place: str, why: str) -> UserError:
    """The error that says which param names a place that cannot serve, and why not."""
    key = "remote" if "://" in place else "raw"
    whole = os.path.expanduser(place)  # noqa: PTH111  (it may be a URL, which a Path would change)
    return UserError(f"params.yaml: data.{key} = {whole!r}: {why}")


JOINERS = "\u200c\u200d"  # which scripts and emoji are written with


def shown(name: str) -> str:
    """A file's name as text that any file may hold: what cannot be printed is escaped."""
    if name.isprintable():
        return name
    return "".join(
        c if c.isprintable() or c in JOINERS else c.encode("unicode_escape").decode() for c in name
    )


def text(value: Any) -> str:
    """A label as a table or an array holds it, which may be as bytes."""
    return value.decode(errors="backslashreplace") if isinstance(value, bytes) else str(value)


def refuse_lists(place: str, column: str, values: Iterable) -> None:
    """Refuse a column of a Parquet file that holds several things in a row."""
    for value in values:
        if pd.api.types.is_list_like(value):
            raise refused(
                place, f"column {column} holds {value!r:.80}; allowed: one text or number a row"
            )


def tidy(label: str) -> str:
    """A label in the one form it is known by: composed (NFC), one space where there are several and
    none around, nothing that is not seen, such as a mark of the order of bytes."""
    seen = [c for c in label if c in JOINERS or unicodedata.category(c) != "Cf"]
    return shown(" ".join(unicodedata.normalize("NFC", "".join(seen)).split()))
