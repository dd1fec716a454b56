"""What became of a screening."""

import pytest

from cnnlab.compare import screening


def row(technique, effect, se, verdict, kind="main", why=""):
    values = {"technique": technique, "effect": effect, "se": se, "verdict": verdict}
    return values | {"kind": kind, "why": why, "low": effect - 2 * se, "high": effect + 2 * se}


def test_few_techniques_are_screened_in_all_sets_and_many_in_a_star():
    kind, sets = screening.sets(["a", "b"])
    assert (kind, len(sets)) == ("factorial", 4)
    kind, sets = screening.sets(["a", "b", "c", "d"])
    assert (kind, len(sets)) == ("star", 10)
    assert frozenset() in sets


@pytest.mark.parametrize(
    ("before", "after", "misled"),
    [
        (("helps", 0.03), ("helps", 0.04), ""),
        (("helps", 0.03), ("hurts", -0.03), "it said helps, the full study says hurts"),
        (
            ("helps", 0.03),
            ("no practical difference", 0.0),
            "it said helps, the full study says no",
        ),
        (("undecided", 0.01), ("helps", 0.02), ""),  # it had promised nothing
        (("undecided", 0.0), ("helps", 0.06), "the effects differ significantly"),
    ],
)
def test_a_screening_misled_where_it_said_something_else(before, after, misled):
    (first, effect), (then, real) = before, after
    (made,) = screening.against(
        [row("dropout", effect, 0.01, first)], [row("dropout", real, 0.01, then)]
    )
    assert made["misled"].startswith(misled)
    assert bool(made["misled"]) == bool(misled)
    assert (made["screened"]["effect"], made["full"]["effect"]) == (effect, real)


def test_the_p_of_no_difference_is_that_of_two_independent_estimates():
    (made,) = screening.against(
        [row("a", 0.0, 0.03, "undecided")], [row("a", 0.098, 0.04, "helps")]
    )  # 1.96 standard errors of 0.05 apart
    assert made["p"] == pytest.approx(0.05, abs=1e-3)


def test_only_main_effects_that_both_have_are_held_against_each_other():
    before = [row("a", 0, 1, "undecided"), row("b", 0, 1, "undecided"), row("c", 0, 1, "undecided")]
    after = [
        row("a", 0, 1, "undecided", kind="removed"),
        row("b", 0, 1, "undecided", why="no error"),
        row("c", 0, 1, "undecided"),
    ]
    assert [made["technique"] for made in screening.against(before, after)] == ["c"]


def test_where_a_design_tells_no_main_effects_those_alone_are_meant():
    rows = [row("a", 0, 1, "undecided", kind="alone"), row("a", 0, 1, "undecided", kind="removed")]
    assert screening.of_techniques(rows) == rows[:1]
    (made,) = screening.against(rows, rows)
    assert made["p"] == 1.0
