"""What more training images would bring: on curves and studies whose truth is known."""

import math

import numpy as np
import pytest
from scipy.special import ndtri

from cnnlab.compare import growth as module
from cnnlab.compare.growth import FURTHEST, GROWTH_COLUMNS, TOO_FEW, covariance_of, fit, growth
from cnnlab.compare.inference import Split, crossed
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.tables import Rules

RULES = Rules()


def law(floor, scale, exponent):
    return lambda n: floor + scale * n**-exponent


def study(rng, images, sizes, laws, repeats=3, alike=0.5, net=0.02):
    """Values of images, size -> variant -> (repeats, images), and their split: each is wrong with
    the probability of its variant's law, hard images at all sizes and in all variants."""
    fold = np.stack([rng.permutation(np.arange(images) % 5) for _ in range(repeats)])
    hard = rng.standard_normal(images)
    values = {}
    for size in sizes:
        values[size] = {}
        for name, error in laws.items():
            u = np.take_along_axis(rng.standard_normal((repeats, 5)), fold, axis=1)
            z = math.sqrt(1 - alike - net) * rng.standard_normal((repeats, images))
            z += math.sqrt(alike) * hard + math.sqrt(net) * u
            values[size][name] = (z > ndtri(error(size))).astype(float)
    return values, Split(fold, np.arange(images))


def exact(sizes, laws):
    """A study whose means lie on the laws to 1e-4, spread evenly over images and folds."""
    ranks, fold = np.arange(10_000), np.arange(10_000)[None] % 5
    order = ranks * 7919 % 10_000  # wrong ones in every fold alike
    values = {
        size: {name: (order[None] >= round(error(size) * 10_000)).astype(float)
               for name, error in laws.items()}
        for size in sizes
    }  # fmt: skip
    return values, Split(fold, ranks)


def rows_of(values, split, sizes, **rules):
    made = growth(values, {s: s for s in sizes}, split, Rules(**rules), 500, 1)
    return {row["variant"]: row for row in made.rows}


@pytest.mark.parametrize(
    ("sizes", "a", "b", "c"),
    [
        ((100, 200, 400), 0.0, 2.0, 0.5),
        ((100, 200, 400), 0.0, 5.0, 0.8),
        ((50, 100, 400, 1600, 6400), 0.05, 1.5, 0.6),
    ],
)
def test_a_known_law_is_found_again(sizes, a, b, c):
    images, losses = np.array(sizes, float), np.array([law(a, b, c)(np.array(sizes, float))])
    curves = fit(losses, images, 1e-10 * np.eye(len(sizes)), len(sizes) > 3)
    assert curves.exponent[0] == pytest.approx(c)
    assert curves.floor[0] == pytest.approx(a, abs=1e-9)
    assert curves.part[0] * sizes[-1] ** c == pytest.approx(b)
    assert curves.at(3 * sizes[-1])[0] == pytest.approx(law(a, b, c)(3 * sizes[-1]))
    wanted = curves.at(2.5 * sizes[-1])
    assert curves.images(wanted, 1, math.inf)[0] == pytest.approx(2.5 * sizes[-1])


def test_what_more_images_bring_on_a_known_study():
    """With 1.6 n^-0.5 and 1.2 n^-0.5 the first needs (1.6 / 1.2)^2 = 1.78 times the images."""
    sizes = (100, 200, 400, 800)
    laws = {"base": law(0, 1.6, 0.5), "more": law(0, 1.2, 0.5)}
    rows = rows_of(*exact(sizes, laws), sizes)
    assert all(set(row) <= set(GROWTH_COLUMNS) for row in rows.values())
    base, more = rows["base"], rows["more"]
    assert (base["images"], base["sizes"], base["why"]) == (800, 4, "")
    assert "worth" not in base and more["minus"] == "base"
    assert more["worth"] == pytest.approx(800 * (16 / 9 - 1), rel=0.03)
    assert 0 < more["worth_low"] < more["worth"] < more["worth_high"] < math.inf
    for row, error in zip((base, more), laws.values(), strict=True):
        assert row["exponent"] == pytest.approx(0.5, abs=0.011)
        assert row["mean"] == pytest.approx(1 - error(800), abs=1e-3)
        assert row["doubled"] == pytest.approx(1 - error(1600), abs=1e-3)
        assert row["gain"] == pytest.approx(row["doubled"] - row["mean"])
        assert row["gain_low"] < row["gain"] < row["gain_high"]
        assert row["doubled_low"] < row["doubled"] < row["doubled_high"] <= 1


def test_the_other_way_round_it_costs_images():
    sizes = (100, 200, 400, 800)
    laws = {"base": law(0, 1.2, 0.5), "less": law(0, 1.6, 0.5)}
    row = rows_of(*exact(sizes, laws), sizes)["less"]
    assert row["worth"] == pytest.approx(800 * (9 / 16 - 1), rel=0.03)
    assert row["worth_low"] < row["worth"] < row["worth_high"] < 0


def test_a_score_that_no_number_of_images_reaches_has_no_number():
    sizes = (100, 200, 400, 800)
    laws = {"base": law(0, 0.3, 0.02), "more": law(0, 1.2, 0.5), "less": law(0, 0.6, 0.02)}
    rows = rows_of(*exact(sizes, laws), sizes)
    assert rows["more"]["worth"] == rows["more"]["worth_high"] == math.inf
    assert rows["less"]["worth"] == rows["less"]["worth_low"] == -math.inf
    assert math.inf > FURTHEST * 800


