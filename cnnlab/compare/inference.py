"""What repeated k-fold cross-validation lets one say about an effect.

Training sets overlap, so fold differences are correlated and the plain variance of their mean is
too small. Every interval, test and probability here but the bootstrap uses one corrected scale:

    standard error = sd * sqrt(1 / (folds * repeats) + n_test / n_train)

with n_test / n_train = 1 / (folds - 1), and folds * repeats - 1 degrees of freedom. The second
term does not shrink with more repeats.

Arrays are (repeats, folds): float64, finite, at least 2 folds, in the units of the metric;
anything else raises a ValueError that says where. A spread below `FLAT` times the largest
absolute value is rounding and counts as zero: the result is then flagged `degenerate` and holds
no NaN.

Sources: C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52,
2003; for repeats, R. Bouckaert and E. Frank, "Evaluating the Replicability of Significance Tests
for Comparing Learning Algorithms", PAKDD 2004.
"""

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import (  # scipy.stats is slow to import
    bdtr,  # binomial
    chdtrc,  # chi-squared, upper tail
    expit,  # inverse of the logit
    stdtr,  # Student's t
    stdtrit,  # its quantile
)

from cnnlab.compare.contrasts import finite_matrix

Verdict = Literal["helps", "no practical difference", "hurts", "undecided"]

FLAT = 1e-9
MOST_REPEATS = 2**40  # where the search for enough repeats ends


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean over folds and repeats with its two-sided confidence interval, low <= mean <= high.

    sd: spread of the n values (ddof = 1). standard_error: of the mean, corrected.
    df: n - 1. degenerate: the spread is zero, so sd = standard_error = 0 and low = high = mean.
    """

    mean: float
    sd: float
    standard_error: float
    low: float
    high: float
    df: int
    n: int
    degenerate: bool


@dataclass(frozen=True, kw_only=True)
class Estimate(Interval):
    """An interval for an effect, and the test that the effect is 0.

    t: mean / standard_error. p: two-sided, not adjusted for other tests.
    If degenerate: t = 0 and p = 1 where the mean is 0, else t = +-inf and p = 0.
    """

    t: float
    p: float


@dataclass(frozen=True, kw_only=True)
class Posterior:
    """Probabilities that an effect lies below -rope, within +-rope, or above rope; they sum to 1.

    degenerate: the spread is zero and all probability lies on the mean.
    """

    below: float
    inside: float
    above: float
    verdict: Verdict
    degenerate: bool


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Difference in the share of correct images and its percentile interval; groups: how many."""

    mean: float
    low: float
    high: float
    groups: int


def mean_interval(scores: ArrayLike, confidence: float) -> Interval:
    """The interval for one variant's mean score, on the corrected scale.

    scores: (repeats, folds). confidence: in (0, 1).

    Two such intervals may overlap although the variants clearly differ: compare variants by
    their differences.
    """
    values, mean, sd = _moments(scores)
    repeats, folds = values.shape
    half = half_width(sd, repeats, folds, confidence)
    return Interval(
        mean=mean,
        sd=sd,
        standard_error=_standard_error(sd, repeats, folds),
        low=mean - half,
        high=mean + half,
        df=values.size - 1,
        n=values.size,
        degenerate=sd == 0,
    )


def score_interval(
    scores: ArrayLike, confidence: float, bounds: tuple[float, float] | None
) -> Interval:
    """As `mean_interval`, of scores that lie within `bounds`: low and high do, too.

    bounds: the least and the largest possible score, finite; None: any number is possible. The
    interval is made on the logit scale and taken back (delta method); mean, sd and standard_error
    are those of the scores. Raises ValueError for scores outside the bounds.
    """
    interval = mean_interval(scores, confidence)
    if bounds is None:
        return interval
    least, most = bounds
    slack = FLAT * (most - least)  # rounding, of a mean over images or members
    if np.min(scores) < least - slack or np.max(scores) > most + slack:
        raise ValueError(
            f"scores from {np.min(scores):g} to {np.max(scores):g}; possible: {least:g} to {most:g}"
        )
    if interval.degenerate:
        return interval
    above, below = (max(room, slack**2) for room in (interval.mean - least, most - interval.mean))
    centre = math.log(above / below)
    half = (interval.high - interval.mean) * (most - least) / (above * below)
    low, high = least + (most - least) * expit([centre - half, centre + half])
    return replace(
        interval, low=min(float(low), interval.mean), high=max(float(high), interval.mean)
    )


