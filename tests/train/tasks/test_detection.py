"""Detection is learnt: through the one `fit`, with and without augmentation."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from cnnlab.detections import MOST_OBJECTS
from cnnlab.errors import UserError
from cnnlab.ignored import turned
from cnnlab.recipe import blocks
from cnnlab.recipe.detector import BOX, network, stride
from cnnlab.tasks.detection import METRICS
from cnnlab.train import fit as fitting
from cnnlab.train import input as inputs
from cnnlab.train.fit import fit
from cnnlab.train.input import Data
from cnnlab.train.tasks import detection
from tests import made_up

SECTIONS = replace(made_up.sections(), model=made_up.model("vgg", filters=[8, 16], convs=1))


def squares(n=240, side=24, seed=0):
    """Bright and dark squares on grey: two classes, one or two of them on each image; none on every
    tenth."""
    rng = np.random.default_rng(seed)
    images = rng.normal(120, 8, (n, side, side, 1))
    boxes = np.full((n, MOST_OBJECTS, 5), -1, np.float32)
    for i in range(n):
        for k in range(0 if i % 10 == 9 else rng.integers(1, 3)):
            size, number = rng.integers(6, 10, 2), rng.integers(2)
            y, x = rng.integers(0, [side // 2 - 9 + 1, side - 9])
            y += k * side // 2
            images[i, y : y + size[0], x : x + size[1]] += 80 if number else -80
            boxes[i, k] = [number, y, x, y + size[0], x + size[1]]
    labels = np.maximum(boxes[:, 0, 0], 0).astype(int)
    split = np.arange(n - 60), np.arange(n - 60, n)
    images = images.clip(0, 255).astype(np.uint8)
    return Data(images, labels, *split, 2, learning=detection, truth=boxes)


def recipe(*techniques, epochs=3, **changes):
    made = SECTIONS.recipe(["batchnorm", *techniques])
    return replace(made, epochs=epochs, batch_size=16, learning_rate=0.005, **changes)


def test_it_learns_to_find_squares():
    data = squares()
    fitted = fit(recipe(epochs=12, evaluate_every=12), data, 1)
    scores = {name: m.score(data.labels, fitted.outputs) for name, m in METRICS.items()}
    assert scores["map50"] > 0.8 and scores["recall50"] > 0.9
    assert fitted.final["map"] == pytest.approx(scores["map"])
    assert fitted.final["detection_loss"] == pytest.approx(scores["detection_loss"], rel=1e-5)
    assert fitted.history[-1]["objective"] < fitted.history[0]["objective"] / 3


def test_the_same_seed_gives_the_same_bits_and_a_file_the_same_as_memory(monkeypatch):
    data = squares(80)
    one = fit(recipe("augment", "l2"), data, 1)
    weights, outputs = [np.copy(w) for w in one.model.get_weights()], one.outputs
    two = fit(recipe("augment", "l2"), data, 1)
    np.testing.assert_array_equal(two.outputs, outputs)
    monkeypatch.setattr(inputs, "RESIDENT", 0)
    three = fit(recipe("augment", "l2"), data, 1)
    for a, b, c in zip(weights, two.model.get_weights(), three.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_what_xla_compiles_for_gpus_learns_the_same(monkeypatch):
    fast = recipe("augment", "l2", epochs=2, deterministic=False, optimizer="sgd")
    data = squares(80)
    plain = fit(fast, data, 1)
    expected, outputs = [np.copy(w) for w in plain.model.get_weights()], plain.outputs
    fitting._compiled.cache_clear()
    monkeypatch.setattr(fitting, "gpu_memory", lambda: 1)
    monkeypatch.setattr(blocks, "on_gpu", lambda: True)
    compiled = fit(fast, data, 1)
    fitting._compiled.cache_clear()
    losses = compiled.outputs[:, -1], outputs[:, -1]
    np.testing.assert_allclose(*losses, rtol=2e-3)
    for ours, theirs in zip(compiled.model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_the_held_out_fold_teaches_nothing():
    data = squares(80)
    clean = [np.copy(w) for w in fit(recipe(epochs=2), data, 1).model.get_weights()]
    boxes = data.truth.copy()
    boxes[data.held_out, 0] = [1, 0, 0, 24, 24]
    spoilt = fit(recipe(epochs=2), replace(data, truth=boxes), 1)
    for a, b in zip(clean, spoilt.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_targets_are_shares_and_are_made_once():
    data = squares(40)
    objects = detection.targets(data)
    assert objects.dtype == np.float32 and objects.shape == (40, 2, 5)
    there = objects[..., 0] >= 0
    np.testing.assert_allclose(objects[there][:, 1:] * 24, data.truth[:, :2][there][:, 1:])
    assert (objects[~there] == -1).all()
    assert detection.targets(data) is objects
    other = replace(data, inputs=np.zeros((40, 48, 24, 1), np.uint8))
    assert detection.targets(other)[there][:, 3].max() <= 0.5
    assert detection.seen(data, data.train).tolist() == [
        int(c) for row in data.truth[data.train] for c in row[:, 0] if c >= 0
    ]


def test_regions_that_are_ignored_teach_nothing():
    """Weights, and what is kept, are the same to the bit with them and without, augmented too."""
    data = squares(80)
    more = data.truth.copy()
    for i, boxes in enumerate(more):
        there = int((boxes[:, 0] >= 0).sum())
        boxes[there] = boxes[0] if there and i % 2 else [0, 1, 2, 20, 21]  # difficult, or a crowd
        boxes[there, 0] = turned(boxes[there, 0])
    assert (more[:, :2, 0] < -1).sum() > 20  # among the rows of objects
    one = fit(recipe("augment", epochs=2), data, 1)
    weights, outputs = [np.copy(w) for w in one.model.get_weights()], one.outputs
    two = fit(recipe("augment", epochs=2), replace(data, truth=more), 1)
    np.testing.assert_array_equal(two.outputs, outputs)
    for a, b in zip(weights, two.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_objects_of_rare_classes_weigh_more_where_classes_are_balanced():
    data = squares(80)
    objects = detection.targets(data)[:16]
    weights = inputs.class_weights(replace(recipe(), balanced=True), data, data.train)
    y, w = detection.truth(recipe(), tf.constant(objects), weights)
    np.testing.assert_array_equal(y[..., :5], objects)
    number = objects[..., 0].astype(int)
    expected = np.where(number >= 0, weights.numpy()[number], 0)
    np.testing.assert_allclose(w, expected)
    np.testing.assert_allclose(y[..., 5], expected)


def test_labels_that_are_smoothed_are_refused():
    with pytest.raises(UserError, match="label smoothing does not serve detection"):
        fit(recipe("label_smoothing"), squares(80), 1)


@pytest.mark.parametrize(
    ("shape", "cells"),
    [
        ((24, 24, 1), (24, 24)),
        ((64, 64, 3), (64, 64)),
        ((96, 72, 3), (24, 18)),
        ((97, 66, 1), (25, 17)),
    ],
)
def test_maps_are_those_of_the_stride(shape, cells):
    made = network(recipe("dropout"), shape, 5)
    assert made.model.output.shape == (None, *cells, 5 + BOX)
    assert made.model.layers[-1].name == "logits" and made.model.output.dtype == "float32"
    assert stride(shape) == (1 if max(shape[:2]) <= 64 else 4)
    said = made.model(np.zeros((1, *shape), np.float32)).numpy()
    assert said[..., :5] == pytest.approx(-2.19, abs=0.3)  # a score of 0.1


@pytest.mark.parametrize("net", ["vgg", "resnet"])
def test_bodies_of_other_networks_serve(net):
    from cnnlab.recipe.nets import NETS

    if net not in NETS:
        pytest.skip(f"no {net}")
    made = replace(SECTIONS, model=made_up.model(net)).recipe([])
    assert network(made, (32, 32, 3), 4).model.output.shape == (None, 32, 32, 8)
