"""The README's result table, from the committed reports: `python -m cnnlab.report.readme`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd

from cnnlab import params, paths, report
from cnnlab.compare.designs import KINDS
from cnnlab.report.words import Words, headlines

BEGIN, END = "<!-- results -->", "<!-- /results -->"


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
    score = {row["name"]: row for row in scores.to_dict("records")}
    together = next((row for (_, kind), row in by.items() if kind == "together"), None)
    if together:
        ends = [
            f"{together[end]} {report.estimate(score[together[end]], words.metric, m)} {m.unit}"
            for end in ("minus", "plus")
        ]
        lines += ["", f"Held-out {m.title}: {'; '.join(ends)}; {report.evidence(effects, words)}."]
    for kind in answering[:1]:
        of_kind = effects[effects["kind"] == kind]
        text = report.decided(of_kind, estimates, words.estimate)
        lines += ["", f"{KINDS[kind].partition(':')[0]} {text[0].lower()}{text[1:]}"]
    return "\n".join(lines)


def update(readme: str, content: str) -> str:
    """`readme` with what stands between the two marks replaced."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    assert pattern.search(readme), f"README.md has no {BEGIN} ... {END}"
    return pattern.sub(lambda _: f"{BEGIN}\n{content}\n{END}", readme)


def current() -> str:
    """The table that the README should show now."""
    options, repeats = params.load("compare", "folds.repeats")
    scores = report.read_table(paths.COMPARE / "ablation_scores.csv")
    effects = report.read_table(paths.REPORTS / "ablation.csv")
    dev = json.loads(paths.DATA_FACTS.read_text())["images"]["dev"]
    words = report.words_of(options.metric, options.estimate, repeats, effects, dev)
    estimates = report.read_table(paths.COMPARE / "estimates.csv")
    return table(scores, effects[effects["metric"] == options.metric], estimates, words)


if __name__ == "__main__":
    page = Path("README.md")
    page.write_text(update(page.read_text(), current()))