def test_a_loss_that_falls_reads_the_same_way():
    """Of NLL less is better: gains are negative, and still worth images."""
    sizes = (100, 200, 400)
    values, split = exact(sizes, {"base": law(0, 1.6, 0.5), "more": law(0, 1.2, 0.5)})
    flipped = {s: {name: 1 - v for name, v in of.items()} for s, of in values.items()}
    accuracy = rows_of(values, split, sizes)["more"]
    nll = rows_of(flipped, split, sizes, metric="nll", higher_is_better=False)["more"]
    assert nll["gain"] == pytest.approx(-accuracy["gain"])
    assert nll["worth"] == pytest.approx(accuracy["worth"])


def test_two_sizes_are_too_few_and_so_are_values_that_say_nothing():
    laws = {"base": law(0, 1.6, 0.5), "more": law(0, 1.2, 0.5)}
    made = growth(*_with_images(*exact((100, 400), laws), (100, 400)), RULES, 500, 1)
    assert [row["why"] for row in made.rows] == [TOO_FEW] * 2 and not made.lines
    values = {size: {"base": np.ones((3, 60))} for size in (1, 2, 3)}
    split = Split(np.tile(np.arange(60) % 3, (3, 1)), np.arange(60))
    assert growth(values, {1: 3, 2: 6, 3: 9}, split, RULES, 50, 1).rows[0]["why"] == (
        "all folds are alike"
    )
    assert growth({}, {}, split, RULES, 50, 1).rows == []


def _with_images(values, split, sizes):
    return values, {s: s for s in sizes}, split


def test_a_variant_that_lacks_a_size_is_fitted_on_those_it_has():
    sizes = (100, 200, 400, 800)
    values, split = exact(sizes, {"base": law(0, 1.6, 0.5), "more": law(0, 1.2, 0.5)})
    del values[100]["more"]
    rows = rows_of(values, split, sizes)
    assert (rows["base"]["sizes"], rows["more"]["sizes"]) == (4, 3)
    assert rows["more"]["worth"] == pytest.approx(800 * 7 / 9, rel=0.05)


def test_the_same_again_gives_the_same():
    values, split = study(np.random.default_rng(0), 200, (40, 80, 160), {"a": law(0, 1.5, 0.5)})
    one, two = (growth(values, {s: s for s in values}, split, RULES, 200, 3) for _ in range(2))
    assert one.rows == two.rows
    np.testing.assert_array_equal(one.lines["a"].low, two.lines["a"].low)


def test_covariances_are_those_of_sums():
    """The variance of any contrast of the means is that of its own estimate, where no part of a
    variance is cut off at 0."""
    rng = np.random.default_rng(5)
    laws = {"a": law(0, 1.5, 0.3), "b": law(0, 1.4, 0.3)}
    values, split = study(rng, 400, (40, 80), laws, net=0.2)
    arrays = [values[s][name] for s in (40, 80) for name in laws]
    covariance, weights = covariance_of(arrays, split, RULES), np.array([1.0, 0.5, 0.25, 0.5])
    mixed = crossed(sum(w * a for w, a in zip(weights, arrays, strict=True)), split, RULES.guard)
    assert weights @ covariance @ weights == pytest.approx(mixed.error**2, rel=0.02)
    assert np.linalg.eigvalsh(covariance).min() > -1e-12


SETTINGS = {  # images of a study, sizes, the laws of two variants
    "three sizes": (400, (80, 160, 320), law(0, 1.5, 0.5), law(0, 1.2, 0.5)),
    "four sizes, a floor": (400, (40, 80, 160, 320), law(0.02, 1.5, 0.6), law(0.02, 1.1, 0.6)),
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_intervals_hold_in_simulated_studies(setting):
    """200 studies: worth, gain, and what a fresh study of twice the images measures."""
    images, sizes, base, more = SETTINGS[setting]
    last = sizes[-1]
    worth = _images_for(base, more(last)) - last
    hits = np.zeros(3)
    for number in range(200):
        rng = np.random.default_rng([7, number])
        values, split = study(rng, images, sizes, {"base": base, "more": more})
        row = growth(values, {s: s for s in sizes}, split, RULES, 200, number).rows[1]
        fresh, _ = study(rng, 2 * images, (2 * last,), {"more": more})
        measured = fresh[2 * last]["more"].mean()
        hits += [
            row["worth_low"] <= worth <= row["worth_high"],
            row["gain_low"] <= more(last) - more(2 * last) <= row["gain_high"],
            row["doubled_low"] <= measured <= row["doubled_high"],
        ]
    covered = hits / 200
    assert (covered[:2] >= 0.9).all() and (covered[:2] <= 0.99).all(), covered
    assert covered[2] >= 0.95, covered  # its own error at twice the images is smaller


def _images_for(error, wanted):
    """At how many images a law comes to an error."""
    low, high = 1.0, 1e9
    for _ in range(200):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if error(middle) > wanted else (low, middle)
    return low


def test_columns_are_documented():
    documented = set(module.__doc__.replace(",", " ").split())
    assert set(GROWTH_COLUMNS) <= documented


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_a_best_score(metric):
    least, most = METRICS[metric].bounds
    assert math.isfinite(most if METRICS[metric].higher_is_better else least)
