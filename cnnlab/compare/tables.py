"""From scores to the rows of the committed tables: plain dictionaries, one a row.

Columns of the table of variants:

    name, techniques          which variant (or strategy), what is on (separated by blanks)
    n                         trials' folds: repeats x folds
    METRIC, METRIC_sd         mean and spread over folds and repeats of each metric
    METRIC_low, METRIC_high   corrected interval for the mean

Columns of the table of effects:

    technique, kind           what is added or removed; "alone", "removed", "together" or "pair"
    plus, minus               the variants whose difference it is
    effect, low, high         mean difference plus - minus and its interval
    sd                        spread of the n differences
    t, df, n, p               Nadeau-Bengio corrected t test
    p_holm                    p after Holm's correction over the effects of the same kind
    clear                     p_holm below alpha: the data tell the effect from none
    degenerate                the differences are all equal: nothing to base an interval on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnnlab.compare.contrasts import Contrast, differences
from cnnlab.compare.inference import corrected_t, holm, mean_interval

VARIANT_COLUMNS = ["name", "techniques", "n"]  # and four for each metric
EFFECT_COLUMNS = ["technique", "kind", "plus", "minus", "effect", "low", "high", "sd"]
EFFECT_COLUMNS += ["t", "df", "n", "p", "degenerate", "p_holm", "clear"]

Scores = Mapping[str, np.ndarray]  # name -> (repeats, folds)


def variant_rows(
    scores: Mapping[str, Scores], techniques: Mapping[str, Sequence[str]], confidence: float
) -> list[dict]:
    """One row a variant; `scores` maps metric -> variant -> (repeats, folds)."""
    rows = []
    for name, on in techniques.items():
        row: dict = {"name": name, "techniques": " ".join(on)}
        for metric, by_variant in scores.items():
            interval = mean_interval(by_variant[name], confidence)
            row["n"] = interval.n
            row[metric] = interval.mean
            row[f"{metric}_sd"] = interval.sd
            row[f"{metric}_low"] = interval.low
            row[f"{metric}_high"] = interval.high
        rows.append(row)
    return rows


def effect_rows(
    contrasts: Sequence[Contrast], scores: Scores, confidence: float, alpha: float
) -> list[dict]:
    """One row a contrast; those of one kind are one family for Holm's correction."""
    rows = []
    for contrast in contrasts:
        estimate = corrected_t(differences(contrast, scores), confidence)
        plus, minus = sorted(contrast.weights, key=contrast.weights.get, reverse=True)
        rows.append(
            {
                "technique": contrast.name,
                "kind": contrast.kind,
                "plus": plus,
                "minus": minus,
                "effect": estimate.mean,
                **{k: getattr(estimate, k) for k in ("low", "high", "sd", "t", "df", "n", "p")},
                "degenerate": estimate.degenerate,
            }
        )
    for kind in dict.fromkeys(row["kind"] for row in rows):
        family = [row for row in rows if row["kind"] == kind]
        for row, p in zip(family, holm([row["p"] for row in family]), strict=True):
            row["p_holm"] = float(p)
            row["clear"] = bool(p < alpha)
    return rows
