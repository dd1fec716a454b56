"""From values of images to the rows of the committed tables: plain dictionaries, one a row.

Columns of the table of variants:

    name, techniques          which variant, what is on (separated by blanks)
    n, repeats                images (or groups of them), and how often they were split
    METRIC, METRIC_sd         mean of each metric, and the spread of its folds (of what is no mean
                              over images, of what their images add to it)
    METRIC_se                 standard error of the mean
    METRIC_low, METRIC_high   its interval, within what is possible

Columns of the table of effects:

    metric                    which score; the primary one's rows come first
    technique, kind           whose effect, and which question it answers (see `designs.KINDS`)
    plus, minus               the variants that are weighed up and down, separated by blanks
    effect, low, high         mean of the contrast (such as plus - minus) and its interval
    low_all, high_all         bounds that hold for all effects of the kind at once (Bonferroni)
    se, df                    standard error and degrees of freedom of the effect
    n, repeats                images (or groups of them), and how often they were split
    h, e, u                   variances: of images, of their interplay with networks, of networks;
                              empty where the estimate does not split them
    p                         two-sided; where there were looks, what it is worth after them
    p_holm                    p after Holm's correction over the effects of the kind
    clear                     p_holm below alpha: significant
    rope                      what makes no practical difference, either way
    p_helps, p_same, p_hurts  posterior probabilities of better than rope, within it, worse
    verdict                   "no practical difference": p_same is large enough; else "helps" or
                              "hurts", where the effect is clear; else "undecided"
    why                       why nothing could be decided, such as "all folds are alike"; or empty
    more                      how many more repeats should decide it: 0 if decided, inf if no number
                              would (after one repeat: at least so many)
    images_needed             where more is inf: about how many images in all would; else n
    floor                     half-width of the interval after infinitely many repeats
    look                      where repeats were added until it was decided: after how many looks
                              that was, or, undecided, how many there were; else 0
    aliases                   of a main effect: two-way interactions that it holds besides
    approximate               the metric is no mean over images, and its interval not shown right

Where there are several members, both tables hold METRIC_sd_folds and METRIC_sd_seeds, or sd_folds
and sd_seeds: the spread split into what folds and what seeds (of one network) do.

All are in the metric's own units; p_same and its like sum to 1.

Columns of the table of classes, accuracy alone: technique, kind, class, images, effect, low, high,
p, p_holm (over the classes of a technique), clear, rope, verdict, why, as above. A class of few
images is never said to show no practical difference: where none of n changes, 3 / n of new ones
still may (J. Hanley and A. Lippman-Hand, Journal of the American Medical Association 249, 1983).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cnnlab.compare import looks
from cnnlab.compare.contrasts import Contrast, differences, plus_and_minus
from cnnlab.compare.inference import (
    FEWEST_TRAININGS,
    Bar,
    Estimate,
    Parts,
    Split,
    corrected_t,
    crossed,
    holm,
    images_to_decide,
    prior_ratio,
    probabilities,
    repeats_to_decide,
    score_interval,
    spread,
    spreads,
)
from cnnlab.compare.metrics import METRICS, bounds_of

VARIANT_COLUMNS = ["name", "techniques", "n", "repeats"]  # and five for each metric
EFFECT_COLUMNS = ["metric", "technique", "kind", "plus", "minus", "effect", "low", "high"]
EFFECT_COLUMNS += ["low_all", "high_all", "se", "df", "n", "repeats", "h", "e", "u", "p", "p_holm"]
EFFECT_COLUMNS += ["clear", "rope", "p_helps", "p_same", "p_hurts", "verdict", "why", "more"]
EFFECT_COLUMNS += ["images_needed", "floor", "look", "aliases", "approximate"]
CLASS_COLUMNS = ["technique", "kind", "class", "images", "effect", "low", "high", "p", "p_holm"]
CLASS_COLUMNS += ["clear", "rope", "verdict", "why"]


Values = Mapping[str, np.ndarray]  # name -> (repeats, images)
Members = Mapping[str, np.ndarray]  # name -> (repeats, images, members)


@dataclass(frozen=True, kw_only=True)
class Looks:
    """Repeats that are added while effects are undecided: the first look is after `first` repeats,
    the last after `most`."""

    first: int
    most: int


def watched(kinds: Collection[str]) -> set[str]:
    """Of the kinds of effect of a study, those that repeats are added for: main effects (where
    there are none, what techniques add alone), starts, and pairs that the params name."""
    return {"main" if "main" in kinds else "alone", "start", "pair"} & set(kinds)


def looks_of(repeats: int, most: int | None) -> Looks | None:
    """The looks of a study with so many repeats for all; `most`: None where none are added."""
    return None if most is None else Looks(first=repeats, most=most)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of estimates, tests and verdicts; see the columns."""

    metric: str = "accuracy"
    higher_is_better: bool = True
    rope: float = 0.01  # in the metric's own units, at least 0
    confidence: float = 0.95  # of intervals, in (0, 1)
    alpha: float = 0.05  # in (0, 1)
    probability: float = 0.95  # that a verdict needs, in (0.5, 1)
    estimate: str = "crossed"  # or corrected_t
    guard: float = 1.25  # of the crossed estimate, at least 1
    looks: Looks | None = None  # None: repeats were fixed beforehand

    def estimates(self, values: Sequence[np.ndarray], split: Split) -> list[Estimate]:
        """The estimates of several contrasts, (repeats, images) each, of one study."""
        prior = self.prior(values, split)
        return [self.estimate_of(v, split, prior) for v in values]

    def prior(self, values: Sequence[np.ndarray], split: Split) -> float | None:
        """What `crossed` takes from all contrasts of a study where there is one repeat."""
        if self.estimate != "crossed" or all(len(v) > 1 for v in values):
            return None
        return prior_ratio((spreads(v, split) for v in values), split.folds)

    def estimate_of(self, values: np.ndarray, split: Split, prior: float | None) -> Estimate:
        """The estimate of one contrast, (repeats, images)."""
        if self.estimate == "corrected_t":
            return replace(corrected_t(split.means(values)), n=split.units)
        return crossed(values, split, self.guard, prior)


