"""Designs: sets of techniques to train, and which effects a set of variants lets one estimate.

Here `variants` maps a name to the techniques that are on; a *set* is a frozenset of techniques. How
training starts is a technique too, one with several levels: variants of one start are a *block*,
and the block of those without any is called scratch.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cnnlab.compare.contrasts import (
    Contrast,
    Incomparable,
    alone,
    averaged_over,
    interaction,
    least_squares,
    pair,
    placebo,
    removed,
    shapley,
)
from cnnlab.recipe.techniques import SCRATCH

Variants = Mapping[str, Iterable[str]]
Sets = list[frozenset[str]]

# The questions that a contrast may answer, in the order of tables and figures, and how to put them.
KINDS = {
    "main": "Main effects: on average over having the others or not",
    "start": "How training starts: on average over the techniques",
    "together": "All techniques at once: the full recipe against the baseline",
    "alone": "Added to the baseline: each technique alone",
    "removed": "Lost when removed from the full recipe: what each technique is worth there",
    "interaction": "Interactions: half of what others do to an effect",
    "shapley": "Shapley values: shares in the gain of all techniques",
    "ensemble": "Ensembles: averaged networks against a single one",
    "pair": "Differences: one variant against another",
    "placebo": "Placebo: only seeds differ",
}
PLACEBO = "placebo"  # the technique that changes nothing but seeds
RECOMMENDED = "recommended"  # in the place of a variant's name: the one that is recommended


def star(techniques: Sequence[str], resolution: int = 0) -> Sets:
    """None, each alone, all, all but each: 2 K + 2 sets (fewer where K < 3).

    Tells what each adds to nothing, what the full recipe has from it, and by least squares what it
    does on average over having the others or not: no two-way interaction hides in that, though
    which two interact is not told.
    """
    single = [{t} for t in techniques]
    but_one = [set(techniques) - {t} for t in techniques]
    return list(dict.fromkeys(map(frozenset, [set(), *single, set(techniques), *but_one])))


def full(techniques: Sequence[str], resolution: int = 0) -> Sets:
    """Every set, 2**K of them in standard order: the first technique changes fastest."""
    return [
        frozenset(t for i, t in enumerate(techniques) if run >> i & 1)
        for run in range(2 ** len(techniques))
    ]


def fraction(techniques: Sequence[str], resolution: int) -> Sets:
    """The smallest regular fraction 2**(K - p) of `full` with at least the resolution, in standard
    order; `full` itself where no fraction has it. The set without techniques is in it.

    Resolution 5: main effects and two-way interactions are aliased with nothing below the third
    order. 4: two-way interactions with each other. 3: main effects with two-way interactions.

    Generators are searched exhaustively, and the result is checked by brute force.
    """
    count = len(techniques)
    for added in range(count - 1, 0, -1):
        base = count - added
        # An added technique is on where an odd number of the techniques in its word are.
        words = [w for w in range(2**base) if w.bit_count() >= resolution - 1]
        words.sort(key=int.bit_count, reverse=True)
        for chosen in itertools.combinations(words, added):
            relation = [word | 1 << (base + i) for i, word in enumerate(chosen)]
            if all(_product(pick).bit_count() >= resolution for pick in _picks(relation)):
                runs = []
                for run in range(2**base):
                    for i, word in enumerate(chosen):
                        run |= ((run & word).bit_count() & 1) << (base + i)
                    runs.append(frozenset(t for i, t in enumerate(techniques) if run >> i & 1))
                reached = resolution_of(runs, techniques)
                if reached < resolution:
                    raise AssertionError(f"generators {chosen} give resolution {reached}")
                return runs
    return full(techniques)


def custom(techniques: Sequence[str], resolution: int = 0) -> Sets:
    """Nothing is asked for: the variants are chosen by hand."""
    return []


DESIGNS: dict[str, Callable[[Sequence[str], int], Sets]] = {
    "star": star,
    "factorial": full,
    "fraction": fraction,
    "custom": custom,
}


def sets_of(
    kind: str,
    techniques: Sequence[str],
    starts: Sequence[str],
    resolution: int,
    placebo: bool = False,
) -> Sets:
    """The sets that a design asks for: those of its techniques, with each start, and after the
    first one the placebo; none for a custom one."""
    sets = DESIGNS[kind](techniques, resolution)
    sets = [on | ({start} - {SCRATCH}) for start in starts for on in sets]
    if placebo and sets:
        sets.insert(1, frozenset({PLACEBO, starts[0]} - {SCRATCH}))
    return sets


def proposed(techniques: int) -> tuple[str, int]:
    """The kind and resolution of the design that tells the main effects of so many techniques with
    the fewest trainings: star up to five, then a fraction of resolution IV."""
    return ("star", 5) if techniques <= 5 else ("fraction", 4)


def missing(sets: Sets, order: Sequence[str], variants: Variants) -> list[str]:
    """The sets that no variant is, as text, their techniques in this order. Other variants may
    stand beside the design's."""
    existing = {frozenset(on) for on in variants.values()}
    lacking = [on for on in sets if on not in existing]
    return [", ".join(t for t in order if t in on) or "no technique" for on in lacking]


