"""What detection does: boxes on images, precision against recall, and what is wrong with what is
detected.

Objects are (k, 5): class number, from 0, and y0, x0, y1, x1 in pixels of the image; detections
(k, 6) have their score, 0..1, after the class number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from cnnlab.detections import KINDS, MISSED, RECALLS
from cnnlab.look import sizes
from cnnlab.look.contours import (
    CASING,
    DASHES,
    INSET,
    WIDE,
    casing,
    colour_of,
    draw_masks,
    entries,
    legend,
    legend_height,
)
from cnnlab.look.figure import (
    GREY,
    INK,
    MARGIN,
    RULE,
    SMALL,
    TITLE,
    WIDTH,
    Grid,
    Picture,
    blank,
    box,
    fit,
    house_style,
    plural,
    wrapped,
    write,
    write_lines,
)
from cnnlab.look.masks import _alt, _title

TOP = 82  # pixels, of title and note
COLUMNS, LARGEST, GAP = 3, 272, 18  # images of a row; pixels of one at most, and between two
MOST = 12  # images
LETTER, WORDS = 8.0, 18  # pixels: of a small letter (about), of a line of words
TINY, HIGH = 5.5, 13  # of a label: points, pixels
VARIANTS = 6
BAR, LANE, LABELS = 15, 14, 190  # pixels: of a bar, between groups of them, left of them


def boxes_figure(
    title: str,
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, str]],
    classes: Sequence[str],
    least: float | None,
) -> Picture:
    """Images with their true boxes (solid) and those that are detected (dashed, with class and
    score).

    The first `MOST` images are drawn. A label for which there is no room is left out.

    Args:
        title: Heading.
        rows: At least one: image, uint8 (height, width, channels); its objects; its detections; and
            what is written below.
        classes: Their names.
        least: The lowest score that is drawn; None: true boxes alone are shown.

    Raises:
        ValueError: if there is no image, or a box is of no class.
    """
    if not rows:
        raise ValueError(f"{title}: no image to show")
    for _, objects, detected, _ in rows:
        numbers = np.concatenate([objects[:, 0], detected[:, 0]])
        if ((numbers < 0) | (numbers >= len(classes)) | (numbers % 1 != 0)).any():
            raise ValueError(
                f"{title}: boxes of classes {np.unique(numbers).tolist()}; allowed are 0 to"
                f" {len(classes) - 1}"
            )
    lowest = np.inf if least is None else least
    drawn = [(image, o, d[d[:, 1] >= lowest], caption) for image, o, d, caption in rows[:MOST]]
    every = [(1 + b[:, 0]).astype(int) for _, *both, _ in drawn for b in both]
    names = entries(every, ("", *classes))
    grids = [fit(1, image.shape[:2], (LARGEST, LARGEST), 0, LARGEST) for image, *_ in drawn]
    step = max(grid.width for grid in grids) + GAP
    across = max(1, min((WIDTH - 2 * MARGIN + GAP) // step, COLUMNS if step > 200 else 6))
    lines = [wrapped(caption, int((step - GAP) / LETTER), 3) for *_, caption in drawn]
    groups = [range(i, min(i + across, len(drawn))) for i in range(0, len(drawn), across)]
    tall = [
        max(grids[i].height for i in g) + WORDS * max(len(lines[i]) for i in g) + 30 for g in groups
    ]
    note = "boxes of the objects"
    if least is not None:
        note = f"solid: true; dashed: detected, with the score (from {least:g} on)"
    if len(rows) > len(drawn):
        note += f"; {len(drawn)} of {plural(len(rows), 'image')}"
    with house_style():
        figure = blank(TOP + sum(tall) + legend_height(names, False) + MARGIN)
        _title(figure, title, note)
        top = TOP
        for group, high in zip(groups, tall, strict=True):
            for column, i in enumerate(group):
                left, (image, objects, detected, _) = MARGIN + column * step, drawn[i]
                _draw(figure, left, top, image, grids[i], objects, detected, classes)
                down = top + grids[i].height + 7
                style = {"size": SMALL, "color": GREY, "room": step - GAP + 8}
                write_lines(figure, left, down, lines[i], WORDS, **style)
            top += high
        legend(figure, top, names, False)
    words = [f"{caption}: {plural(len(o), 'object')}" for _, o, _, caption in drawn]
    if least is None:
        return Picture(figure, _alt(f"{title}: boxes of the objects", words))
    words = [f"{said}, {len(d)} detected" for said, (_, _, d, _) in zip(words, drawn, strict=True)]
    return Picture(figure, _alt(f"{title}: true boxes and detected ones", words))


def _draw(
    figure: Figure,
    left: float,
    top: float,
    image: np.ndarray,
    grid: Grid,
    objects: np.ndarray,
    detected: np.ndarray,
    classes: Sequence[str],
) -> None:
    axes = draw_masks(figure, left, top, image, grid, [], np.zeros(image.shape[:2], bool))
    scale = np.array([grid.height, grid.width] * 2) / [*image.shape[:2], *image.shape[:2]]
    for number, *corners in objects.tolist():
        _outline(axes, np.array(corners) * scale, colour_of(int(number) + 1), grid, False)
    taken: list[tuple[float, float, float]] = []  # left, width and middle of labels
    for number, score, *corners in detected[np.argsort(-detected[:, 1], kind="stable")].tolist():
        colour, place = colour_of(int(number) + 1), np.array(corners) * scale
        _outline(axes, place, colour, grid, True)
        text = f"{classes[int(number)]} {score:.2f}"
        wide = len(text) * 0.8 * LETTER
        for x, y in _places(place, wide, grid):
            if all(x + wide < a or a + b < x or abs(y - other) > HIGH for a, b, other in taken):
                taken.append((x, wide, y))
                style = {"facecolor": colour, "edgecolor": "none", "pad": 0.6}
                axes.text(
                    x + 2,
                    y,
                    text,
                    fontsize=TINY,
                    color=casing(colour),
                    va="center_baseline",
                    bbox=style,
                )
                break


def _places(corners: np.ndarray, wide: float, grid: Grid) -> Iterator[tuple[float, float]]:
    """Where a label may stand, left and middle in pixels of the tile: above the box, below it, in
    it; whole on the image."""
    y0, x0, y1, _ = corners
    x = min(max(x0, 0), grid.width - wide)
    for y in (y0 - HIGH / 2 - 2, y1 + HIGH / 2 + 3, y0 + HIGH / 2 + 3, y1 - HIGH / 2 - 3):
        if x >= 0 and HIGH / 2 <= y <= grid.height - HIGH / 2:
            yield x, y


def _outline(axes: Axes, corners: np.ndarray, colour: str, grid: Grid, dashed: bool) -> None:
    """A box on an image; a dashed one a little outside, so that two that are the same are seen."""
    out = INSET if dashed else -INSET
    y0, x0 = np.maximum(corners[:2] - out, 1.5)
    y1, x1 = np.minimum(corners[2:] + out, [grid.height - 1.5, grid.width - 1.5])
    path = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    for wide, tone, style in ((CASING, casing(colour), "-"), (WIDE, colour, DASHES)):
        lines = LineCollection(
            [path],
            colors=tone,
            linewidths=wide,
            linestyles=[style if dashed else "-"],
            capstyle="butt",
            joinstyle="miter",
        )
        lines.set_gid("dashed" if dashed else "solid")
        axes.add_collection(lines, autolim=False)


def precision_recall_figure(
    title: str, curves: Mapping[str, np.ndarray], overlap: float
) -> Picture:
    """Precision against recall of each variant.

    Args:
        title: Heading.
        curves: Variant -> precision at `RECALLS`, (101,), as `mean_precisions` gives it; 1 to
            `VARIANTS`.
        overlap: The IoU from which a detection is a hit.

    Raises:
        ValueError: if there is no curve, there are too many, or one has another shape.
    """
    if not 1 <= len(curves) <= VARIANTS:
        raise ValueError(f"{title}: {len(curves)} variants; allowed are 1 to {VARIANTS}")
    if wrong := [name for name, curve in curves.items() if np.shape(curve) != RECALLS.shape]:
        raise ValueError(f"{title}: curves of {wrong}; allowed is a precision at each of RECALLS")
    named = {name: f"{name}: {100 * np.mean(curve):.1f}" for name, curve in curves.items()}
    top = 86 + sizes.legend_height(list(curves))
    with house_style():
        figure = blank(top + sizes.HIGH + 62)
        note = f"means over classes, at an IoU of {overlap:g}; numbers: mean average precision (%)"
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        sizes.legend(figure, list(named.values()))
        write(figure, MARGIN, top - 32, note, SMALL, color=GREY)
        axes = sizes.axes_of(figure, top, WIDTH - 2 * MARGIN - sizes.LEFT)
        axes.set(xlim=(0, 100), ylim=(0, 102))
        for i, curve in enumerate(curves.values()):
            axes.plot(100 * RECALLS, 100 * np.asarray(curve), color=sizes.COLOURS[i], linewidth=1.4)
        ticks = np.arange(0, 101, 20)
        axes.set_xticks(ticks, list(map(str, ticks)))
        axes.set_yticks(ticks, list(map(str, ticks)))
        axes.set_xlabel("recall (%)", fontsize=8, color=INK)
        axes.set_ylabel("precision (%)", fontsize=8, color=INK)
    what = f"{title}: precision and recall at an IoU of {overlap:g}; mean average precision, %"
    return Picture(figure, _alt(what, list(named.values())))


def errors_figure(title: str, counts: Mapping[str, Mapping[str, int]], least: float) -> Picture:
    """What is wrong with what each variant detects: bars by kind, and objects that are missed.

    Args:
        title: Heading.
        counts: Variant -> how many there are of each kind, as `cnnlab.detections.errors` gives
            them; 1 to `VARIANTS`.
        least: The lowest score of detections that are counted.

    Raises:
        ValueError: if there is no variant, there are too many, or a kind is missing.
    """
    if not 1 <= len(counts) <= VARIANTS:
        raise ValueError(f"{title}: {len(counts)} variants; allowed are 1 to {VARIANTS}")
    rows = {
        "localisation": "box is off",
        "class": "class is wrong",
        "class and localisation": "both are wrong",
        "duplicate": "found twice",
        "background": "nothing is there",
        MISSED: "object is missed",
    }
    if wrong := [name for name, of in counts.items() if {*of} != {*rows}]:
        raise ValueError(f"{title}: counts of {wrong}; allowed are {', '.join(rows)}")
    most = max(1, max(value for of in counts.values() for value in of.values()))
    top = 86 + sizes.legend_height(list(counts))
    lane = BAR * len(counts) + LANE
    left, right = MARGIN + LABELS, WIDTH - MARGIN - 60
    with house_style():
        figure = blank(top + lane * len(rows) + MARGIN)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        sizes.legend(figure, list(counts))
        note = f"detections with a score from {least:g} on that are no hit at an IoU of 0.5"
        write(figure, MARGIN, top - 32, note, SMALL, color=GREY)
        axes = box(figure, left, top, right - left, lane * len(rows))
        axes.set(xlim=(0, most), ylim=(lane * len(rows), 0))
        for i, (kind, called) in enumerate(rows.items()):
            middle = top + (i + 0.5) * lane
            style = {"size": SMALL, "va": "center"}
            write(figure, left - 12, middle, called, room=LABELS - 12, ha="right", **style)
            if i:
                axes.axhline(i * lane, color=RULE, linewidth=0.5, zorder=0)
            for k, of in enumerate(counts.values()):
                y = i * lane + LANE / 2 + BAR * (k + 0.5)
                axes.barh(y, of[kind], BAR - 4, color=sizes.COLOURS[k], linewidth=0)
                at = left + (right - left) * of[kind] / most + 6
                write(figure, at, top + y, str(of[kind]), 6, va="center", color=INK)
    words = [
        f"{name}: {', '.join(f'{rows[k]} {of[k]}' for k in (*KINDS, MISSED))}"
        for name, of in counts.items()
    ]
    return Picture(figure, _alt(f"{title}, by kind", words))
