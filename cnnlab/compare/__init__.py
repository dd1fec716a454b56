"""How much does each technique help, and how sure is that?

`contrasts` turns the scores of variants into paired differences, one a fold; `inference` turns
differences into estimates, intervals and verdicts. Arrays in, dataclasses out: no files, no
TensorFlow, and no statistical choice (confidence, rope, probability, seed) made for the caller.
"""

from cnnlab.compare.contrasts import (
    Contrast,
    Incomparable,
    alone,
    averaged,
    differences,
    ensemble,
    factorial,
    pair,
    removed,
    shapley,
)
from cnnlab.compare.designs import ablation, effects
from cnnlab.compare.inference import (
    Bootstrap,
    Estimate,
    Interval,
    Posterior,
    Spread,
    Verdict,
    cluster_bootstrap,
    corrected_t,
    correlated_t_rope,
    half_width,
    holm,
    mcnemar,
    mean_interval,
    repeats_to_decide,
    score_interval,
    simultaneous,
    spread,
)
from cnnlab.compare.judgement import Judgement, judge
from cnnlab.compare.metrics import METRICS, Metric, bounds_of
from cnnlab.compare.recommend import RULES, recommend
from cnnlab.compare.tables import Rules, effect_rows, variant_rows

__all__ = [
    "METRICS",
    "RULES",
    "Bootstrap",
    "Contrast",
    "Estimate",
    "Incomparable",
    "Interval",
    "Judgement",
    "Metric",
    "Posterior",
    "Rules",
    "Spread",
    "Verdict",
    "ablation",
    "alone",
    "averaged",
    "bounds_of",
    "cluster_bootstrap",
    "corrected_t",
    "correlated_t_rope",
    "differences",
    "effect_rows",
    "effects",
    "ensemble",
    "factorial",
    "half_width",
    "holm",
    "judge",
    "mcnemar",
    "mean_interval",
    "pair",
    "recommend",
    "removed",
    "repeats_to_decide",
    "score_interval",
    "shapley",
    "simultaneous",
    "spread",
    "variant_rows",
]
