import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from cnnlab.compare.inference import (
    Bar,
    Estimate,
    Split,
    cluster_bootstrap,
    corrected_t,
    crossed,
    holm,
    images_to_decide,
    mcnemar,
    probabilities,
    repeats_to_decide,
    score_interval,
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
    estimate = corrected_t(SONAR)
    assert (estimate.t, estimate.p) == pytest.approx((0.22233, 0.82902), abs=5e-6)
    assert (estimate.df, estimate.n, estimate.why) == (9, 10, "")


@pytest.mark.parametrize(
    ("rope", "published"),
    [
        (0, (0.4145119975, 0, 0.5854880025)),
        (0.5, (0.2858446417, 0.2691518717, 0.4450034866)),
    ],
)
def test_baycomp_sonar_posterior(rope, published):
    assert probabilities(corrected_t(SONAR), rope) == pytest.approx(published, abs=1e-10)


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
    estimate = corrected_t(moons)
    assert (estimate.t, estimate.p / 2) == pytest.approx((0.750, 0.227), abs=5e-4)
    assert estimate.interval(0.95) == pytest.approx((-0.016445, 0.036445), abs=5e-7)
    uncorrected = stats.ttest_1samp(moons.ravel(), 0, alternative="greater")
    assert (uncorrected.statistic, uncorrected.pvalue) == pytest.approx((2.611, 0.005), abs=5e-4)


def test_scikit_learn_grid_search_posterior(moons):
    below, inside, above = probabilities(corrected_t(moons), 0.01)
    assert (below, above, inside) == pytest.approx((0.068, 0.500, 0.432), abs=5e-4)


@pytest.mark.parametrize(("repeats", "published"), [(1, 1.862), (3, 1.207), (10, 1.044)])
def test_half_width_in_units_of_sd(repeats, published):
    estimate = corrected_t(with_moments(0, 1, 2, 5))
    assert estimate.half_width(repeats, 0.95) == pytest.approx(published, abs=5e-4)


# Corrected t --------------------------------------------------------------------------------------


@given(DIFFERENCES, CONFIDENCES)
def test_the_interval_holds_the_mean_and_is_wider_than_the_naive_one(differences, confidence):
    estimate = corrected_t(differences)
    low, high = estimate.interval(confidence)
    assert low <= estimate.mean <= high
    assert all(math.isfinite(v) for v in (low, high, estimate.p))
    assume(not estimate.why)
    naive = stats.ttest_1samp(differences.ravel(), 0)
    assert high - low > np.ptp(naive.confidence_interval(confidence))
    assert estimate.p >= naive.pvalue


@given(DIFFERENCES, CONFIDENCES)
def test_the_interval_leaves_out_zero_exactly_where_p_is_small(differences, confidence):
    estimate = corrected_t(differences)
    assume(not estimate.why and abs(estimate.p - (1 - confidence)) > 1e-9)
    low, high = estimate.interval(confidence)
    assert (low > 0 or high < 0) == (estimate.p < 1 - confidence)


@given(DIFFERENCES, st.floats(0, 0.5))
def test_swapping_two_variants_mirrors_everything(differences, rope):
    one, other = corrected_t(differences), corrected_t(-differences)
    assert (other.mean, other.t, other.p, other.error) == (-one.mean, -one.t, one.p, one.error)
    low, high = one.interval(0.95)
    assert other.interval(0.95) == (-high, -low)
    below, inside, above = probabilities(one, rope)
    assert probabilities(other, rope) == pytest.approx((above, inside, below), abs=1e-12)


@given(DIFFERENCES, st.randoms(use_true_random=False))
def test_the_order_of_repeats_and_folds_does_not_matter(differences, random):
    shuffled = differences.ravel().tolist()
    random.shuffle(shuffled)
    one = corrected_t(np.reshape(shuffled, differences.shape))
    other = corrected_t(differences)
    for name in ("mean", "error", "df", "p"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("value", [0, 0.1, -0.1])
def test_folds_that_are_all_alike_say_nothing(value):
    estimate = corrected_t(np.full((3, 5), value))
    assert (estimate.why, estimate.t, estimate.p, estimate.error) == (
        *("all folds are alike", 0, 1, 0),
    )
    assert estimate.interval(0.95) == pytest.approx((value, value))
    assert probabilities(estimate, 0.01) == (1 / 3, 1 / 3, 1 / 3)


def test_a_spread_of_rounding_is_none():
    differences = np.array([[0.9 - 0.8, 0.8 - 0.7, 0.5 - 0.4]])
    assert np.ptp(differences) > 0
    assert corrected_t(differences).why == "all folds are alike"


@pytest.mark.parametrize("correlated", [False, True])
def test_type_one_error(correlated):
    draws, folds, repeats = 3000, 5, 3
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(draws, repeats, folds))
    if correlated:  # to the degree that the correction assumes: the test is then exact
        rho = 1 / folds
        noise = math.sqrt(1 - rho) * noise + math.sqrt(rho) * rng.normal(size=(draws, 1, 1))
    rate = np.mean([corrected_t(d).p < 0.05 for d in noise])
    if correlated:
        assert rate == pytest.approx(0.05, abs=3 * math.sqrt(0.05 * 0.95 / draws))
    else:
        assert rate <= 0.05


def test_no_number_of_repeats_beats_the_floor_of_the_corrected_t():
    estimate = corrected_t(with_moments(0.01, 0.014, 3, 5))
    floor = estimate.half_width(math.inf, 0.95)
    assert floor == pytest.approx(stats.norm.ppf(0.975) * 0.014 * math.sqrt(1 / 4))


@pytest.mark.parametrize("confidence", [0, 1, 95, math.nan])
def test_confidence_is_a_share(confidence):
    with pytest.raises(ValueError, match=r"confidence = .* above 0 and below 1"):
        corrected_t([[0.1, 0.2]]).interval(confidence)


def test_bad_arrays():
    with pytest.raises(ValueError, match="nan at repeat 1, column 0"):
        corrected_t([[0.1, 0.2], [math.nan, 0.3]])
    with pytest.raises(ValueError, match=r"shape \(5,\).*a row a repeat"):
        corrected_t(np.zeros(5))
    with pytest.raises(ValueError, match=r"shape \(5, 1\).*at least 2 folds"):
        corrected_t(np.zeros((5, 1)))


# Intervals of scores ------------------------------------------------------------------------------

BOUNDS = st.sampled_from([m.bounds for m in METRICS.values()])
# Any share of the range, most often near an end of it.
SHARES = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1e-9, 0.001, 0.98, 0.998, 1.0]))


