"""The README's result table, from the committed reports: `python -m cnnlab.report.readme`."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd

from cnnlab import params, paths, report
from cnnlab.compare.metrics import METRICS, Metric

BEGIN, END = "<!-- results -->", "<!-- /results -->"


def table(scores: pd.DataFrame, effects: pd.DataFrame, m: Metric, metric: str) -> str:
    """A row a technique: what it did alone, what the full recipe has from it, and the scores."""
    by = {(row["technique"], row["kind"]): row for row in effects.to_dict("records")}
    score = {row["name"]: row for row in scores.to_dict("records")}

    def cell(technique: str, kind: str) -> str:
        row = by.get((technique, kind))
        return f"{report.effect(row, m)}{'' if row['clear'] else ' ·'}" if row else ""

    lines = [
        f"| technique | added to the baseline ({m.step}) "
        "| lost when removed from the full recipe |",
        "|---|---|---|",
    ]
    for technique, kind in [key for key in by if key[1] == "start"]:
        lines.append(f"| {technique} | {cell(technique, kind)} | |")
    for technique in dict.fromkeys(t for t, kind in by if kind == "alone"):
        lines.append(f"| {technique} | {cell(technique, 'alone')} | {cell(technique, 'removed')} |")
    together = next((row for (_, kind), row in by.items() if kind == "together"), None)
    if together:
        lines.append(f"| all of them | {cell(together['technique'], 'together')} | |")
        ends = [
            f"{together[end]} {report.estimate(score[together[end]], metric, m)} {m.unit}"
            for end in ("minus", "plus")
        ]
        lines += ["", f"Held-out {m.title}: {'; '.join(ends)}. · not significant."]
    return "\n".join(lines)


def update(readme: str, content: str) -> str:
    """`readme` with what stands between the two marks replaced."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    assert pattern.search(readme), f"README.md has no {BEGIN} ... {END}"
    return pattern.sub(lambda _: f"{BEGIN}\n{content}\n{END}", readme)


def current() -> str:
    """The table that the README should show now."""
    metric = params.load("compare.metric")
    scores = pd.read_csv(paths.COMPARE / "ablation_scores.csv", keep_default_na=False)
    effects = pd.read_csv(paths.REPORTS / "ablation.csv", keep_default_na=False)
    effects = effects[effects["metric"] == metric]
    return table(scores, effects, METRICS[metric], metric)


if __name__ == "__main__":
    page = Path("README.md")
    page.write_text(update(page.read_text(), current()))
