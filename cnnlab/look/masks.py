"""What segmentation does: masks as contours on images, IoU by class, and where a network looks for
a region.

Masks, classes and `VOID` are those of `cnnlab.look.contours`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from cnnlab.look.capture import forward
from cnnlab.look.contours import (
    Lines,
    checked,
    colour_of,
    draw_masks,
    entries,
    legend,
    legend_height,
    outline,
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
    Scale,
    blank,
    box,
    colour_bar,
    fit,
    house_style,
    number,
    plural,
    wrapped,
    write,
    write_lines,
)
from cnnlab.look.gradcam import COLOURS as HEAT
from cnnlab.look.gradcam import blend
from cnnlab.look.sizes import COLOURS, MARKS
from cnnlab.metric import plain
from cnnlab.overlap import VOID

if TYPE_CHECKING:
    import keras

LETTERS = 200  # of an alt text, as it is read aloud
TOP = 82  # pixels, of title and note
GAP, LARGEST = 10, 280  # pixels: between images, and of one at most
COLUMNS = 6  # images of a row, the true contours among them
EXTREMES, TARGETS = 4, 6  # images of a row
MOST_TARGETS = 24  # images of a sheet
WORDS, LETTER = 18, 8.0  # pixels: of a line of words below an image, of a small letter (about)
HEAD = 34  # pixels, of a group's heading

MOST = 24  # classes
VARIANTS, PANELS = 6, 3  # of a panel, and panels
STEP, LANE = 9, 22  # pixels: from one variant to the next, of a class at least
LABELS = 150  # pixels, left of the axes
AXIS = 52  # pixels, below them
RARE = 0.01  # a share of pixels that asks for a logarithmic axis


def masks_figure(
    title: str,
    rows: Sequence[tuple[np.ndarray, np.ndarray, Mapping[str, np.ndarray], str]],
    classes: Sequence[str],
) -> Picture:
    """Images with their true contours, and beside them those that each variant predicts.

    Of many variants an image has several lines.

    Args:
        title: Heading.
        rows: At least one: image, uint8 (height, width, channels); true mask, uint8 (height,
            width); variant -> predicted mask, the same variants in each row; and what is written
            below, as the name of the image and its scores.
        classes: Their names, the background first.

    Raises:
        ValueError: if there is no row, rows have different variants, or a mask does not fit its
            image or the classes.
    """
    if not rows:
        raise ValueError(f"{title}: no image to show")
    names = list(rows[0][2])
    for image, truth, predicted, _ in rows:
        if list(predicted) != names:
            raise ValueError(f"{title}: rows have variants {names} and {list(predicted)}")
        checked(image, [truth, *predicted.values()], classes)
    groups = _rows(names, COLUMNS - 1) or [()]
    columns = 1 + len(groups[0])
    grids = [_grid(image, columns) for image, *_ in rows]
    step = max(grid.width for grid in grids) + GAP
    heads = [_heading(["true", *group], step) for group in groups]
    captions = [_below(caption, WIDTH - 2 * MARGIN) for *_, caption in rows]
    lines = len(groups)
    every = [mask for _, truth, predicted, _ in rows for mask in (truth, *predicted.values())]
    hatched = any((truth == VOID).any() for _, truth, *_ in rows)
    names_of = entries(every, classes)
    # The headings stand once, or, where images have several lines, above each line.
    above = [WORDS * max(map(len, head)) + 4 for head in heads]
    first = above[0] if lines == 1 else 0
    heights = [
        lines * grid.height + (lines - 1) * GAP + (0 if lines == 1 else sum(above))
        for grid in grids
    ]
    high = sum(heights) + sum(WORDS * len(caption) + 26 for caption in captions)
    with house_style():
        figure = blank(TOP + first + high + legend_height(names_of, hatched) + MARGIN)
        _title(figure, title, "contours of the classes; left: true, then as each variant predicts")
        top = TOP + first
        if lines == 1:
            _write_heads(figure, top, heads[0], step, 0)
        for (image, truth, predicted, _), grid, caption in zip(rows, grids, captions, strict=True):
            void = truth == VOID
            for k, group in enumerate(groups):
                if lines > 1:
                    top += above[k]
                    _write_heads(figure, top, heads[k], step, min(k, 1))
                masks = [truth] if k == 0 else []
                masks += [predicted[name] for name in group]
                for i, mask in enumerate(masks, start=min(k, 1)):
                    left = MARGIN + i * step
                    draw_masks(figure, left, top, image, grid, [Lines(mask, False)], void)
                top += grid.height + (GAP if k < lines - 1 else 0)
            write_lines(figure, MARGIN, top + 7, caption, WORDS, size=SMALL, color=GREY)
            top += WORDS * len(caption) + 26
        legend(figure, top, names_of, hatched)
    images = plural(len(rows), "image")
    what = f"{title}: {images}, true contours and those by {plural(len(names), 'variant')}"
    return Picture(figure, _alt(what, [caption for *_, caption in rows]))


def extremes_figure(
    title: str,
    best: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, str]],
    worst: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, str]],
    classes: Sequence[str],
) -> Picture:
    """A variant's best and worst images, with true (solid) and predicted (dashed) contours.

    Args:
        title: Heading.
        best: Image, uint8 (height, width, channels); true and predicted mask, uint8 (height,
            width); and what is written below, as its IoU.
        worst: The same.
        classes: Their names, the background first.

    Raises:
        ValueError: if there is no image, or a mask does not fit its image or the classes.
    """
    every = [*best, *worst]
    if not every:
        raise ValueError(f"{title}: no image to show")
    for image, truth, predicted, _ in every:
        checked(image, [truth, predicted], classes)
    grids = [_grid(image, EXTREMES) for image, *_ in every]
    step = max(grid.width for grid in grids) + 2 * GAP
    hatched = any((truth == VOID).any() for _, truth, *_ in every)
    names_of = entries([mask for _, *both, _ in every for mask in both], classes)
    groups = {"best": best, "worst": worst}
    rows = {name: _rows(group, EXTREMES) for name, group in groups.items()}

    def high(row) -> int:
        words = max(len(_below(caption, step - 2 * GAP)) for *_, caption in row)
        return _tallest(row, EXTREMES) + WORDS * words + 26

    height = sum(HEAD + sum(map(high, of_group)) for of_group in rows.values() if of_group)
    with house_style():
        figure = blank(TOP + height + legend_height(names_of, hatched) + MARGIN)
        _title(figure, title, "solid: true contours; dashed: predicted")
        top = TOP
        for name, of_group in rows.items():
            if of_group:
                write(figure, MARGIN, top, name, weight="bold")
                top += HEAD
            for row in of_group:
                for i, (image, truth, predicted, caption) in enumerate(row):
                    left, grid = MARGIN + i * step, _grid(image, EXTREMES)
                    both = [Lines(truth, False), Lines(predicted, True)]
                    draw_masks(figure, left, top, image, grid, both, truth == VOID)
                    down, words = top + grid.height + 7, _below(caption, step - 2 * GAP)
                    room = {"room": step - GAP, "color": GREY}
                    write_lines(figure, left, down, words, WORDS, size=SMALL, **room)
                top += high(row)
        legend(figure, top, names_of, hatched)
    words = [
        f"{name}: {', '.join(caption for *_, caption in g)}" for name, g in groups.items() if g
    ]
    return Picture(figure, _alt(f"{title}: true and predicted contours", words))


def targets_figure(
    title: str, images: Sequence[np.ndarray], masks: Sequence[np.ndarray], classes: Sequence[str]
) -> Picture:
    """A contact sheet: images, and below each the same with its mask in colours.

    The first `MOST_TARGETS` are drawn.

    Args:
        title: Heading.
        images: uint8 (height, width, channels), or floats within 0..1; at least one.
        masks: uint8 (height, width), of each image.
        classes: Their names, the background first.

    Raises:
        ValueError: if there is no image, their numbers differ, or a mask does not fit its image or
            the classes.
    """
    if not len(images):
        raise ValueError(f"{title}: no image to show")
    if len(images) != len(masks):
        raise ValueError(f"{title}: {len(images)} images, but {len(masks)} masks")
    every = list(zip(images, masks, strict=True))
    for image, mask in every:
        checked(image, [mask], classes)
    drawn = every[:MOST_TARGETS]
    columns = min(TARGETS, len(drawn))
    rows = _rows(drawn, columns)
    step = max(_grid(image, TARGETS).width for image, _ in drawn) + GAP
    hatched = any((mask == VOID).any() for _, mask in drawn)
    names_of = entries([mask for _, mask in drawn], classes)
    high = [2 * _tallest(row, TARGETS) + 4 + 2 * GAP for row in rows]
    note = "above: the image; below: with its mask"
    if len(every) > len(drawn):
        note += f"; {len(drawn)} of {len(every)} images"
    with house_style():
        figure = blank(TOP + sum(high) + legend_height(names_of, hatched) + MARGIN)
        _title(figure, title, note)
        top = TOP
        for row, tall in zip(rows, high, strict=True):
            for i, (image, mask) in enumerate(row):
                left, grid = MARGIN + i * step, _grid(image, TARGETS)
                lower = top + _tallest(row, TARGETS) + 4
                nothing = np.zeros(mask.shape, bool)
                draw_masks(figure, left, lower - 4 - grid.height, image, grid, [], nothing)
                lines = [Lines(mask, False)]
                draw_masks(figure, left, lower, image, grid, lines, mask == VOID, tint=mask)
            top += tall
        legend(figure, top, names_of, hatched)
    counts = np.sum([np.bincount(m.ravel(), minlength=VOID + 1) for _, m in drawn], axis=0)
    evaluated = counts[: len(classes)].sum() or 1
    shares = [
        f"{name} {100 * c / evaluated:.1f} %" for name, c in zip(classes, counts, strict=False)
    ]
    what = f"{title}: {plural(len(drawn), 'image')} with masks; share of evaluated pixels"
    return Picture(figure, _alt(what, shares))


def class_iou_figure(
    title: str, rows: Sequence[Mapping], classes: Sequence[str], called: str = "IoU"
) -> Picture:
    """The IoU of each class, or what else is `called` so: a dot and an interval for each variant.

    Variants stand in panels of up to `VARIANTS`; of more than `PANELS` panels the first are drawn.
    Of more than `MOST` classes those are drawn in which variants differ most (of one variant: those
    with the lowest IoU), in their order.

    Args:
        title: Heading.
        rows: At least one: class (its name), name (the variant's), iou, low, high: shares, 0..1;
            iou is NaN where there is none, low and high where there is no interval.
        classes: All names, in their order.

    Raises:
        ValueError: if there is no row, or one is of another class.
    """
    if not rows:
        raise ValueError(f"{title}: no IoU to show")
    if unknown := sorted({row["class"] for row in rows} - set(classes)):
        raise ValueError(f"{title}: rows of {unknown}; the classes are {list(classes)}")
    variants = list(dict.fromkeys(row["name"] for row in rows))
    of_panels = VARIANTS * PANELS
    drawn_variants = variants[:of_panels]
    by_class = {name: [row for row in rows if row["class"] == name] for name in classes}
    named = [name for name in classes if by_class[name]]
    drawn = _telling(by_class, named)
    notes = [f"{called} (%) of each class on held-out images; line: interval"]
    if len(drawn) < len(named):
        why = "in which variants differ most" if len(variants) > 1 else f"with the lowest {called}"
        notes.append(f"{len(drawn)} of {len(named)} classes: those {why}")
    if len(variants) > of_panels:
        notes.append(f"the first {of_panels} of {len(variants)} variants")
    count = -(-len(drawn_variants) // VARIANTS)
    panels = _rows(drawn_variants, -(-len(drawn_variants) // count))
    labels = min(LABELS, max(60, int(LETTER * (1 + max(map(len, drawn)))) + 12))
    texts = [wrapped(name, int((labels - 12) / LETTER), 3) for name in drawn]
    lanes = max(LANE, STEP * len(panels[0]) + 10, 14 * max(map(len, texts)) + 6)
    wide = (WIDTH - 2 * MARGIN - labels) // len(panels)
    # Names of variants: in one line beside each other, or in each panel below each other.
    across = 3 if len(panels) == 1 else 1
    top = 44 + 24 * len(notes) + 20 * -(-len(panels[0]) // across) + 18
    ends = _ends(rows)
    with house_style():
        figure = blank(top + lanes * len(drawn) + AXIS)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        write_lines(figure, MARGIN, 44, notes, 24, size=SMALL, color=GREY)
        for i, lines in enumerate(texts):
            style = {"ha": "right", "va": "center", "room": labels - 12}
            down = top + (i + 0.5) * lanes - 7 * (len(lines) - 1)
            write_lines(figure, MARGIN + labels - 12, down, lines, 14, size=SMALL, **style)
        for p, panel in enumerate(panels):
            left = MARGIN + labels + p * wide
            _variants(figure, left, 44 + 24 * len(notes), panel, wide, across)
            axes = _open_axes(figure, left, top, wide - GAP * 2, lanes * len(drawn))
            axes.set(xlim=ends, ylim=(lanes * len(drawn), 0))
            for i, name in enumerate(drawn):
                if i:
                    axes.axhline(i * lanes, color=RULE, linewidth=0.5, zorder=0)
                for row in by_class[name]:
                    if row["name"] in panel and np.isfinite(row["iou"]):
                        k = panel.index(row["name"])
                        y = (i + 0.5) * lanes + STEP * (k - (len(panel) - 1) / 2)
                        _dot(axes, row, y, k)
            steps = MaxNLocator(10 // len(panels) + 1, steps=[1, 2, 5, 10]).tick_values(*ends)
            ticks = [value for value in steps.tolist() if ends[0] <= value <= ends[1]]
            axes.set_xticks(ticks, [number(round(value, 9)) for value in ticks])
            axes.set_xlabel(f"{called} (%)", fontsize=SMALL, color=INK)
    finite = [row for row in rows if np.isfinite(row["iou"])]
    parts = []
    if finite:
        low, high = (f(finite, key=lambda row: row["iou"]) for f in (min, max))
        parts = [f"lowest {_said(low)}", f"highest {_said(high)}"]
    what = f"{title}: {called} of {len(named)} classes by {plural(len(variants), 'variant')}, %"
    return Picture(figure, _alt(what, parts))


def pixels_figure(title: str, counts: Mapping[str, float]) -> Picture:
    """The share of pixels that each class covers, as dots, on a logarithmic axis where one is rare.

    Of more than `MOST` classes the rarest and the most frequent are drawn, half each, in their
    order.

    Args:
        title: Heading.
        counts: Class -> its share of the evaluated pixels, 0..1; at least one class.

    Raises:
        ValueError: if there is no class, or a share is not within 0..1.
    """
    if not counts:
        raise ValueError(f"{title}: no class to show")
    if wrong := {name: share for name, share in counts.items() if not 0 <= share <= 1}:
        raise ValueError(f"{title}: shares of pixels {wrong}; allowed are 0 to 1")
    order = sorted(counts, key=lambda name: counts[name])
    half = MOST // 2
    chosen = order if len(order) <= MOST else [*order[:half], *order[-half:]]
    drawn = [name for name in counts if name in chosen]
    positive = [counts[name] for name in drawn if counts[name] > 0]
    logarithmic = min(positive, default=1) < RARE
    note = "share of evaluated pixels" + "; logarithmic axis" * logarithmic
    if len(drawn) < len(counts):
        note += f"; {len(drawn)} of {len(counts)} classes: the rarest and the most frequent"
    labels = min(LABELS + 60, max(60, int(LETTER * (1 + max(map(len, drawn)))) + 12))
    left, right = MARGIN + labels, WIDTH - MARGIN - 76
    with house_style():
        figure = blank(TOP + LANE * len(drawn) + AXIS)
        _title(figure, title, note)
        axes = _open_axes(figure, left, TOP, right - left, LANE * len(drawn))
        ticks = np.arange(0, 101, 20.0)
        if logarithmic:
            first = int(np.floor(np.log10(100 * min(positive) * 0.999)))
            ticks = 10.0 ** np.arange(first, 3, max(1, (2 - first) // 7))
            axes.set_xscale("log")
        axes.set(xlim=(min(ticks), 100), ylim=(len(drawn), 0))
        axes.set_xticks(ticks, list(map(number, ticks)))
        for i, name in enumerate(drawn):
            y, share = TOP + (i + 0.5) * LANE, counts[name]
            style = {"size": SMALL, "va": "center"}
            write(figure, left - 12, y, name, room=labels - 12, ha="right", **style)
            if i:
                axes.axhline(i, color=RULE, linewidth=0.5, zorder=0)
            if share:
                at = {"ms": 5.5, "mfc": INK, "mec": INK, "clip_on": False}
                axes.plot([100 * share], [i + 0.5], "o", **at)
            written = f"{_percent(share)} %" if share else "none"
            colour = INK if share else GREY
            write(figure, WIDTH - MARGIN, y, written, room=72, ha="right", color=colour, **style)
        axes.set_xlabel("share of pixels (%)", fontsize=SMALL, color=INK)
    each = [f"{name} {_percent(counts[name])} %" for name in reversed(order)]
    return Picture(figure, _alt(f"{title}: share of pixels, largest first", each))


def region_cam(
    network: keras.Model,
    layer: str,
    image: np.ndarray,
    region_mask: np.ndarray,
    class_number: int,
) -> np.ndarray:
    """What in an image speaks for a class in a region of it (SEG-GRAD-CAM).

    Grad-CAM (Selvaraju et al. 2017) of the mean logit of the class over the region's pixels
    (Vinogradova et al. 2020): the maps of a layer are each weighed by the mean gradient of that
    logit with respect to them, and what is positive in their sum is kept.

    Args:
        network: A built, flat model from (n, height, width, channels) to logits (n, height, width,
            classes).
        layer: Whose maps, see `feature_maps`; one before the logits, as the last of the encoder.
        image: (height, width, channels), as the network takes it.
        region_mask: Bool (height, width), at least one pixel.
        class_number: The class.

    Returns:
        Float32 (height, width), at least 0: the map, bilinearly enlarged to the image.

    Raises:
        ValueError: if the region is empty or not of the image, the logits are of another shape,
            there is no such class, the network has no maps of the layer, or its logits do not
            depend on it.
    """
    import tensorflow as tf

    region = np.asarray(region_mask, bool)
    if region.shape != image.shape[:2] or not region.any():
        raise ValueError(
            f"a region of {region.sum()} pixels of shape {region.shape}; expected at least one, "
            f"of an image of shape {image.shape}"
        )
    inputs = tf.convert_to_tensor(np.asarray(image, np.float32)[None])
    with tf.GradientTape() as tape:
        tape.watch(inputs)  # so that layers which are frozen are recorded too
        maps, logits = forward(network, inputs, [layer])
        if len(logits.shape) != 4 or tuple(logits.shape[1:3]) != region.shape:
            raise ValueError(
                f"{network.name} gives out logits of shape {tuple(logits.shape)}; expected "
                f"(1, {region.shape[0]}, {region.shape[1]}, classes)"
            )
        if not 0 <= class_number < logits.shape[3]:
            raise ValueError(f"class {class_number}; {network.name} has {logits.shape[3]}")
        of_region = tf.boolean_mask(tf.cast(logits[0, ..., class_number], "float32"), region)
        score = tf.reduce_mean(of_region)
    gradient = tape.gradient(score, maps[layer])
    if gradient is None:
        raise ValueError(f"Grad-CAM: the output of {network.name} does not depend on {layer}")
    values, slopes = (np.asarray(tf.cast(t[0], "float32")) for t in (maps[layer], gradient))
    heat = np.maximum((slopes.mean((0, 1)) * values).sum(2), 0).astype(np.float32)
    height, width = region.shape
    large = Image.fromarray(heat).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(large, np.float32)


def region_figure(
    title: str,
    layer: str,
    rows: Sequence[tuple[np.ndarray, np.ndarray, int, np.ndarray, str]],
    classes: Sequence[str],
) -> Picture:
    """Images with a region's contour, and below each what speaks for a class in that region.

    Every map is scaled by its maximum: it says where, not how strongly.

    Args:
        title: Heading.
        layer: Whose maps the heat is taken from.
        rows: At least one: image, (height, width, channels); region, bool (height, width); number
            of the class in question; heat (height, width), at least 0 (`region_cam`); and what is
            written below, "" for nothing.
        classes: Their names, the background first.

    Raises:
        ValueError: if there is no row, or a region is not of its image.
    """
    if not rows:
        raise ValueError(f"{title}: no region to look at")
    for image, region, *_ in rows:
        if region.shape != image.shape[:2]:
            raise ValueError(f"a region has shape {region.shape}; its image has {image.shape}")
    columns = TARGETS - 1  # room for the colour bar
    lines = _rows(rows, columns)
    grids = [_grid(image, TARGETS) for image, *_ in rows]
    step = max(grid.width for grid in grids) + 2 * GAP

    def words(row) -> list[str]:
        return [classes[row[2]], *_below(row[4], step - GAP)]

    def high(line) -> int:
        return 2 * _tallest(line, TARGETS) + 6 + WORDS * max(len(words(row)) for row in line) + 26

    head = f"{title}: what speaks for a region's class, by Grad-CAM at {layer}"
    with house_style():
        figure = blank(TOP + sum(map(high, lines)) + 6)
        note = "line: the region; heat: brighter speaks more for its class, each on its own scale"
        _title(figure, head, note)
        top = TOP
        for line in lines:
            tall = _tallest(line, TARGETS)
            for i, row in enumerate(line):
                image, region, class_number, heat, _ = row
                left, grid = MARGIN + i * step, _grid(image, TARGETS)
                nothing = np.zeros(region.shape, bool)
                colour = colour_of(class_number) if class_number else "white"
                upper = draw_masks(figure, left, top, image, grid, [], nothing)
                outline(upper, region, grid, colour)
                lower = box(figure, left, top + tall + 6, grid.width, grid.height)
                style = {"aspect": "auto", "extent": (0, grid.width, grid.height, 0)}
                lower.imshow(blend(image, heat, grid), interpolation="nearest", **style)
                outline(lower, region, grid, "white")
                down = top + 2 * tall + 13
                for k, text in enumerate(words(row)):
                    room, tone = step - GAP, GREY if k else INK
                    write(figure, left, down + k * WORDS, text, SMALL, room, color=tone)
            top += high(line)
        scale, high_bar = Scale(Normalize(0, 1), HEAT), 2 * _tallest(lines[0], TARGETS) - 34
        left = MARGIN + min(len(rows), columns) * step + 8
        colour_bar(figure, left, TOP + 34, max(60, min(160, high_bar)), scale, "of its max")
    each = [f"{classes[row[2]]} {row[4]}".strip() for row in rows]
    return Picture(figure, _alt(head, each))


def _title(figure: Figure, title: str, note: str) -> None:
    write(figure, MARGIN, 14, title, TITLE, weight="bold")
    write(figure, MARGIN, 46, note, SMALL, color=GREY)


def _rows(items: Sequence, size: int) -> list[Sequence]:
    """The items in groups of `size`, the last one of what is left."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def _grid(image: np.ndarray, columns: int) -> Grid:
    """How large an image is drawn where a row has so many."""
    tile = min(LARGEST, (WIDTH - 2 * MARGIN) // columns - GAP)
    return fit(1, image.shape[:2], (1.5 * tile, tile), 0, tile, columns=1)


def _tallest(rows: Iterable[Sequence], columns: int) -> int:
    return max(_grid(image, columns).height for image, *_ in rows)


def _below(caption: str, room: float) -> list[str]:
    """A caption in lines."""
    return [line for line in wrapped(caption, int(room / LETTER), 3) if line]


def _heading(names: Sequence[str], step: int) -> list[list[str]]:
    """The lines of each column's heading."""
    return [wrapped(name, int((step - GAP) / LETTER), 3) for name in names]


def _write_heads(figure: Figure, top: float, heads: list[list[str]], step: int, skip: int) -> None:
    """Headings that end above `top`; `skip`: whether the first column is left empty."""
    for i, lines in enumerate(heads):
        if i >= skip:
            down, room = top - 4 - WORDS * len(lines), step - GAP // 2
            at = MARGIN + i * step
            write_lines(figure, at, down, lines, WORDS, size=SMALL, room=room, weight="bold")


def _telling(by_class: Mapping[str, Sequence[Mapping]], named: Sequence[str]) -> list[str]:
    """The classes to draw, in their order."""

    def size(name: str) -> float:
        values = [row["iou"] for row in by_class[name] if np.isfinite(row["iou"])]
        if not values:
            return -2.0
        return max(values) - min(values) if len(by_class[name]) > 1 else -values[0]

    chosen = set(sorted(named, key=size, reverse=True)[:MOST])
    return [name for name in named if name in chosen]


def _ends(rows: Sequence[Mapping]) -> tuple[float, float]:
    """Where the axis begins and ends, in %; within what is possible, and a little room."""
    values = np.array([[row[key] for key in ("iou", "low", "high")] for row in rows], float)
    values = np.clip(values[np.isfinite(values)], 0, 1) * 100
    low, high = (values.min(), values.max()) if values.size else (0.0, 100.0)
    edge = 0.04 * (high - low) or 1.0
    return low - edge, high + edge


def _open_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    axes = box(figure, left, top, width, height)
    axes.set_axis_on()
    axes.set_yticks([])
    axes.tick_params(length=2)
    for side in ("left", "right", "top"):
        axes.spines[side].set_visible(False)
    return axes


def _variants(
    figure: Figure, left: float, top: float, names: Sequence[str], wide: float, across: int
) -> None:
    """The variants' names with their marks, above a panel."""
    room = wide / across
    for k, name in enumerate(names):
        line, column = divmod(k, across)
        at = left + column * room
        axes = box(figure, at, top + line * 20, 14, 16)
        axes.set(xlim=(0, 1), ylim=(0, 1))
        axes.plot([0.5], [0.5], MARKS[k], ms=5, color=COLOURS[k])
        write(figure, at + 20, top + line * 20, name, SMALL, room - 30, color=COLOURS[k])


def _dot(axes: Axes, row: Mapping, y: float, k: int) -> None:
    """The IoU of a class and its interval."""
    ends = np.clip([row["low"], row["high"]], 0, 1) * 100
    if np.isfinite(ends).all():
        axes.plot(ends, [y, y], color=COLOURS[k], linewidth=1.4, solid_capstyle="butt")
    axes.plot([100 * row["iou"]], [y], MARKS[k], ms=4.5, color=COLOURS[k])


def _said(row: Mapping) -> str:
    """An IoU in words."""
    iou, low, high = (plain(100 * row[key], 1) for key in ("iou", "low", "high"))
    interval = f" [{low}, {high}]" if np.isfinite([row["low"], row["high"]]).all() else ""
    return f"{row['class']} by {row['name']} {iou}{interval}"


def _percent(share: float) -> str:
    """A share in %: one digit after the point, small ones two significant digits."""
    value = 100 * share
    return f"{value:.1f}" if value >= 1 or not value else f"{value:.2g}"


def _alt(what: str, parts: Sequence[str]) -> str:
    """What is shown and as many parts as `LETTERS` hold, the first ones, whole."""
    kept = what
    for i, part in enumerate(parts):
        longer = f"{kept}{'; ' if i else ': '}{part}"
        if len(longer) > LETTERS - 4:
            return f"{kept}; …" if i else kept
        kept = longer
    return f"{kept}."
