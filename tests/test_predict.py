"""A network that was taken home: how it is fed, and what it says of image files."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cnnlab import export, predict, records, usage
from cnnlab.data.images import BadImage, Settings, decode
from cnnlab.errors import UserError
from cnnlab.recipe.network import initial
from cnnlab.train import unlike
from cnnlab.usage import Usage

CLASSES = ["cat", "dog [big]", "eel"]
ABOUT = Usage("dropout", CLASSES, [8, 8, 3], "squash", 1.0)
TABLE = {predict.TABLE, predict.SHEET}


def encoded(size=(8, 8), kind="PNG", mode="RGB", seed=0):
    width, height = size
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind)
    return content.getvalue(), pixels


@pytest.fixture(scope="module")
def models(tmp_path_factory, base):
    """A folder with a network, as the stage `final` leaves it."""
    folder = tmp_path_factory.mktemp("study") / "models"
    folder.mkdir()
    small = replace(base, net_options={"filters": [4], "convs": 1, "kernel": 3, "dense": []})
    records.save_model(initial(small, 1, (8, 8, 3), 3).model, folder / records.MODEL)
    ABOUT.write(folder)
    return folder


def test_usage_is_read_as_it_was_written(models):
    assert usage.read(models) == ABOUT


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"recipe": 1}'])
def test_a_damaged_usage_is_refused(tmp_path, text):
    (tmp_path / usage.FILE).write_text(text)
    with pytest.raises(UserError, match=r"usage.json: does not say"):
        usage.read(tmp_path)


def test_a_study_without_a_final_network_says_what_to_run(tmp_path):
    with pytest.raises(UserError, match="run `dvc repro final` first"):
        usage.read(tmp_path)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [(8, 8), (40, 24)])
@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
def test_images_are_decoded_as_prepare_does(kind, size, resize):
    content, _ = encoded(size, kind)
    ours = replace(ABOUT, resize=resize).pixels(content)
    theirs = decode(content, Settings(8, resize, None, 100)).pixels
    np.testing.assert_array_equal(ours, theirs)


def test_grey_and_colour_become_what_the_network_takes():
    grey, pixels = encoded(mode="L")
    np.testing.assert_array_equal(ABOUT.pixels(grey), np.repeat(pixels[..., None], 3, axis=2))
    colour, _ = encoded()
    assert replace(ABOUT, shape=[8, 8, 1]).pixels(colour).shape == (8, 8, 1)


def test_what_is_not_square_must_have_the_shape():
    tall = replace(ABOUT, shape=[12, 8, 3])
    content, pixels = encoded((8, 12))
    np.testing.assert_array_equal(tall.pixels(content), pixels)
    with pytest.raises(BadImage, match="8x8 pixels; allowed: 8x12"):
        tall.pixels(encoded()[0])
    with pytest.raises(BadImage, match="million"):
        ABOUT.pixels(encoded((2000, 1000), "JPEG")[0])


def ask(models, folder, *arguments):
    out = folder / "pictures"
    predict.main([*map(str, arguments), "--model", str(models), "--out", str(out)])
    return out


def test_it_prints_classes_and_draws_where_the_network_looks(models, tmp_path, capsys):
    from cnnlab.report import alt

    files = []
    for i, folder in enumerate(("a", "b")):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "my photo.jpg")
        files[-1].write_bytes(encoded((40, 30), seed=i)[0])
    out = ask(models, tmp_path, *files)
    said = capsys.readouterr().out
    shares = [float(w.rstrip("%")) for w in said.split() if w.endswith("%")]
    assert len(shares) == 6 and sum(shares[:3]) == pytest.approx(100, abs=0.2)
    assert shares[:3] == sorted(shares[:3], reverse=True)
    assert all(said.count(name) == 2 for name in CLASSES)
    assert {p.name for p in out.iterdir()} - TABLE == {"my photo.png", "my photo_1.png"}
    assert "my photo.jpg" in alt(out / "my photo.png")


def test_what_it_says_is_what_the_network_says(models, tmp_path, capsys):
    file = tmp_path / "x.png"
    content, pixels = encoded()
    file.write_bytes(content)
    out = ask(models, tmp_path, file, "--top", "1")
    said = capsys.readouterr().out
    logits = np.asarray(records.load_model(models / records.MODEL)(pixels[None].astype("float32")))
    shares = np.exp(logits[0]) / np.exp(logits[0]).sum()
    assert f"{shares.max():.1%}" in said and CLASSES[shares.argmax()] in said
    assert said.count("%") == 1 and (out / "x.png").exists()


@pytest.mark.parametrize("below", ["", "folder"])
def test_where_nothing_can_be_written_it_is_said_first(models, tmp_path, below):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / below
    for command in (predict, export):
        asked = ["--model", str(models), "--out", str(place)]
        with pytest.raises(UserError, match=f"--out {place}: {tmp_path}/file is no folder"):
            command.main([*asked, *(["x.png"] if command is predict else [])])


def test_all_bad_images_are_named_and_nothing_is_drawn(models, tmp_path):
    bad, good = tmp_path / "bad.jpg", tmp_path / "good.png"
    bad.write_bytes(b"no image")
    good.write_bytes(encoded()[0])
    with pytest.raises(UserError) as error:
        ask(models, tmp_path, good, bad, tmp_path / "gone.png")
    text = str(error.value).splitlines()
    assert [line.rsplit(": ", 1)[0] for line in text] == list(
        map(str, (bad, tmp_path / "gone.png"))
    )
    assert "No such file" in text[1] and "good" not in str(error.value)
    assert not (tmp_path / "pictures").exists()
    with pytest.raises(UserError, match="at least 1"):
        ask(models, tmp_path, good, "--top", "0")


NAMES = [b"a" * 253 + b".x", b"a" * 255, "漢".encode() * 84 + b".gd", b"caf\xe9.png", b"a\nb.png"]


@pytest.mark.parametrize("name", [*NAMES, rb"it's $\frac$.png"])
def test_an_image_may_have_any_name(models, tmp_path, capsys, name):
    file = tmp_path / os.fsdecode(name)
    file.write_bytes(encoded()[0])
    out = ask(models, tmp_path, file, file)
    pictures = {p.name for p in out.iterdir()} - TABLE
    assert capsys.readouterr().out.count("where it looks") == len(pictures) == 2


def test_each_image_has_a_picture_of_its_own(models, tmp_path):
    names = ["x_2.png", "x.a", "x.b", "x.c"]
    for name in names:
        (tmp_path / name).write_bytes(encoded()[0])
    out = ask(models, tmp_path, *(tmp_path / name for name in names))
    pictures = {p.name for p in out.iterdir()} - TABLE
    assert pictures == {"x.png", "x_1.png", "x_2.png", "x_3.png"}


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_image_is_replaced(models, tmp_path, monkeypatch, capsys):
    photos = tmp_path / "photos"
    (photos / "below").mkdir(parents=True)
    for i, name in enumerate(["a.png", "b.jpg", "below/b.png", "c.png"]):
        (photos / name).write_bytes(encoded(seed=i)[0])
    (photos / "b.png").symlink_to("c.png")
    before = contents(photos)
    monkeypatch.chdir(photos)
    ask = ["--model", str(models), "--out", "."]
    predict.main([*ask, "."])
    drawn = contents(photos).keys() - before.keys()
    assert before.items() <= contents(photos).items() and len(drawn) == 5 + len(TABLE)
    assert photos / "a_1.png" in drawn
    now = contents(photos)
    with pytest.raises(UserError, match=rf"--out \.: {predict.SHEET} in it is one of the images"):
        predict.main([*ask, "."])
    assert contents(photos) == now
    with pytest.raises(SystemExit):
        predict.main(["--model", str(models), "--out", "", "a.png"])
    assert "argument --out: an empty path" in capsys.readouterr().err


def test_pictures_of_an_earlier_call_are_no_images(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("x.png").write_bytes(encoded()[0])
    for left in (False, True):
        predict.main(["--model", str(models), "."])
        assert len(rows(Path("predictions"))) == 1
        said = capsys.readouterr().err
        assert ("note: 2 images below --out predictions are left out" in said) == left
    predict.main(["--model", str(models), "--json", "."])
    assert len(json.loads(capsys.readouterr().out)) == 1


def test_home_is_known(models, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "x.png").write_bytes(encoded()[0])
    ask(models, tmp_path, "~/x.png")
    assert str(tmp_path / "x.png") in capsys.readouterr().out
    with pytest.raises(UserError, match=f"{tmp_path}/gone.png: No such file"):
        ask(models, tmp_path, "~/gone.png")


@pytest.fixture
def photos(tmp_path):
    """A folder of 22 images, two of them in a folder of their own, and what is none."""
    folder = tmp_path / "photos"
    (folder / "below").mkdir(parents=True)
    for i in range(22):
        (folder / ("below" if i > 19 else "") / f"{i}.png").write_bytes(encoded(seed=i)[0])
    (folder / "notes.txt").write_text("no image")
    return folder


def rows(out):
    with (out / predict.TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_folder_becomes_a_table_and_a_sheet(models, tmp_path, photos, capsys):
    from cnnlab.report import alt

    (photos / "bad.jpg").write_bytes(b"no image")
    out = tmp_path / "out"
    arguments = [str(photos), "--model", str(models), "--out", str(out)]
    assert predict.main(arguments) == predict.SOME_BAD
    said = capsys.readouterr()
    assert f"not read: {photos}/bad.jpg" in said.err and "notes.txt" not in said.err
    assert {p.name for p in out.iterdir()} == TABLE  # of so many no picture each
    table = rows(out)
    assert len(table) == 22 and {row["file"] for row in table} >= {f"{photos}/below/21.png"}
    names = [f"probability of {name}" for name in CLASSES]
    for row in table:
        shares = [float(row[name]) for name in names]
        assert sum(shares) == pytest.approx(1, abs=1e-4)
        assert row["predicted"] == CLASSES[int(np.argmax(shares))]
        assert float(row["probability"]) == max(shares)
        assert row["set"] == row["unlike"] == ""  # of an older study
    assert "22 images" in alt(out / predict.SHEET)
    (photos / "bad.jpg").unlink()
    assert predict.main(arguments) == 0


def test_a_folder_without_images_is_refused(models, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty: no images found"):
        ask(models, tmp_path, tmp_path / "empty")


def test_sets_temperature_and_warnings_of_a_calibrated_network(models, tmp_path, photos, capsys):
    home = tmp_path / "models"
    shutil.copytree(models, home)
    network = records.load_model(home / records.MODEL)
    like = np.stack([encoded(seed=i)[1] for i in range(40)])
    made = unlike.Unlike.of(unlike.features(network)(like))
    replace(made, limit=2 * float(made.within().max())).write(home)
    replace(ABOUT, temperature=4.0, coverage=0.9, least=0.01, false_alarms=0.05).write(home)
    white = tmp_path / "white.png"
    Image.new("RGB", (8, 8), "white").save(white)
    out = ask(home, tmp_path, photos / "1.png", white)
    said = capsys.readouterr().out
    assert "may be " in said and "unlike the training images" in said
    first, second = rows(out)
    assert set(first["set"].split("; ")) == set(CLASSES)
    assert float(first["unlike"]) < 1 < float(second["unlike"])
    plain = ask(models, tmp_path / "plain", photos / "1.png", white)
    shares, soft = (
        np.array([float(row[f"probability of {name}"]) for name in CLASSES])
        for row in (rows(plain)[0], first)
    )
    np.testing.assert_allclose(soft, shares**0.25 / (shares**0.25).sum(), rtol=1e-3)


@pytest.mark.parametrize(
    "field", [{"temperature": 0}, {"temperature": -1}, {"temperature": 10**400}, {"least": 2}]
)
def test_a_calibration_that_cannot_be_is_refused(tmp_path, field):
    replace(ABOUT, **field).write(tmp_path)
    with pytest.raises(UserError, match=r"usage.json: does not say"):
        usage.read(tmp_path)


def test_what_another_network_learnt_from_is_refused(models, tmp_path):
    home = tmp_path / "models"
    shutil.copytree(models, home)
    like = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32)
    replace(unlike.Unlike.of(like), limit=1.0).write(home)
    (tmp_path / "x.png").write_bytes(encoded()[0])
    with pytest.raises(UserError, match=r"unlike\.npz: features of shape \(5,\), but the network"):
        ask(home, tmp_path, tmp_path / "x.png")


WRONG = [
    {"classes": "abc"},
    {"classes": [1, 2, 3]},
    {"classes": ["a", "a", "b"]},
    {"classes": []},
    {"shape": ["8", 8, 3]},
    {"shape": [-8, -8, 3]},
    {"shape": [8, 8, 2]},
    {"megapixels": "x"},
    {"megapixels": None},
    {"temperature": "1"},
    {"coverage": "x"},
    {"scale": [0]},
    {"recipe": None},
]


@pytest.mark.parametrize("field", WRONG)
def test_values_that_are_not_of_their_kind_are_refused_by_name(tmp_path, field):
    replace(ABOUT, **field).write(tmp_path)
    with pytest.raises(UserError, match=rf"usage.json: does not say.*\({next(iter(field))}"):
        usage.read(tmp_path)


@pytest.mark.parametrize(
    ("field", "said"),
    [
        ({"classes": ["a", "b"]}, r"task classification with 2 classes, but .* of shape \[3\]"),
        ({"shape": [8, 8, 1]}, r"shape \[8, 8, 1\], but .* takes \[8, 8, 3\]"),
        ({"shape": [9, 9, 3]}, r"shape \[9, 9, 3\], but .* takes \[8, 8, 3\]"),
        ({"task": "segmentation"}, r"task segmentation with 3 classes, but .* of shape \[3\]"),
        ({"task": "detection"}, r"task detection with 3 classes, but .* of shape \[3\]"),
    ],
)
def test_a_network_of_another_study_is_refused_in_one_line(models, tmp_path, field, said):
    home = tmp_path / "models"
    shutil.copytree(models, home)
    replace(ABOUT, **field).write(home)
    (tmp_path / "x.png").write_bytes(encoded()[0])
    with pytest.raises(UserError, match=rf"^{home}/usage.json: {said}$"):
        ask(home, tmp_path, tmp_path / "x.png")


def test_files_of_older_studies_are_read(tmp_path):
    old = {k: getattr(ABOUT, k) for k in ("recipe", "classes", "shape", "resize", "megapixels")}
    (tmp_path / usage.FILE).write_text(json.dumps(old))
    assert usage.read(tmp_path) == ABOUT and ABOUT.sets(np.eye(3)) is None


def test_json_is_all_that_is_printed(models, tmp_path):
    """And TensorFlow says nothing anywhere, as whoever reads the output is a program."""
    home, photos = tmp_path / "models", tmp_path / "photos"
    shutil.copytree(models, home)
    photos.mkdir()
    for i in range(21):  # more than are shown one by one
        (photos / f"{i:02}.png").write_bytes(encoded(seed=i)[0])
    (photos / "bad.png").write_bytes(b"no image")
    calibrated = replace(ABOUT, temperature=4.0, coverage=0.9, least=0.01)
    calibrated.write(home)
    command = [sys.executable, "-m", "cnnlab.predict", "--json", "--model", str(home), str(photos)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("TF_")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[1])
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False
    )
    assert done.returncode == predict.SOME_BAD
    said = [line for line in done.stderr.splitlines() if not line.startswith("images")]
    assert said == [f"not read: {photos}/bad.png: {said[0].rsplit(': ', 1)[-1]}"]
    answers = json.loads(done.stdout)
    assert [answer["file"] for answer in answers] == [f"{photos}/{i:02}.png" for i in range(21)]
    for answer in answers:
        shares = answer["probabilities"]
        assert list(shares) == CLASSES and sum(shares.values()) == pytest.approx(1, abs=1e-5)
        assert answer["predicted"] == max(shares, key=shares.get)
        assert answer["probability"] == max(shares.values())
        assert set(answer["set"]) == set(CLASSES)
        assert answer["unlike"] is answer["warning"] is None  # not measured in this study
    assert {path.name for path in tmp_path.iterdir()} == {"models", "photos"}


def black_on_white(ink, paper):
    """A thick 1 of 200x200 pixels, a file's content."""
    picture = Image.new("L", (200, 200), paper)
    ImageDraw.Draw(picture).line([(100, 24), (100, 176)], fill=ink, width=40)
    content = io.BytesIO()
    picture.save(content, "PNG")
    return content.getvalue()


