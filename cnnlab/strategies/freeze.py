"""Freezing: the backbone stays as it is, batch-norm statistics included; the head learns.

Few weights to fit, so little to overfit; right where the backbone's features suit the target
(Razavian et al. 2014, "CNN features off-the-shelf").
"""

from cnnlab.strategies import phased
from cnnlab.strategies.scratch import Options  # noqa: F401
from cnnlab.training.recipe import Phase


def apply(recipe, options):
    return phased(recipe, [Phase(options.epochs, options.learning_rate)])
