"""A sheet of the images of which something was found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnlab.look import thumbnails
from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    SMALL,
    TITLE,
    Picture,
    blank,
    house_style,
    plural,
    wrapped,
    write,
)
from cnnlab.look.thumbnails import LETTERS, Thumbnail

MOST = 24  # images of a sheet
SAID = 5  # images in the alt text
HEAD = 34  # pixels, of a block's heading


@dataclass(frozen=True)
class Seen:
    """An image of a sheet."""

    image: np.ndarray  # uint8 (h, w), (h, w, 1) or (h, w, 3)
    label: str
    note: str  # what was measured, short; "" where nothing was


def findings_figure(title: str, note: str, blocks: Sequence[tuple[str, Sequence[Seen]]]) -> Picture:
    """Blocks of images, each with a heading.

    Args:
        title: Heading of all.
        note: What the lines below an image say.
        blocks: Heading ("" for none) and images of each, the worst first: of all blocks together
            the first `MOST` are drawn, as many of one as of another.
    """
    most = MOST // max(1, len(blocks))
    drawn = [(name, [_thumbnail(one) for one in seen[:most]]) for name, seen in blocks]
    top = 82
    heights = [HEAD * bool(name) + thumbnails.height(some) for name, some in drawn]
    with house_style():
        figure = blank(top + sum(heights) + 8)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        write(figure, MARGIN, 46, note, SMALL, color=GREY)
        for (name, some), height in zip(drawn, heights, strict=True):
            if name:
                write(figure, MARGIN, top, name, weight="bold")
            thumbnails.draw(figure, top + HEAD * bool(name), some)
            top += height
    words = "; ".join(_said(name, seen) for name, seen in blocks)
    return Picture(figure, f"{title}: {words}")


def _thumbnail(one: Seen) -> Thumbnail:
    lines = [(line, INK) for line in wrapped(one.label, LETTERS, 3)]
    lines += [(line, GREY) for line in wrapped(one.note, LETTERS, 3) if line]
    return Thumbnail(one.image, lines)


def _said(name: str, seen: Sequence[Seen]) -> str:
    each = ", ".join(f"{s.label} ({s.note})" if s.note else s.label for s in seen[:SAID])
    more = f" and {len(seen) - SAID} more" if len(seen) > SAID else ""
    return f"{f'{name}, ' if name else ''}{plural(len(seen), 'image')}: {each}{more}"
