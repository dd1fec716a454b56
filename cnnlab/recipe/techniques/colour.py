"""Random hue and saturation of colour images; grey ones have none and stay as they are.

Mechanism: makes the network tolerate light of another colour (Howard 2013, photometric changes).

Sensible: hue 0.02 to 0.1, saturation 0.2 to 0.5 for photographs.
Goes badly with: classes that differ by colour (ripe fruit, stains, birds): hue then moves one to
another; grey images, where it does nothing.
Cost: a few percent of a step on the CPU.
"""

from pydantic import Field, model_validator

from cnnlab.plugins import Options as Base

CLAIM = "more views of each image: the network overfits less"
EVIDENCE = ("gap", "lower")


class Options(Base):
    hue: float = Field(ge=0, le=0.5, description="largest turn of the colour circle, share of it")
    saturation: float = Field(
        ge=0, le=1, description="factor drawn from 1 - saturation to 1 + saturation"
    )

    @model_validator(mode="after")
    def _some(self):
        if not (self.hue or self.saturation):
            raise ValueError("one of hue and saturation must be above 0")
        return self


def apply(recipe, options):
    return recipe.augmenting("colour", **options.model_dump())


def recolour(seed, images, hue, saturation):
    import tensorflow as tf

    if images.shape[-1] != 3:
        return images
    turn, factor = tf.unstack(tf.random.stateless_uniform([2, tf.shape(images)[0], 1, 1], seed))
    h, s, v = tf.unstack(tf.image.rgb_to_hsv(images / 255), axis=-1)
    h = tf.math.floormod(h + (2 * turn - 1) * hue, 1.0)
    s = tf.clip_by_value(s * (1 + (2 * factor - 1) * saturation), 0, 1)
    return tf.image.hsv_to_rgb(tf.stack([h, s, v], -1)) * 255
