"""Images that changed sides."""

import numpy as np
import pytest

from cnnlab.compare import designs
from cnnlab.compare.contrasts import Contrast, alone, pair
from cnnlab.compare.scores import Outcomes
from cnnlab.compare.sides import COLUMNS, changed, figure_of, pairs_of

CLASSES = ["ant", "bee", "cat"]
STARTS = ["freeze", "finetune"]


def outcomes(*guesses, members=1):
    """Of a variant that guesses these classes, a row a repeat."""
    shares = np.eye(3)[np.array(guesses)] * 0.8 + 0.2 / 3
    repeats, images = shares.shape[:2]
    return Outcomes(
        image_id=np.arange(images) * 10,
        labels=np.arange(images) % 3,
        fold=np.zeros((repeats, images), int),
        outputs=np.repeat(shares[:, None], members, axis=1).astype(np.float32),
    )


# Pairs --------------------------------------------------------------------------------------------


def main_effect(kind, technique, starts=("scratch",)):
    sets = designs.sets_of(kind, ["a", "b", "c", "d"], starts, 4)
    variants = designs.named(sets, ["a", "b", "c", "d"], starts)
    found = designs.effects(variants, sets, ["a", "b", "c", "d"], 1, (), STARTS)
    return next(c for c in found if (c.kind, c.name) == ("main", technique)), variants


def test_pairs_of_a_star_differ_in_the_technique_alone():
    contrast, variants = main_effect("star", "b")
    assert sorted(pairs_of(contrast, variants, STARTS)) == [
        ("all", "all_but_b"),
        ("b", "baseline"),
    ]


@pytest.mark.parametrize("starts", [("scratch",), ("scratch", "freeze")])
def test_pairs_of_a_factorial_are_of_every_company_and_start(starts):
    contrast, variants = main_effect("factorial", "b", starts)
    pairs = pairs_of(contrast, variants, STARTS)
    assert len(pairs) == 8 * len(starts)
    for with_it, without in pairs:
        assert set(variants[with_it]) - set(variants[without]) == {"b"}
        assert set(variants[without]) < set(variants[with_it])


def test_a_fraction_has_no_such_pairs():
    contrast, variants = main_effect("fraction", "b")
    assert pairs_of(contrast, variants, STARTS) == []


def test_pairs_of_a_start_differ_in_it_alone():
    variants = {"baseline": [], "a": ["a"], "freeze": ["freeze"], "freeze-a": ["freeze", "a"]}
    variants |= {"finetune": ["finetune"]}
    half = {"freeze": 0.5, "freeze-a": 0.5, "baseline": -0.5, "a": -0.5}
    found = pairs_of(Contrast("freeze", "start", half), variants, STARTS)
    assert sorted(found) == [("freeze", "baseline"), ("freeze-a", "a")]
    two = Contrast("finetune - freeze", "start", {"finetune": 1.0, "freeze": -1.0})
    assert pairs_of(two, variants, STARTS) == [("finetune", "freeze")]


def test_pairs_have_figures_of_their_own():
    names = ["a - b", "a-b - c", "a - b-c", "augment", "finetune - freeze"]
    figures = [figure_of(name) for name in names]
    assert len(set(figures)) == len(names) and not any(" " in figure for figure in figures)


def test_a_pair_is_itself():
    variants = {"x": ["a"], "y": ["b", "c"]}
    assert pairs_of(pair("x", "y"), variants, STARTS) == [("x", "y")]
    assert pairs_of(pair("y", "x"), variants, STARTS) == [("y", "x")]
    assert pairs_of(alone("a", "x", "y"), variants, STARTS) == []


# Images -------------------------------------------------------------------------------------------


def test_images_that_changed_sides_by_hand():
    """Six images of classes 0 1 2 0 1 2; two repeats."""
    grids = {
        "none": outcomes([0, 0, 2, 1, 1, 0], [0, 0, 2, 1, 1, 2]),
        "x": outcomes([0, 1, 1, 0, 1, 0], [0, 1, 2, 1, 1, 2]),
    }
    table = changed("x", [("x", "none")], grids, CLASSES)
    assert list(table) == COLUMNS
    rows = {row["image_id"]: row for row in table.to_dict("records")}
    assert list(rows) == [10, 20, 30]  # those that changed most often first; of equals by image
    assert rows[10] == {
        **{"technique": "x", "image_id": 10, "label": "bee", "gained": 2, "lost": 0, "of": 2},
        "mistaken_for": "ant",
    }
    assert (rows[20]["lost"], rows[20]["mistaken_for"]) == (1, "bee")
    assert (rows[30]["gained"], rows[30]["lost"], rows[30]["mistaken_for"]) == (1, 0, "bee")


def test_swapped_pairs_lose_what_the_others_gain():
    rng = np.random.default_rng(0)
    grids = {name: outcomes(*rng.integers(0, 3, (3, 30))) for name in ("none", "x", "y", "xy")}
    pairs = [("x", "none"), ("xy", "y")]
    one = changed("x", pairs, grids, CLASSES)
    other = changed("x", [(b, a) for a, b in pairs], grids, CLASSES)
    assert (one["of"] == 6).all() and (one["gained"] + one["lost"] <= 6).all()
    swapped = other.rename(columns={"gained": "lost", "lost": "gained"})[list(one)]
    order = ["image_id"]
    assert one.sort_values(order).equals(swapped.sort_values(order))
    net = (one["gained"] - one["lost"]).abs()
    assert net.is_monotonic_decreasing


def test_the_repeats_that_both_have_are_counted():
    grids = {"none": outcomes([1], [1], [0]), "x": outcomes([0], [1])}
    (row,) = changed("x", [("x", "none")], grids, CLASSES).to_dict("records")
    assert (row["gained"], row["lost"], row["of"]) == (1, 0, 2)


def test_members_decide_together():
    grids = {"none": outcomes([1, 1], members=3), "x": outcomes([0, 1], members=3)}
    (row,) = changed("x", [("x", "none")], grids, CLASSES).to_dict("records")
    assert (row["image_id"], row["gained"], row["of"]) == (0, 1, 1)


def test_where_nothing_changed_there_are_no_rows():
    grids = {"none": outcomes([0, 0]), "x": outcomes([0, 0])}
    table = changed("x", [("x", "none")], grids, CLASSES)
    assert len(table) == 0 and list(table) == COLUMNS
