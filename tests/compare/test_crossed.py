"""The crossed estimate: golden numbers, properties, and what simulated studies say of it."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cnnlab.compare import designs
from cnnlab.compare.contrasts import Incomparable, differences, pair
from cnnlab.compare.inference import Split, crossed, prior_ratio, probabilities, spreads
from cnnlab.compare.tables import Rules

VALIDITY = Path(__file__).parents[2].parent / "shared/data/validity"
GUARD = 1.25


# Golden numbers -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> tuple[dict[str, np.ndarray], Split]:
    """Study 0 of the trainings that chose the guard: set, as on or off of five techniques, ->
    (repeats, images), right or not; and its folds."""
    path = VALIDITY / "a_c.npz"
    if not path.exists():
        pytest.skip(f"needs {path.name} in ../shared/data/validity")
    with np.load(path) as arrays:
        order = arrays["perm"]  # (studies, repeats, images), fold by fold
        names = [name for name in arrays.files if name[0] == "c"]
        bits = {name: np.unpackbits(arrays[name], count=order.size) for name in names}
    right = {name[1:]: b.reshape(order.shape)[0].astype(float) for name, b in bits.items()}
    repeats, images = order.shape[1:]
    fold = np.empty((repeats, images), int)
    np.put_along_axis(fold, order[0].astype(int), np.arange(images)[None] // (images // 5), axis=1)
    return right, Split(fold, np.arange(images))


@pytest.mark.parametrize(
    ("variant", "repeats", "guard", "golden"),
    [
        (
            *("011111", 3, 1.0),
            (0.054444, 0.106798, 0.002500, 0.000720, 0.034583, 0.015605, 25.4015, 0.001786),
        ),
        (
            *("011111", 3, 1.25),
            (0.054444, 0.106798, 0.002500, 0.000720, 0.034583, 0.017100, 36.1098, 0.002988),
        ),
        (
            *("011111", 1, 1.0),
            (0.050000, 0.127062, 0.003194, 0.001077, 0.0, 0.025276, 4.0000, 0.119055),
        ),
        (
            *("001000", 3, 1.25),
            (0.027778, 0.101864, 0.002676, 0.000978, 0.023463, 0.016488, 27.5655, 0.103339),
        ),
    ],
)
def test_golden_numbers_of_a_study_on_digits(digits, variant, repeats, guard, golden):
    right, split = digits
    gains = differences(pair(variant, "000000"), right)[:repeats]
    seen, estimate = spreads(gains, split), crossed(gains, split, guard)
    mean, within, between, networks, images, error, df, p = golden
    assert (estimate.mean, seen.within, seen.between) == pytest.approx(
        (mean, within, between), abs=5.1e-7
    )
    assert (estimate.parts.networks, estimate.parts.images) == pytest.approx(
        (networks, images), abs=5.1e-7
    )
    assert (estimate.error, estimate.p) == pytest.approx((error, p), abs=5.1e-7)
    assert estimate.df == pytest.approx(df, abs=5.1e-5)
    assert (estimate.n, estimate.repeats, estimate.folds, estimate.why) == (300, repeats, 5, "")


TECHNIQUES = ["augment", "batchnorm", "dropout", "l1", "l2"]
MAIN = {  # estimate, standard error, degrees of freedom and their printed digits
    "augment": (0.019603, 0.008191, 299, 0),
    "batchnorm": (0.041270, 0.011724, 26.296, 3),
    "dropout": (0.005159, 0.004449, 299, 0),
    "l1": (-0.005952, 0.004331, 20.925, 3),
    "l2": (-0.002063, 0.003408, 299, 0),
}


def test_golden_numbers_of_main_effects_of_a_star(digits):
    right, split = digits
    sets = designs.star(TECHNIQUES)
    variants = {"0" + "".join("01"[t in on] for t in TECHNIQUES): sorted(on) for on in sets}
    contrasts = designs.effects(variants, sets, TECHNIQUES, 2)
    main = {c.name: c for c in contrasts if c.kind == "main"}
    assert list(main) == TECHNIQUES
    for name, (mean, error, df, printed) in MAIN.items():
        estimate = crossed(differences(main[name], right), split, GUARD)
        assert (estimate.mean, estimate.error) == pytest.approx((mean, error), abs=5.1e-7)
        assert estimate.df == pytest.approx(df, abs=0.51 * 10**-printed)


# Six images in two folds, twice; all by hand, below. Repeat 1: folds abc, def; repeat 2: abd, cef.
FOLDS = np.array([[0, 0, 0, 1, 1, 1], [0, 0, 1, 0, 1, 1]])
SIX = Split(FOLDS, np.arange(6))
VALUES = np.array([[3.0, 0, 0, 1, 0, -1], [4.0, 1, 0, 1, 0, 0]])


def test_two_repeats_of_six_images_by_hand():
    """Fold means 1, 0 and 2, 0; what is left 2 -1 -1 1 0 -1 and 2 -1 0 -1 0 0.

    within: (8 + 6) / (2 (6 - 2)); between: (1/2 + 2) / 2; sums over repeats 4 -2 -1 0 0 -1, so
    cross = (22 - 14) / (6 x 2 x 1), of which a share 1 - 2/3 + (1 + 4/5) / 9 = 8/15 is kept.
    """
    seen = spreads(VALUES, SIX)
    assert (seen.within, seen.between, seen.images, seen.n) == pytest.approx(
        (7 / 4, 5 / 4, 5 / 4, 6)
    )
    estimate = crossed(VALUES, SIX, GUARD)
    part = GUARD * (5 / 4 / 6 + 1 / 2 / 12)  # of images: 5/16
    networks = 5 / 4 - 7 / 4 / 3  # 2/3
    variance = part + networks / 4  # 23/48
    assert estimate.mean == 0.75
    assert vars(estimate.parts) == pytest.approx(
        {"images": 5 / 4, "interplay": 1 / 2, "networks": networks}
    )
    assert estimate.error == pytest.approx(math.sqrt(23 / 48)) == pytest.approx(variance**0.5)
    rest, folds = part - 7 / 4 / (3 * 4), 5 / 4 / 4  # 1/6 on 5, 5/16 on 2
    assert estimate.df == pytest.approx((23 / 48) ** 2 / (rest**2 / 5 + folds**2 / 2))
    assert estimate.df == pytest.approx(4.2219, abs=5e-5)
    assert estimate.why == "fewer than 20 images"


def test_one_repeat_of_six_images_by_hand():
    """within 8 / 4, between 1/2: less than images alone would give, so networks add nothing."""
    estimate = crossed(VALUES[:1], SIX, GUARD)
    assert vars(estimate.parts) == {"images": 0, "interplay": 2, "networks": 0}
    assert estimate.error == pytest.approx(math.sqrt(GUARD * 2 / 6))
    assert estimate.df == 5


def test_one_repeat_moderated_by_hand():
    """Prior 3/2 x 2/3 = 1 on 8 degrees of freedom, seen 1/2 on 1: 17/18 on 9."""
    estimate = crossed(VALUES[:1], SIX, GUARD, prior=1.5)
    assert estimate.parts.networks == pytest.approx(17 / 18 - 2 / 3)
    part = GUARD * 2 / 6
    variance = part + (17 / 18 - 2 / 3) / 2
    assert estimate.error == pytest.approx(math.sqrt(variance))
    folds = 17 / 18 / 2
    assert estimate.df == pytest.approx(
        variance**2 / ((part - 2 / (3 * 2)) ** 2 / 5 + folds**2 / 9)
    )


def test_two_images_of_one_group_by_hand():
    """a and b are one: what is left of them, 2 - 1, counts together; weights 5/6, so that the mean
    over five groups is that over six images."""
    split = Split(FOLDS, np.array([0, 0, 1, 2, 3, 4]))
    seen = spreads(VALUES, split)
    left = 5 / 6 * np.array([[1, -1, 1, 0, -1], [1, 0, -1, 0, 0]])
    assert seen.n == 5
    assert seen.within == pytest.approx((left**2).sum() / (2 * (5 - 2)))
    cross = ((left.sum(axis=0) ** 2).sum() - (left**2).sum()) / (5 * 2)
    m = 5 / 2
    kept = 1 - 2 / m + (1 + (m - 1) ** 2 / 4) / m**2
    assert seen.images == pytest.approx(max(cross / kept, 0))
    assert crossed(VALUES, split, 1.0).mean == 0.75


def test_the_prior_is_the_mean_ratio_of_a_study_each_at_least_one():
    """Ratios 5/4 x 3 / (7/4) = 15/7, one below 1, and one without spread over images."""
    one, low = spreads(VALUES, SIX), spreads(VALUES[:1], SIX)
    flat = spreads(np.array([[1.0, 1, 1, 2, 2, 2]]), SIX)
    assert (flat.within, flat.between) == pytest.approx((0, 0.5))
    assert prior_ratio([one, low, flat], 2) == pytest.approx((15 / 7 + 1) / 2)
    assert prior_ratio([flat], 2) is None and prior_ratio([], 2) is None


def test_what_is_the_network_s_own_is_not_moderated():
    """Such as a norm of weights: one value a fold. The prior would halve what folds show."""
    values = np.array([[1.0, 1, 1, 2, 2, 2]])
    plain, moderated = (crossed(values, SIX, GUARD, prior) for prior in (None, 1.5))
    assert (moderated.error, moderated.df) == (plain.error, plain.df) == pytest.approx((0.5, 1))


# Properties ---------------------------------------------------------------------------------------


@st.composite
def studies(draw, most=4):
    """Values (repeats, images) and their split: folds of equal or of any sizes."""
    k, repeats = draw(st.integers(2, 5)), draw(st.integers(1, most))
    n = draw(st.integers(2 * k, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    any_fold = np.concatenate([np.arange(k), rng.integers(0, k, n - k)])
    sizes = np.arange(n) % k if draw(st.booleans()) else any_fold
    fold = np.stack([rng.permutation(sizes) for _ in range(repeats)])
    kind = draw(st.sampled_from(["right or not", "loss", "mostly nothing", "networks"]))
    if kind == "right or not":
        values = rng.integers(-1, 2, (repeats, n)).astype(float)
    elif kind == "mostly nothing":
        values = rng.choice([-1.0, 0, 1], p=[0.02, 0.95, 0.03], size=(repeats, n))
    else:
        values = rng.normal(size=(repeats, n)).round(3) + rng.normal(size=n).round(3)
        if kind == "networks":
            values += 2 * np.take_along_axis(rng.normal(size=(repeats, k)).round(3), fold, 1)
    return values, Split(fold, np.arange(n))


GUARDS = st.sampled_from([1.0, 1.25, 3.0])
PRIORS = st.sampled_from([None, 1.0, 2.5])


def numbers(estimate):
    return {
        **{k: getattr(estimate, k) for k in ("mean", "error", "df", "n", "repeats", "folds", "p")},
        **vars(estimate.parts),
    }


@given(studies(), GUARDS, PRIORS, st.floats(0.5, 0.999))
def test_swapping_two_variants_mirrors_everything(study, guard, prior, confidence):
    values, split = study
    one, other = (crossed(sign * values, split, guard, prior) for sign in (1, -1))
    assert numbers(other) == numbers(one) | {"mean": -one.mean}
    low, high = one.interval(confidence)
    assert other.interval(confidence) == (-high, -low)
    below, inside, above = probabilities(one, 0.1)
    assert probabilities(other, 0.1) == pytest.approx((above, inside, below), abs=1e-12)


@given(studies(), GUARDS, PRIORS, st.integers(2, 5))
def test_copies_of_images_as_groups_are_not_new_images(study, guard, prior, copies):
    values, split = study
    copied = Split(np.repeat(split.fold, copies, axis=1), np.repeat(split.group, copies))
    again = crossed(np.repeat(values, copies, axis=1), copied, guard, prior)
    assert numbers(again) == pytest.approx(numbers(crossed(values, split, guard, prior)), abs=1e-12)


@given(studies(), GUARDS, PRIORS, st.integers(0, 99))
def test_the_order_of_images_folds_and_repeats_does_not_matter(study, guard, prior, seed):
    values, split = study
    rng = np.random.default_rng(seed)
    repeats, images = (rng.permutation(size) for size in values.shape)
    names = np.stack([rng.permutation(split.folds) for _ in values])
    fold = np.take_along_axis(names, split.fold, axis=1)[repeats][:, images]
    again = crossed(values[repeats][:, images], Split(fold, split.group), guard, prior)
    expected = numbers(crossed(values, split, guard, prior))
    assert numbers(again) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(studies(), GUARDS, PRIORS, st.floats(0.5, 0.999))
def test_the_interval_leaves_out_zero_exactly_where_p_is_small(study, guard, prior, confidence):
    estimate = crossed(*study, guard, prior)
    low, high = estimate.interval(confidence)
    assert low <= estimate.mean <= high
    assume(not estimate.why and abs(estimate.p - (1 - confidence)) > 1e-9)
    assert (low > 0 or high < 0) == (estimate.p < 1 - confidence)


@given(studies(), GUARDS, PRIORS)
def test_variances_are_never_below_zero_and_there_is_a_degree_of_freedom(study, guard, prior):
    estimate = crossed(*study, guard, prior)
    parts = estimate.parts
    assert min(parts.images, parts.interplay, parts.networks) >= 0
    assert 1 <= estimate.df < math.inf and 0 <= estimate.error < math.inf
    assert 0 <= estimate.p <= 1
    for repeats in (1, 2, 7, 1e6, math.inf):
        error, df = estimate.after(repeats)
        assert error >= 0 and 1 <= df < math.inf
    n, k, repeats = estimate.n, estimate.folds, estimate.repeats
    images = parts.images / n + parts.interplay / (n * repeats)
    assert estimate.error**2 == pytest.approx(guard * images + parts.networks / (repeats * k))


@given(studies(), GUARDS, PRIORS, st.floats(0.5, 0.99))
def test_more_repeats_never_widen(study, guard, prior, confidence):
    estimate = crossed(*study, guard, prior)
    tries = [1, 2, 3, 5, 10, 100, 10_000, math.inf]
    errors = [estimate.after(r)[0] for r in tries]
    widths = [estimate.half_width(r, confidence) for r in tries]
    assert all(b <= a * (1 + 1e-9) for a, b in itertools.pairwise(errors))
    # Degrees of freedom may fall a little, towards those of the images.
    assert all(b <= a * (1 + 4 / estimate.n) for a, b in itertools.pairwise(widths))
    assert estimate.after(estimate.repeats) == (estimate.error, estimate.df)


@given(studies(), PRIORS)
def test_a_guard_makes_the_error_larger_by_no_more_than_itself(study, prior):
    plain, guarded = (crossed(*study, guard, prior) for guard in (1.0, 1.25))
    assert guarded.mean == plain.mean and guarded.parts == plain.parts
    assert plain.error <= guarded.error <= plain.error * math.sqrt(1.25) * (1 + 1e-12)
    if plain.parts.images + plain.parts.interplay > 1e-12:
        assert guarded.error > plain.error


@given(studies(most=1), GUARDS)
def test_the_prior_moves_the_spread_of_folds_towards_that_of_the_study(study, guard):
    values, split = study
    seen = spreads(values, split)
    assume(seen.within > 0)
    expected = seen.within * split.folds / seen.n
    none = crossed(values, split, guard)
    for ratio in (1.0, 2.5):
        moderated = crossed(values, split, guard, ratio)
        between = (8 * ratio * expected + (split.folds - 1) * seen.between) / (7 + split.folds)
        assert moderated.parts.networks == pytest.approx(max(between - expected, 0), abs=1e-12)
        assert moderated.mean == none.mean and moderated.df >= 1


@given(studies(), GUARDS)
def test_with_several_repeats_there_is_no_prior(study, guard):
    values, split = study
    assume(len(values) > 1)
    assert numbers(crossed(values, split, guard, 3.0)) == numbers(crossed(values, split, guard))


def test_the_prior_is_that_of_all_contrasts_of_a_table():
    rng = np.random.default_rng(0)
    split = Split(np.arange(100)[None] % 5, np.arange(100))
    arrays = [rng.normal(size=(1, 100)) for _ in range(3)]
    rules = Rules(guard=1.25)
    prior = prior_ratio([spreads(a, split) for a in arrays], 5)
    assert rules.prior(arrays, split) == prior >= 1
    estimates = rules.estimates(arrays, split)
    assert [e.error for e in estimates] == [crossed(a, split, 1.25, prior).error for a in arrays]
    twice = Split(np.repeat(split.fold, 2, axis=0), split.group)
    assert rules.prior([np.repeat(a, 2, axis=0) for a in arrays], twice) is None


# What cannot be decided ---------------------------------------------------------------------------


def balanced(n, k, repeats, seed=0):
    rng = np.random.default_rng(seed)
    fold = np.stack([rng.permutation(np.arange(n) % k) for _ in range(repeats)])
    return Split(fold, np.arange(n))


@pytest.mark.parametrize(
    ("n", "k", "repeats", "why"),
    [
        (19, 5, 3, "fewer than 20 images"),
        (20, 5, 1, ""),
        (40, 2, 1, "fewer than 4 trainings"),
        (40, 3, 1, "fewer than 4 trainings"),
        (40, 2, 2, ""),
        (40, 4, 1, ""),
    ],
)
def test_why_nothing_is_decided_from_few_images_or_trainings(n, k, repeats, why):
    rng = np.random.default_rng(0)
    values = 5 + rng.normal(size=(repeats, n))
    estimate = crossed(values, balanced(n, k, repeats), GUARD)
    assert estimate.why == why
    assert (estimate.p == 1) == bool(why)
    assert estimate.t > 5


def test_groups_count_as_images():
    split = balanced(20, 5, 2)
    tripled = Split(np.repeat(split.fold, 3, axis=1), np.repeat(split.group, 3))
    some = Split(tripled.fold, np.minimum(tripled.group, 18))
    values = np.random.default_rng(0).normal(size=(2, 60))
    assert crossed(values, tripled, GUARD).why == ""
    assert crossed(values, some, GUARD).why == "fewer than 20 images"


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, 0.1 + 0.2])
def test_all_alike_says_nothing_however_large(value):
    split = balanced(100, 5, 3)
    estimate = crossed(np.full((3, 100), value), split, GUARD)
    assert (estimate.why, estimate.p, estimate.error) == ("all folds are alike", 1, 0)
    assert estimate.interval(0.95) == pytest.approx((value, value))
    assert probabilities(estimate, 0.01) == (1 / 3, 1 / 3, 1 / 3)


def test_two_folds_of_few_images_never_give_a_verdict():
    """Of studies without an effect, 11 % once had equal folds, which counted as certain."""
    rng = np.random.default_rng(0)
    alike = 0
    for seed in range(200):
        split = balanced(40, 2, 1, seed)
        values = rng.choice([-1.0, 0, 1], p=[0.05, 0.9, 0.05], size=(1, 40))
        estimate = crossed(values, split, GUARD)
        alike += np.ptp(split.means(values)) == 0 and estimate.mean != 0
        assert estimate.p == 1 and estimate.why
    assert alike > 5


@pytest.mark.parametrize(
    ("values", "split", "message"),
    [
        (np.zeros(6), SIX, r"shape \(6,\).*two-dimensional"),
        (np.where(VALUES == 4, np.nan, VALUES), SIX, "nan at repeat 1, column 0"),
    ],
)
def test_what_is_no_matrix_of_finite_values_is_refused(values, split, message):
    with pytest.raises(Incomparable, match=message):
        crossed(values, split, GUARD)


def test_two_folds_with_images_are_needed():
    with pytest.raises(ValueError, match="1 folds"):
        crossed(VALUES, Split(np.zeros((2, 6), int), np.arange(6)), GUARD)
    gap = Split(np.array([[0, 0, 0, 2, 2, 2]]), np.arange(6))
    with pytest.raises(ValueError, match="without images"):
        crossed(VALUES[:1], gap, GUARD)


# Split --------------------------------------------------------------------------------------------


def test_means_of_folds_and_back():
    split = Split(np.array([[0, 1, 1, 0, 1]]), np.arange(5))
    means = split.means(np.array([[1.0, 2, 4, 3, 6]]))
    np.testing.assert_allclose(means, [[2, 4]])
    np.testing.assert_allclose(split.spread(means), [[2, 4, 4, 2, 4]])
    assert split.folds == 2
    part = split.of(np.array([True, False, True, True, False]))
    np.testing.assert_array_equal(part.fold, [[0, 1, 0]])
    np.testing.assert_array_equal(part.group, [0, 1, 2])


def test_the_first_repeats_are_enough():
    np.testing.assert_allclose(SIX.means(VALUES[:1]), SIX.means(VALUES)[:1])
    assert crossed(VALUES[:1], SIX, 1.0).repeats == 1


@given(studies())
def test_the_mean_is_over_images_whatever_the_sizes_of_folds(study):
    values, split = study
    assert crossed(values, split, GUARD).mean == pytest.approx(values.mean(), abs=1e-12)


# Simulated studies --------------------------------------------------------------------------------


def draws(count, n, k, repeats, h, u, e, seed=0, uneven=False):
    """Studies of known variances, and no effect."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        weights = np.linspace(1, 3, k) if uneven else np.ones(k)
        sizes = np.repeat(np.arange(k), np.round(n * weights / weights.sum()).astype(int))[:n]
        sizes = np.concatenate([sizes, np.full(n - len(sizes), k - 1)])
        fold = np.stack([rng.permutation(sizes) for _ in range(repeats)])
        values = math.sqrt(h) * rng.normal(size=n) + math.sqrt(e) * rng.normal(size=(repeats, n))
        values += np.take_along_axis(math.sqrt(u) * rng.normal(size=(repeats, k)), fold, axis=1)
        yield values, Split(fold, np.arange(n))


