"""Cards of the techniques: docs/techniques/NAME.md, by `python -m cnnlab.report.cards`.

A card is made from the technique's file and from the committed studies. Of the file's docstring it
takes what stands before `Mechanism:`, and what follows `Mechanism:`, `Sensible:`, `Goes badly
with:` and `Cost:`; of its code the hyperparameters, what it claims, and how that would show.
Effects are those of `reports/` and `studies/*/reports`; a study whose tables were made by an
earlier version is left out, and named.
"""

from __future__ import annotations

import re
import sys
import typing
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from pydantic import BaseModel

from cnnlab import params, report
from cnnlab.compare.designs import KINDS
from cnnlab.compare.mechanisms import QUANTITIES, claims
from cnnlab.compare.tables import EFFECT_COLUMNS
from cnnlab.recipe.techniques import TECHNIQUES, starts
from cnnlab.report.words import Words

FOLDER = Path("docs/techniques")
INDEX = "README.md"
MADE = "<!-- made by `make cards` from {} and the committed studies: change those -->"
SECTIONS = ("Mechanism", "Sensible", "Goes badly with", "Cost")
SHOWN = ("main", "start", "alone", "removed", "placebo")  # kinds of effect, in the card's order
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True)
class Study:
    """What a committed study measured: effects on its primary metric, and mechanisms."""

    name: str
    folder: str
    words: Words
    effects: list[dict]
    mechanisms: list[dict]
    confidence: float  # of the intervals

    @classmethod
    def read(cls, root: Path, reports: Path) -> Study | None:
        """The study whose reports these are; None where an earlier version made its tables."""
        effects = report.read_table(reports / "ablation.csv")
        mechanisms = reports / "compare" / "mechanisms.csv"
        if not set(EFFECT_COLUMNS) <= set(effects.columns) or not mechanisms.exists():
            return None
        title = (reports / "report.md").read_text().partition("\n")[0]
        metric = effects["metric"].iloc[0] if len(effects) else "accuracy"
        return cls(
            name=title.removeprefix("# ").partition(":")[0],
            folder=reports.relative_to(root).as_posix(),
            words=Words(metric=metric, estimate="crossed", repeats=1),
            effects=effects[effects["metric"] == metric].to_dict("records"),
            mechanisms=report.read_table(mechanisms).to_dict("records"),
            confidence=params.read(reports.with_name("params.yaml")).compare.confidence,
        )

    def of(self, technique: str) -> list[dict]:
        """Its effects, in the order of `SHOWN`: where variants begin at a backbone too (`augment
        with freeze`), and of a start against each other one (`freeze - untrained`)."""
        rows = [r for r in self.effects if r["kind"] in SHOWN and technique in _told(r)]
        return sorted(rows, key=lambda row: SHOWN.index(row["kind"]))

    def question(self, row: dict) -> str:
        """What an effect answers, and in whose company."""
        what, _, start = row["technique"].partition(" with ")
        heading = KINDS[row["kind"]].partition(":")[0]
        if start:
            return f"{heading}, with {start}"
        if len(_told(row)) > 1:
            return f"{heading}, {what}"
        others = (r["technique"] for r in self.effects if r["kind"] == row["kind"])
        split = any(name.startswith(f"{what} with ") for name in others)
        return f"{heading}, without a start" if split else heading

    def cell(self, row: dict, unit: str = "") -> str:
        """The answer with its numbers."""
        return f"{self.words.cell(row)}{unit}{' (approximate)' * bool(row['approximate'])}"

    def shown(self, row: dict) -> str:
        """Whether what the technique claims was shown, claim by claim where they differ."""
        holds = [
            claim["holds"]
            for claim in self.mechanisms
            if claim["technique"] == row["technique"] and claim["kind"] == row["kind"]
        ]
        return "; ".join(holds if len(set(holds)) > 1 else holds[:1]) or "–"


def _told(row: dict) -> list[str]:
    """The techniques whose effect it is."""
    return row["technique"].partition(" with ")[0].split(" - ")


def studies(root: Path) -> tuple[list[Study], list[str]]:
    """The committed studies of a clone, the root's first, and the folders of those left out."""
    folders = [root / "reports", *sorted(root.glob("studies/*/reports"))]
    made = {f.relative_to(root).as_posix(): Study.read(root, f)
            for f in folders if (f / "ablation.csv").exists()}  # fmt: skip
    return [s for s in made.values() if s], [name for name, s in made.items() if s is None]


def sections(module: ModuleType) -> dict[str, str]:
    """What a technique's docstring says: "" -> what it is, then by the names in `SECTIONS`."""
    marks = "|".join(SECTIONS)
    first, *rest = re.split(rf"(?m)^({marks}): ", module.__doc__)
    parts = {"": first, **dict(zip(rest[::2], rest[1::2], strict=True))}
    return {name: " ".join(text.split()) for name, text in parts.items()}


def hyperparameters(module: ModuleType) -> str:
    """The table of hyperparameters with what is allowed; a sentence where there are none."""
    fields = module.Options.model_fields
    if not fields:
        return "It has no hyperparameters."
    lines = ["| | allowed | |", "|---|---|---|"]
    for name, field in fields.items():
        about = field.description or ""
        lines.append(f"| `{name}` | {_allowed(field, name)} | {about} |")
    return "\n".join(lines)


