"""Alternating flip: each image is mirrored left to right in every second epoch, not at random.

Mechanism: as a random flip, but no image is seen the same way round twice running, so that two
epochs show all of both sides (Jordan 2024). Wrong for digits and text.

Sensible: on for things and scenes, where left and right are alike; pays where each epoch counts
(few epochs).
Goes badly with: digits, text, and things whose sides differ (hands, road signs, scans with a left
and a right); `flip`, which it then doubles.
Cost: none.
"""

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    pass


def apply(recipe, options):
    return recipe.augmenting("alternating_flip")


def warp_in_turn(rows, epoch, aspect):
    import tensorflow as tf

    # Half of the images, scattered by a bit of their numbers' products with the golden ratio
    # (Knuth's multiplicative hash), are mirrored in even epochs, the others in odd ones.
    side = tf.bitwise.right_shift(rows * 2654435769, 31) % 2
    x = tf.where((side + epoch) % 2 == 0, -1.0, 1.0)
    one = tf.ones_like(x)
    return tf.linalg.diag(tf.stack([x, one, one], -1))
