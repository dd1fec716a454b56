"""What sources of files with masks have in common: sizes of images, labels, parts, keys."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cnnlab.data import images
from cnnlab.data.sources import Finding, _splits
from cnnlab.data.sources._files import Files
from cnnlab.overlap import VOID

BACKGROUND = "background"
MOST = VOID  # classes: their numbers, and VOID, have to fit into 8 bits
MEGAPIXELS = 100  # larger masks are refused before they are decoded
CHUNK = 64  # files that are in memory at once
HEAD = 2**16  # bytes in which an image's header is looked for, before the whole file is read


@dataclass(frozen=True)
class Images:
    """`Source.read` where keys have more in them than the image, which is their `image`."""

    files: Callable[[Sequence[Any]], list[bytes | Exception]]

    def __call__(self, keys: Sequence[Any]) -> list[bytes | Exception]:
        return self.files([key.image for key in keys])


def contents(
    files: Files, keys: Sequence[Any], first: int | None = None
) -> Iterator[tuple[int, bytes | Exception]]:
    """Number and content of each file, or its first bytes, in the order that is fastest."""
    order = range(len(keys))
    order = sorted(order, key=keys.__getitem__) if files.ordered else order
    for start in range(0, len(order), CHUNK):
        some = order[start : start + CHUNK]
        yield from zip(some, files.read([keys[i] for i in some], first), strict=True)


def sizes(files: Files, keys: Sequence[Any]) -> list[tuple[int, int] | None]:
    """Width and height in pixels, upright, of each image, by its header; None where that cannot be
    read, which decoding will say."""
    # In a compressed archive one cannot go back to read the rest.
    first = None if files.ordered else HEAD
    known: list[tuple[int, int] | None] = [None] * len(keys)
    for i, content in contents(files, keys, first):
        known[i] = _size(content)
        if known[i] is None and first and isinstance(content, bytes) and len(content) == first:
            known[i] = _size(*files.read([keys[i]]))
    return known


def _size(content: bytes | Exception) -> tuple[int, int] | None:
    if isinstance(content, Exception):
        return None
    try:
        return images.header(content, float("inf"))[:2]
    except images.BadImage:
        return None


def label(numbers: np.ndarray, counts: np.ndarray, classes: Sequence[str]) -> str:
    """The class, not the background, that covers most pixels; the background where none does.

    `numbers`: class numbers, int (k,), `counts`: pixels of each, int (k,).
    """
    pixels = np.bincount(numbers, counts, minlength=VOID + 1)[: len(classes)]
    pixels[0] = 0
    return classes[int(pixels.argmax())]


def splits(names: Sequence[str]) -> tuple[list[str], list[Finding]]:
    """The `split` of each file by the folders that it lies in, and what is to be said of it."""
    folders = [name.split("/")[:-1] for name in names]
    # Folders that all of them lie in say nothing.
    levels = itertools.takewhile(lambda level: len(set(level)) == 1, zip(*folders, strict=False))
    wrapping = len(list(levels))
    parts = [next(filter(_splits.part, above[wrapping:]), ".") for above in folders]
    split, findings = _splits.settle(parts)
    return [split[part] for part in parts], findings
