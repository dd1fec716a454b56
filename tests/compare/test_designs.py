"""Designs: which effects a set of variants allows."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.compare import ablation


def effects(contrasts):
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
    assert effects(ablation(star("abc"))) == {
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
    found = effects(ablation(variants))

    items = [(f"v_{name}", on) for name, on in variants.items()]
    chance.shuffle(items)
    renamed = {name: chance.sample(on, len(on)) for name, on in items}
    again = {(t, k, p[2:], m[2:]) for t, k, p, m in effects(ablation(renamed))}
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
