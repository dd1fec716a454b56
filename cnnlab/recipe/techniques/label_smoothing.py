"""Label smoothing: a share of each target is spread over all classes (Szegedy et al. 2016).

Mechanism: logits need not grow without end, so the network is less over-confident (Mueller et al.
2019).
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "probabilities are closer to how often they are right"
EVIDENCE = ("ece", "lower")


class Options(Base):
    amount: float = Field(gt=0, lt=1, description="share of the target that is spread")


def apply(recipe, options):
    return recipe.setting(label_smoothing=options.amount)