def variant_rows(
    values: Mapping[str, Values],
    techniques: Mapping[str, Sequence[str]],
    split: Split,
    rules: Rules,
    members: Mapping[str, Members] | None = None,
) -> list[dict]:
    """One row a variant; `values` maps metric -> variant -> (repeats, images), `members`, where
    given, metric -> variant -> (repeats, images, members)."""
    rows: dict[str, dict] = {
        name: {"name": name, "techniques": " ".join(on)} for name, on in techniques.items()
    }
    for metric, by_variant in values.items():
        estimates = rules.estimates([by_variant[name] for name in techniques], split)
        for (name, row), estimate in zip(rows.items(), estimates, strict=True):
            low, high = score_interval(estimate, rules.confidence, bounds_of(metric))
            row |= {"n": estimate.n, "repeats": estimate.repeats, metric: estimate.mean}
            row[f"{metric}_sd"] = float(split.means(by_variant[name]).std(ddof=1))
            row[f"{metric}_se"] = estimate.error
            row[f"{metric}_low"], row[f"{metric}_high"] = low, high
            if members and metric in members and members[metric][name].shape[2] > 1:
                parts = _split_spread(members[metric][name], split)
                row[f"{metric}_sd_folds"], row[f"{metric}_sd_seeds"] = parts
    return list(rows.values())


def intervals(values: Values, split: Split, rules: Rules) -> dict[str, tuple[float, float, float]]:
    """Mean score of each variant, and the ends of its interval."""
    estimates = dict(zip(values, rules.estimates(list(values.values()), split), strict=True))
    bounds = bounds_of(rules.metric)
    return {
        name: (estimate.mean, *score_interval(estimate, rules.confidence, bounds))
        for name, estimate in estimates.items()
    }


def effect_rows(
    contrasts: Sequence[Contrast],
    values: Values,
    split: Split,
    rules: Rules,
    members: Members | None = None,
) -> list[dict]:
    """One row a contrast; those of one kind are one family for Holm's correction.

    `members`, where given, lets the spread of contrasts of variants in it be split.
    """
    arrays = [differences(c, values) for c in contrasts]
    estimates = rules.estimates(arrays, split)
    rows = []
    sizes = {kind: sum(c.kind == kind for c in contrasts) for kind in {c.kind for c in contrasts}}
    for contrast, estimate in zip(contrasts, estimates, strict=True):
        row = _effect(contrast, estimate, rules, sizes[contrast.kind])
        weighed = [v for v, weight in contrast.weights.items() if weight]
        seeds = [members[v].shape[2] for v in weighed if v in (members or {})]
        if len(seeds) == len(weighed) and min(seeds) > 1:
            used = min(len(members[v]) for v in weighed)
            whole = sum(contrast.weights[v] * members[v][:used] for v in weighed)
            row["sd_folds"], row["sd_seeds"] = _split_spread(whole, split)
        rows.append(row)
    for kind in sizes:
        family = [i for i, c in enumerate(contrasts) if c.kind == kind]
        if rules.looks and kind in watched(sizes):
            _after_looks([rows[i] for i in family], [arrays[i] for i in family], split, rules)
            continue
        for i, p in zip(family, holm([rows[i]["p"] for i in family]), strict=True):
            _decide(rows[i], float(p), rules.probability, rules)
    for row, estimate in zip(rows, estimates, strict=True):
        _plan(row, estimate, rules, sizes[row["kind"]])
    return rows


