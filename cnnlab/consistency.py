"""What the sections of params.yaml say of each other: each rule names what contradicts what.

`problems` gives all of them at once. A rule says which keys it needs, so that one bad value does
not hide what is wrong elsewhere. Rules of the kind LAW hold for every file that is read; those of
the kind FIT are asked by `check` alone, before anything runs: what fails only in a later stage, but
depends on params alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from cnnlab.compare import designs
from cnnlab.data.sources import SOURCES
from cnnlab.data.truths import TRUTHS
from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.techniques import SCRATCH, TECHNIQUES, starts
from cnnlab.recipe.variants import serves
from cnnlab.tasks import TASKS

LAW, LATER, FIT = "law", "later", "fit"  # LATER: of variants that `make design` is yet to write
HELD_OUT = 5  # folds of the images that a backbone learns from: one of them is held out
LISTED = 10  # sets of techniques that a message names


@dataclass(frozen=True)
class Rule:
    """`find`: the params -> what contradicts each other, a line each; asked where `needs`, dotted
    keys, are valid."""

    find: Callable[[Any], Iterable[str]]
    needs: tuple[str, ...]
    kind: str


RULES: list[Rule] = []


def _rule(*needs: str, kind: str = LAW) -> Callable:
    def add(find: Callable[[Any], Iterable[str]]) -> Callable[[Any], Iterable[str]]:
        RULES.append(Rule(find, needs, kind))
        return find

    return add


def problems(
    whole: Any, valid: Callable[[str], bool], kinds: Iterable[str] = (LAW, LATER)
) -> list[str]:
    """What contradicts each other in params, a line each: key = value: what is allowed.

    `whole`: a `Params`, in which what is not valid may be missing. `valid`: whether what a dotted
    key holds is there. `kinds`: of rules to ask.
    """
    kinds = set(kinds)
    asked = [rule for rule in RULES if rule.kind in kinds and all(map(valid, rule.needs))]
    return list(dict.fromkeys(line for rule in asked for line in rule.find(whole)))


def _not(key: str, value: Any, allowed: str) -> str:
    return f"{key} = {value!r}: allowed: {allowed}"


def _join(names: Iterable[str]) -> str:
    return ", ".join(names)


def _of_list(
    key: str, names: list[str], known: Iterable[str], what: str, allowed: str
) -> Iterator[str]:
    """Names of a list are known, and each is there once."""
    known = list(known)
    for name in dict.fromkeys(names):
        if name not in known:
            yield _not(key, name, f"{allowed}: {_join(known)}")
    if len(set(names)) != len(names):
        yield _not(key, names, f"each {what} once")


def _groups(whole: Any) -> Iterator[tuple[str, str, list[str]]]:
    """Group, name and techniques of every variant."""
    for group, variants in whole.variants:
        for name, on in variants.items():
            yield group, name, on


@_rule("model")
def _one_network(whole: Any) -> Iterator[str]:
    names = list(chosen(whole.model))
    if len(names) != 1:
        yield _not("model", names, f"exactly one network of {_join(NETS.names())}")


@_rule("model", "backbone")
def _weights(whole: Any) -> Iterator[str]:
    """Where the backbone's weights come from is possible for its network."""
    networks, weights = chosen(whole.backbone.model or whole.model), whole.backbone.weights
    if len(networks) != 1:
        return
    (net,) = networks
    for value, needs in (("package", "PACKAGE"), ("imagenet", "imagenet")):
        able = [name for name in NETS.names() if hasattr(NETS[name], needs)]
        if weights == value and net not in able:
            where = f"where backbone.model is {' or '.join(able)}; it is {net}"
            yield _not("backbone.weights", weights, where)
            return
    if weights != "pretrain" and not hasattr(NETS[net], "layer_name"):
        own = f"pretrain, as the backbone is a {net}, which takes no weights of others"
        yield _not("backbone.weights", weights, own)
    elif (weights in ("pretrain", "package", "imagenet")) != (whole.backbone.sha256 is None):
        yield _not(
            "backbone.sha256",
            whole.backbone.sha256,
            "the file's sha256 where weights is a path or URL, null where it is not",
        )


