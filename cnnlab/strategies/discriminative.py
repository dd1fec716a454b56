"""Discriminative fine-tuning: all weights move, the lower in the backbone the more slowly.

Lower layers see what all images have in common, so they need to change less (Howard and Ruder
2018).
"""

from pydantic import Field

from cnnlab.strategies import finetune, phased
from cnnlab.training.recipe import Phase


class Options(finetune.Options):
    lowest: float = Field(gt=0, le=1, description="learning rate at the bottom / at the top")


def apply(recipe, options):
    phase = Phase(
        options.epochs, options.learning_rate, 1.0, options.batchnorm, lowest=options.lowest
    )
    return phased(recipe, [phase])
