"""A network of masks that was taken home: what it says of image files, served and exported too."""

import csv
import io
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from cnnlab import asked, export, logged, predict, records, usage
from cnnlab.errors import UserError
from cnnlab.overlap import VOID
from cnnlab.recipe.decoder import network
from cnnlab.recipe.network import set_random
from cnnlab.train.answer import masks
from cnnlab.train.answer import outputs as measured
from cnnlab.train.tasks import segmentation
from cnnlab.train.tasks.segmentation import outputs
from cnnlab.usage import Usage

CLASSES = ["background", "cat", "dog [big]"]
SHAPE = (16, 16, 3)
ABOUT = Usage("augment", CLASSES, list(SHAPE), "squash", 1.0, task="segmentation")
TABLE = {asked.TABLE, asked.SHEET}


def made(base, shape):
    small = replace(base, net_options={"filters": [4, 4, 4], "convs": 1, "kernel": 3, "dense": []})
    net = network(small, shape, 3).model
    set_random(net, 1)
    return net


@pytest.fixture(scope="module")
def models(tmp_path_factory, base):
    """A folder with a network, as the stage `final` leaves it."""
    folder = tmp_path_factory.mktemp("study") / "models"
    folder.mkdir()
    records.save_model(made(base, SHAPE), folder / records.MODEL)
    ABOUT.write(folder)
    return folder


def pixels(size=(16, 16), seed=0):
    """Coarse noise, uint8 (height, width, 3)."""
    noise = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize(size[::-1], Image.Resampling.NEAREST))


def photo(path, size=(16, 16), seed=0):
    Image.fromarray(pixels(size, seed)).save(path)
    return path


def ask(models, folder, *arguments):
    out = folder / "out"
    predict.main([*map(str, arguments), "--model", str(models), "--out", str(out)])
    return out


def test_usage_names_the_task_and_older_files_classify(models, tmp_path):
    assert usage.read(models) == ABOUT
    plain = replace(ABOUT, task="classification")
    plain.write(tmp_path)
    assert "task" not in json.loads((tmp_path / usage.FILE).read_text())
    assert usage.read(tmp_path) == plain
    for wrong in ({"task": "guessing"}, {"flips": True}):
        replace(ABOUT, **wrong).write(tmp_path)
        with pytest.raises(UserError, match=r"usage.json: does not say"):
            usage.read(tmp_path)


def test_masks_are_the_likeliest_classes_and_counts_are_of_them(models):
    net = records.load_model(models / records.MODEL)
    images = np.stack([pixels(seed=i) for i in range(5)])
    truth = np.random.default_rng(0).integers(0, 3, (5, 16, 16), np.uint8)
    truth[0, :4] = VOID
    said, logits = masks(net, images), np.asarray(net(images.astype(np.float32)))
    np.testing.assert_array_equal(said, logits.argmax(-1))
    assert said.dtype == np.uint8 and len(np.unique(said)) > 1
    of_class = measured(segmentation, net, images, truth)
    assert of_class[0, 0] == np.sum((said[0] == 0) & (truth[0] == 0))
    np.testing.assert_allclose(of_class, outputs(logits, truth), rtol=1e-5, atol=1e-6)


def test_an_image_has_its_mask_at_its_own_size_and_an_overlay(models, tmp_path, capsys):
    file = photo(tmp_path / "my photo.png", (60, 40))
    out = ask(models, tmp_path, file)
    said = capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {"my photo_mask.png", "my photo_overlay.png"}
    with Image.open(out / "my photo_mask.png") as image:
        assert image.mode == "P" and image.size == (40, 60)
        mask = np.asarray(image)
    net = records.load_model(models / records.MODEL)
    (small,) = masks(net, ABOUT.pixels(file.read_bytes())[None])
    nearest = Image.fromarray(small).resize((40, 60), Image.Resampling.NEAREST)
    assert np.mean(np.asarray(nearest) != mask) < 0.05  # but for ties
    for number, name in enumerate(CLASSES):
        share = np.mean(mask == number)
        assert (f"{share:.1%}" in said and name in said) or not share
    with Image.open(out / "my photo_overlay.png") as image:
        assert image.mode == "RGB" and image.size == (280, 420)  # 7 times as large


def test_no_image_is_replaced(models, tmp_path):
    kept = [photo(tmp_path / name) for name in ("a.png", "a_mask.png", "a_overlay.png")]
    before = [file.read_bytes() for file in kept]
    predict.main(["--model", str(models), "--out", str(tmp_path), str(tmp_path)])
    assert [file.read_bytes() for file in kept] == before
    assert (tmp_path / "a_1_mask.png").exists() and (tmp_path / "a_1_overlay.png").exists()


