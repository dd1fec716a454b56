"""The page reports/validity/README.md."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cnnlab.compare.options import Compare
from cnnlab.compare.simulation import share
from cnnlab.report import picture

PAGE = """# How often is the comparison wrong?

`make validate` made this page. It simulates studies whose true effects are known, evaluates each as
`stages.compare` does (significant: p after Holm's correction below {alpha}; no practical
difference: ±{rope:g} points), and counts. Networks are small (random ReLU features with a ridge
regression) but really trained on really overlapping folds, with a fresh seed each; brackets are
exact binomial {confidence:.0%} intervals.

{verdict}

{figure}

## No effect: false calls (%)

{none}

*interval holds 0*: how often the {confidence:.0%} interval of a single effect does. The first row
is no training but normal differences, correlated just as far as the correction assumes: there the
corrected test is exact by theory. In the other rows two names of one recipe differ by their seeds
alone, which folds do not share, so that their differences are nearly independent: the plain t test
may then be right, and the corrected one is conservative. Which of the two a comparison of different
recipes is like is not known beforehand.

## A true effect: power (%)

{some}

*wrong way round*: of the studies with a significant effect, those with the other sign.
{trained}"""


def page(table: pd.DataFrame, trained: pd.DataFrame | None, options: Compare, figure: Path) -> str:
    """The page in Markdown. `table`: simulated.csv; `trained`: trained.csv, where there is one."""
    none, some = (table[rows] for rows in (table["effect"] == 0, table["effect"] != 0))
    over = none[none["clear_low"] > options.alpha]["setting"].tolist()
    wrong = (some["sign"].fillna(0) * some["clear"] * some["studies"]).sum()
    significant = (some["clear"] * some["studies"]).sum()
    verdict = (
        f"**Too many false calls in: {', '.join(over)}.**"
        if over
        else f"False calls are at most {none['clear'].max():.1%} of studies, and in no setting "
        f"does their interval lie above {options.alpha:.0%}. Of {significant:.0f} significant "
        f"true effects {wrong:.0f} had the wrong sign."
    )
    return PAGE.format(
        alpha=options.alpha,
        rope=options.rope.accuracy * 100,
        confidence=options.confidence,
        verdict=verdict,
        figure=picture(figure, figure.parent),
        none=_table(
            none,
            {
                "significant": "clear",
                "verdict helps": "helps",
                "verdict hurts": "hurts",
                "interval holds 0": "covered",
                "plain paired t": "naive",
                "McNemar": "mcnemar",
            },
        ),
        some=_table(
            some,
            {
                "significant": "clear",
                "wrong way round": "sign",
                "verdict helps": "helps",
                "no practical difference": "same",
                "interval holds the effect": "covered",
            },
        ),
        trained="" if trained is None else _trained(trained, options),
    )


def _table(table: pd.DataFrame, columns: dict[str, str]) -> str:
    effects = bool((table["effect"] != 0).any())
    head = ["", *(["true effect (points)"] if effects else []), "studies", *columns]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for row in table.to_dict("records"):
        cells = [row["setting"], *([f"{row['effect'] * 100:+.1f}"] if effects else [])]
        cells.append(f"{row['studies']}")
        for column in columns.values():
            shares = [row[f"{column}{end}"] for end in ("", "_low", "_high")]
            cells.append("–" if pd.isna(shares[0]) else _percent(shares))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _trained(trained: pd.DataFrame, options: Compare) -> str:
    calls = {
        "significant": int(trained["clear"].sum()),
        "verdict helps or hurts": int(trained["verdict"].isin(["helps", "hurts"]).sum()),
        "interval leaves out 0": int(((trained["low"] > 0) | (trained["high"] < 0)).sum()),
    }
    lines = [
        "",
        "## Real networks, no effect: false calls (%)",
        "",
        "The network of `params.yaml` without techniques, under two names with fresh seeds, on the "
        f"dev images of the study: {len(trained)} studies of {trained['n'].iloc[0]} folds, drawn "
        "anew for each.",
        "",
        f"| studies | {' | '.join(calls)} |",
        "|---" * (len(calls) + 1) + "|",
    ]
    cells = [_percent(share(count, len(trained), options.confidence)) for count in calls.values()]
    return "\n".join([*lines, f"| {len(trained)} | {' | '.join(cells)} |", ""])


def _percent(shares) -> str:
    return "{:.1f} [{:.1f}, {:.1f}]".format(*(value * 100 for value in shares))
