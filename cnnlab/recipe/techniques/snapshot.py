"""Snapshot ensemble: the learning rate falls several times over, and each time's network has a
vote.

Mechanism: the networks of one training run end in different minima; averaging their probabilities
is an ensemble at the price of one training (Huang et al. 2017). The network that is kept is the
last one.

Sensible: 3 to 6 members, of at least ten epochs each (a rule of thumb); fewer epochs than members
are refused.
Goes badly with: short trainings, whose cycles each end half trained; `cosine` and `one_cycle`,
which set the schedule too; `early_stopping`, which would end before the last cycles, and is
refused besides it; the network that is kept is the last one, not the vote.
Cost: none to train; as many passes as members to predict.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.recipe import Schedule

SERVES = ("classification",)
CLAIM = "several opinions for one training: better probabilities"
EVIDENCE = ("nll", "lower")


class Options(Base):
    members: int = Field(ge=2, le=100, description="cycles; each has its share of the epochs")


def apply(recipe, options):
    schedule = Schedule(floor=0.0, cycles=options.members)
    return recipe.setting(schedule=schedule, snapshots=True)
