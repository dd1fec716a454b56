"""Where a network looks."""

import keras
import numpy as np
import pytest
from keras import layers as k

from cnnlab.look import (
    Case,
    capture,
    cases,
    feature_maps,
    grad_cam,
    grad_cam_figure,
    prediction_figure,
    telling,
)

IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), np.uint8)


def small_model(**last) -> keras.Model:
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((8, 8, 1))
    x = k.Conv2D(3, 3, padding="same", name="conv1")(k.Rescaling(1 / 255)(x))
    x = k.MaxPooling2D(name="pool1")(k.ReLU()(x))
    x = k.ReLU()(k.Conv2D(5, 3, padding="same", name="conv2", **last)(x))
    return keras.Model(inputs, k.Dense(3, name="logits")(k.GlobalAveragePooling2D()(x)))


def test_with_global_pooling_it_is_the_class_activation_map():
    # Selvaraju et al. 2017, section 3.1: there Grad-CAM is CAM (Zhou et al. 2016), the maps weighed
    # by the class's dense weights, over the number of pixels.
    model, classes = small_model(), [0, 2, 1, 1]
    layer, heat = grad_cam(model, IMAGES, classes)
    assert layer == "conv2"
    maps = feature_maps(model, IMAGES.astype(np.float32))["conv2"]
    weights = model.get_layer("logits").kernel.numpy()[:, classes] / 16
    expected = np.maximum(np.einsum("nhwc,cn->nhw", maps, weights), 0)
    np.testing.assert_allclose(heat, expected, rtol=1e-4, atol=1e-7)
    assert heat.max() > 0


def test_images_do_not_touch_one_another_and_weights_stay():
    model = small_model()
    before = [w.copy() for w in model.get_weights()]
    _, together = grad_cam(model, IMAGES, [0, 1, 2, 0])
    _, alone = grad_cam(model, IMAGES[2:3], [2])
    np.testing.assert_allclose(together[2], alone[0], rtol=1e-4, atol=1e-7)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_frozen_model_gives_the_same():
    model = small_model()
    _, expected = grad_cam(model, IMAGES, [0, 1, 2, 0])
    model.trainable = False
    _, heat = grad_cam(model, IMAGES, [0, 1, 2, 0])
    np.testing.assert_array_equal(heat, expected)


def test_a_residual_network_is_seen_from_its_last_sum():
    keras.utils.set_random_seed(1)
    x = inputs = keras.Input((8, 8, 1))
    x = k.ReLU()(k.Conv2D(3, 3, padding="same", name="conv1")(x))
    y = k.BatchNormalization()(k.Conv2D(3, 3, padding="same", name="conv2")(x))
    x = k.ReLU(name="sum_act")(k.Add()([x, y]))
    model = keras.Model(inputs, k.Dense(2)(k.GlobalAveragePooling2D()(x)))
    assert grad_cam(model, IMAGES, [0, 1, 0, 1])[0] == "sum_act"


def test_half_precision_gives_float32_near_the_same():
    _, exact = grad_cam(small_model(), IMAGES, [0, 1, 2, 0])
    model = small_model(dtype="mixed_bfloat16")
    _, heat = grad_cam(model, IMAGES, [0, 1, 2, 0])
    assert heat.dtype == np.float32
    np.testing.assert_allclose(heat, exact, rtol=0.1, atol=0.1 * exact.max())


def test_a_model_without_maps_is_refused():
    x = inputs = keras.Input((8, 8, 1))
    x = k.Conv2D(2, 8, name="whole")(x)
    model = keras.Model(inputs, k.Dense(2)(k.Flatten()(x)), name="flat")
    with pytest.raises(ValueError, match="flat has no maps"):
        grad_cam(model, IMAGES, [0, 0, 0, 0])


def test_the_most_confident_are_telling():
    labels = np.array([0, 0, 1, 1, 2, 2, 0])
    predicted = np.array([0, 0, 1, 2, 0, 1, 0])
    probabilities = np.full((7, 3), 0.01)
    probabilities[np.arange(7), predicted] = [0.6, 0.9, 0.7, 0.5, 0.8, 0.9, 0.9]
    right, wrong = telling(probabilities, labels)
    assert right.tolist() == [1, 2]  # of classes 0 and 1; none of class 2 is right
    assert wrong.tolist() == [5, 4, 3]
    many = np.eye(9)[np.arange(9)]
    assert telling(many, np.arange(9))[0].tolist() == [0, 1, 2, 3, 4, 5]


