"""What `python -m cnnlab.predict` says with a network that finds objects."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnlab import export, logged, predict, predict_boxes, records, served, usage
from cnnlab.data.truths.detection import fitted, returned
from cnnlab.recipe.detector import network
from cnnlab.recipe.network import set_random
from cnnlab.train.answer import boxes
from cnnlab.train.tasks import _boxes
from cnnlab.usage import Usage
from tests import made_up

CLASSES = ["cat", "dog"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The folder of a network that sees a dog of 4x4 pixels wherever it is bright."""
    folder = tmp_path_factory.mktemp("models")
    sections = made_up.sections()
    net = network(sections.recipe([]), (16, 16, 1), 2).model
    set_random(net, 1)
    for layer in net.layers:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    kernel, bias = net.get_layer("logits").get_weights()
    bias[:] = [-9, 3, 4, 4, 0.5, 0.5]  # of every cell: no cat, a dog, its size and place
    net.get_layer("logits").set_weights([kernel, bias])
    records.save_model(net, folder / records.MODEL)
    Usage("plain", CLASSES, [16, 16, 1], "squash", 100, None, task="detection").write(folder)
    return folder


@pytest.fixture
def photos(tmp_path):
    files = [tmp_path / f"{name}.png" for name in ("a", "b")]
    for file in files:
        Image.fromarray(np.full((32, 48), 200, np.uint8)).save(file)
    return files


def test_boxes_are_printed_in_pixels_of_the_image(model, photos, capsys):
    assert predict.main(["--model", str(model), "--json", *map(str, photos)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["file"] for one in said] == list(map(str, photos))
    for one in said:
        assert (one["height"], one["width"]) == (32, 48)
        assert one["objects"] and {found["class"] for found in one["objects"]} == {"dog"}
        for found in one["objects"]:
            assert list(found) == predict_boxes.COLUMNS
            assert predict_boxes.LEAST <= found["score"] <= 1
            assert 0 <= found["top"] < found["bottom"] <= 32
            assert 0 <= found["left"] < found["right"] <= 48
        whole = [f for f in one["objects"] if f["top"] > 2 and f["bottom"] < 30]
        whole = [f for f in whole if f["left"] > 3 and f["right"] < 45]
        for found in whole:  # 4x4 of the network's pixels, which are 2 high and 3 wide
            assert found["bottom"] - found["top"] == pytest.approx(8, abs=0.2)
            assert found["right"] - found["left"] == pytest.approx(12, abs=0.2)


def test_pictures_and_a_table_are_written(model, photos, tmp_path, capsys):
    out = tmp_path / "out"
    assert predict.main(["--model", str(model), "--out", str(out), *map(str, photos)]) == 0
    text = capsys.readouterr().out
    assert "dog" in text and str(out / "predictions.csv") in text.replace("\n", "")
    table = pd.read_csv(out / "predictions.csv")
    assert list(table) == ["file", *predict_boxes.COLUMNS]
    assert set(table["file"]) == set(map(str, photos))
    for name in ("a_boxes.png", "b_boxes.png"):
        with Image.open(out / name) as picture:
            assert picture.size[0] > 100


def test_no_image_is_replaced(model, photos, tmp_path):
    there = photos[0].rename(tmp_path / "b_boxes.png")
    before = there.read_bytes()
    predict.main(["--model", str(model), "--out", str(tmp_path), str(there), str(photos[1])])
    assert there.read_bytes() == before and (tmp_path / "b_1_boxes.png").exists()


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_boxes_come_back_to_where_they_were(resize):
    old, shape = (30, 50), (24, 24, 1)
    boxes = np.array([[0, 10, 20, 20, 30], [1, 8, 16, 25, 33]], np.float32)
    there = fitted(boxes, old, shape, resize)
    np.testing.assert_allclose(returned(there[:, 1:], old, shape, resize), boxes[:, 1:], atol=0.6)


@pytest.fixture(scope="module")
def varied(tmp_path_factory):
    """The folder of a network that finds something else on each image of noise."""
    folder = tmp_path_factory.mktemp("models")
    net = network(made_up.sections().recipe([]), SHAPE, 2).model
    set_random(net, 1)
    kernel, _ = net.get_layer("logits").get_weights()
    net.get_layer("logits").set_weights([kernel, np.zeros(6)])
    said = net(noise()).numpy().reshape(-1, 6)
    factor = np.array([3, 3, 1, 1, 0.2, 0.2]) / said.std(axis=0)
    kernel, bias = kernel * factor, [-10, -10, 8, 7, 0.5, 0.5] - factor * said.mean(axis=0)
    net.get_layer("logits").set_weights([kernel, bias])
    records.save_model(net, folder / records.MODEL)
    Usage("plain", CLASSES, list(SHAPE), "squash", 100, None, task="detection").write(folder)
    return folder


SHAPE = (20, 28, 1)


def noise():
    return np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.float32)


