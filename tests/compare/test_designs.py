"""Designs: which effects a set of variants allows."""

import collections
import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.compare import Incomparable, ablation, designs


def steps(contrasts):
    """Each contrast as (technique, kind, plus, minus)."""
    found = set()
    for c in contrasts:
        assert sorted(c.weights.values()) == [-1, 1]
        plus, minus = sorted(c.weights, key=c.weights.get, reverse=True)
        found.add((c.name, c.kind, plus, minus))
    assert len(found) == len(contrasts)
    return found


def star(names):
    """None, each alone, all, and all but each."""
    variants = {"none": []} | {f"only_{n}": [n] for n in names} | {"every": list(names)}
    return variants | {f"no_{n}": [m for m in names if m != n] for n in names}


def test_the_committed_variants_tell_of_every_technique(committed):
    """Alone where a variant has just it, removed where the fullest variant has it."""
    contrasts = ablation(committed.variants)
    sets = {name: set(on) for name, on in committed.variants.items()}
    (largest,) = [n for n, on in sets.items() if all(len(on) >= len(x) for x in sets.values())]
    asked = {
        "alone": {t for on in sets.values() if len(on) == 1 for t in on},
        "removed": {t for t in sets[largest] if sets[largest] - {t} in sets.values()},
    }
    for kind, techniques in asked.items():
        assert {c.name for c in contrasts if c.kind == kind} == techniques
        assert sum(c.kind == kind for c in contrasts) == len(techniques)
    assert asked["removed"] == sets[largest] and len(asked["alone"]) >= 5
    (smallest,) = [n for n, on in committed.variants.items() if not on]
    together = contrasts[-1]
    assert together.weights == {largest: 1, smallest: -1}


def test_a_star_gives_what_its_names_say():
    assert steps(ablation(star("abc"))) == {
        *((n, "alone", f"only_{n}", "none") for n in "abc"),
        *((n, "removed", "every", f"no_{n}") for n in "abc"),
        ("all techniques", "together", "every", "none"),
    }


@given(
    st.dictionaries(
        st.text("xyz", min_size=1, max_size=3),
        st.lists(st.sampled_from("abcd"), unique=True),
        min_size=1,
    ),
    st.randoms(use_true_random=False),
)
def test_neither_order_nor_names_matter_and_each_effect_is_one_step(variants, chance):
    unlike = {frozenset(on): name for name, on in variants.items()}
    variants = {name: list(on) for on, name in unlike.items()}
    found = steps(ablation(variants))

    items = [(f"v_{name}", on) for name, on in variants.items()]
    chance.shuffle(items)
    renamed = {name: chance.sample(on, len(on)) for name, on in items}
    again = {(t, k, p[2:], m[2:]) for t, k, p, m in steps(ablation(renamed))}
    assert again == found

    for technique, kind, plus, minus in found:
        step = set(variants[plus]) - set(variants[minus])
        assert set(variants[minus]) < set(variants[plus])
        assert kind == "together" or step == {technique}
        assert kind != "alone" or not variants[minus]
        assert kind != "together" or not variants[minus]


@pytest.mark.parametrize(
    ("variants", "kinds"),
    [
        ({"none": []}, set()),
        ({"all": ["a", "b"]}, set()),
        ({"a": ["a"], "b": ["b"]}, set()),  # nothing to compare with
        ({"none": [], "a": ["a"]}, {"alone"}),  # the technique alone is not "all"
        ({"none": [], "ab": ["a", "b"]}, {"together"}),
        ({"b": ["b"], "ab": ["a", "b"]}, {"removed"}),
        ({"none": [], "ab": ["a", "b"], "cd": ["c", "d"]}, set()),  # which of them is full?
        ({"c": ["c"], "abc": ["a", "b", "c"]}, set()),  # two steps away
        ({"ab": ["a", "b"], "bcd": ["b", "c", "d"]}, set()),  # not a part of it
    ],
)
def test_nothing_is_claimed_that_the_design_does_not_allow(variants, kinds):
    assert {c.kind for c in ablation(variants)} == kinds


def test_effects_come_kind_by_kind_in_the_order_of_variants():
    variants = star("cab")
    names = [(c.kind, c.name) for c in ablation(variants)]
    assert names == [
        *(("alone", n) for n in "cab"),
        *(("removed", n) for n in "cab"),
        ("together", "all techniques"),
    ]
    items = list(variants.items())
    random.Random(0).shuffle(items)
    kinds = [c.kind for c in ablation(dict(items))]
    assert kinds == sorted(kinds, key=["alone", "removed", "together"].index)


# What designs ask for -----------------------------------------------------------------------------


def kinds(contrasts):
    return dict(collections.Counter(c.kind for c in contrasts))


def study(sets, techniques):
    variants = designs.named(sets, techniques)
    assert [frozenset(on) for on in variants.values()] == sets
    return variants


@pytest.mark.parametrize(("count", "variants"), [(1, 2), (2, 4), (3, 8), (5, 12), (20, 42)])
def test_a_star_has_none_each_all_and_all_but_each(count, variants):
    techniques = [f"t{i}" for i in range(count)]
    sets = designs.star(techniques)
    assert len(sets) == len(set(sets)) == variants
    found = ablation(study(sets, techniques))
    for kind in ("alone", "removed") if count > 1 else ("alone",):
        assert {c.name for c in found if c.kind == kind} == set(techniques)