def _allowed(field, name: str) -> str:
    kinds = typing.get_args(field.annotation) or (field.annotation,)
    if typing.get_origin(field.annotation) is typing.Literal:
        return ", ".join(f"`{kind}`" for kind in kinds)
    if field.annotation is bool:
        return "`true`, `false`"
    if any(isinstance(kind, type) and issubclass(kind, BaseModel) for kind in kinds):
        return f"those of [{name}]({name}.md), or left out"
    limits = [
        f"{sign} {getattr(limit, end):g}"
        for end, sign in SIGNS.items()
        for limit in field.metadata
        if hasattr(limit, end)
    ]
    return ", ".join(["whole numbers"] * (field.annotation is int) + limits)


def card(name: str, measured: list[Study], left_out: list[str]) -> str:
    """A technique's card in Markdown."""
    module = TECHNIQUES[name]
    file, said = f"cnnlab/recipe/techniques/{name}.py", sections(module)
    lines = [MADE.format(file), "", f"# {name}", "", said[""], ""]
    lines += [f"{head}: {said[head]}\n" for head in SECTIONS[:1] if head in said]
    if name in starts():
        lines += ["It is a start: it says how training starts, and a variant has one at most.", ""]
    lines += ["## Hyperparameters", "", hyperparameters(module), ""]
    lines += ["What is sensible is known from the literature and from use, not measured here:", ""]
    lines += [f"- **{head}**: {said.get(head, 'not said')}" for head in SECTIONS[1:]]
    lines += ["", "## How it would show", ""]
    lines += [f"- {claim.words}: {_quantity(claim.quantity)} should be {claim.way}"
              for claim in claims(module)] or ["It claims nothing."]  # fmt: skip
    lines += ["", "## Measured", "", *_measured(name, measured)]
    if left_out:
        lines += ["", _without(left_out)]
    lines += ["", f"Its code: [{file}](../../{file}). All cards: [{INDEX}]({INDEX})."]
    return "\n".join(lines) + "\n"


def _quantity(name: str) -> str:
    return QUANTITIES[name].title.replace("|", "\\|")


def _measured(name: str, measured: list[Study]) -> list[str]:
    lines = ["| study | question | effect [interval] | claim |", "|---|---|---|---|"]
    levels = set()
    for study in measured:
        link = f"[{study.name}](../../{study.folder}/report.md)"
        for row in study.of(name):
            unit = f" {study.words.m.step} of {study.words.m.title}"
            cells = (link, study.question(row), study.cell(row, unit), study.shown(row))
            lines.append(f"| {' | '.join(cells)} |")
            levels.add(f"{study.confidence:.0%}")
    if not levels:
        return ["Its effect was measured in none of the committed studies."]
    said = f"*interval*: at {' or '.join(sorted(levels))}. "
    said += "*claim*: whether what it claims was shown there: yes, no, or not shown."
    return [*lines, "", said]


def _without(left_out: list[str]) -> str:
    names = ", ".join(f"`{folder}`" for folder in left_out)
    return f"Left out, as an earlier version made their tables: {names}."


def index(measured: list[Study], left_out: list[str]) -> str:
    """The table of all cards in Markdown."""
    heads = [f"[{study.name}](../../{study.folder}/report.md)" for study in measured]
    lines = [
        MADE.format("cnnlab/recipe/techniques"),
        "",
        "# The techniques",
        "",
        "One card each: what it does, sensible hyperparameters, what it goes badly with, what it "
        "costs, and what it did in the committed studies. Below: its effect there on average over "
        "having the others or not (of a start: over the techniques), or, where that was not "
        "measured, added to the baseline.",
        "",
        f"| | what it does | {' | '.join(heads)} |" if heads else "| | what it does |",
        "|---|---|" + "---|" * len(heads),
    ]
    for name in TECHNIQUES.names():
        what = sections(TECHNIQUES[name])[""].replace("|", "\\|")
        cells = [f"[{name}]({name}.md)", what]
        for study in measured:
            first = study.of(name)[:1]
            cells.append(study.cell(first[0]) if first else "")
        lines.append(f"| {' | '.join(cells)} |")
    if left_out:
        lines += ["", _without(left_out)]
    return "\n".join(lines) + "\n"


def pages(root: Path) -> dict[str, str]:
    """File name -> text, of all cards and their index, as they should be in a clone now."""
    measured, left_out = studies(root)
    made = {f"{name}.md": card(name, measured, left_out) for name in TECHNIQUES.names()}
    return made | {INDEX: index(measured, left_out)}


def main() -> None:
    """Write the cards of the clone in the working folder; those of techniques that are gone go."""
    made = pages(Path.cwd())
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.md"):
        if old.name not in made:
            old.unlink()
    for name, text in made.items():
        (FOLDER / name).write_text(text)
    for folder in studies(Path.cwd())[1]:
        print(f"{folder}: left out, as an earlier version made its tables", file=sys.stderr)
    print(f"{FOLDER}: {len(made) - 1} cards")


if __name__ == "__main__":
    main()