def corrected_t(differences: ArrayLike, confidence: float) -> Estimate:
    """The corrected resampled t-test of mean difference 0 (Nadeau and Bengio 2003).

    differences: (repeats, folds), one contrast. confidence: in (0, 1).

    The correction takes the correlation between folds to be 1 / folds. With less correlation the
    test rejects a true null less often than it claims: it is conservative.
    """
    interval = mean_interval(differences, confidence)
    if interval.degenerate:
        t = math.copysign(math.inf, interval.mean) if interval.mean else 0.0
    else:
        t = interval.mean / interval.standard_error
    return Estimate(**vars(interval), t=t, p=float(2 * stdtr(interval.df, -abs(t))))


def half_width(sd: float, repeats: float, folds: int, confidence: float) -> float:
    """Half the width of the corrected interval, in the units of `sd`.

    repeats = math.inf gives the floor: what is left however often the folds are drawn anew. Only
    more folds lower it. For one of m simultaneous intervals pass 1 - (1 - confidence) / m.
    """
    if not (repeats >= 1 and folds >= 2):
        raise ValueError(f"repeats = {repeats}, folds = {folds}; they must be at least 1 and 2")
    return _margin(_standard_error(sd, repeats, folds), repeats * folds - 1, confidence)


def simultaneous(estimate: Estimate, m: int, confidence: float) -> Estimate:
    """`estimate` with bounds that hold for all m effects of a family at once (Bonferroni).

    m: the size of the family, at least 1. confidence: of the family as a whole, in (0, 1).
    t and p stay as they are: `holm` adjusts p, from all m of them.
    """
    _check("confidence", confidence, 0, 1)
    if m < 1:
        raise ValueError(f"m = {m}: a family has at least 1 member")
    half = _margin(estimate.standard_error, estimate.df, 1 - (1 - confidence) / m)
    return replace(estimate, low=estimate.mean - half, high=estimate.mean + half)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values that control the chance of any false rejection in the family.

    p_values: (m,), in [0, 1]. Returns float64 (m,) in the same order, each at least its raw
    value and at most 1. Raises ValueError for anything that is not a probability.

    S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of
    Statistics 6, 1979.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not np.all((p >= 0) & (p <= 1)):
        raise ValueError(f"p_values: {p}; it must be one-dimensional, each in [0, 1]")
    order = np.argsort(p)
    adjusted = np.empty_like(p)
    # A larger p is never adjusted to less than a smaller one.
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1.0)


def correlated_t_rope(
    differences: ArrayLike, rope: float, probability: float, *, higher_is_better: bool
) -> Posterior:
    """The Bayesian correlated t-test with a region of practical equivalence (rope).

    differences: (repeats, folds), one contrast. rope: half-width of the region around 0 that
    makes no practical difference, at least 0, in the units of the metric. probability: what a
    verdict needs, in (0.5, 1). higher_is_better: of the metric; False for a loss, where an effect
    below -rope helps.

    With correlation 1 / folds the posterior is the t distribution behind `corrected_t`: the same
    evidence seen otherwise, not more of it.

    G. Corani and A. Benavoli, "A Bayesian approach for comparing cross-validated algorithms on
    multiple data sets", Machine Learning 100, 2015; A. Benavoli et al., "Time for a Change",
    Journal of Machine Learning Research 18, 2017.
    """
    _check("probability", probability, 0.5, 1)
    _check_rope(rope)
    values, mean, sd = _moments(differences)
    if sd == 0:
        below, inside, above = float(mean < -rope), float(abs(mean) <= rope), float(mean > rope)
    else:
        error = _standard_error(sd, *values.shape)
        cut = np.array([-rope - mean, rope - mean]) / error
        below, up_to_rope = (float(area) for area in stdtr(values.size - 1, cut))
        inside = max(0.0, up_to_rope - below)
        above = float(stdtr(values.size - 1, -cut[1]))
    helps, hurts = (above, below) if higher_is_better else (below, above)
    chances: dict[Verdict, float] = {
        "helps": helps,
        "no practical difference": inside,
        "hurts": hurts,
    }
    return Posterior(
        below=below,
        inside=inside,
        above=above,
        verdict=next((v for v, chance in chances.items() if chance >= probability), "undecided"),
        degenerate=sd == 0,
    )


