"""Charts of the HTML report that answer to the reader: Vega-Lite, made with Altair.

Each returns a specification as plain data that needs nothing from elsewhere. Colours are the page's
CSS variables, so that a chart follows it from light to dark; every name in it is given, so that the
same facts make the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from cnnlab.compare.metrics import METRICS
from cnnlab.compare.tables import watched
from cnnlab.metric import Metric, percent
from cnnlab.report.words import COMPANY, OPEN, UNDECIDED, UNTOLD, bounds, signed

COLOURS = [f"var(--series{i})" for i in range(1, 9)]  # of `report.html.j2`
INK, GREY, RULE, SHADE = "var(--ink)", "var(--grey)", "var(--rule)", "var(--shade)"

LANE = 32  # pixels, of an effect: as high as a name on two lines
ROOM = 1.25  # times as high where other kinds may be switched on
SEEDS = "placebo (only seeds differ)"
LETTERS = 17  # of a name that has room on one line
PARTS = "/ (?=with )| (?=- )| (?=× )| (?=[(])/"  # where a longer one is broken
HEIGHT = 320  # pixels, of learning curves
HELD_OUT, TRAINING = "held-out fold", "training images"  # what is measured on
SD = " sd"
OF_CHOSEN_METRIC = "datum.metric == metric"
SETTLED = 0.25  # of the epochs, after which what is held out must fit into the chart


def effects_chart(effects: pd.DataFrame, words: Mapping[str, str], confidence: float) -> dict:
    """A forest plot of the table of effects, of the metric and the kinds of effect that are chosen:
    at first those that answer first, a point and an interval a technique.

    `words`: what to call each kind of effect. Thick lines: intervals; thin ones: those that hold
    for all effects of a kind at once; filled: significant; shade: no practical difference.
    """
    groups = _groups(list(dict.fromkeys(effects["kind"])), words)
    rows = [
        _effect_row(row, group)
        for row in effects.to_dict("records")
        for kind, group in groups.items()
        if row["kind"] in (kind, "placebo")
    ]
    rows = [row for i, row in enumerate(rows) if row not in rows[:i]]  # the placebo's, once a group
    titles = list(dict.fromkeys(groups.values()))
    bands = _no_difference(effects)
    metrics = [band["metric"] for band in bands]
    params = [alt.param("metric", value=metrics[0], bind=_choice("metric", metrics))]
    wanted = []
    for i, title in enumerate(titles):
        box = alt.binding_checkbox(name=title)
        params += [alt.param(f"kind{i}", value=i == 0, bind=box)] if len(titles) > 1 else []
        wanted.append(f"(kind{i} && datum.kind == {json.dumps(title)})")
    chosen = " || ".join(wanted) if len(titles) > 1 else "true"
    names = _in_order(effects, groups)
    layers = [*_band_layers(bands), *_interval_layers(rows, chosen, names, titles, confidence)]
    # Not a step a row: Vega-Lite warns of it in the browser, where the width is the page's.
    lanes = len({row["technique"] for row in rows if row["kind"] == titles[0]})
    height = round(LANE * lanes * (ROOM if len(titles) > 1 else 1))
    chart = alt.layer(*layers).add_params(*params).properties(width="container", height=height)
    return _plain(chart, "Effects of the techniques with their intervals, one row a technique")


def how_to_read(confidence: float) -> str:
    """What the marks of the chart of effects mean."""
    return (
        f"Point: the effect. Thick line: its {percent(confidence)} interval; thin line: the one "
        "that holds for all effects of a kind at once. Filled: significant. Shaded: no practical "
        "difference."
    )


def _groups(kinds: Sequence[str], words: Mapping[str, str]) -> dict[str, str]:
    """Kind -> the title that it is chosen by: those that answer first have one."""
    first = watched(kinds) or {kinds[0]}
    title = {kind: words[kind].partition(":")[0] for kind in kinds}
    lead = next(title[kind] for kind in kinds if kind in first)
    others = [kind for kind in kinds if kind not in first and kind != "placebo"]
    return {k: lead for k in kinds if k in first} | {k: title[k] for k in others}


def _in_order(effects: pd.DataFrame, groups: Mapping[str, str]) -> list[str]:
    """The rows of the chart: the best first by what answers first, the placebo last."""
    m = METRICS[effects["metric"].iloc[0]]
    known = effects[effects["metric"] == effects["metric"].iloc[0]]
    rank = {kind: i for i, kind in enumerate(groups)}
    sign = -1 if m.higher_is_better else 1
    rows = sorted(
        known.to_dict("records"),
        key=lambda row: (rank.get(row["kind"], len(rank)), sign * row["effect"]),
    )
    return list(dict.fromkeys(map(_name, rows)))


def _name(row: Mapping[str, Any]) -> str:
    """What a row of the chart is called: what others do to a technique stands beside its other
    effects."""
    return SEEDS if row["kind"] == "placebo" else row["technique"].removesuffix(COMPANY)


def _effect_row(row: Mapping[str, Any], group: str) -> dict[str, Any]:
    """A row of the table of effects as data of the chart: numbers in units of the metric, texts."""
    m = METRICS[row["metric"]]
    numbers = ("effect", "low", "high", "low_all", "high_all")
    verdict = OPEN if row["verdict"] == UNDECIDED else row["verdict"]
    return {
        "metric": _metric_title(m),
        "technique": _name(row),
        "kind": group,
        **{name: round(row[name] * m.scale, 6) for name in numbers},
        "significant": "yes" if row["clear"] else "no",
        "change": f"{signed(row['effect'], m)} {m.step}",
        "interval": bounds(row, m),
        "all": bounds(row, m, "_all"),
        "p": f"{row['p_holm']:.3f}",
        "verdict": f"{UNTOLD}: {row['why']}" if row["why"] else verdict,
    }


def _no_difference(effects: pd.DataFrame) -> list[dict[str, Any]]:
    """For each metric the changes that make no practical difference, and a label for its axis."""
    bands = {}
    for name, rope in zip(effects["metric"], effects["rope"], strict=True):
        m = METRICS[name]
        size, label = rope * m.scale, f"change in {m.title} ({m.step})"
        bands[name] = {"metric": _metric_title(m), "low": -size, "high": size, "label": label}
    return list(bands.values())


def _metric_title(metric: Metric) -> str:
    return metric.title if metric.higher_is_better else f"{metric.title} (less is better)"


def _band_layers(bands: list[dict[str, Any]]) -> list[alt.Chart]:
    """What lies behind the effects: the shade, the label of the axis, and a line at zero."""
    band = alt.Chart(alt.Data(values=bands)).transform_filter(OF_CHOSEN_METRIC)
    return [
        band.mark_rect(color=SHADE, aria=False).encode(x=_x("low"), x2="high:Q"),
        band.mark_text(align="left", dx=0, dy=30, color=GREY, aria=False).encode(
            text="label:N", x=alt.value(0), y=alt.value("height")
        ),
        alt.Chart(alt.Data(values=[{"zero": 0}]))
        .mark_rule(color=GREY, aria=False)
        .encode(x=_x("zero")),
    ]


def _interval_layers(
    rows: list[dict[str, Any]],
    chosen: str,
    names: list[str],
    kinds: list[str],
    confidence: float,
) -> list[alt.Chart]:
    """The effects: thin lines, thick lines, and points. `chosen`: an expression, which kinds."""
    long = f"length(datum.label) > {LETTERS}"
    axis = alt.Axis(
        labelLimit=130,
        labelExpr=f"{long} ? split(replace(datum.label, {PARTS}, '\\n'), '\\n') : datum.label",
        labelOffset=alt.condition(
            f"{long} && test({PARTS}, datum.label)", alt.value(-8), alt.value(0)
        ),
    )
    place = {"y": alt.Y("technique:N", sort=names, title=None, axis=axis)}
    if len(kinds) > 1:
        place["yOffset"] = alt.YOffset("kind:N", sort=kinds)
    place["color"] = alt.Color(
        "kind:N",
        sort=kinds,
        title=None,
        scale=alt.Scale(domain=kinds, range=_cycled(kinds)),
        legend=None,  # controls name the kinds, in these colours
    )
    tooltip = [
        alt.Tooltip("technique:N"),
        alt.Tooltip("kind:N", title="effect"),
        alt.Tooltip("change:N"),
        alt.Tooltip("interval:N", title=f"{percent(confidence)} interval"),
        alt.Tooltip("all:N", title="all at once"),
        alt.Tooltip("p:N", title="p (Holm)"),
        alt.Tooltip("verdict:N"),
    ]
    fill = alt.condition("datum.significant == 'yes'", _same(kinds), alt.value("var(--paper)"))
    effects = alt.Chart(alt.Data(values=rows)).transform_filter(OF_CHOSEN_METRIC)
    effects = effects.transform_filter(chosen)
    return [
        effects.mark_rule(strokeWidth=1, aria=False).encode(
            x=_x("low_all"), x2="high_all:Q", **place
        ),
        effects.mark_rule(strokeWidth=4, aria=False).encode(
            x=_x("low"), x2="high:Q", tooltip=tooltip, **place
        ),
        effects.mark_point(size=70, opacity=1, strokeWidth=2)
        .encode(
            x=_x("effect"),
            fill=fill,
            tooltip=tooltip,
            description=alt.Description("label:N"),
            **place,
        )
        .transform_calculate(
            label="datum.technique + ', ' + datum.kind + ': ' + datum.change + ' '"
            " + datum.interval + ', ' + datum.verdict"
        ),
    ]


def curves_chart(curves: pd.DataFrame, shown: Sequence[str], kind: str) -> dict:
    """Learning curves of the variants (`kind`) that are chosen, `shown` at first.

    `curves`: as `look.curves.curve_table` gives them.
    """
    names = list(dict.fromkeys(curves["name"]))
    rows, titles = [], []
    for row in curves.to_dict("records"):
        m = METRICS[row["metric"]]
        title = f"{m.title} ({m.unit})"
        titles += [title] if title not in titles else []
        sides = {HELD_OUT: "held_out", TRAINING: "training"}
        numbers = {
            on + end: round(row[side + column] * m.scale, m.digits + 2)
            for on, side in sides.items()
            for end, column in (("", ""), (SD, "_sd"))
        }
        known = {"name": row["name"], "epoch": row["epoch"], "metric": titles.index(title)}
        rows.append({**known, "digits": m.digits, **numbers})
    params = [
        alt.param("metric", value=titles[0], bind=_choice("metric", titles)),
        alt.param("training", value=True, bind=alt.binding_checkbox(name="training images too")),
        alt.param("band", value=False, bind=alt.binding_checkbox(name="spread (± 1 sd)")),
    ]
    limits = _limits(curves, titles)
    wanted = []
    for i, name in enumerate(names):
        on = alt.param(f"show{i}", value=name in shown, bind=alt.binding_checkbox(name=name))
        params.append(on)
        wanted.append(f"(show{i} && datum.name == {json.dumps(name)})")
    # Over what is shown, so that its colours are distinct, however many there are.
    colour = alt.Color(
        "name:N",
        sort=names,
        title=None,
        scale=alt.Scale(range=COLOURS),
        legend=alt.Legend(
            orient="top",
            columns=2,
            symbolType="stroke",
            symbolOpacity=1,
            symbolStrokeWidth=4,
            labelLimit=150,
        ),
    )
    base = (
        alt.Chart(alt.Data(values=rows))
        .transform_filter(f"{json.dumps(titles)}[datum.metric] == metric")
        .transform_filter(" || ".join(wanted))
        .transform_fold([HELD_OUT, TRAINING], as_=["on", "mean"])
        .transform_filter(f"training || datum.on == '{HELD_OUT}'")
        .transform_calculate(sd=f"datum[datum.on + '{SD}']")
        .transform_calculate(
            low="datum.mean - datum.sd",
            high="datum.mean + datum.sd",
            values="format(datum.mean, '.' + datum.digits + 'f') + ' ± '"
            " + format(datum.sd, '.' + datum.digits + 'f')",
        )
    )
    last = alt.Scale(domain=[0, int(curves["epoch"].max())], nice=False)
    x = alt.X("epoch:Q", axis=alt.Axis(tickMinStep=1, grid=False), scale=last)
    dash = alt.StrokeDash(
        "on:N",
        sort=[HELD_OUT, TRAINING],
        title=None,
        scale=alt.Scale(domain=[HELD_OUT, TRAINING], range=[[1, 0], [5, 4]]),
        legend=alt.Legend(orient="bottom", symbolStrokeColor=INK, symbolSize=500),
    )
    values = alt.Tooltip("values:N", title="is")
    tooltip = [alt.Tooltip("name:N", title=kind), "on:N", "epoch:Q", values]
    ends = [alt.ExprRef(f"{json.dumps(of)}[metric]") for of in limits]
    scale = alt.Scale(domain=ends, zero=False, nice=False)
    y = alt.Y("mean:Q", title=None, scale=scale)
    series = alt.Detail("on:N")
    layers = [
        base.mark_area(opacity=alt.ExprRef("band ? 0.15 : 0"), clip=True, aria=False).encode(
            x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q", color=colour, detail=series
        ),
        base.mark_line(strokeWidth=2, clip=True).encode(x=x, y=y, color=colour, strokeDash=dash),
        base.mark_point(size=90, opacity=0, clip=True, aria=False).encode(
            x=x, y=y, color=colour, detail=series, tooltip=tooltip
        ),
    ]
    chart = alt.layer(*layers).add_params(*params).properties(width="container", height=HEIGHT)
    return _plain(chart, f"Learning curves: mean over folds and repeats of each {kind} by epoch")


def _limits(curves: pd.DataFrame, titles: Sequence[str]) -> list[dict[str, float]]:
    """The low and the high ends of the axis, by the metrics' titles: from the worst that is held
    out, after the first quarter of the epochs, to where the metric is perfect."""
    limits: list[dict[str, float]] = [{}, {}]
    for title, (name, points) in zip(titles, curves.groupby("metric", sort=False), strict=True):
        m = METRICS[name]
        settled = points[points["epoch"] >= SETTLED * points["epoch"].max()]
        sign, best = (1, 1.0) if m.higher_is_better else (-1, 0.0)
        worst = sign * (sign * settled["held_out"] - settled["held_out_sd"]).min()
        low, high = sorted([worst * m.scale, best * m.scale])
        margin = 0.03 * (high - low or 1)
        for end, value in zip(limits, (low - margin, high + margin), strict=True):
            end[title] = round(value, 6)
    return limits


def _x(column: str) -> alt.X:
    # Labels stand at their ticks: moved into the plot, the first would touch the second.
    axis = alt.Axis(labelOverlap=True, labelFlush=False)
    return alt.X(f"{column}:Q", title=None, axis=axis)


def _choice(name: str, options: Sequence[str]) -> Any:
    return alt.binding_select(name=name, options=list(options))


def _cycled(names: Sequence[str]) -> list[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(len(names))]


def _same(kinds: Sequence[str]) -> alt.Fill:
    return alt.Fill(
        "kind:N",
        sort=list(kinds),
        scale=alt.Scale(domain=list(kinds), range=_cycled(kinds)),
        legend=None,
    )


def _plain(chart: alt.LayerChart, about: str) -> dict:
    """The specification, in the page's style."""
    chart = chart.properties(
        description=about,
        background="transparent",
        autosize=alt.AutoSizeParams(type="fit-x", contains="padding"),
    ).configure(
        font="system-ui, sans-serif",
        axis=alt.AxisConfig(
            labelColor=INK,
            titleColor=INK,
            domainColor=RULE,
            gridColor=RULE,
            tickColor=RULE,
            labelFontSize=13,
            titleFontSize=13,
            titleFontWeight="normal",
        ),
        legend=alt.LegendConfig(labelColor=INK, titleColor=INK, labelFontSize=13),
        text=alt.MarkConfig(fontSize=13),
        view=alt.ViewConfig(stroke=None),
    )
    for i, layer in enumerate(chart.layer):
        layer.name = f"layer{i}"
    chart.name = "chart"
    spec = chart.to_dict()
    assert all(map(math.isfinite, _numbers(spec))), "a chart holds a number that JSON cannot"
    return spec


def _numbers(value: Any) -> list[float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        return [n for item in value for n in _numbers(item)]
    return [value] if isinstance(value, float) else []