def within(shares, bounds):
    """Scores from shares of the range; where there is no largest one, up to what a loss may be."""
    least, most = bounds
    most = min(most, 16.2)
    return np.clip(least + (most - least) * shares, least, most)


def estimates_of(scores):
    """Of scores (repeats, folds), and of these as scores of images in two folds."""
    images = scores.shape[1]
    split = Split(np.tile(np.arange(images) % 2, (len(scores), 1)), np.arange(images))
    guards = (1.0, 10.0)
    return [corrected_t(scores), *(crossed(scores, split, g, p) for g in guards for p in (None, 2))]


@given(hnp.arrays(np.float64, SHAPES, elements=SHARES), BOUNDS, CONFIDENCES)
def test_an_interval_of_scores_never_leaves_what_is_possible(shares, bounds, confidence):
    least, most = bounds
    for estimate in estimates_of(within(shares, bounds)):
        low, high = score_interval(estimate, confidence, bounds)
        slack = 1e-9 * max(1, abs(estimate.mean))
        assert least - slack <= low <= estimate.mean + slack
        assert estimate.mean - slack <= high <= most + slack
        assert math.isfinite(low) and math.isfinite(high)


@given(st.floats(0.2, 0.8), st.integers(0, 99), BOUNDS)
def test_of_a_small_spread_it_is_the_plain_interval(share, seed, bounds):
    noise = np.random.default_rng(seed).normal(0, 1e-3, (3, 5))
    estimate = corrected_t(within(share + noise, bounds))
    low, high = estimate.interval(0.95)
    found = score_interval(estimate, 0.95, bounds)
    assert found == pytest.approx((low, high), abs=0.02 * (high - low))


def test_a_plain_interval_would_leave_what_is_possible():
    """Accuracies near 1, as of a good network on an easy data set: by hand on the logit scale."""
    estimate = corrected_t([[1.0, 0.98, 1.0, 0.94, 1.0]])
    low, high = score_interval(estimate, 0.95, (0.0, 1.0))
    plain = estimate.interval(0.95)[1]
    assert plain > 1 > high
    mean = estimate.mean
    half = (plain - mean) / (mean * (1 - mean))
    ends = [1 / (1 + math.exp(-(math.log(mean / (1 - mean)) + sign * half))) for sign in (-1, 1)]
    assert (low, high) == pytest.approx(tuple(ends))


