"""Early stopping: training ends when held-back training images are predicted no better.

Mechanism: limits how far weights move, as weight decay does (Prechelt 1998; Bishop 2006, 5.5.2).
The images are a part of the training fold, never of the one that judges; they are not trained on.

Sensible: share 0.1 to 0.2, patience 5 to 20 epochs; where training length is not known and images
are many.
Goes badly with: few images: those held back are then missed more than the stopping helps; `cosine`
and `one_cycle`, whose last epochs it cuts off; `snapshot`, whose last cycles it would cut off, and
which is refused besides it.
Cost: saves epochs; costs the images held back.
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
