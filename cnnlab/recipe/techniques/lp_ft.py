"""Linear probing, then fine-tuning: the head learns alone, then all weights from there.

Mechanism: a head at random would send large errors down and distort the features before it has
learnt what to ask of them (Kumar et al. 2022).

Sensible: head until it no longer gains, then as `finetune` at a third of its rate.
Goes badly with: images much like the backbone's and many of them, where `finetune` alone is as
good.
Cost: as `finetune`, and the head's epochs.
"""

from pydantic import Field

from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques import finetune

START = True
CLAIM = "features are less distorted, so it overfits less"
EVIDENCE = ("gap", "lower")


class Options(finetune.Options):
    head_epochs: int = Field(ge=1, le=100_000, description="of the head alone, first")
    head_learning_rate: float = Field(gt=0, le=10)


def apply(recipe, options):
    head = Phase(options.head_epochs, options.head_learning_rate)
    return recipe.phased(head, Phase(options.epochs, options.learning_rate, 1.0, options.batchnorm))
