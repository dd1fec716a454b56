"""The backbone's network from random weights: the control of the starts, where the backbone is
another network than the study's.

Mechanism: none; what the other starts gain over it is due to pre-training, and what it gains over
the study's own network is due to the architecture.
"""

from dataclasses import replace

from cnnlab.recipe.techniques.freeze import Options  # noqa: F401  (the same hyperparameters)

START = True
CLAIM = "a larger network fits its training images better"
EVIDENCE = ("objective", "lower")


def apply(recipe, options):
    return replace(recipe, epochs=options.epochs, learning_rate=options.learning_rate)
