"""Scores against the size of the training set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from cnnlab.compare.growth import Line
from cnnlab.look.figure import (
    INK,
    MARGIN,
    RULE,
    TITLE,
    WIDTH,
    Picture,
    blank,
    box,
    house_style,
    write,
)
from cnnlab.metric import Metric

COLOURS = ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700"]
MARKS = "osD^vP"
ENDS = ("mean", "mean_low", "mean_high")
LEFT, HIGH = 74, 330  # pixels
COLUMNS, LINE = 3, 24  # names a line of the legend; pixels from one to the next


def sizes_figure(
    title: str,
    metric: Metric,
    rows: Sequence[Mapping],
    lines: Mapping[str, Line] | None = None,
    images: Mapping[int, int] | None = None,
) -> Picture:
    """Mean score of each variant against training images per class, with intervals, and its power
    law to twice the images, with a band, where there is one.

    `rows`: of `cnnlab.compare.sizes.size_rows`. `lines`: of `cnnlab.compare.growth`, by variant;
    `images`: images per class -> images of a trial, which is what lines are of.
    """
    lines = lines or {}
    names = list(dict.fromkeys(row["variant"] for row in rows))
    sizes = sorted({row["per_class"] for row in rows})
    top = 60 + legend_height(names)
    with house_style():
        figure = blank(top + HIGH + 62)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = axes_of(figure, top, WIDTH - 2 * MARGIN - LEFT)
        for i, name in enumerate(names):
            of_variant = [row for row in rows if row["variant"] == name]
            apart = 1.025 ** (i - (len(names) - 1) / 2)  # so that intervals do not hide each other
            at = np.array([row["per_class"] for row in of_variant]) * apart
            mean, low, high = (
                np.array([r[end] for r in of_variant]) * metric.scale for end in ENDS
            )
            bars = [mean - low, high - mean]
            style = {"color": COLOURS[i % 6], "marker": MARKS[i % 6], "ms": 5}
            style["linewidth"] = 0 if name in lines else 1.4
            axes.errorbar(at, mean, bars, elinewidth=1, capsize=3, **style)
            if name in lines:
                line, colour = lines[name], COLOURS[i % 6]
                x = per_class_of(line.images, images)
                mean = line.mean * metric.scale
                axes.plot(x, mean, color=colour, linewidth=1.4)
                beyond = x > sizes[-1]  # where nothing was measured: white gaps in the line
                axes.plot(
                    x[beyond], mean[beyond], color="white", linewidth=2, linestyle=(0, (2, 3))
                )
                low, high = line.low * metric.scale, line.high * metric.scale
                axes.fill_between(x, low, high, color=colour, alpha=0.1, linewidth=0)
        legend(figure, names)
        axes.set_xscale("log")
        ticks = [*sizes, *[2 * sizes[-1]] * bool(lines)]
        axes.set_xticks(ticks, [str(size) for size in ticks])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("training images per class", fontsize=8, color=INK)
        axes.set_ylabel(f"{metric.title} ({metric.unit})", fontsize=8, color=INK)
    words = "; ".join(
        f"{row['variant']} at {row['per_class']}: {row['mean'] * metric.scale:.{metric.digits}f} "
        f"[{row['mean_low'] * metric.scale:.{metric.digits}f}, "
        f"{row['mean_high'] * metric.scale:.{metric.digits}f}]"
        for row in rows
    )
    words += "".join(
        f"; {name} by its curve at {2 * sizes[-1]}: "
        f"{line.mean[-1] * metric.scale:.{metric.digits}f} "
        f"[{line.low[-1] * metric.scale:.{metric.digits}f}, "
        f"{line.high[-1] * metric.scale:.{metric.digits}f}]"
        for name, line in lines.items()
    )
    return Picture(figure, f"{title}, {metric.title} ({metric.unit}), images per class: {words}")


def per_class_of(images: np.ndarray, known: Mapping[int, int]) -> np.ndarray:
    """Images per class for numbers of training images; `known`: the reverse, for some sizes.
    Between these in proportion; the same beyond the largest."""
    sizes = np.array(sorted(known, key=lambda size: known[size]), np.float64)
    of_trial = np.array(sorted(known.values()), np.float64)
    inside = np.exp(np.interp(np.log(images), np.log(of_trial), np.log(sizes)))
    return np.where(images > of_trial[-1], images * sizes[-1] / of_trial[-1], inside)


def axes_of(figure, top: float, wide: float, left: float = MARGIN) -> Axes:
    """Axes with room for numbers at their left."""
    axes = box(figure, left + LEFT, top, wide, HIGH)
    axes.set_axis_on()
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.tick_params(length=2)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    return axes


def legend_height(names: Sequence[str]) -> int:
    """Pixels of a legend."""
    return LINE * -(-len(names) // COLUMNS)


def legend(figure, names: Sequence[str]) -> None:
    """The variants' names in their colours, below the title."""
    wide = (WIDTH - 2 * MARGIN) // COLUMNS
    for i, name in enumerate(names):
        line, column = divmod(i, COLUMNS)
        left, top = MARGIN + column * wide, 48 + LINE * line
        write(figure, left, top, f"━  {name}", room=wide - 12, color=COLOURS[i % 6])
