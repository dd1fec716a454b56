"""Muon: the steps of weight matrices are made orthogonal, so that no direction leads (Jordan et al.
2024; Liu et al. 2025, whose scale lets it use Adam's learning rates).

Mechanism: the momentum of a matrix is replaced by the nearest matrix whose singular values are all
alike, about, by five Newton-Schulz steps: rare directions learn as fast as common ones. It is
Keras' own, in the place of `train.optimizer`, and does so for two-dimensional kernels alone: those
of dense layers, the one of the logits among them. Convs and biases get Adam's steps, and all get
Keras' weight decay of 0.004 times the learning rate.

Sensible: `times` 1 where `train.optimizer` is adam.
Goes badly with: networks that are nearly all convs, where little is left to it; `decoupled_decay`,
which then reaches dense kernels alone; `lion`, which sets the optimizer too.
Cost: some matrix products a dense layer and step: a few percent for wide layers.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.techniques.lion import optimized

LAST = True
CLAIM = "rare directions learn as fast: training images are fitted better"
EVIDENCE = ("objective", "lower")


class Options(Base):
    times: float = Field(gt=0, le=100, description="learning rate, times what it is without")


def apply(recipe, options):
    return optimized(recipe, "muon", options.times)