def _picks(words: Sequence[int]) -> Iterable[tuple[int, ...]]:
    for size in range(1, len(words) + 1):
        yield from itertools.combinations(words, size)


def _product(words: Iterable[int]) -> int:
    product = 0
    for word in words:
        product ^= word
    return product


def named(
    sets: Iterable[frozenset[str]], techniques: Sequence[str], starts: Sequence[str] = ()
) -> dict[str, list[str]]:
    """Variants for sets: baseline, a, a-b, all_but_c, all; freeze, freeze-a, freeze-all; set_7
    where that is no short name."""
    variants = {}
    for number, on in enumerate(sets):
        start = [name for name in starts if name in on]
        used = [t for t in techniques if t in on]
        unused = [t for t in techniques if t not in on]
        name = "-".join(used)
        if len(used) > 1 and len(unused) < len(used):
            name = f"all_but_{'-'.join(unused)}" if unused else "all"
        name = "-".join(filter(None, [*start, name])) or "baseline"
        variants[name if len(name) <= 64 else f"set_{number}"] = [*start, *used]
    return variants


def in_blocks(variants: Variants, starts: Collection[str]) -> dict[str, dict[str, frozenset[str]]]:
    """Start -> the variants that have it: name -> their other techniques. Scratch comes first."""
    blocks: dict[str, dict[str, frozenset[str]]] = {}
    for name, on in variants.items():
        start = next((t for t in on if t in starts), SCRATCH)
        blocks.setdefault(start, {})[name] = frozenset(on) - {start}
    return dict(sorted(blocks.items(), key=lambda block: block[0] != SCRATCH))


def effects(
    variants: Variants,
    sets: Sets,
    techniques: Sequence[str],
    order: int,
    pairs: Iterable[Sequence[str]] = (),
    starts: Collection[str] = (),
) -> list[Contrast]:
    """All contrasts of a study, kind by kind: those of `ablation` in each block, those of starts,
    those of an orthogonal design, and the user's `pairs`, [a, b] standing for a minus b.

    `sets`: the design's, of which there must be a variant each; empty: those of all variants that
    use no other than its `techniques` and `starts`, which are the names of techniques that are one.
    Main effects are by least squares over the sets of each block, where these are orthogonal (a
    full factorial, or a regular fraction) or there are more of them than effects. Where they are
    orthogonal, interactions up to `order` that nothing of lower order is aliased with are added;
    else, for each technique that is both alone and removed, whether that differs. All are averaged
    over the blocks (without a design's sets: over those that have the sets of the first). Where
    they are every set of at least three techniques there are Shapley values (of two they are the
    main effects).

    Raises Incomparable for a set without a variant, or a pair that names none.
    """
    by_set = {frozenset(on): name for name, on in variants.items()}
    for on in sets:
        if on not in by_set:
            raise Incomparable(
                f"no variant has just {', '.join(sorted(on)) or 'no technique'}, which the design "
                "needs"
            )
    real = {name: on for name, on in variants.items() if PLACEBO not in on}
    sets = sets or [frozenset(on) for on in real.values() if {*on} <= {*techniques, *starts}]
    blocks = in_blocks(real, starts)
    contrasts = [c for start in blocks for c in _in_block(start, blocks[start], len(blocks))]
    contrasts += _of_starts(blocks)
    studied = {by_set[on]: on for on in sets if PLACEBO not in on}
    design = list(in_blocks(studied, starts).values())
    contrasts += _of_design(design, techniques, order)
    if order > 1:
        contrasts += _in_company(contrasts)
        contrasts += _of_starts_and(techniques, blocks)
    for a, b in pairs:
        for name in (a, b):
            if name not in variants:
                raise Incomparable(f"pair [{a}, {b}]: there is no variant {name}")
        contrasts.append(pair(a, b))
    for on in by_set:
        if PLACEBO in on and on - {PLACEBO} in by_set:
            contrasts.append(placebo(by_set[on], by_set[on - {PLACEBO}]))
            break
    return sorted(contrasts, key=lambda c: list(KINDS).index(c.kind))


