import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cnnlab.compare.contrasts import (
    Contrast,
    Incomparable,
    aliased,
    alone,
    averaged_over,
    differences,
    ensemble,
    interaction,
    least_squares,
    pair,
    placebo,
    removed,
    shapley,
)
from cnnlab.compare.inference import corrected_t
from cnnlab.errors import UserError

SHAPES = st.tuples(st.integers(1, 4), st.integers(2, 6))
SCORES = st.floats(-1, 1)


def factorial(effect, variants):
    """A main effect, or an interaction."""
    return least_squares(*effect, variants) if len(effect) == 1 else interaction(effect, variants)


@st.composite
def paired_scores(draw, names=("a", "b")):
    shape = draw(SHAPES)
    return {name: draw(hnp.arrays(np.float64, shape, elements=SCORES)) for name in names}


def test_constructors_say_what_is_subtracted():
    assert alone("dropout", "dropout_only", "none").weights == {"dropout_only": 1, "none": -1}
    assert removed("dropout", "all", "all_but_dropout").weights == {"all": 1, "all_but_dropout": -1}
    assert pair("frozen", "tuned").weights == {"frozen": 1, "tuned": -1}
    assert placebo("other_seeds", "none").weights == {"other_seeds": 1, "none": -1}
    assert (placebo("x", "y").name, placebo("x", "y").kind) == ("placebo", "placebo")
    assert [c.kind for c in (alone("x", "x", "y"), removed("x", "x", "y"), pair("x", "y"))] == [
        "alone",
        "removed",
        "pair",
    ]
    assert (alone("x", "x", "y").name, pair("x", "y").name) == ("x", "x - y")


def test_a_contrast_can_be_a_key():
    assert {pair("x", "y"): 1}[pair("x", "y")] == 1


def test_differences_are_taken_image_by_image_and_ignore_other_variants():
    scores = {
        "none": [[0.5, 0.6], [0.7, 0.8]],
        "l2": [[0.6, 0.6], [0.6, 0.9]],
        "other": [[np.nan]],
    }
    result = differences(alone("l2", "l2", "none"), scores)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, [[0.1, 0], [-0.1, 0.1]])


def test_repeats_that_not_all_have_are_left_out():
    scores = {"a": [[0.5, 0.6], [0.7, 0.8], [0.1, 0.1]], "b": [[0.4, 0.4], [0.4, 0.4]]}
    scores |= {"c": [[np.nan, np.nan]]}
    np.testing.assert_allclose(differences(pair("a", "b"), scores), [[0.1, 0.2], [0.3, 0.4]])
    np.testing.assert_allclose(differences(pair("b", "a"), scores), [[-0.1, -0.2], [-0.3, -0.4]])
    unused = Contrast("x", "odd", {"a": 1, "b": -1, "c": 0, "not there": 0})
    np.testing.assert_allclose(differences(unused, scores), [[0.1, 0.2], [0.3, 0.4]])


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


@pytest.mark.parametrize(
    ("cells", "effect", "published", "name"),
    [
        (CELLS, "A", 21.625, "A"),
        (CELLS, "C", 9.875, "C"),
        (CELLS, "D", 14.625, "D"),
        (CELLS, "AC", -18.125, "A × C"),
        (CELLS, "AD", 16.625, "A × D"),
        (HALF, "A", 19, "A"),
        (HALF, "C", 14, "C"),
        (HALF, "D", 16.5, "D"),
        (HALF, "AC", -18.5, "A × C + B × D"),
    ],
)
def test_factorial_effects_of_the_filtration_experiment(cells, effect, published, name):
    scores = {cell: [[rate]] for cell, rate in zip(CELLS, FILTRATION, strict=True)}
    contrast = factorial(effect, {cell: list(cell) for cell in cells})
    assert differences(contrast, scores) == pytest.approx(published)
    assert (contrast.name, contrast.kind) == (name, "main" if len(effect) == 1 else "interaction")


def test_an_alias_with_the_other_sign_is_named_so():
    other_half = {cell: list(cell) for cell in CELLS if len(cell) % 2}
    assert factorial("AC", other_half).name == "A × C − B × D"


ALL = {"".join(cell) or "none": list(cell) for cell in CELLS}
NAMES = list(ALL)
TABLES = hnp.arrays(np.float64, (16, 2, 3), elements=SCORES)


def scored(table):
    return dict(zip(NAMES, table, strict=True))


@given(TABLES)
def test_shapley_values_sum_to_all_minus_none(table):
    scores = scored(table)
    total = sum(differences(shapley(t, ALL), scores) for t in "ABCD")
    np.testing.assert_allclose(total, scores["ABCD"] - scores["none"], atol=1e-9)


@given(TABLES, st.permutations(NAMES))
def test_effects_do_not_depend_on_the_order_of_variants(table, order):
    reordered = {name: ALL[name][::-1] for name in order}
    for make in (lambda v: shapley("B", v), lambda v: factorial("AC", v)):
        np.testing.assert_allclose(
            differences(make(reordered), scored(table)),
            differences(make(ALL), scored(table)),
            atol=1e-9,
        )


