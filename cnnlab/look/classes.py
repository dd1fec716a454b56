"""What techniques do to each class."""

from __future__ import annotations

import itertools
import math
import string
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cnnlab.look.effects import (
    VERDICTS,
    change,
    draw_effect,
    how_to_read,
    in_words,
    interval_called,
    legend,
    limits,
    runs_out,
    scenery,
)
from cnnlab.look.figure import (
    GREY,
    MARGIN,
    RULE,
    SMALL,
    TITLE,
    WIDTH,
    Picture,
    blank,
    box,
    house_style,
    number,
    plural,
    wrapped,
    write,
    write_lines,
)
from cnnlab.metric import Metric

MOST = 24  # classes
COLUMNS = 6  # panels a row
NAMED = 12  # effects in the alt text
LANE, LINE, NOTE = 22, 18, 22  # pixels: of a class, of a line of a heading, of a note
SMALL_LINE, LETTER = 14, 7.8  # pixels: of a line of a long name, of its letters (about)
LEAST, LABELS = 60, 230  # pixels, of the names of classes
COUNTS = 56  # pixels, of their numbers of images
GAP, NARROWEST, WIDEST = 14, 96, 400  # pixels, of a panel
WIDTHS = {"−": 10.5, ".": 4}  # pixels, of what is not as wide as a digit
AXIS = 44  # pixels, below a panel
LETTERS = string.ascii_lowercase  # of the reasons why there is no interval


def classes_figure(title: str, metric: Metric, rows: Sequence[Mapping]) -> Picture:
    """The effect of each technique on each class: a panel a technique, a row a class.

    Of more than `MOST` classes those with the largest effects are drawn, in their order; classes
    without any interval come last among them.

    Args:
        title: Heading.
        metric: What the effects are changes of.
        rows: The table of effects by class, at least one row: technique, class, images (of the
            class), effect, low, high, rope, p_holm, clear, verdict, and why: the reason why there
            is no interval, "" where there is one.
    """
    techniques = list(dict.fromkeys(row["technique"] for row in rows))
    images = {row["class"]: row["images"] for row in rows}
    classes = _largest(rows)
    drawn = [row for row in rows if row["class"] in classes]
    reasons = list(dict.fromkeys(row["why"] for row in drawn if row["why"]))
    ends = limits(drawn, metric)
    arrow = "; arrow: goes on" if runs_out(drawn, metric, ends) else ""
    notes = [how_to_read(metric, rows[0]["rope"]), f"line: {interval_called(metric)}{arrow}"]
    notes += [f"{_letter(reasons, why)}  no interval: {why}" for why in reasons]
    layout = _layout(techniques, classes)
    shown = f"{len(classes)} of {len(images)} classes"
    few = len(classes) == len(images)
    top = 106 if few else 130
    with house_style():
        figure = blank(top + sum(layout.heights) + NOTE * len(notes) + 14)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        write(figure, MARGIN, 44, change(metric), color=GREY)
        if not few:
            text = f"{shown}: those with the largest effects; all in classes.csv"
            write(figure, MARGIN, 68, text, color=GREY)
        legend(figure, top - 30, list(VERDICTS.values()))
        for line, height in zip(layout.lines, layout.heights, strict=True):
            down = top + height - AXIS - layout.lane * len(classes)
            _labels(figure, down, {name: images[name] for name in classes}, layout)
            for i, (technique, heading) in enumerate(line.items()):
                left = layout.start + i * (layout.wide + GAP)
                style = {"size": SMALL, "room": layout.wide, "weight": "bold"}
                write_lines(figure, left, down - 6 - LINE * len(heading), heading, LINE, **style)
                axes = box(figure, left, down, layout.wide, layout.lane * len(classes))
                axes.set_axis_on()
                axes.set(xlim=ends, ylim=(len(classes), 0))
                scenery(axes, rows[0]["rope"] * metric.scale)
                for row in (row for row in drawn if row["technique"] == technique):
                    y = classes.index(row["class"]) + 0.5
                    draw_effect(axes, y, row, metric, ends, size=5)
                    if row["why"]:
                        _mark(axes, row["effect"] * metric.scale, y, _letter(reasons, row["why"]))
                _finish(axes, layout.wide, len(classes))
            top += height
        write_lines(figure, MARGIN, top, notes, NOTE, size=SMALL, color=GREY)
    drawing = f"{plural(len(techniques), 'technique')}; {'' if few else 'drawn '}{shown}"
    return Picture(figure, f"{title}, {metric.step}: {drawing}. {_findings(rows, metric)}.")


class Layout(NamedTuple):
    """Where the panels are."""

    lines: list[dict[str, list[str]]]  # of panels: technique -> lines of its heading
    heights: list[int]  # pixels, of each line of panels
    start: int  # pixels, left of the first panel
    wide: int  # pixels, of a panel
    lane: int  # pixels, of a class


