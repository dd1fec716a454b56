"""Soft Dice loss: what predicted and true regions share, class by class, instead of each pixel's
cross-entropy.

Mechanism: a class counts the same however few of the image's pixels are its own, so that the
background does not drown small regions (Milletari et al. 2016; the sums are those of Drozdzal et
al. 2016). As it asks for overlap, not for likelihood, its probabilities are too sure (Bertels et
al. 2021). The mean is over the classes that the image shows; others count as what they take from
these.

Sensible: smooth 1; small classes, where overlap is what is asked for.
Goes badly with: probabilities that are to be trusted; `dice_cross_entropy`, `focal_loss` and
`balanced`, of which it takes the place; images in which nothing but background is shown, of which
little is learnt; batches of very few images, whose gradients differ much (a rule of thumb).
Cost: next to none.
"""

from pydantic import Field

from cnnlab.errors import UserError
from cnnlab.plugins import Options as Base

SERVES = ("segmentation",)
CLAIM = "learns overlap, not likelihood: surer of pixels that are wrong"
EVIDENCE = ("pixel_nll", "higher")


class Options(Base):
    smooth: float = Field(
        gt=0,
        le=1000,
        examples=[1.0],
        description="pixels added to both sides of the fraction: regions smaller than that count"
        " less",
    )


def apply(recipe, options):
    if recipe.balanced:
        raise UserError("all classes of an image weigh the same in it; set train.balanced: false")
    return recipe.setting(loss=("dice_loss", options.model_dump()))


def loss(targets, logits, smooth):
    import tensorflow as tf

    # Label smoothing spreads a share of the target, of void pixels too, and they stay even.
    most = targets > 1 / targets.shape[-1]  # the true class, and nothing where a pixel is void
    judged = tf.cast(tf.reduce_any(most, axis=-1, keepdims=True), tf.float32)
    true, shares = targets * judged, tf.nn.softmax(logits) * judged
    both = tf.reduce_sum(true * shares, axis=[1, 2])  # (n, classes)
    sizes = tf.reduce_sum(true + shares, axis=[1, 2])
    missing = 1 - (2 * both + smooth) / (sizes + smooth)
    shown = tf.cast(tf.reduce_any(most, axis=[1, 2]), tf.float32)
    return tf.math.divide_no_nan(
        tf.reduce_sum(missing * shown, axis=-1), tf.reduce_sum(shown, axis=-1)
    )
