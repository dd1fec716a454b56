"""Batch normalisation, fused: what Keras' own layer computes, in less time."""

import json
import subprocess
import sys
import zipfile
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab import records
from cnnlab.recipe import network
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.norm import BatchNormalization
from cnnlab.train import fit as fitting
from cnnlab.train.fit import fit
from tests import made_up

SHAPE = (6, 5, 4, 3)
KINDS = (keras.layers.BatchNormalization, BatchNormalization)
CLOSE = {"float32": 1e-5, "mixed_bfloat16": 2e-2, "mixed_float16": 2e-3}


def layers(shape=SHAPE, **config):
    """Keras' layer and ours, with equal weights that are not those of the beginning."""
    made = [kind(**config) for kind in KINDS]
    rng = np.random.default_rng(1)
    values = None
    for layer in made:
        layer.build(shape)
        values = values or [rng.uniform(0.5, 2, w.shape) for w in layer.weights]
        layer.set_weights(values)
    return made


def passed(layer, inputs, upstream, **call):
    """Outputs, gradients by inputs and weights, and statistics after one pass."""

    @tf.function
    def run():
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, **call)
        gradients = tape.gradient(outputs, [inputs, *layer.trainable_variables], upstream)
        return outputs, gradients

    outputs, gradients = run()
    return [outputs, *gradients, *layer.non_trainable_variables]


def numbers(shape=SHAPE, dtype="float32", mean=3.0):
    rng = np.random.default_rng(0)
    inputs, upstream = rng.normal(mean, 2, shape), rng.normal(size=shape)
    return tf.constant(inputs, dtype), tf.constant(upstream, dtype)


def assert_close(one, other, rtol):
    assert len(one) == len(other)
    for a, b in zip(one, other, strict=True):
        assert a.dtype == b.dtype
        a, b = (np.asarray(x, np.float64) for x in (a, b))
        np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max())


@pytest.fixture
def fused(monkeypatch):
    """How often the fused operation was put into a graph."""
    calls, operation = [], tf.raw_ops.FusedBatchNormV3
    monkeypatch.setattr(
        tf.raw_ops, "FusedBatchNormV3", lambda **given: calls.append(0) or operation(**given)
    )
    return calls


@pytest.mark.parametrize("precision", CLOSE)
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"momentum": 0.5, "epsilon": 0.1},
        {"scale": False},
        {"center": False},
        {"axis": 3, "scale": False, "center": False},
    ],
)
@pytest.mark.parametrize("shape", [SHAPE, (1, 2, 1, 3), (1, 1, 1, 3)])  # few, of which n - 1 tells
def test_a_training_pass_is_that_of_keras(fused, precision, config, shape):
    policy = keras.DTypePolicy(precision)
    both = numbers(shape, policy.compute_dtype)
    theirs, ours = (
        passed(layer, *both, training=True) for layer in layers(shape, dtype=policy, **config)
    )
    assert fused
    if shape == (1, 1, 1, 3):  # nothing varies: the gradient is 0, and Keras' is rounding
        assert np.abs(np.float32(ours[1])).max() < 1e-3
        theirs.pop(1), ours.pop(1)
    assert_close(ours, theirs, CLOSE[precision])


def test_statistics_are_close_to_the_true_ones_where_the_mean_is_large():
    """As exact as Keras' own where squares would cancel, against sums in double precision."""
    inputs, upstream = numbers((8, 16, 16, 3), mean=1000.0)
    x = np.float64(inputs.numpy())
    true = x.mean((0, 1, 2)), x.var((0, 1, 2))
    layer = BatchNormalization(momentum=0.0)
    passed(layer, inputs, upstream, training=True)
    assert_close([np.float64(v) for v in layer.non_trainable_variables], true, 1e-5)


@pytest.mark.parametrize("trainable, training", [(True, False), (True, None), (False, True)])
def test_other_passes_are_those_of_keras_to_the_bit(fused, trainable, training):
    both = layers()
    for layer in both:
        layer.trainable = trainable
    before = [v.numpy() for v in both[0].weights[-2:]]
    theirs, ours = (passed(layer, *numbers(), training=training) for layer in both)
    assert_close(ours, theirs, 0)
    assert_close([v.numpy() for v in both[1].weights[-2:]], before, 0)  # statistics stay
    assert not fused


