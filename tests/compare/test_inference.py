import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from cnnlab.compare import (
    cluster_bootstrap,
    corrected_t,
    correlated_t_rope,
    half_width,
    holm,
    mcnemar,
    mean_interval,
    repeats_to_decide,
    score_interval,
    simultaneous,
    spread,
)
from cnnlab.compare.metrics import METRICS

SHAPES = st.tuples(st.integers(1, 4), st.integers(2, 6))
# Steps of 1/1000, as metrics have: spreads are then either zero or far from rounding.
VALUES = st.integers(-1000, 1000).map(lambda i: i / 1000)
DIFFERENCES = hnp.arrays(np.float64, SHAPES, elements=VALUES)
CONFIDENCES = st.floats(0.5, 0.999)


def with_moments(mean: float, sd: float, repeats: int, folds: int) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(repeats, folds))
    return mean + sd * (values - values.mean()) / values.std(ddof=1)


# Published numbers --------------------------------------------------------------------------------


# The sonar example of baycomp's documentation: accuracies in per cent, 10 folds; it reports second
# minus first.
NBC = [94.203, 92.754, 95.652, 91.176, 92.647, 91.176, 92.647, 92.647, 86.765, 91.176]
J48 = [92.754, 92.754, 89.855, 89.706, 95.588, 89.706, 95.588, 94.118, 91.176, 92.647]
SONAR = np.subtract(J48, NBC)[None]


def test_baycomp_sonar_corrected_t():
    estimate = corrected_t(SONAR, 0.95)
    assert (estimate.t, estimate.p) == pytest.approx((0.22233, 0.82902), abs=5e-6)
    assert (estimate.df, estimate.n, estimate.degenerate) == (9, 10, False)


@pytest.mark.parametrize(
    ("rope", "published"),
    [
        (0, (0.4145119975, 0, 0.5854880025)),
        (0.5, (0.2858446417, 0.2691518717, 0.4450034866)),
    ],
)
def test_baycomp_sonar_posterior(rope, published):
    posterior = correlated_t_rope(SONAR, rope, 0.95, higher_is_better=True)
    found = (posterior.below, posterior.inside, posterior.above)
    assert found == pytest.approx(published, abs=1e-10)
    assert posterior.verdict == "undecided"


@pytest.fixture(scope="module")
def moons() -> np.ndarray:
    """rbf - linear in scikit-learn 1.7, "Statistical comparison of models using grid search"."""
    from sklearn.datasets import make_moons
    from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
    from sklearn.svm import SVC

    x, y = make_moons(noise=0.352, random_state=1, n_samples=100)
    folds = RepeatedStratifiedKFold(n_splits=10, n_repeats=10, random_state=0)
    rbf, linear = (
        cross_val_score(SVC(kernel=kernel, random_state=0), x, y, scoring="roc_auc", cv=folds)
        for kernel in ("rbf", "linear")
    )
    return (rbf - linear).reshape(10, 10)


def test_scikit_learn_grid_search_corrected_t(moons):
    estimate = corrected_t(moons, 0.95)
    assert (estimate.t, estimate.p / 2) == pytest.approx((0.750, 0.227), abs=5e-4)
    assert (estimate.low, estimate.high) == pytest.approx((-0.016445, 0.036445), abs=5e-7)
    uncorrected = stats.ttest_1samp(moons.ravel(), 0, alternative="greater")
    assert (uncorrected.statistic, uncorrected.pvalue) == pytest.approx((2.611, 0.005), abs=5e-4)


def test_scikit_learn_grid_search_posterior(moons):
    posterior = correlated_t_rope(moons, 0.01, 0.95, higher_is_better=True)
    found = (posterior.below, posterior.above, posterior.inside)
    assert found == pytest.approx((0.068, 0.500, 0.432), abs=5e-4)


@pytest.mark.parametrize(("repeats", "published"), [(1, 1.862), (3, 1.207), (10, 1.044)])
def test_half_width_in_units_of_sd(repeats, published):
    assert half_width(1, repeats, 5, 0.95) == pytest.approx(published, abs=5e-4)


