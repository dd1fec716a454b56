"""Fine-tuning: all weights begin at the backbone's and move together, at a low learning rate.

The features adapt to the target without forgetting where they came from (Yosinski et al. 2014).
"""

from typing import Literal

from pydantic import Field

from cnnlab.strategies import phased, scratch
from cnnlab.training.recipe import Phase


class Options(scratch.Options):
    batchnorm: Literal["fixed", "learning"] = Field(
        description="layers of the backbone: fixed keeps scale, shift and statistics"
    )


def apply(recipe, options):
    return phased(recipe, [Phase(options.epochs, options.learning_rate, 1.0, options.batchnorm)])
