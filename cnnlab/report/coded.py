"""Findings with codes, in Markdown."""

from __future__ import annotations

import pandas as pd

from cnnlab.data.findings import CODES
from cnnlab.report import escaped
from cnnlab.report.dataset import short

WORST = 3  # findings of a code that the table names


def table(found: pd.DataFrame) -> str:
    """The codes that are shown in Markdown: how many findings each has, the worst of them, what to
    do; "" where there are none. `found`: a table of findings (`cnnlab.data.findings`)."""
    lines = ["| code | found | the first of them | what to do |", "|---|---:|---|---|"]
    for code, rows in found[~found["muted"]].groupby("code", sort=False):
        about = CODES[code]
        worst = [
            f"{escaped(short(row['source']))} ({escaped(row['label'])}): {escaped(row['text'])}"
            if row["source"]
            else escaped(row["text"])
            for row in rows.head(WORST).to_dict("records")
        ]
        more = [f"and {len(rows) - WORST} more"] if len(rows) > WORST else []
        first = "<br>".join([*worst, *more])
        lines.append(f"| **{code}** {about.name} | {len(rows)} | {first} | {about.remedy} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def muted(found: pd.DataFrame) -> str:
    """What is muted, in a sentence; "" where nothing is that was found."""
    counts = found.loc[found["muted"], "code"].value_counts(sort=False)
    if counts.empty:
        return ""
    return "Muted by `data.mute`: " + ", ".join(f"{code} ({n})" for code, n in counts.items()) + "."
