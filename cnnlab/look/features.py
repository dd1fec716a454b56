"""Pictures of what a network makes of an image: its feature maps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from cnnlab.look.figure import (
    GREY,
    MARGIN,
    SMALL,
    TITLE,
    WARNING,
    WIDTH,
    Grid,
    Picture,
    Scale,
    blank,
    box,
    colour_bar,
    displayed,
    draw_tiles,
    fit,
    house_style,
    number,
    plural,
    rule,
    scale_of,
    strongest,
    wrapped,
    write,
    write_lines,
)
from cnnlab.look.peaks import Peaks

MOST_MAPS = 64  # a variant
MOST_ABREAST = 4  # variants in a row of panels
SMALLEST_TILE = 20  # pixels, below which fewer variants go into a row
MOST_LAYERS = 28  # in an overview: keeps the file below 1 MB
FEW_LAYERS = 12  # up to which its rows are high
GUTTER, GAP = 3, 22  # pixels between maps, and between panels
PANELS_LEFT, PANELS_TOP = MARGIN + 186, 70  # pixels


def feature_figure(
    maps_by_variant: Mapping[str, np.ndarray],
    peaks_by_variant: Mapping[str, Peaks],
    layer: str,
    image: np.ndarray,
    label: str,
    shown: int = 0,
) -> Picture:
    """The maps of one layer on one image, for several variants side by side on one colour scale.

    The scale goes from 0 to the 99.5th percentile of what is shown, over all variants; it is
    symmetric about 0 where values go below 0. Of more than 64 maps the first 64 are shown: the
    order of the channels means nothing, and a choice by strength would hide the dead ones, which
    are outlined and crossed. A map is dead if it is above 0 on no image of the peaks; the number
    of dead ones counts all channels. Meant for up to about 12 variants.

    Args:
        maps_by_variant: Variant -> (n, h, w, channels) on the same n probe images; finite. The
            numbers of channels may differ.
        peaks_by_variant: Variant -> the layer's peaks over many images.
        layer: The layer's name.
        image: The probe image shown: (h, w), (h, w, 1) or (h, w, 3).
        label: What the image shows, as "digit 3".
        shown: Which of the n probe images `image` is.

    Raises:
        ValueError: if there is no variant, or maps are not of one size, not finite or of another
            shape.
        IndexError: if there is no probe image `shown`.
    """
    height, width = _size(maps_by_variant, layer)
    tiles = {v: _tiles(maps, shown)[:MOST_MAPS] for v, maps in maps_by_variant.items()}
    dead = {v: peaks_by_variant[v].dead for v in tiles}
    captions = {v: _caption(maps, dead[v], shown) for v, maps in maps_by_variant.items()}
    scale = scale_of(list(tiles.values()))
    signed = scale.norm.vmin < 0
    channels = max(maps.shape[3] for maps in maps_by_variant.values())
    cut = f"{MOST_MAPS} of {channels} " if channels > MOST_MAPS else ""
    panels = _panels(list(tiles), max(map(len, tiles.values())), (height, width))

    with house_style():
        figure = blank(max(panels.bottom + MARGIN, 360))
        write(figure, MARGIN, 18, f"{layer}: {cut}feature maps of {label}", TITLE, weight="bold")
        for i, (variant, maps) in enumerate(tiles.items()):
            x, y = panels.write_head(figure, i, captions[variant])
            crossed = np.flatnonzero(dead[variant][:MOST_MAPS])
            style = {"scale": scale, "marked": crossed, "framed": signed}
            _, used = draw_tiles(figure, x, y, maps, panels.grid, GUTTER, **style)
        y = _beside(figure, image, label, panels.head)
        if any(flags[:MOST_MAPS].any() for flags in dead.values()):
            images = max(peaks_by_variant[variant].images for variant in tiles)
            _explain_dead(figure, y, scale, images)
        x = PANELS_LEFT + (panels.abreast - 1) * (panels.room + GAP) + max(used, 96) + 24
        length, extend = min(max(panels.tall, 160), 300), "both" if signed else "max"
        colour_bar(figure, x, PANELS_TOP + panels.head, length, scale, "activation", extend)
    by_variant = "; ".join(f"{v}: {caption}" for v, caption in captions.items())
    return Picture(figure, f"{layer}: {cut}feature maps of {label}. {by_variant}.")


class _Panels(NamedTuple):
    """Where the variants' maps are drawn: panels in rows, with a name and a caption above each."""

    names: list[list[str]]  # of the variants, in lines
    grid: Grid  # of the maps in a panel
    abreast: int  # panels a row
    rows: int
    room: int  # pixels, width of a panel
    tall: int  # pixels, height of the maps in a panel

    @property
    def name_height(self) -> int:
        return 22 * max(map(len, self.names))

    @property
    def head(self) -> int:
        """Height in pixels of what stands above the maps."""
        return self.name_height + 46

    @property
    def bottom(self) -> int:
        """Where the last row ends, in pixels from the top of the figure."""
        return PANELS_TOP + self.rows * (self.head + self.tall + GAP) - GAP

    def write_head(self, figure: Figure, index: int, caption: str) -> tuple[int, int]:
        """Write what stands above the maps of a panel; returns where they begin, in pixels."""
        row, column = divmod(index, self.abreast)
        x = PANELS_LEFT + column * (self.room + GAP)
        y = PANELS_TOP + row * (self.head + self.tall + GAP)
        name = self.names[index]
        lower = y + self.name_height - 22 * len(name)
        write_lines(figure, x, lower, name, 22, room=self.room, weight="bold")
        parts = caption.rsplit(", ", 1)  # the maximum on a line of its own
        style = {"size": SMALL, "room": self.room, "color": GREY}
        write_lines(figure, x, y + self.name_height, parts, 20, **style)
        return x, y + self.head


