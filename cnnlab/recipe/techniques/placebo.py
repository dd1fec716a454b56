"""A placebo: nothing but other seeds, so other initial weights and other batches.

Mechanism: none; its effect is due to chance alone, and shows what a technique without effect looks
like.

Sensible: in every design: what no effect looks like.
Goes badly with: nothing.
Cost: one more variant.
"""

from cnnlab.plugins import Options as Base


class Options(Base):
    pass


def apply(recipe, options):
    return recipe.setting(stream=1)
