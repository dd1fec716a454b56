"""check: all that is wrong with params at once, by the keys that the user wrote, within a second or
two, also what today would fail only in a later stage."""

import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from cnnlab import params, paths
from cnnlab.errors import UserError
from stages import check

ROOT = Path(__file__).parents[1]
LITE = {"efficientnet_lite0": {"size": None, "momentum": None, "dense": []}}
RESNET = {"resnet": {"filters": [8] * 5, "blocks": 1, "kernel": 3, "pool": True, "batchnorm": True}}
FREE = {"data.source": "image_folder", "data.classes": None}  # nothing of it is in the way


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Writes tests/params.yaml with changes; returns the lines that check says, without the file's
    name, which begins each."""
    monkeypatch.chdir(tmp_path)
    for folder in ("data/raw", "data/raw_pretrain"):
        Path(folder).mkdir(parents=True)

    def of(changes):
        content = YAML(typ="safe").load((ROOT / "tests/params.yaml").read_text())
        for key, value in changes.items():
            *groups, name = key.split(".")
            group = content
            for part in groups:
                group = group[part]
            group[name] = value
        with params.FILE.open("w") as file:
            YAML().dump(content, file)
        try:
            check.main()
        except UserError as error:
            lines = str(error).splitlines()
            assert all(line.startswith("params.yaml: ") for line in lines), lines
            return [line.removeprefix("params.yaml: ") for line in lines]
        return []

    return of


def test_what_is_valid_leaves_the_same_file_whatever_it_holds(said):
    kept = []
    for changes in ({}, {"train.epochs": 3}):
        assert said(changes) == []
        kept.append(paths.CHECKED.read_bytes())
    assert kept[0] == kept[1]


HOSTILE = {
    "unknown variant to draw": ({"visualize.variants": ["nope"]}, ["visualize.variants = 'nope'"]),
    "unknown variants to compare": (
        {"compare.pairs": [["nope", "baseline"], ["all", "nope"]]},
        ["compare.pairs = 'nope': allowed: variants: baseline"],
    ),
    "a pair twice": (
        {"compare.pairs": [["all", "baseline"], ["baseline", "all"]]},
        ["compare.pairs = ['baseline', 'all']: allowed: each two variants once"],
    ),
    "as many images as a fold has": (
        {"sizes.per_class": [10, 24]},
        ["sizes.per_class = 24: allowed: less than 24, which data.dev_per_class = 30 in folds.k"],
    ),
    "a size twice": ({"sizes.per_class": [10, 10]}, ["sizes.per_class = [10, 10]: allowed: each"]),
    "one image of a class, which early stopping holds back": (
        {
            "sizes.per_class": [1, 2],
            "sizes.variants": ["baseline", "stops"],
            "techniques.early_stopping": {"share": 0.2, "patience": 3},
            "variants.train.stops": ["early_stopping"],
        },
        ["sizes.per_class = 1: allowed: at least 2 with early_stopping (stops), which holds one"],
    ),
    "more folds than images": (
        {"data.dev_per_class": 4, "sizes.per_class": []},
        ["folds.k = 5: allowed: at most data.dev_per_class = 4"],
    ),
    "a design without its variants": (
        {"design.techniques": ["augment", "dropout"]},
        ["design.kind = 'star' needs variants with just augment, dropout; run `make design`"],
    ),
    "a design beyond all bounds": (
        {"design.kind": "factorial", "techniques.momentum": {"beta": 0.9}},
        ["techniques.momentum.beta: unknown key", "design.kind = 'factorial' needs variants"],
    ),
    "a class in two": (
        {"data.classes": {"a": ["1", "2"], "b": ["2"], "c": ["3"]}},
        ["data.classes.b = '2': allowed: each class once; it is in a already"],
    ),
    "one class": ({"data.classes": ["1"]}, ["data.classes = ['1']: allowed: null, or at least 2"]),
    "a class to learn from that is none": (
        {
            "data.classes": ["1", "2", "3"],
            "data.pretrain.task": "labels",
            "data.pretrain.classes": ["2", "7"],
        },
        ["data.pretrain.classes = '7': allowed: classes of data.classes: 1, 2, 3"],
    ),
    "no classes left": (
        {
            "data.classes": ["1", "2", "3"],
            "data.pretrain.task": "labels",
            "data.pretrain.classes": ["2", "3"],
        },
        ["data.pretrain.classes = ['2', '3']: allowed: what leaves at least 2 classes"],
    ),
    "too few images to learn from": (
        {"data.pretrain.per_class": 4},
        ["data.pretrain.per_class = 4: allowed: a fifth of the images is held out"],
    ),
    "a network too deep": (
        {"data.image_size": 4, "model.vgg.filters": [4, 4, 4]},
        ["model.vgg.filters = [4, 4, 4]: allowed: fewer: an image is halved 3 times, and data."],
    ),
    "a backbone too deep": (
        {"data.image_size": 16, "backbone.model": RESNET},
        ["backbone.model.resnet.filters = [8, 8, 8, 8, 8]: allowed: fewer: an image is halved 5"],
    ),
    "images too small for a backbone": (
        {
            "data.image_size": 16,
            "backbone.model": LITE,
            "backbone.weights": "package",
            "data.pretrain.task": None,
        },
        ["backbone.model.efficientnet_lite0.size = None: allowed: 32 or more, as data.image_size"],
    ),
    "images too small for a while": (
        {
            "data.image_size": 8,
            "model": {"resnet": RESNET["resnet"] | {"filters": [4, 4], "batchnorm": False}},
            "techniques.progressive_resizing": {"share": 0.5, "scale": 0.25},
            "variants.train.small": ["progressive_resizing"],
        },
        ["techniques.progressive_resizing.scale = 0.25: allowed: 0.5 or more: resnet takes 4"],
    ),
    "no images": (
        {"data.raw": "data/nope"},
        ["data.raw = 'data/nope': there is no such file or folder"],
    ),
    "no weights": (
        {
            "backbone.model": LITE | {},
            "backbone.weights": "nope.h5",
            "backbone.sha256": "0" * 64,
            "data.pretrain.task": None,
        },
        ["backbone.weights = 'nope.h5': there is no such file or folder"],
    ),
    "several in one file, of all kinds": (
        {
            "train.epochs": 0,
            "seed": -1,
            "visualize.variants": ["nope"],
            "sizes.per_class": [99],
            "train.techniques": ["dropout"],
            "data.raw": "data/nope",
            "decide.max_repeats": 2,
        },
        [
            *("seed = -1", "train.epochs = 0", "visualize.variants = 'nope'"),
            *("sizes.per_class = 99", "variants.train.dropout = ['dropout']: allowed: none of"),
            *("data.raw = 'data/nope'", "decide.max_repeats = 2"),
        ],
    ),
    "two bad variants": (
        {"variants.train.x": ["nope"], "variants.train.y": ["freeze", "finetune"]},
        ["variants.train.x = 'nope'", "variants.train.y: finetune and freeze: a variant has one"],
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_hostile_params_are_told_by_check(said, name):
    changes, expected = HOSTILE[name]
    lines = said(changes)
    assert [part for part in expected if not any(line.startswith(part) for line in lines)] == []
    if not name.startswith(("several", "a design beyond", "two bad")):
        assert len(lines) == len(expected), lines
    assert len(set(lines)) == len(lines)


def test_the_way_to_the_code_leads_there(said):
    assert said({"code": "nowhere"}) == []  # which matters to DVC alone
    Path("dvc.yaml").touch()
    (line,) = said({"code": "nowhere"})
    way = line.removeprefix(
        "code = 'nowhere': allowed: the way from here to the folder of cnnlab: "
    )
    assert said({"code": way}) == []


def test_a_design_of_too_many_sets_is_told_at_once(said):
    from cnnlab.recipe.techniques import starts

    content = YAML(typ="safe").load((ROOT / "tests/params.yaml").read_text())
    known = [t for t in content["techniques"] if t not in (*starts(), "placebo")]
    more = {f"d{i}": 0 for i in range(20)}
    names = [*known, *more][:20]
    began = time.process_time()
    lines = said({"design.kind": "factorial", "design.techniques": names})
    assert time.process_time() - began < 5
    assert any(
        line.startswith("design.kind = 'factorial' needs 1,048,576 variants") for line in lines
    )


def images(folder, *shapes):
    for i, (width, height) in enumerate(shapes):
        for label in ("a", "b"):
            path = Path(folder, label, f"{i:02}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.zeros((height, width), np.uint8)).save(path)


@pytest.mark.parametrize(
    ("shapes", "changes", "expected"),
    [
        ([(32, 32)], {}, None),
        ([(40, 30), (30, 40)], {}, "null"),
        (
            [(1600, 1200)],
            {},
            "allowed for images of 4 to 1024 pixels a side; a/00.png has 1600x1200",
        ),
        ([(40, 30)], {}, "a/00.png has 40x30 pixels, which data.pretrain.task = rotation turns"),
        ([(32, 32)], {"model.vgg.filters": [4] * 6}, "filters"),
        ([(40, 30), (30, 40)], {"data.image_size": 32}, None),
    ],
)
def test_images_that_stay_as_they_are_are_looked_at(said, shapes, changes, expected):
    images("data/raw", *shapes)
    lines = said(FREE | changes)
    if expected is None:
        assert lines == []
        return
    (line,) = lines
    if expected == "null":
        expected = (
            "data.image_size = None: allowed where all images are alike, but a/00.png has 40x30"
            " pixels, a/01.png 30x40; give a size"
        )
        assert line == expected
    else:
        assert expected in line
        assert line.startswith(
            ("data.image_size = None: ", "model.vgg.filters = [4, 4, 4, 4, 4, 4]")
        )


def test_images_in_an_archive_are_looked_at_too(said):
    images("some", (40, 30), (30, 40))
    with zipfile.ZipFile("data/raw/some.zip", "w") as archive:
        for path in sorted(Path("some").rglob("*.png")):
            archive.write(path, path.relative_to("some"))
    (line,) = said(FREE | {"data.raw": "data/raw/some.zip"})
    assert line.startswith("data.image_size = None: allowed where all images are alike")


def test_what_a_source_refuses_is_told_with_the_rest(said):
    lines = said(FREE | {"seed": -1})
    assert len(lines) == 2 and lines[1].startswith("data.raw = 'data/raw': ")


def test_check_takes_a_second_or_two(root):
    """Of the processor: no TensorFlow, no MLflow, no plots."""
    script = (
        "import sys, time; from stages import check; from cnnlab import params, consistency;"
        "params.read_parts([consistency.LAW, consistency.LATER, consistency.FIT]);"
        "print(time.process_time(), *sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    seconds, *modules = done.stdout.split()
    heavy = {"tensorflow", "keras", "mlflow", "matplotlib", "sklearn", "dvc", "ray"}
    assert not heavy & set(modules)
    assert float(seconds) < 4


@pytest.mark.parametrize("raw", [".", "..", "data", "models", "reports"])
def test_a_folder_of_images_holds_no_results_of_the_study(said, raw):
    Path(raw).mkdir(exist_ok=True)
    for key in ("data.raw", "data.pretrain.raw"):
        (line,) = said(FREE | {"data.image_size": 16, key: raw})
        assert line.startswith(f"{key} = {raw!r}: holds what the study writes, ")


def test_what_dvc_cannot_keep_is_told_before_it_stops_or_waits_at_it(said):
    images("data/raw", (32, 32), (32, 32))
    changes = FREE | {"data.image_size": 16}
    assert said(changes) == []
    Path("data/raw/a/gone.png").symlink_to("nowhere")
    Path("data/raw/a/self.png").symlink_to("self.png")
    os.mkfifo("data/raw/pipe")
    Path(os.fsdecode(b"data/raw/caf\xe9.png")).write_bytes(b"x")
    Path("data/raw/a/.dvcignore").touch()
    nameless, fileless, ignoring = said(changes)
    assert ignoring.startswith("data.raw = 'data/raw': data/raw/a/.dvcignore: a file that DVC")
    start = "data.raw = 'data/raw': "
    assert nameless.startswith(f"{start}b'data/raw/caf\\xe9.png': names that are not UTF-8")
    assert fileless.startswith(f"{start}data/raw/a/gone.png and 2 more: links that lead nowhere")
