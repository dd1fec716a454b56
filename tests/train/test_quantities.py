"""What is measured of a trained net, against nets of known weights."""

import keras
import numpy as np
import pytest

from cnnlab.train import quantities


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1, 1, 1], 0.0),  # all alike
        ([0, 0, 0, 1], 0.75),  # one holds all: (n - 1) / n
        ([1, 2, 3, 4, 5], 4 / 15),  # (2 sum i x_i) / (n sum x) - (n + 1) / n
        ([0, 0], 0.0),
    ],
)
def test_gini_is_that_of_the_textbook(values, expected):
    rng = np.random.default_rng(0)
    assert quantities.gini(rng.permutation(np.array(values, float))) == pytest.approx(expected)
    assert quantities.gini(1e-3 * np.array(values, float)) == pytest.approx(expected)


def net(conv, logits):
    """1x1 conv, mean over the image, logits, of the given kernels."""
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(conv.shape[-1], 1, activation="relu", use_bias=False),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(logits.shape[-1], use_bias=False, name="logits"),
        ]
    )
    model.set_weights([conv.reshape(1, 1, 1, -1), logits])
    return model


def test_numbers_of_a_net_of_known_weights():
    conv = np.array([3.0, 1.0, -2.0])  # the last unit is dead: images are not negative
    logits = np.array([[4.0, 0.0], [0.0, 1e-4], [0.0, 3.0]])
    images = np.random.default_rng(0).integers(1, 256, (20, 4, 4, 1)).astype(np.float32)
    found = quantities.of(net(conv, logits), images[5:])
    total = np.sum(conv**2) + np.sum(logits**2)
    assert found["weight_norm"] == pytest.approx(np.sqrt(total))
    assert found["largest_filter_norm"] == pytest.approx(4.0)
    ginis = [quantities.gini(np.abs(k).ravel()) for k in (conv, logits)]
    assert found["weight_gini"] == pytest.approx(np.mean(ginis))
    assert found["weight_near_zero"] == pytest.approx((0 + 4 / 6) / 2)
    assert found["dead_units"] == pytest.approx(1 / 3)
    assert found["unit_correlation"] == pytest.approx(1, abs=1e-4)  # both follow the brightness


def test_one_lively_unit_correlates_with_none():
    images = np.random.default_rng(0).integers(1, 256, (20, 4, 4, 1)).astype(np.float32)
    found = quantities.of(net(np.array([1.0, -1.0]), np.eye(2)), images)
    assert found["unit_correlation"] == 0
    assert found["dead_units"] == 0.5


def test_drift_is_the_move_of_the_mean_in_standard_deviations():
    still = np.array([[1.0, 2.0]] * 4)
    moving = np.array([[0.0, 2.0], [1.0, 2.0], [0.0, 2.0]])
    assert quantities.drift({"a": still}) == 0
    assert quantities.drift({"a": moving}) == pytest.approx(0.5)
    assert quantities.drift({"a": still, "b": moving}) == pytest.approx(0.25)
    assert quantities.drift({"a": still[:1]}) == 0  # one evaluation
