"""Sheets: the bare tiles of one network, for a page that lays networks side by side itself.

The HTML report's explorer shows them. A sheet has no text in it: what it says in words, and its
scale, are in the file beside the pixels. Sheets that are shown side by side share one scale, and
between their tiles they are transparent, so that they suit a light page and a dark one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import to_hex, to_rgb
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cnnlab.look.figure import (
    WARNING,
    Scale,
    montage,
    number,
    plural,
    resize,
    scale_of,
    strongest,
    symmetric,
)
from cnnlab.look.peaks import Peaks

MOST_MAPS = 32  # a sheet
MOST_FILTERS, MOST_INPUTS = 16, 8  # of kernels, a row a filter
COLUMNS = 8  # tiles a row
TILE = 48  # pixels; smaller tiles are enlarged by a whole factor, larger ones shrink to it
GUTTER = 4  # pixels
STOPS = 9  # colours that describe a scale


@dataclass(frozen=True)
class Sheet:
    """Tiles of one network."""

    pixels: np.ndarray  # uint8 (height, width, 4), RGBA, transparent between tiles
    scale: Scale
    alt: str


def feature_sheets(
    maps: Mapping[str, np.ndarray], peaks: Mapping[str, Peaks], layer: str, label: str, shown: int
) -> dict[str, Sheet]:
    """One layer's maps of one image, a sheet a variant, all on the scale of `feature_figure`.

    Args:
        maps: Variant -> (n, height, width, channels) on the same n images; finite. The first 32
            channels are shown: their order means nothing.
        peaks: Variant -> the layer's peaks over many images; channels that are dead on all of them
            are crossed.
        layer: The layer's name.
        label: What the image shows.
        shown: Which of the n images.
    """
    tiles = {v: np.asarray(m[shown], np.float32).transpose(2, 0, 1) for v, m in maps.items()}
    scale = scale_of(list(tiles.values()))
    sheets = {}
    for variant, all_maps in tiles.items():
        drawn, dead = all_maps[:MOST_MAPS], peaks[variant].dead
        some = f"{len(drawn)} of " if len(drawn) < len(all_maps) else ""
        alt = (
            f"{variant}, {layer}, feature maps of {label}: {some}{plural(len(all_maps), 'map')}, "
            f"{dead.sum()} dead, max {number(all_maps.max())}"
        )
        crossed = np.flatnonzero(dead[: len(drawn)])
        sheets[variant] = Sheet(_drawn(drawn, scale, COLUMNS, crossed), scale, alt)
    return sheets


def kernel_sheets(
    kernels: Mapping[tuple[str, str], np.ndarray], layer: str
) -> dict[tuple[str, str], Sheet]:
    """One convolution's kernels, a sheet a network, all on one scale.

    Filters and inputs are the same in every network of one shape, so that those which started from
    the same weights can be compared tile by tile: the filters with the largest L2 norms and, a row
    a filter, its inputs with the largest L1 norms, each summed over those networks. Filters of one
    input are a tile each; of three inputs, a tile in RGB each, mid-grey at zero.

    Args:
        kernels: (Variant, state) -> (height, width, inputs, filters), finite; a state is
            "trained" or "untrained".
        layer: The layer's name.
    """
    scale = symmetric(max(float(np.abs(weights).max()) for weights in kernels.values()))
    sheets = {}
    for network, weights in kernels.items():
        alike = [w for w in kernels.values() if w.shape == weights.shape]
        height, width, inputs, filters = weights.shape
        order = strongest(sum(np.linalg.norm(w, axis=(0, 1)).sum(0) for w in alike), MOST_FILTERS)
        slices = weights.transpose(3, 2, 0, 1)[order]
        if inputs == 3:
            tiles, columns = slices.transpose(0, 2, 3, 1) / (2 * scale.norm.vmax) + 0.5, COLUMNS
        elif inputs == 1:
            tiles, columns = slices[:, 0], COLUMNS
        else:
            columns = min(inputs, MOST_INPUTS)
            size = sum(np.abs(w).sum((0, 1)) for w in alike).T[order]  # (filters, inputs)
            picked = np.stack([strongest(row, columns) for row in size])[..., None, None]
            tiles = np.take_along_axis(slices, picked, 1).reshape(-1, height, width)
        some = f"{len(order)} of " if len(order) < filters else ""
        of = f", {columns} of {inputs} inputs" if 3 < inputs != columns else ""
        what = f"{some}{plural(filters, 'filter')} of {height}×{width}×{inputs}{of}"
        alt = (
            f"{' '.join(network)}, {layer}: {what}, "
            f"weights from {number(weights.min())} to {number(weights.max())}"
        )
        sheets[network] = Sheet(_drawn(tiles, scale, columns), scale, alt)
    return sheets


def save_sheet(sheet: Sheet, path: Path) -> None:
    """Write `sheet` to `path` as a PNG; the same sheet always gives the same bytes.

    Its alt text is the PNG text "Description", as in figures, and its scale is "Scale": JSON of
    `low` and `high`, as shown to people, and `colours` from one to the other.
    """
    colours = matplotlib.colormaps[sheet.scale.colours](np.linspace(0, 1, STOPS))
    norm = sheet.scale.norm
    scale = {"low": number(norm.vmin), "high": number(norm.vmax), "colours": _hex(colours)}
    about = PngInfo()
    about.add_itxt("Description", sheet.alt)
    about.add_itxt("Scale", json.dumps(scale, ensure_ascii=False))
    Image.fromarray(sheet.pixels).save(path, "PNG", pnginfo=about, optimize=True)


def _hex(colours: Iterable) -> list[str]:
    return [to_hex(colour) for colour in colours]


def _drawn(tiles: np.ndarray, scale: Scale, columns: int, crossed: Iterable = ()) -> np.ndarray:
    """RGBA of tiles (n, h, w), coloured by the scale, or (n, h, w, 3) in 0..1."""
    factor = TILE / max(tiles.shape[1:3])
    factor = int(factor) if factor >= 1 else factor
    height, width = (max(1, int(side * factor)) for side in tiles.shape[1:3])
    sheet = montage(resize(tiles, height, width), columns, GUTTER)
    if sheet.ndim == 3:
        blank = np.isnan(sheet[..., 0])
        colours = np.dstack([np.nan_to_num(sheet), ~blank])
    else:
        blank = np.isnan(sheet)
        colours = matplotlib.colormaps[scale.colours](scale.norm(np.nan_to_num(sheet)))
    colours[blank] = 0
    for index in crossed:
        row, column = divmod(int(index), min(columns, len(tiles)))
        top, left = row * (height + GUTTER), column * (width + GUTTER)
        tile = colours[top : top + height, left : left + width]
        down, across = np.mgrid[:height, :width]
        along = across * (height - 1) / max(1, width - 1)  # a diagonal, whatever the tile's shape
        near = (abs(down - along) < 1) | (abs(height - 1 - down - along) < 1)
        edge = (down % (height - 1 or 1) == 0) | (across % (width - 1 or 1) == 0)
        tile[near | edge] = (*to_rgb(WARNING), 1)
    return np.round(colours * 255).astype(np.uint8)
