"""What a filter answers most: its strongest responses over many images, and where they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.look.capture import at_once, feature_maps, forward
from cnnlab.look.figure import (
    GREY,
    MARGIN,
    SMALL,
    TITLE,
    WARNING,
    WIDTH,
    Picture,
    blank,
    displayed,
    draw_lines,
    draw_tiles,
    fit,
    house_style,
    number,
    strongest,
    write,
    write_lines,
)

if TYPE_CHECKING:
    import keras

MOST_IMAGES = 9  # kept for a filter, and drawn
MOST_FILTERS = 10  # drawn
NOISE = 8  # images, fewer of large ones, by which `reach` measures what a unit sees
SEEN = 0.01  # of the largest gradient: from there on a pixel counts as seen
GUTTER, LARGEST_TILE = 6, 64  # pixels


@dataclass(frozen=True)
class Peaks:
    """The strongest responses of each channel of one layer over a set of images.

    An image counts by the largest value in its map, so `most` = min(`MOST_IMAGES`, images)
    different images are kept for a channel, the strongest first, ties in the order of the images.
    """

    images: int  # how many were seen
    size: tuple[int, int]  # height and width of a map
    value: np.ndarray  # float32 (most, channels)
    image: np.ndarray  # int (most, channels): which image, from 0
    place: np.ndarray  # int (most, channels): where in the map, pixels counted row by row

    @classmethod
    def of(cls, maps: np.ndarray, first: int = 0) -> Peaks:
        """The peaks of maps (n, h, w, channels), whose first image has the number `first`."""
        count, height, width, channels = maps.shape
        pixels = np.asarray(maps, np.float32).reshape(count, height * width, channels)
        numbers = np.broadcast_to(first + np.arange(count)[:, None], (count, channels))
        return cls(count, (height, width), pixels.max(1), numbers, pixels.argmax(1))._cut()

    def joined(self, other: Peaks) -> Peaks:
        """The peaks over the images of both."""
        parts = {
            name: np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("value", "image", "place")
        }
        return Peaks(self.images + other.images, self.size, **parts)._cut()

    def _cut(self) -> Peaks:
        order = np.argsort(-self.value, axis=0, kind="stable")[:MOST_IMAGES]
        parts = {
            name: np.take_along_axis(getattr(self, name), order, 0)
            for name in ("value", "image", "place")
        }
        return Peaks(self.images, self.size, **parts)

    @property
    def dead(self) -> np.ndarray:
        """Bool (channels,): whether the channel rises above 0 nowhere, on none of the images."""
        return ~(self.value[0] > 0)


def peaks(model: keras.Model, images: np.ndarray) -> dict[str, Peaks]:
    """The peaks of every layer that `feature_maps` knows over `images` (n, h, w, c).

    The images go through in batches, so that memory does not grow with their number.
    """
    batch = at_once(model, images.shape[1:])
    by_layer: dict[str, Peaks] = {}
    for start in range(0, len(images), batch):
        maps = feature_maps(model, np.asarray(images[start : start + batch], np.float32))
        for layer, values in maps.items():
            more = Peaks.of(values, start)
            by_layer[layer] = by_layer[layer].joined(more) if layer in by_layer else more
    return by_layer


def reach(model: keras.Model, shape: tuple[int, ...]) -> dict[str, tuple[int, int, int, int]]:
    """How far the units of each layer see: their effective receptive field (Luo et al. 2016).

    Measured on noise of `shape` (h, w, c): a pixel counts as seen where the gradient of the middle
    unit with respect to it, its size averaged over channels and images, is at least a hundredth of
    the largest.

    Returns:
        Layer -> how many pixels are seen (above, below, left of, right of) the pixel at which the
        unit's cell of the image begins; the first and third are negative or 0.
    """
    import tensorflow as tf

    count = min(NOISE, at_once(model, shape))
    noise = np.random.default_rng(0).uniform(0, 255, (count, *shape)).astype(np.float32)
    inputs = tf.convert_to_tensor(noise)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        maps, _ = forward(model, inputs)
        units = {
            layer: tf.reduce_sum(tf.cast(values[:, size[0] // 2, size[1] // 2], "float32"))
            for layer, values in maps.items()
            for size in [values.shape[1:3]]
        }
    by_layer = {}
    for layer, values in maps.items():
        gradient = tape.gradient(units[layer], inputs, unconnected_gradients="zero")
        strength = np.abs(gradient.numpy()).mean((0, 3))
        seen = strength >= SEEN * strength.max()
        edges = []
        for axis, size in enumerate(values.shape[1:3]):
            along = np.flatnonzero(seen.any(1 - axis))
            begins = size // 2 * shape[axis] // size
            edges += [int(along[0]) - begins, int(along[-1]) - begins]
        by_layer[layer] = tuple(edges)
    return by_layer


def peaks_figure(
    by_filter: Peaks,
    reach: tuple[int, int, int, int],
    layer: str,
    title: str,
    images: np.ndarray,
    labels: Sequence[str],
    whose: str,
) -> Picture:
    """The images that excite each filter most: a row a filter, the strongest first.

    A frame shows what the unit with the largest value sees of the image; there is none where all
    units see all of it. Of more than ten filters those with the largest responses are shown, and
    the title says so; filters that are dead are left out, and counted.

    Args:
        by_filter: The layer's peaks over `images`.
        reach: How far its units see, as `reach` returns it.
        layer: The layer's name.
        title: What the filters belong to, as the name of a variant.
        images: (n, h, w) or (n, h, w, 1 or 3), the images that were searched.
        labels: n class names.
        whose: What kind of images they are, as "held-out images".

    Raises:
        ValueError: if `images` are not as many as were searched, or have no label each.
    """
    if not len(images) == len(labels) == by_filter.images:
        counts = f"{len(images)} images, {len(labels)} labels"
        raise ValueError(f"{layer}: {counts}, but {by_filter.images} were searched")
    alive = np.flatnonzero(~by_filter.dead)
    rows = alive[strongest(by_filter.value[0, alive], MOST_FILTERS)]
    most, channels = by_filter.value.shape
    some = f"{len(rows)} of {channels}" if len(rows) < channels else f"{channels}"
    what = f"{layer}: what excites {some} filter{'' if channels == 1 else 's'} most"
    dead = f"{by_filter.dead.sum()} dead"
    hint = f"{most} strongest of {by_filter.images} {whose}, one row a filter; {dead}"

    left, top, right = MARGIN + 108, 106, 112
    shape = images.shape[1:3]
    room = (10_000, WIDTH - left - right - MARGIN)
    grid = fit(most, shape, room, GUTTER, LARGEST_TILE, columns=most)
    pitch = max(grid.height, 40) + GUTTER + 4
    frames = _frames(by_filter, reach, shape)
    framed = (frames[:, rows] != [0, 0, 1, 1]).any()
    summaries = []
    with house_style():
        figure = blank(top + pitch * max(len(rows), 1) + MARGIN)
        write(figure, MARGIN, 18, f"{what}, {title}", TITLE, weight="bold")
        sees = "frame: what the unit sees" if framed else "its units see the whole image"
        write_lines(figure, MARGIN, 48, [hint, sees], 21, size=SMALL, color=GREY)
        if not len(rows):
            write(figure, MARGIN, top, "no filter rises above 0", color=GREY)
        for i, channel in enumerate(rows):
            y = top + i * pitch
            shown = by_filter.image[:, channel]
            tiles = np.stack([displayed(images[j]) for j in shown])
            draw_tiles(figure, left, y, tiles, grid, GUTTER, framed=True)
            if framed:
                _draw_frames(figure, left, y, grid, frames[:, channel])
            values = by_filter.value[:, channel]
            span = f"{number(values[0])} to {number(values[-1])}"
            kind, times = Counter(labels[j] for j in shown).most_common(1)[0]
            write(figure, MARGIN, y + 2, f"filter {channel}", SMALL, left - MARGIN - 8)
            write(figure, MARGIN, y + 22, span, SMALL, left - MARGIN - 8, color=GREY)
            x = left + most * (grid.width + GUTTER) + 8
            write(figure, x, y + 2, f"{times} of {most} are", SMALL, color=GREY)
            write(figure, x, y + 22, kind, SMALL, WIDTH - x - 8)
            summaries.append(
                f"filter {channel}: max {number(values[0])}, {times} of {most} are {kind}"
            )
    return Picture(
        figure, f"{what}, {title}, {hint}. {'; '.join(summaries) or 'No filter answers'}."
    )


def _frames(peaks: Peaks, reach: tuple[int, int, int, int], shape: tuple[int, int]) -> np.ndarray:
    """What the unit at each peak sees: float (most, channels, 4) of top, left, bottom and right,
    as shares 0..1 of the image."""
    (height, width), (above, below, before, behind) = shape, reach
    row, column = np.divmod(peaks.place, peaks.size[1])
    y, x = row * height // peaks.size[0], column * width // peaks.size[1]
    edges = [(y + above) / height, (x + before) / width]
    edges += [(y + below + 1) / height, (x + behind + 1) / width]
    return np.clip(np.stack(edges, -1), 0, 1)


def _draw_frames(figure, left: int, top: int, grid, frames: np.ndarray) -> None:
    lines = []
    for i, (upper, before, lower, behind) in enumerate(frames):
        x0, x1 = (i * (grid.width + GUTTER) + grid.width * edge for edge in (before, behind))
        y0, y1 = grid.height * upper, grid.height * lower
        lines.append([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
    draw_lines(figure, left, top, lines, WARNING, 0.8)