# Corrected t --------------------------------------------------------------------------------------


@given(DIFFERENCES, CONFIDENCES)
def test_the_interval_holds_the_mean_and_is_wider_than_the_naive_one(differences, confidence):
    estimate = corrected_t(differences, confidence)
    assert estimate.low <= estimate.mean <= estimate.high
    assert all(math.isfinite(v) for v in (estimate.low, estimate.high, estimate.p))
    assume(not estimate.degenerate)
    naive = stats.ttest_1samp(differences.ravel(), 0)
    assert estimate.high - estimate.low > np.ptp(naive.confidence_interval(confidence))
    assert estimate.p >= naive.pvalue


@given(DIFFERENCES, CONFIDENCES)
def test_the_interval_leaves_out_zero_exactly_where_p_is_small(differences, confidence):
    estimate = corrected_t(differences, confidence)
    assume(abs(estimate.p - (1 - confidence)) > 1e-9)
    assert (estimate.low > 0 or estimate.high < 0) == (estimate.p < 1 - confidence)


@given(DIFFERENCES, st.floats(0, 0.5))
def test_swapping_two_variants_mirrors_everything(differences, rope):
    one, other = corrected_t(differences, 0.95), corrected_t(-differences, 0.95)
    assert (other.mean, other.t, other.low, other.high) == (-one.mean, -one.t, -one.high, -one.low)
    assert (other.p, other.standard_error) == (one.p, one.standard_error)

    one = correlated_t_rope(differences, rope, 0.95, higher_is_better=True)
    other = correlated_t_rope(-differences, rope, 0.95, higher_is_better=True)
    assert (other.below, other.inside, other.above) == pytest.approx(
        (one.above, one.inside, one.below), abs=1e-12
    )
    loss = correlated_t_rope(-differences, rope, 0.95, higher_is_better=False)
    assert loss.verdict == one.verdict


@given(DIFFERENCES, st.randoms(use_true_random=False))
def test_the_order_of_repeats_and_folds_does_not_matter(differences, random):
    shuffled = differences.ravel().tolist()
    random.shuffle(shuffled)
    found = vars(corrected_t(np.reshape(shuffled, differences.shape), 0.95))
    assert found == pytest.approx(vars(corrected_t(differences, 0.95)), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize(("value", "t", "p"), [(0, 0, 1), (0.1, math.inf, 0), (-0.1, -math.inf, 0)])
def test_no_spread(value, t, p):
    estimate = corrected_t(np.full((3, 5), value), 0.95)
    assert estimate.degenerate
    assert (estimate.t, estimate.p) == (t, p)
    assert estimate.low == estimate.mean == estimate.high == pytest.approx(value)
    assert estimate.sd == estimate.standard_error == 0


def test_a_spread_of_rounding_is_none():
    differences = np.array([[0.9 - 0.8, 0.8 - 0.7, 0.5 - 0.4]])
    assert np.ptp(differences) > 0
    assert corrected_t(differences, 0.95).degenerate


@pytest.mark.parametrize("correlated", [False, True])
def test_type_one_error(correlated):
    draws, folds, repeats = 3000, 5, 3
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(draws, repeats, folds))
    if correlated:  # to the degree that the correction assumes: the test is then exact
        rho = 1 / folds
        noise = math.sqrt(1 - rho) * noise + math.sqrt(rho) * rng.normal(size=(draws, 1, 1))
    rate = np.mean([corrected_t(d, 0.95).p < 0.05 for d in noise])
    if correlated:
        assert rate == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / draws))
    else:
        assert rate <= 0.05


def test_mean_interval_is_on_the_same_scale():
    scores = with_moments(0.9, 0.02, repeats=3, folds=5)
    interval = mean_interval(scores, 0.95)
    assert interval.mean == pytest.approx(0.9)
    assert interval.high - interval.mean == pytest.approx(1.207 * 0.02, abs=1e-5)
    assert vars(interval).items() <= vars(corrected_t(scores, 0.95)).items()


@pytest.mark.parametrize("function", [mean_interval, corrected_t])
@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_confidence_is_a_share(function, confidence):
    with pytest.raises(ValueError, match=r"confidence = .* above 0 and below 1"):
        function([[0.1, 0.2]], confidence)