def _panels(variants: list[str], count: int, size: tuple[int, int]) -> _Panels:
    """The layout for variants with at most `count` maps of `size` (height, width): side by side
    where the tiles are large enough, else as large as they can be."""
    wide = WIDTH - PANELS_LEFT - 106  # beside the colour bar
    layouts = []
    for rows in range(1, len(variants) + 1):
        abreast = -(-len(variants) // rows)
        room = (wide + GAP) // abreast - GAP
        if abreast <= MOST_ABREAST:
            grid = fit(count, size, (min(520, 900 // rows, 2 * room), room), GUTTER)
            layouts.append((min(grid.width, SMALLEST_TILE), abreast, rows, room, grid))
    _, abreast, rows, room, grid = max(layouts, key=lambda layout: layout[:2])
    names = [wrapped(variant, room // 11, 2) for variant in variants]
    tall = -(-count // grid.columns) * (grid.height + GUTTER) - GUTTER
    return _Panels(names, grid, abreast, rows, room, tall)


def _beside(figure: Figure, image: np.ndarray, label: str, head: int) -> int:
    """Draw the probe image at the left of the panels; returns where what is below it begins."""
    write(figure, MARGIN, PANELS_TOP, "image", weight="bold")
    lines = wrapped(label, 20, 2)
    write_lines(figure, MARGIN, PANELS_TOP + 22, lines, 20, size=SMALL, room=160, color=GREY)
    return _probe(figure, MARGIN, PANELS_TOP + head, 140, image) + 18


def _explain_dead(figure: Figure, top: int, scale: Scale, images: int) -> None:
    """Draw a crossed tile, and what it means."""
    draw_tiles(figure, MARGIN, top, np.zeros((1, 1, 1)), Grid(1, 16, 16), 0, scale, [0])
    hints = ["dead: never > 0", f"on {plural(images, 'image')}"]
    write_lines(figure, MARGIN + 24, top - 2, hints, 20, size=SMALL, room=156, color=GREY)


def overview_figure(
    maps_by_layer: Mapping[str, np.ndarray],
    peaks_by_layer: Mapping[str, Peaks],
    image: np.ndarray,
    label: str,
    title: str,
    shown: int = 0,
) -> Picture:
    """One image on its way through one network: a row of maps for every layer, in order.

    A row shows the maps that differ most between the pixels of this image (largest standard
    deviation; of maps of one pixel, those with the largest absolute value), strongest first, as
    many as fit: a map that is bright all over says little. Each layer has its own scale, from 0 to
    the 99.5th percentile of all its maps on this image (symmetric about 0 where values go below
    0), given at the end of the row. Of more than 28 layers 28 are drawn, evenly spaced from first
    to last, and the picture says so; the alt text has all.

    Args:
        maps_by_layer: Layer -> (n, h, w, channels) on n probe images, as `capture.feature_maps`
            returns them; finite.
        peaks_by_layer: Layer -> its peaks over many images, on which filters count as dead.
        image: The probe image shown: (h, w), (h, w, 1) or (h, w, 3).
        label: What the image shows, as "digit 3".
        title: What the maps belong to, as the name of a variant.
        shown: Which of the n probe images `image` is.

    Raises:
        ValueError: if there is no layer, or maps are not finite or of another shape.
        IndexError: if there is no probe image `shown`.
    """
    if not maps_by_layer:
        raise ValueError("no layer to show")
    for layer, maps in maps_by_layer.items():
        _check(maps, layer)
    dead = {layer: peaks_by_layer[layer].dead for layer in maps_by_layer}
    captions = {layer: _caption(maps, dead[layer], shown) for layer, maps in maps_by_layer.items()}
    picks = np.linspace(0, len(captions) - 1, min(len(captions), MOST_LAYERS)).round().astype(int)
    drawn = dict(list(maps_by_layer.items())[i] for i in picks)
    some = f"{len(drawn)} of {len(captions)} layers; " if len(drawn) < len(captions) else ""
    high = _row_height([maps.shape[1] for maps in drawn.values()])
    strip = 600 if len(drawn) <= FEW_LAYERS else 537  # nine tiles of 64 pixels, twelve of 42
    left, top, pitch = WIDTH - strip - 90, 164, high + 14
    with house_style():
        figure = blank(top + len(drawn) * pitch - 14 + MARGIN)
        _probe(figure, MARGIN, MARGIN, 112, image)
        write(figure, left, MARGIN + 4, title, TITLE, weight="bold")
        write(figure, left, MARGIN + 38, f"what it makes of {label}")
        hint = f"{some}a row: the layer's maps of strongest contrast, on its own scale"
        write(figure, left, MARGIN + 74, hint, SMALL, color=GREY)
        before = None
        for i, (layer, maps) in enumerate(drawn.items()):
            y = top + i * pitch
            if before != maps.shape[1:3]:
                rule(figure, y - 7, MARGIN, left + strip + 66)
            before = maps.shape[1:3]
            _name_row(figure, y, high, left - MARGIN - 12, layer, maps, dead[layer].sum())
            _draw_row(figure, left, y, high, strip, _tiles(maps, shown))
    by_layer = "; ".join(f"{layer}: {caption}" for layer, caption in captions.items())
    return Picture(figure, f"{title}: what each layer makes of {label}. {by_layer}.")


def _name_row(
    figure: Figure, top: int, high: int, room: int, layer: str, maps: np.ndarray, dead: int
) -> None:
    """Write what an overview's row shows, in `room` pixels at its left."""
    count, (height, width) = maps.shape[3], maps.shape[1:3]
    what = f"{plural(count, 'map')} of {height}×{width}"
    write(figure, MARGIN, top + high / 2 + 2, what, SMALL, room, color=GREY)
    flag, line = f"{dead} dead" if dead else "", top + high / 2 - 20
    style = {"ha": "right", "color": WARNING}
    taken = write(figure, MARGIN + room, line, flag, SMALL, 80, **style).get_window_extent()
    write(figure, MARGIN, line - 2, layer, room=room - taken.width - 8, weight="bold")


def _draw_row(
    figure: Figure, left: int, top: int, high: int, strip: int, tiles: np.ndarray
) -> None:
    """Draw the strongest of a layer's maps, `high` pixels high, and their scale at the end."""
    scale = scale_of([tiles])
    wide = max(1, round(high * tiles.shape[2] / tiles.shape[1]))
    fitting = max(1, (strip + GUTTER) // (wide + GUTTER))
    best = strongest(_strengths(tiles), fitting)
    style = {"scale": scale, "framed": scale.norm.vmin < 0}
    draw_tiles(figure, left, top, tiles[best], Grid(fitting, high, wide), GUTTER, **style)
    _little_bar(figure, left + strip + 10, top, high, scale)


def _size(maps_by_variant: Mapping[str, np.ndarray], layer: str) -> tuple[int, int]:
    """Height and width of all variants' maps. Raises ValueError as `feature_figure`."""
    if not maps_by_variant:
        raise ValueError("no variant to show")
    for variant, maps in maps_by_variant.items():
        _check(maps, f"{variant}, {layer}")
    sizes = {maps.shape[:3] for maps in maps_by_variant.values()}
    if len(sizes) > 1:
        raise ValueError(f"{layer}: the variants' maps differ in (n, h, w): {sorted(sizes)}")
    _, height, width = sizes.pop()
    return height, width


def _check(maps: np.ndarray, whose: str) -> None:
    if maps.ndim != 4 or maps.size == 0:
        raise ValueError(f"{whose}: maps have shape {maps.shape}; expected (n, h, w, channels)")
    if not np.isfinite(maps).all():
        raise ValueError(f"{whose}: maps hold NaN or infinity")


def _tiles(maps: np.ndarray, shown: int) -> np.ndarray:
    return np.asarray(maps[shown], np.float32).transpose(2, 0, 1)  # (channels, h, w)


def _strengths(tiles: np.ndarray) -> np.ndarray:
    if tiles[0].size == 1:
        return np.abs(tiles).max((1, 2))
    return tiles.std((1, 2))


def _caption(maps: np.ndarray, dead: np.ndarray, shown: int) -> str:
    return f"{plural(maps.shape[3], 'map')}, {dead.sum()} dead, max {number(maps[shown].max())}"


def _probe(figure: Figure, left: int, top: int, side: int, image: np.ndarray) -> int:
    """Draw the probe image into a square of `side` pixels; returns where it ends, in pixels."""
    tile = displayed(image)[None]
    grid = fit(1, tile.shape[1:3], (side, side), 0, side)
    height, _ = draw_tiles(figure, left, top, tile, grid, 0, framed=True)
    return top + height


def _row_height(heights: list[int]) -> int:
    """A tile height in pixels at which as few of the maps as can be are enlarged unevenly."""
    choice = range(68, 47, -1) if len(heights) <= FEW_LAYERS else range(42, 37, -1)
    return min(choice, key=lambda high: sum(h <= high and high % h != 0 for h in heights))


def _little_bar(figure: Figure, left: int, top: int, height: int, scale: Scale) -> None:
    low, high = scale.norm.vmin, scale.norm.vmax
    axes = box(figure, left, top, 8, height)
    axes.imshow(
        np.linspace(high, low, height)[:, None], norm=scale.norm, cmap=scale.colours, aspect="auto"
    )
    for value, y, va in ((high, top, "top"), (low, top + height, "bottom")):
        write(figure, left + 13, y, number(value), SMALL, WIDTH - left - 17, color=GREY, va=va)