@pytest.mark.parametrize(
    ("count", "resolution", "runs", "reached"),
    [
        *((3, 3, 4, 3), (4, 4, 8, 4), (4, 5, 16, math.inf), (5, 5, 16, 5), (6, 5, 32, 6)),
        *((7, 3, 8, 3), (7, 4, 16, 4), (7, 5, 64, 7), (8, 4, 16, 4), (8, 5, 64, 5)),
    ],
)
def test_a_fraction_has_its_resolution_and_the_known_size(count, resolution, runs, reached):
    """Sizes as in table 8.14 of Montgomery, Design and Analysis of Experiments."""
    techniques = [f"t{i}" for i in range(count)]
    sets = designs.fraction(techniques, resolution)
    assert (len(set(sets)), designs.resolution_of(sets, techniques)) == (runs, reached)
    assert frozenset() in sets and designs.orthogonal(sets, techniques)
    for t in techniques:
        assert sum(t in on for on in sets) == runs / 2


def test_the_resolution_is_found_by_counting():
    """Of the half of 2^3 with an odd number on, the product of all three never changes."""
    odd = [frozenset(c) for n in (1, 3) for c in itertools.combinations("abc", n)]
    assert designs.resolution_of(odd, "abc") == 3
    assert designs.resolution_of(designs.full("abc"), "abc") == math.inf
    assert designs.resolution_of([frozenset("ab"), frozenset()], "ab") == 2
    assert not designs.orthogonal([frozenset("ab"), frozenset()], "ab")
    assert not designs.orthogonal(designs.star("abcd"), "abcd")


def test_aliases_of_a_half_fraction():
    found = designs.aliases(designs.fraction("abcd", 4), "abcd", 2)
    assert found["a"] == ["b × c × d"] and found["a × b"] == ["c × d"]
    nothing = designs.aliases(designs.full("abc"), "abc", 3)
    assert list(nothing) == ["a", "b", "c", "a × b", "a × c", "b × c", "a × b × c"]
    assert not any(nothing.values())


def test_names_say_what_is_on():
    assert list(designs.named(designs.full("abc"), "abc")) == [
        *("baseline", "a", "b", "all_but_c", "c", "all_but_b", "all_but_a", "all")
    ]
    long = [f"technique_with_a_long_name_{i}" for i in range(5)]
    names = list(designs.named(designs.full(long), long))
    assert len(set(names)) == 32 and max(map(len, names)) <= 64


def test_every_kind_of_effect_of_a_full_factorial():
    sets = designs.full("abc")
    variants = study(sets, "abc")
    found = designs.effects(variants, sets, "abc", 3, [("a", "b")])
    assert kinds(found) == {
        **{"alone": 3, "removed": 3, "together": 1, "main": 3, "interaction": 4, "shapley": 3},
        "pair": 1,
    }
    assert kinds(designs.effects(variants, sets, "abc", 1))["main"] == 3
    assert "interaction" not in kinds(designs.effects(variants, sets, "abc", 1))
    order = [c.kind for c in found]
    assert order == sorted(order, key=list(kinds(found)).index)


def test_effects_of_a_fraction_are_told_with_those_they_stand_for():
    sets = designs.fraction("abcd", 4)
    found = designs.effects(study(sets, "abcd"), sets, "abcd", 3)
    names = [c.name for c in found if c.kind in ("main", "interaction")]
    assert names == [*"abcd", "a × b + c × d", "a × c + b × d", "a × d + b × c"]
    five = designs.fraction("abcde", 5)
    assert kinds(designs.effects(study(five, "abcde"), five, "abcde", 2))["interaction"] == 10


def test_variants_beside_the_design_do_not_spoil_it():
    sets = designs.fraction("abc", 3)
    variants = {**study(sets, "abc"), "extra": ["a", "d"], "lone": ["b"]}
    found = designs.effects(variants, sets, "abc", 2, [("extra", "lone")])
    assert kinds(found)["main"] == 3 and kinds(found)["pair"] == 1


def test_a_star_of_many_tells_no_main_effects():
    sets = designs.star("abcd")
    assert set(kinds(designs.effects(study(sets, "abcd"), sets, "abcd", 2))) == {
        *("alone", "removed", "together")
    }


def test_a_missing_variant_of_the_design_is_named():
    sets = designs.full("ab")
    variants = study(sets, "ab")
    del variants["all"]
    assert designs.missing(sets, "ab", variants) == ["a, b"]
    with pytest.raises(Incomparable, match="no variant has just a, b, which the design needs"):
        designs.effects(variants, sets, "ab", 2)
    assert designs.missing(sets, "ab", {}) == ["no technique", "a", "b", "a, b"]
    with pytest.raises(Incomparable, match=r"pair \[a, z\]: there is no variant z"):
        designs.effects(variants, [], "ab", 2, [("a", "z")])


def test_a_design_by_hand_asks_for_nothing():
    assert designs.sets_of("custom", ["a", "b"], 5) == []
    assert kinds(designs.effects({"x": ["a"], "y": []}, [], ["a"], 2)) == {"alone": 1}
