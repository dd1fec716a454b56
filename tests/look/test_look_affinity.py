"""How far augmentation leads away from images."""

import keras
import numpy as np
import pytest

from cnnlab.look.augmentation import affinity
from cnnlab.train import input as inputs
from stages import visualize
from tests import made_up

BRIGHT = np.arange(40) % 2
IMAGES = np.broadcast_to(60 + 120 * BRIGHT[:, None, None, None], (40, 8, 8, 1)).astype(np.uint8)


@pytest.mark.parametrize("at_once", [512, 7])
def test_affinity_is_accuracy_on_images_as_they_are_and_augmented(monkeypatch, at_once):
    """Of a network that calls bright what is brighter than 120, in any parts."""
    monkeypatch.setattr(inputs, "PIXELS", at_once * 8 * 8)
    taken = keras.Input((8, 8, 1))
    mean = keras.layers.GlobalAveragePooling2D()(taken)
    answer = keras.layers.Dense(2, name="logits")
    net = keras.Model(taken, answer(mean))
    answer.set_weights([np.array([[-1.0, 1.0]]), np.array([120.0, -120.0])])
    dark = made_up.sections().recipe([]).augmenting("brightness", fraction=0.9)
    clean, augmented = affinity(net, dark, IMAGES, BRIGHT, draws=4, seed=1)
    assert clean == 1.0
    assert 0.5 < augmented < 1.0 and augmented * 160 == round(augmented * 160)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_images_that_are_mixed_have_no_affinity(name):
    """An image of two classes is right as neither; no network is asked."""
    assert made_up.sections().alone(name).ops
    assert visualize._affinities("net", None, None, made_up.sections(), [name], 0) == []
