"""What more training images would bring: a power law through the scores of several sizes.

The loss of a variant (the distance of its score from the best possible one, such as the error rate
of an accuracy) over its training images n is taken to be

    loss(n) = floor + scale * n ** -exponent

with floor and scale at least 0 and an exponent of 0 .. 1.5 (J. Hestness et al., "Deep Learning
Scaling is Predictable, Empirically", arXiv:1712.00409, 2017; J. Rosenfeld et al., "A Constructive
Prediction of the Generalization Error Across Scales", ICLR 2020). A floor is fitted where there are
at least four sizes; with three it is 0, which hopes for more from more images than with a floor.

Intervals say what would vary with other images of the same kind and with other trainings, at all
sizes jointly, as the same images are predicted at every size: means are drawn anew from a t
distribution with the covariance that `Rules.estimates` gives (with the crossed estimate its guard
for other training sets included), and the curve is fitted to each draw. How well the power law
itself holds beyond the sizes tried is no part of them: no curve is followed further than
`FURTHEST` times all images, nor below the smallest size.

Columns of the table of growth, one row a variant:

    variant                   which one
    images, sizes             its training images in a trial on all of them; sizes in the fit
    floor, scale, exponent    of its curve, see above
    mean                      its score by the curve at all images
    doubled                   at twice as many
    doubled_low, doubled_high  prediction interval: what a study of twice the images would measure,
                              whose own error is taken to be that of this one
    gain, gain_low, gain_high  doubled less mean, with the interval of that difference of the curve
    minus                     the variant that it is compared with; empty for that one
    worth                     how many more training images that one would need, by its curve, for
                              the score that the variant has at all images; below 0: how many fewer
    worth_low, worth_high     its interval; inf, -inf: further than the curve is followed
    why                       why there is no fit; or empty

Scores are in the metric's own units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cnnlab.compare.inference import Split
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.tables import Rules
from cnnlab.metric import Metric

GROWTH_COLUMNS = ["variant", "images", "sizes", "floor", "scale", "exponent", "mean", "doubled"]
GROWTH_COLUMNS += ["doubled_low", "doubled_high", "gain", "gain_low", "gain_high", "minus", "worth"]
GROWTH_COLUMNS += ["worth_low", "worth_high", "why"]

FEWEST_SIZES = 3  # all images among them
SIZES_WITH_FLOOR = 4
EXPONENTS = np.linspace(0, 1.5, 76)
FURTHEST = 8  # times all images
PRICE = 2.0  # of a floor: what it must lower the squared misfit by (H. Akaike, IEEE Transactions on
# Automatic Control 19, 1974)
SLACK = 0.02  # of the mean variance, that each size has of its own
TOO_FEW = "at least two sizes besides all images are needed (sizes.per_class)"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curves:
    """Power laws, float64 (draws,) each, of a loss over images in units of `unit`."""

    floor: Floats
    part: Floats  # of the loss at `unit` images, what falls with more
    exponent: Floats
    unit: float

    def at(self, images: float) -> Floats:
        """The loss of each at so many images."""
        return self.floor + self.part * (images / self.unit) ** -self.exponent

    def images(self, loss: Floats, least: float, most: float) -> Floats:
        """At how many images each comes to a loss; inf above `most`, -inf below `least`."""
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = (loss - self.floor) / self.part
            needed = self.unit * np.where(share > 0, share, 0.0) ** (-1 / self.exponent)
        still = (self.part <= 0) | (self.exponent == 0)  # more images change nothing
        now = self.floor + self.part
        flat = np.where(loss < now, np.inf, np.where(loss > now, -np.inf, self.unit))
        needed = np.where(still, flat, needed)
        return np.where(needed > most, np.inf, np.where(needed < least, -np.inf, needed))


def fit(losses: Floats, images: Floats, covariance: Floats, with_floor: bool) -> Curves:
    """The power law nearest to each row of losses, (draws, sizes), by generalised least squares;
    `images`: (sizes,), the last size the largest; `covariance`: of a row, (sizes, sizes)."""
    unit = float(images[-1])
    # Sizes that happen to agree must not count for more than they can know.
    slack = SLACK * np.trace(covariance) / len(images) * np.eye(len(images))
    white = np.linalg.inv(np.linalg.cholesky(covariance + slack)).T
    y, ones = losses @ white, np.ones(len(images)) @ white
    best = [np.full(len(losses), np.inf), *np.zeros((3, len(losses)))]

    def offer(floor: Floats, part: Floats, x: Floats, exponent: float, price: float) -> None:
        miss = ((y - floor[:, None] * ones - part[:, None] * x) ** 2).sum(axis=1) + price
        better = (floor >= 0) & (part >= 0) & (miss < best[0])
        for kept, new in zip(best, (miss, floor, part, np.full(len(y), exponent)), strict=True):
            kept[better] = new[better]

    y_ones, ones_ones = y @ ones, ones @ ones
    for exponent in EXPONENTS:
        x = (images / unit) ** -exponent @ white
        y_x, x_x, x_ones = y @ x, x @ x, x @ ones
        offer(np.zeros(len(y)), np.maximum(y_x / x_x, 0), x, exponent, 0.0)
        if with_floor and exponent:
            whole = x_x * ones_ones - x_ones**2  # of the normal equations, the determinant
            floor = (x_x * y_ones - x_ones * y_x) / whole
            offer(floor, (ones_ones * y_x - x_ones * y_ones) / whole, x, exponent, PRICE)
    return Curves(best[1], best[2], best[3], unit)


@dataclass(frozen=True)
class Line:
    """A variant's curve as it is drawn: scores, float64 (points,), with the ends of its band."""

    images: Floats
    mean: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class Growth:
    """The table of growth, and the curves of those variants that have one."""

    rows: list[dict]
    lines: dict[str, Line]


