"""Stochastic weight averaging: evaluated and kept is the mean of the weights over the last steps.

Mechanism: the mean lies in the middle of the flat region that single steps move about in (Izmailov
et al. 2018). The mean is over every step of the last `share` of training, not over epochs' ends,
and batch normalisation keeps the statistics of the last step's weights: works best where the
learning rate stays, or falls to a floor above zero.

Sensible: share 0.25; with a learning rate that stays or ends above zero.
Goes badly with: schedules that fall to 0, after which there is nothing to average; `batchnorm` of
much changed statistics; `ema`, which sets the average too.
Cost: memory of one more copy of the weights.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "the noise of single steps is averaged out: the score no longer jumps"
EVIDENCE = ("wobble", "lower")


class Options(Base):
    share: float = Field(gt=0, lt=1, description="of the steps, the last ones, that are averaged")


def apply(recipe, options):
    return recipe.setting(mean_from=1 - options.share)
