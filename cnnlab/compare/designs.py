"""Designs: which effects a set of variants lets one estimate."""

from collections.abc import Mapping, Sequence

from cnnlab.compare.contrasts import Contrast, alone, removed


def ablation(variants: Mapping[str, Sequence[str]]) -> list[Contrast]:
    """The add-one and leave-one-out contrasts that a set of variants allows.

    `variants` maps a name to the techniques that are on. A technique is compared *alone* where
    there is a variant with just it and one with none, and *removed* where there is the variant with
    the most techniques (if one has more than all others) and one that lacks just it; and that
    variant is compared with the one that has none, *together*. What the variants are called does
    not matter. Order: kind by kind, and in each by the order of `variants`.
    """
    sets = {frozenset(on): name for name, on in variants.items()}
    sizes = sorted((len(on) for on in sets), reverse=True)
    full = max(sets, key=len)
    unique = len(sizes) == 1 or sizes[0] > sizes[1]
    single, without, together = [], [], []
    for on, name in sets.items():
        if len(on) == 1 and frozenset() in sets:
            (technique,) = on
            single.append(alone(technique, name, sets[frozenset()]))
        if unique and len(full) > 1 and on < full and len(full - on) == 1:
            (technique,) = full - on
            without.append(removed(technique, sets[full], name))
    if unique and len(full) > 1 and frozenset() in sets:
        weights = {sets[full]: 1.0, sets[frozenset()]: -1.0}
        together = [Contrast("all techniques", "together", weights)]
    return single + without + together
