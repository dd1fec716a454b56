"""Fine-tuning: all weights begin at the backbone's and move together, at a low learning rate.

Mechanism: features adapt to the images without forgetting where they came from (Yosinski et al.
2014).

Sensible: learning rate a tenth to a thirtieth of what random weights would get; `batchnorm: fixed`
for few images or small batches, `learning` for images unlike the backbone's. From some hundred
images on.
Goes badly with: some tens of images, where `freeze` is safer; a high learning rate, which forgets
the backbone; image sizes far below those the backbone learnt on.
Cost: a full training of the backbone's network: 3 times a forward pass an image.
"""

from typing import Literal

from pydantic import Field

from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques import freeze

START = True
CLAIM = "it begins at useful features, so it overfits less"
EVIDENCE = ("gap", "lower")


class Options(freeze.Options):
    batchnorm: Literal["fixed", "learning"] = Field(
        description="layers of the backbone: fixed keeps scale, shift and statistics"
    )


def apply(recipe, options):
    return recipe.phased(Phase(options.epochs, options.learning_rate, 1.0, options.batchnorm))
