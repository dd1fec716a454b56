"""What a saved network says of images."""

import numpy as np
import tensorflow as tf

from cnnlab import overlap, records
from cnnlab.detections import DETECTIONS, MOST_OBJECTS, parts
from cnnlab.overlap import VOID
from cnnlab.recipe import detector
from cnnlab.recipe.network import initial, set_random
from cnnlab.scoring import LEAST
from cnnlab.train import input as inputs
from cnnlab.train.answer import boxes, ensemble, outputs, probabilities
from cnnlab.train.tasks import detection, segmentation
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


def test_both_ways_is_the_mean_of_two_answers_and_so_is_what_is_served():
    net = initial(RECIPE, 1, IMAGES.shape[1:], 3).model
    pixels = IMAGES.astype(np.float32)
    logits = (np.asarray(net(pixels)) + np.asarray(net(pixels[:, :, ::-1].copy()))) / 2
    assert np.abs(logits - np.asarray(net(pixels))).max() > 0.01
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(probabilities(net, IMAGES, flips=True), shares, rtol=1e-4)
    for temperature in (1.0, 2.0):
        served = records.Answering(temperature, flips=True).of(net)(pixels)
        softer = shares ** (1 / temperature)
        expected = softer / softer.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(np.asarray(served), expected, rtol=1e-4)


def test_an_ensemble_says_the_mean_of_its_maps_and_is_counted_as_one_network_is():
    """Of two pixels and three classes: sure and wrong of the first, right by a little of the
    second; together another class than either says."""

    def net(*shares):
        return lambda batch, training: tf.math.log(
            tf.tile(tf.constant([[shares]]), [len(batch), 1, 1, 1])
        )

    images = np.zeros((2, 1, 2, 1), np.uint8)
    truth = np.array([[[2, 1]], [[2, VOID]]], np.uint8)
    nets = [
        net([0.58, 0.01, 0.41], [0.25, 0.5, 0.25]),
        net([0.01, 0.58, 0.41], [0.125, 0.75, 0.125]),
    ]
    p = overlap.parts(outputs(segmentation, ensemble(nets), images, truth))
    np.testing.assert_array_equal(p.predicted, [[0, 1, 1], [0, 0, 1]])
    np.testing.assert_array_equal(p.shared, [[0, 1, 1], [0, 0, 1]])
    expected = [-(np.log(0.41) + np.log(0.625)) / 2, -np.log(0.41)]
    np.testing.assert_allclose(p.nll, expected, rtol=1e-5)
    for alone in nets:
        assert overlap.parts(outputs(segmentation, alone, images, truth)).shared[0, 2] == 0
    one = outputs(segmentation, nets[0], images, truth)
    np.testing.assert_allclose(outputs(segmentation, ensemble(nets[:1]), images, truth), one)


def test_an_ensemble_of_a_probability_of_nothing_is_finite():
    images, truth = np.zeros((1, 1, 1, 1), np.uint8), np.array([[[1]]], np.uint8)

    def sure(batch, training):
        return tf.constant([[[[500.0, -500.0]]]])

    p = overlap.parts(outputs(segmentation, ensemble([sure, sure]), images, truth))
    np.testing.assert_allclose(p.nll, -np.log(LEAST), rtol=1e-5)
    np.testing.assert_array_equal(p.predicted, [[1, 0]])


def test_boxes_are_in_pixels_and_outputs_are_those_of_the_truth_of_a_pool(monkeypatch):
    """Whose boxes are in pixels, too, so that all that is detected is a hit where it is the
    truth."""
    images = np.repeat(np.repeat(IMAGES, 2, axis=1), 3, axis=2)  # 16x24
    net = detector.network(RECIPE, images.shape[1:], 2).model
    set_random(net, 1)
    kernel, _ = net.get_layer("logits").get_weights()
    net.get_layer("logits").set_weights([kernel / 100, np.array([-2, -2, 5, 6, 0.5, 0.5])])
    found = boxes(net, images)
    assert found.shape == (7, DETECTIONS, 6) and (found[:, 0, 0] >= 0).all()
    assert found[..., 4].max() > 8 and found[..., 4].max() <= 16  # y1
    assert found[..., 5].max() > 16 and found[..., 5].max() <= 24  # x1
    truth = np.full((7, MOST_OBJECTS, 5), -1, np.float32)
    truth[:, :1] = np.delete(found, 1, axis=2)[:, :1]  # the surest
    kept = outputs(detection, net, images, truth)
    hit, area = parts(kept).hit[:, 0], np.prod(truth[:, 0, 3:] - truth[:, 0, 1:3], axis=1)
    assert (area > 0.5).any() and hit[area > 0.5].all()
    assert (parts(kept).true.sum(axis=1) == 1).all()
    monkeypatch.setattr(inputs, "PIXELS", 3 * 16 * 24)
    np.testing.assert_allclose(outputs(detection, net, images, truth), kept, atol=1e-4)
