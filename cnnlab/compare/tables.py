"""From scores to the rows of the committed tables: plain dictionaries, one a row.

Columns of the table of variants:

    name, techniques          which variant, what is on (separated by blanks)
    n                         trials' folds: repeats x folds
    METRIC, METRIC_sd         mean and spread over folds and repeats of each metric
    METRIC_se                 corrected standard error of the mean
    METRIC_low, METRIC_high   corrected interval for the mean, within what is possible

Columns of the table of effects:

    metric                    which score; the primary one's rows come first
    technique, kind           whose effect, and which question it answers (see `contrasts.Contrast`)
    plus, minus               the variants that are weighed up and down, separated by blanks
    effect, low, high         mean of the contrast (such as plus - minus) and its interval
    low_all, high_all         bounds that hold for all effects of the kind at once (Bonferroni)
    sd                        spread of the n differences
    t, df, n, p               Nadeau-Bengio corrected t test
    degenerate                the differences are all equal: nothing to base an interval on
    rope                      what makes no practical difference, either way
    p_helps, p_same, p_hurts  posterior probabilities of better than rope, within it, worse
    verdict                   "helps", "no practical difference", "hurts" or "undecided"
    repeats                   how many repeats, in all, should decide; inf: no number would
    floor                     half-width of the interval after infinitely many repeats
    p_holm                    p after Holm's correction over the effects of the kind
    clear                     p_holm below alpha: the data tell the effect from none

Where there are several members, both tables hold METRIC_sd_folds and METRIC_sd_seeds, or sd_folds
and sd_seeds: the spread split into what folds and what seeds (of one network) do.

All are in the metric's own units. No cell is NaN; p_same and its like sum to 1.

Columns of the conditional table, which asks how the difference in accuracy would vary over other
images with the very networks that were trained, and so decides nothing about a technique:

    technique, kind           as above
    difference, low, high     weighted shares of right images and their bootstrap interval
    groups                    images, or groups of them, that were drawn from
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnnlab.compare.contrasts import Contrast, differences
from cnnlab.compare.inference import (
    cluster_bootstrap,
    corrected_t,
    correlated_t_rope,
    half_width,
    holm,
    repeats_to_decide,
    score_interval,
    simultaneous,
    spread,
)
from cnnlab.compare.metrics import bounds_of

VARIANT_COLUMNS = ["name", "techniques", "n"]  # and five for each metric
EFFECT_COLUMNS = ["metric", "technique", "kind", "plus", "minus", "effect", "low", "high"]
EFFECT_COLUMNS += ["low_all", "high_all", "sd", "t", "df", "n", "p", "degenerate", "rope"]
EFFECT_COLUMNS += ["p_helps", "p_same", "p_hurts", "verdict", "repeats", "floor"]
EFFECT_COLUMNS += ["p_holm", "clear"]

CONDITIONAL_COLUMNS = ["technique", "kind", "difference", "low", "high", "groups"]

Scores = Mapping[str, np.ndarray]  # name -> (repeats, folds)
Members = Mapping[str, np.ndarray]  # name -> (repeats, folds, members)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """The rules of tests and verdicts; see the columns."""

    metric: str
    higher_is_better: bool
    rope: float  # in the metric's own units, at least 0
    confidence: float  # of intervals, in (0, 1)
    alpha: float  # in (0, 1)
    probability: float  # that a verdict needs, in (0.5, 1)


def variant_rows(
    scores: Mapping[str, Scores],
    techniques: Mapping[str, Sequence[str]],
    confidence: float,
    members: Mapping[str, Members] | None = None,
) -> list[dict]:
    """One row a variant; `scores` maps metric -> variant -> (repeats, folds), `members`, where
    given, metric -> variant -> (repeats, folds, members)."""
    rows = []
    for name, on in techniques.items():
        row: dict = {"name": name, "techniques": " ".join(on)}
        for metric, by_variant in scores.items():
            interval = score_interval(by_variant[name], confidence, bounds_of(metric))
            row["n"] = interval.n
            row[metric] = interval.mean
            row[f"{metric}_sd"] = interval.sd
            row[f"{metric}_se"] = interval.standard_error
            row[f"{metric}_low"] = interval.low
            row[f"{metric}_high"] = interval.high
            if members and metric in members and members[metric][name].shape[2] > 1:
                split = spread(members[metric][name])
                row[f"{metric}_sd_folds"], row[f"{metric}_sd_seeds"] = split.folds, split.seeds
        rows.append(row)
    return rows


def effect_rows(
    contrasts: Sequence[Contrast], scores: Scores, rules: Rules, members: Members | None = None
) -> list[dict]:
    """One row a contrast; those of one kind are one family for Holm's correction.

    `members`, where given, lets the spread of contrasts of variants in it be split.
    """
    sizes = {kind: sum(c.kind == kind for c in contrasts) for kind in {c.kind for c in contrasts}}
    rows = [_effect(c, scores, rules, sizes[c.kind], members or {}) for c in contrasts]
    for kind in sizes:
        family = [row for row in rows if row["kind"] == kind]
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = float(p)
            row["clear"] = bool(p < rules.alpha)
    return rows


def _effect(
    contrast: Contrast, scores: Scores, rules: Rules, family: int, members: Members
) -> dict:
    values = differences(contrast, scores)
    estimate = corrected_t(values, rules.confidence)
    bounds = simultaneous(estimate, family, rules.confidence)
    posterior = correlated_t_rope(
        values, rules.rope, rules.probability, higher_is_better=rules.higher_is_better
    )
    better, worse = posterior.above, posterior.below
    if not rules.higher_is_better:
        better, worse = worse, better
    repeats = repeats_to_decide(values, rules.rope, rules.confidence)
    row = {
        "metric": rules.metric,
        "technique": contrast.name,
        "kind": contrast.kind,
        "plus": " ".join(v for v, weight in contrast.weights.items() if weight > 0),
        "minus": " ".join(v for v, weight in contrast.weights.items() if weight < 0),
        "effect": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "low_all": bounds.low,
        "high_all": bounds.high,
        **{k: getattr(estimate, k) for k in ("sd", "t", "df", "n", "p", "degenerate")},
        "rope": rules.rope,
        "p_helps": better,
        "p_same": posterior.inside,
        "p_hurts": worse,
        "verdict": posterior.verdict,
        "repeats": math.inf if repeats is None else float(repeats),
        "floor": half_width(estimate.sd, math.inf, values.shape[1], rules.confidence),
    }
    seeds = [members[v].shape[2] for v in contrast.weights if v in members]
    if len(seeds) == len(contrast.weights) and min(seeds) > 1:
        split = spread(sum(w * members[v] for v, w in contrast.weights.items()))
        row |= {"sd_folds": split.folds, "sd_seeds": split.seeds}
    return row


def conditional_rows(
    contrasts: Sequence[Contrast],
    correct: Scores,
    groups: np.ndarray,
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> list[dict]:
    """One row a contrast whose variants are all in `correct`, which maps a variant to
    (repeats, images) in [0, 1]: the share of members that got the image right. `groups`:
    (images,). The same images are drawn for all rows."""
    rows = []
    for contrast in contrasts:
        if not set(contrast.weights) <= set(correct):
            continue
        size = sum(weight for weight in contrast.weights.values() if weight > 0)
        sides = [
            sum(abs(w) / size * correct[v] for v, w in contrast.weights.items() if w * sign > 0)
            for sign in (1, -1)
        ]
        a, b = (np.clip(side, 0, 1) for side in sides)  # a weighted mean, up to rounding
        drawn = cluster_bootstrap(a, b, groups, draws=draws, confidence=confidence, seed=seed)
        rows.append(
            {
                "technique": contrast.name,
                "kind": contrast.kind,
                **{
                    column: round(value * size, 12) + 0.0  # rounding is not a difference
                    for column, value in zip(
                        ("difference", "low", "high"),
                        (drawn.mean, drawn.low, drawn.high),
                        strict=True,
                    )
                },
                "groups": drawn.groups,
            }
        )
    return rows
