"""Transfer strategies: one file each, named in params.yaml under `strategies`.

A file defines `Options` and `apply(recipe, options) -> recipe`: from the recipe of a net on the
target classes to how that net begins and which of its weights move.
"""

from cnnlab.plugins import Registry

STRATEGIES = Registry(__name__)
