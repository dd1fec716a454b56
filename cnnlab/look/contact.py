"""A contact sheet: many images, each with what a network says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    SMALL,
    TITLE,
    WARNING,
    WIDTH,
    Picture,
    blank,
    displayed,
    draw_tiles,
    fit,
    house_style,
    write,
)

COLUMNS, GAP = 8, 14
MOST = 160  # images a sheet
LINE = 17  # pixels from one line of words to the next


@dataclass(frozen=True)
class Answer:
    """One image, and what a network says of it."""

    image: np.ndarray  # as the network takes it
    file: str
    predicted: str
    probability: float  # 0..1
    others: Sequence[str] = ()  # classes that cannot be ruled out, besides
    unlike: bool = False  # the training images


def contact_figure(title: str, note: str, answers: Sequence[Answer]) -> Picture:
    """Thumbnails with their answers, in rows from left to right, `MOST` at most.

    Under each: its file, the class and its probability, and where there are some the classes that
    cannot be ruled out; what is unlike the training images is marked in words and colour.

    `title`, `note`: what is written above. `answers`: at least one; images of one shape.
    """
    shape = answers[0].image.shape[:2]
    tile = (WIDTH - 2 * MARGIN + GAP) // COLUMNS - GAP
    grid = fit(COLUMNS, shape, (tile, WIDTH - 2 * MARGIN), GAP, tile, columns=COLUMNS)
    pitch = grid.height + 3 * LINE + GAP
    rows = -(-len(answers) // COLUMNS)
    with house_style():
        figure = blank(84 + rows * pitch + MARGIN)
        write(figure, MARGIN, 16, title, TITLE, weight="bold")
        write(figure, MARGIN, 48, note, SMALL, color=GREY)
        for row in range(rows):
            some, top = answers[row * COLUMNS :][:COLUMNS], 84 + row * pitch
            tiles = np.stack([displayed(answer.image) for answer in some])
            draw_tiles(figure, MARGIN, top, tiles, grid, tile + GAP - grid.width, framed=True)
            for column, answer in enumerate(some):
                left = MARGIN + column * (tile + GAP)
                for i, (text, colour) in enumerate(_lines(answer)):
                    down = top + grid.height + 4 + i * LINE
                    write(figure, left, down, text, SMALL, tile + GAP - 4, color=colour)
    counts = f"{len(answers)} images, {sum(a.unlike for a in answers)} unlike the training images"
    return Picture(figure, f"{title}: {counts}")


def _lines(answer: Answer) -> list[tuple[str, str]]:
    """The words under an image, each with its colour."""
    lines = [(answer.file, GREY), (f"{answer.probability:.0%} {answer.predicted}", INK)]
    if answer.unlike:
        return [*lines, ("unlike", WARNING)]
    return [*lines, (f"or {', '.join(answer.others)}", GREY)] if answer.others else lines
