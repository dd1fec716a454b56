"""What `python -m cnnlab.predict` says with a network that finds objects."""

import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnlab import predict, predict_boxes, records
from cnnlab.data.truths.detection import fitted, returned
from cnnlab.recipe.detector import network
from cnnlab.recipe.network import set_random
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
