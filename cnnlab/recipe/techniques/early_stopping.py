"""Early stopping: training ends when held-back training images are predicted no better.

Mechanism: limits how far weights move, as weight decay does (Prechelt 1998; Bishop 2006, 5.5.2).
The images are a part of the training fold, never of the one that judges; they are not trained on.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.recipe import Stopping

CLAIM = "ends before it overfits"
EVIDENCE = ("gap", "lower")


class Options(Base):
    share: float = Field(gt=0, le=0.5, description="of the training images, held back")
    patience: int = Field(ge=1, le=100_000, description="epochs without a better one")


def apply(recipe, options):
    return recipe.setting(stopping=Stopping(options.share, options.patience))