@pytest.mark.parametrize("uneven", [False, True])
def test_variances_are_found_again(uneven):
    """h, e, and u of simulated studies, on average over them."""
    h, u, e = 0.04, 0.004, 0.06
    made = draws(400, n=150, k=5, repeats=3, h=h, u=u, e=e, uneven=uneven)
    parts = [crossed(*study, GUARD).parts for study in made]
    assert np.mean([p.images for p in parts]) == pytest.approx(h, rel=0.03)
    assert np.mean([p.interplay for p in parts]) == pytest.approx(e, rel=0.03)
    networks = np.mean([p.networks for p in parts])
    if uneven:  # small folds vary more, and a little of that is taken for networks: to be careful
        assert u < networks < 1.3 * u
    else:
        assert networks == pytest.approx(u, rel=0.05)


def test_the_error_is_that_of_the_mean():
    """Standard deviation of the means of studies against the error that each sees."""
    made = list(draws(600, n=100, k=5, repeats=3, h=0.05, u=0.005, e=0.1))
    estimates = [crossed(*study, 1.0) for study in made]
    spread = np.std([estimate.mean for estimate in estimates])
    seen = np.sqrt(np.mean([estimate.error**2 for estimate in estimates]))
    assert seen == pytest.approx(spread, rel=0.07)