@_rule("variants", kind=LATER)
def _some_variant(whole: Any) -> Iterator[str]:
    if not whole.variants.every:
        yield _not("variants", {}, "at least one variant")


@_rule("variants")
def _names(whole: Any) -> Iterator[str]:
    every = list(whole.variants.every)
    if len(every) != len(list(_groups(whole))):
        yield _not("variants", every, "each name once")
    if designs.RECOMMENDED in every:
        why = "another name, as visualize.variants means by it the one that is recommended"
        yield _not("variants", designs.RECOMMENDED, why)


def _techniques_of(key: str, names: list[str], whole: Any) -> Iterator[str]:
    known = sorted(chosen(whole.techniques))
    yield from _of_list(key, names, known, "technique", "techniques with hyperparameters")


def _no_start(key: str, names: list[str]) -> Iterator[str]:
    both = [name for name in names if name in starts()]
    if both:
        yield _not(key, both, "no start: starts are for variants and design.starts")


def _besides(key: str, names: list[str], everywhere: list[str]) -> Iterator[str]:
    if set(names) & set(everywhere):
        shared = f"none of train.techniques, which every variant has: {_join(everywhere)}"
        yield _not(key, names, shared)


@_rule("techniques", "train.techniques")
def _everywhere(whole: Any) -> Iterator[str]:
    yield from _techniques_of("train.techniques", whole.train.techniques, whole)
    yield from _no_start("train.techniques", whole.train.techniques)


@_rule("techniques", "backbone.techniques")
def _of_backbone(whole: Any) -> Iterator[str]:
    yield from _techniques_of("backbone.techniques", whole.backbone.techniques, whole)
    yield from _no_start("backbone.techniques", whole.backbone.techniques)


@_rule("techniques", "variants", "train.techniques")
def _of_variants(whole: Any) -> Iterator[str]:
    for group, name, on in _groups(whole):
        yield from _techniques_of(f"variants.{group}.{name}", on, whole)
        yield from _besides(f"variants.{group}.{name}", on, whole.train.techniques)


@_rule("techniques", "design", "train.techniques")
def _of_design(whole: Any) -> Iterator[str]:
    key, names = "design.techniques", whole.design.techniques
    yield from _techniques_of(key, names, whole)
    yield from _no_start(key, names)
    yield from _besides(key, names, whole.train.techniques)
    both = [name for name in names if name == designs.PLACEBO]
    if both:
        yield _not(key, both, "no placebo: design.placebo asks for it")
    known = chosen(whole.techniques)
    if whole.design.placebo and designs.PLACEBO not in known:
        listed = f"false, or {designs.PLACEBO}: {{}} under techniques"
        yield _not("design.placebo", True, listed)
    begin = [SCRATCH, *(name for name in starts() if name in known)]
    yield from _of_list("design.starts", whole.design.starts, begin, "start", "starts")


@_rule("task", "techniques", "design")
def _designed_for(whole: Any) -> Iterator[str]:
    """What `make design` writes into variants serves the task."""
    for name in dict.fromkeys(whole.design.techniques):
        if not serves(name, whole.task):
            yield _not("design.techniques", name, f"techniques that serve {_task(whole)}")


@_rule("decide", "folds.repeats")
def _further_repeats(whole: Any) -> Iterator[str]:
    most, first = whole.decide.max_repeats, whole.folds.repeats
    if most is not None and most <= first:
        yield _not("decide.max_repeats", most, f"more than folds.repeats = {first}, or null")


@_rule("variants", "visualize", kind=LATER)
def _drawn(whole: Any) -> Iterator[str]:
    every = whole.variants.every
    yield from _of_list(
        "visualize.variants",
        whole.visualize.variants,
        [*every, designs.RECOMMENDED],
        "variant",
        "variants",
    )


@_rule("variants", "sizes.variants", kind=LATER)
def _sized(whole: Any) -> Iterator[str]:
    every = whole.variants.every
    yield from _of_list("sizes.variants", whole.sizes.variants, every, "variant", "variants")


@_rule("variants", "compare.pairs", kind=LATER)
def _pairs(whole: Any) -> Iterator[str]:
    every = whole.variants.every
    for pair in whole.compare.pairs:
        for name in dict.fromkeys(pair):
            yield from _of_list("compare.pairs", [name], every, "variant", "variants")
        if pair[0] == pair[1]:
            yield _not("compare.pairs", pair, "two different variants")


