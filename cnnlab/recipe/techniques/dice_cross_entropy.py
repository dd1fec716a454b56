"""Dice loss beside cross-entropy: their sum.

Mechanism: the Dice loss asks for overlap, and counts small classes like large ones; cross-entropy
gives every pixel a gradient from the first step on, and keeps probabilities honest (Isensee et al.
2021, nnU-Net, whose loss is the sum at weight 1).

Sensible: weight 1; the first loss to try where classes are of very different sizes.
Goes badly with: `dice_loss` and `focal_loss`, which set the loss too; masks of few and large
classes, where cross-entropy alone is as good (a rule of thumb).
Cost: next to none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base
from cnnlab.recipe.techniques import dice_loss

SERVES = ("segmentation",)
CLAIM = "regions overlap more, as that is what is learnt too"
EVIDENCE = ("iou", "higher")
SMOOTH = 1.0  # pixels, as `dice_loss` has it


class Options(Base):
    weight: float = Field(
        gt=0, le=100, examples=[1.0], description="of the Dice loss; cross-entropy has 1"
    )


def apply(recipe, options):
    return recipe.setting(loss=("dice_cross_entropy", options.model_dump()))


def loss(targets, logits, weight):
    """Of each pixel, (n, height, width): an image's Dice loss is that of each of its pixels, so
    that `train.balanced` and void pixels weigh as they do in cross-entropy alone."""
    import tensorflow as tf

    entropy = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return entropy + weight * dice_loss.loss(targets, logits, SMOOTH)[:, None, None]
