"""How much does each technique help, and how sure is that?

`contrasts` turns the scores of variants into paired differences, one a fold; `inference` turns
differences into estimates, intervals and verdicts. Arrays in, dataclasses out: no files, no
TensorFlow, and no statistical choice (confidence, rope, probability, seed) made for the caller.
"""

from cnnlab.compare.contrasts import Contrast, alone, differences, pair, removed
from cnnlab.compare.designs import ablation
from cnnlab.compare.inference import (
    Bootstrap,
    Estimate,
    Interval,
    Posterior,
    Verdict,
    cluster_bootstrap,
    corrected_t,
    correlated_t_rope,
    half_width,
    holm,
    mean_interval,
    repeats_to_decide,
    simultaneous,
)
from cnnlab.compare.tables import effect_rows, variant_rows

__all__ = [
    "Bootstrap",
    "Contrast",
    "Estimate",
    "Interval",
    "Posterior",
    "Verdict",
    "ablation",
    "alone",
    "cluster_bootstrap",
    "corrected_t",
    "correlated_t_rope",
    "differences",
    "effect_rows",
    "half_width",
    "holm",
    "mean_interval",
    "pair",
    "removed",
    "repeats_to_decide",
    "simultaneous",
    "variant_rows",
]
