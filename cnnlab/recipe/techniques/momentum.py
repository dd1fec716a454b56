"""SGD with Nesterov's momentum (Sutskever et al. 2013), in the place of `train.optimizer`.

Mechanism: all weights step by their gradients alike, where Adam divides each by a scale of its own;
on images that often ends in minima that generalise better (Wilson et al. 2017).

Sensible: `momentum` 0.9; `times` 10 to 30 where `train.optimizer` is adam, with a schedule.
Goes badly with: `lion` and `muon`, which set the optimizer too; learning rates that were found for
Adam.
Cost: none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.techniques.lion import optimized

LAST = True
CLAIM = "minima that generalise better than Adam's: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    momentum: float = Field(gt=0, lt=1, description="share of the last step that goes on")
    times: float = Field(gt=0, le=1000, description="learning rate, times what it is without")


def apply(recipe, options):
    return optimized(recipe.setting(momentum=options.momentum), "sgd", options.times)