@pytest.mark.parametrize("guard", [1.0, 1.25])
@pytest.mark.parametrize(
    ("repeats", "h", "u", "e"),
    [
        (1, 0.1, 0.0, 0.1),
        (1, 0.0, 0.01, 0.2),
        (3, 0.1, 0.0, 0.1),
        (3, 0.0, 0.0, 0.2),
        (3, 0.0, 0.02, 0.1),
        (3, 0.05, 0.005, 0.1),
        (10, 0.05, 0.005, 0.1),
    ],
)
def test_false_calls_are_no_more_often_than_they_may(repeats, h, u, e, guard):
    count = 600
    made = list(draws(count, n=100, k=5, repeats=repeats, h=h, u=u, e=e, seed=1))
    prior = prior_ratio([spreads(*study) for study in made], 5) if repeats == 1 else None
    rate = np.mean([crossed(*study, guard, prior).p < 0.05 for study in made])
    assert rate <= 0.05 + 2.5 * math.sqrt(0.05 * 0.95 / count)
    if guard == 1 and not u and repeats > 1:
        assert rate >= 0.05 - 3.5 * math.sqrt(0.05 * 0.95 / count)  # nor is it far too careful


def test_an_effect_is_found_that_the_corrected_t_leaves_open():
    from cnnlab.compare.inference import corrected_t

    made = list(draws(200, n=300, k=5, repeats=3, h=0.03, u=0.0005, e=0.07))
    found = np.mean([crossed(v + 0.05, split, GUARD).p < 0.05 for v, split in made])
    careful = np.mean([corrected_t(split.means(v + 0.05)).p < 0.05 for v, split in made])
    assert found > 0.8 > 0.5 > careful
