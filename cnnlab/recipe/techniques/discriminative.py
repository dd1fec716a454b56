"""Discriminative fine-tuning: all weights move, the lower in the backbone the more slowly.

Mechanism: lower layers see what all images have in common, so they need to change less (Howard and
Ruder 2018).

Sensible: lowest 0.01 to 0.3; learning rate a tenth of what random weights would get.
Goes badly with: images unlike those of the backbone (X-rays from photographs), whose low layers
have to change too.
Cost: as `finetune`.
"""

from pydantic import Field

from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques import finetune

START = True
CLAIM = "general features change less, so it overfits less"
EVIDENCE = ("gap", "lower")


class Options(finetune.Options):
    lowest: float = Field(gt=0, le=1, description="learning rate at the bottom / at the top")


def apply(recipe, options):
    return recipe.phased(
        Phase(options.epochs, options.learning_rate, 1.0, options.batchnorm, lowest=options.lowest)
    )