@pytest.fixture(scope="module")
def digits(tmp_path_factory, root):
    """The folder of a network that has learnt scikit-learn's digits, light on dark, with what it
    takes to say what is unlike them, and its test images: as the root study has it."""
    import keras
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits") / "models"
    folder.mkdir()
    data = load_digits()
    images = np.round(data.images[..., None] * 255 / 16).astype(np.uint8)
    keras.utils.set_random_seed(0)
    half, dev = np.arange(400) % 2 == 0, images[:400]

    def trained(rows):
        convs = [keras.layers.Conv2D(n, 3, padding="same", activation="relu") for n in (16, 16)]
        net = keras.Sequential(
            [
                keras.layers.Input((8, 8, 1)),
                keras.layers.Rescaling(1 / 255),
                convs[0],
                keras.layers.MaxPooling2D(),
                convs[1],
                keras.layers.Flatten(),
                keras.layers.Dense(10),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.Adam(0.003), loss)
        net.fit(dev[rows].astype("float32"), data.target[:400][rows], epochs=40, verbose=0)
        return keras.Model(net.inputs, net.outputs)

    net, other = trained(np.ones(400, bool)), trained(half)
    made = unlike.learn(net, dev, unlike.HeldOut(other, ~half), 0.05, 1)
    made.write(folder)
    records.save_model(net, folder / records.MODEL)
    Usage("dropout", list("0123456789"), [8, 8, 1], "squash", 1.0, false_alarms=0.05).write(folder)
    return folder, images[400:], made.scores(unlike.features(net)(images[400:]))


ODD = {
    "thick black 1 on white": lambda: black_on_white(0, 255),
    "white": lambda: black_on_white(255, 255),
    "grey": lambda: black_on_white(128, 128),
    "black": lambda: black_on_white(0, 0),
    "noise": lambda: encoded((90, 90), mode="L")[0],
}


def test_few_held_out_images_are_warned_of(digits):
    *_, scores = digits
    assert 0.0 < np.mean(scores > 1) < 0.12  # 0.05 is declared


@pytest.mark.parametrize("what", ODD)
def test_what_is_unlike_is_clearly_warned_of(digits, tmp_path, capsys, what):
    (tmp_path / "odd.png").write_bytes(ODD[what]())
    predict.main(["--json", "--model", str(digits[0]), str(tmp_path / "odd.png")])
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["unlike"] > 1.1 and answer["warning"].startswith("unlike the training images")
    reversed_ = "are light and dark reversed?" in answer["warning"]
    assert reversed_ == (what == "thick black 1 on white")


def test_photographs_are_warned_of(digits, tmp_path, capsys):
    from sklearn.datasets import load_sample_images

    for i, photo in enumerate(load_sample_images().images):
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
    predict.main(["--json", "--model", str(digits[0]), str(tmp_path)])
    answers = json.loads(capsys.readouterr().out)
    assert len(answers) == 2 and all(answer["warning"] for answer in answers)


def test_a_warning_is_printed_and_in_the_table(digits, tmp_path, capsys):
    odd, usual = tmp_path / "odd.png", tmp_path / "usual.png"
    odd.write_bytes(black_on_white(0, 255))
    _, images, scores = digits
    Image.fromarray(images[scores.argmin(), ..., 0]).save(usual)
    out = ask(digits[0], tmp_path, odd, usual)
    assert capsys.readouterr().out.count("warning: unlike the training images") == 1
    first, second = rows(out)
    assert first["warning"].startswith("unlike the training images") and second["warning"] == ""


def test_without_an_image_the_study_s_samples_are_asked_about(models, root, tmp_path, capsys):
    home = tmp_path / "study/models"
    with pytest.raises(UserError, match="run `dvc repro final` first"):
        predict.main(["--model", str(home)])
    shutil.copytree(models, home)
    with pytest.raises(UserError, match="no image is named: make predict IMAGE=PATH"):
        predict.main(["--model", str(home), "--json"])
    shutil.copytree(root / "data/sample", tmp_path / "study/data/sample")
    predict.main(["--model", str(home), "--json"])
    names = [Path(answer["file"]).name for answer in json.loads(capsys.readouterr().out)]
    assert names == ["black_1.png", "digit.png"]


def test_the_sample_of_the_digits_is_one_of_them(root):
    from sklearn.datasets import load_digits

    digits = np.round(load_digits().images * 255 / 16).astype(np.uint8)
    sample = np.asarray(Image.open(root / "data/sample/digit.png"))
    assert (np.abs(digits.astype(int) - sample).max(axis=(1, 2)) <= 1).any()
