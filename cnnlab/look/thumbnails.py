"""Images in rows, each with lines of text below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from cnnlab.look.figure import (
    MARGIN,
    SMALL,
    WIDTH,
    Grid,
    displayed,
    draw_tiles,
    fit,
    write,
)

COLUMNS = 6  # images of a row
GAP, TILE = 20, 112  # pixels, between images and of one, at most
LINE, BELOW = 18, 20  # pixels: of a line of text, and below a row
LETTERS = 17  # a line of text below an image


@dataclass(frozen=True)
class Thumbnail:
    """An image and what stands below it."""

    image: np.ndarray  # uint8 (h, w), (h, w, 1) or (h, w, 3)
    lines: Sequence[tuple[str, str]]  # text and colour of each


def height(thumbnails: Sequence[Thumbnail]) -> int:
    """Pixels that they need."""
    return sum(high for *_, high in _rows(thumbnails))


def draw(figure: Figure, top: int, thumbnails: Sequence[Thumbnail]) -> None:
    """Draw them from `top` on, `COLUMNS` a row."""
    step = (WIDTH - 2 * MARGIN + GAP) // COLUMNS
    for row, tall, high in _rows(thumbnails):
        for i, one in enumerate(row):
            left, grid = MARGIN + i * step, _grid(one)
            tile = displayed(one.image)[None]
            draw_tiles(figure, left, top + tall - grid.height, tile, grid, 0, framed=True)
            for k, (line, colour) in enumerate(one.lines):
                down = top + tall + 6 + k * LINE
                write(figure, left, down, line, SMALL, step - GAP, color=colour)
        top += high


def _grid(one: Thumbnail) -> Grid:
    """How large its image is drawn."""
    return fit(1, one.image.shape[:2], (TILE, TILE), 0, TILE, columns=1)


def _rows(thumbnails: Sequence[Thumbnail]) -> list[tuple[Sequence[Thumbnail], int, int]]:
    """The images of each row, and the pixels that images and all the row need."""
    rows = []
    for first in range(0, len(thumbnails), COLUMNS):
        row = thumbnails[first : first + COLUMNS]
        tall = max(_grid(one).height for one in row)
        rows.append((row, tall, tall + 6 + LINE * max(len(one.lines) for one in row) + BELOW))
    return rows
