"""Freezing: conv weights and batch-norm statistics stay those of the backbone; FC weights learn.

Few weights to fit, so little to overfit; right where the backbone's features suit the target
(Razavian et al. 2014, "CNN features off-the-shelf").
"""

from dataclasses import replace

from cnnlab.strategies.scratch import Options  # noqa: F401


def apply(recipe, options):
    return replace(recipe, start="backbone", train_conv=False, **options.model_dump())