@_rule("task", "model", "train", "techniques", "backbone", "variants")
def _possible(whole: Any) -> Iterator[str]:
    """Each variant is possible, another than all others, and in the group it belongs to."""
    sections, known = whole.sections, set(chosen(whole.techniques))
    if len(chosen(whole.model)) != 1 or not {*whole.train.techniques} <= known:
        return  # which other rules say
    _, said = _made("train.techniques", sections.everywhere)
    yield from said
    learnt, of_backbone = None, []
    if {*whole.backbone.techniques} <= known:
        learnt, of_backbone = _made("backbone.techniques", sections.pretraining)
        yield from of_backbone
    sets: dict[frozenset[str], str] = {}
    for group, name, on in _groups(whole):
        key = f"variants.{group}.{name}"
        begins_there = bool(set(on) & set(starts()))
        if said or not set(on) <= known or (begins_there and learnt is None):
            continue
        recipe, why = _made(key, lambda on=on: sections.recipe(on))
        yield from why
        if recipe is None:
            continue
        if recipe.features is not None and not TASKS[whole.task].FEATURES:
            none = f"null, as networks of {_task(whole)} answer from maps, not from features"
            yield _not("backbone.features", recipe.features, none)
        where = "transfer" if recipe.phases else "train"
        begins = "at the backbone" if recipe.phases else "at random weights"
        if group != where:
            yield _not(key, on, f"below variants.{where}, as it begins {begins}")
        twin = sets.setdefault(frozenset(on), name)
        if twin != name:
            yield _not(key, on, f"another set than {twin}'s")


def _made(key: str, make: Callable[[], Any]) -> tuple[Any, list[str]]:
    """What `make` makes, and no line; where it cannot, None and the line that says why."""
    try:
        return make(), []
    except UserError as error:
        return None, [f"{key}: {error}"]


@_rule("variants", "backbone.weights", "data.pretrain", kind=LATER)
def _pretraining(whole: Any) -> Iterator[str]:
    """A backbone is learnt if, and only if, there are variants that begin at it."""
    task, weights = whole.data.pretrain.task, whole.backbone.weights
    learnt = bool(whole.variants.transfer) and weights == "pretrain"
    if learnt != (task is not None):
        yield _not(
            "data.pretrain.task",
            task,
            "labels or rotation where variants.transfer has entries and backbone.weights is"
            " pretrain, else null",
        )


@_rule("execution")
def _device(whole: Any) -> Iterator[str]:
    """A cluster is asked for a GPU where trials are to be computed on one, and only there."""
    on = whole.execution
    if on.backend != "local" and on.device == ("cpu" if on.gpus else "gpu"):
        some = f"{'0' if on.gpus else 'more than 0'}, as execution.device is {on.device}"
        yield _not("execution.gpus", on.gpus, some)


# What the task leaves no choice of -------------------------------------------------------------


def _task(whole: Any) -> str:
    return f"task: {whole.task}"


@_rule("task", "compare.metric")
def _metric(whole: Any) -> Iterator[str]:
    metric, known = whole.compare.metric, TASKS[whole.task].METRICS
    if metric not in known:
        yield _not("compare.metric", metric, f"metrics of {_task(whole)}: {_join(known)}")


@_rule("task", "compare.rope")
def _ropes(whole: Any) -> Iterator[str]:
    """Each metric of the task has its rope, and no other metric has one."""
    known = TASKS[whole.task].METRICS
    ropes = {name: rope for name, rope in whole.compare.rope if rope is not None}
    for name in known:
        if name not in ropes:
            yield f"compare.rope.{name}: missing; {_task(whole)} has this metric"
    for name in ropes:
        if name not in known:
            others = f"none, as {_task(whole)} has other metrics: {_join(known)}"
            yield _not(f"compare.rope.{name}", ropes[name], others)


@_rule("task", "train.members")
def _members(whole: Any) -> Iterator[str]:
    if whole.train.members > 1 and not TASKS[whole.task].AVERAGED:
        one = f"1, as answers of networks of {_task(whole)} are not averaged"
        yield _not("train.members", whole.train.members, one)