def repeats_to_decide(differences: ArrayLike, rope: float, confidence: float) -> int | None:
    """The smallest number of repeats, in all, at which the interval should decide.

    It decides when it lies wholly outside +-rope or wholly within. That takes a half-width of
    at most ||mean| - rope|, with the mean and sd of these differences taken as the truth: a guide
    to planning, not a promise, the less so the fewer folds it rests on. Where this interval
    decides, `correlated_t_rope` reaches a verdict too at any probability up to `confidence`.

    differences: (repeats, folds), one contrast. rope: at least 0, in the units of the metric.
    confidence: of the interval, in (0, 1).

    Returns at least 1, and 1 if the spread is zero; None if no number of repeats is enough,
    because `half_width` with infinitely many is still too wide.
    """
    _check_rope(rope)
    values, mean, sd = _moments(differences)
    folds, target = values.shape[1], abs(abs(mean) - rope)

    def decides(repeats: float) -> bool:
        return half_width(sd, repeats, folds, confidence) <= target

    if not decides(MOST_REPEATS):
        return None
    return 1 + bisect_left(range(1, MOST_REPEATS), True, key=decides)


def cluster_bootstrap(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    groups: ArrayLike,
    *,
    draws: int,
    confidence: float,
    seed: int | np.random.SeedSequence,
) -> Bootstrap:
    """Paired cluster bootstrap of a - b, conditional on these trained models.

    It asks how the difference would vary over other images, with the models as they are. It says
    nothing about training again, so it must not decide whether a technique helps.

    correct_a, correct_b: (repeats, images), bool or in [0, 1]: whether each image was predicted
    right when it was out of fold, or the share of members that did. The same images in the same
    order in both. groups: (images,) ids; images of one group are drawn together (pass image ids
    where there are no groups). draws: at least 1. confidence: in (0, 1). seed: the same seed gives
    the same interval.

    Repeats are averaged for each image first: they are not new images. Returns the difference in
    the share of correct images, in [-1, 1]. Raises ValueError for unequal shapes or values
    outside [0, 1].

    C. Field and A. Welsh, "Bootstrapping clustered data", Journal of the Royal Statistical
    Society B 69, 2007.
    """
    _check("confidence", confidence, 0, 1)
    if draws < 1:
        raise ValueError(f"draws = {draws}; it must be at least 1")
    a, b = (np.asarray(correct, dtype=np.float64) for correct in (correct_a, correct_b))
    ids, member_of = np.unique(np.asarray(groups), return_inverse=True)
    if a.ndim != 2 or not a.size or a.shape != b.shape or np.shape(groups) != a.shape[1:]:
        raise ValueError(
            f"correct_a {a.shape}, correct_b {b.shape}, groups {np.shape(groups)}; shapes must be "
            "(repeats, images) twice and (images,), not empty"
        )
    if not np.all((np.minimum(a, b) >= 0) & (np.maximum(a, b) <= 1)):
        raise ValueError("correct_a and correct_b must lie in [0, 1], without NaN")
    gains = (a - b).mean(axis=0)  # (images,)
    sums = np.bincount(member_of, weights=gains).round(12)  # (groups,); equal ones stay equal
    sizes = np.bincount(member_of)
    # Groups with the same sum and size are interchangeable, so drawing how often each *kind* of
    # group comes up is the same bootstrap; the kinds are few where all groups would not fit.
    kinds, counts = np.unique(np.stack([sums, sizes], axis=1), axis=0, return_counts=True)
    times = np.random.default_rng(seed).multinomial(len(ids), counts / len(ids), size=draws)
    totals = times @ kinds  # (draws, 2): sum of gains, number of images
    tail = (1 - confidence) / 2
    low, high = np.quantile(totals[:, 0] / totals[:, 1], [tail, 1 - tail])
    return Bootstrap(mean=float(gains.mean()), low=float(low), high=float(high), groups=len(ids))


