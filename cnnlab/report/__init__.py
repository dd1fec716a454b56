"""The report: one Markdown page from the files that the other stages wrote."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from cnnlab.compare.growth import SIZES_WITH_FLOOR
from cnnlab.compare.mechanisms import QUANTITIES
from cnnlab.compare.metrics import METRICS, task_of
from cnnlab.compare.sizes import overtakes
from cnnlab.compare.tables import watched
from cnnlab.metric import Metric, percent, plain
from cnnlab.metric import signed as signed_of
from cnnlab.report.words import (
    ALONE,
    HELPS,
    HURTS,
    ORDER,
    SAME,
    UNDECIDED,
    Words,
    bounds,
    capital,
    effect,
    estimate,
    headlines,
    measured_on,
    plural,
    rounded,
    shortened,
    signed,
)
from cnnlab.tasks import TASKS

# Columns of names and words, in any of the tables.
TEXT = ["name", "variant", "net", "plus", "minus", "technique", "techniques", "aliases", "kind"]
TEXT += [
    "class",
    "label",
    "mistaken_for",
    "source",
    "predicted",
    "metric",
    "mark",
    "verdict",
    "why",
]
PLACEBO = "**placebo**: only seeds differ"  # how its row is called
ESTIMATES = {"crossed": "crossed estimate", "corrected_t": "corrected resampled t"}
NO_EFFECT = "These variants tell no effect: none differs from another by one technique or start."
VIEWS = {  # beside each other in a row a technique
    "main": "on average over having the others or not",
    "alone": "added to the baseline",
    "removed": "lost when removed from the full recipe",
}
MORE, FEWER = "more training image", "fewer training image"
MOST_LETTERS = 200  # of an alt text, as it is read aloud
MARKS = {UNDECIDED: " ?", SAME: " ≈"}  # in a table of numbers; what helps or hurts is bold


def render(**facts: Any) -> str:
    """The report as Markdown. `facts` are what `report.md.j2` names; a missing one raises."""
    return page("report.md.j2", **facts)


def page(template: str, **facts: Any) -> str:
    """A page as Markdown. `facts` are what the template names; a missing one raises."""
    return environment().get_template(template).render(**facts)


def blocks(template: str, **facts: Any) -> dict[str, str]:
    """The blocks of a page as Markdown, name -> text, in order, with places for what else the HTML
    report has (`put`); `facts` as for `page`."""
    made = environment(places=True).get_template(template)
    context = made.new_context(facts)
    return {name: "".join(block(context)) for name, block in made.blocks.items()}


def fold(text: str, title: str = "", open: bool = False) -> str:
    """A section that can be folded, in Markdown; without a `title` the text begins with its own.
    "" where the text is."""
    text = text.strip()
    if not title and text:
        title, _, text = text.removeprefix("## ").partition("\n")
    begin = f"<details{' open' if open else ''}>\n<summary>\n\n## {title}\n\n</summary>\n\n"
    return f"{begin}{text.strip()}\n\n</details>\n" if text else ""


def put(name: str) -> str:
    """The place where the HTML report has something that Markdown has not."""
    return f"<!-- {name} -->"


def environment(places: bool = False) -> Environment:
    """Where pages are made; `places`: with those of `put`."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown; every name in it was checked when params.yaml was read
    )
    made.filters |= {"md": escaped, "capital": capital, "fold": fold}
    made.filters |= {"put": put if places else lambda _: ""}
    return made


def read_table(file: Any, missing: Sequence[str] = ()) -> pd.DataFrame:
    """A table of reports/, from a path or an open file. Names stay as they are written, such as 01,
    1e3 and nan; `missing`: columns of numbers in which some may be left empty."""
    empty = {column: [""] for column in missing}
    text = dict.fromkeys(TEXT, str)
    return pd.read_csv(file, dtype=text, keep_default_na=False, na_values=empty)


def included(text: str) -> str:
    """A page as a part of another: its headings one level down."""
    return re.sub(r"(?m)^(#+ )", r"#\1", text).strip()


def escaped(text: str) -> str:
    """Text from outside (a class or file name) made harmless inside a Markdown table or link."""
    for character in "\\`*_[]<>|#~$&":
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


