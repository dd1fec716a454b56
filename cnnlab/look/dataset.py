"""What the images are: some of each class beside their mean, and how large they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    SMALL,
    TITLE,
    WIDTH,
    Picture,
    blank,
    box,
    displayed,
    draw_tiles,
    fit,
    house_style,
    plural,
    write,
)

GAP = 6  # pixels
LABELS = 150  # pixels


def samples_figure(
    title: str,
    samples: Mapping[str, np.ndarray],
    means: Mapping[str, np.ndarray],
    counts: Mapping[str, int],
) -> Picture:
    """A row a class: its mean image, then some of its images.

    `samples`: class -> uint8 (n, height, width, channels), n the same where there are enough.
    `means`: class -> (height, width, channels), 0..255. `counts`: images of each class in all.
    """
    most = max(len(images) for images in samples.values())
    shape = next(iter(samples.values())).shape[1:3]
    left, top = MARGIN + LABELS, 84
    room = (10_000, WIDTH - MARGIN - left - 3 * GAP)
    grid = fit(most + 1, shape, room, GAP, columns=most + 1)
    step = grid.height + GAP
    beside = left + grid.width + 3 * GAP
    with house_style():
        figure = blank(top + step * len(samples) + MARGIN)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        write(figure, left, top - 24, "mean", SMALL, color=GREY)
        write(figure, beside, top - 24, f"up to {most} images", SMALL, color=GREY)
        for i, (name, images) in enumerate(samples.items()):
            y = top + i * step
            middle = y + grid.height / 2
            text = f"{name}  ({counts[name]})"
            write(figure, left - 12, middle, text, room=LABELS - 12, ha="right", va="center")
            mean = np.clip(means[name] / 255, 0, 1)
            draw_tiles(figure, left, y, displayed(mean)[None], grid, 0, framed=True)
            row = np.stack([displayed(image) for image in images])
            draw_tiles(figure, beside, y, row, grid, GAP, framed=True)
    brightness = ", ".join(f"{name} {np.mean(mean):.0f}" for name, mean in means.items())
    return Picture(
        figure,
        f"{title}: for each of {len(samples)} its mean image and up to {plural(most, 'image')};"
        f" mean brightness of 255: {brightness}",
    )


def sizes_figure(title: str, widths: Sequence[int], heights: Sequence[int]) -> Picture:
    """Width against height of the originals, each size a disc as large as it is frequent."""
    sizes, counts = np.unique(np.stack([widths, heights], axis=1), axis=0, return_counts=True)
    low, high = sizes.min() / 1.3, sizes.max() * 1.3
    with house_style():
        figure = blank(580)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = box(figure, 110, 60, 440, 440)
        axes.set_axis_on()
        axes.set(xscale="log", yscale="log", xlim=(low, high), ylim=(low, high))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:.0f}"))
            axis.set_minor_locator(NullLocator())
        axes.set_xlabel("width (pixels)", color=GREY)
        axes.set_ylabel("height (pixels)", color=GREY)
        axes.plot([low, high], [low, high], color=GREY, linewidth=0.5, zorder=0)
        area = 6 + 300 * counts / counts.sum()
        axes.scatter(*sizes.T, s=area, facecolors="none", edgecolors=INK, linewidths=0.6)
        for i, line in enumerate(_commonest(sizes, counts)):
            write(figure, 600, 80 + 26 * i, line, SMALL, color=INK if i else GREY)
    smallest, largest = sizes[np.argmin(sizes.prod(axis=1))], sizes[np.argmax(sizes.prod(axis=1))]
    return Picture(
        figure,
        f"{title}: {plural(len(sizes), 'size')} from {_size(smallest)} to {_size(largest)} pixels;"
        f" commonest {_size(sizes[np.argmax(counts)])}",
    )


def _commonest(sizes: np.ndarray, counts: np.ndarray) -> list[str]:
    order = np.argsort(-counts, kind="stable")[:12]
    share = 100 * counts / counts.sum()
    return ["commonest sizes", *(f"{_size(sizes[i])}: {share[i]:.1f} %" for i in order)]


def _size(size: np.ndarray) -> str:
    return f"{size[0]}×{size[1]}"
