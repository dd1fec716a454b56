"""A comparison of variants: every metric, every contrast, from the answers of their networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cnnlab.compare.contrasts import Contrast, aliased, averaged, ensemble
from cnnlab.compare.designs import effects, sets_of
from cnnlab.compare.inference import Split
from cnnlab.compare.metrics import METRICS, metrics_of, task_of
from cnnlab.compare.options import Compare, Design
from cnnlab.compare.scores import Grid, Outcomes, Together, ensembles, mean_outputs, split_of
from cnnlab.compare.tables import Looks, Members, Rules, Values, effect_rows
from cnnlab.metric import Metric


@dataclass(frozen=True)
class Comparison:
    """What was asked, and the answers; rows as `tables` documents them."""

    contrasts: Sequence[Contrast]
    outcomes: Mapping[str, Outcomes]
    split: Split
    values: Mapping[str, Values]  # metric -> variant, or its ensemble -> (repeats, images)
    members: Mapping[str, Members]  # metric -> variant -> (repeats, images, members)
    effects: list[dict]

    def of(self, metric: str) -> list[dict]:
        """The effects on a metric."""
        return [row for row in self.effects if row["metric"] == metric]


def contrasts_of(
    variants: Mapping[str, Sequence[str]], design: Design, options: Compare, starts: Sequence[str]
) -> list[Contrast]:
    """All contrasts of a study, by the sections of its params; see `designs.effects`.

    `variants`: those that can be compared. Where one of the design is not among them, its set is
    left out of the blocks of all starts, which stay alike; pairs likewise."""
    begins = frozenset(starts)
    sets, there = sets_of(**dict(design)), {frozenset(on) for on in variants.values()}
    lost = {on - begins for on in sets if on not in there}
    sets = [on for on in sets if on - begins not in lost]
    pairs = [pair for pair in options.pairs if variants.keys() >= {*pair}]
    return effects(variants, sets, design.techniques, options.order, pairs, starts)


def compare(
    grids: Mapping[str, Grid],
    contrasts: Sequence[Contrast],
    options: Compare,
    groups: Mapping[int, object],
    looks: Looks | None = None,
    metrics: Sequence[str] | None = None,
    together: Together | None = mean_outputs,
) -> Comparison:
    """Score every variant by every metric and estimate every contrast, the primary metric first.

    A variant's score is the mean of its members'. Where there are several, each variant's ensemble
    is compared with that, one contrast of kind "ensemble" each. `groups`: image_id -> group.
    `looks`: at the primary metric, where repeats were added. `metrics`: those besides; None: all of
    its task. `together`: what an ensemble says; None: they are left out. Raises Incomparable for
    answers that cannot be compared.
    """
    outcomes = {name: Outcomes.of(grid, name) for name, grid in grids.items()}
    split = split_of(outcomes, groups)
    several = [name for name, grid in grids.items() if together and len(grid[0][0]) > 1]
    of_several = {n: Outcomes.of(ensembles(grids[n], together), averaged(n)) for n in several}
    contrasts = [*contrasts, *map(ensemble, several)]
    metrics = metrics_of(task_of(options.metric)) if metrics is None else metrics
    values, members, rows = {}, {}, []
    for name in dict.fromkeys([options.metric, *metrics]):
        of_each = METRICS[name].values
        members[name] = {variant: o.of_each(of_each) for variant, o in outcomes.items()}
        values[name] = {variant: each.mean(axis=2) for variant, each in members[name].items()}
        for variant, outcome in of_several.items():
            values[name][averaged(variant)] = outcome.of_each(of_each)[..., 0]
        rules = rules_of(name, options, looks if name == options.metric else None)
        rows += effect_rows(contrasts, values[name], split, rules, members[name])
    return Comparison(contrasts, outcomes, split, values, members, rows)


def rules_of(metric: str, options: Compare, looks: Looks | None = None) -> Rules:
    """The rules of tests and verdicts on a metric."""
    return Rules(
        metric=metric,
        higher_is_better=METRICS[metric].higher_is_better,
        rope=getattr(options.rope, metric),
        looks=looks,
        **options.model_dump(include={"confidence", "alpha", "probability", "estimate", "guard"}),
    )


def note_aliases(
    rows: Sequence[dict],
    contrasts: Sequence[Contrast],
    variants: Mapping[str, Sequence[str]],
    techniques: Sequence[str],
) -> None:
    """Say in the rows of main effects which interactions of `techniques` they hold besides."""
    main = {c.name: c for c in contrasts if c.kind == "main"}
    names = {name: ", ".join(aliased(c, variants, techniques)) for name, c in main.items()}
    for row in rows:
        if row["kind"] == "main":
            row["aliases"] = names[row["technique"]]


def with_ensembles(costs: Mapping[str, float], members: int) -> dict[str, float]:
    """The cost of each variant's network and, where there are several members, of their
    ensemble."""
    ensembles = {averaged(name): cost * members for name, cost in costs.items()}
    return {**costs, **(ensembles if members > 1 else {})}


def best(values: Values, names: Sequence[str], metric: Metric) -> str:
    """The name with the best mean score; the first of equals."""
    sign = 1 if metric.higher_is_better else -1
    return max(names, key=lambda name: sign * float(np.mean(values[name])))
