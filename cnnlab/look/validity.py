"""The figure of validity: how often true effects are rejected, and how often they are found."""

from __future__ import annotations

from collections.abc import Mapping

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

METHODS = {  # colour and name
    "crossed": ("#0969da", "crossed (used here)"),
    "corrected t": ("#bc4c00", "corrected t"),
    "plain t": ("#6e7781", "plain paired t"),
    "McNemar": ("#8250df", "McNemar"),
}
MARKERS = {"main": "o", "alone": "^", "removed": "s", "together": "D"}  # of kinds of effect
ROW = 46  # pixels
LABELS = 270  # pixels
POWER = 300  # pixels
FRESH = "d"  # the set of recorded studies that nothing was chosen on


def missed(table: pd.DataFrame, by: str) -> pd.DataFrame:
    """Rejections of the true effect over all effects of a group: one row a group, number of repeats
    and method, with `mean`, its standard error `se`, and `worst`.

    `table`: recorded.csv by "set", or simulated.csv of one metric by "setting"."""
    keys = [by, "repeats", "method"]
    whole, single = table[table["kind"] == "all"], table[table["kind"] != "all"]
    rows = whole.set_index(keys)[["missed", "missed_se", "studies"]]
    rows = rows.rename(columns={"missed": "mean", "missed_se": "se"})
    return rows.join(single.groupby(keys)["missed"].max().rename("worst")).reset_index()


def simulated_missed(table: pd.DataFrame) -> pd.DataFrame:
    """The same of simulated.csv of one metric, over settings without an effect and over those with
    one; `repeats` is 1 or, for all that are more, "more"."""
    single = table[table["kind"] != "all"]
    group = single["effect"].eq(0).map({True: "no effect", False: "true effects"})
    repeats = single["repeats"].eq(1).map({True: "1", False: "more"})
    keys = [group.rename("setting"), repeats, "method"]
    return single.groupby(keys)["missed"].agg(mean="mean", worst="max").reset_index()


def _groups(tables: Mapping[str, pd.DataFrame]) -> list[tuple[str, pd.DataFrame]]:
    """Label and rows, one a method, of each line of the upper panel."""
    groups = []
    if "recorded" in tables:
        images = tables["recorded"].groupby("set")["images"].first()
        rows = missed(tables["recorded"], "set")
        rows = rows[~rows["set"].str.contains(",")]  # other families of the same studies
        for (name, repeats), of_group in rows.groupby(["set", "repeats"]):
            fresh = ", fresh" if name == FRESH else ""
            groups.append((f"CNN {name}{fresh}: {images[name]} images × {repeats}", of_group))
    accuracy = tables["simulated"][tables["simulated"]["metric"] == "accuracy"]
    for (name, repeats), of_group in simulated_missed(accuracy).groupby(["setting", "repeats"]):
        count = "1" if repeats == "1" else "3 or 10"
        groups.append((f"simulated, {name} × {count}", of_group))
    return groups


