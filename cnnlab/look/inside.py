"""What training from a backbone changed inside, by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import FuncFormatter

from cnnlab.look.figure import GREY, MARGIN, SMALL, TITLE, WIDTH, Picture, blank, house_style, write
from cnnlab.look.sizes import COLOURS, HIGH, LEFT, MARKS, axes_of, legend, legend_height


def change_figure(title: str, rows: Sequence[Mapping]) -> Picture:
    """By layer from the bottom: how like the pre-trained network's maps are, and how far weights
    moved.

    `rows`: variant, layer, cka (maps on the same images), change (of weights, a share; nan where
    the layer has none).
    """
    names = list(dict.fromkeys(row["variant"] for row in rows))
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    wide = (WIDTH - 2 * MARGIN - 2 * LEFT) // 2
    top = 54 + legend_height(names)
    with house_style():
        figure = blank(top + 56 + HIGH + 118)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        legend(figure, names)
        panels = (
            ("cka", "CKA with the pre-trained network", "1: the same up to rotation and scale"),
            ("change", "change of weights", "‖after − before‖ / ‖before‖"),
        )
        for p, (key, what, note) in enumerate(panels):
            x = MARGIN + p * (wide + LEFT)
            write(figure, x + LEFT, top, what, room=wide, weight="bold")
            write(figure, x + LEFT, top + 24, note, SMALL, wide, color=GREY)
            axes = axes_of(figure, top + 56, wide, x)
            for i, name in enumerate(names):
                by_layer = {row["layer"]: row[key] for row in rows if row["variant"] == name}
                values = [by_layer[layer] for layer in layers]
                style = {"color": COLOURS[i % 6], "marker": MARKS[i % 6], "ms": 3.5}
                measured = np.isfinite(values)
                axes.plot(
                    np.flatnonzero(measured), np.array(values)[measured], linewidth=1.2, **style
                )
            step = -(-len(layers) // 13)
            axes.set_xticks(range(0, len(layers), step), layers[::step], rotation=60, ha="right")
            axes.tick_params(axis="x", labelsize=6)
            if key == "cka":
                axes.set_ylim(min(0, axes.get_ylim()[0]), 1.05)
            else:
                axes.set_ylim(bottom=0)
            axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:.3g}"))
    parts = []
    for name in names:
        of_variant = [row for row in rows if row["variant"] == name]
        moved = [row["change"] for row in of_variant if np.isfinite(row["change"])]
        like = [row["cka"] for row in of_variant if np.isfinite(row["cka"])]
        if like and moved:
            parts.append(
                f"{name}: CKA {min(like):.3f} to {max(like):.3f}, "
                f"{of_variant[-1]['cka']:.3f} at the top; "
                f"weights moved by {min(moved):.3g} to {max(moved):.3g} of their norm"
            )
    return Picture(figure, f"{title}. {'; '.join(parts)}")