def _effect(contrast: Contrast, estimate: Estimate, rules: Rules, family: int) -> dict:
    plus, minus = plus_and_minus(contrast)
    low, high = estimate.interval(rules.confidence)
    low_all, high_all = estimate.interval(1 - (1 - rules.confidence) / family)
    below, inside, above = probabilities(estimate, rules.rope)
    better, worse = (above, below) if rules.higher_is_better else (below, above)
    parts = estimate.parts or Parts(images=math.nan, interplay=math.nan, networks=math.nan)
    return {
        "metric": rules.metric,
        "technique": contrast.name,
        "kind": contrast.kind,
        "plus": plus,
        "minus": minus,
        "effect": estimate.mean,
        "low": low,
        "high": high,
        "low_all": low_all,
        "high_all": high_all,
        "se": estimate.error,
        "df": estimate.df,
        "n": estimate.n,
        "repeats": estimate.repeats,
        "h": parts.images,
        "e": parts.interplay,
        "u": parts.networks,
        "p": estimate.p,
        "p_holm": 1.0,
        "clear": False,
        "rope": rules.rope,
        "p_helps": better,
        "p_same": inside,
        "p_hurts": worse,
        "verdict": "undecided",
        "why": estimate.why,
        "more": 0.0,
        "images_needed": float(estimate.n),
        "floor": estimate.half_width(math.inf, rules.confidence),
        "look": 0,
        "aliases": "",
        "approximate": METRICS[rules.metric].approximate if rules.metric in METRICS else False,
    }


def _decide(row: dict, p_holm: float, probability: float, rules: Rules) -> None:
    """Fill in what follows from p after Holm's correction."""
    row["p_holm"] = p_holm
    row["clear"] = p_holm < rules.alpha
    if row["why"]:
        return
    if row["p_same"] >= probability:
        row["verdict"] = "no practical difference"
    elif row["clear"]:
        gains = (row["effect"] > 0) == rules.higher_is_better
        row["verdict"] = "helps" if gains else "hurts"


def _plan(row: dict, estimate: Estimate, rules: Rules, family: int) -> None:
    """Fill in what it would take to decide what is not."""
    if row["verdict"] != "undecided" or not estimate.error:
        return
    bar = Bar(alpha=rules.alpha / family, probability=rules.probability, rope=rules.rope)
    needed = repeats_to_decide(estimate, bar)
    if needed is None:
        row["more"] = math.inf
        row["images_needed"] = images_to_decide(estimate, bar)
    else:
        row["more"] = float(max(needed - estimate.repeats, 1))


def _after_looks(
    rows: Sequence[dict], arrays: Sequence[np.ndarray], split: Split, rules: Rules
) -> None:
    """Fill in what may be said of one family after looking at it after each repeat.

    An effect is decided at the first look that decides it. Its interval holds at all looks at once
    (C. Jennison and B. Turnbull, Journal of the Royal Statistical Society B 51, 1989).
    """
    most, last = rules.looks.most, len(split.fold)
    first = min(rules.looks.first, last)
    smallest = [1.0] * len(rows)  # p so far, of each
    latest: list[tuple[Estimate, list[float]]] = [()] * len(rows)
    for repeats in range(first, last + 1):
        new = [i for i, array in enumerate(arrays) if repeats <= len(array)]
        estimates = rules.estimates([arrays[i][:repeats] for i in new], split)
        for i, estimate in zip(new, estimates, strict=True):
            times = information(estimate, range(first, repeats + 1), most)
            latest[i] = estimate, times
            if estimate.p < smallest[i]:  # else it adds nothing: looks never lower p
                smallest[i] = min(smallest[i], looks.adjusted(estimate.p, times))
        for row, (estimate, times), p in zip(rows, latest, holm(smallest), strict=True):
            if row["verdict"] == "undecided":
                row["look"] = len(times)
                sure = 1 - looks.level(times, 2 * (1 - rules.probability)) / 2
                seen = {**row, "effect": estimate.mean, "why": estimate.why}
                seen["p_same"] = probabilities(estimate, rules.rope)[1]
                _decide(seen, float(p), sure, rules)
                row["verdict"] = seen["verdict"]
    adjusted = holm(smallest)
    for row, (estimate, times), p, p_holm in zip(rows, latest, smallest, adjusted, strict=True):
        row["p"], row["p_holm"] = p, float(p_holm)
        row["clear"] = row["p_holm"] < rules.alpha
        wide, wider = (1 - looks.level(times, (1 - rules.confidence) / m) for m in (1, len(rows)))
        row["low"], row["high"] = estimate.interval(wide)
        row["low_all"], row["high_all"] = estimate.interval(wider)


