"""The loss while the learning rate rises."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.ticker import NullLocator

from cnnlab.look.figure import INK, MARGIN, RULE, TITLE, WIDTH, Picture, blank, house_style, write
from cnnlab.look.sizes import COLOURS, HIGH, LEFT, axes_of


def rates_figure(
    title: str,
    rates: np.ndarray,
    losses: np.ndarray,
    smooth: np.ndarray,
    marks: dict[str, float],
) -> Picture:
    """The loss of each step and its smoothed course against the learning rate, (steps,) each, with
    rates that are marked, name -> rate."""
    with house_style():
        figure = blank(50 + 24 * len(marks) + HIGH + 62)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        axes = axes_of(figure, 50 + 24 * len(marks), WIDTH - 2 * MARGIN - LEFT)
        axes.plot(rates, losses, color=RULE, linewidth=1)
        axes.plot(rates, smooth, color=INK, linewidth=1.6)
        for i, (name, rate) in enumerate(marks.items()):
            write(figure, MARGIN, 46 + 24 * i, f"━  {rate:.2g}: {name}", color=COLOURS[i % 6])
            axes.axvline(rate, color=COLOURS[i % 6], linewidth=1.4)
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        whole = range(math.ceil(math.log10(rates[0]) - 1e-9), math.floor(math.log10(rates[-1])) + 1)
        axes.set_xticks([10.0**power for power in whole], [f"{10.0**power:g}" for power in whole])
        low, high = float(smooth.min()), float(smooth[0])
        room = 0.25 * max(high - low, 0.05)
        axes.set_ylim(min(low, float(losses.min())) - room / 5, high + 3 * room)
        axes.set_xlabel("learning rate", fontsize=8, color=INK)
        axes.set_ylabel("training loss (nats)", fontsize=8, color=INK)
    words = "; ".join(f"{name}: {rate:.2g}" for name, rate in marks.items())
    return Picture(
        figure, f"{title}, from {rates[0]:.2g} to {rates[-1]:.2g} in {len(rates)} steps. {words}"
    )
