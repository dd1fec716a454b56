"""Gradual unfreezing: the head learns first, then more and more of the backbone, from the top.

Mechanism: the most general layers, at the bottom, are the last to be disturbed (Howard and Ruder
2018).

Sensible: steps 3 to 5; learning rates as `finetune`.
Goes badly with: short trainings: each step needs its epochs.
Cost: between `freeze` and `finetune`, times the steps' epochs.
"""

from pydantic import Field

from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques import lp_ft

START = True
CLAIM = "general features are disturbed last, so it overfits less"
EVIDENCE = ("gap", "lower")


class Options(lp_ft.Options):
    steps: int = Field(ge=1, le=100, description="in which the backbone is unfrozen")


def apply(recipe, options):
    shares = [step / options.steps for step in range(1, options.steps + 1)]
    return recipe.phased(
        Phase(options.head_epochs, options.head_learning_rate),
        *(Phase(options.epochs, options.learning_rate, s, options.batchnorm) for s in shares),
    )
