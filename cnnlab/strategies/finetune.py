"""Fine-tuning: all weights begin at the backbone's and move together, at a low learning rate.

The features adapt to the target without forgetting where they came from (Yosinski et al. 2014).
"""

from dataclasses import replace

from cnnlab.strategies.scratch import Options  # noqa: F401


def apply(recipe, options):
    return replace(recipe, start="backbone", **options.model_dump())
