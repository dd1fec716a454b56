"""Weights that others have trained: read safely, checked, and put where they belong."""

import hashlib
import zipfile
from dataclasses import replace

import h5py
import keras
import numpy as np
import pytest

from cnnlab import records
from cnnlab.errors import UserError
from cnnlab.recipe.nets import application
from cnnlab.recipe.network import weights_of
from cnnlab.train import weights

OPTIONS = {"name": "MobileNet", "cut": "conv_pw_2_relu", "size": 32, "preprocessing": "own"}
OPTIONS |= {"momentum": None, "dense": []}
SHAPE = (16, 16, 3)


@pytest.fixture
def recipe(base):
    return replace(base, net="application", net_options=OPTIONS)


@pytest.fixture(scope="module")
def source():
    """A net as Keras makes it, cut deeper than ours, at known weights."""
    keras.utils.set_random_seed(3)
    net = keras.applications.MobileNet((32, 32, 3), include_top=False, weights=None)
    net = keras.Model(net.inputs, net.get_layer("conv_pw_3_relu").output)
    rng = np.random.default_rng(0)
    drawn = [rng.normal(0.1, 0.3, w.shape) for w in net.get_weights()]
    net.set_weights([np.abs(w) + 0.5 if w.ndim == 1 else w for w in drawn])
    return net


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["weights.h5", "keras", "legacy"])
def test_weights_come_to_the_layers_of_their_names(recipe, source, tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    if kind == "keras":
        source.save(path)
    elif kind == "weights.h5":
        source.save_weights(path)
    else:
        with h5py.File(path, "w") as file:  # as keras.applications' own files are
            file.attrs["layer_names"] = [layer.name for layer in source.layers]
            for layer in source.layers:
                group = file.create_group(layer.name)
                group.attrs["weight_names"] = [f"{layer.name}/{v.name}:0" for v in layer.weights]
                for v in layer.weights:
                    group[f"{layer.name}/{v.name}:0"] = v.numpy()
    part = weights.backbone(recipe, SHAPE, str(path), digest(path))
    for name, arrays in weights_of(part).items():
        for a, b in zip(arrays, source.get_layer(name).get_weights(), strict=True):
            assert np.array_equal(a, b)
    # The whole way of an image: size, preprocessing, net.
    image = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    ours = weights.backbone(recipe, (32, 32, 3), str(path), digest(path))(image, training=False)
    upto = keras.Model(source.inputs, source.get_layer("conv_pw_2_relu").output)
    theirs = np.mean(upto(image / 127.5 - 1, training=False), axis=(1, 2))
    assert np.std(theirs) > 0.3  # its last activation is not flat
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)
    saved = tmp_path / "model.keras"
    records.save_model(part, saved)
    assert weights_of(records.load_model(saved)).keys() == weights_of(part).keys()


def test_what_does_not_fit_names_the_first_layer_and_shapes(recipe, source, tmp_path):
    path = tmp_path / "x.weights.h5"
    source.save_weights(path)
    deeper = replace(recipe, net_options={**OPTIONS, "cut": "conv_pw_5_relu"})
    with pytest.raises(UserError, match=r"layer conv_dw_4 .* 3x3x128x1, the file has no such"):
        weights.backbone(deeper, SHAPE, str(path), digest(path))
    with h5py.File(path, "r+") as file:
        group = file["layers/conv2d/vars"]
        assert group.attrs["name"] == "conv1"
        del group["0"]
        group["0"] = np.zeros((3, 3, 3, 16))
    with pytest.raises(UserError, match=r"layer conv1 .* 3x3x3x32, the file has shapes 3x3x3x16"):
        weights.backbone(recipe, SHAPE, str(path), digest(path))


def test_bad_files_are_refused(recipe, tmp_path):
    with pytest.raises(UserError, match="no such file"):
        weights.backbone(recipe, SHAPE, str(tmp_path / "none.h5"), "0" * 64)
    path = tmp_path / "x.h5"
    path.write_bytes(b"cos\nsystem\n(S'echo'\ntR.")  # a pickle
    with pytest.raises(UserError, match="sha256 is"):
        weights.backbone(recipe, SHAPE, str(path), "0" * 64)
    with pytest.raises(UserError, match="not a Keras weights file"):
        weights.backbone(recipe, SHAPE, str(path), digest(path))
    with zipfile.ZipFile(tmp_path / "x.keras", "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(UserError, match="not a Keras weights file"):
        weights.read(tmp_path / "x.keras")


@pytest.mark.parametrize("source", ["imagenet", "https://example.invalid/x.weights.h5"])
def test_without_a_network_it_is_said_what_to_do(recipe, monkeypatch, source):
    def away(*arguments, **options):
        raise Exception("URL fetch failure: no network")

    monkeypatch.setattr(keras.utils, "get_file", away)
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", away)
    monkeypatch.setattr("keras.src.applications.mobilenet.file_utils.get_file", away)
    with pytest.raises(UserError, match=r"no network.*backbone.weights and its digest"):
        weights.backbone(recipe, SHAPE, source, None if source == "imagenet" else "0" * 64)


MODES = {"MobileNet": "tf", "DenseNet121": "torch", "ResNet50": "caffe"}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("preprocessing", ["own", "tf", "torch", "caffe", "none"])
def test_preprocessing_is_the_nets_own_or_the_one_asked_for(name, preprocessing):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 4, 3)).astype(np.float32)
    images = keras.Input((4, 4, 3))
    make = getattr(keras.applications, name)
    x = application._preprocessed(images, make, preprocessing)
    ours = pixels if preprocessing == "none" else keras.Model(images, x)(pixels)
    mode = MODES[name] if preprocessing == "own" else preprocessing
    preprocess = keras.applications.imagenet_utils.preprocess_input
    theirs = pixels if mode == "none" else preprocess(pixels.copy(), mode=mode)
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_an_unknown_cut_and_images_too_small_are_refused(recipe):
    with pytest.raises(UserError, match=r"'conv_pw_99'.*among them: conv_pw_9"):
        bad = replace(recipe, net_options={**OPTIONS, "cut": "conv_pw_99"})
        weights.backbone(bad, SHAPE, "x", "0" * 64)
    with pytest.raises(UserError, match="at least 32 pixels, these have 16x16"):
        bad = replace(recipe, net_options={**OPTIONS, "size": None})
        weights.backbone(bad, SHAPE, "x", "0" * 64)


def test_the_names_are_those_of_keras():
    there = {n for n in dir(keras.applications) if n[0].isupper()}
    assert set(application.names()) == there
