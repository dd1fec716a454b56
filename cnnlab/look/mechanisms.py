"""Figures of mechanisms: what a technique was to move, fold by fold; pre-activations by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.ticker import MaxNLocator

from cnnlab.compare.mechanisms import QUANTITIES
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
    wrapped,
    write,
    write_lines,
)
from cnnlab.metric import plain

COLOURS = {"yes": "#1a7f37", "no": "#cf222e", "not shown": GREY}
COLUMNS, GAP, HIGH, HEAD, AXIS = 3, 26, 150, 96, 74  # pixels
OFF, ON = "#656d76", "#0969da"


def mechanisms_figure(
    title: str, rows: Sequence[Mapping], values: Sequence[tuple[np.ndarray, np.ndarray]]
) -> Picture:
    """A panel a technique: its quantity without and with it, a line a fold.

    `rows`: the table of mechanisms (`compare.mechanisms`). `values`: for each row its quantity
    without the technique and with it, each (repeats, folds).
    """
    columns = min(COLUMNS, len(rows))
    wide = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) // COLUMNS - AXIS
    pitch = HEAD + HIGH + 44
    with house_style():
        figure = blank(52 + -(-len(rows) // columns) * pitch + 12)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        for i, row in enumerate(rows):
            quantity, colour = QUANTITIES[row["quantity"]], COLOURS[row["holds"]]
            x = MARGIN + AXIS + i % columns * (wide + AXIS + GAP)
            y = 56 + i // columns * pitch
            left = x - AXIS + 10
            write(figure, left, y, row["technique"], room=wide, weight="bold")
            style = {"color": colour, "ha": "right", "weight": "bold"}
            write(figure, x + wide, y, row["holds"], room=wide, **style)
            unit = f" ({quantity.unit})" if quantity.unit else ""
            lines = wrapped(f"{quantity.title}{unit}: {row['way']}?", 34, 2)
            write_lines(figure, left, y + 26, lines, 20, size=SMALL, color=GREY)
            axes = box(figure, x, y + HEAD - 18, wide, HIGH)
            axes.set_axis_on()
            pair = np.stack([np.ravel(v) * quantity.scale for v in values[i]])
            axes.plot([0, 1], pair, color=RULE, linewidth=0.7, zorder=1)
            axes.plot([0, 1], pair, "o", ms=3, mfc="none", mec=GREY, mew=0.5, zorder=2)
            axes.plot([0, 1], pair.mean(1), "o-", ms=5, color=colour, linewidth=1.6, zorder=3)
            axes.set_xticks([0, 1], ["without", "with"])
            axes.set_xlim(-0.35, 1.35)
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.tick_params(length=2)
            for side in ("right", "top"):
                axes.spines[side].set_visible(False)
    words = [
        f"{r['technique']}, {QUANTITIES[r['quantity']].title}: {_shown(r, 'without')} without, "
        f"{_shown(r, 'with')} with it, {r['way']} as claimed: {r['holds']}"
        for r in rows
    ]
    return Picture(figure, f"{title}. {'; '.join(words)}")


def _shown(row: Mapping, column: str) -> str:
    quantity = QUANTITIES[row["quantity"]]
    return plain(row[column] * quantity.scale, quantity.digits)


def preactivations_figure(
    title: str,
    epochs: Sequence[int],
    without: Mapping[str, np.ndarray],
    with_it: Mapping[str, np.ndarray],
    names: tuple[str, str],
) -> Picture:
    """A panel a layer: mean of its pre-activations over training, band of ± 1 standard deviation.

    `without`, `with_it`: layer -> (trials, evaluations, 2), mean and standard deviation over the
    units and images of a fixed probe; lines and bands are means over trials. `names`: of the two
    variants.
    """
    layers = [name for name in without if name in with_it]
    columns = min(COLUMNS, len(layers))
    wide = (WIDTH - 2 * MARGIN - (columns - 1) * GAP) // columns - AXIS
    pitch = 30 + HIGH + 44
    with house_style():
        figure = blank(84 + -(-len(layers) // columns) * pitch + 18)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        x = MARGIN
        for name, colour in zip(names, (OFF, ON), strict=True):
            text = write(figure, x, 46, f"━  {name}", color=colour)
            x += text.get_window_extent().width + 32
        note = "mean and ± 1 standard deviation on a fixed probe of training images"
        write(figure, x, 48, note, SMALL, color=GREY)
        for i, layer in enumerate(layers):
            x = MARGIN + AXIS + i % columns * (wide + AXIS + GAP)
            y = 84 + i // columns * pitch
            write(figure, x, y, layer, room=wide, weight="bold")
            axes = box(figure, x, y + 28, wide, HIGH)
            axes.set_axis_on()
            for values, colour in ((without[layer], OFF), (with_it[layer], ON)):
                mean, sd = values.mean(0).T
                axes.plot(epochs, mean, color=colour, linewidth=1.2)
                axes.fill_between(epochs, mean - sd, mean + sd, color=colour, alpha=0.2, lw=0)
            axes.axhline(0, color=INK, linewidth=0.5)
            axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            axes.yaxis.set_major_locator(MaxNLocator(4))
            axes.tick_params(length=2)
            if i + columns >= len(layers):
                axes.set_xlabel("epoch", fontsize=SMALL, color=GREY, labelpad=1)
            for side in ("right", "top"):
                axes.spines[side].set_visible(False)
    words = []
    for layer in layers:
        moved = [np.ptp(v[layer].mean(0)[:, 0]) for v in (without, with_it)]
        words.append(
            f"{layer}: mean moves over {moved[0]:.2g} in {names[0]}, {moved[1]:.2g} in {names[1]}"
        )
    return Picture(figure, f"{title}. {'; '.join(words)}")
