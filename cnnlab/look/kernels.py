"""Pictures of what a convolution has learned: its kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnlab.look.capture import layers
from cnnlab.look.figure import (
    GREY,
    MARGIN,
    SMALL,
    TITLE,
    WIDTH,
    Grid,
    Picture,
    Scale,
    blank,
    colour_bar,
    draw_tiles,
    fit,
    house_style,
    number,
    strongest,
    symmetric,
    write,
)

if TYPE_CHECKING:
    import keras

NEAR_ZERO = 1e-3  # of the largest absolute weight
MOST_FILTERS = 128  # in a grid, one tile a filter
MOST_ROWS, MOST_COLUMNS = 16, 16  # in a table of filters and their input slices
GUTTER, LARGEST_TILE = 4, 96  # pixels
GAP, HINT = 24, 24  # pixels between panels, and of a line of words


def kernels(model: keras.Model) -> dict[str, np.ndarray]:
    """The kernels of a model's 2-D convolutions by layer name, in forward order.

    Returns:
        Float32 arrays (height, width, inputs, filters), whatever the layout in the layer. Each
        filter of a depthwise convolution, and of the depthwise part of a separable one, has one
        input.
    """
    import keras

    k = keras.layers
    by_layer = {}
    for name, layer in layers(model).items():
        if isinstance(layer, k.DepthwiseConv2D):
            weights = _depthwise(layer.kernel)
        elif isinstance(layer, k.SeparableConv2D):
            weights = _depthwise(layer.depthwise_kernel)
        elif isinstance(layer, k.Conv2DTranspose):
            weights = _array(layer.kernel).swapaxes(2, 3)
        elif isinstance(layer, k.Conv2D):
            weights = _array(layer.kernel)
        else:
            continue
        by_layer[name] = weights
    return by_layer


def near_zero_share(weights: np.ndarray) -> float:
    """The share (0..1) of weights with |w| at most a thousandth of the largest |w|."""
    size = np.abs(weights)
    return float(np.mean(size <= NEAR_ZERO * size.max()))


def relative_change(before: np.ndarray, after: np.ndarray) -> float:
    """How far weights have moved: |after - before| / |before| (Euclidean norms); 0: not at all.

    Infinite where weights that all were 0 have moved.
    """
    moved, start = np.linalg.norm(after - before), np.linalg.norm(before)
    return float(moved / start) if start else (np.inf if moved else 0.0)


def kernel_figure(
    weights: np.ndarray, layer: str, title: str, before: np.ndarray | None = None
) -> Picture:
    """The kernels of one convolution, after training and, if given, before, on one scale.

    Red is above zero and blue below. With three inputs they are shown in RGB too, mid-grey at zero,
    and as one slice a colour. With any other number but one each row is a filter, with its index at
    the left, and its tiles are the slices for the inputs with the largest L1 norm, strongest first;
    nothing is averaged over inputs, as opposite signs would cancel. Where not all filters fit,
    those with the largest L2 norm are shown, and the title says how many of how many. Which filters
    and slices are shown is decided after training.

    Args:
        weights: (height, width, inputs, filters), as `kernels` returns them; real and finite.
        layer: The layer's name.
        title: What the weights belong to, as the name of a variant; may be empty.
        before: The same layer's weights before training.

    Raises:
        ValueError: if `weights` has another shape or is not finite, or `before` is unlike it.
    """
    panels = {"after training": _checked(weights, layer)}
    if before is not None:
        panels = {"before training": _checked(before, layer), **panels}
        if np.shape(before) != np.shape(weights):
            raise ValueError(f"{layer}: {np.shape(before)} before, {np.shape(weights)} after")
    after = panels["after training"]
    height, width, inputs, filters = after.shape
    table = inputs not in (1, 3)
    norms = np.linalg.norm(after.reshape(-1, filters), axis=0)
    order = strongest(norms, MOST_ROWS if table else MOST_FILTERS // len(panels))
    order = order if table else np.sort(order)
    left = MARGIN + (44 if table else 0)
    room = (WIDTH - left - MARGIN - 100) // len(panels) - GAP  # of a panel, beside the colour bar
    scale = symmetric(max(float(np.abs(panel).max()) for panel in panels.values()))
    slices = {name: panel.transpose(3, 2, 0, 1)[order] for name, panel in panels.items()}
    blocks = {1: _grey, 3: _coloured}.get(inputs, _sliced)(slices, scale, room)

    some = f"{len(order)} of {filters}" if len(order) < filters else f"{filters}"
    low, high = number(after.min()), number(after.max())
    share = f"{100 * near_zero_share(after):.1f} % near zero (at most 1/1000 of the largest)"
    numbers = f"weights from {low} to {high}, {share}"
    if before is not None:
        moved = relative_change(panels["before training"], after)
        numbers += f"; moved by {number(moved)} of their initial norm"
    what = f"{layer}: {some} filter{'' if filters == 1 else 's'} of {height}×{width}×{inputs}"
    names_line = HINT if before is not None else 0
    top = 78 + (HINT if blocks[0].hint else 0) + names_line  # of the first tiles
    tall = sum(block.height for block in blocks) + (len(blocks) - 1) * (GAP + HINT)
    with house_style():
        figure = blank(top + max(tall, 120) + MARGIN)
        write(figure, MARGIN, 18, f"{what}, {title}" if title else what, TITLE, weight="bold")
        write(figure, MARGIN, 48, numbers, SMALL, color=GREY)
        y = top
        pitch = GAP + max(max(block.width for block in blocks), 140 if names_line else 0)
        for i, block in enumerate(blocks):
            if block.hint:
                line = y - HINT - (names_line if i == 0 else 0)
                write(figure, MARGIN, line, block.hint, SMALL, color=GREY)
            for j, (name, tiles) in enumerate(block.tiles.items()):
                x = left + j * pitch
                if names_line and i == 0:
                    write(figure, x, y - HINT, name, room=pitch - GAP, weight="bold")
                style = {"scale": block.scale, "framed": True}
                draw_tiles(figure, x, y, tiles, block.grid, GUTTER, **style)
            for row, index in enumerate(order if table else ()):
                middle = y + row * (block.grid.height + GUTTER) + block.grid.height / 2
                style = {"color": GREY, "ha": "right", "va": "center"}
                write(figure, left - 8, middle, f"{index}", SMALL, **style)
            y += block.height + GAP + HINT
        bar_left = left + pitch * len(panels)
        colour_bar(figure, bar_left, top, min(max(tall, 120), 300), scale)
    return Picture(figure, f"Kernels of {title + ', ' if title else ''}{what}; {numbers}.")


class _Block(NamedTuple):
    """The same filters in every panel, drawn in one way."""

    hint: str
    tiles: dict[str, np.ndarray]  # panel -> (n, h, w[, 3])
    scale: Scale | None  # None: RGB
    grid: Grid

    @property
    def count(self) -> int:
        return len(next(iter(self.tiles.values())))

    @property
    def height(self) -> int:
        return -(-self.count // self.grid.columns) * (self.grid.height + GUTTER) - GUTTER

    @property
    def width(self) -> int:
        return min(self.grid.columns, self.count) * (self.grid.width + GUTTER) - GUTTER


# These make the blocks of `slices`, panel -> (filters, inputs, h, w), `room` pixels a panel.


def _grey(slices: dict[str, np.ndarray], scale: Scale, room: int) -> list[_Block]:
    """One input: a tile a filter."""
    tiles = {name: values[:, 0] for name, values in slices.items()}
    return [_Block("", tiles, scale, _grid(tiles, (340, room)))]


def _coloured(slices: dict[str, np.ndarray], scale: Scale, room: int) -> list[_Block]:
    """Three inputs: a filter in RGB, and its slices side by side."""
    rgb = {n: v.transpose(0, 2, 3, 1) / (2 * scale.norm.vmax) + 0.5 for n, v in slices.items()}
    apart = {name: _side_by_side(values) for name, values in slices.items()}
    hint = "the same, slice by slice: red, green and blue input"
    return [
        _Block("in RGB, grey is 0", rgb, None, _grid(rgb, (340, room))),
        _Block(hint, apart, scale, _grid(apart, (660, room), 3 * LARGEST_TILE)),
    ]


def _sliced(slices: dict[str, np.ndarray], scale: Scale, room: int) -> list[_Block]:
    """Other numbers of inputs: a row a filter, its slices strongest in the last panel."""
    *_, last = slices.values()
    inputs, height, width = last.shape[1:]
    columns = min(inputs, MOST_COLUMNS // len(slices))
    sums = np.abs(last).sum((2, 3))  # L1 norms (filters, inputs)
    chosen = np.stack([strongest(row, columns) for row in sums])[..., None, None]
    tiles = {
        name: np.take_along_axis(values, chosen, 1).reshape(-1, height, width)
        for name, values in slices.items()
    }
    of = f"{columns} strongest of {inputs}" if columns < inputs else f"{inputs}"
    hint = f"a row: one filter, its {of} input slices, strongest first"
    return [_Block(hint, tiles, scale, _grid(tiles, (660, room), columns=columns))]


def _grid(
    tiles: dict[str, np.ndarray],
    room: tuple[int, int],
    largest: int = LARGEST_TILE,
    columns: int | None = None,
) -> Grid:
    count, *shape = next(iter(tiles.values())).shape[:3]
    return fit(count, tuple(shape), room, GUTTER, largest, columns)


def _side_by_side(slices: np.ndarray) -> np.ndarray:
    """Tiles (n, h, inputs * (w + 1) - 1) from slices (n, inputs, h, w), a blank column between."""
    count, inputs, height, width = slices.shape
    tiles = np.full((count, height, inputs, width + 1), np.nan, np.float32)
    tiles[..., :width] = slices.transpose(0, 2, 1, 3)
    return tiles.reshape(count, height, -1)[..., :-1]


def _checked(weights: np.ndarray, layer: str) -> np.ndarray:
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 4 or weights.size == 0:
        raise ValueError(f"{layer}: weights have shape {weights.shape}; expected (h, w, in, out)")
    if not np.isfinite(weights).all():
        raise ValueError(f"{layer}: weights hold NaN or infinity")
    return weights


def _array(variable: keras.Variable) -> np.ndarray:
    return np.asarray(variable, np.float32)


def _depthwise(variable: keras.Variable) -> np.ndarray:
    weights = _array(variable)  # (h, w, inputs, multiplier): the maps come in this order too
    return weights.reshape(*weights.shape[:2], 1, -1)
