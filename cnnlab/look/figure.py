"""What all figures share: the house style, a layout in pixels, tiles, and saving.

A figure is `WIDTH` pixels wide and is laid out in pixels from its top left corner. Tiles are
brought to the size they have on the screen before they are drawn, so that every pixel of a map or a
kernel is a square of the same size, and one `imshow` draws a whole montage.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import CenteredNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from cnnlab.look.letters import families, legible

WIDTH = 900  # pixels
MARGIN = 24  # pixels
DPI = 150  # makes 8 points 17 pixels: still readable where a page shrinks the figure a little

TITLE, BODY, SMALL = 10.5, 8.0, 7.0  # font sizes, points
INK, GREY, RULE = "#1f2328", "#656d76", "#d0d7de"
WARNING = "#cf4310"  # dead maps: stands out on viridis and, as text, on white

STYLE = {
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "font.size": BODY,
    "text.color": INK,
    "text.parse_math": False,  # a "$" in a name is a "$"
    "axes.linewidth": 0.5,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "ytick.major.size": 2.0,
    "ytick.major.width": 0.5,
}


@dataclass(frozen=True)
class Picture:
    """A figure and the text that says the same in words and numbers."""

    figure: Figure
    alt: str


class Grid(NamedTuple):
    """How tiles are laid out: how many a row, and the size of one on the screen in pixels."""

    columns: int
    height: int
    width: int


class Scale(NamedTuple):
    """What turns values into colours."""

    norm: Normalize
    colours: str  # name of a matplotlib colour map


def house_style() -> Any:
    """Context manager: draw and save in the house style, whatever the user's matplotlibrc says."""
    return matplotlib.style.context(["default", STYLE | {"font.family": list(families())}])


def save(picture: Picture, path: str | Path) -> None:
    """Write `picture` to `path` as a PNG; the same picture always gives the same bytes.

    Its alt text goes into the file as the PNG text "Description", so that they stay together.

    Raises:
        OSError: if `path` cannot be written, as when its folder is missing.
    """
    with house_style():
        about = {"Software": None, "Description": picture.alt}
        picture.figure.savefig(path, format="png", dpi=picture.figure.dpi, metadata=about)


