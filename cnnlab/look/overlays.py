"""What a network said of each pixel of images, as pictures: masks in colours, over the image, and
many of them on a sheet.

Masks, classes and `VOID` are those of `cnnlab.look.contours`, and so are the colours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from PIL import Image

from cnnlab.look.contours import (
    PALETTE,
    TINT,
    Lines,
    casing,
    checked,
    colour_of,
    draw_masks,
    entries,
    legend,
    legend_height,
)
from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    SMALL,
    TITLE,
    WIDTH,
    Picture,
    blank,
    fit,
    house_style,
    plural,
    write,
)
from cnnlab.overlap import VOID

SMALLEST = 384  # pixels: a smaller image is enlarged until its longer side has as many
WIDTH_OF = 250  # pixels of the longer side that ask for one more pixel of a contour's width
WEAK = 0.55  # of the tint inside of a contour
VOID_TONE = (0.8, 0.8, 0.8)
COLUMNS, GAP, LINE = 6, 16, 17  # of a sheet: images a row, pixels between them, and a line's height
MOST = 60  # images of a sheet


def _of_numbers(tone: Callable[[str], str]) -> np.ndarray:
    """What is made of each class number's colour, uint8 (256, 3)."""
    tones = [to_rgb(tone(colour_of(number))) for number in range(1, VOID)]
    return np.round(255 * np.array([(0, 0, 0), *tones, VOID_TONE])).astype(np.uint8)


COLOURS, CASINGS = _of_numbers(str), _of_numbers(casing)


def indexed(mask: np.ndarray) -> Image.Image:
    """A mask as an image whose pixels are its class numbers, with a palette: the background black,
    each class in its colour, what is void grey.

    Args:
        mask: uint8 (height, width).
    """
    image = Image.fromarray(np.ascontiguousarray(mask), "P")
    image.putpalette(COLOURS.tobytes())
    return image


def overlay(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """An image with its mask: each class tinted, its contour in its full colour, void pixels grey.

    Args:
        image: uint8 (height, width, 1 or 3).
        mask: uint8, of any size with the image's shape: each pixel takes the nearest.

    Returns:
        uint8 (height, width, 3), of a small image larger by a whole factor.
    """
    factor = max(1, -(-SMALLEST // max(image.shape[:2])))
    enlarged = image.repeat(factor, axis=0).repeat(factor, axis=1)
    pixels = np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)).astype(np.float32)
    height, width = pixels.shape[:2]
    numbers = _nearest(mask, height, width)
    of_pixel = COLOURS[numbers].astype(np.float32)
    region = ((numbers > 0) & (numbers < VOID))[..., None]
    mixed = np.where(region, pixels + WEAK * TINT * (of_pixel - pixels), pixels)
    mixed = np.where((numbers == VOID)[..., None], 0.4 * mixed + 0.6 * COLOURS[VOID], mixed)
    # On a line within it that is seen beside the class's colour, whatever the image is.
    wide = 1 + max(height, width) // WIDTH_OF
    for reach, tones in ((wide + max(1, wide // 2), CASINGS), (wide, COLOURS)):
        line = region & ~_within(numbers, reach)[..., None]
        mixed = np.where(line, tones[numbers], mixed)
    return np.round(mixed).astype(np.uint8)


def _within(numbers: np.ndarray, wide: int) -> np.ndarray:
    """Whether all pixels up to `wide` above, below, left and right are of the same class, bool
    (height, width). Beyond the edge is another."""
    height, width = numbers.shape
    edged = np.pad(numbers.astype(np.int16), wide, constant_values=-1)
    inside = np.ones(numbers.shape, bool)
    for step in range(1, wide + 1):
        for down, across in ((step, 0), (-step, 0), (0, step), (0, -step)):
            top, left = wide + down, wide + across
            inside &= edged[top : top + height, left : left + width] == numbers
    return inside


def _nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask at another size, every pixel the one at its centre."""
    down, across = (
        (np.arange(size) * 2 + 1) * old // (2 * size)
        for size, old in zip((height, width), mask.shape, strict=True)
    )
    return mask[down[:, None], across]


@dataclass(frozen=True)
class Masked:
    """One image, and the mask that a network gave it."""

    image: np.ndarray  # uint8 (height, width, channels)
    mask: np.ndarray  # uint8 (height, width)
    file: str
    words: str  # what is said of it


def overlays_figure(
    title: str, note: str, answers: Sequence[Masked], classes: Sequence[str]
) -> Picture:
    """Images with their masks as contours and tints, in rows from left to right, and the classes'
    colours.

    Args:
        title: Heading.
        note: What stands below it.
        answers: At least one; all of one shape.
        classes: Their names, the background first.

    Raises:
        ValueError: if there is no image, or a mask does not fit its image or the classes.
    """
    if not answers:
        raise ValueError(f"{title}: no image to show")
    for answer in answers:
        checked(answer.image, [answer.mask], classes)
    tile = (WIDTH - 2 * MARGIN + GAP) // COLUMNS - GAP
    shape = answers[0].image.shape[:2]
    grid = fit(1, shape, (1.5 * tile, tile), 0, tile, columns=1)
    pitch, rows = grid.height + 2 * LINE + GAP, -(-len(answers) // COLUMNS)
    names = entries([answer.mask for answer in answers], classes)
    hatched = any((answer.mask == VOID).any() for answer in answers)
    top = 92 + rows * pitch
    with house_style():
        figure = blank(top + legend_height(names, hatched) + MARGIN)
        write(figure, MARGIN, 16, title, TITLE, weight="bold")
        write(figure, MARGIN, 48, note, SMALL, color=GREY)
        for i, answer in enumerate(answers):
            row, column = divmod(i, COLUMNS)
            left, down = MARGIN + column * (tile + GAP), 84 + row * pitch
            void, lines = answer.mask == VOID, [Lines(answer.mask, False)]
            draw_masks(figure, left, down, answer.image, grid, lines, void, tint=answer.mask)
            for k, (text, colour) in enumerate(((answer.file, GREY), (answer.words, INK))):
                at = down + grid.height + 4 + k * LINE
                write(figure, left, at, text, SMALL, tile + GAP - 6, color=colour)
        legend(figure, top, names, hatched)
    several = "; ".join(names.values()) if len(names) <= len(PALETTE) else ""
    what = f"{title}: {plural(len(answers), 'image')} with predicted contours"
    return Picture(figure, f"{what} of {several}" if several else what)
