"""The report: one Markdown page from the files that the other stages wrote."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from PIL import Image

from cnnlab.compare.mechanisms import QUANTITIES
from cnnlab.compare.metrics import METRICS, Metric
from cnnlab.compare.sizes import overtakes

SAME = "no practical difference"  # the verdict
ANSWERS = {  # the kinds of effect that the answer tells, and the question of each
    "alone": "Added to the baseline",
    "main": "On average over the others",
    "removed": "Lost when removed from the full recipe",
    "together": "All at once",
    "start": "How training starts",
    "ensemble": "Averaging the members",
}


def render(**facts: Any) -> str:
    """The report as Markdown. `facts` are what `report.md.j2` names; a missing one raises."""
    return page("report.md.j2", **facts)


def page(template: str, **facts: Any) -> str:
    """A page as Markdown. `facts` are what the template names; a missing one raises."""
    return _template(template).render(**facts)


def blocks(template: str, **facts: Any) -> dict[str, str]:
    """The blocks of a page as Markdown, name -> text, in order; `facts` as for `page`."""
    made = _template(template)
    context = made.new_context(facts)
    return {name: "".join(block(context)) for name, block in made.blocks.items()}


def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; every name in it was checked when params.yaml was read
    )
    environment.filters["md"] = escaped
    return environment.get_template(name)


def included(text: str) -> str:
    """A page as a part of another: its headings one level down."""
    return re.sub(r"(?m)^(#+ )", r"#\1", text).strip()


def escaped(text: str) -> str:
    """Text from outside (a class or file name) made harmless inside a Markdown table or link."""
    for character in "\\`*_[]<>|#":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


def pretrained(data: Mapping[str, Any]) -> str:
    """On what the study's own backbone was trained, in words. `data`: reports/data.json."""
    images, source = data["images"]["pretrain"], data["pretrain_source"]
    origin = f"another source, `{source}`" if source else "this study's source"
    if data["pretrain_task"] == "rotation":
        return (
            f"{images} images of {origin}, without labels: the task is to tell by which of four "
            "rotations an image was turned (Gidaris et al. 2018)"
        )
    classes = data["pretrain_classes"]
    if source:
        return f"{images} images of {origin}, in {len(classes)} classes"
    return f"{images} images of other classes: {', '.join(map(escaped, classes))}"


def alt(path: Path) -> str:
    """What a figure says in words: written into the PNG by `look.save`."""
    with Image.open(path) as image:
        return image.info["Description"]


def picture(path: Path, root: Path) -> str:
    """A Markdown image with its alt text, linked from a page in `root`."""
    return f"![{escaped(alt(path))}]({quote(path.relative_to(root).as_posix())})"


