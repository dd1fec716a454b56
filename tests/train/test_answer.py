"""What a saved network says of images."""

import numpy as np
import tensorflow as tf

from cnnlab.recipe.network import initial
from cnnlab.train import input as inputs
from cnnlab.train.answer import probabilities
from tests import made_up

RECIPE = made_up.sections().recipe([])
IMAGES = np.random.default_rng(0).integers(0, 256, (7, 8, 8, 1), np.uint8)


def test_memory_bounds_how_many_images_are_asked_at_once_and_not_what_is_said(monkeypatch):
    net = initial(RECIPE, 1, IMAGES.shape[1:], 3).model
    expected = probabilities(net, IMAGES)
    assert expected.shape == (7, 3) and np.allclose(expected.sum(axis=1), 1)
    seen, really = [], tf.constant

    def noting(value, *rest):
        seen.append(len(value) if isinstance(value, np.ndarray) and value.ndim == 4 else 0)
        return really(value, *rest)

    monkeypatch.setattr(inputs, "PIXELS", 3 * 8 * 8)
    monkeypatch.setattr(tf, "constant", noting)
    np.testing.assert_allclose(probabilities(net, IMAGES), expected, rtol=1e-5, atol=1e-6)
    assert [n for n in seen if n] == [3, 3, 1]
