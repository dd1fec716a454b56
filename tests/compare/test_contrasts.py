import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnlab.compare import Contrast, alone, differences, pair, removed

SHAPES = st.tuples(st.integers(1, 4), st.integers(2, 6))
SCORES = st.floats(-1, 1)


@st.composite
def paired_scores(draw, names=("a", "b")):
    shape = draw(SHAPES)
    return {name: draw(hnp.arrays(np.float64, shape, elements=SCORES)) for name in names}


def test_constructors_say_what_is_subtracted():
    assert alone("dropout", "dropout_only", "none").weights == {"dropout_only": 1, "none": -1}
    assert removed("dropout", "all", "all_but_dropout").weights == {"all": 1, "all_but_dropout": -1}
    assert pair("frozen", "tuned").weights == {"frozen": 1, "tuned": -1}
    assert [c.kind for c in (alone("x", "x", "y"), removed("x", "x", "y"), pair("x", "y"))] == [
        "alone",
        "removed",
        "pair",
    ]
    assert (alone("x", "x", "y").name, pair("x", "y").name) == ("x", "x - y")


def test_a_contrast_can_be_a_key():
    assert {pair("x", "y"): 1}[pair("x", "y")] == 1


def test_differences_are_taken_fold_by_fold_and_ignore_other_variants():
    scores = {
        "none": [[0.5, 0.6], [0.7, 0.8]],
        "l2": [[0.6, 0.6], [0.6, 0.9]],
        "other": [[np.nan]],
    }
    result = differences(alone("l2", "l2", "none"), scores)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, [[0.1, 0], [-0.1, 0.1]])


def test_rounding_is_not_a_difference():
    thirds = np.full((2, 3), (0.7 + 0.8 + 0.9) / 3)
    other_order = np.full((2, 3), (0.9 + 0.7 + 0.8) / 3 + 2e-16)
    assert thirds[0, 0] != other_order[0, 0]
    assert np.all(differences(pair("a", "b"), {"a": thirds, "b": other_order}) == 0)


@given(paired_scores())
def test_swapping_the_labels_flips_the_sign(scores):
    np.testing.assert_array_equal(
        differences(pair("a", "b"), scores), -differences(pair("b", "a"), scores)
    )


@given(paired_scores(names=("a", "b", "c", "d")), st.permutations("abcd"))
def test_the_order_of_variants_does_not_matter(scores, order):
    weights = {"a": 0.5, "b": -0.5, "c": -0.5, "d": 0.5}
    reordered = {name: weights[name] for name in order}
    np.testing.assert_allclose(
        differences(Contrast("ab", "interaction", weights), scores),
        differences(
            Contrast("ab", "interaction", reordered), {name: scores[name] for name in order}
        ),
        atol=1e-12,
    )


# D. Montgomery, Design and Analysis of Experiments: the 2^4 filtration rate experiment, standard
# order (A changes fastest), one run a cell.
FILTRATION = [45, 71, 48, 65, 68, 60, 80, 65, 43, 100, 45, 104, 75, 86, 70, 96]
CELLS = ["".join(f for i, f in enumerate("ABCD") if run >> i & 1) for run in range(16)]
HALF = [cell for cell in CELLS if len(cell) % 2 == 0]  # the runs where ABCD = +1


def factorial(effect: str, cells: list[str]) -> Contrast:
    signs = {cell: (-1) ** len(set(effect) - set(cell)) for cell in cells}
    return Contrast(effect, "factorial", {c: sign / (len(cells) / 2) for c, sign in signs.items()})


@pytest.mark.parametrize(
    ("cells", "effect", "published"),
    [
        (CELLS, "A", 21.625),
        (CELLS, "C", 9.875),
        (CELLS, "D", 14.625),
        (CELLS, "AC", -18.125),
        (CELLS, "AD", 16.625),
        (HALF, "A", 19),
        (HALF, "C", 14),
        (HALF, "D", 16.5),
        (HALF, "AC", -18.5),
    ],
)
def test_factorial_effects_are_only_other_weights(cells, effect, published):
    scores = {cell: [[rate]] for cell, rate in zip(CELLS, FILTRATION, strict=True)}
    assert differences(factorial(effect, cells), scores) == pytest.approx(published)


def test_a_missing_variant_is_named():
    with pytest.raises(ValueError, match=r"'bn' needs .* variant 'bn_only'.* \['l2', 'none'\]"):
        differences(alone("bn", "bn_only", "none"), {"none": [[0.5, 0.6]], "l2": [[0.5, 0.6]]})
    with pytest.raises(ValueError, match=r"scores for \[\]"):
        differences(pair("a", "b"), {})


@pytest.mark.parametrize(
    ("shape", "place"), [((2, 5), "repeat 2, fold 0"), ((3, 4), "repeat 0, fold 4")]
)
def test_a_missing_trial_is_named(shape, place):
    scores = {"a": np.zeros((3, 5)), "b": np.zeros(shape)}
    with pytest.raises(ValueError, match=rf"variant 'b' .* {place}: .* 'a - b' needs 3 x 5"):
        differences(pair("a", "b"), scores)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_named(bad):
    scores = {"a": np.zeros((3, 5)), "b": np.zeros((3, 5))}
    scores["b"][1, 3] = bad
    with pytest.raises(ValueError, match=rf"variant 'b': {bad} at repeat 1, fold 3"):
        differences(pair("a", "b"), scores)


@pytest.mark.parametrize("wrong", [0.5, [0.5, 0.6], np.zeros((0, 5)), np.zeros((2, 5, 3))])
def test_scores_must_be_repeats_by_folds(wrong):
    with pytest.raises(ValueError, match=r"variant 'a': shape .* \(repeats, folds\)"):
        differences(pair("a", "b"), {"a": wrong, "b": [[0.5, 0.6]]})


@pytest.mark.parametrize(
    "weights", [{}, {"a": 1, "b": -0.9}, {"a": 1}, {"a": np.inf, "b": -np.inf}, {"a": np.nan}]
)
def test_weights_must_sum_to_zero(weights):
    with pytest.raises(ValueError, match=r"contrast 'x' has weights .* sum to 0"):
        Contrast("x", "odd", weights)


def test_a_variant_is_not_compared_with_itself():
    with pytest.raises(ValueError, match=r"'l2' \(alone\) compares variant 'none' with itself"):
        alone("l2", "none", "none")