def mcnemar(only_a: int, only_b: int, *, exact: bool) -> tuple[float, float]:
    """McNemar's test of two trained networks on the same images, conditional on these networks.

    only_a, only_b: how many images just one of the two got right, at least 0. exact: the
    binomial test, else chi-squared with Edwards's correction.

    Returns statistic (exact: the smaller count) and two-sided p. It knows nothing of what another
    training would give: of a technique it is far too sure (see `cnnlab.validate`), so no verdict
    rests on it. Q. McNemar, Psychometrika 12, 1947; A. Edwards, Psychometrika 13, 1948.
    """
    n, smaller = only_a + only_b, min(only_a, only_b)
    if smaller < 0:
        raise ValueError(f"only_a = {only_a}, only_b = {only_b}; counts are at least 0")
    if n == 0:
        return 0.0, 1.0
    if exact:
        return float(smaller), min(1.0, 2 * float(bdtr(smaller, n, 0.5)))
    statistic = max(0, abs(only_a - only_b) - 1) ** 2 / n
    return statistic, float(chdtrc(1, statistic))


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Standard deviations of a score or difference, in its units: what another draw of images
    (folds) and another draw of starting weights and batches (seeds, of one network) would
    change."""

    folds: float
    seeds: float


def spread(values: ArrayLike) -> Spread:
    """Split the variance into folds and seeds by the one-way random-effects analysis of variance.

    values: (repeats, folds, members), at least 2 members, each another seed on the same fold. A
    fold component that comes out negative is reported as 0.
    """
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 3 or array.shape[2] < 2 or array.shape[0] * array.shape[1] < 2:
        raise ValueError(
            f"values: shape {array.shape}; it must be (repeats, folds, members), of at least two "
            "folds and two members: one seed a fold leaves the two in one"
        )
    seeds = float(array.var(axis=2, ddof=1).mean())
    between = float(array.mean(axis=2).var(ddof=1))
    return Spread(
        folds=math.sqrt(max(0.0, between - seeds / array.shape[2])), seeds=math.sqrt(seeds)
    )


def _moments(values: ArrayLike) -> tuple[NDArray[np.float64], float, float]:
    """The checked values, their mean, and their sd: exactly 0 where there is only rounding."""
    array = finite_matrix(values, "values")
    if array.shape[1] < 2:
        raise ValueError(f"values: shape {array.shape}; there must be at least 2 folds")
    sd = float(array.std(ddof=1))
    return array, float(array.mean()), sd if sd > FLAT * np.abs(array).max() else 0.0


def _standard_error(sd: float, repeats: float, folds: int) -> float:
    return sd * math.sqrt(1 / (repeats * folds) + 1 / (folds - 1))


def _margin(standard_error: float, df: float, confidence: float) -> float:
    _check("confidence", confidence, 0, 1)
    return float(stdtrit(df, (1 + confidence) / 2)) * standard_error


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise ValueError(f"{name} = {value}; it must be above {low} and below {high}")


def _check_rope(rope: float) -> None:
    if not 0 <= rope < math.inf:
        raise ValueError(f"rope = {rope}; it must be at least 0 and finite")
