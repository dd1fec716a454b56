"""The backbone's network from random weights: the control of the starts, where the backbone is
another network than the study's.

Mechanism: none; what the other starts gain over it is due to pre-training, and what it gains over
the study's own network is due to the architecture.

Sensible: beside every start whose backbone is another network than the study's; at the study's
learning rate.
Goes badly with: being read as a recommendation: it is a control.
Cost: a full training of the backbone's network.
"""

from dataclasses import replace

from cnnlab.recipe.techniques.freeze import Options  # noqa: F401  (the same hyperparameters)

START = True
CLAIM = "a larger network fits its training images better"
EVIDENCE = ("objective", "lower")


def apply(recipe, options):
    return replace(recipe, epochs=options.epochs, learning_rate=options.learning_rate)