def test_cases_have_what_speaks_for_the_prediction_and_for_the_truth():
    model = small_model()
    probabilities = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.9, 0.1, 0.0]])
    labels = np.array([0, 2, 2, 1])
    layer, (right, wrong) = cases(
        model, IMAGES, labels, probabilities, ["a", "b", "c"], np.array([2, 1])
    )
    assert (layer, right.predicted, right.truth, right.probability, right.truth_heat) == (
        "conv2",
        "c",
        "c",
        0.8,
        None,
    )
    assert (wrong.predicted, wrong.truth, wrong.probability) == ("b", "c", 0.5)
    _, expected = grad_cam(model, IMAGES[[2, 1, 1]], [2, 1, 2])
    for heat, value in zip((right.heat, wrong.heat, wrong.truth_heat), expected, strict=True):
        np.testing.assert_allclose(heat, value, rtol=1e-4, atol=1e-7)


def case(predicted="a", truth="a", heat=None):
    heat = np.eye(4) if heat is None else heat
    for_truth = None if predicted == truth else heat[::-1]
    return Case(IMAGES[0], truth, predicted, 0.75, heat, for_truth)


def words(picture) -> str:
    return "\n".join(text.get_text() for text in picture.figure.texts)


def test_the_figure_says_who_was_right():
    examples = [case(), case("b", "c"), case("b", "b")]
    picture = grad_cam_figure(examples, "conv2", "base", 0.9, "60 held-out images")
    assert picture.alt == (
        "base: what speaks for the class, by Grad-CAM at conv2: 2 right predictions and 1 wrong; "
        "a (0.75); b (0.75); b (0.75), truly c. 90.0% of 60 held-out images right."
    )
    for text in ("a  0.75", "b  0.75", "truly c", "right", "wrong", "90.0% of 60 held-out images"):
        assert text in words(picture)
    tiles = picture.figure.images
    assert sum(i.get_array().ndim == 3 for i in tiles) == 2 + 3  # rows


@pytest.mark.parametrize(
    ("examples", "missing"), [([case()], "wrong"), ([case("a", "b")], "right")]
)
def test_where_there_is_none_it_says_so(examples, missing):
    picture = grad_cam_figure(examples, "c", "v", 1.0, "images")
    assert f"no {missing} prediction" in words(picture)
    with pytest.raises(ValueError, match="no prediction"):
        grad_cam_figure([], "c", "v", 0.5, "images")


def test_heat_that_is_zero_everywhere_can_be_shown():
    assert grad_cam_figure([case(heat=np.zeros((4, 4)))], "c", "v", 1.0, "images").alt


def test_an_answer_shows_the_image_and_what_speaks_for_each_class():
    answers = [("cat", 0.75, np.eye(4)), ("dog", 0.25, np.zeros((4, 4)))]
    picture = prediction_figure("photo.jpg", IMAGES[0], answers, "conv2")
    assert picture.alt == (
        "photo.jpg, what speaks for each class by Grad-CAM at conv2: cat 75.0%; dog 25.0%"
    )
    for text in ("photo.jpg: cat (75.0%)", "as the network sees it", "cat  75.0%", "dog  25.0%"):
        assert text in words(picture)
    (sheet,) = picture.figure.images
    assert sheet.get_array().ndim == 3


def test_in_parts_it_is_the_same(monkeypatch):
    layer, expected = grad_cam(small_model(), IMAGES, [0, 1, 2, 0])
    monkeypatch.setattr(capture, "VALUES", 1)
    assert capture.at_once(small_model(), IMAGES.shape[1:]) == 1
    again, heat = grad_cam(small_model(), IMAGES, [0, 1, 2, 0])
    assert again == layer
    np.testing.assert_allclose(heat, expected, rtol=1e-4, atol=1e-6)
