"""Which images changed sides: wrong without a technique and right with it, and the reverse."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnlab.look import thumbnails
from cnnlab.look.effects import VERDICTS
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

MOST = 12  # images of a block
HEAD = 34  # pixels above a block's images
NAMED = 5  # images of a block in the alt text


@dataclass(frozen=True)
class Changed:
    """An image that was right in some trainings and wrong in their partners."""

    image: np.ndarray  # uint8 (h, w), (h, w, 1) or (h, w, 3)
    label: str  # its class
    mistaken_for: str  # the class that the wrong ones took it for most often
    times: int  # pairs of trainings in which it changed to this side, at least 1
    of: int  # pairs of trainings in which it was held out


def sides_figure(
    title: str, without: str, with_: str, gained: Sequence[Changed], lost: Sequence[Changed]
) -> Picture:
    """Images that changed sides, in two blocks.

    Args:
        title: Heading.
        without: How to say which trainings lack the technique, as in "wrong WITHOUT": such as
            "without dropout" or "with baseline".
        with_: The same of those that have it: "with it", "with dropout".
        gained: All images that are wrong without and right with it, the most consistent first; of
            more than `MOST` the first are drawn, and the heading says how many there are.
        lost: The reverse.
    """
    blocks = {
        f"wrong {without}, right {with_}": (VERDICTS["helps"].colour, gained),
        f"right {without}, wrong {with_}": (VERDICTS["hurts"].colour, lost),
    }
    heights = [_height(changed) for _, changed in blocks.values()]
    top = 82
    with house_style():
        figure = blank(top + sum(heights) + 8)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        note = "below each image: its class, what it was taken for, in how many pairs of trainings"
        write(figure, MARGIN, 46, f"{note} it changed sides", SMALL, color=GREY)
        for (name, (colour, changed)), height in zip(blocks.items(), heights, strict=True):
            write(figure, MARGIN, top, _heading(name, changed), color=colour, weight="bold")
            thumbnails.draw(figure, top + HEAD, _thumbnails(changed))
            top += height
    words = [f"{name}: {_said(changed)}" for name, (_, changed) in blocks.items()]
    return Picture(figure, f"{title}; {'. '.join(words)}.")


def _heading(name: str, changed: Sequence[Changed]) -> str:
    if not changed:
        return f"{name}: none"
    if len(changed) <= MOST:
        return f"{name}: {plural(len(changed), 'image')}"
    return f"{name}: {len(changed)} images, the {MOST} most consistent"


def _thumbnails(changed: Sequence[Changed]) -> list[Thumbnail]:
    """The images of a block that are drawn."""
    return [Thumbnail(one.image, _lines(one)) for one in changed[:MOST]]


def _lines(changed: Changed) -> list[tuple[str, str]]:
    """What stands below an image: text and colour of each line."""
    label = [(line, INK) for line in wrapped(changed.label, LETTERS, 3)]
    mistake = [(line, GREY) for line in wrapped(f"taken for {changed.mistaken_for}", LETTERS, 4)]
    return [*label, *mistake, (f"{changed.times} of {changed.of}", GREY)]


def _height(changed: Sequence[Changed]) -> int:
    return HEAD + thumbnails.height(_thumbnails(changed))


def _said(changed: Sequence[Changed]) -> str:
    if not changed:
        return "none"
    each = [f"{c.label} taken for {c.mistaken_for} ({c.times} of {c.of})" for c in changed[:NAMED]]
    more = f" and {len(changed) - NAMED} more" if len(changed) > NAMED else ""
    return f"{plural(len(changed), 'image')}: {', '.join(each)}{more}"