@given(hnp.arrays(np.float64, (1 + 4 + 6, 2, 3), elements=SCORES))
def test_without_third_order_terms_three_effects_are_one(terms):
    """Main effect = Shapley value = (what it adds to none + what all have from it) / 2."""
    pairs = [a + b for i, a in enumerate("ABCD") for b in "ABCD"[i + 1 :]]
    scores = {
        name: terms[0]
        + sum(terms[1 + "ABCD".index(t)] for t in on)
        + sum(terms[5 + i] for i, p in enumerate(pairs) if set(p) <= set(on))
        for name, on in ALL.items()
    }
    for t in "ABCD":
        without = "".join(x for x in "ABCD" if x != t)
        half = (
            differences(alone(t, t, "none"), scores)
            + differences(removed(t, "ABCD", without), scores)
        ) / 2
        np.testing.assert_allclose(differences(factorial(t, ALL), scores), half, atol=1e-9)
        np.testing.assert_allclose(differences(shapley(t, ALL), scores), half, atol=1e-9)


def test_anova_with_repeated_measures_gives_the_uncorrected_t_squared():
    """And F / (1 + J n_test / n_train) the corrected one: statsmodels' AnovaRM, fold as subject."""
    import pandas as pd
    from statsmodels.stats.anova import AnovaRM

    rng = np.random.default_rng(0)
    repeats, folds = 2, 5
    two = {"none": [], "A": ["A"], "B": ["B"], "AB": ["A", "B"]}
    fold = rng.normal(size=(repeats, folds))
    scores = {name: fold + 0.3 * len(on) + rng.normal(size=fold.shape) for name, on in two.items()}
    rows = [
        {"fold": i, "A": "A" in on, "B": "B" in on, "score": scores[name].ravel()[i]}
        for name, on in two.items()
        for i in range(repeats * folds)
    ]
    table = AnovaRM(pd.DataFrame(rows), "score", "fold", within=["A", "B"]).fit().anova_table
    for effect, row in (("A", "A"), ("B", "B"), ("AB", "A:B")):
        found = differences(factorial(effect, two), scores)
        f = table.loc[row, "F Value"]
        uncorrected = found.mean() / (found.std(ddof=1) / np.sqrt(found.size))
        assert uncorrected**2 == pytest.approx(f)
        corrected = f / (1 + found.size / (folds - 1))
        assert corrected_t(found).t ** 2 == pytest.approx(corrected)


def test_relabelling_two_variants_flips_the_sign():
    swapped = {"none": [], "A": ["A"]}, {"none": ["A"], "A": []}
    scores = {"none": [[0.1, 0.2]], "A": [[0.4, 0.3]]}
    one, other = (differences(factorial("A", v), scores) for v in swapped)
    np.testing.assert_allclose(one, -other)


def test_ensemble_is_the_averaged_answer_minus_the_mean_member():
    assert ensemble("x").weights == {"x+ensemble": 1, "x": -1}
    assert (ensemble("x").name, ensemble("x").kind) == ("x", "ensemble")


@pytest.mark.parametrize(
    ("effect", "variants", "message"),
    [
        ("A", {"none": [], "ab": ["A", "B"]}, "2 variants do not tell the main effects of A, B"),
        ("A", {"a": ["A"], "ab": ["A", "B"]}, "do not tell the main effects of A, B"),
        ("A", {"a": ["A"], "b": ["B"]}, "do not tell the main effects of A, B from each other"),
        ("AB", {"a": ["A"], "b": ["B"]}, "effect of A × B from the mean.*-1.00"),
        ("AB", {"n": [], "c": ["C"], "abc": ["A", "B", "C"], "ab": ["A", "B"]}, "from the mean"),
        ("C", {"none": [], "a": ["A"]}, "do not tell the main effects of A, C"),
    ],
)
def test_an_effect_that_the_variants_do_not_tell_is_refused(effect, variants, message):
    with pytest.raises(Incomparable, match=message):
        factorial(effect, variants)


def star(names):
    """None, each alone, all, and all but each."""
    variants = {"none": [], "all": list(names), **{t: [t] for t in names}}
    return variants | {f"no_{t}": [x for x in names if x != t] for t in names}


def test_a_star_does_not_tell_which_two_interact():
    assert interaction("AB", star("ABC"))  # of three techniques it is every set
    with pytest.raises(Incomparable, match=r"effect of A × B from .*: the correlation .*0\.\d\d"):
        interaction("AB", star("ABCD"))


@pytest.mark.parametrize(
    ("names", "none", "own", "other"),
    [("ABCDE", -1 / 14, 5 / 14, -1 / 7), ("ABC", -1 / 4, 1 / 4, -1 / 4)],
)
def test_weights_of_a_main_effect_of_a_star(names, none, own, other):
    """Of five techniques -0.071429, 0.357143 and -0.142857; of three as in a full factorial."""
    weights = least_squares("A", star(names)).weights
    expected = {"none": none, "all": -none, "A": own, "no_A": -own}
    expected |= dict.fromkeys(names[1:], other) | {f"no_{t}": -other for t in names[1:]}
    assert weights == pytest.approx(expected, abs=1e-12)
    if len(names) == 5:
        printed = (weights["none"], weights["A"], weights["B"])
        assert printed == pytest.approx((-0.071429, 0.357143, -0.142857), abs=5.1e-7)
        # Against 2 of what it adds alone: squared weights are variances, in that of one variant.
        assert sum(w**2 for w in weights.values()) == pytest.approx(0.43, abs=0.005)