@pytest.mark.parametrize("function", [mean_interval, corrected_t])
def test_bad_arrays(function):
    with pytest.raises(ValueError, match="nan at repeat 1, fold 0"):
        function([[0.1, 0.2], [math.nan, 0.3]], 0.95)
    with pytest.raises(ValueError, match=r"shape \(5,\).*\(repeats, folds\)"):
        function(np.zeros(5), 0.95)
    with pytest.raises(ValueError, match=r"shape \(5, 1\).*at least 2 folds"):
        function(np.zeros((5, 1)), 0.95)


# Intervals of scores ------------------------------------------------------------------------------

BOUNDS = st.sampled_from([m.bounds for m in METRICS.values()])
# Any share of the range, most often near an end of it.
SHARES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-9, 0.001, 0.98, 0.998, 1.0]))


@given(hnp.arrays(np.float64, SHAPES, elements=SHARES), BOUNDS, CONFIDENCES)
def test_an_interval_of_scores_never_leaves_what_is_possible(shares, bounds, confidence):
    least, most = bounds
    scores = np.clip(least + (most - least) * shares, least, most)
    interval = score_interval(scores, confidence, bounds)
    assert least - 1e-12 <= interval.low <= interval.mean <= interval.high <= most + 1e-12
    plain = mean_interval(scores, confidence)
    assert (interval.mean, interval.sd, interval.standard_error, interval.df) == (
        *(plain.mean, plain.sd, plain.standard_error, plain.df),
    )


@given(st.floats(0.2, 0.8), st.integers(0, 99), BOUNDS)
def test_of_a_small_spread_it_is_the_plain_interval(share, seed, bounds):
    least, most = bounds
    noise = np.random.default_rng(seed).normal(0, 1e-3, (3, 5))
    scores = least + (most - least) * (share + noise)
    plain = mean_interval(scores, 0.95)
    width = plain.high - plain.low
    interval = score_interval(scores, 0.95, bounds)
    assert (interval.low, interval.high) == pytest.approx((plain.low, plain.high), abs=0.02 * width)


def test_a_plain_interval_would_leave_what_is_possible():
    """Accuracies near 1, as of a good network on an easy data set: by hand on the logit scale."""
    scores = np.array([[1.0, 0.98, 1.0, 0.94, 1.0]])
    plain, interval = mean_interval(scores, 0.95), score_interval(scores, 0.95, (0.0, 1.0))
    assert plain.high > 1 > interval.high
    mean = scores.mean()
    half = (plain.high - mean) / (mean * (1 - mean))
    ends = [1 / (1 + math.exp(-(math.log(mean / (1 - mean)) + sign * half))) for sign in (-1, 1)]
    assert (interval.low, interval.high) == pytest.approx(tuple(ends))


def test_where_any_number_is_possible_the_interval_is_the_plain_one():
    assert score_interval(NORMS, 0.95, None) == mean_interval(NORMS, 0.95)
    flat = score_interval(np.ones((2, 5)), 0.95, (0.0, 1.0))
    assert (flat.low, flat.high, flat.degenerate) == (1, 1, True)
    with pytest.raises(ValueError, match=r"scores from 3 to 12; possible: 0 to 1"):
        score_interval(NORMS, 0.95, (0.0, 1.0))


NORMS = [[3.0, 7.0, 12.0]]

# Families -----------------------------------------------------------------------------------------


def test_holm_example():
    # By hand: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.9 x 1; then 0.03 x 2, and 0.04 x 1 raised to it.
    np.testing.assert_allclose(holm([0.03, 0.01, 0.9, 0.02]), [0.06, 0.04, 0.9, 0.06])
    np.testing.assert_allclose(holm([0.04, 0.03]), [0.06, 0.06])
    np.testing.assert_array_equal(holm([0.8, 0.7]), [1, 1])
    assert holm([]).shape == (0,)


