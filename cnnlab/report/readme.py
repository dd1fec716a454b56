"""Tables of results in pages of a clone, from committed reports: `python -m cnnlab.report.readme`
(`make readme`).

Two comments in a page say where a table stands, of which study, and how much of it:

    <!-- summary FOLDER -->  <!-- /summary -->   technique, effect, answer
    <!-- results FOLDER -->  <!-- /results -->   with the views behind a main effect

FOLDER is the study's, from the clone's root (`.` is the root's own). Where a study has no reports,
or an earlier version made its tables, the page keeps what it has, and a line says so.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cnnlab import params, paths, report
from cnnlab.compare.designs import KINDS
from cnnlab.compare.tables import EFFECT_COLUMNS
from cnnlab.metric import percent
from cnnlab.report.words import Words, headlines

PAGES = ("README.md", "docs/*.md", "studies/*/README.md")  # where tables may stand
MARKED = re.compile(r"<!-- (results|summary) (\S+) -->\n.*?<!-- /\1 -->", re.DOTALL)
SHORT = report.VIEWS | {"main": "main effect"}


@dataclass(frozen=True)
class Results:
    """What a study found: tables as `report` reads them, effects on the primary metric alone."""

    scores: pd.DataFrame
    effects: pd.DataFrame
    estimates: pd.DataFrame  # as for `report.decided`
    words: Words
    dev: int  # development images
    k: int  # folds of a repeat
    confidence: float  # of intervals

    @classmethod
    def read(cls, study: Path) -> Results | None:
        """Those in a study's folder; None where it has none, or an earlier version made them."""
        file = study / paths.REPORTS / "ablation.csv"
        if not file.exists():
            return None
        effects = report.read_table(file)
        if not set(EFFECT_COLUMNS) <= set(effects.columns):
            return None
        compare, folds = params.load("compare", "folds", path=study / params.FILE)
        dev = json.loads((study / paths.DATA_FACTS).read_text())["images"]["dev"]
        return cls(
            scores=report.read_table(study / paths.COMPARE / "ablation_scores.csv"),
            effects=effects[effects["metric"] == compare.metric],
            estimates=report.read_table(study / paths.COMPARE / "estimates.csv"),
            words=report.words_of(
                compare.metric, compare.estimate, folds.repeats, effects, dev, compare.alpha
            ),
            dev=dev,
            k=folds.k,
            confidence=compare.confidence,
        )


def table(
    scores: pd.DataFrame, effects: pd.DataFrame, estimates: pd.DataFrame, words: Words
) -> str:
    """A row a technique: its answer, what it did alone and what the full recipe has from it; then
    starts, all techniques together, the placebo; the scores; and how many effects are decided.
    Effects on one metric; `estimates`: as for `report.decided`."""
    by = {(row["technique"], row["kind"]): row for row in effects.to_dict("records")}
    m, kinds = words.m, [kind for kind in report.VIEWS if any(k == kind for _, k in by)] or ["main"]
    answering = headlines(effects["kind"])
    lines = [
        f"| technique | {' | '.join(f'{report.VIEWS[kind]} ({m.step})' for kind in kinds)} |",
        "|---" * (len(kinds) + 1) + "|",
    ]

    def cell(technique: str, kind: str) -> str:
        row = by.get((technique, kind))
        if row is None:
            return ""
        return words.cell(row) if kind in answering else report.effect(row, m)

    for technique in dict.fromkeys(t for t, kind in by if kind in kinds):
        cells = (cell(technique, kind) for kind in kinds)
        lines.append(f"| **{technique}** | {' | '.join(cells)} |")
    for kind, column in (("start", kinds[0]), ("together", "alone"), ("placebo", "alone")):
        for row in (row for (_, k), row in by.items() if k == kind):
            name = report.PLACEBO if kind == "placebo" else f"**{row['technique']}**"
            cells = dict.fromkeys(kinds, "")
            cells[column if column in kinds else kinds[0]] = words.cell(row)
            lines.append(f"| {name} | {' | '.join(cells.values())} |")
    ends = _ends(scores, effects, words)
    if ends:
        lines += ["", f"{ends}; {report.evidence(effects, words)}."]
    for kind in answering[:1]:
        of_kind = effects[effects["kind"] == kind]
        text = report.decided(of_kind, estimates, words.estimate)
        lines += ["", f"{KINDS[kind].partition(':')[0]} {text[0].lower()}{text[1:]}"]
    return "\n".join(lines)


