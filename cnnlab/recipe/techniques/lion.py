"""Lion: each weight moves by the sign of a momentum, so that all move equally far (Chen et al.
2023, algorithm 2, found by a search over programs).

Mechanism: steps keep their size where gradients fade, and one average is kept in the place of
Adam's two. It is Keras' own, in the place of `train.optimizer`.

Sensible: `times` 0.1 to 0.3 where `train.optimizer` is adam, as the authors advise, with a weight
decay 3 to 10 times larger; for sgd it is the rate that has to be found (`make find-lr`).
Goes badly with: small batches, whose gradients' signs are mostly noise (the authors gain from 4,096
images on; a rule of thumb: below 64 expect nothing); `muon`, which sets the optimizer too.
Cost: none in time; less memory than Adam.
"""

from dataclasses import replace

from pydantic import Field

from cnnlab.errors import UserError
from cnnlab.plugins import Options as Base

LAST = True
OPTIMIZERS = ("lion", "momentum", "muon")  # techniques that set one
CLAIM = "steps keep their size: training images are fitted better"
EVIDENCE = ("objective", "lower")


class Options(Base):
    times: float = Field(gt=0, le=100, description="learning rate, times what it is without")


def apply(recipe, options):
    return optimized(recipe, "lion", options.times)


def optimized(recipe, optimizer, times):
    """The recipe with another optimizer, and with all its learning rates so many times as high."""
    for other in OPTIMIZERS:
        if other in recipe.techniques:
            raise UserError(f"optimizer is set already, by {other}")
    phases = tuple(replace(p, learning_rate=times * p.learning_rate) for p in recipe.phases)
    rate = times * recipe.learning_rate
    return replace(recipe, optimizer=optimizer, learning_rate=rate, phases=phases)
