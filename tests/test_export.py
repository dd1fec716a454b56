"""The network for other programs says what Keras says, or there is no file."""

import json
from dataclasses import replace

import numpy as np
import pytest

from cnnlab import export, records, usage
from cnnlab.errors import UserError
from cnnlab.recipe.network import initial
from cnnlab.usage import Usage

ABOUT = Usage("dropout", ["cat", "dog", "eel"], [8, 8, 3], "squash", 1.0, temperature=2.0)


@pytest.fixture(scope="module")
def models(tmp_path_factory, base):
    folder = tmp_path_factory.mktemp("study") / "models"
    folder.mkdir()
    small = replace(base, net_options={"filters": [4], "convs": 1, "kernel": 3, "dense": []})
    records.save_model(initial(small, 1, (8, 8, 3), 3).model, folder / records.MODEL)
    ABOUT.write(folder)
    return folder


def run(models, out, *arguments):
    export.main(["--model", str(models), "--out", str(out), *arguments])


@pytest.mark.parametrize("flips", [False, True])
def test_tflite_says_what_keras_says_with_the_temperature_in_it(models, tmp_path, capsys, flips):
    replace(ABOUT, flips=flips).write(models)
    run(models, tmp_path, "--format", "tflite")
    file = tmp_path / "dropout.tflite"
    assert f"{file}: {file.stat().st_size:,} bytes" in capsys.readouterr().out
    images = np.random.default_rng(1).integers(0, 256, (3, 8, 8, 3)).astype(np.float32)
    network = records.load_model(models / records.MODEL)
    asked = [images, images[:, :, ::-1]] if flips else [images]
    logits = np.mean([network([each], training=False) for each in asked], axis=0) / 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(export.FORMATS["tflite"][1](file, images), shares, atol=1e-5)
    about = json.loads((tmp_path / usage.FILE).read_text())
    assert about["temperature"] == 1.0 and about["flips"] is False  # as the network does that
    assert about["classes"] == ABOUT.classes


def test_the_network_s_own_folder_is_refused(models, tmp_path):
    before = {path: path.read_bytes() for path in models.iterdir()}
    (tmp_path / "link").symlink_to(models)
    for out in (models, tmp_path / "link"):
        with pytest.raises(UserError, match=f"--out {out}: is the network's own folder"):
            run(models, out, "--format", "tflite")
    assert {path: path.read_bytes() for path in models.iterdir()} == before


@pytest.mark.parametrize("wrong", [0.01, np.nan])
def test_a_file_that_says_something_else_is_removed(models, tmp_path, monkeypatch, wrong):
    write = lambda network, file: file.write_bytes(b"x")  # noqa: E731
    ask = lambda file, images: np.full((len(images), 3), 1 / 3) + wrong  # noqa: E731
    monkeypatch.setitem(export.FORMATS, "tflite", (write, ask))
    with pytest.raises(UserError, match=r"dropout.tflite: ValueError: its answers differ"):
        run(models, tmp_path, "--format", "tflite")
    assert not (tmp_path / "dropout.tflite").exists()


def test_onnx_without_its_packages_says_what_to_install(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(export, "ONNX", ("no_such_package",))
    with pytest.raises(UserError, match=r"pip install -r requirements-export\.txt"):
        run(models, tmp_path, "--format", "onnx")
    write = lambda network, file: file.write_bytes(b"x")  # noqa: E731
    ask = lambda file, images: np.full((len(images), 3), 2.0)  # noqa: E731
    monkeypatch.setitem(export.FORMATS, "tflite", (write, ask))
    with pytest.raises(UserError):
        run(models, tmp_path)
    assert "no ONNX file: no_such_package not installed" in capsys.readouterr().out


def test_onnx_says_what_keras_says(models, tmp_path):
    for package in export.ONNX:
        pytest.importorskip(package, reason="needs requirements-export.txt")
    run(models, tmp_path, "--format", "onnx")
    assert (tmp_path / "dropout.onnx").stat().st_size > 1000