def described(path: Path) -> str:
    """All that a figure says in words and numbers: written into the PNG by `look.save`."""
    with Image.open(path) as image:
        return image.info["Description"]


def alt(path: Path) -> str:
    """What a figure shows, in a sentence; its numbers are in tables."""
    return shortened(described(path), MOST_LETTERS)


def picture(path: Path, root: Path) -> str:
    """A Markdown image with its alt text, linked from a page in `root`."""
    return f"![{escaped(alt(path))}]({quote(path.relative_to(root).as_posix())})"


def scores_table(scores: pd.DataFrame, metric: str, confidence: float) -> str:
    """The table of variants in Markdown, best first."""
    m, measured = METRICS[metric], TASKS[task_of(metric)].MEASURED
    score, loss = measured
    ordered = best_first(scores, metric, m)
    uneven = scores["repeats"].nunique() > 1
    lines = [
        f"| | techniques | {m.title} ({m.unit}), mean [{percent(confidence)} CI] | fold sd "
        f"| training {measured[score]} (%) | gap (points) | {measured[loss]} |"
        + " repeats |"
        * uneven,
        "|---|---|---|---|---|---|---|" + "---:|" * uneven,
    ]
    for row in ordered.to_dict("records"):
        lines.append(
            f"| **{row['name']}** | {row['techniques'] or '–'} | {estimate(row, metric, m)} "
            f"| {row[f'{metric}_sd'] * m.scale:.{m.digits}f} | {row[f'train_{score}'] * 100:.1f} "
            f"| {plain(row['gap'] * 100, 1)} | {row[loss]:.3f} |"
            + (f" {row['repeats']} |" if uneven else "")
        )
    return "\n".join(lines)