def _in_block(start: str, block: Mapping[str, frozenset[str]], blocks: int) -> list[Contrast]:
    """What `ablation` gives for one block, named by it where it is not the only one."""
    suffix = "" if start == SCRATCH or blocks == 1 else f" with {start}"
    return [replace(c, name=c.name + suffix) for c in ablation(block)]


def _between(
    blocks: Mapping[str, Mapping[str, frozenset[str]]],
) -> Iterable[tuple[str, dict[frozenset[str], str], dict[frozenset[str], str]]]:
    """Each pair of blocks: what to call the second less the first, and their variants by set."""
    by_set = {s: {on: name for name, on in block.items()} for s, block in blocks.items()}
    for first, second in itertools.combinations(blocks, 2):
        name = second if first == SCRATCH else f"{second} - {first}"
        yield name, by_set[first], by_set[second]


def _of_starts(blocks: Mapping[str, Mapping[str, frozenset[str]]]) -> list[Contrast]:
    """Each start less each other one, on average over the sets of techniques that both have."""
    return [
        averaged_over([Contrast(name, "start", {b[on]: 1.0, a[on]: -1.0}) for on in b if on in a])
        for name, a, b in _between(blocks)
        if a.keys() & b.keys()
    ]


def _of_starts_and(
    techniques: Iterable[str], blocks: Mapping[str, Mapping[str, frozenset[str]]]
) -> list[Contrast]:
    """The interaction of each technique with each pair of starts: half of what the second one does
    to its effect, on average over the sets of others for which all four variants are there."""
    contrasts = []
    for (name, a, b), t in itertools.product(_between(blocks), techniques):
        terms = [
            Contrast(
                f"{t} × {name}",
                "interaction",
                {b[on | {t}]: 0.5, b[on]: -0.5, a[on | {t}]: -0.5, a[on]: 0.5},
            )
            for on in b
            if t not in on and on | {t} in b and {on, on | {t}} <= a.keys()
        ]
        if terms:
            contrasts.append(averaged_over(terms))
    return contrasts


def _of_design(
    blocks: Sequence[Mapping[str, frozenset[str]]], techniques: Sequence[str], order: int
) -> list[Contrast]:
    """Main effects, interactions and Shapley values, on average over the blocks that have the sets
    of the first one."""
    sets = list(blocks[0].values()) if blocks else []
    blocks = [block for block in blocks if set(block.values()) == set(sets)]
    saturated = len(sets) <= 1 + len(techniques)
    if not techniques or (saturated and len(blocks) < 2 and not _fractional(sets, techniques)):
        return []  # such as of one technique: its main effect is what it adds alone
    levels = [[1, *(t in on for t in techniques)] for on in sets]
    if np.linalg.matrix_rank(levels) <= len(techniques):
        return []
    each = []
    for block in blocks:
        contrasts = [least_squares(t, block) for t in techniques]
        if orthogonal(sets, techniques):
            contrasts += _interactions(block, techniques, order)
        if len(sets) == 2 ** len(techniques) > 4:
            contrasts += [shapley(t, block) for t in techniques]
        each.append(contrasts)
    return [averaged_over(same_effect) for same_effect in zip(*each, strict=True)]


def _fractional(sets: Sets, techniques: Sequence[str]) -> bool:
    """Whether they are an orthogonal part of every set of several techniques."""
    return len(techniques) > 1 and orthogonal(sets, techniques)


def _interactions(inside: Variants, techniques: Sequence[str], order: int) -> list[Contrast]:
    """Of effects that are aliased with each other, the first speaks."""
    contrasts: list[Contrast] = []
    levels = set()
    for size in range(1, order + 1):
        for effect in itertools.combinations(techniques, size):
            signs = _column(effect, map(frozenset, inside.values()))
            key = tuple(s * signs[0] for s in signs)
            if key not in levels and len(set(key)) > 1:
                levels.add(key)
                if size > 1:
                    contrasts.append(interaction(effect, inside))
    return contrasts