@pytest.mark.parametrize(
    ("shape", "config"),
    [
        ((6, 3), {}),
        ((6, 5, 3), {}),
        ((2, 3, 4, 5, 3), {}),
        (SHAPE, {"axis": 1}),
        (SHAPE, {"dtype": "float64"}),
        (SHAPE, {"renorm": True}),
        (SHAPE, {"synchronized": True}),
    ],
)
def test_what_cannot_be_fused_is_left_to_keras(fused, shape, config):
    both = numbers(shape, config.get("dtype", "float32"))
    theirs, ours = (passed(layer, *both, training=True) for layer in layers(shape, **config))
    assert_close(ours, theirs, 1e-6)
    assert not fused


def test_masked_inputs_are_left_to_keras(fused):
    mask = tf.constant(np.random.default_rng(0).random(SHAPE[:-1]) > 0.5)
    theirs, ours = (passed(layer, *numbers(), training=True, mask=mask) for layer in layers())
    assert_close(ours, theirs, 1e-6)
    assert not fused


def test_two_passes_are_equal_to_the_bit():
    one, two = (passed(layers()[1], *numbers((32, 16, 16, 3)), training=True) for _ in range(2))
    assert_close(one, two, 0)


@pytest.mark.parametrize("net", ["vgg", "resnet"])
def test_a_network_learns_what_it_does_with_keras_own_layers(monkeypatch, fused, net):
    sections = made_up.sections(epochs=3, optimizer="sgd", learning_rate=0.01)
    sections = replace(sections, model=made_up.model(net, blocks=1, batchnorm=True))
    recipe, data = sections.recipe(["batchnorm"] if net == "vgg" else []), made_up.data()

    def trained(seed):
        fitted = fit(recipe, data, seed)
        return [*(v.numpy() for v in fitted.model.variables), fitted.outputs]

    ours = trained(1)
    assert len(fused) >= 4
    other, again = trained(2), trained(1)
    assert_close(again, ours, 0)
    assert not np.allclose(other[-1], ours[-1], atol=1e-3)
    fused.clear()
    with monkeypatch.context() as patched:
        patched.setattr(network, "fuse", lambda model: None)
        fitting._compiled.cache_clear()
        theirs = trained(1)
    fitting._compiled.cache_clear()
    assert not fused
    for a, b in zip(ours, theirs, strict=True):  # a bias before batch norm is 0 but for rounding
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("net", NETS.names())
def test_all_of_a_network_s_batch_norm_is_fused(net):
    recipe = made_up.sections(net).recipe([])
    if "conv" in NETS[net].places(recipe.net_options):
        recipe = recipe.inserting("conv", "BatchNormalization", momentum=0.9)
    made = network.network(recipe, (32, 32, 3), 3)
    norms = [x for x in made.model.layers if isinstance(x, keras.layers.BatchNormalization)]
    assert norms and all(type(layer) is BatchNormalization for layer in norms)
    assert set(map(id, norms)) <= set(map(id, made.body.layers))


READ = """
import json, sys
sys.path = [p for p in sys.path if p]  # not this folder
sys.modules["cnnlab"] = None  # nor where it is installed
import keras, numpy as np
try:
    import cnnlab
except ImportError:
    model = keras.models.load_model(sys.argv[1])
    np.save(sys.argv[2], model(np.load(sys.argv[3]), training=False))
    print({type(x).__module__ for x in model.layers if "batchnorm" in x.name})
"""


def test_a_saved_model_needs_keras_alone(tmp_path):
    recipe = made_up.sections().recipe(["batchnorm"])
    fitted = fit(recipe, made_up.data(), 1)
    path = tmp_path / "model.keras"
    records.save_model(fitted.model, path)
    config = json.loads(zipfile.ZipFile(path).read("config.json"))
    assert "cnnlab" not in json.dumps(config)
    images = np.random.default_rng(0).uniform(0, 255, (5, *fitted.model.input.shape[1:]))
    np.save(tmp_path / "images.npy", images.astype(np.float32))
    arguments = [str(path), str(tmp_path / "logits.npy"), str(tmp_path / "images.npy")]
    done = subprocess.run(
        [sys.executable, "-I", "-c", READ, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "keras.src.layers.normalization" in done.stdout, done.stderr[-2000:]
    expected = fitted.model(np.float32(images), training=False)
    np.testing.assert_allclose(np.load(arguments[1]), expected, rtol=1e-5, atol=1e-6)
    loaded = records.load_model(path)
    assert [w.path for w in loaded.weights] == [w.path for w in fitted.model.weights]
