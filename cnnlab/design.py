"""Write the design's variants into params.yaml: `python -m cnnlab.design` in a study's folder
(`make design`). Only the section `variants` changes, so that it can be reviewed as a diff.

Says what the design tells, what it takes for granted, and what it costs, before anything runs.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML

from cnnlab import params, tracking
from cnnlab.compare import designs
from cnnlab.errors import UserError
from cnnlab.processes import cores

if TYPE_CHECKING:
    from cnnlab.params import Design, Params

SHOWN = 40  # lines of the alias structure


def variants_of(whole: Params) -> dict[str, list[str]]:
    """The design's variants; a set that there is a variant of already keeps its name."""
    names = {frozenset(on): name for name, on in whole.variants.items()}
    made = designs.named(designs.sets_of(**dict(whole.design)), whole.design.techniques)
    return {names.get(frozenset(on), name): on for name, on in made.items()}


def replaced(text: str, variants: Mapping[str, Sequence[str]]) -> str:
    """`text` of a params.yaml with the entries of its section `variants` replaced.

    An entry that stays keeps its line, and with it its comment. Raises UserError where there is no
    such section in the block style.
    """
    found = re.search(r"(?m)^variants:[^\S\n]*(#[^\n]*)?\n((?:[ \t]+\S[^\n]*\n|[ \t]*\n)*)", text)
    if found is None:
        raise UserError(f"{params.FILE}: has no line `variants:` with its entries indented below")
    entries = found.group(2)
    blank = re.search(r"\n*\Z", entries).group()[1:]  # between this section and the next
    old = {line.split(":")[0].strip(): line for line in entries.splitlines() if line.strip()}
    lines = []
    for name, on in variants.items():
        line = f"  {name}: [{', '.join(on)}]"
        kept = old.get(name, "")
        lines.append(kept if kept.split("#")[0].rstrip() == line else line)
    new = text[: found.start(2)] + "\n".join(lines) + "\n" + blank + text[found.end(2) :]
    if YAML(typ="safe").load(new)["variants"] != {k: list(v) for k, v in variants.items()}:
        raise UserError(f"{params.FILE}: the section `variants` could not be replaced; edit it")
    return new


def told(design: Design) -> list[str]:
    """What the design tells and what it takes for granted, line by line."""
    sets, techniques = designs.sets_of(**dict(design)), design.techniques
    lines = [f"{design.kind} of {len(techniques)} techniques: {len(sets)} variants"]
    if len(techniques) < 2 or not designs.orthogonal(sets, techniques):
        return [
            *lines,
            "it tells what each technique adds to nothing and what the full recipe has from it; "
            "not which two interact",
        ]
    resolution = designs.resolution_of(sets, techniques)
    if resolution == math.inf:
        return [*lines, "nothing is aliased: it tells every main effect and interaction"]
    chains = designs.aliases(sets, techniques, order=2)
    lines.append(f"resolution {resolution:.0f}; an effect holds also those it is aliased with:")
    lines += [f"  {effect} = {' = '.join(chain)}" for effect, chain in chains.items()][:SHOWN]
    return lines + (["  ..."] if len(chains) > SHOWN else [])


def cost(whole: Params, variants: Mapping[str, Sequence[str]]) -> str:
    """Trials that the variants take, and the time, by what MLflow says trials took so far."""
    splits = whole.folds.k * whole.folds.repeats
    trials = len(variants) * splits * whole.train.members
    text = f"{trials} trials: {len(variants)} variants x {splits} folds"
    if whole.train.members > 1:
        text += f" x {whole.train.members} members"
    seconds = tracking.trial_seconds(whole.study)
    if not seconds:
        return f"{text}; their time is known once a variant is trained (`dvc repro train@NAME`)"
    workers = whole.execution.workers or max(1, cores() // whole.train.threads)
    took = sorted(seconds)[len(seconds) // 2]
    span = timedelta(seconds=round(trials * took / workers))
    return (
        f"{text}; about {span} in all with {workers} side by side, if one takes {took:.1f} s, the "
        f"median of the {len(seconds)} that MLflow has of this study (those kept cost nothing)"
    )


def main() -> None:
    """Write the variants. Raises UserError for a custom design, or where params would be bad."""
    whole = params.read()
    if whole.design.kind == "custom":
        raise UserError(f"{params.FILE}: design.kind = 'custom': variants are yours to write")
    variants = variants_of(whole)
    text = params.FILE.read_text()
    new = replaced(text, variants)
    trial = Path(f".{params.FILE}.new")
    trial.write_text(new)
    try:
        params.read(trial)  # such as a variant to be drawn that would be gone
        if new != text:
            trial.replace(params.FILE)
    finally:
        trial.unlink(missing_ok=True)
    for line in told(whole.design):
        print(line)
    for word, ours, others in (
        ("new", variants, whole.variants),
        ("gone", whole.variants, variants),
    ):
        names = [name for name in ours if name not in others]
        if names:
            print(f"{word}: {', '.join(names)}")
    print(cost(whole, variants))


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
