"""Figures of scores and effects: every fold's score, effects with their intervals, interactions,
scores against cost, and calibration."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cnnlab.compare.designs import KINDS
from cnnlab.compare.inference import TOGETHER
from cnnlab.compare.metrics import METRICS, reliability
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
    plural,
    symmetric,
    wrapped,
    write,
    write_lines,
)
from cnnlab.metric import Metric


class Mark(NamedTuple):
    """How a verdict is drawn and called: colour and shape, so that no colour is needed to read."""

    colour: str
    shape: str  # as matplotlib calls it
    letter: str  # the same shape in text
    words: str


VERDICTS = {
    "helps": Mark("#1a7f37", "^", "▲", "helps"),
    "hurts": Mark("#cf222e", "v", "▼", "hurts"),
    "no practical difference": Mark("#0969da", "s", "■", "no practical difference"),
    "undecided": Mark("#9a6700", "o", "●", "too close to call"),
}
UNTOLD = "cannot be told"  # instead of the words, where a row says why
PLACEBO = Mark(GREY, "D", "◆", "placebo (only seeds differ)")

ROW = 46  # pixels, of a score
LANE = 24  # pixels, of an effect
LINE = 17  # pixels from one line of a name to the next
HEADING, TICKS = 32, 38  # pixels, above and below a group of effects
PITCH = 22  # pixels from one note to the next
LETTER = 7.5  # pixels, of a small letter, about
LABELS = 218  # pixels, left of the axes
LETTERS = 24  # that have room there
NUMBERS, VERDICT = 62, 138  # pixels, right of them: of the effect, and of the verdict
ROPE = "#eaeef2"
WIDEST = 1.5  # median widths of an interval that a line may reach to each side of its effect


def scores_figure(
    title: str,
    metric: Metric,
    scores: Mapping[str, np.ndarray],
    means: Mapping[str, tuple[float, float, float]],
) -> Picture:
    """Each variant's score in every fold as a dot, with the mean and its interval.

    Args:
        title: Heading.
        metric: What the scores are.
        scores: Variant -> (repeats, folds), in the metric's own units. Variants may have different
            numbers of repeats; then the figure says them.
        means: Variant -> its mean score, and the ends of the interval of that, in the same units.
            Of a metric that is no mean over images it is not that of the folds.
    """
    repeats = {name: np.shape(values)[0] for name, values in scores.items()}
    uneven = len(set(repeats.values())) > 1
    pitch = max([ROW, *(LINE * len(_parts(name)) + 8 for name in scores)])
    with house_style():
        height = pitch * len(scores)
        figure = blank(52 + height + 64)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = _axes(figure, 52, height, WIDTH - MARGIN - (96 if uneven else 0))
        for i, (name, values) in enumerate(scores.items()):
            y = (i + 0.5) * pitch
            _label(figure, 52 + y, name)
            dots = np.ravel(values) * metric.scale
            axes.plot(dots, _spread(dots, y), "o", ms=3.5, mfc="none", mec=GREY, mew=0.6)
            mean, *ends = np.array(means[name]) * metric.scale
            axes.plot(ends, [y, y], color=INK, linewidth=1.6, solid_capstyle="butt")
            axes.plot([mean], [y], "o", ms=6, mfc=INK, mec=INK, mew=1.3)
            if uneven:
                style = {"ha": "right", "va": "center", "color": GREY, "room": 90}
                text = plural(repeats[name], "repeat")
                write(figure, WIDTH - MARGIN, 52 + y, text, SMALL, **style)
        alike = all(np.isclose(np.mean(scores[name]), means[name][0]) for name in scores)
        what = " on the held-out fold; dots: folds × repeats"
        what = what if alike else "; dots: each fold by itself; mean: all folds at once"
        _finish(axes, f"{metric.title} ({metric.unit}){what}")
    sign = 1 if metric.higher_is_better else -1
    best = max(scores, key=lambda name: sign * means[name][0])
    mean, *ends = means[best]
    value = f"{metric.plain(mean)} {_bounds(ends, metric)} {metric.unit}"
    return Picture(figure, f"{title}: {len(scores)} rows; best mean {best}, {value}")


def effects_figure(
    title: str, metric: Metric, rows: Sequence[Mapping], kinds: Collection[str] = KINDS
) -> Picture | None:
    """A forest plot: effects with their intervals, a group a kind, main effects first; None where
    there are rows but none of `kinds` is drawn.

    `rows`: the table of effects (`compare.tables`) on one metric. Interactions that
    `interactions_figure` draws are left to it. The row of kind "placebo", where there is one, ends
    every group, to show what nothing looks like. A row that has a reason in `why` is drawn without
    an interval, the reason beside its point.
    """
    groups = {kind: of_kind for kind, of_kind in _groups(rows).items() if kind in kinds}
    if rows and not groups:
        return None
    drawn = [row for of_kind in groups.values() for row in of_kind]
    lanes = {kind: [_lane(row) for row in of_kind] for kind, of_kind in groups.items()}
    heights = [HEADING + sum(lanes[kind]) + TICKS for kind in groups]
    ends = limits(drawn, metric)
    notes = _notes(metric, drawn, ends)
    top = 108
    with house_style():
        figure = blank(top + sum(heights) + PITCH * len(notes) + 14)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        write(figure, MARGIN, 44, change(metric), color=GREY)
        legend(figure, 76, list(dict.fromkeys([*VERDICTS.values(), *map(_mark, drawn)])))
        for (kind, of_kind), height in zip(groups.items(), heights, strict=True):
            _group(figure, top, kind, of_kind, lanes[kind], metric, ends)
            top += height
        write_lines(figure, MARGIN, top, notes, PITCH, size=SMALL, color=GREY)
    words = []
    for kind, of_kind in groups.items():
        each = [
            f"{row['technique']} {in_words(row, metric)}" for row in of_kind if row["kind"] == kind
        ]
        words.append(f"{_heading(kind).partition(':')[0]}: {'; '.join(each)}")
    if "placebo" not in groups:
        placebo = [row for row in rows if row["kind"] == "placebo"]
        words += [f"{PLACEBO.words}: {in_words(row, metric)}" for row in placebo]
    return Picture(figure, f"{title}, {metric.step}. {'. '.join(words) or 'no effects'}.")


def interactions_figure(title: str, metric: Metric, rows: Sequence[Mapping]) -> Picture | None:
    """Effects of techniques and starts on the diagonal, two-way interactions beside it, each with
    its interval; None where no row is an interaction of two techniques ("a × b").

    `rows`: the table of effects, on one metric. Framed: significant after Holm's correction.
    Aliased interactions stand in the cell of the first of them.
    """
    cells = _cells(rows)
    if not any(row["kind"] == "interaction" for row in cells.values()):
        return None
    names = list(dict.fromkeys(name for pair in cells for name in pair))
    size = min(120, (WIDTH - LABELS - 2 * MARGIN) // len(names))
    largest = max(abs(row["effect"]) for row in cells.values()) * metric.scale
    reasons = list(dict.fromkeys(row["why"] for row in cells.values() if row["why"]))
    notes = [f"{change(metric)}; framed: significant after Holm's correction"]
    notes += [f"no interval: {'; '.join(reasons)}"] if reasons else []
    with house_style():
        top, side = 102, size * len(names)
        figure = blank(top + side + 20 + PITCH * len(notes))
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        write_lines(figure, MARGIN, top + side + 14, notes, PITCH, size=SMALL, color=GREY)
        for i, name in enumerate(names):
            _label(figure, top + (i + 0.5) * size, name)
            left = LABELS + MARGIN + i * size
            room = WIDTH - left - 8
            lines = wrapped(name, room // 9, 3)  # above its first cell, where no other is
            above = top + i * size - 6 - LINE * len(lines)
            write_lines(figure, left + 2, above, lines, LINE, size=SMALL, room=room)
        axes = box(figure, LABELS + MARGIN, top, side, side)
        sheet = np.full((len(names), len(names)), np.nan)
        for (a, b), row in cells.items():
            i, j = sorted((names.index(a), names.index(b)))
            sheet[j, i] = row["effect"] * metric.scale
            strong = abs(sheet[j, i]) > 0.6 * (largest or 1)
            _cell(axes, i, j, row, metric, size, "white" if strong else INK)
            if row["clear"]:
                corners = np.array([-0.48, 0.48, 0.48, -0.48, -0.48])
                axes.plot(i + corners, j + np.roll(corners, 1), color=INK, linewidth=1.4)
        scale = symmetric(largest)
        axes.imshow(sheet, norm=scale.norm, cmap=scale.colours, aspect="auto")
    words = [f"{row['technique']} {in_words(row, metric)}" for row in cells.values()]
    return Picture(figure, f"{title}, {metric.step}: {'; '.join(words)}")


def cost_figure(
    title: str,
    metric: Metric,
    intervals: Mapping[str, tuple[float, float, float]],
    costs: Mapping[str, float],
) -> Picture:
    """Mean score against the cost of training, each variant named, its interval in numbers.

    Filled: nothing cheaper, or as cheap, scores better.

    Args:
        title: Heading.
        metric: What the scores are.
        intervals: Variant -> (mean, low, high) of its score, in the metric's own units.
        costs: Variant -> weight-images (learning weights x images x epochs x members);
            those in it are drawn.
    """
    sign = 1 if metric.higher_is_better else -1
    means = {name: intervals[name][0] for name in costs}
    names = sorted(costs, key=lambda name: -means[name])
    front = [
        n
        for n in names
        if not any(
            costs[m] <= costs[n] and sign * (means[m] - means[n]) > 0 for m in names if m != n
        )
    ]
    unit = 10 ** np.floor(np.log10(max(costs.values()) or 1))
    lines = {name: wrapped(name, LETTERS, 3) for name in names}
    lanes = [LINE * len(lines[name]) + 3 for name in names]
    height = max(360, sum(lanes))
    spare = (height - sum(lanes)) / len(names)
    number = 8.5 * (metric.digits + 3)  # pixels, of a score
    left = WIDTH - 424
    at = (left + number, left + number + 8, left + 3 * number + 46)  # score, interval, name
    with house_style():
        figure = blank(52 + height + 64)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = box(figure, 90, 52, left - 130, height)
        axes.set_axis_on()
        for name in names:
            x, y = costs[name] / unit, means[name] * metric.scale
            face, level = (INK, 4) if name in front else ("white", 3)
            axes.plot([x], [y], "o", ms=5, mfc=face, mec=INK, mew=1.0, zorder=level)
        axes.set_xlim(0, 1.08 * (max(costs.values()) or 1) / unit)
        parts = "learning weights × images × epochs × members"
        axes.set_xlabel(f"{parts} ({unit:.0e})".replace("e+", "e"), fontsize=BODY)
        axes.set_ylabel(f"{metric.title} ({metric.unit})", fontsize=BODY)
        for side in ("right", "top"):
            axes.spines[side].set_visible(False)
        figure.canvas.draw()  # places are known now
        for i, name in enumerate(names):
            down = 52 + sum(lanes[:i]) + lanes[i] / 2 + (i + 0.5) * spare
            score, interval = metric.plain(means[name]), _bounds(intervals[name][1:], metric)
            write(figure, at[0], down, score, SMALL, va="center", ha="right")
            write(figure, at[1], down, interval, SMALL, at[2] - at[1] - 8, va="center", color=GREY)
            first = down - LINE * (len(lines[name]) - 1) / 2
            write_lines(figure, at[2], first, lines[name], LINE, size=SMALL, va="center")
            x, y = axes.transData.transform((costs[name] / unit, means[name] * metric.scale))
            start = (x / figure.bbox.width, y / figure.bbox.height)
            end = ((left - 6) / figure.bbox.width, 1 - down / figure.bbox.height)
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
        f"{n} {metric.plain(means[n])} {_bounds(intervals[n][1:], metric)} at {costs[n]:.3g}"
        for n in sorted(front, key=lambda n: -sign * means[n])
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
            errors[name] = METRICS["ece"].score(labels, probabilities)
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


def limits(rows: Iterable[Mapping], metric: Metric) -> tuple[float, float]:
    """Where an axis of effects begins and ends, in `metric.step`.

    It holds every effect and the region of no practical difference, and intervals but for the ends
    of those that are far wider than the others.
    """
    rows = list(rows)
    widths = [row["high"] - row["low"] for row in rows if not row["why"]]
    most = WIDEST * float(np.median(widths)) if widths else 0.0
    ends = [0.0]
    for row in rows:
        ends += [row["effect"], -row["rope"], row["rope"]]
        if not row["why"]:
            low, high = _outer(row)
            ends += [max(low, row["effect"] - most), min(high, row["effect"] + most)]
    low, high = min(ends) * metric.scale, max(ends) * metric.scale
    edge = 0.04 * (high - low) or 1.0
    return low - edge, high + edge


def draw_effect(
    axes: Axes,
    y: float,
    row: Mapping,
    metric: Metric,
    ends: tuple[float, float],
    mark: Mark | None = None,
    size: float = 6,
) -> None:
    """One effect: its interval (thick), the bounds for all of its kind (thin) where the row has
    them, and its point, filled where it is significant. A line that leaves `ends` gets an arrow."""
    colour, shape = (mark or VERDICTS[row["verdict"]])[:2]
    if not row["why"]:
        for (low, high), width in ((_outer(row), 0.7), ((row["low"], row["high"]), 1.8)):
            line = np.clip([low * metric.scale, high * metric.scale], *ends)
            axes.plot(line, [y, y], color=colour, linewidth=width, solid_capstyle="butt")
        for beyond, end, arrow in zip(_beyond(row, metric, ends), ends, "<>", strict=True):
            if beyond:
                axes.plot([end], [y], arrow, ms=4, mfc=colour, mec=colour, mew=0, clip_on=False)
    face = colour if row["clear"] else "white"
    axes.plot([row["effect"] * metric.scale], [y], shape, ms=size, mfc=face, mec=colour, mew=1.3)


def legend(figure: Figure, top: float, marks: Sequence[Mark]) -> None:
    """Marks and their words, in one line."""
    left = float(MARGIN)
    for mark in marks:
        text = write(figure, left, top, f"{mark.letter}  {mark.words}", SMALL, color=mark.colour)
        left += text.get_window_extent().width + 22


def change(metric: Metric) -> str:
    """What an axis of effects shows."""
    better = "more" if metric.higher_is_better else "less"
    return f"change in {metric.title} ({metric.step}); {better} is better"


def how_to_read(metric: Metric, rope: float) -> str:
    """What filled marks and the grey band mean."""
    size = f"±{metric.plain(rope)} {metric.step}"
    return (
        f"filled: significant after Holm's correction; grey band: no practical difference ({size})"
    )


def interval_called(metric: Metric) -> str:
    """What to call an interval of this metric."""
    return "approximate interval" if metric.approximate else "interval"


def runs_out(rows: Iterable[Mapping], metric: Metric, ends: tuple[float, float]) -> bool:
    """Whether any interval goes on where the axis ends."""
    return any(any(_beyond(row, metric, ends)) for row in rows if not row["why"])


def in_words(row: Mapping, metric: Metric) -> str:
    """An effect in numbers and its verdict, for alt text."""
    number = metric.signed(row["effect"])
    if row["why"]:
        return f"{number} {UNTOLD} ({row['why']})"
    significant = ", significant" if row["clear"] else ""
    return f"{number} {_interval(row, metric)} {_called(row)}{significant}"


def _groups(rows: Sequence[Mapping]) -> dict[str, list[Mapping]]:
    """Kind -> its rows, then the placebo; a placebo that nothing stands beside is a group."""
    placebo = [row for row in rows if row["kind"] == "placebo"]
    crossed = {row["technique"] for row in _cells(rows).values() if row["kind"] == "interaction"}
    groups = {}
    for kind in KINDS:
        of_kind = [row for row in rows if row["kind"] == kind]
        if kind == "interaction":
            of_kind = [row for row in of_kind if row["technique"] not in crossed]
        if of_kind and kind != "placebo":
            groups[kind] = [*of_kind, *placebo]
    return groups or ({"placebo": placebo} if placebo else {})


def _cells(rows: Sequence[Mapping]) -> dict[tuple[str, str], Mapping]:
    """What `interactions_figure` draws: a technique or start twice -> its effect, two of them ->
    their interaction."""
    single = ("main", "start", "alone", "removed")
    techniques = {row["technique"] for row in rows if row["kind"] in single}
    cells = {}
    for row in rows:
        if row["kind"] in ("main", "start"):
            cells[row["technique"], row["technique"]] = row
        elif row["kind"] == "interaction":
            first = row["technique"].replace("−", "+").split(" + ")[0].split(" × ")
            if len(first) == 2 and techniques.issuperset(first):
                cells[first[0], first[1]] = row
    return cells


def _group(
    figure: Figure,
    top: float,
    kind: str,
    rows: Sequence[Mapping],
    lanes: Sequence[int],
    metric: Metric,
    ends: tuple[float, float],
) -> None:
    """A heading, and a row an effect: name, interval, number and verdict."""
    write(figure, MARGIN, top, _heading(kind), weight="bold")
    right = WIDTH - MARGIN - NUMBERS - VERDICT
    axes = _axes(figure, top + HEADING, sum(lanes), right)
    axes.set_xlim(ends)
    scenery(axes, rows[0]["rope"] * metric.scale)
    y = 0.0
    for row, lane in zip(rows, lanes, strict=True):
        mark = _mark(row)
        middle, down = y + lane / 2, top + HEADING + y + lane / 2
        draw_effect(axes, middle, row, metric, ends, mark)
        if row["why"]:
            _reason(figure, down, row, metric, ends, right)
        _label(figure, down, _name(row), GREY if mark is PLACEBO else INK)
        style = {"va": "center", "color": mark.colour}
        number = metric.signed(row["effect"])
        write(figure, right + NUMBERS, down, number, SMALL, NUMBERS - 6, ha="right", **style)
        verdict = (UNTOLD if row["why"] else _called(row)).replace("practical ", "")
        write(figure, right + NUMBERS + 10, down, verdict, SMALL, VERDICT - 10, **style)
        y += lane
        if row is not rows[-1]:
            axes.axhline(y, color=RULE, linewidth=0.5, zorder=-2)
    _finish(axes, "")


def scenery(axes: Axes, rope: float) -> None:
    """What lies behind effects: the region of no practical difference, and a line at 0."""
    axes.axvspan(-rope, rope, color=ROPE, linewidth=0, zorder=-1)
    axes.axvline(0, color=GREY, linewidth=0.8, zorder=0)


def _reason(
    figure: Figure,
    down: float,
    row: Mapping,
    metric: Metric,
    ends: tuple[float, float],
    right: float,
) -> None:
    """Why there is no interval, beside the point, where there is more room."""
    left = LABELS + MARGIN
    share = (row["effect"] * metric.scale - ends[0]) / (ends[1] - ends[0])
    at = left + share * (right - left)
    style = {"va": "center", "color": GREY}
    if share < 0.5:
        write(figure, at + 12, down, row["why"], 6, right - at - 16, **style)
    else:
        write(figure, at - 12, down, row["why"], 6, at - left - 16, ha="right", **style)


def _notes(metric: Metric, rows: Sequence[Mapping], ends: tuple[float, float]) -> list[str]:
    if not rows:
        return []
    lines = (
        f"thick line: {interval_called(metric)}; thin line: for all effects of the group at once"
    )
    lines += "; arrow: goes on" if runs_out(rows, metric, ends) else ""
    return [how_to_read(metric, rows[0]["rope"]), lines]


def _cell(axes: Axes, i: int, j: int, row: Mapping, metric: Metric, size: int, colour: str) -> None:
    """An effect and, below it, its interval, on two lines where it is too long for one."""
    text, room = "no interval" if row["why"] else _interval(row, metric), size - 10
    options = [([text], SMALL), ([text], 6), (text.split(" "), SMALL), (text.split(" "), 6)]
    fitting = (o for o in options if LETTER * max(map(len, o[0])) * o[1] / 6 <= room)
    lines, small = next(fitting, ([], 6))
    effect = metric.signed(row["effect"])
    large = next((font for font in (BODY, SMALL) if LETTER * len(effect) * font / 6 <= room), 6)
    written = [(effect, large), *((line, small) for line in lines)]
    for k, (line, font) in enumerate(written):
        y = j + (k - (len(written) - 1) / 2) * LINE / size
        axes.text(i, y, line, ha="center", va="center", fontsize=font, color=colour)


def _called(row: Mapping) -> str:
    """The verdict in words."""
    words = VERDICTS[row["verdict"]].words
    return TOGETHER.get(words, words) if row.get("kind") == "interaction" else words


def _mark(row: Mapping) -> Mark:
    return PLACEBO if row["kind"] == "placebo" else VERDICTS[row["verdict"]]


def _heading(kind: str) -> str:
    return KINDS[kind]


def _outer(row: Mapping) -> tuple[float, float]:
    """The bounds for all effects of a kind; where the row has none, its interval."""
    return row.get("low_all", row["low"]), row.get("high_all", row["high"])


def _beyond(row: Mapping, metric: Metric, ends: tuple[float, float]) -> tuple[bool, bool]:
    low, high = (end * metric.scale for end in _outer(row))
    return low < ends[0], high > ends[1]


def _axes(figure: Figure, top: float, height: float, right: float) -> Axes:
    """Axes between the labels and `right`, whose y are pixels from the top."""
    axes = box(figure, LABELS + MARGIN, top, right - LABELS - MARGIN, height)
    axes.set_axis_on()
    axes.set_ylim(height, 0)
    return axes


def _lane(row: Mapping) -> int:
    return LANE + LINE * (len(_parts(_name(row))) - 1)


def _name(row: Mapping) -> str:
    return PLACEBO.words if row["kind"] == "placebo" else row["technique"]


def _label(figure: Figure, down: float, name: str, colour: str = INK) -> None:
    """The name of a row, on several lines where it is long or has parts."""
    lines = _parts(name)
    size = SMALL if len(lines) > 1 or name == PLACEBO.words else BODY
    room, top = LABELS + 10 - MARGIN, down - LINE * (len(lines) - 1) / 2
    style = {"room": room, "ha": "right", "va": "center", "color": colour}
    write_lines(figure, LABELS + 10, top, lines, LINE, size=size, **style)


def _parts(name: str) -> list[str]:
    """A technique and its start ("augment with freeze"), or the parts of a long name."""
    if name == PLACEBO.words:
        return [name]
    parts = [name]
    first, _, second = name.partition(" with ")
    if second:
        parts = [first, f"with {second}"]
    elif len(name) > LETTERS:
        for sign, end, start in ((" - ", " −", ""), (" × ", "", "× ")):
            first, _, second = name.partition(sign)
            if second:
                parts = [first + end, start + second]
                break
    return [line for part in parts for line in wrapped(part, LETTERS, 3)]


def _spread(values: np.ndarray, y: float) -> np.ndarray:
    """Vertical places of dots, so that equal values stand side by side."""
    places = np.empty(len(values))
    for value in np.unique(values):
        same = np.flatnonzero(values == value)
        places[same] = y + 3.5 * (np.arange(len(same)) - (len(same) - 1) / 2)
    return np.clip(places, y - 0.42 * ROW, y + 0.42 * ROW)


def _interval(row: Mapping, metric: Metric) -> str:
    return f"[{metric.signed(row['low'])}, {metric.signed(row['high'])}]"


def _bounds(ends: tuple[float, float], metric: Metric) -> str:
    low, high = np.clip(ends, *metric.bounds)
    return f"[{metric.plain(low)}, {metric.plain(high)}]"


def _finish(axes: Axes, label: str) -> None:
    axes.set_yticks([])
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
    axes.set_xlabel(label, fontsize=8, color=INK)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