def test_the_interval_of_a_loss_is_made_on_the_log_scale():
    estimate = corrected_t([[0.02, 0.9, 0.2, 0.05, 0.33]])
    low, high = score_interval(estimate, 0.95, (0.0, math.inf))
    half = estimate.half_width(1, 0.95) / estimate.mean
    assert (low, high) == pytest.approx((0.3 * math.exp(-half), 0.3 * math.exp(half)))
    assert estimate.interval(0.95)[0] < 0 < low


@pytest.mark.parametrize("share", [1.0, 0.0])
def test_all_right_or_all_wrong_is_wilson_s_interval(share):
    split = Split(np.arange(60)[None] % 5, np.arange(60))
    estimate = crossed(np.full((1, 60), share), split, 1.25)
    expected = stats.binomtest(int(60 * share), 60).proportion_ci(0.9, method="wilson")
    found = score_interval(estimate, 0.9, (0.0, 1.0))
    assert found == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert found[1] - found[0] > 0.04
    of_two = score_interval(crossed(np.full((1, 60), 2 * share), split, 1.25), 0.9, (0.0, 2.0))
    assert of_two == pytest.approx((2 * expected.low, 2 * expected.high), abs=1e-9)


def test_repeats_and_copies_are_not_more_images_where_all_are_right():
    split = Split(np.tile(np.arange(60) % 5, (3, 1)), np.arange(60) // 2)
    estimate = crossed(np.ones((3, 60)), split, 1.25)
    low, _ = score_interval(estimate, 0.95, (0.0, 1.0))
    assert low == pytest.approx(stats.binomtest(30, 30).proportion_ci(method="wilson").low)


def test_balanced_accuracy_of_a_network_that_is_always_right():
    """Its images weigh differently, which once made an interval from 0 to 100 %."""
    labels = np.array([0] * 45 + [1] * 15)
    values = METRICS["balanced_accuracy"].values(labels, np.eye(2)[labels])
    split = Split(np.arange(60)[None] % 5, np.arange(60))
    low, high = score_interval(crossed(values[None], split, 1.25), 0.95, (0.0, 1.0))
    assert 0.9 < low < high <= 1


NORMS = [[3.0, 7.0, 12.0]]


def test_where_any_number_is_possible_the_interval_is_the_plain_one():
    estimate = corrected_t(NORMS)
    assert score_interval(estimate, 0.95, None) == estimate.interval(0.95)
    with pytest.raises(ValueError, match=r"a mean score of 7.33333; possible: 0 to 1"):
        score_interval(estimate, 0.95, (0.0, 1.0))


def test_a_loss_that_is_nearly_nothing_but_for_one_fold_has_a_finite_interval():
    estimate = corrected_t([[1e-7, 5.0]])
    low, high = score_interval(estimate, 0.999, (0.0, math.inf))
    assert 0 <= low < estimate.mean < high < math.inf


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


# Posterior ----------------------------------------------------------------------------------------


@given(DIFFERENCES, st.floats(0, 0.5))
def test_the_posterior_is_the_test_seen_otherwise(differences, rope):
    estimate = corrected_t(differences)
    areas = probabilities(estimate, rope)
    assert sum(areas) == pytest.approx(1) and min(areas) >= 0
    assume(not estimate.why)
    below, _, above = probabilities(estimate, 0)
    assert 2 * min(below, above) == pytest.approx(estimate.p, abs=1e-12)


@pytest.mark.parametrize("rope", [-0.1, math.nan, math.inf])
def test_bad_rope(rope):
    with pytest.raises(ValueError, match=r"rope = .* at least 0 and finite"):
        probabilities(corrected_t([[0.1, 0.2]]), rope)


# Planning -----------------------------------------------------------------------------------------

BAR = Bar(alpha=0.05, probability=0.95, rope=0.01)


def study(mean, h=0.02, u=0.0005, e=0.05, n=300, repeats=3, k=5, seed=0, guard=1.25) -> Estimate:
    """The crossed estimate of a simulated study, moved to have this mean."""
    rng = np.random.default_rng(seed)
    fold = np.stack([rng.permutation(np.arange(n) % k) for _ in range(repeats)])
    values = math.sqrt(h) * rng.normal(size=n) + math.sqrt(e) * rng.normal(size=(repeats, n))
    values += np.take_along_axis(math.sqrt(u) * rng.normal(size=(repeats, k)), fold, axis=1)
    return crossed(values - values.mean() + mean, Split(fold, np.arange(n)), guard)


def decided(estimate, repeats, bar) -> bool:
    """As a table would, after so many repeats of the same mean and variances."""
    error, df = estimate.after(repeats)
    after = Estimate(
        **{"mean": estimate.mean, "error": error, "df": df, "n": estimate.n, "repeats": repeats},
        **{"folds": estimate.folds, "after": estimate.after},
    )
    return after.p <= bar.alpha or probabilities(after, bar.rope)[1] >= bar.probability


@pytest.mark.parametrize("mean", [0.03, 0.022, -0.03, 0.0, 0.001, -0.004, 0.012])
@pytest.mark.parametrize(("h", "n"), [(0.0, 300), (0.001, 300), (0.02, 300), (0.02, 2000)])
def test_repeats_to_decide_is_the_first_that_is_enough(mean, h, n):
    estimate = study(mean, h=h, n=n)
    needed = repeats_to_decide(estimate, BAR)
    enough = [decided(estimate, r, BAR) for r in range(1, 400)]
    assert needed == (1 + enough.index(True) if any(enough) else needed)
    assert any(enough) or needed is None or needed >= 400
    if needed is None:
        images = images_to_decide(estimate, BAR)
        assert estimate.n < images
        error, df = estimate.after(math.inf)
        for factor, enough in ((1.001, True), (0.999, False)):
            assert BAR.reaches(mean, error * math.sqrt(n / images / factor), df) == enough
    else:
        assert decided(estimate, needed, BAR)


def test_both_answers_of_planning_are_met_above():
    """Such as of an effect on the edge of the rope, of images that leave much open."""
    assert repeats_to_decide(study(0.012, h=0.02), BAR) is None
    assert repeats_to_decide(study(0.03, h=0.0), BAR) < 400


def test_no_number_of_repeats_beats_the_images():
    estimate = study(0.0)
    floor = estimate.half_width(math.inf, 0.95)
    h = estimate.parts.images
    assert floor == pytest.approx(stats.t.ppf(0.975, 299) * math.sqrt(1.25 * h / 300))
    strict = Bar(alpha=0.05, probability=0.95, rope=0.0)
    assert repeats_to_decide(study(floor * 0.999), strict) is None
    assert repeats_to_decide(study(floor * 1.001), strict) > 100
    assert images_to_decide(study(floor / 2), strict) == pytest.approx(1200, rel=1e-6)
    assert images_to_decide(replace(estimate, mean=0.0), strict) == math.inf


def test_the_rope_asks_for_its_probability_and_not_for_two_sided_significance():
    """At 95 %, one side beyond it may hold 5 %: 1.645 errors from the nearer side, not 1.96."""
    bar = Bar(alpha=1e-9, probability=0.95, rope=0.01)
    one, two = stats.norm.ppf([0.95, 0.975])
    for mean, errors in ((0.004, one), (0.0, two)):
        error = (0.01 - mean) / errors
        assert bar.reaches(mean, error * 0.999, 1e9) and not bar.reaches(mean, error * 1.001, 1e9)
        assert bar.reaches(-mean, error * 0.999, 1e9)
        assert bar.widest(mean, 1e9) == pytest.approx(error, rel=1e-3)
    assert not bar.reaches(0.01, 0.005, 1e9)


@given(
    st.floats(-0.05, 0.05),
    st.floats(1, 1000),
    st.floats(0.001, 0.5),
    st.floats(0.51, 0.999),
    st.sampled_from([0.0, 0.001, 0.02]),
)
def test_the_widest_error_is_where_an_effect_ceases_to_be_decided(mean, df, alpha, sure, rope):
    bar = Bar(alpha=alpha, probability=sure, rope=rope)
    widest = bar.widest(mean, df)
    assert widest >= 0
    assume(widest > 1e-12)
    assert bar.reaches(mean, widest * (1 - 1e-6), df)
    assert not bar.reaches(mean, widest * (1 + 1e-6), df)


def test_of_one_repeat_it_is_the_least_number():
    """What an image keeps from repeat to repeat is not known, and taken for nothing."""
    estimate = study(0.005, repeats=1)
    assert estimate.parts.images == 0 and estimate.half_width(math.inf, 0.95) == 0
    assert repeats_to_decide(estimate, BAR) > 1


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