@given(hnp.arrays(np.float64, st.integers(1, 12), elements=st.floats(0, 1)))
def test_holm_keeps_the_order_and_never_helps(p):
    adjusted = holm(p)
    assert np.all(adjusted >= p)
    assert np.all(adjusted <= np.minimum(1, p * len(p)))  # Bonferroni
    assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)
    np.testing.assert_array_equal(holm(p[::-1]), adjusted[::-1])


@pytest.mark.parametrize("p", [[0.1, math.nan], [1.1], [-0.1], [[0.1]]])
def test_holm_wants_probabilities(p):
    with pytest.raises(ValueError, match="p_values"):
        holm(p)


@given(DIFFERENCES, st.integers(1, 20))
def test_simultaneous_intervals_are_bonferroni(differences, m):
    estimate = corrected_t(differences, 0.95)
    family = simultaneous(estimate, m, 0.95)
    single = corrected_t(differences, 1 - 0.05 / m)
    assert (family.low, family.high) == pytest.approx((single.low, single.high))
    assert (family.t, family.p) == (estimate.t, estimate.p)
    assert family.high - family.low >= (estimate.high - estimate.low) * (1 - 1e-12)


def test_a_family_is_not_empty():
    with pytest.raises(ValueError, match="m = 0"):
        simultaneous(corrected_t([[0.1, 0.2]], 0.95), 0, 0.95)


# Posterior ----------------------------------------------------------------------------------------


@given(DIFFERENCES, st.floats(0, 0.5))
def test_the_posterior_is_the_corrected_t_seen_otherwise(differences, rope):
    posterior = correlated_t_rope(differences, rope, 0.95, higher_is_better=True)
    assert posterior.below + posterior.inside + posterior.above == pytest.approx(1)
    assert min(posterior.below, posterior.inside, posterior.above) >= 0
    at_zero = correlated_t_rope(differences, 0, 0.95, higher_is_better=True)
    assume(not at_zero.degenerate)
    p = corrected_t(differences, 0.95).p
    assert 2 * min(at_zero.below, at_zero.above) == pytest.approx(p, abs=1e-12)


@pytest.mark.parametrize(
    ("mean", "gain", "loss"),
    [
        (0.05, "helps", "hurts"),
        (-0.05, "hurts", "helps"),
        (0.0, "no practical difference", "no practical difference"),
        (0.01, "undecided", "undecided"),
    ],
)
@pytest.mark.parametrize("sd", [0.002, 0])
def test_verdicts(mean, gain, loss, sd):
    differences = with_moments(mean, sd, repeats=3, folds=5)
    if sd == 0 and mean == 0.01:
        gain = loss = "no practical difference"  # all of it on the edge, which is inside
    for higher_is_better, verdict in ((True, gain), (False, loss)):
        posterior = correlated_t_rope(differences, 0.01, 0.95, higher_is_better=higher_is_better)
        assert posterior.verdict == verdict
        assert posterior.degenerate == (sd == 0)


def test_a_verdict_needs_its_probability():
    differences = with_moments(0.01, 0.02, repeats=1, folds=5)
    above = correlated_t_rope(differences, 0, 0.6, higher_is_better=True).above
    assert 0.6 < above < 0.99
    verdicts = [
        correlated_t_rope(differences, 0, above + step, higher_is_better=True).verdict
        for step in (-1e-6, 1e-6)
    ]
    assert verdicts == ["helps", "undecided"]


@pytest.mark.parametrize(
    ("rope", "probability", "message"),
    [(-0.1, 0.95, "rope = -0.1"), (math.nan, 0.95, "rope"), (0.1, 0.5, "probability = 0.5")],
)
def test_bad_rope_or_probability(rope, probability, message):
    with pytest.raises(ValueError, match=message):
        correlated_t_rope([[0.1, 0.2]], rope, probability, higher_is_better=True)


# Planning -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "rope"), [(0.02, 0), (-0.02, 0), (0.03, 0.01), (0.001, 0.021), (0.014, 0.0)]
)
def test_repeats_to_decide_is_the_first_that_is_enough(mean, rope):
    sd, folds = 0.014, 5
    needed = repeats_to_decide(with_moments(mean, sd, 2, folds), rope, 0.95)
    widths = [half_width(sd, r, folds, 0.95) for r in range(1, 200)]
    assert needed == 1 + next(i for i, w in enumerate(widths) if w <= abs(abs(mean) - rope))