@_rule("task", "final.flips")
def _flips(whole: Any) -> Iterator[str]:
    task = TASKS[whole.task]
    if whole.final.flips and (task.MAPS or not task.AVERAGED):
        off = f"false, as answers of networks of {_task(whole)} to mirror images are not averaged"
        yield _not("final.flips", True, off)


@_rule("task", "data.classes")
def _all_classes(whole: Any) -> Iterator[str]:
    if whole.data.classes is not None and not TASKS[whole.task].MERGES:
        every = f"null, as classes of {_task(whole)} are those that its source names"
        yield _not("data.classes", whole.data.classes, every)


@_rule("task", "model")
def _hidden(whole: Any) -> Iterator[str]:
    """Hidden dense layers have a part in the network."""
    for net, options in chosen(whole.model).items():
        if getattr(options, "dense", None) and not TASKS[whole.task].FEATURES:
            none = f"[], as networks of {_task(whole)} have no hidden dense layers"
            yield _not(f"model.{net}.dense", options.dense, none)


# What fits together, which `check` asks ----------------------------------------------------------


@_rule("task", "data.source", kind=FIT)
def _true(whole: Any) -> Iterator[str]:
    """The source has what the task learns from besides labels."""
    truth = TRUTHS[whole.task].TRUTH
    able = [n for n in SOURCES.names() if truth in getattr(SOURCES[n], "TRUTH", ())]
    if truth is not None and whole.data.source not in able:
        needed = f"sources with {truth}, which {_task(whole)} needs: {_join(able)}"
        yield _not("data.source", whole.data.source, needed)


@_rule("design", "variants", kind=FIT)
def _designed(whole: Any) -> Iterator[str]:
    """The variants are its design's."""
    design, every = whole.design, whole.variants.every
    if design.kind == "custom":
        return
    needed = 2 ** len(design.techniques) * len(design.starts)
    if design.kind == "factorial" and needed > 4096 > len(every):  # too many to be named
        yield f"design.kind = 'factorial' needs {needed:,} variants, there are {len(every)}"
        return
    sets = designs.sets_of(**dict(design))
    order = [*design.starts, *design.techniques, designs.PLACEBO]
    lacking = designs.missing(sets, order, every)
    if lacking:
        more = f" and {len(lacking) - LISTED} more" if len(lacking) > LISTED else ""
        yield (
            f"design.kind = {design.kind!r} needs variants with just "
            f"{'; '.join(lacking[:LISTED])}{more}; run `make design`, or set kind: custom"
        )


@_rule("compare.pairs", kind=FIT)
def _pairs_once(whole: Any) -> Iterator[str]:
    pairs = whole.compare.pairs
    for i, pair in enumerate(pairs):
        if pair in pairs[:i] or pair[::-1] in pairs[:i]:
            yield _not("compare.pairs", pair, "each two variants once")


@_rule("sizes", "folds.k", "data.dev_per_class", kind=FIT)
def _per_class(whole: Any) -> Iterator[str]:
    """A fold's training images are as many as sizes and folds ask for."""
    sizes, k, images = whole.sizes.per_class, whole.folds.k, whole.data.dev_per_class
    if len(set(sizes)) != len(sizes):
        yield _not("sizes.per_class", sizes, "each size once")
    if images is None:
        return  # which only the images tell
    if k > images:
        yield _not(
            "folds.k", k, f"at most data.dev_per_class = {images}: an image a class and fold"
        )
        return
    most = images - ceil(images / k)
    for size in sizes if whole.sizes.variants else ():
        if size >= most:
            have = f"data.dev_per_class = {images} in folds.k = {k} folds leave to train on"
            allowed = f"less than {most}, which {have}, and which variants are tried with anyway"
            yield _not("sizes.per_class", size, allowed)


@_rule("sizes", "task", "model", "train", "techniques", "backbone", "variants", kind=FIT)
def _some_held_back(whole: Any) -> Iterator[str]:
    """Of each class an image is left to train on where early stopping holds one back."""
    if 1 not in whole.sizes.per_class:
        return
    for name in whole.sizes.variants:
        on = whole.variants.every.get(name, [])
        recipe, _ = _made(name, lambda on=on: whole.sections.recipe(on))
        if recipe is not None and recipe.stopping is not None:
            two = f"at least 2 with early_stopping ({name}), which holds one of each class back"
            yield _not("sizes.per_class", 1, two)
            return


