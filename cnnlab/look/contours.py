"""Masks on images: the colour of each class, contours along the edges of pixels, and their legend.

A mask is uint8 (height, width): the class number of each pixel. Class 0 is the background and has
neither a contour nor a colour; `VOID` pixels are not evaluated and are hatched.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    RULE,
    SMALL,
    WIDTH,
    Grid,
    box,
    displayed,
    resize,
    write,
)
from cnnlab.overlap import VOID

VOID_WORDS = "void: not evaluated"
# Of classes 1, 2, ...: the colours of Okabe and Ito (2008) that are not black, then three that are
# as far from these, for readers with protanopia and deuteranopia too, as these are from each other.
PALETTE = (
    "#E69F00",
    "#56B4E9",
    "#D55E00",
    "#009E73",
    "#F0E442",
    "#0072B2",
    "#CC79A7",
    "#332288",
    "#99DDFF",
    "#BD1F01",
)
LINE, LETTER, SWATCH = 22, 7.8, 14  # pixels: of a line of a legend, a letter (about), a colour
INSET = 1.1  # pixels from a border to its contour, so that those of two classes stand side by side
WIDE, CASING = 0.9, 1.8  # points, of a contour and of what it lies on
STRIPE = 5  # pixels of a hatched stripe
DASHES = (0, (3.2, 2.2))  # on and off, in widths of the line
TINT = 0.5  # of a class's colour in the blend with the image


class Lines(NamedTuple):
    """A mask whose contours are drawn, and how."""

    mask: np.ndarray  # uint8 (height, width)
    dashed: bool


def colour_of(number: int) -> str:
    """The colour of a class, the same in every figure; after ten classes they come again.

    Raises:
        ValueError: for the background, which has none.
    """
    if number < 1:
        raise ValueError(f"class {number} has no colour; classes from 1 on have one")
    return PALETTE[(number - 1) % len(PALETTE)]


def checked(image: np.ndarray, masks: Iterable[np.ndarray], classes: Sequence[str]) -> None:
    """Refuse masks that are not of the image or not of these classes.

    Raises:
        ValueError: if a mask has another height or width, or a number that is no class's.
    """
    for mask in masks:
        if mask.shape != image.shape[:2]:
            raise ValueError(f"a mask has shape {mask.shape}; its image has {image.shape}")
        if beyond := sorted(set(np.unique(mask).tolist()) - {*range(len(classes)), VOID}):
            raise ValueError(
                f"a mask holds {beyond}; allowed are 0 to {len(classes) - 1}, and {VOID} for void"
            )


def contours(
    region: np.ndarray, scale: tuple[float, float] = (1.0, 1.0), inset: float = 0.0
) -> list[np.ndarray]:
    """The closed contours of a region, along the edges of its pixels, holes and image borders too.

    Pixels that touch only at a corner have contours of their own.

    Args:
        region: Bool (height, width).
        scale: What a pixel's width and height become.
        inset: How far inside the region the contours are, after scaling; below 0: outside.

    Returns:
        For each contour its corners (x, y), float64 (corners + 1, 2), the last one the first; pixel
        (row, column) lies between x = column and column + 1, y = row and row + 1, before scaling.
    """
    padded = np.pad(np.asarray(region, bool), 1)
    inner = padded[1:-1, 1:-1]
    # Steps along the border, the region at their right hand: of a pixel its top, right, bottom and
    # left edge, where the next pixel on that side is not of the region.
    sides = (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),
        (padded[1:-1, 2:], (1, 0), (0, 1)),
        (padded[2:, 1:-1], (1, 1), (-1, 0)),
        (padded[1:-1, :-2], (0, 1), (0, -1)),
    )
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}  # from a corner -> directions
    for beside, (x, y), step in sides:
        for row, column in np.argwhere(inner & ~beside).tolist():
            steps.setdefault((column + x, row + y), []).append(step)
    closed = []
    for start in sorted(steps):
        while steps[start]:
            closed.append(_contour(steps, start, scale, inset))
    return closed


def _contour(steps, start, scale, inset) -> np.ndarray:
    """Follow the steps from a corner until they come back to it, and take them away."""
    at, path = start, []  # corners, each with the direction that leaves it
    (dx, dy) = steps[start][0]
    while True:
        # To the right first: that stays with the same pixel where two touch at a corner.
        turns = [step for step in ((-dy, dx), (dx, dy), (dy, -dx)) if step in steps[at]]
        if not turns:
            break
        dx, dy = turns[0]
        steps[at].remove((dx, dy))
        path.append((at, (dx, dy)))
        at = (at[0] + dx, at[1] + dy)
    corners = []
    for (_, before), (point, after) in zip([path[-1], *path[:-1]], path, strict=True):
        if before != after:
            inward = [-before[1] - after[1], before[0] + after[0]]
            corners.append(np.multiply(point, scale) + np.multiply(inset, inward))
    return np.array([*corners, corners[0]])


def draw_masks(
    figure: Figure,
    left: float,
    top: float,
    image: np.ndarray,
    grid: Grid,
    lines: Sequence[Lines],
    void: np.ndarray,
    tint: np.ndarray | None = None,
) -> Axes:
    """An image at a place in pixels, of the size of `grid`'s tiles, with contours of masks.

    Args:
        image: As `displayed` takes it.
        lines: Whose contours to draw, the last one on top. Dashed ones run outside of their
            regions, solid ones inside: where both are the same, both can be seen.
        void: Bool (height, width): pixels to hatch.
        tint: A mask whose classes colour the image.
    """
    height, width = grid.height, grid.width
    pixels = resize(displayed(image)[None], height, width)[0]
    if tint is not None:
        small = _nearest(tint, height, width)
        for number in _numbers(tint):
            of_class = small == number
            mixed = (1 - TINT) * pixels[of_class] + TINT * np.array(to_rgb(colour_of(number)))
            pixels[of_class] = mixed
    down, across = np.indices((height, width))
    stripes = np.where((down + across) // STRIPE % 2, 0.86, 0.5)[..., None]
    hidden = _nearest(void, height, width)[..., None]
    pixels = np.where(hidden, 0.25 * pixels + 0.75 * stripes, pixels)
    axes = box(figure, left, top, width, height)
    axes.imshow(pixels, interpolation="nearest", aspect="auto", extent=(0, width, height, 0))
    for mask, dashed in lines:
        for number in _numbers(mask):
            _outline(axes, mask == number, grid, colour_of(number), dashed)
    edge = [[(0, 0), (width, 0), (width, height), (0, height), (0, 0)]]
    frame = LineCollection(edge, colors=RULE, linewidths=0.5, clip_on=False, zorder=1)
    axes.add_collection(frame, autolim=False)
    return axes


def outline(axes: Axes, region: np.ndarray, grid: Grid, colour: str) -> None:
    """The contour of one region, solid, on axes of `draw_masks` or of that size."""
    _outline(axes, region, grid, colour, dashed=False)


def _outline(axes: Axes, region: np.ndarray, grid: Grid, colour: str, dashed: bool) -> None:
    # A mask that is larger than its tile is brought to its size: no line is thinner than a pixel.
    height, width = (
        min(a, b) for a, b in zip(region.shape, (grid.height, grid.width), strict=True)
    )
    region = _nearest(region, height, width)
    scale = (grid.width / width, grid.height / height)
    inset = min(INSET, 0.4 * min(scale))
    paths = contours(region, scale, -inset if dashed else inset)
    for wide, tone, style in ((CASING, casing(colour), "-"), (WIDE, colour, DASHES)):
        lines = LineCollection(
            paths,
            colors=tone,
            linewidths=wide,
            linestyles=[style if dashed else "-"],
            capstyle="butt",
            joinstyle="miter",
        )
        lines.set_gid("dashed" if dashed else "solid")
        axes.add_collection(lines, autolim=False)


def casing(colour: str) -> str:
    """What a line of this colour lies on, so that it is seen on any image."""
    return "white" if np.dot(to_rgb(colour), (0.299, 0.587, 0.114)) < 0.4 else INK


def _nearest(mask: np.ndarray, height: int, width: int) -> np.ndarray:
    """A mask at another size, every pixel the one at its place."""
    rows, columns = mask.shape
    down, across = np.arange(height) * rows // height, np.arange(width) * columns // width
    return mask[down[:, None], across]


def _numbers(mask: np.ndarray) -> list[int]:
    """The classes of a mask that have a contour."""
    return [number for number in np.unique(mask).tolist() if number not in (0, VOID)]


def entries(masks: Iterable[np.ndarray], classes: Sequence[str]) -> dict[str, str]:
    """What a legend names: colour -> class, or the classes that share it.

    All of them where each has a colour of its own, else those that `masks` hold.
    """
    numbers = range(1, len(classes))
    if len(numbers) > len(PALETTE):
        numbers = sorted({number for mask in masks for number in _numbers(mask)})
    names: dict[str, list[str]] = {}
    for number in numbers:
        names.setdefault(colour_of(number), []).append(classes[number])
    return {colour: " / ".join(of_colour) for colour, of_colour in names.items()}


def legend_height(names: dict[str, str], hatched: bool) -> int:
    """Pixels of a legend."""
    return LINE * len(_flowed(names, hatched))


def legend(figure: Figure, top: float, names: dict[str, str], hatched: bool) -> None:
    """Colours and what they stand for; `hatched`: whether there are void pixels."""
    for i, line in enumerate(_flowed(names, hatched)):
        left, down = float(MARGIN), top + i * LINE
        for colour, text, wide in line:
            style = {"facecolor": colour, "edgecolor": INK, "linewidth": 0.5}
            if not colour:
                style |= {"facecolor": "#dddddd", "edgecolor": GREY, "hatch": "//////"}
            _swatch(figure, left, down - 1, style)
            write(figure, left + SWATCH + 8, down, text, SMALL, wide - SWATCH - 16)
            left += wide


def _flowed(names: dict[str, str], hatched: bool) -> list[list[tuple[str, str, float]]]:
    """Lines of a legend: of each entry its colour ("": hatched), its words and its pixels."""
    every = [*names.items(), *[("", VOID_WORDS)] * hatched]
    room, lines = WIDTH - 2 * MARGIN, [[]]
    for colour, text in every:
        wide = min(room, SWATCH + 30 + LETTER * len(text))
        if lines[-1] and sum(w for *_, w in lines[-1]) + wide > room:
            lines.append([])
        lines[-1].append((colour, text, wide))
    return [line for line in lines if line]


def _swatch(figure: Figure, left: float, top: float, style: dict) -> None:
    across, down = figure.bbox.width, figure.bbox.height
    at = (left / across, 1 - (top + SWATCH) / down)
    size = (SWATCH / across, SWATCH / down)
    figure.add_artist(Rectangle(at, *size, transform=figure.transFigure, **style))
