"""Figures of scores and effects: every fold's score, and effects with their intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from cnnlab.compare.metrics import Metric
from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    RULE,
    WIDTH,
    Picture,
    blank,
    box,
    house_style,
    write,
)

KINDS = {  # colour and meaning of each kind of contrast
    "alone": ("#0969da", "added to the baseline"),
    "removed": ("#bc4c00", "lost without it"),
    "together": ("#8250df", "all at once"),
    "pair": ("#1f2328", "difference"),
}
ROW = 46  # pixels
LABELS = 190  # pixels


def scores_figure(
    title: str, metric: Metric, scores: Mapping[str, np.ndarray], rows: Sequence[Mapping]
) -> Picture:
    """Each variant's score in every fold as a dot, with mean and interval.

    `scores`: name -> (repeats, folds). `rows`: the table of variants (`compare.tables`), whose
    columns `mean`, `low` and `high` give mean and interval, in the metric's own units.
    """
    with house_style():
        figure, axes, centres = _rows([row["name"] for row in rows], title, legend=False)
        for y, row in zip(centres, rows, strict=True):
            values = np.ravel(scores[row["name"]]) * metric.scale
            axes.plot(values, _spread(values, y), "o", ms=3.5, mfc="none", mec=GREY, mew=0.6)
            _interval(axes, y, *(row[k] * metric.scale for k in ("low", "mean", "high")), INK)
        _finish(axes, f"{metric.title} ({metric.unit}) on the held-out fold; dots: folds x repeats")
    best = max(rows, key=lambda r: r["mean"] * (1 if metric.higher_is_better else -1))
    value = f"{best['mean'] * metric.scale:.{metric.digits}f} {metric.unit}"
    return Picture(figure, f"{title}: {len(rows)} rows; best mean {best['name']}, {value}")


def effects_figure(title: str, metric: Metric, rows: Sequence[Mapping]) -> Picture:
    """Effects with their intervals, a row a technique, one mark for each kind of contrast.

    `rows`: the table of effects (`compare.tables`). Filled: told from zero after Holm's correction.
    """
    names = list(dict.fromkeys(row["technique"] for row in rows))
    asked = {(row["technique"], row["kind"]) for row in rows}
    present = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    with house_style():
        figure, axes, centres = _rows(names, title, legend=len(present) > 1)
        axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)
        for row in rows:
            kinds = [k for k in present if (row["technique"], k) in asked]
            offset = kinds.index(row["kind"]) - (len(kinds) - 1) / 2
            y = centres[names.index(row["technique"])] + 0.34 * offset
            values = (row[k] * metric.scale for k in ("low", "effect", "high"))
            _interval(axes, y, *values, KINDS[row["kind"]][0], filled=row["clear"])
        if len(present) > 1:
            for i, kind in enumerate(present):
                colour, text = KINDS[kind]
                write(figure, LABELS + MARGIN + i * 220, 44, f"●  {text}", color=colour)
        direction = "more is better" if metric.higher_is_better else "less is better"
        _finish(
            axes, f"change in {metric.title} ({metric.step}); {direction}; filled: clear effect"
        )
    said = [
        f"{r['technique']} {r['kind']} {r['effect'] * metric.scale:+.{metric.digits}f}"
        f" [{r['low'] * metric.scale:+.{metric.digits}f},"
        f" {r['high'] * metric.scale:+.{metric.digits}f}]"
        for r in rows
    ]
    return Picture(figure, f"{title}, {metric.step}: " + "; ".join(said))


def _rows(names: Sequence[str], title: str, legend: bool) -> tuple:
    """A figure with a row a name, its axes, and the rows' centres."""
    top = 76 if legend else 52
    height = top + ROW * len(names) + 64
    figure = blank(height)
    write(figure, MARGIN, 14, title, 10.5, weight="bold")
    axes = box(figure, LABELS + MARGIN, top, WIDTH - LABELS - 2 * MARGIN, ROW * len(names))
    axes.set_axis_on()
    axes.set_ylim(len(names) - 0.5, -0.5)
    for i, name in enumerate(names):
        write(
            figure, LABELS + 10, top + (i + 0.5) * ROW, name, room=LABELS, ha="right", va="center"
        )
        axes.axhline(i, color=RULE, linewidth=0.5, zorder=0)
    return figure, axes, list(range(len(names)))


def _interval(axes: Axes, y, low, mean, high, colour, filled=True) -> None:
    axes.plot([low, high], [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    face = colour if filled else "white"
    axes.plot([mean], [y], "o", ms=6, mfc=face, mec=colour, mew=1.3)


def _spread(values: np.ndarray, y: float) -> np.ndarray:
    """Vertical places of dots, so that equal values stand side by side."""
    places = np.empty(len(values))
    for value in np.unique(values):
        same = np.flatnonzero(values == value)
        places[same] = y + 0.075 * (np.arange(len(same)) - (len(same) - 1) / 2)
    return np.clip(places, y - 0.42, y + 0.42)


def _finish(axes: Axes, label: str) -> None:
    axes.set_yticks([])
    axes.set_xlabel(label, fontsize=8, color=INK)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
