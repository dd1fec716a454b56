"""`make try`: a small study of the study at hand, which leaves that as it is."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

from cnnlab import params, tryout
from cnnlab.errors import UserError

ROOT = Path(__file__).parents[1]
CONTENT = YAML(typ="safe").load((ROOT / "tests/params.yaml").read_text())
STUDIES = sorted(str(file.relative_to(ROOT)) for file in ROOT.glob("studies/*/params.yaml"))
STUDIES = ["params.yaml", *STUDIES]


def read(content, path):
    with path.open("w") as file:
        YAML().dump(content, file)
    return params.read(path)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("data/raw", "data/raw_pretrain"):
        Path(folder).mkdir(parents=True)
    return copy.deepcopy(CONTENT)


@pytest.mark.parametrize("file", STUDIES)
def test_params_of_a_try_hold_for_every_study_that_is_committed(tmp_path, file):
    text = (ROOT / file).read_text()
    whole = params.of_text(text)
    images = {"dev_per_class": 8, "test_per_class": 4}
    small = read(tryout.smaller(whole, images, 2), tmp_path / "small.yaml")
    every = small.variants.every
    assert len(every) == 2 and every.items() <= whole.variants.every.items()
    assert bool(small.variants.transfer) == bool(whole.variants.transfer)
    assert (small.folds.k, small.folds.repeats, small.train.epochs) == (2, 1, 2)
    assert small.study == f"try-of-{whole.study}" and not small.sizes.per_class
    assert whole == params.of_text(text)


def test_the_one_beside_the_first_is_that_of_the_most_techniques(study, tmp_path):
    study["variants"]["transfer"] = {}
    study["data"]["pretrain"]["task"] = None
    for key in ("visualize", "sizes"):
        study[key]["variants"] = ["baseline"]
    whole = read(study, tmp_path / "params.yaml")
    variants = tryout.chosen(whole)
    assert list(variants["train"]) == ["baseline", "all"] and variants["transfer"] == {}


def test_few_images_of_each_class_are_taken_and_the_rest_is_as_it_was(study, tmp_path):
    whole = read(study, tmp_path / "params.yaml")
    images = tryout.taken(whole, Path("some"))
    files = list(Path("some").rglob("*.image"))
    assert len({p.parent.name for p in files}) == 10 and len(files) == 10 * 2 * (8 + 4 + 2)
    assert images["raw"] == str(tmp_path / "some") and images["source"] == "image_folder"
    assert (images["dev_per_class"], images["test_per_class"]) == (8, 4)
    assert np.asarray(Image.open(files[0])).shape == (8, 8)


def test_a_part_to_test_on_stays_one(study, tmp_path):
    rng = np.random.default_rng(0)
    for part, many in (("train", 30), ("test", 3)):
        for label in ("a", "b"):
            for i in range(many):
                path = Path("data/raw", part, label, f"{i}.png")
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(path)
    study["data"].update(source="image_folder")
    whole = read(study, tmp_path / "params.yaml")
    images = tryout.taken(whole, Path("some"))
    assert (images["dev_per_class"], images["test_per_class"]) == (8, 3)
    assert len(list(Path("some/test/a").iterdir())) == 3


@pytest.mark.parametrize("name", ["canvases", "boxes"])
def test_of_masks_and_boxes_few_of_the_study_s_own_images_are_drawn(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / f"studies/{name}/params.yaml").read_text()
    whole = params.of_text(text)
    images = tryout.taken(whole, Path("some"))
    assert not Path("some").exists()
    assert (images["dev_per_class"], images["test_per_class"]) == (8, 4)
    small = read(tryout.smaller(whole, images, 2), tmp_path / "small.yaml")
    assert (small.data.source, small.data.classes) == ("canvases", None)


def test_of_rare_classes_all_are_drawn():
    rows = [("a", "")] * 20 + [("b", "")] * 4
    table = pd.DataFrame(rows, columns=["label", "split"])
    assert tryout._few(table) == {}
    assert tryout._few(table[table["label"] == "a"]) == {"dev_per_class": 8, "test_per_class": 4}
    # Of images of which one in two has an object twice as many.
    sparse = {"dev_per_class": 16, "test_per_class": 4}
    assert tryout._few(table[table["label"] == "a"], 0.5) == sparse
    parts = [(label, part) for label in "ab" for part in ["train"] * 6 + ["test"] * 2]
    comes_split = pd.DataFrame(parts, columns=["label", "split"])
    assert tryout._few(comes_split) == {"dev_per_class": 6, "test_per_class": 2}


def test_every_page_says_that_it_is_a_try(frozen, tmp_path):
    (tmp_path / "a.md").write_text("# A\n")
    (tmp_path / "b.html").write_text("<html><body class='x'><h1>B</h1></body></html>")
    tryout.marked(tmp_path, frozen)
    assert (tmp_path / "a.md").read_text().startswith("> **A try, not a result: ")
    assert re.search(r"<body class='x'><p [^>]*>A try, not", (tmp_path / "b.html").read_text())


def test_a_study_is_tried_and_stays_as_it_is(study, tmp_path, monkeypatch):
    """All stages, through training; the folder is removed by `make repro`."""
    study["data"].update(classes=["0", "1", "2"])
    study["model"]["vgg"].update(filters=[4, 4], convs=1, dense=[8])
    study["execution"]["workers"] = 1
    read(study, tmp_path / "params.yaml")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW", "DVC"))}
    command = [sys.executable, "-m", "cnnlab.tryout"]
    done = subprocess.run(
        command, env=kept | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    after = {p for p in tmp_path.rglob("*") if p.is_file() and ".try" not in p.parts}
    assert after == set(before) and all(p.read_bytes() == b for p, b in before.items())
    reports = tmp_path / ".try/reports"
    for page in ("report.md", "report.html", "model_card.md", "data.md", "final.md"):
        assert "A try, not a result" in (reports / page).read_text(), page
    assert "try-of-digits" in (reports / "report.md").read_text()
    assert (tmp_path / ".try/mlflow.db").exists()
    assert "tried in" in done.stdout and ".try/reports/report.html" in done.stdout


def test_a_schedule_of_cycles_is_tried_with_an_epoch_for_each(study, tmp_path):
    study["techniques"]["snapshot"] = {"members": 100}
    study["variants"] = {"train": {"baseline": [], "votes": ["snapshot"]}, "transfer": {}}
    study["data"]["pretrain"]["task"] = None
    study["train"]["epochs"] = 500
    study["compare"]["pairs"] = []
    for key in ("visualize", "sizes"):
        study[key]["variants"] = ["baseline"]
    whole = read(study, tmp_path / "params.yaml")
    with pytest.raises(UserError, match=r"votes: .*its 100 cycles need 100 epochs.* are 2"):
        read(tryout.smaller(whole, {}, tryout.EPOCHS[0]), tmp_path / "small.yaml")
    read(tryout.smaller(whole, {}, tryout.EPOCHS[-1]), tmp_path / "small.yaml")


def test_what_stops_a_try_is_one_message(study, tmp_path, monkeypatch):
    study["data"].update(source="image_folder")
    read(study, tmp_path / "params.yaml")
    with pytest.raises(UserError, match=r"data\.raw = 'data/raw': no images found"):
        tryout.main()