def scores_table(scores: pd.DataFrame, metric: str, confidence: float) -> str:
    """The table of variants in Markdown, best first."""
    m = METRICS[metric]
    ordered = best_first(scores, metric, m)
    lines = [
        f"| | techniques | {m.title} ({m.unit}), mean [{confidence:.0%} CI] | fold sd "
        "| training accuracy (%) | gap (points) | NLL |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in ordered.to_dict("records"):
        lines.append(
            f"| **{row['name']}** | {row['techniques'] or '–'} | {estimate(row, metric, m)} "
            f"| {row[f'{metric}_sd'] * m.scale:.{m.digits}f} | {row['train_accuracy'] * 100:.1f} "
            f"| {row['gap'] * 100:.1f} | {row['nll']:.3f} |"
        )
    return "\n".join(lines)


def sizes_table(sizes: pd.DataFrame, metric: str, confidence: float) -> str:
    """Scores of variants against training images per class in Markdown; see `size_rows`."""
    m = METRICS[metric]
    reference = sizes["variant"].iloc[0]
    lines = [
        f"| images per class | | {m.title} ({m.unit}), mean [{confidence:.0%} CI] "
        f"| less {reference} ({m.step}) [{confidence:.0%} CI] |",
        "|---|---|---|---|",
    ]
    for row in sizes.to_dict("records"):
        less = "–" if row["variant"] == reference else effect(row, m)
        lines.append(
            f"| {row['per_class']} | **{row['variant']}** | {estimate(row, 'mean', m)} | {less} |"
        )
    return "\n".join(lines)


def overtaking(sizes: pd.DataFrame, metric: str) -> list[str]:
    """Where each variant is better than the one it is compared with, in words."""
    lines, sign = [], 1 if METRICS[metric].higher_is_better else -1
    rows = sizes.to_dict("records")
    reference = sizes["variant"].iloc[0]
    for name in [name for name in sizes["variant"].unique() if name != reference]:
        ahead, clearly = overtakes(rows, name, sign)
        if ahead is None:
            lines.append(f"**{name}** does not overtake {reference} at the sizes looked at")
        else:
            sure = f"with an interval above it from {clearly} on" if clearly else "not clearly so"
            lines.append(
                f"**{name}** is ahead of {reference} from {ahead} images per class on, {sure}"
            )
    return lines


def effects_table(effects: pd.DataFrame, metric: str, confidence: float) -> str:
    """The table of effects on one metric in Markdown, largest first."""
    m = METRICS[metric]
    ordered = best_first(effects, "effect", m)
    lines = [
        f"| | change ({m.step}) [{confidence:.0%} CI] | [all at once] | p | p (Holm) "
        "| helps / same / hurts (%) | verdict | repeats to decide |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in ordered.to_dict("records"):
        chances = " / ".join(f"{row[k] * 100:.0f}" for k in ("p_helps", "p_same", "p_hurts"))
        repeats = "no number" if math.isinf(row["repeats"]) else f"{row['repeats']:.0f}"
        lines.append(
            f"| **{row['technique']}** | {effect(row, m)} | {bounds(row, m, '_all')} "
            f"| {row['p']:.3f} | {row['p_holm']:.3f} | {chances} "
            f"| {row['verdict']}{' (all folds agree)' if row['degenerate'] else ''} | {repeats} |"
        )
    return "\n".join(lines)


def metrics_table(effects: pd.DataFrame) -> str:
    """Every effect on every metric in Markdown. · marks what is not significant."""
    metrics = [METRICS[name] for name in effects["metric"].unique()]
    head = [
        f"{m.title} ({m.step}){'' if m.higher_is_better else ', less is better'}" for m in metrics
    ]
    lines = [f"| | {' | '.join(head)} |", "|---" * (len(metrics) + 1) + "|"]
    for (kind, technique), rows in effects.groupby(["kind", "technique"], sort=False):
        cells = [
            f"{signed(row['effect'], m)}{'' if row['clear'] else ' ·'}"
            for row, m in zip(rows.to_dict("records"), metrics, strict=True)
        ]
        lines.append(f"| **{technique}** {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def mechanisms_table(rows: pd.DataFrame, confidence: float) -> str:
    """The table of mechanisms in Markdown."""
    lines = [
        "| technique | claim | measured | without | with "
        f"| change [{confidence:.0%} CI] | holds? |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows.to_dict("records"):
        q = QUANTITIES[row["quantity"]]
        values = [
            f"{row[column] * q.scale:{form}.{q.digits}f}".replace("-", "−")
            for column, form in (("without", ""), ("with", ""), ("change", "+"))
        ]
        low, high = (f"{row[k] * q.scale:+.{q.digits}f}".replace("-", "−") for k in ("low", "high"))
        unit = f" ({q.unit})" if q.unit else ""
        title = q.title.replace("|", "\\|")  # which would end the cell
        lines.append(
            f"| **{row['technique']}** | {row['claim']} | {title}{unit}: {row['way']} "
            f"| {values[0]} | {values[1]} | {values[2]} [{low}, {high}] | **{row['holds']}** |"
        )
    return "\n".join(lines)


def affinity_table(rows: pd.DataFrame) -> str:
    """Accuracy of one network on images as they are and augmented, in Markdown."""
    lines = ["| | as they are (%) | augmented (%) | affinity (points) |", "|---|---|---|---|"]
    for row in rows.to_dict("records"):
        plain, changed = 100 * row["accuracy"], 100 * row["augmented"]
        moved = f"{changed - plain:+.1f}".replace("-", "−")
        lines.append(f"| **{row['technique']}** | {plain:.1f} | {changed:.1f} | {moved} |")
    return "\n".join(lines)


def conditional_table(rows: pd.DataFrame, confidence: float) -> str:
    """The conditional table in Markdown."""
    m = METRICS["accuracy"]
    lines = [f"| | difference in accuracy ({m.step}) [{confidence:.0%}] |", "|---|---|"]
    for row in rows.to_dict("records"):
        words = f"{signed(row['difference'], m)} {bounds(row, m)}"
        lines.append(f"| **{row['technique']}** {row['kind']} | {words} |")
    return "\n".join(lines)


def answer(scores: pd.DataFrame, effects: pd.DataFrame, metric: str, recommended: str) -> str:
    """The findings, a line a question: what helps, what hurts, what makes no practical difference,
    what is not significant; then the best variant, and the recommended one."""
    m = METRICS[metric]

    def named(row: Mapping) -> str:
        return f"**{row['name']}**, {estimate(row, metric, m)} {m.unit}"

    lines = []
    for kind, opening in ANSWERS.items():
        rows = best_first(effects[effects["kind"] == kind], "effect", m).to_dict("records")
        if findings := _findings(rows, m):
            lines.append(f"- {opening}: {'; '.join(findings)}.")
    variants = best_first(scores, metric, m).to_dict("records")
    chosen = next(row for row in variants if row["name"] == recommended)
    if len(variants) > 1:
        lines.append(f"- Best mean: {named(variants[0])}.")
    lines.append(f"- Recommended: {named(chosen)}; the section on it says why.")
    return "On these images, changes in {} ({}):\n\n{}".format(m.title, m.step, "\n".join(lines))


def best_first(rows: pd.DataFrame, column: str, m: Metric) -> pd.DataFrame:
    """Rows ordered by a score or a change of one, the best first."""
    return rows.sort_values(column, ascending=not m.higher_is_better, kind="stable")


def _findings(rows: Sequence[Mapping], m: Metric) -> list[str]:
    """Effects of one kind in words: each significant one, then the others together."""

    def named(row: Mapping) -> str:
        return f"{row['technique']} {effect(row, m)}"

    findings, same, rest = [], [], []
    for row in rows:
        if row["clear"] or row["degenerate"]:
            small = f", {SAME}" if row["verdict"] == SAME else ""
            findings.append(f"**{named(row)}** ({reading(row, m)}{small})")
        else:
            (same if row["verdict"] == SAME else rest).append(row)
    if same:
        findings.append(f"{SAME}: {', '.join(map(named, same))}")
    if rest:
        findings.append(f"{reading(rest[0], m)}: {', '.join(map(named, rest))}")
    return findings


def estimate(row: Mapping, column: str, m: Metric) -> str:
    """A mean with its interval."""
    mean, low, high = (row[column + end] * m.scale for end in ("", "_low", "_high"))
    return f"{mean:.{m.digits}f} [{low:.{m.digits}f}, {high:.{m.digits}f}]"


def effect(row: Mapping, m: Metric) -> str:
    """An effect with its interval, signed."""
    return f"{signed(row['effect'], m)} {bounds(row, m)}"


def bounds(row: Mapping, m: Metric, which: str = "") -> str:
    """An interval, signed; `which` "_all": the one that holds for all effects of the kind."""
    return f"[{signed(row['low' + which], m)}, {signed(row['high' + which], m)}]"


def signed(value: float, m: Metric) -> str:
    """A difference in the metric's step, with its sign and a true minus."""
    return f"{value * m.scale:+.{m.digits}f}".replace("-", "−")


def reading(row: Mapping, m: Metric) -> str:
    """What may be said of an effect after Holm's correction."""
    if row["degenerate"]:
        return "all folds agree exactly"
    if not row["clear"]:
        return f"not significant in {row['n']:.0f} folds"
    return "helps" if (row["effect"] > 0) == m.higher_is_better else "hurts"