def growth(
    values: Mapping[int, Mapping[str, Floats]],
    images: Mapping[int, int],
    split: Split,
    rules: Rules,
    draws: int,
    seed: int,
) -> Growth:
    """What more images would bring to each variant, see the columns.

    `values`: size -> variant -> (repeats, images held out), of the metric of `rules`, the first
    variant the one that others are compared with; `images`: size -> training images of a trial.
    `draws`: of the intervals, from `seed`.
    """
    sizes = sorted(values, key=lambda size: images[size])
    rows, lines, metric = [], {}, METRICS[rules.metric]
    names = list(values[sizes[-1]]) if sizes else []
    for name in names:
        of_name = [size for size in sizes if name in values[size]]
        row = {"variant": name, "images": images[sizes[-1]], "sizes": len(of_name), "why": TOO_FEW}
        rows.append(row)
        if len(of_name) < FEWEST_SIZES:
            continue
        rng = np.random.default_rng([seed, len(rows)])
        own = _Drawn.of([values[s][name] for s in of_name], [], split, rules, draws, rng)
        row["why"] = own.why
        if own.why:
            continue
        curves = own.curves([images[s] for s in of_name], metric)
        lines[name] = _line(curves, images[of_name[0]], metric, rules.confidence)
        row |= _doubled(curves, own, metric, rules.confidence, rng)
        first = names[0]
        of_first = [size for size in sizes if first in values[size]]
        if name == first or len(of_first) < FEWEST_SIZES:
            continue
        gain = values[sizes[-1]][name] - values[sizes[-1]][first]
        both = _Drawn.of([values[s][first] for s in of_first], [gain], split, rules, draws, rng)
        if not both.why:
            curves = both.curves([images[s] for s in of_first], metric)
            row |= {"minus": first, **_worth(curves, both, images[of_first[0]], metric, rules)}
    return Growth(rows, lines)


@dataclass(frozen=True)
class _Drawn:
    """Mean scores by size, and what is drawn with them; the first draw is what was measured."""

    scores: Floats  # (1 + draws, sizes)
    others: Floats  # (1 + draws, others)
    covariance: Floats  # of all of these
    df: float
    why: str  # why nothing can be told; or empty

    @classmethod
    def of(cls, scores, others, split, rules, draws, rng) -> _Drawn:
        """From values of images, (repeats, images) each."""
        arrays = [*scores, *others]
        estimates = rules.estimates(arrays, split)
        means = np.array([e.mean for e in estimates])
        df = min(e.df for e in estimates)
        # A difference that is the same everywhere is one that is known.
        why = next((e.why for e in estimates[: len(scores)] if e.why), "")
        covariance = covariance_of(arrays, split, rules)
        size, axes = np.linalg.eigh(covariance)
        noise = rng.standard_normal((draws, len(arrays))) * np.sqrt(size.clip(0)) @ axes.T
        noise *= np.sqrt(df / rng.chisquare(df, draws))[:, None]
        drawn = np.concatenate([means[None], means + noise])
        return cls(drawn[:, : len(scores)], drawn[:, len(scores) :], covariance, df, why)

    def curves(self, images: Sequence[int], metric: Metric) -> Curves:
        """The curve of each draw."""
        losses, sizes = _loss(self.scores, metric), len(images)
        covariance = self.covariance[:sizes, :sizes]
        return fit(losses, np.array(images, float), covariance, sizes >= SIZES_WITH_FLOOR)


