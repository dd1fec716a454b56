"""The figure of validity: false calls of studies without an effect, power of those with one."""

from __future__ import annotations

import pandas as pd

from cnnlab.look.figure import (
    BODY,
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
    write,
)

TESTS = {  # column: colour and name
    "clear": ("#0969da", "corrected t (used here)"),
    "naive": ("#bc4c00", "plain paired t"),
    "mcnemar": ("#8250df", "McNemar"),
}
ROW = 54  # pixels
LABELS = 270  # pixels


def validity_figure(title: str, table: pd.DataFrame, alpha: float) -> Picture:
    """Above: the share of studies without an effect in which a test sees one, with its interval,
    against `alpha`. Below: the share of studies that tell a true effect from zero, by its size.

    `table`: reports/validity/simulated.csv.
    """
    none, some = (table[rows] for rows in (table["effect"] == 0, table["effect"] != 0))
    height = ROW * len(none)
    with house_style():
        figure = blank(96 + height + 76 + 330 + 64)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        for i, (colour, name) in enumerate(TESTS.values()):
            write(figure, LABELS + i * 236, 54, f"●  {name}", color=colour)
        axes = box(figure, LABELS, 96, WIDTH - LABELS - MARGIN, height)
        axes.set_axis_on()
        axes.set_ylim(height, 0)
        axes.axvline(alpha * 100, color=GREY, linewidth=0.8, zorder=0)
        for i, row in enumerate(none.to_dict("records")):
            middle = (i + 0.5) * ROW
            write(
                figure, LABELS - 14, 96 + middle, row["setting"], SMALL, LABELS - 30,
                ha="right", va="center",
            )  # fmt: skip
            axes.axhline(i * ROW, color=RULE, linewidth=0.5, zorder=0)
            for j, (column, (colour, _)) in enumerate(TESTS.items()):
                if pd.notna(row[column]):
                    y = middle + 13 * (j - 1)
                    ends = [row[f"{column}_low"] * 100, row[f"{column}_high"] * 100]
                    axes.plot(ends, [y, y], color=colour, linewidth=1.6, solid_capstyle="butt")
                    axes.plot([row[column] * 100], [y], "o", ms=5, color=colour)
        axes.set_xlim(left=0)
        axes.set_yticks([])
        axes.set_xlabel(
            f"studies without any effect in which one is seen (%); line: {alpha:.0%}", fontsize=BODY
        )
        power = box(figure, 90, 96 + height + 76, WIDTH - 90 - MARGIN, 330)
        power.set_axis_on()
        colour = TESTS["clear"][0]
        ordered = some.sort_values("effect")
        x = ordered["effect"] * 100
        power.fill_between(
            x,
            ordered["clear_low"] * 100,
            ordered["clear_high"] * 100,
            color=colour,
            alpha=0.2,
            lw=0,
        )
        power.plot(x, ordered["clear"] * 100, "o-", ms=5, color=colour, linewidth=1.4)
        power.set_ylim(0, 102)
        power.set_xlim(left=0)
        power.set_xlabel("true effect (points)", fontsize=BODY)
        power.set_ylabel("significant (%)", fontsize=BODY)
        for each in (axes, power):
            for side in ("left", "right", "top") if each is axes else ("right", "top"):
                each.spines[side].set_visible(False)
    worst = none["clear"].max() * 100
    power_of = ", ".join(
        f"{row['clear'] * 100:.0f} % of {row['effect'] * 100:+.1f} points"
        for row in ordered.to_dict("records")
    )
    return Picture(
        figure,
        f"{title} Without an effect the corrected t sees one in at most {worst:.1f} % of studies, "
        f"the plain paired t in up to {none['naive'].max() * 100:.1f} %, McNemar's test in up to "
        f"{none['mcnemar'].max() * 100:.1f} %. Significant: {power_of}",
    )