def test_no_number_of_repeats_beats_the_floor():
    sd, folds = 0.014, 5
    floor = half_width(sd, math.inf, folds, 0.95)
    assert floor == pytest.approx(stats.norm.ppf(0.975) * sd * math.sqrt(1 / (folds - 1)))
    assert repeats_to_decide(with_moments(floor * 0.999, sd, 3, folds), 0, 0.95) is None
    assert repeats_to_decide(with_moments(floor * 1.001, sd, 3, folds), 0, 0.95) > 100
    assert repeats_to_decide(with_moments(floor, sd, 3, folds), floor, 0.95) is None


def test_without_spread_one_repeat_decides():
    assert repeats_to_decide(np.zeros((2, 5)), 0, 0.95) == 1
    assert repeats_to_decide(np.full((2, 5), 0.1), 0.1, 0.95) == 1


@given(DIFFERENCES, st.floats(0, 0.5))
def test_a_decided_interval_comes_with_a_verdict(differences, rope):
    needed = repeats_to_decide(differences, rope, 0.95)
    assert needed is None or needed >= 1
    if needed is not None and needed <= len(differences):
        posterior = correlated_t_rope(differences, rope, 0.9499, higher_is_better=True)
        assert posterior.verdict != "undecided"


@pytest.mark.parametrize(("repeats", "folds"), [(0, 5), (1, 1), (math.nan, 5)])
def test_half_width_wants_repeats_and_folds(repeats, folds):
    with pytest.raises(ValueError, match=rf"repeats = {repeats}, folds = {folds}"):
        half_width(1, repeats, folds, 0.95)


# Bootstrap ----------------------------------------------------------------------------------------

SETTINGS = {"draws": 2000, "confidence": 0.95, "seed": 3}


@pytest.fixture(scope="module")
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((3, 400)) < 0.85, rng.random((3, 400)) < 0.8


def test_bootstrap_agrees_with_drawing_images_one_by_one(answers):
    a, b = answers
    found = cluster_bootstrap(a, b, np.arange(400), **SETTINGS)
    gains = (a.astype(float) - b).mean(axis=0)
    drawn = gains[np.random.default_rng(0).integers(400, size=(2000, 400))].mean(axis=1)
    assert found.mean == pytest.approx(gains.mean())
    # Two simulations: quantiles agree to a few per cent of the interval's width.
    width = found.high - found.low
    assert (found.low, found.high) == pytest.approx(
        tuple(np.quantile(drawn, [0.025, 0.975])), abs=0.07 * width
    )
    assert found.groups == 400


def test_bootstrap_repeats_are_not_new_images(answers):
    a, b = answers
    once = cluster_bootstrap(a, b, np.arange(400), **SETTINGS)
    twice = cluster_bootstrap(np.tile(a, (2, 1)), np.tile(b, (2, 1)), np.arange(400), **SETTINGS)
    assert vars(twice) == pytest.approx(vars(once))


def test_bootstrap_copies_in_one_group_are_not_new_images(answers):
    a, b = answers
    once = cluster_bootstrap(a, b, np.arange(400), **SETTINGS)
    copies = [np.tile(x, (1, 4)) for x in (a, b)]
    grouped = cluster_bootstrap(*copies, np.tile(np.arange(400), 4), **SETTINGS)
    naive = cluster_bootstrap(*copies, np.arange(1600), **SETTINGS)
    assert vars(grouped) == pytest.approx(vars(once))
    assert naive.high - naive.low == pytest.approx((once.high - once.low) / 2, rel=0.1)


def test_bootstrap_uneven_groups_with_names(answers):
    a, b = answers
    names = np.array(["big"] * 200 + [f"image{i}" for i in range(200)])
    found = cluster_bootstrap(a, b, names, **SETTINGS)
    assert found.groups == 201
    assert found.low < found.mean < found.high