@pytest.mark.parametrize("count", [3, 4, 5, 8, 20])
def test_no_two_way_interaction_hides_in_the_main_effects_of_a_star(count):
    names = [f"t{i}" for i in range(count)]
    variants = star(names)
    for t in (names[0], names[-1]):
        main = least_squares(t, variants)
        assert aliased(main, variants, names) == []
        weights = np.array(list(main.weights.values()))
        on = np.array([[n in v for n in names] for v in variants.values()])
        signs = np.where(on, 1.0, -1.0)
        for i, a in enumerate(names):
            for j, b in enumerate(names[:i]):
                assert abs(weights @ (signs[:, i] * signs[:, j])) < 1e-12, (a, b)
        # A variant's effect on it is that of its own technique, and of no other.
        np.testing.assert_allclose(weights @ on, [n == t for n in names], atol=1e-9)


@pytest.mark.parametrize("cells", [CELLS, HALF])
def test_where_variants_are_orthogonal_a_main_effect_is_a_difference_of_means(cells):
    variants = {cell: list(cell) for cell in cells}
    for t in "ABCD":
        expected = {cell: (1 if t in cell else -1) / (len(cells) / 2) for cell in cells}
        assert least_squares(t, variants).weights == pytest.approx(expected, abs=1e-12)


@given(hnp.arrays(np.float64, 10, elements=SCORES))
def test_least_squares_is_that_of_numpy(scores):
    """Weights against a regression on 1 and on/off, of a star of four."""
    variants = star("ABCD")
    columns = np.array([[1.0, *(t in on for t in "ABCD")] for on in variants.values()])
    fitted = np.linalg.lstsq(columns, scores, rcond=None)[0]
    table = {name: [[score]] for name, score in zip(variants, scores, strict=True)}
    found = [differences(least_squares(t, variants), table)[0, 0] for t in "ABCD"]
    np.testing.assert_allclose(found, fitted[1:], atol=1e-9)


def test_aliases_of_a_main_effect_are_named_with_their_share():
    """In the quarter of 2^3 in which c is on where one of a and b alone is, c = -ab."""
    third = {"none": [], "ac": ["a", "c"], "bc": ["b", "c"], "ab": ["a", "b"]}
    names = {t: aliased(least_squares(t, third), third, "abc") for t in "abc"}
    assert names == {"a": ["−b × c"], "b": ["−a × c"], "c": ["−a × b"]}
    # Without the set abc, a main effect holds some of each pair of others.
    most = {name: on for name, on in star("abc").items() if name != "all"}
    assert aliased(least_squares("a", most), most, "abc") == ["−0.25 b × c"]
    full = star("abc")
    assert aliased(least_squares("a", full), full, "abc") == []


def test_the_mean_of_contrasts_weighs_them_alike():
    mean = averaged_over([pair("a", "b"), Contrast("a - b", "pair", {"a": 1, "c": -1})])
    assert (mean.name, mean.kind) == ("a - b", "pair")
    assert mean.weights == {"a": 1, "b": -0.5, "c": -0.5}


def test_a_shapley_value_needs_every_set():
    with pytest.raises(Incomparable, match="Shapley value of A needs a variant with just B"):
        shapley("A", {"none": [], "A": ["A"], "AB": ["A", "B"]})


def test_what_cannot_be_compared_is_the_user_s_to_mend():
    assert issubclass(Incomparable, UserError) and issubclass(Incomparable, ValueError)


def test_a_missing_variant_is_named():
    with pytest.raises(ValueError, match=r"'bn' needs .* variant 'bn_only'.* \['l2', 'none'\]"):
        differences(alone("bn", "bn_only", "none"), {"none": [[0.5, 0.6]], "l2": [[0.5, 0.6]]})
    with pytest.raises(ValueError, match=r"scores for \[\]"):
        differences(pair("a", "b"), {})


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_scores_of_other_images_are_refused(names):
    scores = dict(zip(names, (np.zeros((3, 5)), np.zeros((3, 4))), strict=True))
    message = rf"variant '{names[0]}' has scores of 5 images, another of contrast 'a - b' of 4"
    with pytest.raises(ValueError, match=message):
        differences(pair("a", "b"), scores)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_score_that_is_not_finite_is_named(bad):
    scores = {"a": np.zeros((3, 5)), "b": np.zeros((3, 5))}
    scores["b"][1, 3] = bad
    with pytest.raises(ValueError, match=rf"variant 'b': {bad} at repeat 1, column 3"):
        differences(pair("a", "b"), scores)


@pytest.mark.parametrize("wrong", [0.5, [0.5, 0.6], np.zeros((0, 5)), np.zeros((2, 5, 3))])
def test_scores_must_be_repeats_by_images(wrong):
    with pytest.raises(ValueError, match=r"variant 'a': shape .* a row a repeat"):
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