def sizes_table(sizes: pd.DataFrame, metric: str, confidence: float) -> str:
    """Scores of variants against training images per class in Markdown; see `size_rows`."""
    m = METRICS[metric]
    reference = sizes["variant"].iloc[0]
    lines = [
        f"| images per class | | {m.title} ({m.unit}), mean [{percent(confidence)} CI] "
        f"| less {reference} ({m.step}) [{percent(confidence)} CI] |",
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


def growing(growth: pd.DataFrame, metric: str, confidence: float) -> list[str]:
    """What more training images would bring, a sentence a variant, from the table of growth."""
    m, lines = METRICS[metric], []
    rows = growth.to_dict("records")
    whys = {row["why"] for row in rows}
    if len(whys) == 1 and "" not in whys:  # the same of all
        return [f"What more images would bring cannot be told: {whys.pop()}."]
    no_floor = False
    for row in rows:
        name = f"**{row['variant']}**"
        if row["why"]:
            lines.append(f"{name}: what more images would bring cannot be told: {row['why']}.")
            continue
        worth = ":" if row["minus"] == "" else f" {_worth(row)};"
        gain = {"effect": row["gain"], "low": row["gain_low"], "high": row["gain_high"]}
        few = int(row["sizes"]) < SIZES_WITH_FLOOR
        no_floor |= few
        more = f"{'at most ' * few}{effect(gain, m)} {m.step}"
        lines.append(
            f"{name}{worth} with twice the images ({2 * int(row['images'])}) expect "
            f"{more}, to {estimate(row, 'doubled', m)} {m.unit} as a study of them would measure "
            f"({percent(confidence)} prediction interval)."
        )
    if no_floor:
        lines.append(
            "*At most*: as if with ever more images no error were left. How much would be left, "
            f"fewer than {SIZES_WITH_FLOOR} sizes do not tell, and no interval here holds it; one "
            "more under `sizes.per_class` lets it be estimated."
        )
    return lines


def _worth(row: Mapping) -> str:
    """How many more training images a variant is worth to the one that it is compared with, in
    words: to two digits, and no number where the interval has no end."""
    low, high, other = row["worth_low"], row["worth_high"], row["minus"]
    less, more = (math.isfinite(end) for end in (low, high))
    if low > 0 and more:
        ends = f"[{rounded(low)}, {rounded(high)}]"
        return f"is worth about {plural(rounded(row['worth']), MORE)} to {other} {ends}"
    if low > 0:
        return f"is worth more than {plural(rounded(low), MORE)} to {other}"
    if high < 0 and less:
        about = f"about {plural(rounded(-row['worth']), FEWER)}"
        return f"costs {other} as much as {about} [{rounded(-high)}, {rounded(-low)}]"
    if high < 0:
        return f"costs {other} as much as more than {plural(rounded(-high), FEWER)}"
    told = [f"{rounded(-low)} fewer"] if less else []
    told += [f"{rounded(high)} more"] if more else []
    if len(told) == 2:
        told = [f"between {told[0]} and {told[1]}"]
    elif told:
        told = [f"at most {told[0]}"]
    text = f"is worth a number of training images to {other} that cannot be told from none"
    return ": ".join([text, *told])


def effects_table(effects: pd.DataFrame, words: Words, confidence: float) -> str:
    """The table of effects of one kind on one metric in Markdown, the best first, the placebo's
    row, where there is one, last."""
    m, interval = words.m, f"{percent(confidence)} CI"
    interval += ", approximate" if effects["approximate"].any() else ""
    lines = [
        f"| | change ({m.step}) [{interval}] | [all at once] | p | p (Holm) "
        "| helps / same / hurts (%) | answer |",
        "|---|---|---|---|---|---|---|",
    ]
    ordered = best_first(effects, "effect", m).to_dict("records")
    for row in sorted(ordered, key=lambda row: row["kind"] == "placebo"):
        name = PLACEBO if row["kind"] == "placebo" else f"**{row['technique']}**"
        name += f": {ALONE}" if measured_on(row) == ALONE else ""
        wide = bounds(row, m, "_all") if row["low_all"] < row["high_all"] else "–"
        lines.append(
            f"| {name} | {effect(row, m)} | {wide} | {_p(row['p'])} | {_p(row['p_holm'])} "
            f"| {words.chances(row)} | {words.brief(row)} |"
        )
    return "\n".join(lines)


def screened(rows: Sequence[Mapping[str, Any]], metric: str) -> str:
    """What became of a screening, in Markdown; rows as `cnnlab.compare.screening.against` gives."""
    m = METRICS[metric]
    misled = [row["technique"] for row in rows if row["misled"]]
    verdict = f"misled about {' and '.join(misled)}" if misled else "did not mislead"
    lines = [
        f"The [first look](screen/screening.md) at the head of the frozen backbone {verdict}.",
        "",
        f"| | first look ({m.step}) | full study ({m.step}) | p of no difference | |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        both = f"{effect(row['screened'], m)} | {effect(row['full'], m)}"
        lines.append(f"| **{row['technique']}** | {both} | {_p(row['p'])} | {row['misled']} |")
    return "\n".join(lines)


def _p(value: float) -> str:
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def aliases(effects: pd.DataFrame) -> list[str]:
    """Which interactions main effects hold besides, a line an effect."""
    rows = effects[effects["aliases"] != ""].to_dict("records")
    return [f"**{row['technique']}** holds {row['aliases']} besides" for row in rows]


def words_of(
    metric: str,
    estimate: str,
    repeats: int,
    effects: pd.DataFrame,
    dev: int,
    alpha: float = Words.alpha,
    probability: float = Words.probability,
) -> Words:
    """The words for effects on a metric. `estimate`, `alpha`, `probability`: of `compare`, `alpha`
    for whole sentences alone; `repeats`: that all variants have; `effects`: the table of effects;
    `dev`: development images."""
    grouped = estimate == "crossed" and len(effects) and effects["n"].max() < dev
    images = "groups of images" if grouped else "images"
    return Words(
        metric=metric,
        estimate=estimate,
        repeats=repeats,
        images=images,
        alpha=alpha,
        probability=probability,
    )


def evidence(effects: pd.DataFrame, words: Words) -> str:
    """From how much effects come, in words: such as "300 images, 3 repeats"."""
    n, low, high = (int(e) for e in (effects["n"].max(), *effects["repeats"].agg(["min", "max"])))
    repeats = plural(high, "repeat") if low == high else f"{low} to {high} repeats"
    if words.estimate != "crossed":  # which counts folds
        return f"{n // high} folds × {repeats}"
    return f"{n} {words.images}, {repeats}"


def decided(effects: pd.DataFrame, estimates: pd.DataFrame, own: str) -> str:
    """How many effects of a kind are decided, and by the other estimate on the same records.

    `estimates`: how many each decides, rows of estimate, kind, effects and decided; `own`: the
    study's."""
    text = f"Decided: {(effects['verdict'] != UNDECIDED).sum()} of {len(effects)}."
    of_kind = estimates[estimates["kind"] == effects["kind"].iloc[0]]
    for row in of_kind.to_dict("records"):
        if row["estimate"] != own:
            name = ESTIMATES[row["estimate"]]
            text += f" On the same records the {name} decides {row['decided']}."
    return text


def metrics_table(effects: pd.DataFrame) -> str:
    """Every effect on every metric in Markdown: bold what helps or hurts, with ≈ what makes no
    practical difference, with ? what is too close to call."""
    metrics = [METRICS[name] for name in effects["metric"].unique()]
    head = [
        f"{m.title} ({m.step}{', approximate' if m.approximate else ''})"
        f"{'' if m.higher_is_better else ', less is better'}"
        for m in metrics
    ]
    lines = [f"| | {' | '.join(head)} |", "|---" * (len(metrics) + 1) + "|"]
    for (kind, technique), rows in effects.groupby(["kind", "technique"], sort=False):
        cells = []
        for row, m in zip(rows.to_dict("records"), metrics, strict=True):
            bold = "**" if row["verdict"] in (HELPS, HURTS) else ""
            cells.append(f"{bold}{signed(row['effect'], m)}{bold}{MARKS.get(row['verdict'], '')}")
        name = PLACEBO if kind == "placebo" else f"**{technique}** {kind}"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def questions_table(effects: pd.DataFrame, every: Sequence[Words]) -> str:
    """The answers to other questions in Markdown, a column a metric; `every`: the words of each.

    `effects`: those that answer first, and the placebo's; on all metrics."""
    heads = (f"{words.m.title} ({words.m.step})" for words in every)
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(every) + 1) + "|"]
    for (kind, technique), rows in effects.groupby(["kind", "technique"], sort=False):
        by = rows.set_index("metric").to_dict("index")
        cells = (words.cell(by[words.metric]) for words in every)
        name = PLACEBO if kind == "placebo" else f"**{technique}**"
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def classes_table(rows: pd.DataFrame) -> str:
    """The classes that gain or lose significantly by a technique in Markdown, a row a technique
    that has any; "" where none has. `rows`: the table of classes, of accuracy."""
    m = METRICS["accuracy"]
    lines = [f"| | gain ({m.step}) | lose ({m.step}) |", "|---|---|---|"]
    for technique, of_name in rows.groupby("technique", sort=False):
        cells = []
        for verdict in (HELPS, HURTS):
            decided = of_name[of_name["verdict"] == verdict]
            ordered = decided.sort_values("effect", ascending=verdict == HURTS, kind="stable")
            each = [f"**{escaped(r['class'])}** {effect(r, m)}" for r in ordered.to_dict("records")]
            cells.append("; ".join(each) or "–")
        if cells != ["–", "–"]:
            lines.append(f"| **{technique}** | {' | '.join(cells)} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def mechanisms_table(rows: pd.DataFrame, confidence: float) -> str:
    """The table of mechanisms in Markdown."""
    lines = [
        "| technique | claim | measured | without | with "
        f"| change [{percent(confidence)} CI] | holds? |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows.to_dict("records"):
        q = QUANTITIES[row["quantity"]]
        values = [
            written(row[column] * q.scale, q.digits)
            for column, written in (("without", plain), ("with", plain), ("change", signed_of))
        ]
        low, high = (plain(row[k] * q.scale, q.digits) for k in ("low", "high"))
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
        accuracy = METRICS["accuracy"]
        cells = [accuracy.plain(row[name]) for name in ("accuracy", "augmented")]
        cells.append(accuracy.signed(row["augmented"] - row["accuracy"]))
        lines.append(f"| **{row['technique']}** | {' | '.join(cells)} |")
    return "\n".join(lines)


def answer(
    scores: pd.DataFrame,
    effects: pd.DataFrame,
    words: Words,
    recommended: str,
    failed: pd.DataFrame,
) -> str:
    """The findings, a line an effect that answers first; interactions that are clear; the best
    variant, and the recommended one; what `failed`, by name and why."""
    metric, m = words.metric, words.m

    def named(row: Mapping) -> str:
        return f"**{row['name']}**, {estimate(row, metric, m)} {m.unit}"

    lines = answers(effects, words)
    variants = best_first(scores, metric, m).to_dict("records")
    chosen = next(row for row in variants if row["name"] == recommended)
    if len(variants) > 1:
        lines.append(f"Best mean: {named(variants[0])}.")
    lines.append(f"Recommended: {named(chosen)}; the section on it says why.")
    lines += [f"**{row['name']}** failed: {row['why']}." for row in failed.to_dict("records")]
    items = "\n".join(f"- {line}" for line in lines)
    return f"What each technique does to {m.title} on these images ({m.step}):\n\n{items}"


def opening(effects: pd.DataFrame, words: Words) -> str:
    """The answer of a study in one sentence; effects on one metric."""
    kinds = watched(set(effects["kind"])) or {"removed", "together"}
    first = effects[effects["kind"].isin(kinds)]
    if first.empty:
        return NO_EFFECT
    return words.opening(best_first(first, "effect", words.m).to_dict("records"))


def recommendation(
    scores: pd.DataFrame, words: Words, recommended: str, failed: pd.DataFrame, final: str
) -> str:
    """The recommended variant and its score, in a sentence, and what was left out. `final`: what
    the report says of it, "" where it was not evaluated on test images."""
    chosen = scores[scores["name"] == recommended].iloc[0]
    m = words.m
    text = f"Recommended: **{recommended}**, {m.title} "
    text += f"{estimate(chosen, words.metric, m)} {m.unit} on held-out images"
    if final:
        slug = re.sub(r"[^\w -]", "", final.partition("\n")[0].removeprefix("## ").lower())
        text += f" ([why, and what the test images say](#{slug.replace(' ', '-')}))"
    lines = [f"{text}."]
    if len(failed):
        each = (f"**{row['name']}** ({row['why']})" for row in failed.to_dict("records"))
        lines.append(f"Left out: {'; '.join(each)}.")
    return " ".join(lines)


def views_table(effects: pd.DataFrame, words: Words) -> str:
    """The effects of each technique beside each other in Markdown, a row a technique; "" where no
    technique has several. Effects on one metric."""
    kinds = [kind for kind in VIEWS if kind in set(effects["kind"])]
    by = {(row["technique"], row["kind"]): row for row in effects.to_dict("records")}
    names = dict.fromkeys(name for name, kind in by if kind in kinds)
    if len(kinds) < 2:
        return ""
    heads = (f"{VIEWS[kind]} ({words.m.step})" for kind in kinds)
    lines = [f"| | {' | '.join(heads)} |", "|---" * (len(kinds) + 1) + "|"]
    for name in names:
        cells = [words.cell(by[name, kind]) if (name, kind) in by else "" for kind in kinds]
        lines.append(f"| **{name}** | {' | '.join(cells)} |")
    return "\n".join(lines)


def answers(effects: pd.DataFrame, words: Words) -> list[str]:
    """The answers of a study on one metric, a sentence each: the kinds that answer first, and all
    techniques together; interactions and ensembles where they help or hurt."""
    first = headlines(effects["kind"])
    by = {(row["kind"], row["technique"]): row for row in effects.to_dict("records")}
    sentences = []
    for kind in (*first, "together", "interaction", "ensemble"):
        rows = best_first(effects[effects["kind"] == kind], "effect", words.m)
        for row in sorted(rows.to_dict("records"), key=lambda r: ORDER.index(r["verdict"])):
            clear = row["verdict"] in (HELPS, HURTS)
            if kind == "interaction" and clear:
                sentences.append(words.interaction(row, by))
            elif kind in (*first, "together") or (kind == "ensemble" and clear):
                sentences.append(words.sentence(row))
    return sentences


def best_first(rows: pd.DataFrame, column: str, m: Metric) -> pd.DataFrame:
    """Rows ordered by a score or a change of one, the best first."""
    return rows.sort_values(column, ascending=not m.higher_is_better, kind="stable")
