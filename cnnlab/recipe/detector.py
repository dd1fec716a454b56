"""A network that finds objects: the body of any network, a decoder, and what each cell of a map
says of an object whose centre lies in it (X. Zhou et al., "Objects as Points", 2019: CenterNet).

The decoder is that of `decoder`, up to a map of which each cell stands for `stride` pixels a side.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras

from cnnlab.recipe import blocks
from cnnlab.recipe.decoder import WIDEST, enlarged, joined, maps_of
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.network import Network
from cnnlab.recipe.norm import fuse
from cnnlab.recipe.recipe import Recipe

FINE, STRIDE = (
    64,
    4,
)  # images of up to so many pixels a side are decoded whole; others to 1 / STRIDE
BOX = 4  # logits of a cell besides the classes: height and width of the box, and where in the cell
# its centre lies, down and across; all in cells
PRIOR = -2.19  # logit of an object that a fresh network gives each cell: 0.1, as Zhou et al.


def stride(shape: Sequence[int]) -> int:
    """Pixels a side that a cell of the map stands for, of images (height, width, ...)."""
    return 1 if max(shape[:2]) <= FINE else STRIDE


def network(recipe: Recipe, shape: Sequence[int], classes: int) -> Network:
    """The network of a recipe, from images of `shape` (height, width, channels) to logits, float32
    (n, rows, columns, classes + BOX), where rows and columns are the image's over `stride`, rounded
    up. Its weights are at random.

    Techniques act in the convs of the decoder and the head as in those of the body; what they put
    after hidden dense layers comes before the logits. Raises UserError where the network cannot
    take such images.
    """
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(recipe.precision)  # weights are float32 in all of them
    try:
        images = keras.Input(shape, name="images")
        maps = maps_of(keras.Model(images, NETS[recipe.net].body(recipe, images)))
        body = keras.Model(images, maps[-1], name="body")
        wanted = [-(-side // stride(shape)) for side in shape[:2]]
        small = [m for m in maps if m.shape[1] <= wanted[0] and m.shape[2] <= wanted[1]]
        x = joined(recipe, small or maps[-1:])
        x = enlarged(x, (None, *wanted), "enlarge", "bilinear")
        x = blocks.through(x, blocks.conv(recipe, "head", min(4 * x.shape[-1], WIDEST), 3))
        x = blocks.through(x, blocks.inserted(recipe, "dense", "decoded"))
        x = keras.layers.Conv2D(
            classes + BOX,
            1,
            dtype="float32",
            name="logits",
            bias_initializer=keras.initializers.Constant([PRIOR] * classes + [0.0] * BOX),
            **blocks.kept(recipe, 3),
        )(x)
        whole = keras.Model(images, x, name=recipe.net)
        fuse(whole)
        return Network(whole, body)
    finally:
        keras.config.set_dtype_policy(before)