def test_a_folder_becomes_masks_a_table_and_a_sheet(models, tmp_path, capsys):
    from cnnlab.report import alt

    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for i in range(22):
        photo(folder / ("below" if i > 19 else "") / f"{i}.png", (16 + i, 20), i)
    photo(folder / "below/3.png")  # a name that is taken
    (folder / "bad.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = [str(folder), "--model", str(models), "--out", str(out)]
    assert predict.main(arguments) == predict.SOME_BAD
    said = capsys.readouterr()
    assert f"not read: {folder}/bad.jpg" in said.err and "images that show a class" in said.out
    files = {p.name for p in out.iterdir()}
    assert len(files) == 2 * 23 + 2 and files >= {*TABLE, "21_mask.png", "3_1_overlay.png"}
    with (out / asked.TABLE).open(newline="") as rows:
        table = list(csv.DictReader(rows))
    assert len(table) == 23
    for row in table:
        assert sum(float(row[f"share of {name}"]) for name in CLASSES) == pytest.approx(1, abs=1e-4)
    assert "23 images" in alt(out / asked.SHEET)


def test_json_is_all_that_is_printed_and_no_file_is_written(models, tmp_path, capsys):
    files = [photo(tmp_path / f"{i}.png", (30, 24), i) for i in range(2)]
    ask(models, tmp_path, *files, "--json")
    answers = json.loads(capsys.readouterr().out)
    assert [answer["file"] for answer in answers] == list(map(str, files))
    for answer in answers:
        assert (answer["height"], answer["width"]) == (30, 24)
        assert list(answer["shares"]) == CLASSES
        assert sum(answer["shares"].values()) == pytest.approx(1, abs=1e-5)
    assert not (tmp_path / "out").exists()


def test_what_was_cropped_away_is_void_and_has_no_share(models, tmp_path, capsys):
    home = tmp_path / "models"
    shutil.copytree(models, home)
    replace(ABOUT, resize="crop").write(home)
    out = ask(home, tmp_path, photo(tmp_path / "wide.png", (20, 50)))
    mask = np.asarray(Image.open(out / "wide_mask.png"))
    assert (mask[:, :14] == VOID).all() and (mask[:, 36:] == VOID).all()
    assert not (mask[:, 16:34] == VOID).any()
    shares = [float(word.rstrip("%")) for word in capsys.readouterr().out.split() if "%" in word]
    assert sum(shares) == pytest.approx(100, abs=0.2)


def test_all_bad_images_are_named(models, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"bad.png: not an image of a known format\n.*gone.png: No"):
        ask(models, tmp_path, tmp_path / "bad.png", tmp_path / "gone.png")
    with pytest.raises(UserError, match="million"):
        ask(models, tmp_path, photo(tmp_path / "large.png", (1001, 1000)))
    assert not (tmp_path / "out").exists()


@pytest.mark.filterwarnings("ignore:The structure of")  # MLflow hands Keras a list
def test_it_is_served_by_the_names_of_classes(models, tmp_path):
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model
    from mlflow.pyfunc.scoring_server import predictions_to_json

    images = np.stack([pixels(seed=i) for i in range(3)]).astype(np.float32)
    network = models / records.MODEL
    logged.write_folder(
        tmp_path / "m", Model(), network, images[:1], CLASSES, records.AS_TRAINED, maps=True
    )
    served = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    signature = served.metadata.signature.outputs
    assert signature.input_names() == CLASSES
    assert all(spec.shape == (-1, 16, 16) for spec in signature.inputs)
    shares = served.predict(images)
    logits = np.asarray(records.load_model(network)(images, training=False))
    own = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    assert list(shares) == CLASSES
    np.testing.assert_allclose(np.stack([*shares.values()], axis=-1), own, rtol=1e-4, atol=1e-6)
    text = io.StringIO()
    predictions_to_json(shares, text)  # as a server does
    np.testing.assert_allclose(json.loads(text.getvalue())["predictions"]["cat"], own[..., 1], 1e-3)
    assert served.predict(images[:0])["cat"].shape == (0, 16, 16)
    with pytest.raises(MlflowException) as error:
        served.predict(images[:, :9])
    assert str(error.value) == (
        "images of shape (3, 9, 16, 3); allowed: (n, 16, 16, 3), numbers from 0 to 255"
    )
    for odd, told in (
        (np.nan, "nan to nan"),
        (np.inf, "0 to inf"),
        (-1, "-1 to "),
        (256, "to 256"),
    ):
        wrong = images.copy()
        wrong.flat[0], wrong.flat[1] = odd, 0
        with pytest.raises(MlflowException, match=f"of numbers from .*{told}.*; allowed:"):
            served.predict(wrong)


@pytest.mark.parametrize("kind", export.FORMATS)
@pytest.mark.parametrize("shape", [SHAPE, (15, 22, 3), (28, 28, 1)])
def test_exported_files_say_what_keras_says(base, tmp_path, kind, shape, capsys):
    """Where the maps have to be enlarged by no whole factor, too."""
    if kind == "onnx":
        for package in export.ONNX:
            pytest.importorskip(package, reason="needs requirements-export.txt")
    net = made(base, shape)
    records.save_model(net, tmp_path / records.MODEL)
    replace(ABOUT, shape=list(shape)).write(tmp_path)
    out = tmp_path / "out"
    export.main(["--model", str(tmp_path), "--out", str(out), "--format", kind])
    assert "differ from Keras by" in capsys.readouterr().out
    images = np.stack([pixels(shape[:2], i)[..., : shape[2]] for i in range(3)])
    images = images.astype(np.float32)
    logits = np.asarray(net(images))
    own = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    said = export.FORMATS[kind][1](out / f"augment.{kind}", images)
    np.testing.assert_allclose(said, own, atol=1e-4)