def _in_company(contrasts: Iterable[Contrast]) -> list[Contrast]:
    """For each technique that is alone and removed, half of what all others do to its effect; not
    where two-way interactions are told one by one."""
    by = {(c.kind, c.name): c for c in contrasts}
    if any(kind == "interaction" for kind, _ in by):
        return []
    company = []
    for (kind, name), single in by.items():
        if kind == "alone" and ("removed", name) in by:
            weights = {v: w / 2 for v, w in by["removed", name].weights.items()}
            for variant, weight in single.weights.items():
                weights[variant] = weights.get(variant, 0.0) - weight / 2
            company.append(Contrast(f"{name} × the others", "interaction", weights))
    return company


def orthogonal(sets: Sets, techniques: Sequence[str]) -> bool:
    """Whether any two effects are either wholly separate or wholly aliased, main effects
    separate."""
    # A product of two effects' columns is the column of a third effect, so sums tell all.
    sums = (
        sum(_column(effect, sets))
        for size in range(1, len(techniques) + 1)
        for effect in itertools.combinations(techniques, size)
    )
    wholly = all(abs(total) in (0, len(sets)) for total in sums)
    return wholly and resolution_of(sets, techniques) >= 3


def resolution_of(sets: Sets, techniques: Sequence[str]) -> float:
    """The lowest order of an effect that is aliased with the mean, found by trying all of them;
    inf: none is, as in a full factorial."""
    for size in range(1, len(techniques) + 1):
        for effect in itertools.combinations(techniques, size):
            if sum(_column(effect, sets)) != 0:
                return size
    return math.inf


def aliases(sets: Sets, techniques: Sequence[str], order: int) -> dict[str, list[str]]:
    """For each effect up to `order`, the effects that a regular design cannot tell from it, lowest
    order first, with their sign: "a" -> ["−b × c × d × e"]."""
    columns = {
        effect: _column(effect, sets)
        for size in range(1, len(techniques) + 1)
        for effect in itertools.combinations(techniques, size)
    }
    aliased = {}
    for effect, levels in columns.items():
        if len(effect) <= order:
            aliased[" × ".join(effect)] = [
                f"{'' if levels == other else '−'}{' × '.join(alias)}"
                for alias, other in columns.items()
                if alias != effect and (levels == other or levels == [-x for x in other])
            ]
    return aliased


def _column(effect: Iterable[str], sets: Iterable[frozenset[str]]) -> list[int]:
    """±1 a set: the product of +1 for each technique of the effect that is on, else -1."""
    techniques = frozenset(effect)
    return [(-1) ** len(techniques - on) for on in sets]


def ablation(variants: Variants) -> list[Contrast]:
    """The add-one and leave-one-out contrasts that a set of variants allows.

    A technique is compared *alone* where there is a variant with just it and one with none, and
    *removed* where there is the variant with the most techniques (if one has more than all others)
    and one that lacks just it; and that variant is compared with the one that has none, *together*:
    all techniques, or where variants have others besides, all techniques of that one.
    What the variants are called does not matter. Order: kind by kind, and in each by the order of
    `variants`.
    """
    sets = {frozenset(on): name for name, on in variants.items()}
    sizes = sorted((len(on) for on in sets), reverse=True)
    biggest = max(sets, key=len)
    unique = len(sizes) == 1 or sizes[0] > sizes[1]
    single, without, together = [], [], []
    for on, name in sets.items():
        if len(on) == 1 and frozenset() in sets:
            (technique,) = on
            single.append(alone(technique, name, sets[frozenset()]))
        if unique and len(biggest) > 1 and on < biggest and len(biggest - on) == 1:
            (technique,) = biggest - on
            without.append(removed(technique, sets[biggest], name))
    if unique and len(biggest) > 1 and frozenset() in sets:
        weights = {sets[biggest]: 1.0, sets[frozenset()]: -1.0}
        every = biggest == frozenset().union(*sets)
        name = "all techniques" if every else f"all techniques of {sets[biggest]}"
        together = [Contrast(name, "together", weights)]
    return single + without + together
