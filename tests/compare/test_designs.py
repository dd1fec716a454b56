"""Designs: which effects a set of variants allows."""

import collections
import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.compare import designs
from cnnlab.compare.contrasts import Incomparable, aliased, differences, interaction, least_squares
from cnnlab.compare.designs import ablation


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


def test_the_committed_variants_tell_of_every_technique(frozen):
    """Alone where a variant has just it, removed where the fullest variant has it. (`effects`
    leaves out the placebo's variant first.)"""
    contrasts = ablation(frozen.variants.every)
    sets = {name: set(on) for name, on in frozen.variants.every.items()}
    (largest,) = [n for n, on in sets.items() if all(len(on) >= len(x) for x in sets.values())]
    asked = {
        "alone": {t for on in sets.values() if len(on) == 1 for t in on},
        "removed": {t for t in sets[largest] if sets[largest] - {t} in sets.values()},
    }
    for kind, techniques in asked.items():
        assert {c.name for c in contrasts if c.kind == kind} == techniques
        assert sum(c.kind == kind for c in contrasts) == len(techniques)
    assert asked["removed"] == sets[largest] and len(asked["alone"]) >= 5
    (smallest,) = [n for n, on in frozen.variants.every.items() if not on]
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
    again = {
        (t.replace(" of v_", " of "), k, p[2:], m[2:]) for t, k, p, m in steps(ablation(renamed))
    }
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


def test_the_largest_variant_is_all_techniques_only_where_it_has_them_all():
    variants = {"none": [], "a": ["a"], "four": ["a", "b"], "c": ["c"]}
    assert [c.name for c in ablation(variants) if c.kind == "together"] == [
        "all techniques of four"
    ]


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


def test_a_star_tells_main_effects_and_what_company_does_to_each():
    sets = designs.star("abcde")
    variants = study(sets, "abcde")
    found = designs.effects(variants, sets, "abcde", 2)
    assert kinds(found) == {
        **{"main": 5, "together": 1, "alone": 5, "removed": 5, "interaction": 5}
    }
    by = {(c.kind, c.name): c.weights for c in found}
    main = by["main", "b"]
    assert main == least_squares("b", variants).weights and set(main) == set(variants)
    company = by["interaction", "b × the others"]
    assert company == {"all": 0.5, "all_but_b": -0.5, "b": -0.5, "baseline": 0.5}
    assert "interaction" not in kinds(designs.effects(variants, sets, "abcde", 1))


def test_what_company_does_is_half_of_removed_less_alone():
    """20 alone, 4 when removed: all others take 16 away, half of that on average."""
    sets = designs.star("abcd")
    variants = study(sets, "abcd")
    scores = {name: [[0.0]] for name in variants} | {"a": [[20.0]]}
    scores |= {"all": [[4.0]]}
    found = {c.name: c for c in designs.effects(variants, sets, "abcd", 2) if "others" in c.name}
    assert differences(found["a × the others"], scores)[0, 0] == (4 - 20) / 2


def test_a_star_of_two_is_a_factorial():
    sets = designs.star("ab")
    found = designs.effects(study(sets, "ab"), sets, "ab", 2)
    names = [(c.kind, c.name) for c in found if c.kind in ("main", "interaction")]
    assert names == [("main", "a"), ("main", "b"), ("interaction", "a × b")]


@pytest.mark.parametrize("count", [3, 7])
def test_a_saturated_fraction_tells_main_effects_with_their_aliases(count):
    """As many sets as effects and one more: of resolution III."""
    techniques = "abcdefg"[:count]
    sets = designs.fraction(techniques, 3)
    assert len(sets) == count + 1
    variants = study(sets, techniques)
    main = [c for c in designs.effects(variants, sets, techniques, 2) if c.kind == "main"]
    assert [c.name for c in main] == list(techniques)
    for c in main:
        np.testing.assert_allclose(np.abs([*c.weights.values()]), 2 / len(sets))
        held = aliased(c, variants, techniques)
        assert len(held) == {3: 1, 7: 3}[count]
        known = [a for a in designs.aliases(sets, techniques, 1)[c.name] if a.count("×") == 1]
        assert sorted(held) == sorted(known)


def test_effects_of_one_technique_or_of_too_few_sets_are_no_main_effects():
    two = {"baseline": [], "a": ["a"]}
    assert kinds(designs.effects(two, designs.star("a"), "a", 2)) == {"alone": 1}
    three = {"baseline": [], "a": ["a"], "b": ["b"]}
    assert kinds(designs.effects(three, [], "ab", 2)) == {"alone": 2}


