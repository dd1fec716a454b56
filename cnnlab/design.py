"""Write the design's variants into params.yaml: `python -m cnnlab.design` in a study's folder
(`make design`). Only the section `variants` changes, so that it can be reviewed as a diff.

Says what the design tells, what it takes for granted, and what it costs, before anything runs.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import textwrap
from collections.abc import Container, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

from ruamel.yaml.error import YAMLError

from cnnlab import edited, params, paths, report, tracking
from cnnlab.compare import designs, power
from cnnlab.compare.contrasts import Contrast
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.options import Design
from cnnlab.data import pool
from cnnlab.errors import UserError, run_command
from cnnlab.params import Params
from cnnlab.recipe.techniques import SCRATCH, starts
from cnnlab.run import choice, device
from cnnlab.run.backends import local

SHOWN = 40  # lines of the alias structure
POWER = 0.8


def variants_of(whole: Params) -> dict[str, list[str]]:
    """The design's variants, and those beside it, which have a technique or a start that is not
    under study; a set that there is a variant of already keeps its name."""
    design, every = whole.design, whole.variants.every
    names = {frozenset(on): name for name, on in every.items()}
    starts_first = [*design.starts, designs.PLACEBO]
    designed = designs.named(designs.sets_of(**dict(design)), design.techniques, starts_first)
    studied = {*design.techniques, *design.starts, designs.PLACEBO}
    beside = {
        name: on
        for name, on in every.items()
        if not {*on, *([] if set(on) & set(starts()) else [SCRATCH])} <= studied
    }
    kept = {names.get(frozenset(on), name): on for name, on in designed.items()}
    for name in kept.keys() & beside.keys():
        raise UserError(
            f"{params.FILE}: variant {name} = {beside[name]}: the design needs this name for "
            f"{kept[name]}; rename yours"
        )
    return kept | beside


def grouped(whole: Params, variants: Mapping[str, Sequence[str]]) -> dict[str, dict]:
    """The variants by group: those that begin at random weights, and at the backbone. Raises
    UserError for one that is not possible, such as with a technique that would do nothing."""
    groups: dict[str, dict] = {"train": {}, "transfer": {}}
    for name, on in variants.items():
        try:
            recipe = whole.sections.recipe(on)
        except UserError as error:
            raise UserError(f"{params.FILE}: the design's variant {name}: {error}") from None
        groups["transfer" if recipe.phases else "train"][name] = list(on)
    return groups


# Up to the next section; lines of comment at the margin are in it where an entry follows.
SECTION = re.compile(
    r"^variants:[^\S\n]*(?:#[^\n]*)?\n"
    r"((?:(?:#[^\n]*\n|[ \t]*\n)*[ \t]+\S[^\n]*\n)*(?:[ \t]*\n)*)",
    re.MULTILINE,
)


def replaced(text: str, groups: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """`text` of a params.yaml with the entries of its section `variants` replaced.

    An entry that stays keeps its lines, and with them its comment; comments on lines of their own
    stay above the entry that they stand above, or where that goes, above the next that stays.
    Raises UserError where there is no such section in the block style.
    """
    text = text if text.endswith("\n") else f"{text}\n"
    section = SECTION.search(text)
    if section is None:
        raise UserError(f"{params.FILE}: has no line `variants:` with its entries indented below")
    entries = section.group(1)
    blank = re.search(r"\n*\Z", entries).group()[1:]  # between this section and the next
    names = {name for variants in groups.values() for name in variants}
    old, remarks = _entries(entries, {f"{group}:" for group in groups} | names)
    lines = []
    for group, variants in groups.items():
        comment = old.get(f"{group}:", "").partition("#")[2]
        head = f"  {group}:" if variants else f"  {group}: {{}}"
        lines += remarks.get(f"{group}:", [])
        lines.append(f"{head:<24} #{comment}" if comment else head)
        for name, on in variants.items():
            lines += remarks.get(name, [])
            lines.append(_entry(name, list(on), old.get(name, "")))
    lines += remarks[""]
    new = text[: section.start(1)] + "\n".join(lines) + "\n" + blank + text[section.end(1) :]
    if edited.content_of(new)["variants"] != groups:
        raise UserError(f"{params.FILE}: the section `variants` could not be replaced; edit it")
    return new


def _entries(text: str, staying: Container[str]) -> tuple[dict[str, str], dict[str, list[str]]]:
    """The lines of each entry of the section, by the name of the variant, or of the group with a
    colon, as a variant may be called like it; and the comments that stand above those that stay,
    at the end of the section by an empty name."""
    old: dict[str, str] = {}
    remarks: dict[str, list[str]] = {}
    waiting: list[str] = []
    outer = inner = None  # columns of groups, and of their variants
    name = ""
    for line in filter(str.strip, text.splitlines()):
        column = len(line) - len(line.lstrip())
        key = line.strip().partition(":")[0].strip("'\"")
        if line.lstrip().startswith("#"):
            waiting.append(line)
            continue
        outer = column if outer is None else outer
        if column > outer:
            inner = column if inner is None else inner
        if inner is not None and column > inner:  # the value of the last, on lines of its own
            old[name] += f"\n{line}"
            continue
        name = f"{key}:" if column == outer else key
        old[name] = line
        if name in staying:
            remarks[name], waiting = waiting, []
    return old, remarks | {"": waiting}


def _entry(name: str, on: list[str], before: str) -> str:
    """The lines of a variant: those of before where they say the same. Quoted where YAML would
    take the name for a number, say."""
    plain, quoted = (f"    {key}: [{', '.join(on)}]" for key in (name, f'"{name}"'))
    for lines in (before, plain):
        with contextlib.suppress(YAMLError):
            if edited.content_of(textwrap.dedent(lines)) == {name: on}:
                return lines
    return quoted


def explained(design: Design) -> list[str]:
    """What the design tells and what it takes for granted, line by line."""
    techniques = design.techniques
    sets = designs.DESIGNS[design.kind](techniques, design.resolution)
    count = len(sets) * len(design.starts)
    plural = "" if len(techniques) == 1 else "s"
    lines = [f"{design.kind} of {len(techniques)} technique{plural}: {count} variants"]
    if len(design.starts) > 1:
        lines = [f"{lines[0]}, {len(sets)} for each of {', '.join(design.starts)}"]
        lines.append("it tells what each start does on average, and how techniques change that")
    kind, resolution = designs.proposed(len(techniques))
    if design.kind != kind or (kind == "fraction" and design.resolution != resolution):
        better = f"{kind}, design.resolution: {resolution}" if kind == "fraction" else kind
        lines.append(f"the fewest trainings for main effects alone: design.kind: {better}")
    if len(techniques) == 1 < len(design.starts):
        return lines
    if len(techniques) < 2 or not designs.orthogonal(sets, techniques):
        return [
            *lines,
            "it tells what each technique does on average over having the others or not, what it "
            "adds to nothing, and what the full recipe has from it; not which two interact",
        ]
    reached = designs.resolution_of(sets, techniques)
    if reached == math.inf:
        return [*lines, "nothing is aliased: it tells every main effect and interaction"]
    chains = designs.aliases(sets, techniques, order=2)
    lines.append(f"resolution {reached:.0f}; an effect holds also those it is aliased with:")
    lines += [f"  {effect} = {' = '.join(chain)}" for effect, chain in chains.items()][:SHOWN]
    return lines + (["  ..."] if len(chains) > SHOWN else [])


def powered(whole: Params, variants: Mapping[str, Sequence[str]]) -> str:
    """How many trainings the design needs to tell a main effect as large as the rope; "" where it
    tells none, or nothing is known yet of how the metric varies."""
    options, design = whole.compare, whole.design
    metric = METRICS[options.metric]
    sets = designs.sets_of(**dict(design))
    contrasts = designs.effects(variants, sets, design.techniques, 1, starts=starts())
    main = [c for c in contrasts if c.kind == "main"]
    if not main:
        return ""
    known, source = _variances(options.metric, contrasts)
    facts = json.loads(paths.DATA_FACTS.read_text()) if paths.DATA_FACTS.exists() else None
    rope = getattr(options.rope, options.metric)
    if known is None or facts is None or not rope:
        return "run the study once to know how many trainings a main effect needs to be told"
    plan = power.Plan(
        effect=rope,
        power=POWER,
        alpha=options.alpha,
        family=len(main),
        images=facts["images"]["dev"],
        folds=whole.folds.k,
        guard=options.guard,
    )
    repeats = power.repeats(main, known, plan)
    effect = f"a main effect of {rope * metric.scale:g} {metric.step} (the rope)"
    if repeats is None:
        enough = power.images(main, known, plan)
        return (
            f"{effect} takes more than {enough} images to be told, there are {plan.images}: "
            f"{source}"
        )
    trainings = repeats * plan.folds * len({v for c in main for v, w in c.weights.items() if w})
    return (
        f"{effect} is told in {POWER:.0%} of studies by {repeats} repeats, {trainings} trainings: "
        f"{plan.images} images, {options.alpha:.0%} after Holm's correction over {plan.family}, "
        f"{source}"
    )


def _variances(metric: str, contrasts: Sequence[Contrast]) -> tuple[power.Variances | None, str]:
    """How a metric varies, and from where that is known."""
    table = paths.REPORTS / "ablation.csv"
    if table.exists():
        rows = report.read_table(table, missing="heu")  # by estimates that split no variances
        rows = rows[rows["metric"] == metric].to_dict("records")
        if {"h", "e", "u"} <= set(rows[0] if rows else ()):
            known = power.variances(rows, contrasts)
            if known is not None:
                return known, "variances as in reports/ablation.csv"
    if metric == "accuracy":
        return power.TYPICAL, "variances as of a small network on digits"
    return None, ""


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
    workers = _side_by_side(whole)
    took = sorted(seconds)[len(seconds) // 2]
    span = timedelta(seconds=round(trials * took / workers))
    return (
        f"{text}; about {span} in all with {workers} side by side, if one takes {took:.1f} s, the "
        f"median of the {len(seconds)} that MLflow has of this study (those kept cost nothing)"
    )


def _side_by_side(whole: Params) -> int:
    """Trials that this machine trains at once, of the baseline's network on the prepared images."""
    execution, dev, on_gpu = whole.execution, paths.PREPARED / "dev", False
    if dev.exists():
        shape = pool.read(dev).images.shape[1:]
        on_gpu = device.is_gpu(choice.kind(execution, whole.sections.recipe([]), shape, whole.task))
    return len(local.places(on_gpu, whole.train.threads, execution.workers, execution.per_gpu))


def main() -> None:
    """Write the variants. Raises UserError for a custom design, or where params would be bad."""
    before = params.read(variants_to_come=True)  # lists may name variants that are written here
    if before.design.kind == "custom":
        raise UserError(f"{params.FILE}: design.kind = 'custom': variants are yours to write")
    variants = variants_of(before)
    text = params.FILE.read_bytes().decode()
    ending = "\r\n" if "\r\n" in text else "\n"
    new = replaced(text.replace("\r\n", "\n"), grouped(before, variants)).replace("\n", ending)
    whole = params.of_text(new)  # refuses such as a variant to be drawn that would be gone
    if new != text:
        written = Path(f".{params.FILE}.new")
        written.write_bytes(new.encode())
        written.replace(params.FILE)
    for line in (*explained(whole.design), powered(whole, variants)):
        if line:
            print(line)
    for word, ours, others in (
        ("new", variants, before.variants.every),
        ("gone", before.variants.every, variants),
    ):
        names = [name for name in ours if name not in others]
        if names:
            print(f"{word}: {', '.join(names)}")
    print(cost(whole, variants))


if __name__ == "__main__":
    run_command(main)