def covariance_of(arrays: Sequence[Floats], split: Split, rules: Rules) -> Floats:
    """The covariance of the means of arrays, (repeats, images) each, float64 (arrays, arrays).

    Those of sums and differences give it: cov(a, b) = (var(a + b) - var(a - b)) / 4; what is no
    covariance by rounding or truncation is made the nearest one.
    """
    count = len(arrays)
    pairs = [(i, j) for i in range(count) for j in range(i)]
    mixed = [*arrays]
    for i, j in pairs:
        mixed += [arrays[i] + arrays[j], arrays[i] - arrays[j]]
    variances = [e.error**2 for e in rules.estimates(mixed, split)]
    matrix = np.diag(variances[:count])
    for number, (i, j) in enumerate(pairs):
        plus, minus = variances[count + 2 * number : count + 2 * number + 2]
        matrix[i, j] = matrix[j, i] = (plus - minus) / 4
    size, axes = np.linalg.eigh(matrix)
    return axes * size.clip(0) @ axes.T


def _loss(scores: Floats, metric: Metric) -> Floats:
    """How far scores are from the best possible one."""
    least, most = metric.bounds
    return most - scores if metric.higher_is_better else scores - least


def _score(losses: Floats, metric: Metric) -> Floats:
    """The score of a loss, within what is possible."""
    least, most = metric.bounds
    return np.clip(most - losses if metric.higher_is_better else least + losses, least, most)


def _ends(drawn: Floats, confidence: float) -> tuple[float, float]:
    """The middle share of draws, which may be infinite."""
    low, high = ((1 - side * confidence) / 2 for side in (1, -1))
    ends = np.quantile(drawn, [low, high], method="inverted_cdf")
    return float(ends[0]), float(ends[1])


def _line(curves: Curves, least: float, metric: Metric, confidence: float) -> Line:
    images = np.geomspace(least, 2 * curves.unit, 60)
    scores = [_score(curves.at(n), metric) for n in images]
    ends = np.array([_ends(s[1:], confidence) for s in scores])
    return Line(images, np.array([s[0] for s in scores]), ends[:, 0], ends[:, 1])


def _doubled(curves: Curves, own: _Drawn, metric: Metric, confidence: float, rng) -> dict:
    """The curve, and what twice the images should bring."""
    unit, exponent, sizes = curves.unit, float(curves.exponent[0]), own.scores.shape[1]
    now, then = (_score(curves.at(n), metric) for n in (unit, 2 * unit))
    error = np.sqrt(own.covariance[sizes - 1, sizes - 1])
    again = then[1:] + error * rng.standard_t(own.df, len(then) - 1)
    row = {"floor": float(curves.floor[0]), "scale": float(curves.part[0]) * unit**exponent}
    row |= {"exponent": exponent, "mean": float(now[0]), "doubled": float(then[0])}
    ends = _ends(np.clip(again, *metric.bounds), confidence)
    row |= dict(zip(("doubled_low", "doubled_high"), ends, strict=True))
    ends = _ends((then - now)[1:], confidence)
    return row | {"gain": float(then[0] - now[0]), "gain_low": ends[0], "gain_high": ends[1]}


def _worth(curves: Curves, both: _Drawn, least: float, metric: Metric, rules: Rules) -> dict:
    """How many more images the difference from the first variant is worth to that one."""
    better = both.others[:, 0] * (1 if metric.higher_is_better else -1)
    wanted = curves.at(curves.unit) - better
    more = curves.images(wanted, least, FURTHEST * curves.unit) - curves.unit
    low, high = _ends(more[1:], rules.confidence)
    return {"worth": float(more[0]), "worth_low": low, "worth_high": high}