@pytest.mark.parametrize("kind", ["star", "factorial", "fraction"])
@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_every_main_effect_of_a_design_is_what_its_technique_does(kind, count):
    """Of scores that are sums of what each technique does, whatever the others are."""
    techniques = list("abcde"[:count])
    sets = designs.sets_of(kind, techniques, ["scratch"], 3)
    variants = designs.named(sets, techniques)
    does = {t: 10.0**i for i, t in enumerate(techniques)}
    scores = {name: [[sum(does[t] for t in on)]] for name, on in variants.items()}
    main = [c for c in designs.effects(variants, sets, techniques, 2) if c.kind == "main"]
    assert [c.name for c in main] == techniques
    for c in main:
        assert differences(c, scores)[0, 0] == pytest.approx(does[c.name])


@pytest.mark.parametrize(
    ("count", "kind", "sets"), [(2, "star", 4), (5, "star", 12), (6, "fraction", 16)]
)
def test_the_design_that_is_proposed(count, kind, sets):
    techniques = [f"t{i}" for i in range(count)]
    found, resolution = designs.proposed(count)
    assert found == kind
    assert len(designs.sets_of(found, techniques, ["scratch"], resolution)) == sets


@pytest.mark.parametrize(("count", "sets"), [(8, 16), (10, 32)])
def test_what_is_proposed_for_many_hides_no_two_way_interaction(count, sets):
    techniques = [f"t{i}" for i in range(count)]
    made = designs.sets_of(designs.proposed(count)[0], techniques, ["scratch"], 4)
    assert len(made) == sets and designs.resolution_of(made, techniques) == 4
    variants = designs.named(made, techniques)
    assert aliased(least_squares(techniques[0], variants), variants, techniques) == []


# Placebo ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["star", "factorial", "fraction"])
@pytest.mark.parametrize("starts", [["scratch"], ["freeze", "scratch"]])
def test_a_placebo_is_the_first_set_under_other_seeds_and_changes_no_other_effect(kind, starts):
    plain, sets = (designs.sets_of(kind, ["a", "b", "c"], starts, 3, p) for p in (False, True))
    added = frozenset({"placebo", starts[0]} - {"scratch"})
    assert [on for on in sets if on not in plain] == [added]
    assert [on for on in sets if on in plain] == plain
    variants = designs.named(sets, ["a", "b", "c"], [*starts, "placebo"])
    first, second = list(variants)[:2]
    assert second == ("placebo" if starts == ["scratch"] else "freeze-placebo")
    assert set(variants[second]) == added
    with_it, without = (
        designs.effects(v, s, ["a", "b", "c"], 2, (), STARTS)
        for v, s in ((variants, sets), ({k: v for k, v in variants.items() if k != second}, plain))
    )
    assert with_it[:-1] == without
    assert (with_it[-1].kind, with_it[-1].name) == ("placebo", "placebo")
    assert with_it[-1].weights == {second: 1, first: -1}


def test_a_design_that_asks_for_a_placebo_needs_it():
    sets = designs.sets_of("star", ["a", "b"], ["scratch"], 5, placebo=True)
    variants = study(designs.star("ab"), "ab")
    assert designs.missing(sets, ["a", "b", "placebo"], variants) == ["placebo"]
    with pytest.raises(Incomparable, match="no variant has just placebo"):
        designs.effects(variants, sets, "ab", 2)


def test_a_placebo_by_hand_is_compared_where_its_counterpart_is():
    assert designs.sets_of("custom", ["a"], ["scratch"], 5, placebo=True) == []
    variants = {"x": ["a"], "y": [], "nothing": ["placebo"]}
    found = designs.effects(variants, [], ["a"], 2)
    assert [(c.kind, c.weights) for c in found] == [
        ("alone", {"x": 1, "y": -1}),
        ("placebo", {"nothing": 1, "y": -1}),
    ]
    lone = {"x": ["a"], "nothing": ["placebo"]}
    assert designs.effects(lone, [], ["a"], 2) == []


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
    assert designs.sets_of("custom", ["a", "b"], ["scratch", "freeze"], 5) == []
    assert kinds(designs.effects({"x": ["a"], "y": []}, [], ["a"], 2)) == {"alone": 1}


# How training starts ------------------------------------------------------------------------------

STARTS = ["finetune", "freeze", "lp_ft"]  # those that there are


def crossed(kind, techniques, starts):
    """Variants and sets of a design, as `make design` and stages.compare make them."""
    sets = designs.sets_of(kind, techniques, starts, 5)
    return designs.named(sets, techniques, starts), sets


def contrasts_of(variants, sets, techniques, order=2, pairs=()):
    """(kind, name) -> weights without those that are 0."""
    contrasts = designs.effects(variants, sets, techniques, order, pairs, STARTS)
    weights = {(c.kind, c.name): {v: w for v, w in c.weights.items() if w} for c in contrasts}
    assert len(weights) == len(contrasts)
    return weights


