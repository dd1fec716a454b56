"""Focal loss: images that the network is already right on count less.

Mechanism: an image's cross-entropy is multiplied by (1 - p)^gamma, where p is the probability of
its class, so that the hard ones lead (Lin et al. 2017, equation 4).

Sensible: gamma 1 to 2; 2 is the authors', for many easy negatives.
Goes badly with: balanced classes and clean images, where it rarely gains; wrong labels, which are
the hardest images of all; `cosine_loss`, which sets the loss too.
Cost: none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

CLAIM = "less sure of itself on images it has not seen"
EVIDENCE = ("confidence", "lower")
SERVES = ("classification", "segmentation")


class Options(Base):
    gamma: float = Field(gt=0, le=10, description="how much less; 0 would be cross-entropy")


def apply(recipe, options):
    return recipe.setting(loss=("focal_loss", options.model_dump()))


def loss(targets, logits, gamma):
    import tensorflow as tf

    shares = tf.nn.log_softmax(logits)
    return -tf.reduce_sum(targets * (1 - tf.exp(shares)) ** gamma * shares, axis=-1)