def expected(folder):
    """What `predict` takes for the answer, an image after the other."""
    found = boxes(records.load_model(folder / records.MODEL), noise().astype(np.uint8))
    every = [rows[rows[:, 0] >= 0] for rows in found]
    assert len({len(rows) for rows in every}) > 1 and {*np.concatenate(every)[:, 0]} == {0, 1}
    assert any(((rows[:, 1] > predict_boxes.LEAST) & (rows[:, 1] < 0.9)).any() for rows in every)
    return every


@pytest.mark.parametrize("kind", export.FORMATS)
def test_an_exported_file_s_maps_become_the_same_boxes(varied, tmp_path, kind, capsys):
    if kind == "onnx":
        for package in export.ONNX:
            pytest.importorskip(package, reason="needs requirements-export.txt")
    export.main(["--model", str(varied), "--out", str(tmp_path), "--format", kind])
    assert "; maps of 32 images of noise differ from Keras by" in capsys.readouterr().out
    about = json.loads((tmp_path / usage.FILE).read_text())
    assert "no probabilities" in about["gives"] and about["classes"] == CLASSES
    maps = export.FORMATS[kind][1](tmp_path / f"plain.{kind}", noise())
    for ours, own in zip(served.detected(maps, SHAPE[:2]), expected(varied), strict=True):
        np.testing.assert_allclose(ours, own, atol=1e-3)


@pytest.mark.filterwarnings("ignore:The structure of")  # MLflow hands Keras a list
def test_it_is_served_as_objects_with_their_boxes(varied, tmp_path):
    import mlflow
    from mlflow.models import Model
    from mlflow.pyfunc.scoring_server import predictions_to_json

    folder, images, answering = tmp_path / "m", noise(), records.AS_TRAINED
    network = varied / records.MODEL
    logged.write_folder(folder, Model(), network, images[:1], CLASSES, answering, boxes=True)
    model = mlflow.pyfunc.load_model(str(folder))
    assert model.metadata.signature.outputs.input_names() == ["objects"]
    text = io.StringIO()
    predictions_to_json(model.predict(images), text)  # as a server does
    said = json.loads(text.getvalue())["predictions"]
    for one, own in zip(said, expected(varied), strict=True):
        assert [list(found) for found in one["objects"]] == [predict_boxes.COLUMNS] * len(own)
        assert [found["class"] for found in one["objects"]] == [CLASSES[int(k)] for k in own[:, 0]]
        values = [[found[key] for key in predict_boxes.COLUMNS[1:]] for found in one["objects"]]
        np.testing.assert_allclose(values, own[:, 1:], atol=1e-3)
    assert model.predict(images[:0])["objects"].tolist() == []


def test_what_imports_nothing_of_cnnlab_has_its_limits():
    same = ("CANDIDATES", "SAME", "SUREST", "DETECTIONS")
    assert {n: getattr(served, n) for n in same} == {n: getattr(_boxes, n) for n in same}


def test_maps_without_anything_are_no_boxes():
    quiet = np.full((2, 3, 3, 6), -1000, np.float32)
    assert [found.shape for found in served.detected(quiet, (9, 9))] == [(0, 6)] * 2
