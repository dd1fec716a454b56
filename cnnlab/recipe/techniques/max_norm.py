"""Max-norm: the weights into each unit and filter are scaled back to a limit when they pass it.

Mechanism: bounds the weights however large the steps are (Srebro and Shraibman 2005; with dropout,
Srivastava et al. 2014).

Sensible: limit 2 to 4, with `dropout` and high learning rates.
Goes badly with: normalised networks, where the norm of a filter plays no part; a low limit, which
keeps training from fitting.
Cost: next to none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "no filter's weights grow beyond the limit"
EVIDENCE = ("largest_filter_norm", "lower")


class Options(Base):
    limit: float = Field(gt=0, le=1000, description="L2 norm of the weights into a unit")


def apply(recipe, options):
    return recipe.setting(max_norm=options.limit)