@_rule("data.classes", "data.pretrain", kind=FIT)
def _classes(whole: Any) -> Iterator[str]:
    """Classes that are named are enough, and each belongs to one thing."""
    classes, pretrain = whole.data.classes, whole.data.pretrain
    if isinstance(classes, Mapping):
        into: dict[str, str] = {}
        for name, members in classes.items():
            for member in dict.fromkeys(members):
                first = into.setdefault(member, name)
                if first != name:
                    allowed = f"each class once; it is in {first} already"
                    yield _not(f"data.classes.{name}", member, allowed)
    names = list(dict.fromkeys(classes or ()))
    if classes and len(names) < 2:
        yield _not("data.classes", classes, "null, or at least 2 classes")
    elif names:
        for name in pretrain.taken:
            if name not in names:
                of = f"classes of data.classes: {_join(names)}"
                yield _not("data.pretrain.classes", name, of)
        if len(set(names) - set(pretrain.taken)) < 2:
            left = "what leaves at least 2 classes of data.classes to the study"
            yield _not("data.pretrain.classes", pretrain.classes, left)


@_rule("data.pretrain", kind=FIT)
def _enough_to_learn_from(whole: Any) -> Iterator[str]:
    asked = whole.data.pretrain
    groups = len(asked.taken) if asked.task == "rotation" and asked.taken else 1
    least = ceil(HELD_OUT / groups)
    if asked.task and asked.per_class < least:
        folds = f"a fifth of the images is held out of the backbone's training, so {least} or more"
        yield _not("data.pretrain.per_class", asked.per_class, folds)


@_rule(*("model", "backbone.model", "data.image_size", "techniques", "train", "variants"), kind=FIT)
def _large_enough(whole: Any) -> Iterator[str]:
    if whole.data.image_size:
        side = whole.data.image_size
        yield from too_small(whole, side, f"data.image_size = {side}")


# How many times networks halve an image that they take as it is, by their options.
HALVINGS = {
    "vgg": lambda size: len(size.filters),
    "resnet": lambda size: len(size.filters) - 1 + size.pool,
}


def too_small(whole: Any, side: int, given: str) -> Iterator[str]:
    """What is wrong with networks for images of a shorter side of so many pixels, which `given`
    says in words."""
    for group, key in (("train", "model"), ("transfer", "backbone.model")):
        networks = whole.model if key == "model" else whole.backbone.model
        for net, options in chosen(networks).items() if networks else ():
            seen = getattr(options, "size", None) or side
            if net in HALVINGS:
                times = HALVINGS[net](options)
                least = 2**times
                if side < least:
                    fewer = f"fewer: an image is halved {times} times, and {given}"
                    yield _not(f"{key}.{net}.filters", options.filters, fewer)
                    continue
            elif hasattr(NETS[net], "SMALLEST"):
                least = NETS[net].SMALLEST
                if seen < least:
                    larger = f"{least} or more, as {given}"
                    yield _not(f"{key}.{net}.size", None, larger)
                    continue
            else:
                continue
            for name, scale in _scales(whole, group):
                if int(seen * scale) < least:
                    enough = ceil(100 * least / seen) / 100
                    larger = f"{enough} or more" if enough < 1 else f"no {name}"
                    why = f"{net} takes {least} pixels at least, and {given}"
                    yield _not(f"techniques.{name}.scale", scale, f"{larger}: {why}")


def _scales(whole: Any, group: str) -> Iterator[tuple[str, float]]:
    """The techniques by which a group's variants see smaller images for a while, and the scale."""
    variants = getattr(whole.variants, group)
    used = {name for on in variants.values() for name in on} | set(whole.train.techniques)
    for name, options in chosen(whole.techniques).items():
        if variants and name in used and hasattr(TECHNIQUES[name], "resolutions"):
            yield name, min(s for _, s in TECHNIQUES[name].resolutions(2, **options.model_dump()))