def _layout(techniques: Sequence[str], classes: Sequence[str]) -> Layout:
    """As many panels a line as the names of classes leave room for, the same number in each."""
    names = list(map(_lines, classes))
    longest = max(len(line) for lines in names for line in lines)
    labels = min(LABELS, max(LEAST, int(LETTER * longest) + 4))
    start = MARGIN + labels + COUNTS
    room = WIDTH - MARGIN - start + GAP
    count = -(-len(techniques) // min(COLUMNS, room // (NARROWEST + GAP)))
    columns = -(-len(techniques) // count)
    wide = min(WIDEST, room // columns - GAP)
    lane = max(LANE, SMALL_LINE * max(map(len, names)) + 4)
    lines = [
        {name: wrapped(name, wide // 9, 3) for name in techniques[first : first + columns]}
        for first in range(0, len(techniques), columns)
    ]
    heads = [LINE * max(map(len, line.values())) + 8 for line in lines]
    heights = [head + lane * len(classes) + AXIS for head in heads]
    return Layout(lines, heights, start, wide, lane)


def _largest(rows: Sequence[Mapping]) -> list[str]:
    """The classes to draw, in their order."""
    sizes: dict[str, tuple[bool, float]] = {}
    for row in rows:
        size = (not row["why"], abs(row["effect"]))
        sizes[row["class"]] = max(size, sizes.get(row["class"], size))
    chosen = sorted(sizes, key=lambda name: sizes[name], reverse=True)[:MOST]
    return [name for name in sizes if name in chosen]


def _letter(reasons: Sequence[str], why: str) -> str:
    return LETTERS[reasons.index(why) % len(LETTERS)]


def _lines(name: str) -> list[str]:
    """A class's name, on several lines where it is long."""
    return wrapped(name, int(LABELS / LETTER), 3)


def _labels(figure: Figure, down: int, images: Mapping[str, int], layout: Layout) -> None:
    """Left of the panels: the names of classes, and how many images there are."""
    style = {"ha": "right", "va": "center"}
    write(figure, layout.start - 12, down - 12, "images", 6, COUNTS, color=GREY, **style)
    for i, (name, count) in enumerate(images.items()):
        y = down + (i + 0.5) * layout.lane
        lines = _lines(name)
        room, size = layout.start - COUNTS - MARGIN, SMALL if len(lines) == 1 else 6
        at = (layout.start - COUNTS, y - SMALL_LINE * (len(lines) - 1) / 2)
        write_lines(figure, *at, lines, SMALL_LINE, size=size, room=room, **style)
        write(figure, layout.start - 12, y, str(count), 6, COUNTS - 12, color=GREY, **style)


def _mark(axes: Axes, x: float, y: float, letter: str) -> None:
    """The letter of a reason, beside a point."""
    style = {"xytext": (5, 0), "textcoords": "offset points", "fontsize": 6, "color": GREY}
    axes.annotate(letter, (x, y), va="center", **style)


def _finish(axes: Axes, wide: int, classes: int) -> None:
    """Lines between the classes, and as many ticks as have room."""
    for i in range(1, classes):
        axes.axhline(i, color=RULE, linewidth=0.5, zorder=-2)
    ticks = _ticks(*axes.get_xlim(), wide)
    axes.set_xticks(list(ticks), list(ticks.values()), fontsize=6)
    axes.set_yticks([])
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)


def _ticks(low: float, high: float, wide: int) -> dict[float, str]:
    """Place -> label of ticks, as close as their labels touch neither each other nor those of the
    next panel."""
    scale, size = wide / (high - low), 10.0 ** math.floor(math.log10(high - low))
    for share in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 1, 1.5, 2, 2.5, 3, 4, 5):
        step = share * size
        places = [i * step for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
        labels = {place: number(round(place, 9)) for place in places}
        half = {p: sum(WIDTHS.get(c, 8) for c in text) / 2 + 4 for p, text in labels.items()}
        inside = [p for p in places if min(p - low, high - p) * scale + GAP / 2 >= half[p]]
        if all((b - a) * scale >= half[a] + half[b] for a, b in itertools.pairwise(inside)):
            return {place: labels[place] for place in inside}
    return {}


def _findings(rows: Sequence[Mapping], metric: Metric) -> str:
    """The significant effects, the largest first; without any, the largest of all."""
    order = sorted(rows, key=lambda row: -abs(row["effect"]))
    significant = [row for row in order if row["clear"]]
    named = significant[:NAMED] or [row for row in order if not row["why"]][:1]
    each = [f"{row['technique']} on {row['class']} {in_words(row, metric)}" for row in named]
    if not significant:
        largest = f"; the largest: {each[0]}" if each else ""
        return f"None of {len(rows)} effects is significant{largest}"
    more = f"; and {len(significant) - NAMED} more" if len(significant) > NAMED else ""
    return f"{len(significant)} of {len(rows)} effects significant: {'; '.join(each)}{more}"
