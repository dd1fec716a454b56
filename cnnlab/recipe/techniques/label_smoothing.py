"""Label smoothing: a share of each target is spread over all classes (Szegedy et al. 2016).

Mechanism: logits need not grow without end, so the network is less over-confident (Mueller et al.
2019).

Sensible: 0.05 to 0.2; 0.1 is usual for ten classes and more.
Goes badly with: two classes (a rule of thumb: 0.05 at most); networks to distil from (Mueller et
al. 2019); `mixup` and `cutmix`, which soften labels already.
Cost: none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "probabilities are closer to how often they are right"
EVIDENCE = ("ece", "lower")
SERVES = ("classification", "segmentation")


class Options(Base):
    amount: float = Field(gt=0, lt=1, description="share of the target that is spread")


def apply(recipe, options):
    return recipe.setting(label_smoothing=options.amount)
