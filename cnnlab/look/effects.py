"""Figures of scores and effects: every fold's score, effects with their intervals, interactions,
scores against cost, and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from cnnlab.compare import score_interval
from cnnlab.compare.metrics import Metric, ece, reliability
from cnnlab.compare.scores import Grid, pooled
from cnnlab.look.figure import (
    BODY,
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
    symmetric,
    wrapped,
    write,
    write_lines,
)

KINDS = {  # colour and meaning of each kind of contrast
    "alone": ("#0969da", "added to the baseline"),
    "removed": ("#bc4c00", "lost when removed"),
    "together": ("#8250df", "all at once"),
    "start": ("#cf222e", "how training starts"),
    "main": ("#1a7f37", "main effect"),
    "shapley": ("#bf3989", "Shapley value"),
    "ensemble": ("#9a6700", "ensemble"),
    "pair": ("#1f2328", "difference"),
}
ROW = 46  # pixels, of a score
LANE = 24  # pixels, of an effect
LABELS = 190  # pixels, left of the axes
LETTERS = 20  # that have room there
VERDICTS = 176  # pixels, right of them
ROPE = "#eaeef2"


def scores_figure(
    title: str, metric: Metric, scores: Mapping[str, np.ndarray], confidence: float
) -> Picture:
    """Each variant's score in every fold as a dot, with mean and corrected interval.

    `scores`: name -> (repeats, folds), in the metric's own units.
    """
    intervals = {
        name: score_interval(values, confidence, metric.bounds) for name, values in scores.items()
    }
    with house_style():
        height = ROW * len(scores)
        figure = blank(52 + height + 64)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = _axes(figure, 52, height, WIDTH - MARGIN)
        for i, (name, values) in enumerate(scores.items()):
            y = (i + 0.5) * ROW
            _label(figure, 52 + y, name)
            dots = np.ravel(values) * metric.scale
            axes.plot(dots, _spread(dots, y), "o", ms=3.5, mfc="none", mec=GREY, mew=0.6)
            _interval(axes, y, intervals[name], metric.scale, INK)
        _finish(axes, f"{metric.title} ({metric.unit}) on the held-out fold; dots: folds x repeats")
    sign = 1 if metric.higher_is_better else -1
    best = max(intervals, key=lambda name: sign * intervals[name].mean)
    value = f"{intervals[best].mean * metric.scale:.{metric.digits}f} {metric.unit}"
    return Picture(figure, f"{title}: {len(scores)} rows; best mean {best}, {value}")


def effects_figure(title: str, metric: Metric, rows: Sequence[Mapping]) -> Picture:
    """A forest plot: effects with their intervals, a row a technique, one mark for each kind.

    `rows`: the table of effects (`compare.tables`) on one metric; interactions are left to
    `interactions_figure`. Thick: the interval; thin: the bounds that hold for all effects of the
    kind at once. Filled: significant after Holm's correction. The grey band is the region of no
    practical difference, the words at the right the verdict.
    """
    rows = [row for row in rows if row["kind"] in KINDS]
    names = list(dict.fromkeys(row["technique"] for row in rows))
    present = [kind for kind in KINDS if any(row["kind"] == kind for row in rows)]
    lines = -(-len(present) // 3) if len(present) > 1 else 0
    top = 52 + 24 * lines
    height = LANE * len(rows) + 12 * len(names)
    with house_style():
        figure = blank(top + height + 64)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = _axes(figure, top, height, WIDTH - MARGIN - VERDICTS)
        if rows:
            rope = rows[0]["rope"] * metric.scale
            axes.axvspan(-rope, rope, color=ROPE, linewidth=0, zorder=-1)
        axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)
        y = 0.0
        for name in names:
            of_name = sorted(
                (row for row in rows if row["technique"] == name),
                key=lambda row: present.index(row["kind"]),
            )
            _label(figure, top + y + (12 + LANE * len(of_name)) / 2, name)
            for i, row in enumerate(of_name):
                lane = y + 6 + LANE * (i + 0.5)
                colour = KINDS[row["kind"]][0]
                _effect(axes, lane, row, metric.scale, colour)
                verdict = row["verdict"].replace("practical ", "")
                room = VERDICTS - 12
                at = (WIDTH - MARGIN - VERDICTS + 12, top + lane)
                write(figure, *at, verdict, SMALL, room, va="center", color=colour)
            y += 12 + LANE * len(of_name)
            axes.axhline(y, color=RULE, linewidth=0.5, zorder=0)
        for i, kind in enumerate(present if lines else []):
            colour, text = KINDS[kind]
            at = (LABELS + MARGIN + i % 3 * 232, 44 + 24 * (i // 3))
            write(figure, *at, f"●  {text}", color=colour)
        better = "more" if metric.higher_is_better else "less"
        _finish(
            axes,
            f"change in {metric.title} ({metric.step}); {better} is better; filled: significant;"
            " band: no practical difference",
        )
    words = [
        f"{r['technique']} {r['kind']} {_signed(r['effect'], metric)}"
        f" [{_signed(r['low'], metric)}, {_signed(r['high'], metric)}] {r['verdict']}"
        for r in rows
    ]
    return Picture(figure, f"{title}, {metric.step}: " + "; ".join(words))


def interactions_figure(title: str, metric: Metric, rows: Sequence[Mapping]) -> Picture:
    """Effects of techniques and starts on the diagonal, two-way interactions beside it, each with
    its interval.

    `rows`: the table of effects, on one metric. Framed: significant after Holm's correction.
    Aliased interactions stand in the cell of the first of them.
    """
    cells = {}
    for row in rows:
        if row["kind"] in ("main", "start", "interaction"):
            first = row["technique"].replace("−", "+").split(" + ")[0].split(" × ")
            if len(first) <= 2:
                cells[first[0], first[-1]] = row
    names = list(dict.fromkeys(name for pair in cells for name in pair))
    size = min(120, (WIDTH - LABELS - 2 * MARGIN) // len(names))
    largest = max(abs(row["effect"]) for row in cells.values()) * metric.scale
    with house_style():
        side = size * len(names)
        figure = blank(96 + side + 24)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        for i, name in enumerate(names):
            middle = LABELS + MARGIN + (i + 0.5) * size
            write_lines(
                figure, middle, 46, wrapped(name, size // 8, 2), 18, room=size - 4, ha="center"
            )
            _label(figure, 96 + (i + 0.5) * size, name)
        axes = box(figure, LABELS + MARGIN, 96, side, side)
        sheet = np.full((len(names), len(names)), np.nan)
        for (a, b), row in cells.items():
            i, j = sorted((names.index(a), names.index(b)))
            sheet[j, i] = row["effect"] * metric.scale
            strong = abs(sheet[j, i]) > 0.6 * (largest or 1)
            small = f"[{_signed(row['low'], metric)}, {_signed(row['high'], metric)}]"
            style = {"ha": "center", "color": "white" if strong else INK}
            axes.text(i, j - 0.08, _signed(row["effect"], metric), va="bottom", **style)
            axes.text(i, j + 0.08, small, va="top", fontsize=min(SMALL, size / 17), **style)
            if row["clear"]:
                corners = np.array([-0.48, 0.48, 0.48, -0.48, -0.48])
                axes.plot(i + corners, j + np.roll(corners, 1), color=INK, linewidth=1.4)
        scale = symmetric(largest)
        axes.imshow(sheet, norm=scale.norm, cmap=scale.colours, aspect="auto")
    words = [
        f"{r['technique']} {_signed(r['effect'], metric)}"
        f" [{_signed(r['low'], metric)}, {_signed(r['high'], metric)}]"
        + (" significant" if r["clear"] else "")
        for r in cells.values()
    ]
    return Picture(figure, f"{title}, {metric.step}: " + "; ".join(words))


def cost_figure(
    title: str,
    metric: Metric,
    scores: Mapping[str, np.ndarray],
    costs: Mapping[str, float],
) -> Picture:
    """Mean score against the cost of training, each variant named. (How sure the scores are is in
    `scores_figure`.)

    `scores`: name -> (repeats, folds). `costs`: name -> weight-images (weights x training images x
    epochs x members). Filled: nothing cheaper, or as cheap, scores better.
    """
    sign = 1 if metric.higher_is_better else -1
    means = {name: float(np.mean(scores[name])) for name in costs}
    names = sorted(costs, key=lambda name: -sign * means[name])
    front = [
        n
        for n in names
        if not any(
            costs[m] <= costs[n] and sign * (means[m] - means[n]) > 0 for m in names if m != n
        )
    ]
    unit = 10 ** np.floor(np.log10(max(costs.values()) or 1))
    height = max(360, 20 * len(names))
    with house_style():
        figure = blank(52 + height + 64)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = box(figure, 90, 52, WIDTH - 90 - 300, height)
        axes.set_axis_on()
        for name in names:
            x, y = costs[name] / unit, means[name] * metric.scale
            face = INK if name in front else "white"
            axes.plot([x], [y], "o", ms=5, mfc=face, mec=INK, mew=1.0, zorder=3)
        axes.set_xlim(0, 1.08 * max(costs.values()) / unit)
        axes.set_xlabel(
            f"weights × training images × epochs × members ({unit:.0e})".replace("e+", "e"),
            fontsize=BODY,
        )
        axes.set_ylabel(f"{metric.title} ({metric.unit})", fontsize=BODY)
        for side in ("right", "top"):
            axes.spines[side].set_visible(False)
        figure.canvas.draw()  # places are known now
        for i, name in enumerate(names):
            down = 52 + (i + 0.5) * height / len(names)
            value = f"{means[name] * metric.scale:.{metric.digits}f}  {name}"
            write(figure, WIDTH - 250, down, value, SMALL, va="center")
            x, y = axes.transData.transform((costs[name] / unit, means[name] * metric.scale))
            start = (x / figure.bbox.width, y / figure.bbox.height)
            end = ((WIDTH - 256) / figure.bbox.width, 1 - down / figure.bbox.height)
            line = axes.annotate(
                "",
                end,
                start,
                xycoords="figure fraction",
                textcoords="figure fraction",
                arrowprops={"arrowstyle": "-", "color": RULE, "linewidth": 0.6},
                annotation_clip=False,
            )
            line.set_zorder(0)
    words = ", ".join(
        f"{n} {means[n] * metric.scale:.{metric.digits}f} at {costs[n]:.3g}" for n in front
    )
    return Picture(
        figure,
        f"{title}, {metric.unit} and weight-images: best for their cost, of {len(names)}: {words}",
    )


def calibration_figure(title: str, grids: Mapping[str, Grid]) -> Picture:
    """For each variant, the share that is right against the probability that its networks gave it.

    `grids`: name -> answers (`compare.scores`), all folds, repeats and members taken together. On
    the line a probability can be taken at its word; below it networks are too sure.
    """
    columns, side = 4, 160 if len(grids) > 1 else 320
    step = (WIDTH - 2 * MARGIN) // columns
    pitch = side + 88
    errors = {}
    with house_style():
        figure = blank(52 + pitch * -(-len(grids) // columns) + 20)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        for i, (name, grid) in enumerate(grids.items()):
            labels, probabilities = pooled(grid)
            bins = reliability(labels, probabilities)
            errors[name] = ece(labels, probabilities)
            left, top = MARGIN + i % columns * step + 34, 52 + i // columns * pitch
            write(figure, left, top, name, SMALL, step - 40)
            axes = box(figure, left, top + 24, side, side)
            error = f"off by {errors[name] * 100:.1f}"
            axes.text(0.03, 0.97, error, va="top", fontsize=SMALL, color=GREY)
            axes.set_axis_on()
            axes.plot([0, 1], [0, 1], color=RULE, linewidth=0.8, zorder=0)
            axes.plot(bins.confidence, bins.accuracy, "-", color=INK, linewidth=0.8)
            axes.scatter(bins.confidence, bins.accuracy, s=150 * bins.share, color=INK, zorder=3)
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.set_xticks([0, 0.5, 1])
            axes.set_yticks([0, 0.5, 1])
        note = "across: probability of the predicted class; up: share that is right; off by: points"
        write(figure, MARGIN, figure.bbox.height - 26, note, SMALL, color=GREY)
    words = ", ".join(f"{name} {error * 100:.1f}" for name, error in errors.items())
    return Picture(figure, f"{title}; calibration error in points: {words}")


def _axes(figure, top: float, height: float, right: float) -> Axes:
    """Axes between the labels and `right`, whose y are pixels from the top."""
    axes = box(figure, LABELS + MARGIN, top, right - LABELS - MARGIN, height)
    axes.set_axis_on()
    axes.set_ylim(height, 0)
    return axes


def _label(figure, down: float, name: str) -> None:
    """The name of a row, on two lines where it has two parts."""
    style = {"room": LABELS, "ha": "right", "va": "center"}
    lines = _parts(name)
    if len(lines) > 1:
        write_lines(figure, LABELS + 10, down - 8, lines, 17, size=SMALL, **style)
    else:
        write(figure, LABELS + 10, down, name, **style)


def _parts(name: str) -> list[str]:
    """A technique and its start ("augment with freeze"), or the sides of a long difference."""
    first, _, second = name.partition(" with ")
    if second:
        return [first, f"with {second}"]
    first, _, second = name.partition(" - ")
    return [f"{first} −", second] if second and len(name) > LETTERS else [name]


def _interval(axes: Axes, y, interval, scale: float, colour) -> None:
    ends = [interval.low * scale, interval.high * scale]
    axes.plot(ends, [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
    axes.plot([interval.mean * scale], [y], "o", ms=6, mfc=colour, mec=colour, mew=1.3)


def _effect(axes: Axes, y, row: Mapping, scale: float, colour) -> None:
    for ends, width in ((("low_all", "high_all"), 0.7), (("low", "high"), 1.8)):
        values = [row[end] * scale for end in ends]
        axes.plot(values, [y, y], color=colour, linewidth=width, solid_capstyle="butt")
    face = colour if row["clear"] else "white"
    axes.plot([row["effect"] * scale], [y], "o", ms=6, mfc=face, mec=colour, mew=1.3)


def _spread(values: np.ndarray, y: float) -> np.ndarray:
    """Vertical places of dots, so that equal values stand side by side."""
    places = np.empty(len(values))
    for value in np.unique(values):
        same = np.flatnonzero(values == value)
        places[same] = y + 3.5 * (np.arange(len(same)) - (len(same) - 1) / 2)
    return np.clip(places, y - 0.42 * ROW, y + 0.42 * ROW)


def _signed(value: float, metric: Metric) -> str:
    return f"{value * metric.scale:+.{metric.digits}f}".replace("-", "−")


def _finish(axes: Axes, label: str) -> None:
    axes.set_yticks([])
    axes.set_xlabel(label, fontsize=8, color=INK)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