def information(estimate: Estimate, repeats: Sequence[int], most: int) -> list[float]:
    """The share of what `most` repeats will tell that is there after each number of repeats, by the
    variances seen now."""
    last = estimate.after(max(most, repeats[-1]))[0] ** 2
    return [last / estimate.after(r)[0] ** 2 if last else r / most for r in repeats]


def open_effects(rows: Sequence[Mapping], most: int) -> list[Mapping]:
    """The watched effects that further repeats may decide: undecided, with fewer than `most`
    repeats, and not left open by the images alone."""
    kinds = {row["kind"] for row in rows}
    return [
        row
        for row in rows
        if row["kind"] in watched(kinds)
        and row["verdict"] == "undecided"
        and row["repeats"] < most
        and math.isfinite(row["more"])
        and row["why"] in ("", f"fewer than {FEWEST_TRAININGS} trainings")
    ]


def needed(
    rows: Sequence[Mapping], contrasts: Sequence[Contrast], repeats: Mapping[str, int]
) -> dict[str, int]:
    """Variants that open effects need one more repeat of: name -> how many it then has. `rows`: as
    of `open_effects`; `repeats`: variant -> how many it has."""
    by = {(c.kind, c.name): c for c in contrasts}
    more: dict[str, int] = {}
    for row in rows:
        for variant, weight in by[row["kind"], row["technique"]].weights.items():
            if weight and repeats[variant] <= row["repeats"]:
                more[variant] = max(more.get(variant, 0), row["repeats"] + 1)
    return more


def class_rows(
    contrasts: Sequence[Contrast],
    right: Values,
    labels: np.ndarray,
    classes: Sequence[str],
    split: Split,
    rules: Rules,
) -> list[dict]:
    """One row a contrast and class: the effect on the share of the class's images that is right.

    `right`: variant -> (repeats, images), values of accuracy. `labels`: int (images,), 0 ..
    classes - 1. Classes of a contrast are one family for Holm's correction.
    """
    arrays = [differences(contrast, right) for contrast in contrasts]
    families: list[list[dict]] = [[] for _ in contrasts]
    for number, name in enumerate(classes):
        images = labels == number
        seen = _of_class([array[:, images] for array in arrays], images, split, rules)
        for family, contrast, row in zip(families, contrasts, seen, strict=True):
            row |= {"technique": contrast.name, "kind": contrast.kind, "class": name}
            row |= {"images": int(images.sum()), "rope": rules.rope, "verdict": "undecided"}
            family.append(row)
    for family in families:
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            _decide(row, float(p), rules.probability, rules)
    rows = itertools.chain.from_iterable(families)
    return [{column: row[column] for column in CLASS_COLUMNS} for row in rows]


def _of_class(
    arrays: Sequence[np.ndarray], images: np.ndarray, split: Split, rules: Rules
) -> list[dict]:
    """What the images of one class, a mask, say of each contrast: (repeats, images of the class)
    each."""
    part = split.of(images)
    if not all(np.bincount(fold, minlength=split.folds).all() for fold in part.fold):
        means = [float(array.mean()) if array.size else 0.0 for array in arrays]
        bare = {"p": 1.0, "p_same": 0.0, "why": "not in every fold"}
        return [{"effect": mean, "low": mean, "high": mean, **bare} for mean in means]
    enough = 3 / images.sum() <= rules.rope
    rows = []
    for estimate in rules.estimates(arrays, part):
        low, high = estimate.interval(rules.confidence)
        row = {"effect": estimate.mean, "low": low, "high": high, "p": estimate.p}
        row["p_same"] = probabilities(estimate, rules.rope)[1] if enough else 0.0
        rows.append({**row, "why": estimate.why})
    return rows


def _split_spread(members: np.ndarray, split: Split) -> tuple[float, float]:
    """The spread of folds' means, (repeats, images, members), by folds and by seeds."""
    parts = spread(np.stack([split.means(members[..., i]) for i in range(members.shape[2])], -1))
    return parts.folds, parts.seeds