def blank(height: int) -> Figure:
    """An empty figure, `WIDTH` pixels wide and `height` pixels high."""
    # A hundredth of a pixel more: the canvas truncates, and 900 / 150 * 150 may come out below 900.
    figure = Figure(figsize=((WIDTH + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    return figure


def box(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Bare axes (no ticks, no frame) at a place in pixels from the top left corner."""
    across, down = figure.bbox.width, figure.bbox.height
    axes = figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )
    axes.set_axis_off()
    return axes


def write(
    figure: Figure,
    left: float,
    top: float,
    string: str,
    size: float = BODY,
    room: float | None = None,
    **style: Any,
) -> Text:
    """Write one line of text with its top at `top`, and make it fit into `room` pixels.

    `room`, along the text, reaches to the right margin by default. Text that is too long is first
    set smaller, down to 6 points, then cut, ending in "…". Letters that no font here has are shown
    by their codes (see `letters`). `style` goes to
    `matplotlib.text.Text`; with `ha` set, `left` is where the text is centred or ends.
    """
    room, string = WIDTH - MARGIN - left if room is None else room, legible(string)
    across, down = figure.bbox.width, figure.bbox.height
    style = {"va": "top"} | style
    text = figure.text(left / across, 1 - top / down, string, fontsize=size, **style)
    while _length(text) > room and text.get_fontsize() > 6:
        text.set_fontsize(text.get_fontsize() - 0.5)
    kept = string
    while _length(text) > room and kept:
        share = room / _length(text)
        kept = kept[: min(int(len(kept) * share), len(kept) - 1)]
        text.set_text(kept.rstrip() + "…")
    return text


def write_lines(
    figure: Figure, left: float, top: float, lines: Sequence[str], pitch: int, **style: Any
) -> None:
    """`write` several lines, each `pitch` pixels below the one before."""
    for i, line in enumerate(lines):
        write(figure, left, top + i * pitch, line, **style)


def wrapped(string: str, characters: int, most: int) -> list[str]:
    """`string` in at most `most` lines of about `characters`, broken after spaces, "_", "-", "+".

    What is left over stays in the last line.
    """
    lines = [""]
    for piece in re.findall(r"[^ _+-]*[ _+-]?", string):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > characters and len(lines) < most:
            lines.append("")
        lines[-1] += piece
    return lines


def _length(text: Text) -> float:
    """Pixels from its first letter to its last, also of a text that stands upright."""
    extent = text.get_window_extent()
    return extent.height if text.get_rotation() == 90 else extent.width


def rule(figure: Figure, top: float, left: float, right: float) -> None:
    """A thin horizontal line."""
    axes = box(figure, left, top, right - left, 1)
    axes.axhline(0.5, color=RULE, linewidth=0.5)


def fit(
    count: int,
    shape: tuple[int, int],
    room: tuple[float, float],
    gutter: int,
    largest: int = 72,
    columns: int | None = None,
) -> Grid:
    """The grid that shows `count` tiles of `shape` (height, width) as large as `room` allows.

    `room` is (height, width) in pixels. A tile becomes at most `largest` pixels wide and, where it
    is enlarged, a whole multiple of its size. A grid without empty cells is preferred. `columns`
    fixes the tiles a row.
    """
    height, width = shape
    grids = []
    for across in range(1, count + 1) if columns is None else [columns]:
        rows = -(-count // across)
        wide = min((room[1] + gutter) / across - gutter, largest)
        high = (room[0] + gutter) / rows - gutter
        factor = min(wide / width, high / height)
        if factor >= 1:
            factor = int(factor)
        grid = Grid(across, max(1, int(height * factor)), max(1, int(width * factor)))
        full = 1.0 if count % across == 0 else 0.7
        fits = min(grid.height, grid.width) <= factor * min(height, width)
        grids.append((fits, grid.width * full, across, grid))
    return max(grids)[3]


def resize(tiles: np.ndarray, height: int, width: int) -> np.ndarray:
    """Tiles (n, h, w[, 3]) at the size (n, height, width[, 3]), float32.

    An axis that grows repeats the nearest pixel; one that shrinks takes the mean of the pixels that
    fall together, so that no pixel is left out.
    """
    tiles = np.asarray(tiles, np.float32)
    for axis, size in ((1, height), (2, width)):
        old = tiles.shape[axis]
        if size >= old:
            tiles = np.take(tiles, np.arange(size) * old // size, axis=axis)
        else:
            starts = np.arange(size) * old // size
            counts = np.diff(starts, append=old).astype(np.float32)
            sums = np.add.reduceat(tiles, starts, axis=axis)
            tiles = sums / counts.reshape([-1 if a == axis else 1 for a in range(tiles.ndim)])
    return tiles


def montage(tiles: np.ndarray, columns: int, gutter: int) -> np.ndarray:
    """One array from tiles, row by row, with NaN between them and in cells left over.

    Args:
        tiles: (n, h, w) or, in RGB, (n, h, w, 3); any real dtype.
        columns: Tiles a row, at least 1; fewer tiles than that make a narrower montage.
        gutter: Pixels between two tiles, at least 0.

    Returns:
        Float32 of shape (rows * (h + gutter) - gutter, columns * (w + gutter) - gutter[, 3]).

    Raises:
        ValueError: if there are no tiles, or a shape or number is not as above.
    """
    tiles = np.asarray(tiles, np.float32)
    if tiles.ndim not in (3, 4) or tiles.shape[3:] not in ((), (3,)) or tiles.size == 0:
        raise ValueError(f"tiles have shape {tiles.shape}; expected (n, h, w) or (n, h, w, 3)")
    if columns < 1 or gutter < 0:
        raise ValueError(f"columns {columns} must be at least 1, gutter {gutter} at least 0")
    count, height, width = tiles.shape[:3]
    columns = min(columns, count)
    rows = -(-count // columns)
    cells = np.full(
        (rows * columns, height + gutter, width + gutter, *tiles.shape[3:]), np.nan, np.float32
    )
    cells[:count, :height, :width] = tiles
    cells = cells.reshape(rows, columns, *cells.shape[1:]).swapaxes(1, 2)
    sheet = cells.reshape(rows * (height + gutter), columns * (width + gutter), *tiles.shape[3:])
    return sheet[: sheet.shape[0] - gutter, : sheet.shape[1] - gutter]


def draw_tiles(
    figure: Figure,
    left: int,
    top: int,
    tiles: np.ndarray,
    grid: Grid,
    gutter: int,
    scale: Scale | None = None,
    marked: Sequence[int] | np.ndarray = (),
    framed: bool = False,
) -> tuple[int, int]:
    """Draw tiles (n, h, w[, 3]) as a montage at a place in pixels; returns its (height, width).

    RGB tiles hold 0..1 and need no `scale`. The tiles at the indices `marked` are outlined and
    crossed; `framed` puts a thin frame round every tile, for maps whose zero is white.
    """
    sheet = montage(resize(tiles, grid.height, grid.width), grid.columns, gutter)
    height, width = sheet.shape[:2]
    if scale is None:
        sheet = np.clip(np.where(np.isnan(sheet), 1.0, sheet), 0, 1)
    draw_pixels(figure, left, top, sheet, scale)

    def corners(index: int) -> tuple[float, float, float, float]:
        row, column = divmod(index, min(grid.columns, len(tiles)))
        x, y = column * (grid.width + gutter), row * (grid.height + gutter)
        return x, y, x + grid.width, y + grid.height

    frames = [corners(i) for i in range(len(tiles) if framed else 0)]
    around = [[(x, y), (u, y), (u, v), (x, v), (x, y)] for x, y, u, v in frames]
    draw_lines(figure, left, top, around, RULE, 0.5)
    crosses = []
    for x, y, u, v in map(corners, marked):
        crosses += [[(x, y), (u, y), (u, v), (x, v), (x, y)], [(x, y), (u, v)], [(x, v), (u, y)]]
    draw_lines(figure, left, top, crosses, WARNING, 0.7)
    return height, width


def draw_pixels(
    figure: Figure, left: int, top: int, image: np.ndarray, scale: Scale | None = None
) -> None:
    """Draw an image (height, width[, 3]), a pixel of the figure for each of its own, at a place in
    pixels. RGB holds 0..1 and needs no `scale`; NaN is left as it was."""
    norm, colours = scale or (None, None)
    below = round(figure.bbox.height) - top - len(image)
    # Not in axes, of which each takes as long to make and to draw as its image.
    figure.figimage(image, left, below, norm=norm, cmap=colours, origin="upper")


def draw_lines(
    figure: Figure,
    left: float,
    top: float,
    lines: Sequence[Sequence[tuple[float, float]]],
    colour: str,
    width: float,
) -> None:
    """Draw lines, each through points (x, y) in pixels right of and below a place in pixels.
    `width`: points."""
    if lines:
        down = Affine2D().scale(1, -1).translate(left, figure.bbox.height - top)
        figure.add_artist(LineCollection(lines, colors=colour, linewidths=width, transform=down))


def colour_bar(
    figure: Figure,
    left: float,
    top: float,
    height: float,
    scale: Scale,
    label: str = "",
    extend: str = "neither",
) -> None:
    """A vertical colour bar, 14 pixels wide, with its numbers at the right and `label` above."""
    axes = box(figure, left, top, 14, height)
    axes.set_axis_on()
    bar = figure.colorbar(
        ScalarMappable(scale.norm, scale.colours), cax=axes, extend=extend, extendfrac=12 / height
    )
    bar.outline.set_linewidth(0.4)
    if label:
        write(figure, left, top - 26, label, SMALL, WIDTH - left - 6, color=GREY)


def symmetric(largest: float) -> Scale:
    """Red above zero, blue below, white at zero, up to ±`largest` (±1 if that is 0)."""
    return Scale(CenteredNorm(0.0, largest or 1.0), "RdBu_r")


def scale_of(values: Sequence[np.ndarray]) -> Scale:
    """One scale for several arrays of activations, up to the 99.5th percentile of all of them.

    viridis from 0 where nothing is below 0, else symmetric about 0. Where less than half a percent
    of the values differs from 0 the scale reaches up to the largest.
    """
    pooled = np.concatenate([np.ravel(v) for v in values])
    size = np.abs(pooled)
    top = float(np.percentile(size, 99.5)) or float(size.max())
    if pooled.min() < 0:
        return symmetric(top)
    return Scale(Normalize(0.0, top or 1.0), "viridis")


def displayed(image: np.ndarray) -> np.ndarray:
    """An image (h, w), (h, w, 1) or (h, w, 3) as RGB (h, w, 3), float32 in 0..1.

    uint8 counts as 0..255; floats within 0..1 stay; other values are stretched to 0..1.

    Raises:
        ValueError: if the shape is another.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[2] not in (1, 3):
        raise ValueError(f"image has shape {image.shape}; expected (h, w), (h, w, 1) or (h, w, 3)")
    values = image.astype(np.float32)
    if image.dtype == np.uint8:
        values /= 255
    elif values.min() < 0 or values.max() > 1:
        values = (values - values.min()) / (np.ptp(values) or 1)
    return np.broadcast_to(values, (*image.shape[:2], 3))


def strongest(strengths: np.ndarray, most: int) -> np.ndarray:
    """Indices of the `most` largest of `strengths` (n,), the largest first, ties in order."""
    return np.argsort(-strengths, kind="stable")[:most]


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def number(value: float) -> str:
    """A number for a caption: three significant digits and a true minus sign."""
    return f"{value:.3g}".replace("-", "−")
