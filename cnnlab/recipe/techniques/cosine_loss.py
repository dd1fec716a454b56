"""Cosine loss beside cross-entropy: outputs should point the way of the target.

Mechanism: the length of the output plays no part in the cosine, so that few images do not drive it
up without end (Barz and Denzler 2020, who recommend it for small data, and the sum with
cross-entropy where probabilities are wanted).

Sensible: cross_entropy 0.1 for 10 to 100 images a class (the authors' value and data); 1 for more.
Goes badly with: large data, where cross-entropy alone is as good; `focal_loss`, which sets the loss
too.
Cost: none.
"""

from pydantic import Field

from cnnlab.plugins import Options as Base

SERVES = ("classification",)
CLAIM = "less sure of itself on images it has not seen"
EVIDENCE = ("confidence", "lower")


class Options(Base):
    cross_entropy: float = Field(gt=0, le=10, description="its weight beside the cosine loss")


def apply(recipe, options):
    return recipe.setting(loss=("cosine_loss", options.model_dump()))


def loss(targets, logits, cross_entropy):
    import tensorflow as tf

    alike = tf.reduce_sum(tf.nn.l2_normalize(logits, -1) * tf.nn.l2_normalize(targets, -1), -1)
    entropy = tf.nn.softmax_cross_entropy_with_logits(targets, logits)
    return 1 - alike + cross_entropy * entropy
