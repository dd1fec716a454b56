"""Freezing: the backbone stays as it is, batch-norm statistics included; the head learns.

Mechanism: few weights to fit, so little to overfit; right where the backbone's features suit the
images (Razavian et al. 2014, "CNN features off-the-shelf").

Sensible: learning rate 0.001 to 0.01 for the head; right for ten to some hundred images a class and
a backbone trained on images of the kind.
Goes badly with: images unlike the backbone's; many images, where `finetune` overtakes it.
Cost: a third of a full training a step; with stored features (`backbone.features`) seconds.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.recipe import Phase

START = True
CLAIM = "few weights are fitted, so it overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    epochs: int = Field(ge=1, le=100_000)
    learning_rate: float = Field(gt=0, le=10)


def apply(recipe, options):
    return recipe.phased(Phase(options.epochs, options.learning_rate))