def test_bootstrap_seed(answers):
    a, b = answers
    groups = np.arange(400)
    assert cluster_bootstrap(a, b, groups, **SETTINGS) == cluster_bootstrap(
        a, b, groups, **SETTINGS
    )
    assert cluster_bootstrap(a, b, groups, **SETTINGS) != cluster_bootstrap(
        a, b, groups, **SETTINGS | {"seed": 4}
    )


@settings(max_examples=25)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 3), st.integers(1, 20))))
def test_bootstrap_of_a_variant_with_itself_is_zero(correct):
    found = cluster_bootstrap(correct, correct, np.arange(correct.shape[1]), **SETTINGS)
    assert (found.mean, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("a", "b", "groups", "changes", "message"),
    [
        ([[1, 0]], [[1, 0, 1]], [0, 1], {}, r"correct_b \(1, 3\)"),
        ([[1, 0]], [[1, 0]], [0], {}, r"groups \(1,\)"),
        ([1, 0], [1, 0], [0, 1], {}, r"correct_a \(2,\)"),
        ([[1, 2]], [[1, 0]], [0, 1], {}, r"\[0, 1\]"),
        ([[1, math.nan]], [[1, 0]], [0, 1], {}, r"\[0, 1\]"),
        ([[1, 0]], [[1, 0]], [0, 1], {"draws": 0}, "draws = 0"),
        ([[1, 0]], [[1, 0]], [0, 1], {"confidence": 1}, "confidence = 1"),
    ],
)
def test_bootstrap_bad_input(a, b, groups, changes, message):
    with pytest.raises(ValueError, match=message):
        cluster_bootstrap(a, b, groups, **SETTINGS | changes)


# McNemar ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "exact", "published"),
    [
        ([[101, 121], [59, 33]], False, (20.67222, 5.450095e-06)),
        ([[101, 70], [59, 33]], True, (59, 0.378688)),
        ([[101, 10], [30, 33]], True, (10, 0.002221)),
    ],
)
def test_statsmodels_mcnemar(table, exact, published):
    found = mcnemar(table[0][1], table[1][0], exact=exact)
    assert found == pytest.approx(published, rel=3e-4)
    assert mcnemar(table[1][0], table[0][1], exact=exact) == found


@given(st.integers(0, 40), st.integers(0, 40), st.booleans())
def test_mcnemar_agrees_with_statsmodels(only_a, only_b, exact):
    from statsmodels.stats.contingency_tables import mcnemar as reference

    assume(only_a + only_b > 0 and (exact or only_a != only_b))  # it subtracts 1 from nothing
    expected = reference([[9, only_a], [only_b, 9]], exact=exact, correction=True)
    assert mcnemar(only_a, only_b, exact=exact)[1] == pytest.approx(expected.pvalue)


def test_mcnemar_of_equal_nets():
    assert mcnemar(0, 0, exact=True) == mcnemar(0, 0, exact=False) == (0, 1)
    with pytest.raises(ValueError, match="only_a = -1"):
        mcnemar(-1, 3, exact=True)


# Spread -------------------------------------------------------------------------------------------


def test_the_spread_is_split_as_it_was_made():
    rng = np.random.default_rng(0)
    folds, seeds = 0.03 * rng.normal(size=(40, 50, 1)), 0.02 * rng.normal(size=(40, 50, 4))
    found = spread(0.9 + folds + seeds)
    assert (found.folds, found.seeds) == pytest.approx((0.03, 0.02), rel=0.05)
    assert spread(0.9 + folds + 0 * seeds).seeds == pytest.approx(0, abs=1e-12)
    assert spread(0.9 + seeds).folds < 0.004


def test_a_spread_by_hand():
    """Two folds, two members: within (0.02 + 0.02) / 2, between 0.5; 0.5 - 0.02 / 2 is left."""
    found = spread([[[0.0, 0.2], [1.0, 1.2]]])
    assert (found.folds, found.seeds) == pytest.approx((math.sqrt(0.49), math.sqrt(0.02)))


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 1), (1, 1, 4)])
def test_a_spread_needs_members(shape):
    with pytest.raises(ValueError, match="at least two"):
        spread(np.zeros(shape))
