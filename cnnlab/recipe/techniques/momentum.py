"""SGD with Nesterov's momentum in the place of the study's optimizer.

Mechanism: steps of all weights are equally long in gradient, where Adam divides each by its own
scale; on images that often ends in minima that generalise better (Sutskever et al. 2013; Wilson et
al. 2017).
"""

from dataclasses import replace

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "better minima than Adam's: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    momentum: float = Field(gt=0, lt=1, description="share of the last step that goes on")
    learning_rate: float = Field(gt=0, description="of SGD, in the place of the study's")


def apply(recipe, options):
    made = recipe.setting(momentum=options.momentum)
    return replace(made, optimizer="sgd", learning_rate=options.learning_rate)
