"""What repeated k-fold cross-validation lets one say about an effect: the estimates.

**The crossed estimate** (`crossed`) is made from values of single images. For image i in repeat r,
predicted by the network of its fold,

    value[i, r] = mean + h_i + u_(r, fold) + e[i, r]

where three things vary: which images there are (h), which network was trained (u), and their
interplay (e). What it speaks of: *these training images, averaged over seeds and splits, judged on
new images of the same kind*. How much other training sets would change cannot be seen in one data
set (Bengio and Grandvalet, JMLR 5, 2004); `guard` times the images' part is the allowance for it.
Related: Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007; Cameron, Gelbach
and Miller, "Robust inference with multiway clustering", Journal of Business & Economic Statistics
29, 2011; Bayle et al., "Cross-validation confidence intervals for test error", NeurIPS 2020.

**The corrected resampled t** (`corrected_t`) is made from means of folds. It assumes that folds are
correlated by 1 / folds, since training sets overlap:

    standard error = sd * sqrt(1 / (folds * repeats) + 1 / (folds - 1))

with folds * repeats - 1 degrees of freedom. C. Nadeau and Y. Bengio, "Inference for the
Generalization Error", Machine Learning 52, 2003; for repeats, R. Bouckaert and E. Frank, PAKDD
2004.
Real networks show far less correlation, so that it is too careful (see reports/validity).

Intervals, p and the probabilities of a verdict all come from one t distribution: (mean, error, df)
of an `Estimate`. The posterior is the Bayesian correlated t-test's (G. Corani and A. Benavoli,
Machine Learning 100, 2015; A. Benavoli et al., JMLR 18, 2017): the same evidence seen otherwise.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import (  # scipy.stats is slow to import
    bdtr,  # binomial
    chdtrc,  # chi-squared, upper tail
    expit,  # inverse of the logit
    ndtri,  # quantile of the normal distribution
    stdtr,  # Student's t
    stdtrit,  # its quantile
)

from cnnlab.compare.contrasts import finite_matrix

Verdict = Literal["helps", "no practical difference", "hurts", "undecided"]
# What those on an interaction are called: of techniques together, not of one.
TOGETHER = {"helps": "more together", "hurts": "less together"}

FLAT = 1e-9  # a spread below it, times the largest value, is rounding and counts as none
FEWEST_IMAGES = 20  # with fewer, or fewer trainings than the next, nothing is decided
FEWEST_TRAININGS = 4
PRIOR_DF = 8  # of the networks' variance over the contrasts of a study (Smyth 2004)
MOST_REPEATS = 2**40  # where the search for enough repeats ends
LARGEST = 700.0  # exponent: that of a larger one is no float


@dataclass(frozen=True)
class Split:
    """How the images of a study were held out.

    fold: int (repeats, images), 0 .. folds - 1. group: int (images,); images of one group (near
    duplicates, one patient) are never in two folds of a repeat.
    """

    fold: NDArray[np.int64]
    group: NDArray[np.int64]

    @property
    def folds(self) -> int:
        return int(self.fold.max()) + 1

    @property
    def units(self) -> int:
        """How many images, or groups of them, there are."""
        return int(self.group.max()) + 1

    def means(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mean of each fold, float64 (repeats, folds); `values`: (repeats, images), of the first
        repeats or all. NaN for a fold without images."""
        rows = self.fold[: len(values)] + self.folds * np.arange(len(values))[:, None]
        size = len(values) * self.folds
        counts = np.bincount(rows.ravel(), minlength=size)
        sums = np.bincount(rows.ravel(), weights=np.ravel(values), minlength=size)
        with np.errstate(invalid="ignore"):
            return (sums / counts).reshape(len(values), self.folds)

    def spread(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """A value of each fold, (repeats, folds), as one of each image, (repeats, images)."""
        return np.take_along_axis(values, self.fold[: len(values)], axis=1)

    def of(self, images: NDArray) -> Split:
        """The split of some of the images; `images`: rows, or a mask."""
        return Split(self.fold[:, images], np.unique(self.group[images], return_inverse=True)[1])


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Variances of the crossed model, in squared units of the metric."""

    images: float  # h: of an image, whichever network; 0 where it is not known (one repeat)
    interplay: float  # e: of an image by a single network, beyond that
    networks: float  # u: of a training run, at least 0


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """An estimate from repeated cross-validation; t with `df` degrees of freedom round `mean`.

    n: images, or groups of them. why: where nothing can be decided from it, the reason, else "".
    parts: of the crossed estimate. after: the same estimate after another number of repeats, taking
    the variances seen here for the truth; math.inf gives what no repeat can lower.
    """

    mean: float
    error: float  # standard error, >= 0
    df: float  # >= 1
    n: int
    repeats: int
    folds: int
    why: str = ""
    parts: Parts | None = None
    after: Callable[[float], tuple[float, float]]  # repeats -> (error, df)

    @property
    def t(self) -> float:
        """mean / error; 0 where there is no spread to compare with."""
        return self.mean / self.error if self.error else 0.0

    @property
    def p(self) -> float:
        """Two-sided, of the mean being 0, not adjusted for other tests; 1 where `why` says so."""
        return 1.0 if self.why else float(2 * stdtr(self.df, -abs(self.t)))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided, `confidence` in (0, 1). Without any spread both ends are the mean."""
        half = quantile(self.df, confidence) * self.error
        return self.mean - half, self.mean + half

    def half_width(self, repeats: float, confidence: float) -> float:
        """Of the interval after so many repeats."""
        error, df = self.after(repeats)
        return quantile(df, confidence) * error


def crossed(values: ArrayLike, split: Split, guard: float, prior: float | None = None) -> Estimate:
    """The crossed estimate of a mean over images, from values of each in each repeat.

    values: (repeats, images), finite, one contrast of variants' scores or one variant's. guard: at
    least 1, times the images' part of the variance. prior: with one repeat, what `prior_ratio`
    gives for the study: the spread of folds, seen in few of them, is moderated by it (G. Smyth,
    Statistical Applications in Genetics and Molecular Biology 3, 2004), unless images of a fold
    are all alike, as where a value is the network's own.

    Images of one group count as one. Raises Incomparable for values that are not finite, ValueError
    where there are not two folds.
    """
    d = finite_matrix(values, "values")
    seen = spreads(d, split)
    n, k, repeats = seen.n, split.folds, len(d)
    between, df_between = seen.between, k - 1  # a repeat
    if prior is not None and repeats == 1 and seen.within:
        before = prior * seen.within * k / n
        between = (PRIOR_DF * before + df_between * between) / (PRIOR_DF + df_between)
        df_between += PRIOR_DF
    m = n / k
    images = seen.images if repeats > 1 else 0.0  # of one repeat alone it is not known
    networks = max(between - seen.within / m, 0.0)

    def after(repeats: float) -> tuple[float, float]:
        part = guard * (images + (seen.within - images) / repeats) / n
        variance = part + networks / (repeats * k)
        if not networks or not variance:
            return math.sqrt(variance), max(n - 1.0, 1.0)
        # Shares of the variance that folds show, and that they do not.
        folds = between / (repeats * k) / variance
        rest = max(part - seen.within / (m * repeats * k), 0.0) / variance
        df = 1 / (rest**2 / (n - 1) + folds**2 / (repeats * df_between))
        return math.sqrt(variance), max(df, 1.0)

    error, df = after(repeats)
    return Estimate(
        mean=float(d.mean()),
        error=error,
        df=df,
        n=n,
        repeats=repeats,
        folds=k,
        why=_why(seen, between, repeats * k),
        parts=Parts(images=images, interplay=seen.within - images, networks=networks),
        after=after,
    )


@dataclass(frozen=True, kw_only=True)
class Spreads:
    """Mean squares of one contrast: `within` folds, over images; `between` the folds of a repeat;
    `images`: what of `within` an image keeps from repeat to repeat (0 with one). n: images, or
    groups."""

    within: float
    between: float
    images: float
    n: int


def spreads(values: NDArray[np.float64], split: Split) -> Spreads:
    """The mean squares of values (repeats, images)."""
    repeats, k = len(values), split.folds
    means = split.means(values)
    if k < 2 or not np.isfinite(means).all():
        raise ValueError(f"{k} folds, some without images; there must be at least 2, with images")
    w = values - split.spread(means)
    w[np.abs(w) <= FLAT * np.abs(values).max()] = 0.0  # rounding
    n = split.units
    if n < values.shape[1]:
        size = n / values.shape[1]
        w = size * np.array([np.bincount(split.group, weights=row, minlength=n) for row in w])
    within = float((w**2).sum() / (repeats * max(n - k, 1)))
    spread = means.std(axis=1, ddof=1)
    spread[spread <= FLAT * np.abs(means).max()] = 0.0
    images = 0.0
    if repeats > 1:
        # Twice the sum over pairs of repeats, from which chance and network drop out.
        cross = float(((w.sum(axis=0) ** 2) - (w**2).sum(axis=0)).sum())
        cross /= n * repeats * (repeats - 1)
        m = n / k
        kept = 1 - 2 / m + (1 + (m - 1) ** 2 / (n - 1)) / m**2  # of h, fold means taken off
        images = min(max(cross / kept, 0.0), within) if kept > 0 else 0.0
    return Spreads(within=within, between=float((spread**2).mean()), images=images, n=n)


def prior_ratio(contrasts: Iterable[Spreads], folds: int) -> float | None:
    """How many times wider than chance over images the folds of a study spread, for `crossed` with
    one repeat: mean over contrasts, each at least 1. None where none varies over images."""
    ratios = [s.between * s.n / (s.within * folds) for s in contrasts if s.within > 0]
    return float(np.mean(np.maximum(ratios, 1.0))) if ratios else None


def corrected_t(differences: ArrayLike) -> Estimate:
    """The estimate of the corrected resampled t from means of folds, (repeats, folds).

    Raises Incomparable as `crossed`.
    """
    array = finite_matrix(differences, "values")
    repeats, folds = array.shape
    if folds < 2:
        raise ValueError(f"values: shape {array.shape}; there must be at least 2 folds")
    sd = float(array.std(ddof=1))
    if sd <= FLAT * np.abs(array).max():
        sd = 0.0

    def after(repeats: float) -> tuple[float, float]:
        error = sd * math.sqrt(1 / (repeats * folds) + 1 / (folds - 1))
        return error, repeats * folds - 1

    error, df = after(repeats)
    return Estimate(
        mean=float(array.mean()),
        error=error,
        df=df,
        n=array.size,
        repeats=repeats,
        folds=folds,
        why="" if sd else "all folds are alike",
        after=after,
    )


def _why(seen: Spreads, between: float, trainings: int) -> str:
    """Why nothing can be decided from an estimate; "" where something can."""
    if not seen.within and not between:
        return "all folds are alike"
    if seen.n < FEWEST_IMAGES:
        return f"fewer than {FEWEST_IMAGES} images"
    return f"fewer than {FEWEST_TRAININGS} trainings" if trainings < FEWEST_TRAININGS else ""


def quantile(df: float, confidence: float) -> float:
    """Half the width of a two-sided interval in standard errors; confidence in (0, 1)."""
    _check("confidence", confidence, 0, 1)
    return float(stdtrit(df, (1 + confidence) / 2))


def score_interval(
    estimate: Estimate, confidence: float, bounds: tuple[float, float] | None
) -> tuple[float, float]:
    """The interval of a score that lies within `bounds`: its ends do, too.

    bounds: the least possible score and the largest, which may be inf; None: any number is
    possible. The interval is made on the logit scale, or on the log scale where there is no largest
    score, and taken back (delta method). Scores that are all alike give no spread: their interval
    is Wilson's for so many images. Raises ValueError for a mean outside the bounds.
    """
    low, high = estimate.interval(confidence)
    if bounds is None:
        return low, high
    least, most = bounds
    mean, half = estimate.mean, high - estimate.mean
    slack = FLAT * max(1.0, abs(mean))  # rounding, of a mean over images or members
    if not least - slack <= mean <= most + slack:
        raise ValueError(f"a mean score of {mean:g}; possible: {least:g} to {most:g}")
    above, below = max(mean - least, FLAT**2), max(most - mean, FLAT**2)
    if math.isinf(most):
        factor = math.exp(min(half / above, LARGEST))
        low, high = least + above / factor, least + above * factor
    elif not half:
        share = min(above / (most - least), 1.0)
        z = float(ndtri((1 + confidence) / 2)) ** 2 / estimate.n
        centre = (share + z / 2) / (1 + z)
        reach = math.sqrt(z * share * (1 - share) + z**2 / 4) / (1 + z)
        low, high = (least + (most - least) * (centre + side * reach) for side in (-1, 1))
    else:
        centre = math.log(above / below)
        reach = half * (most - least) / (above * below)
        low, high = least + (most - least) * expit([centre - reach, centre + reach])
    return min(float(low), mean), max(float(high), mean)


def probabilities(estimate: Estimate, rope: float) -> tuple[float, float, float]:
    """Probabilities that a mean lies below -rope, within +-rope, and above rope; they sum to 1.

    rope: half-width of the region around 0 that makes no practical difference, at least 0, in the
    units of the metric. An estimate without any spread says nothing: a third each.
    """
    _check_rope(rope)
    if not estimate.error:
        return 1 / 3, 1 / 3, 1 / 3
    return _areas(estimate.mean, estimate.error, estimate.df, rope)


def _areas(mean: float, error: float, df: float, rope: float) -> tuple[float, float, float]:
    """What a t distribution has below -rope, within +-rope, and above rope; error above 0."""
    cut = np.array([-rope - mean, rope - mean]) / error
    below, up_to_rope = (float(area) for area in stdtr(df, cut))
    return below, max(0.0, up_to_rope - below), float(stdtr(df, -cut[1]))


@dataclass(frozen=True, kw_only=True)
class Bar:
    """What it takes to decide an effect: a two-sided p below `alpha` tells it from 0, and a
    probability of at least `probability` (above 0.5) that it lies within +-`rope` calls it no
    practical difference."""

    alpha: float
    probability: float
    rope: float

    def reaches(self, mean: float, error: float, df: float) -> bool:
        """Whether an estimate would be decided."""
        if abs(mean) >= quantile(df, 1 - self.alpha) * error:
            return True
        return _areas(mean, error, df, self.rope)[1] >= self.probability

    def widest(self, mean: float, df: float) -> float:
        """The largest standard error at which an estimate would be decided; 0: there is none."""
        from scipy.optimize import brentq  # takes long, and every stage reads this module

        differs = abs(mean) / quantile(df, 1 - self.alpha)
        room = self.rope - abs(mean)
        if room <= 0:
            return differs
        # Between what both sides of the rope would allow, were they as near as the nearer one, and
        # what that one would allow alone.
        least = 0.999 * room / quantile(df, self.probability)
        most = 1.001 * room / quantile(df, 2 * self.probability - 1)
        same = brentq(
            lambda error: _areas(mean, error, df, self.rope)[1] - self.probability, least, most
        )
        return max(differs, same)


def repeats_to_decide(estimate: Estimate, bar: Bar) -> int | None:
    """The smallest number of repeats, in all, that should decide an effect.

    The mean and the variances seen are taken for the truth: a guide to planning, not a promise.
    From one repeat it is the least number, since what an image keeps from repeat to repeat is not
    known. None: no number would, since the images alone leave too much open.
    """

    def decides(repeats: float) -> bool:
        return bar.reaches(estimate.mean, *estimate.after(repeats))

    if not decides(MOST_REPEATS):
        return None
    return 1 + bisect_left(range(1, MOST_REPEATS), True, key=decides)


def images_to_decide(estimate: Estimate, bar: Bar) -> float:
    """About how many images, in all, should decide an effect however often they are split; inf
    where the mean lies on the edge of what would."""
    error, df = estimate.after(math.inf)
    needed = bar.widest(estimate.mean, df)
    return estimate.n * (error / needed) ** 2 if needed > 0 else math.inf


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


@dataclass(frozen=True, kw_only=True)
class Bootstrap:
    """Difference in the share of correct images and its percentile interval; groups: how many."""

    mean: float
    low: float
    high: float
    groups: int


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


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low < value < high:
        raise ValueError(f"{name} = {value}; it must be above {low} and below {high}")


def _check_rope(rope: float) -> None:
    if not 0 <= rope < math.inf:
        raise ValueError(f"rope = {rope}; it must be at least 0 and finite")
