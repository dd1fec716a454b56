"""Networks: one file each, sized by params.yaml under `model`.

A file defines

- `Options`: its size;
- `places(options) -> tuple`: where techniques can put layers, of those that
  `cnnlab.recipe.recipe.Insert` names; a technique that needs another is refused;
- `body(recipe, images) -> tensor`: from a Keras input of pixels in 0..255, float32 (n, height,
  width, channels), to the features of each image, float32 (n, units). This is the part that a
  backbone hands on;
- `head(recipe, features, classes) -> tensor`: from features to logits, float32 (n, classes).

All layers are named; `cnnlab/recipe/network.py` joins both parts, `cnnlab/recipe/blocks.py` has the
blocks that techniques hook into. A network that takes weights of others also defines

- `layer_name(name) -> str`: what a layer of that name in a weights file is called here;
- `imagenet(options, shape) -> {layer: arrays}`: weights that its library can fetch, for images of
  `shape` (height, width, channels). Raises any error where they cannot be fetched.

One whose weights a Python package holds also defines

- `PACKAGE`, a `cnnlab.recipe.nets._package.Package`: which package, and which file of it;
- `packaged(tensors) -> {layer: arrays}`: the tensors of it (name -> array) as layers take them.
"""

from cnnlab.plugins import Registry

NETS = Registry(__name__, needs="Options")
