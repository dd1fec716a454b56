"""Critical readings: the effects of each technique in words, one paragraph a technique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cnnlab.report.words import COMPANY, HELPS, HURTS, Words, capital


def readings(rows: Sequence[Mapping], words: Words) -> list[str]:
    """One reading a technique with several effects, in the order of the table, in Markdown.

    `rows`: the table of effects on one metric. What the others do to a technique's effect is read
    where it is significant.
    """
    by = {(row["kind"], row["technique"]): row for row in rows}
    texts = []
    for name in dict.fromkeys(technique for _, technique in by):
        first, *others = (row for row in rows if row["technique"] == name)
        parts = [words.sentence(first), *(f"{capital(words.clause(row))}." for row in others)]
        company = by.get(("interaction", name + COMPANY))
        if company and company["verdict"] in (HELPS, HURTS):
            parts.append(words.interaction(company, by))
        if others:
            texts.append(" ".join(parts))
    return texts
