"""L2 weight decay: the sum of v**2 times a coefficient joins the loss (Krogh and Hertz 1991).

Mechanism: a pull in proportion to the weight: all weights stay small, few become zero.

Sensible: kernel 1e-5 to 1e-3 with sgd, less with adam.
Goes badly with: adam, which divides it by the gradient's scale (`decoupled_decay` is meant for
that); `decoupled_decay` besides; with `batchnorm` it acts on the learning rate more than on the
function.
Cost: next to none.
"""

from cnnlab.recipe.techniques.l1 import Options  # noqa: F401  (the same three coefficients)

CLAIM = "weights stay small"
EVIDENCE = ("weight_norm", "lower")


def apply(recipe, options):
    for target, coefficient in options:
        recipe = recipe.penalising(target, l2=coefficient)
    return recipe
