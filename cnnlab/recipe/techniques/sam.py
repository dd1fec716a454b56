"""Sharpness-aware minimisation: each step follows the gradient at the worst point nearby.

Mechanism: minima in flat surroundings generalise better, so the loss is made small not at the
weights but everywhere within `rho` of them (Foret et al. 2021, algorithm 1). Each step costs two.

Sensible: rho 0.05 for photographs and large networks (the authors'), 0.01 to 0.2 to try.
Goes badly with: budgets counted in time: with twice the epochs the plain variant may be as good;
half precision.
Cost: twice the time a step.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "flatter minima: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    rho: float = Field(gt=0, le=10, description="how far the worst point may be, L2 norm")


def apply(recipe, options):
    return recipe.setting(gradients=("sam", options.model_dump()))


def gradients(at, variables, rho):
    import tensorflow as tf

    loss, climb = at()
    scale = rho / (tf.linalg.global_norm(climb) + 1e-12)
    before = [tf.identity(variable) for variable in variables]
    for variable, gradient in zip(variables, climb, strict=True):
        if gradient is not None:
            variable.assign_add(scale * gradient)
    _, there = at()
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    return loss, there
