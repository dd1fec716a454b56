"""Learning curves: how each variant came to its score, with the spread of its folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

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
    wrapped,
    write,
)
from cnnlab.metric import Metric

HELD_OUT, TRAINING = "#0969da", "#bc4c00"
BAND = 0.18  # opacity
MOST_POINTS = 100  # of a variant, in the table
SETTLED = 0.25  # of the epochs, after which what is drawn must fit into the panels
HIGH, AXIS, BELOW = 130, 58, 44  # pixels: of a panel, for the numbers at its left and below
GAP, APART = 28, 14  # pixels between panels, across and down


@dataclass(frozen=True)
class Curve:
    """One metric of one variant over training."""

    epochs: np.ndarray  # int (points,), rising
    held_out: np.ndarray  # float (trials, points), in the metric's own units
    training: np.ndarray  # float (trials, points), on clean training images


def curves_figure(
    title: str, metric: Metric, curves: Mapping[str, Curve], reference: str | None
) -> Picture:
    """A panel a variant, all on the same axes: means over trials, bands of ±1 standard deviation.

    `reference`: the variant whose held-out mean is drawn pale in each other panel. The axes hold
    all held-out bands after the first quarter of the epochs, and reach on to where a metric is
    perfect; what leaves them before is cut off. Made for 1 to 30 variants.
    """
    fewest_empty = min((4, 3), key=lambda columns: -len(curves) % columns)
    columns = min(fewest_empty if len(curves) <= 9 else 4, len(curves))
    rows = -(-len(curves) // columns)
    wide = (WIDTH - 2 * MARGIN - AXIS + GAP) // max(columns, 2) - GAP
    names = {name: wrapped(name, wide // 11, 2) for name in curves}
    head = 22 * max(map(len, names.values())) + 24
    pitch = head + HIGH + APART
    top = 104
    low, high = _limits(curves, metric)
    last = max(int(curve.epochs[-1]) for curve in curves.values())
    with house_style():
        figure = blank(top + rows * pitch + BELOW)
        write(figure, MARGIN, 14, f"{title}: {metric.title} ({metric.unit})", TITLE, weight="bold")
        _legend(figure, reference)
        for i, (name, curve) in enumerate(curves.items()):
            row, column = divmod(i, columns)
            x, y = MARGIN + AXIS + column * (wide + GAP), top + row * pitch
            for j, line in enumerate(names[name]):
                write(figure, x, y + 22 * j, line, room=wide, weight="bold")
            y += 22 * len(names[name])
            held_out, training = _ends(curve, metric)
            write(figure, x, y, held_out, SMALL, 0.65 * wide, color=HELD_OUT)
            write(figure, x + wide, y, training, SMALL, 0.33 * wide, color=TRAINING, ha="right")
            axes = box(figure, x, top + row * pitch + head, wide, HIGH)
            axes.set_axis_on()
            axes.set(xlim=(0, last), ylim=(low * metric.scale, high * metric.scale))
            if reference in curves and name != reference:
                pale = curves[reference]
                axes.plot(pale.epochs, pale.held_out.mean(0) * metric.scale, color=GREY, lw=0.8)
            for values, colour in ((curve.training, TRAINING), (curve.held_out, HELD_OUT)):
                _draw(axes, curve.epochs, values * metric.scale, colour)
            _finish(axes, first=column == 0, lowest=i + columns >= len(curves))
    words = [f"{name}: {_words(curve, metric)}" for name, curve in curves.items()]
    return Picture(figure, f"{title}, learning curves, {metric.title}. {'. '.join(words)}.")


def curve_table(metric: str, curves: Mapping[str, Curve]) -> list[dict]:
    """The same in numbers, a row a variant and epoch, at most `MOST_POINTS` evenly spaced of each.

    Columns: name, metric, epoch, held_out, held_out_sd, training, training_sd; means and standard
    deviations over trials, in the metric's own units.
    """
    rows = []
    for name, curve in curves.items():
        points = len(curve.epochs)
        picks = np.linspace(0, points - 1, min(points, MOST_POINTS)).round().astype(int)
        columns = {"epoch": curve.epochs}
        for side in ("held_out", "training"):
            values = getattr(curve, side)
            columns |= {side: values.mean(0), f"{side}_sd": _sd(values)}
        rows += [
            {"name": name, "metric": metric, **{k: v[i].item() for k, v in columns.items()}}
            for i in picks
        ]
    return rows


def _draw(axes: Axes, epochs: np.ndarray, values: np.ndarray, colour: str) -> None:
    mean, sd = values.mean(0), _sd(values)
    style = {"color": colour, "lw": 1.2, "marker": "o" if len(epochs) == 1 else "", "ms": 3}
    axes.plot(epochs, mean, **style)
    axes.fill_between(epochs, mean - sd, mean + sd, color=colour, alpha=BAND, linewidth=0)


def _sd(values: np.ndarray) -> np.ndarray:
    return values.std(0, ddof=1) if len(values) > 1 else np.zeros(values.shape[1])


def _limits(curves: Mapping[str, Curve], metric: Metric) -> tuple[float, float]:
    """The axis, in the metric's own units: from the worst that is held out to the best there is."""
    worst = []
    for curve in curves.values():
        settled = curve.epochs >= SETTLED * curve.epochs[-1]
        mean, sd = curve.held_out.mean(0), _sd(curve.held_out)
        worst += list((mean - sd if metric.higher_is_better else mean + sd)[settled])
    best = 1.0 if metric.higher_is_better else 0.0
    far = min(worst) if metric.higher_is_better else max(worst)
    margin = 0.04 * (abs(far - best) or 1.0)
    return (far - margin, best + margin) if metric.higher_is_better else (best, far + margin)


def _legend(figure, reference: str | None) -> None:
    entries = [("held-out fold", HELD_OUT), ("clean training images", TRAINING)]
    entries += [(f"{reference}, held out", GREY)] if reference else []
    x = MARGIN
    for text, colour in entries:
        written = write(figure, x, 44, f"━  {text}", color=colour)
        x += written.get_window_extent().width + 32
    note = (
        "means over folds and repeats, band: ± 1 standard deviation; above each panel, how it ends"
    )
    write(figure, MARGIN, 72, note, SMALL, color=GREY)


def _ends(curve: Curve, metric: Metric) -> tuple[str, str]:
    """The last means, held out with the standard deviation, and in training."""
    held_out, training = (v[:, -1:] * metric.scale for v in (curve.held_out, curve.training))
    d = metric.digits
    return f"{held_out.mean():.{d}f} ± {_sd(held_out)[0]:.{d}f}", f"{training.mean():.{d}f}"


def _words(curve: Curve, metric: Metric) -> str:
    means = curve.held_out.mean(0)
    best = int(means.argmax() if metric.higher_is_better else means.argmin())
    value = f"{means[best] * metric.scale:.{metric.digits}f}"
    held_out, training = _ends(curve, metric)
    epoch = curve.epochs[best]
    return f"ends at {held_out}, in training {training}; best {value} at epoch {epoch}"


def _finish(axes: Axes, first: bool, lowest: bool) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.grid(color=RULE, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.tick_params(labelleft=first, labelbottom=lowest, length=2)
    if lowest:
        axes.set_xlabel("epoch", fontsize=SMALL, color=GREY, labelpad=1)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