def test_a_technique_and_two_starts_are_a_factorial_of_two_by_two():
    """By hand, and by the formulas for a 2^2 factorial in which finetune is the high level."""
    variants, sets = crossed("factorial", ["augment"], ["freeze", "finetune"])
    assert variants == {
        "freeze": ["freeze"],
        "freeze-augment": ["freeze", "augment"],
        "finetune": ["finetune"],
        "finetune-augment": ["finetune", "augment"],
    }
    a, b, c, d = variants
    weights = contrasts_of(variants, sets, ["augment"])
    expected = {
        ("alone", "augment with freeze"): {b: 1, a: -1},
        ("alone", "augment with finetune"): {d: 1, c: -1},
        ("start", "finetune - freeze"): {c: 0.5, d: 0.5, a: -0.5, b: -0.5},
        ("main", "augment"): {b: 0.5, d: 0.5, a: -0.5, c: -0.5},
        ("interaction", "augment × finetune - freeze"): {d: 0.5, c: -0.5, b: -0.5, a: 0.5},
    }
    assert list(weights) == sorted(expected, key=lambda key: list(designs.KINDS).index(key[0]))
    for key, of_variants in expected.items():
        assert weights[key] == pytest.approx(of_variants)
    levels = {name: [t for t in on if t != "freeze"] for name, on in variants.items()}
    for effect, key in (
        (["finetune"], ("start", "finetune - freeze")),
        (["augment"], ("main", "augment")),
        (["augment", "finetune"], ("interaction", "augment × finetune - freeze")),
    ):
        same = least_squares(*effect, levels) if len(effect) == 1 else interaction(effect, levels)
        assert weights[key] == pytest.approx(same.weights)
    # 70 and 80 frozen, 75 and 95 fine-tuned: 10 and 20 by augmentation, 5 and 15 by the start.
    scores = {name: np.full((1, 2), s) for name, s in zip(variants, (70, 80, 75, 95), strict=True)}
    effect = {
        (c.kind, c.name): differences(c, scores)[0, 0]
        for c in designs.effects(variants, sets, ["augment"], 2, (), STARTS)
    }
    assert effect["start", "finetune - freeze"] == 10
    # By least squares, whose last digits are the library's.
    assert effect["main", "augment"] == pytest.approx(15)
    assert effect["interaction", "augment × finetune - freeze"] == 5


def test_three_starts_are_compared_in_pairs_and_a_technique_over_all_of_them():
    variants, sets = crossed("factorial", ["a", "b"], ["scratch", "freeze", "finetune"])
    assert len(variants) == 12 and list(variants)[:4] == ["baseline", "a", "b", "all"]
    weights = contrasts_of(variants, sets, ["a", "b"])
    pairs = ["freeze", "finetune", "finetune - freeze"]
    assert [name for kind, name in weights if kind == "start"] == pairs
    assert set(weights["start", "freeze"].values()) == {0.25, -0.25}
    assert {v for v, w in weights["start", "freeze"].items() if w < 0} == {
        name for name, on in variants.items() if not {"freeze", "finetune"} & set(on)
    }
    assert {n for kind, n in weights if kind == "interaction"} == {
        *("a × b", *(f"{t} × {pair}" for t in "ab" for pair in pairs))
    }
    for t in "ab":
        main = weights["main", t]
        assert set(main) == set(variants)
        for name, on in variants.items():
            assert main[name] == pytest.approx((1 if t in on else -1) / 6)
    for weight in weights["interaction", "a × b"].values():
        assert abs(weight) == pytest.approx(1 / 6)
    assert set(map(abs, weights["interaction", "a × freeze"].values())) == {0.25}
    assert ("alone", "a") in weights and ("removed", "b with freeze") in weights
    assert ("together", "all techniques with finetune") in weights
    assert not any(kind == "interaction" for kind, _ in contrasts_of(variants, sets, "ab", order=1))


def test_shapley_values_are_averaged_over_the_blocks_and_sum_to_what_all_do():
    variants, sets = crossed("factorial", ["a", "b", "c"], ["freeze", "finetune"])
    weights = contrasts_of(variants, sets, ["a", "b", "c"])
    total = {name: sum(weights["shapley", t].get(name, 0) for t in "abc") for name in variants}
    blocks = designs.in_blocks(variants, STARTS)
    for block in blocks.values():
        by_set = {on: name for name, on in block.items()}
        assert total[by_set[frozenset("abc")]] == pytest.approx(0.5)
        assert total[by_set[frozenset()]] == pytest.approx(-0.5)
    assert sum(map(abs, total.values())) == pytest.approx(2)


