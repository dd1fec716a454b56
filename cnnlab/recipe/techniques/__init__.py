"""Techniques: one file each, and its hyperparameters in params.yaml under `techniques`.

A file's docstring says what it is, with its source, and in paragraphs that begin with these words
its `Mechanism:`, what is `Sensible:`, what it `Goes badly with:`, and its `Cost:`; the cards in
docs/techniques are made of that. The file defines `Options` (its hyperparameters),
`apply(recipe, options) -> recipe`, and, unless it is a placebo, what it should do: `CLAIM`, a few
words that go into the report's table of mechanisms, and `EVIDENCE`, the quantity (of
`cnnlab/compare/mechanisms.py`) and the way, "lower" or "higher", in which it should move. One that
serves some tasks alone (of `cnnlab.tasks`), such as by what it does to targets, names them:
`SERVES = ("classification",)`; variants of other tasks with it are refused.

An augmentation also defines one or more of

- `warp(seed, n, aspect, **strength) -> (n, 3, 3)` float32: where each output pixel is taken from,
  as matrices on homogeneous coordinates (x, y, 1) in units of the image's half width and height,
  with the origin in its centre; `aspect` is width / height. Consecutive warps are multiplied so
  that pixels are resampled once;
- `warp_in_turn(rows, epoch, aspect, **strength) -> (n, 3, 3)`: likewise, without chance: `rows`
  are the images' numbers and `epoch` that of the epoch, from 0, all int64;
- `recolour(seed, images, **strength) -> images`: float32 (n, height, width, channels) in 0..255;
- `mix(seed, images, targets, **strength) -> images, targets`: images with each other, and with
  them their targets, float32 (n, classes), rows of which sum to 1.

`seed` is an int32 tensor of shape (2,) for `tf.random.stateless_*`: the same seed, the same draw.

What a recipe names in other fields is looked up in the technique's file as well:

- `Insert.layer`: `layers(name, **config) -> list`, of layers with names that begin with `name`, or
  of functions from tensor to tensor that call some;
- `Recipe.loss`: `loss(targets, logits, **options) -> (n,)`, float32, each image's loss, or where
  each pixel has a class (n, height, width), each pixel's; void pixels weigh nothing in that;
- `Recipe.gradients`: `gradients(at, variables, **options) -> loss, gradients`: what the optimizer
  is given, where `at()` is (loss, gradients) of the batch at the variables as they are.

A technique that changes what others set, such as their learning rates, says `LAST = True`: it is
applied after them. All others are applied in the order of their names.

A start, which says how training starts, also sets `START = True`: a variant with it has the
backbone's network. Nearly all begin at the backbone's weights and say by `recipe.phased(...)` in
which phases what moves; `untrained` is the control that begins at random ones. A variant has one
start at most; none of them is `SCRATCH`: the study's own network, from random weights.
"""

from cnnlab.plugins import Registry

TECHNIQUES = Registry(__name__, needs="apply")
SCRATCH = "scratch"  # what a design calls having none of the starts


def starts() -> list[str]:
    """The names of the starts, sorted."""
    return [name for name in TECHNIQUES.names() if getattr(TECHNIQUES[name], "START", False)]
