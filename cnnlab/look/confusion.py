"""Which classes are taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import Normalize

from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    SMALL,
    TITLE,
    WIDTH,
    Picture,
    Scale,
    blank,
    box,
    colour_bar,
    house_style,
    plural,
    write,
)

SIDE = 560  # pixels of the matrix, at most
CELL = 64  # pixels of a cell, at most
LABELS = 150  # pixels, left of it
TOP = 116  # pixels, above it, where class names lie above their columns
HEAD = 66  # pixels, of title and note
LETTER = 9  # pixels, of a small letter, about
COLOURS = "Blues"
MISTAKES = 5  # named in the alt text
MOST = 40  # classes whose names can be read


def confusion_figure(title: str, counts: np.ndarray, classes: Sequence[str]) -> Picture:
    """A row a true class, a column the prediction; colours are shares of the row, numbers images.

    Numbers are left out where they would not be readable. Of more than `MOST` classes those are
    drawn that are mistaken, or taken for others, most often, the first one first.

    Args:
        counts: Images, int (classes, classes).
        classes: Names in the order of rows and columns.
    """
    words = _in_words(counts, classes)
    images, every = counts.sum(axis=1, keepdims=True), len(classes)
    if every > MOST:
        wrong = _wrong(counts)
        first = np.argsort(-(wrong.sum(axis=0) + wrong.sum(axis=1)), kind="stable")[:MOST]
        counts, images = counts[np.ix_(first, first)], images[first]
        classes = [classes[i] for i in first]
    longest = LETTER * max(map(len, classes))
    cell = min(CELL, SIDE // len(classes))
    side = cell * len(classes)
    upright = longest > cell  # the names above the columns
    room = min(max(longest, TOP - HEAD), LABELS - 8) if upright else cell
    top = HEAD + room + 12 if upright else TOP
    shares = counts / np.maximum(images, 1)
    scale = Scale(Normalize(0, 1), COLOURS)
    with house_style():
        figure = blank(top + max(side, 150) + MARGIN)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        note = "down: true class; across: predicted class; images, coloured by share of the row"
        if every > MOST:
            note = f"the {MOST} of {every} classes with most mistakes; " + note.partition(";")[0]
            note += "; across: predicted; coloured by share of the row"
        write(figure, MARGIN, 44, note, SMALL, color=GREY)
        left = MARGIN + LABELS
        axes = box(figure, left, top, side, side)
        axes.imshow(shares, norm=scale.norm, cmap=scale.colours, aspect="auto")
        for i, name in enumerate(classes):
            middle = (i + 0.5) * cell
            at, style = (left - 8, top + middle), {"ha": "right", "va": "center"}
            write(figure, *at, name, SMALL, room=LABELS - 8, **style)
            across = {"ha": "center", "va": "bottom", "rotation": 90 if upright else 0}
            write(figure, left + middle, top - 6, name, SMALL, room=room, **across)
        for (i, j), count in np.ndenumerate(counts) if cell >= 24 else ():
            if count:
                colour = "white" if shares[i, j] > 0.6 else INK
                style = {"ha": "center", "va": "center", "fontsize": SMALL, "color": colour}
                axes.text(j, i, str(count), **style)
        colour_bar(figure, min(left + side + 40, WIDTH - 90), top + 26, 120, scale, "of the row")
    return Picture(figure, f"{title}: {words}")


def _wrong(counts: np.ndarray) -> np.ndarray:
    """The counts of mistakes alone."""
    return np.where(np.eye(len(counts), dtype=bool), 0, counts)


def _in_words(counts: np.ndarray, classes: Sequence[str]) -> str:
    """How many images are right, and the most frequent mistakes."""
    wrong = _wrong(counts)
    worst = np.argsort(-wrong, axis=None, kind="stable")[:MISTAKES]
    comma = "," if any(name[-1:].isdigit() for name in classes) else ""  # a number beside a number
    mistakes = [
        f"{classes[i]} taken for {classes[j]}{comma} {plural(int(wrong[i, j]), 'time')}"
        for i, j in zip(*np.unravel_index(worst, wrong.shape), strict=True)
        if wrong[i, j]
    ]
    right = f"{int(np.trace(counts))} of {plural(int(counts.sum()), 'image')} right"
    return "; ".join([right, *mistakes])