def test_a_star_in_two_blocks_tells_the_start_and_how_it_changes_each_technique():
    variants, sets = crossed("star", ["a", "b", "c", "d"], ["scratch", "freeze"])
    weights = contrasts_of(variants, sets, ["a", "b", "c", "d"])
    names = {kind: [n for k, n in weights if k == kind] for kind, _ in weights}
    assert names["alone"] == [*"abcd", *(f"{t} with freeze" for t in "abcd")]
    assert set(names["removed"]) == set(names["alone"])
    assert names["together"] == ["all techniques", "all techniques with freeze"]
    assert names["start"] == ["freeze"] and names["main"] == [*"abcd"]
    # Main effects are averaged over the blocks, each by least squares.
    alone = least_squares("a", designs.named(designs.star("abcd"), "abcd")).weights
    assert sorted(weights["main", "a"].values()) == pytest.approx(
        sorted(w / 2 for w in [*alone.values()] * 2)
    )
    assert set(weights["start", "freeze"].values()) == {0.1, -0.1}
    # Of a, where it can be added to the same set: to none, and to b, c and d.
    blocks = designs.in_blocks(variants, STARTS)
    by_set = {s: {on: name for name, on in block.items()} for s, block in blocks.items()}
    expected = {}
    for rest in ("", "bcd"):
        for start, sign in (("freeze", 1), ("scratch", -1)):
            expected[by_set[start][frozenset(rest) | {"a"}]] = sign * 0.25
            expected[by_set[start][frozenset(rest)]] = -sign * 0.25
    assert weights["interaction", "a × freeze"] == expected


def test_a_block_that_lacks_sets_is_compared_on_those_that_it_has():
    """Such as a star from random weights, and one variant that is fine-tuned."""
    variants = {**star("abc"), "finetune": ["finetune"], "tuned_a": ["finetune", "a"]}
    weights = contrasts_of(variants, designs.star("abc"), ["a", "b", "c"])
    assert weights["start", "finetune"] == {
        **{"finetune": 0.5, "tuned_a": 0.5},
        **{"none": -0.5, "only_a": -0.5},
    }
    assert weights["alone", "a with finetune"] == {"tuned_a": 1, "finetune": -1}
    assert set(weights["interaction", "a × finetune"].values()) == {0.5, -0.5}
    assert ("interaction", "b × finetune") not in weights
    # The design's own sets are all there, so its main effects are, in its block alone.
    assert set(weights["main", "a"]) == set(star("abc"))


def test_blocks_without_a_common_set_are_not_compared():
    variants = {"baseline": [], "tuned_a": ["finetune", "a"]}
    assert contrasts_of(variants, [], ["a"]) == {}


def test_a_block_that_lacks_a_set_of_the_design_is_refused():
    variants, sets = crossed("factorial", ["a", "b"], ["scratch", "freeze"])
    del variants["freeze-a"]
    assert designs.missing(sets, ["freeze", "a", "b"], variants) == ["freeze, a"]
    with pytest.raises(Incomparable, match="no variant has just a, freeze"):
        contrasts_of(variants, sets, ["a", "b"])


def test_a_design_by_hand_tells_what_its_variants_allow():
    crossing, _ = crossed("factorial", ["a", "b"], ["scratch", "freeze"])
    weights = contrasts_of(crossing, [], ["a", "b"], pairs=[["freeze", "a"]])
    assert {kind for kind, _ in weights} == {*designs.KINDS} - {"shapley", "ensemble", "placebo"}
    assert weights["pair", "freeze - a"] == {"freeze": 1, "a": -1}
    # A start beside a full factorial takes nothing away from what that tells.
    beside = {**crossed("factorial", ["a", "b"], ["scratch"])[0], "freeze": ["freeze"]}
    weights = contrasts_of(beside, [], ["a", "b"])
    assert weights["start", "freeze"] == {"freeze": 1, "baseline": -1}
    half = {"a": 0.5, "all": 0.5, "baseline": -0.5, "b": -0.5}
    assert weights["main", "a"] == pytest.approx(half)


def test_the_frozen_study_tells_of_its_starts(frozen):
    """A star from random weights, and its placebo, with `freeze` and `finetune` beside it."""
    design = frozen.design
    weights = contrasts_of(
        frozen.variants.every, designs.sets_of(**dict(design)), design.techniques
    )
    assert weights["start", "freeze"] == {"freeze": 1, "baseline": -1}
    assert weights["start", "finetune - freeze"] == {"finetune": 1, "freeze": -1}
    assert {n for kind, n in weights if kind == "main"} == set(design.techniques)
    others = {f"{t} × the others" for t in design.techniques}
    assert {n for kind, n in weights if kind == "interaction"} == others
    assert weights["placebo", "placebo"] == {"placebo": 1, "baseline": -1}
    assert not any("placebo" in w for (kind, _), w in weights.items() if kind != "placebo")
