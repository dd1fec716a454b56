"""Figures of transfer: scores against the size of the target, and what changed inside, by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from cnnlab.compare.metrics import Metric
from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    RULE,
    SMALL,
    TITLE,
    WIDTH,
    Picture,
    blank,
    box,
    house_style,
    write,
)

COLOURS = ["#0969da", "#bc4c00", "#1a7f37", "#8250df", "#bf3989", "#9a6700"]
MARKS = "osD^vP"
ENDS = ("mean", "mean_low", "mean_high")
LEFT, HIGH = 74, 330  # pixels


def sizes_figure(title: str, metric: Metric, rows: Sequence[Mapping]) -> Picture:
    """Mean score of each strategy against training images a class, with intervals.

    `rows`: of `cnnlab.compare.transfer.size_rows`.
    """
    names = list(dict.fromkeys(row["strategy"] for row in rows))
    sizes = sorted({row["per_class"] for row in rows})
    with house_style():
        figure = blank(84 + HIGH + 62)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = _axes(figure, 84, WIDTH - 2 * MARGIN - LEFT)
        for i, name in enumerate(names):
            own = [row for row in rows if row["strategy"] == name]
            # Side by side, so that intervals do not hide each other.
            at = np.array([row["per_class"] for row in own]) * 1.025 ** (i - (len(names) - 1) / 2)
            mean, low, high = (np.array([r[end] for r in own]) * metric.scale for end in ENDS)
            bars = [mean - low, high - mean]
            style = {"color": COLOURS[i % 6], "marker": MARKS[i % 6], "ms": 5, "linewidth": 1.4}
            axes.errorbar(at, mean, bars, elinewidth=1, capsize=3, **style)
        _legend(figure, names)
        axes.set_xscale("log")
        axes.set_xticks(sizes, [str(size) for size in sizes])
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("training images a class", fontsize=8, color=INK)
        axes.set_ylabel(f"{metric.title} ({metric.unit})", fontsize=8, color=INK)
    said = "; ".join(
        f"{row['strategy']} at {row['per_class']}: {row['mean'] * metric.scale:.{metric.digits}f} "
        f"[{row['mean_low'] * metric.scale:.{metric.digits}f}, "
        f"{row['mean_high'] * metric.scale:.{metric.digits}f}]"
        for row in rows
    )
    return Picture(figure, f"{title}, {metric.title} ({metric.unit}), images a class: {said}")


def change_figure(title: str, rows: Sequence[Mapping]) -> Picture:
    """By layer from the bottom: how like the pre-trained net's maps are, and how far weights moved.

    `rows`: strategy, layer, cka (maps on the same images), change (of weights, a share; nan where
    the layer has none).
    """
    names = list(dict.fromkeys(row["strategy"] for row in rows))
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    wide = (WIDTH - 2 * MARGIN - 2 * LEFT) // 2
    with house_style():
        figure = blank(134 + HIGH + 118)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        _legend(figure, names)
        panels = (
            ("cka", "CKA with the pre-trained net", "1: the same up to rotation and scale"),
            ("change", "change of weights", "‖after − before‖ / ‖before‖"),
        )
        for p, (key, what, note) in enumerate(panels):
            x = MARGIN + p * (wide + LEFT)
            write(figure, x + LEFT, 78, what, room=wide, weight="bold")
            write(figure, x + LEFT, 102, note, SMALL, wide, color=GREY)
            axes = _axes(figure, 134, wide, x)
            for i, name in enumerate(names):
                own = {row["layer"]: row[key] for row in rows if row["strategy"] == name}
                values = [own[layer] for layer in layers]
                style = {"color": COLOURS[i % 6], "marker": MARKS[i % 6], "ms": 3.5}
                there = np.isfinite(values)
                axes.plot(np.flatnonzero(there), np.array(values)[there], linewidth=1.2, **style)
            step = -(-len(layers) // 13)
            axes.set_xticks(range(0, len(layers), step), layers[::step], rotation=60, ha="right")
            axes.tick_params(axis="x", labelsize=6)
            if key == "cka":
                axes.set_ylim(min(0, axes.get_ylim()[0]), 1.05)
            else:
                axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))
    said = []
    for name in names:
        own = [row for row in rows if row["strategy"] == name]
        moved = [row["change"] for row in own if np.isfinite(row["change"])]
        like = [row["cka"] for row in own if np.isfinite(row["cka"])]
        if like and moved:
            said.append(
                f"{name}: CKA {min(like):.3f} to {max(like):.3f}, {own[-1]['cka']:.3f} at the top; "
                f"weights moved by {min(moved):.3g} to {max(moved):.3g} of their norm"
            )
    return Picture(figure, f"{title}. {'; '.join(said)}")


def _axes(figure, top: float, wide: float, left: float = MARGIN) -> Axes:
    axes = box(figure, left + LEFT, top, wide, HIGH)
    axes.set_axis_on()
    axes.grid(axis="y", color=RULE, linewidth=0.5)
    axes.tick_params(length=2)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    return axes


def _legend(figure, names: Sequence[str]) -> None:
    x = MARGIN
    for i, name in enumerate(names):
        text = write(figure, x, 48, f"━  {name}", color=COLOURS[i % 6])
        x += text.get_window_extent().width + 30
