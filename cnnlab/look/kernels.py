"""Pictures of what a convolution has learnt: its kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnlab.look.capture import layers
from cnnlab.look.figure import (
    GREY,
    MARGIN,
    SMALL,
    TITLE,
    WIDTH,
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
    write_lines,
)

if TYPE_CHECKING:
    import keras

NEAR_ZERO = 1e-3  # of the largest absolute weight
MOST_FILTERS = 128  # in a grid, one tile a filter
MOST_ROWS, MOST_COLUMNS = 16, 16  # in a table of filters and their input slices
GUTTER, LARGEST_TILE = 4, 96  # pixels


def kernels(model: keras.Model) -> dict[str, np.ndarray]:
    """The kernels of a model's 2-D convolutions by layer name, in forward order.

    Returns:
        Float32 arrays (height, width, inputs, filters), whatever the layout in the layer. Each
        filter of a depthwise convolution, and of the depthwise part of a separable one, has one
        input.
    """
    import keras

    k = keras.layers
    found = {}
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
        found[name] = weights
    return found


def near_zero_share(weights: np.ndarray) -> float:
    """The share (0..1) of weights with |w| at most a thousandth of the largest |w|."""
    size = np.abs(weights)
    return float(np.mean(size <= NEAR_ZERO * size.max()))


def kernel_figure(weights: np.ndarray, layer: str, title: str) -> Picture:
    """The kernels of one convolution.

    With one input all filters are shown, red above zero and blue below. With three inputs they are
    shown in RGB, mid-grey at zero, on one scale for all filters and the three colours. With any
    other number each row is a filter, with its index at the left, and its tiles are the slices for
    the inputs with the largest L1 norm, strongest first; nothing is averaged over inputs, as
    opposite signs would cancel. Where not all filters fit, those with the largest L2 norm are
    shown, and the title says how many of how many.

    Args:
        weights: (height, width, inputs, filters), as `kernels` returns them; real and finite.
        layer: The layer's name.
        title: What the weights belong to, as the name of a variant; may be empty.

    Raises:
        ValueError: if `weights` has another shape or is not finite.
    """
    weights = np.asarray(weights, np.float32)
    if weights.ndim != 4 or weights.size == 0:
        raise ValueError(f"{layer}: weights have shape {weights.shape}; expected (h, w, in, out)")
    if not np.isfinite(weights).all():
        raise ValueError(f"{layer}: weights hold NaN or infinity")
    height, width, inputs, filters = weights.shape
    largest = float(np.abs(weights).max())
    slices = weights.transpose(3, 2, 0, 1)  # (filters, inputs, h, w)
    table = inputs not in (1, 3)
    norms = np.linalg.norm(slices.reshape(filters, -1), axis=1)
    order = strongest(norms, MOST_ROWS if table else MOST_FILTERS)
    order = order if table else np.sort(order)
    slices = slices[order]

    room = (340, WIDTH - 2 * MARGIN - 100)  # beside the colour bar
    left, columns = MARGIN, None
    bar = scale = symmetric(largest)
    if inputs == 1:
        tiles, hint = slices[:, 0], ""
    elif inputs == 3:
        tiles, hint = slices.transpose(0, 2, 3, 1) / (2 * largest or 1) + 0.5, "grey is 0"
        scale, bar = None, Scale(bar.norm, "gray")
    else:
        columns = min(inputs, MOST_COLUMNS)
        sums = np.abs(slices).sum((2, 3))  # L1 norms (filters, inputs)
        chosen = np.stack([strongest(row, columns) for row in sums])
        tiles = np.take_along_axis(slices, chosen[..., None, None], 1).reshape(-1, height, width)
        of = f"{columns} strongest of {inputs}" if columns < inputs else f"{inputs}"
        hint = f"a row: one filter, its {of} input slices, strongest first"
        left, room = left + 44, (660, room[1] - 44)
    grid = fit(len(tiles), (height, width), room, GUTTER, LARGEST_TILE, columns)
    rows = -(-len(tiles) // grid.columns)
    tall = rows * (grid.height + GUTTER) - GUTTER

    some = f"{len(order)} of {filters}" if len(order) < filters else f"{filters}"
    low, high = number(weights.min()), number(weights.max())
    share = f"{100 * near_zero_share(weights):.1f} % near zero (at most 1/1000 of the largest)"
    numbers = f"weights from {low} to {high}, {share}"
    what = f"{layer}: {some} filter{'' if filters == 1 else 's'} of {height}×{width}×{inputs}"
    top = 106 if hint else 84
    with house_style():
        figure = blank(top + max(tall, 120) + MARGIN)
        write(figure, MARGIN, 18, f"{what}, {title}" if title else what, TITLE, weight="bold")
        write_lines(figure, MARGIN, 48, [numbers, hint], 21, size=SMALL, color=GREY)
        _, wide = draw_tiles(figure, left, top, tiles, grid, GUTTER, scale, framed=True)
        for row, index in enumerate(order if table else ()):
            middle = top + row * (grid.height + GUTTER) + grid.height / 2
            write(figure, left - 8, middle, f"{index}", SMALL, color=GREY, ha="right", va="center")
        colour_bar(figure, left + wide + 24, top, min(max(tall, 120), 300), bar)
    return Picture(figure, f"Kernels of {title + ', ' if title else ''}{what}; {numbers}.")


def _array(variable: keras.Variable) -> np.ndarray:
    return np.asarray(variable, np.float32)


def _depthwise(variable: keras.Variable) -> np.ndarray:
    weights = _array(variable)  # (h, w, inputs, multiplier): the maps come in this order too
    return weights.reshape(*weights.shape[:2], 1, -1)
