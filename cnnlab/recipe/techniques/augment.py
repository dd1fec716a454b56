"""Augmentation as one technique: a policy of several ops, drawn afresh each epoch.

Mechanism: more different training images from the same ones (Simard et al. 2003; Shorten and
Khoshgoftaar 2019 for a survey). The policy's keys are the augmentations of this folder.

Sensible: two to four ops that leave a person in no doubt of the class; `shift` and `flip` first for
photographs, `shift` and small `rotation` for digits.
Goes badly with: ops that make one class of another; very short trainings, which have no use for
more views (a rule of thumb).
Cost: a few percent of a step on the CPU; needs more epochs to pay in full.
"""

import pkgutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from pydantic import create_model

from cnnlab.plugins import Options as Base
from cnnlab.plugins import chosen

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")

_siblings = {
    info.name: import_module(f"{__package__}.{info.name}")
    for info in pkgutil.iter_modules([str(Path(__file__).parent)])
    if info.name != "augment"
}
OPS = {
    name: module
    for name, module in _siblings.items()
    if any(hasattr(module, kind) for kind in ("warp", "recolour", "mix"))
}

Options = create_model(
    "Options", __base__=Base, **{name: (m.Options | None, None) for name, m in OPS.items()}
)


def apply(recipe, options):
    for name, strength in chosen(options).items():
        recipe = OPS[name].apply(recipe, strength)
        recipe = replace(recipe, techniques=(*recipe.techniques, name))
    return recipe