def summary(results: Results) -> str:
    """How many images there are, and a row a technique: its effect and the answer; then starts, all
    techniques together, the placebo, and the scores."""
    dev, k, words, effects = results.dev, results.k, results.words, results.effects
    m, (kind, *_) = words.m, [*headlines(effects["kind"]), "main"]
    learnt = f"{'about ' if dev % k else ''}{dev - dev // k:,}"
    lines = [
        f"{dev:,} development images, of which each network learns from {learnt}:",
        "",
        f"| technique | {SHORT.get(kind, 'effect')} ({m.step}) [{percent(results.confidence)} CI] "
        "| answer |",
        "|---|---|---|",
    ]
    for shown in dict.fromkeys((kind, "start", "together", "placebo")):
        for row in effects[effects["kind"] == shown].to_dict("records"):
            name = report.PLACEBO if shown == "placebo" else f"**{row['technique']}**"
            lines.append(f"| {name} | {report.effect(row, m)} | {words.brief(row | {'look': 0})} |")
    ends = _ends(results.scores, effects, words)
    return "\n".join([*lines, *(["", f"{ends}."] if ends else [])])


def _ends(scores: pd.DataFrame, effects: pd.DataFrame, words: Words) -> str:
    """What the baseline and all techniques together reach, or the one that the design has; ""
    where it lacks both."""
    together = effects[effects["kind"] == "together"].to_dict("records")
    alone = effects[effects["kind"] == "alone"].to_dict("records")
    names = [together[0]["minus"], together[0]["plus"]] if together else []
    names = names or [row["minus"] for row in alone[:1]]
    if not names:
        return ""
    score, m = {row["name"]: row for row in scores.to_dict("records")}, words.m
    ends = (f"{name} {report.estimate(score[name], words.metric, m)} {m.unit}" for name in names)
    return f"Held-out {m.title}: {'; '.join(ends)}"


def filled(text: str, content: Callable[[str, str], str | None]) -> str:
    """A page with what stands between each pair of marks replaced by `content(form, folder)`; what
    has no content stays."""

    def replaced(mark: re.Match) -> str:
        form, folder = mark.groups()
        made = content(form, folder)
        if made is None:
            return mark.group()
        return f"<!-- {form} {folder} -->\n{made}\n<!-- /{form} -->"

    return MARKED.sub(replaced, text)


def content(root: Path, form: str, folder: str) -> str | None:
    """A table that the reports of a study make; None: see `Results.read`."""
    r = Results.read(root / folder)
    if r is None:
        return None
    if form == "summary":
        return summary(r)
    return table(r.scores, r.effects, r.estimates, r.words)


def pages(root: Path) -> dict[Path, str]:
    """The pages of a clone that have marks, as they should be now. Says what stays as it is."""

    def said(form: str, folder: str) -> str | None:
        made = content(root, form, folder)
        if made is None:
            why = "it has no reports, or an earlier version made them"
            print(f"{folder}: its table stays as it is: {why}", file=sys.stderr)
        return made

    files = sorted(file for pattern in PAGES for file in root.glob(pattern))
    texts = {file: file.read_text() for file in files}
    return {file: filled(text, said) for file, text in texts.items() if MARKED.search(text)}


if __name__ == "__main__":
    for page, text in pages(Path()).items():
        page.write_text(text)
