"""A comparison of variants: every metric, every contrast, from the answers of their networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cnnlab.compare.contrasts import Contrast, averaged, ensemble
from cnnlab.compare.metrics import METRICS, Metric
from cnnlab.compare.options import Compare
from cnnlab.compare.scores import Grid, check, correct, ensemble_scores, member_scores
from cnnlab.compare.tables import Members, Rules, Scores, conditional_rows, effect_rows


@dataclass(frozen=True)
class Comparison:
    """What was asked, and the answers; rows as `tables` documents them."""

    contrasts: Sequence[Contrast]
    scores: Mapping[str, Scores]  # metric -> variant, or its ensemble -> (repeats, folds)
    members: Mapping[str, Members]  # metric -> variant -> (repeats, folds, members)
    effects: list[dict]
    primary: list[dict]  # the effects on the primary metric


def compare(
    grids: Mapping[str, Grid], contrasts: Sequence[Contrast], options: Compare
) -> Comparison:
    """Score every variant by every metric and estimate every contrast, the primary metric first.

    A variant's score is the mean of its members'. Where there are several, each variant's ensemble
    is compared with that, one contrast of kind "ensemble" each. Raises Incomparable for answers
    that cannot be compared.
    """
    check(grids)
    several = [name for name, grid in grids.items() if len(grid[0][0]) > 1]
    contrasts = [*contrasts, *map(ensemble, several)]
    metrics = dict.fromkeys([options.metric, *METRICS])
    scores, members, rows = {}, {}, []
    for metric in metrics:
        score = METRICS[metric].score
        members[metric] = {name: member_scores(grid, score) for name, grid in grids.items()}
        scores[metric] = {name: cells.mean(axis=2) for name, cells in members[metric].items()}
        for name in several:
            scores[metric][averaged(name)] = ensemble_scores(grids[name], score)
        rules = rules_of(metric, options)
        rows += effect_rows(contrasts, scores[metric], rules, members[metric])
    primary = [row for row in rows if row["metric"] == options.metric]
    return Comparison(contrasts, scores, members, rows, primary)


def rules_of(metric: str, options: Compare) -> Rules:
    """The rules of tests and verdicts on a metric."""
    return Rules(
        metric=metric,
        higher_is_better=METRICS[metric].higher_is_better,
        rope=getattr(options.rope, metric),
        confidence=options.confidence,
        alpha=options.alpha,
        probability=options.probability,
    )


def conditional(
    done: Comparison, grids: Mapping[str, Grid], groups: pd.Series, options: Compare, seed: int
) -> list[dict]:
    """The conditional table of a comparison. `groups`: image_id -> group, sorted by image_id."""
    if not grids:
        return []
    first = next(iter(grids.values()))
    held_out = np.sort(np.concatenate([cell[0].image_id for cell in first[0]]))
    return conditional_rows(
        done.contrasts,
        {name: correct(grid, held_out) for name, grid in grids.items()},
        groups.loc[held_out].to_numpy(),
        draws=options.draws,
        confidence=options.confidence,
        seed=seed,
    )


def with_ensembles(costs: Mapping[str, float], members: int) -> dict[str, float]:
    """The cost of each variant's network and, where there are several members, of their
    ensemble."""
    ensembles = {averaged(name): cost * members for name, cost in costs.items()}
    return {**costs, **(ensembles if members > 1 else {})}


def best(scores: Scores, names: Sequence[str], metric: Metric) -> str:
    """The name with the best mean score; the first of equals."""
    sign = 1 if metric.higher_is_better else -1
    return max(names, key=lambda name: sign * float(np.mean(scores[name])))
