"""Gradual unfreezing: the head learns first, then more and more of the backbone, from the top.

The most general layers, at the bottom, are the last to be disturbed (Howard and Ruder 2018).
"""

from pydantic import Field

from cnnlab.strategies import lp_ft, phased
from cnnlab.training.recipe import Phase


class Options(lp_ft.Options):
    steps: int = Field(ge=1, le=100, description="in which the backbone is unfrozen")


def apply(recipe, options):
    phases = [Phase(options.head_epochs, options.head_learning_rate)]
    for step in range(1, options.steps + 1):
        share = step / options.steps
        phases.append(Phase(options.epochs, options.learning_rate, share, options.batchnorm))
    return phased(recipe, phases)