def validity_figure(title: str, tables: Mapping[str, pd.DataFrame], alpha: float) -> Picture:
    """Above: the share of studies that reject the true effect, mean and worst over effects, against
    `alpha`. Below: the share of studies in which an effect is significant, by its true size.

    `tables`: recorded, where there is one, and simulated, as in reports/validity."""
    groups, panels = _groups(tables), _power(tables)
    height, top = ROW * len(groups), 132
    with house_style():
        figure = blank(top + height + 130 + POWER + 64)
        write(figure, MARGIN, 14, title, TITLE, weight="bold")
        for i, (colour, name) in enumerate(METHODS.values()):
            write(figure, MARGIN + i * 214, 52, f"●  {name}", color=colour)
        rejected = "Studies that reject the true effect (%): ● mean over effects, | worst effect"
        write(figure, MARGIN, 92, f"{rejected}. Rows: images × repeats", SMALL, color=GREY)
        axes = box(figure, LABELS, top, WIDTH - LABELS - MARGIN, height)
        axes.set_axis_on()
        axes.axvline(alpha * 100, color=GREY, linewidth=0.8, zorder=0)
        for i, (label, rows) in enumerate(groups):
            write(
                figure, LABELS - 14, top + (i + 0.5) * ROW, label, SMALL, LABELS - 24,
                ha="right", va="center",
            )  # fmt: skip
            axes.axhline(i * ROW, color=RULE, linewidth=0.5, zorder=0)
            for row in rows.to_dict("records"):
                colour, _ = METHODS[row["method"]]
                y = (i + 0.5) * ROW + 10 * (list(METHODS).index(row["method"]) - 1.5)
                ends = [row["mean"] * 100, row["worst"] * 100]
                axes.plot(ends, [y, y], color=colour, linewidth=1.0)
                axes.plot(ends[:1], [y], "o", ms=4.5, color=colour)
                axes.plot(ends[1:], [y], "|", ms=5, color=colour)
        axes.set_ylim(height, 0)
        axes.set_xlim(left=-0.4)
        _ticks_inside(axes)
        axes.set_yticks([])
        for side in ("left", "right", "top"):
            axes.spines[side].set_visible(False)
        below = top + height + 130
        significant = "Studies in which an effect is significant (%)"
        markers = "; CNN: ● main effect, ▲ alone, ■ removed, ◆ all together"
        recorded = len(panels) > 1
        write(
            figure, MARGIN, below - 48, significant + markers * recorded, SMALL, color=GREY
        )  # fmt: skip
        wide = (WIDTH - 80 - MARGIN - 70 * (len(panels) - 1)) / len(panels)
        for i, (label, rows) in enumerate(panels.items()):
            power = box(figure, 80 + i * (wide + 70), below, wide, POWER)
            power.set_axis_on()
            _draw_power(power, rows)
            power.set_xlabel(f"true effect (points), {label}", fontsize=BODY)
    return Picture(figure, _alt(title, groups, panels))


def _draw_power(axes, rows: pd.DataFrame) -> None:
    """One lower panel: a curve a method where all effects are of one kind, else dots."""
    one = rows["kind"].nunique() == 1
    kinds = dict(list(rows.groupby(["method", "kind"])))
    for method, kind in sorted(kinds, key=lambda key: list(METHODS).index(key[0]), reverse=True):
        if method == "McNemar":
            continue
        of_each = kinds[method, kind]
        colour, _ = METHODS[method]
        of_each = of_each.sort_values("size")
        x, y = of_each["size"] * 100, of_each["clear"] * 100
        axes.plot(x, y, "-" * one + ("o" if one else MARKERS[kind]), ms=4, color=colour, lw=0.9)
    axes.set_ylim(-3, 103)
    axes.set_xlim(left=0)
    _ticks_inside(axes)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)


def _ticks_inside(axes) -> None:
    low, high = axes.get_xlim()
    axes.set_xticks([tick for tick in axes.get_xticks() if low <= tick <= high])


def _power(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """What the lower panels show: label -> rows of true effects, with their size."""
    simulated = tables["simulated"]
    simulated = simulated[
        (simulated["metric"] == "accuracy") & ~simulated["setting"].str.contains(",")
    ]
    panels = {"simulated × 3": simulated}
    if "recorded" in tables and FRESH in set(tables["recorded"]["set"]):
        recorded = tables["recorded"][tables["recorded"]["set"] == FRESH]
        panels = {f"CNN {FRESH}, fresh × 3": recorded, **panels}
    for label, rows in panels.items():
        rows = rows[(rows["kind"] != "all") & (rows["effect"] != 0) & (rows["repeats"] == 3)]
        panels[label] = rows.assign(size=rows["effect"].abs())
    return panels


def _alt(title: str, groups, panels: Mapping[str, pd.DataFrame]) -> str:
    shown = {label: rows for label, rows in groups if "fresh" in label or "true" in label}
    rejected = [
        f"{label}: "
        + ", ".join(
            f"{row['method']} {row['mean'] * 100:.1f} (worst {row['worst'] * 100:.1f})"
            for row in rows.to_dict("records")
        )
        for label, rows in shown.items()
    ]
    powers = []
    for label, rows in panels.items():
        half = rows.groupby("method")["clear"].mean()
        of_each = ", ".join(f"{method} {share * 100:.0f}" for method, share in half.items())
        powers.append(f"{label}: {of_each}")
    return (
        f"{title} Studies that reject the true effect, in %: {'; '.join(rejected)}. "
        f"True effects that are significant, in %: {'; '.join(powers)}"
    )
