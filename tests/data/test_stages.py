"""The stages prepare, kfold and describe on folders as people have them."""

import io
import itertools
import json
import os
import shutil
import subprocess
import sys
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from ruamel.yaml import YAML

import stages
from cnnlab import paths
from cnnlab.data import findings, folds, pool
from cnnlab.errors import UserError
from cnnlab.usage import Usage
from stages import check, describe, kfold, prepare

TAR = Path(__file__).parents[2].parent / "shared/data/cifar10_jpeg.tar"


def picture(seed, ending="png", size=(12, 10)):
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(content, {"jpg": "jpeg"}.get(ending, ending))
    return content.getvalue()


@pytest.fixture
def study(tmp_path, root, monkeypatch):
    """A study in a folder of its own: study(**data params) writes its params.yaml."""
    yaml = YAML()

    def change(k=4, **data):
        content = yaml.load(root / "tests/params.yaml")
        if "pretrain" not in data:  # nothing begins at a backbone
            data["pretrain"] = content["data"]["pretrain"] | {"task": None}
            content["variants"]["transfer"] = {}
            content["visualize"]["variants"] = ["baseline"]
        content["sizes"].update(per_class=[], variants=[])
        content["data"].update(source="image_folder", image_size=8, dev_per_class=None)
        content["data"].update(data)
        content["folds"]["k"] = k
        yaml.dump(content, tmp_path / "params.yaml")
        return tmp_path

    (tmp_path / "data/raw_pretrain").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    return change


def fill(files, order=None):
    shutil.rmtree("data/raw", ignore_errors=True)
    for name in order or files:
        path = Path("data/raw", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[name])


def everything(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_a_stage_whose_input_is_not_there_names_it(tmp_path, monkeypatch, capsys):
    """Where DVC runs it, DVC has seen to that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["report"])
    monkeypatch.delenv("DVC_STAGE", raising=False)
    with pytest.raises(SystemExit) as end:
        stages.run(paths.RECOMMENDED.read_text)
    said = "error: reports/compare/recommended.csv is not there: `dvc repro` runs the stages"
    assert end.value.code == 2 and capsys.readouterr().err.startswith(said)
    monkeypatch.setenv("DVC_STAGE", "report")
    with pytest.raises(FileNotFoundError):
        stages.run(paths.RECOMMENDED.read_text)


FILES = {f"{c}/{i}.png": picture(100 * k + i) for k, c in enumerate("ab") for i in range(12)}


def manifests():
    return pd.concat(
        pool.read(Path("data/prepared") / split).manifest for split in ("dev", "pretrain", "test")
    )


def test_a_dirty_folder_becomes_pools_and_a_report(study, capsys):
    study(bad={"policy": "skip", "limit": 0.2, "megapixels": 1})
    dirty = {
        "a/empty.png": b"",
        "a/cut.jpg": picture(1, "jpg")[:300],
        "a/text.png": b"no image",
        "b/really a jpeg.png": picture(900, "jpg"),
        "b/same.png": FILES["b/3.png"],
        "b/conflict.png": FILES["a/4.png"],
        "b/.hidden.png": b"x",
        "c/notes.txt": b"x",
    }
    fill(FILES | dirty)
    bomb = io.BytesIO()
    Image.new("1", (2000, 2000)).save(bomb, "png")
    Path("data/raw/a/bomb.png").write_bytes(bomb.getvalue())
    prepare.main()
    describe.main()
    kfold.main()
    found = pd.read_csv("data/prepared/findings.csv", keep_default_na=False)
    said = {(row.what, row.where): f"{row.done}: {row.detail}" for row in found.itertuples()}
    bad = "image that cannot be used"
    assert said[bad, "a/empty.png"] == "left out: empty file"
    assert "more than 1 million" in said[bad, "a/bomb.png"]
    assert {where for what, where in said if what == bad} == {
        f"a/{name}" for name in ("empty.png", "cut.jpg", "text.png", "bomb.png")
    }
    assert said["ending of another format", "b/really a jpeg.png"] == "read as JPEG: "
    assert said["duplicate", "b/same.png"] == "in one group with b/3.png: "
    assert "labelled a and b" in said["duplicate with another label", "b/conflict.png"]
    assert ("hidden file", "b/.hidden.png") in said
    assert ("class without images", "c") in said
    manifest = manifests().set_index("source")
    assert len(manifest) == len(FILES) + 3
    for one, other in (("b/3.png", "b/same.png"), ("a/4.png", "b/conflict.png")):
        assert manifest["group"][one] == manifest["group"][other]
        assert manifest["split"][one] == manifest["split"][other]
    page = Path("reports/data.md").read_text()
    for told in (*dirty, "a/bomb.png"):
        if told != "c/notes.txt":
            assert told.replace("_", "\\_") in page
    assert "1 images appear under two labels" in page
    assert "31 images were found, 4 of which cannot be used" in page
    assert "data/samples.png" in page
    inventory = pd.read_csv("data/prepared/inventory.csv", keep_default_na=False)
    assert len(inventory) == 31
    assert (inventory["pool"] != "").sum() == len(manifest)


def test_a_second_run_is_equal_and_decodes_nothing(study, capsys):
    folder = study()
    fill(FILES)
    prepare.main()
    first = everything(folder / "data/prepared")
    capsys.readouterr()
    prepare.main()
    assert "0 images decoded, 24 known" in capsys.readouterr().out
    assert everything(folder / "data/prepared") == first
    fill(FILES | {"a/new.png": picture(999)})
    prepare.main()
    assert "1 images decoded, 24 known" in capsys.readouterr().out


def pretrain(classes=None, per_class=5, source="image_folder", task="labels"):
    return {
        "task": task,
        "classes": classes,
        "per_class": per_class,
        "source": source,
        "raw": "data/raw_pretrain",
    }


def fill_other(**more):
    """A folder of other images of the classes x, y and a, at another size."""
    names = [f"{c}/{i}.jpg" for c in "xya" for i in range(6)]
    files = {name: picture(5000 + i, "jpg", (20, 14)) for i, name in enumerate(names)}
    for name, content in (files | more).items():
        path = Path("data/raw_pretrain", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def test_a_backbone_can_learn_from_another_source(study):
    study(pretrain=pretrain())
    fill(FILES)
    fill_other(**{"x/6.png": FILES["a/3.png"], "x/cut.jpg": picture(1, "jpg")[:300]})
    prepare.main()
    describe.main()
    pools = {name: pool.read(Path("data/prepared", name)) for name in ("dev", "pretrain", "test")}
    assert pools["dev"].classes == pools["test"].classes == ("a", "b")
    learnt = pools["pretrain"]
    assert learnt.images.shape[1:] == pools["dev"].images.shape[1:] == (8, 8, 3)
    assert learnt.manifest["label"].value_counts().to_dict() == {"x": 5, "y": 5, "a": 5}
    assert not set(learnt.manifest["digest"]) & set(pools["dev"].manifest["digest"])
    ids = manifests()["image_id"]
    assert ids.is_unique
    page = Path("reports/data.md").read_text()
    assert "15 images of another source, `image_folder`, in 3 classes" in page
    assert "24 images were found" in page and "x/cut.jpg" in page
    first = everything(Path("data/prepared"))
    prepare.main()
    assert everything(Path("data/prepared")) == first


def test_of_another_source_too_classes_can_be_chosen(study):
    study(pretrain=pretrain(["x", "y"], 2))
    fill(FILES)
    fill_other()
    prepare.main()
    assert pool.read(Path("data/prepared/pretrain")).classes == ("x", "y")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pretrain": pretrain(["x", "zz"])}, "class 'zz' is not there; allowed: a, x, y"),
        ({"pretrain": pretrain(per_class=7)}, r"data.pretrain.per_class = 7: class '.' has 6"),
        ({"pretrain": pretrain(), "image_size": None}, "12x10 pixels; those of data.pretrain"),
        ({"pretrain": pretrain(source=None)}, "classes should name some, or source another"),
        ({"pretrain": pretrain(["a", "b"], source=None)}, r"at least 2 classes to .*, not \[\]"),
        ({"pretrain": pretrain(source="unlabelled")}, "class '': allowed: 1 to 255 bytes"),
        (
            {"pretrain": pretrain(per_class=99, task="rotation")},
            "data.pretrain.per_class = 99: of all images only 18 were left",
        ),
        (
            {"pretrain": pretrain(source=None, task="rotation"), "image_size": None},
            "12x10 pixels, which data.pretrain.task = rotation turns by 90 degrees; give a size",
        ),
    ],
)
def test_another_source_that_does_not_do_is_refused(study, changes, said):
    study(**changes)
    fill(FILES)
    fill_other()
    with pytest.raises(UserError, match=said):
        prepare.main()


def rotated():
    """The pools, after a look at the turned one: four turns of each image, told by their labels."""
    pools = {name: pool.read(Path("data/prepared", name)) for name in ("dev", "pretrain", "test")}
    learnt = pools["pretrain"]
    assert learnt.classes == ("0", "90", "180", "270")
    assert set(learnt.manifest["label"].value_counts()) == {len(learnt.manifest) // 4}
    assert manifests()["image_id"].is_unique
    for group, rows in learnt.manifest.groupby("group", sort=False).indices.items():
        assert len(rows) == 4, group
        clean, *turned = learnt.images[rows]
        for quarter, image in enumerate(turned, 1):
            np.testing.assert_array_equal(image, np.rot90(clean, quarter))
    digests = [pool.digest(image) for image in learnt.images]
    assert list(learnt.manifest["digest"]) == digests
    for name in ("dev", "test"):
        assert not set(digests) & set(pools[name].manifest["digest"])
        assert not set(learnt.manifest["group"]) & set(pools[name].manifest["group"])
    return pools


def test_of_digits_a_backbone_learns_the_turns_of_images_that_are_left(study):
    study(
        source="digits",
        image_size=None,
        dev_per_class=10,
        test_per_class=5,
        pretrain=pretrain(per_class=40, source=None, task="rotation"),
    )
    prepare.main()
    describe.main()
    pools = rotated()
    assert len(pools["pretrain"].images) == 4 * 40
    for name, size in (("dev", 10), ("test", 5)):
        counts = pools[name].manifest["label"].value_counts()
        assert dict(counts) == {str(digit): size for digit in range(10)}
    sources = pools["pretrain"].manifest["source"]
    assert sources.nunique() == 40 and not set(sources) & set(pools["dev"].manifest["source"])
    facts = json.loads(Path("reports/data.json").read_text())
    assert facts["pretrain_task"] == "rotation"
    assert facts["pretrain_classes"] == ["0", "90", "180", "270"]
    assert facts["classes"] == [str(digit) for digit in range(10)]
    first = everything(Path("data/prepared"))
    prepare.main()
    assert everything(Path("data/prepared")) == first


def test_named_classes_give_their_turns_and_are_in_no_other_pool(study):
    study(
        source="digits",
        image_size=None,
        dev_per_class=10,
        pretrain=pretrain(["8", "9"], per_class=20, source=None, task="rotation"),
    )
    prepare.main()
    pools = rotated()
    assert pools["dev"].classes == pools["test"].classes == tuple("01234567")
    assert len(pools["pretrain"].images) == 4 * 2 * 20


def test_a_backbone_learns_the_turns_of_another_flat_folder_without_labels(study):
    bad = {"policy": "skip", "limit": 0.2, "megapixels": 1}
    study(pretrain=pretrain(per_class=9, source="unlabelled", task="rotation"), bad=bad)
    fill(FILES)
    flat = Path("data/raw_pretrain")
    flat.mkdir(parents=True, exist_ok=True)
    for i in range(12):
        (flat / f"{i}.png").write_bytes(picture(7000 + i, size=(20, 14)))
    (flat / "known.png").write_bytes(FILES["a/3.png"])  # an image of the study's own
    (flat / "cut.png").write_bytes(picture(1)[:200])
    (flat / "notes.txt").write_text("x")
    prepare.main()
    describe.main()
    pools = rotated()
    assert pools["dev"].classes == ("a", "b")
    assert pools["pretrain"].images.shape == (36, 8, 8, 3)
    assert "known.png" not in set(pools["pretrain"].manifest["source"])
    page = Path("reports/data.md").read_text()
    assert "cut.png" in page and "notes.txt" in page and "24 images were found" in page


@pytest.mark.parametrize("packing", ["tar", "gztar", "zip"])
def test_an_archive_gives_what_its_folder_gives(study, packing):
    folder = study()
    fill(FILES)
    prepare.main()
    first = everything(folder / "data/prepared")
    archive = shutil.make_archive("packed", packing, "data/raw")
    study(raw=archive)
    prepare.main()
    assert everything(folder / "data/prepared") == first


def test_too_many_bad_images_or_any_where_none_may_be_stop_the_stage(study):
    fill(FILES | {"a/bad.png": b"", "b/bad.png": b""})
    for bad in (("skip", 0.07), ("fail", 1.0)):
        study(bad={"policy": bad[0], "limit": bad[1], "megapixels": 1})
        with pytest.raises(UserError, match="2 of 26 images cannot be used"):
            prepare.main()
        assert not Path("data/prepared").exists()


def test_a_class_with_fewer_images_than_folds_is_refused(study):
    study(k=12)
    fill(FILES)
    prepare.main()
    with pytest.raises(UserError, match=r"folds\.k = 12: class 'a' has only 10 images"):
        kfold.main()


def test_sizes_that_no_fold_leaves_are_refused_before_anything_is_trained(study):
    folder = study(k=2)
    yaml = YAML()
    content = yaml.load(folder / "params.yaml")
    content["sizes"].update(per_class=[3, 6], variants=["baseline"])
    yaml.dump(content, folder / "params.yaml")
    fill(FILES)
    prepare.main()
    with pytest.raises(UserError, match=r"sizes\.per_class = 6: at most 5 of class 'a' are left"):
        kfold.main()


def test_what_cannot_be_drawn_is_said_before_the_long_work(study, monkeypatch):
    study(dev_per_class=30)
    fill(FILES)
    monkeypatch.setattr(prepare.decode, "decode_all", None)
    with pytest.raises(UserError, match="class 'a' has 12 images"):
        prepare.main()


def test_mixed_sizes_and_channels_are_said_or_brought_together(study):
    grey = io.BytesIO()
    Image.new("L", (20, 10), 9).save(grey, "png")
    fill(FILES | {"a/wide.png": grey.getvalue()})
    study(image_size=None)
    with pytest.raises(UserError, match=r"image_size = null: a/wide\.png has 20x10 pixels"):
        prepare.main()
    study(image_size=8)
    prepare.main()
    dev, test = (pool.read(Path("data/prepared") / s) for s in ("dev", "test"))
    assert dev.images.shape[1:] == test.images.shape[1:] == (8, 8, 3)
    study(image_size=8, channels=1)
    prepare.main()
    assert pool.read(Path("data/prepared/dev")).images.shape[1:] == (8, 8, 1)


# One image is read as several files, or copied under another label.
PLAN = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.integers(10, 16), min_size=2, max_size=3),
        "copies": st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2)), max_size=4),
        "order": st.randoms(use_true_random=False),
        "seed": st.integers(0, 1000),
    }
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=PLAN)
def test_manifest_and_folds_hold_what_they_promise(study, plan):
    """No group crosses folds or pools, each dev image is held out once a repeat, classes are spread
    evenly where no image has a twin, and the order of files on disk does not matter."""
    folder = study(k=2, near_duplicates=None)
    names = "abc"[: len(plan["sizes"])]
    files = {
        f"{name}/{i}.png": picture(1000 * k + i + plan["seed"])
        for k, (name, size) in enumerate(zip(names, plan["sizes"], strict=True))
        for i in range(size)
    }
    for n, (i, k) in enumerate(plan["copies"]):
        files[f"{names[k % len(names)]}/copy{n}.png"] = files[f"a/{i}.png"]
    made = []
    for shuffled in (False, True):
        order = sorted(files)
        if shuffled:
            plan["order"].shuffle(order)
        fill(files, order)
        prepare.main()
        kfold.main()
        made.append(everything(folder / "data/prepared"))
    assert made[0] == made[1]

    manifest = manifests()
    assert sorted(manifest["source"]) == sorted(files)
    assert manifest.groupby("group")["split"].nunique().max() == 1
    twins = manifest.groupby("digest")["group"].nunique()
    assert twins.max() == 1
    dev = manifest[manifest["split"] == "dev"]
    held_out = folds.read(Path("data/folds.csv")).merge(dev, on="image_id", validate="m:1")
    assert len(held_out) == 3 * len(dev)
    assert not held_out.duplicated(["image_id", "repeat"]).any()
    assert held_out.groupby(["repeat", "group"])["fold"].nunique().max() == 1
    if dev["group"].is_unique:
        shares = held_out.groupby(["repeat", "label", "fold"]).size().unstack(fill_value=0)
        assert (shares.max(axis=1) - shares.min(axis=1)).max() <= 1


def test_images_of_twelve_bits_are_read_and_judged_by_one_rule(study, capsys):
    files = {}
    for k, label in enumerate("ab"):
        for i in range(12):
            content = io.BytesIO()
            values = np.random.default_rng(100 * k + i).integers(0, 4096 >> (i % 3), (10, 10))
            values[0, 0] = 4095 >> (i % 3)
            Image.fromarray(values.astype(np.uint16)).save(content, ("png", "tiff")[i % 2])
            files[f"{label}/{i:02}.{('png', 'tif')[i % 2]}"] = content.getvalue()
    fill(files)
    folder = study(image_size=None)
    prepare.main()
    describe.main()
    dev = pool.read(Path("data/prepared/dev"))
    assert pool.scale(dev.folder) == (0, 4096)
    usage = Usage("x", list(dev.classes), [10, 10, 1], "squash", 1.0, pool.scale(dev.folder))
    for source, image in zip(dev.manifest["source"], dev.images, strict=True):
        values = np.asarray(Image.open(io.BytesIO(files[source])))
        np.testing.assert_array_equal(image[..., 0], values >> 4)
        np.testing.assert_array_equal(usage.pixels(files[source]), image)
    rule = "24 images hold values from 0 to 4095: in all of them 0 becomes black and 4096 white"
    assert rule in capsys.readouterr().out
    assert rule in Path("reports/data.md").read_text()
    first = everything(folder / "data/prepared")
    prepare.main()
    assert everything(folder / "data/prepared") == first


def test_images_of_8_bits_have_no_scale(study):
    study()
    fill(FILES)
    prepare.main()
    assert pool.scale(Path("data/prepared/dev")) is None
    assert not list(Path("data/prepared").rglob("scale.json"))


def test_what_is_left_out_is_said_in_the_terminal_and_listed(study, capsys):
    study(bad={"policy": "skip", "limit": 0.2, "megapixels": 1})
    parts = {f"{part}/{name}": FILES[name] for part in ("train", "valid") for name in FILES}
    parts |= {f"test/{i}.png": picture(50 + i) for i in range(3)}
    fill(parts | {"train/a/bad.png": b"x", "train/a/notes.txt": b"x"})
    prepare.main()
    said = capsys.readouterr().out
    for line in (
        "image without a class folder (3) left out: test/0.png, ...;",
        "not an image by its bytes (1) left out: train/a/notes.txt;",
        "parts of which none is the test (1) used as one: train, valid (one may be called test; ",
        "image that cannot be used (1) left out: train/a/bad.png (not an image of a known format);",
    ):
        assert f"prepare: {line}" in said
    assert "listed in data/prepared/findings.csv" in said
    listed = pd.read_csv("data/prepared/findings.csv")
    assert (listed["what"] == "image without a class folder").sum() == 3
    study(bad={"policy": "fail", "limit": 1.0, "megapixels": 1})
    with pytest.raises(UserError, match=r"policy = fail: [^\n]*left out:\n  test/0\.png"):
        prepare.main()


@pytest.fixture
def sparse(study, root):
    """sparse(task, of, resize): a study of wide images, by halves to learn from and to test on.
    `of`: pairs of what says, by part and number, which images have it, and class number, first
    and last column."""

    def made(task, of, resize="squash"):
        yaml, name = YAML(), {"detection": "boxes", "segmentation": "canvases"}[task]
        content = yaml.load(root / f"studies/{name}/params.yaml")
        source = {"detection": "yolo", "segmentation": "mask_folder"}[task]
        content["data"].update(source=source, image_size=8, resize=resize)
        content["data"].update(dev_per_class=None, test_per_class=None)
        yaml.dump(content, study() / "params.yaml")
        files = {}
        for i, part in itertools.product(range(12), ("train", "test")):
            files[f"images/{part}/{i}.png"] = picture(2 * i + (part == "test"), size=(48, 16))
            files |= _truth(task, f"{part}/{i}", [box for name, box in of if name(part, i)])
        fill(files)

    return made


def _truth(task, name, boxes):
    """A file that says what is on an image: class numbers and columns of 48."""
    if task == "detection":
        lines = [f"{k} {(a + b) / 96} .5 {(b - a) / 48} .5\n" for k, a, b in boxes]
        return {f"labels/{name}.txt": "".join(lines).encode()}
    mask, content = np.zeros((16, 48), np.uint8), io.BytesIO()
    for k, a, b in boxes:
        mask[4:12, a:b] = k + 1
    Image.fromarray(mask).save(content, "png")
    return {f"masks/{name}.png": content.getvalue()}


TASKS = pytest.mark.parametrize("task", ["detection", "segmentation"])


@TASKS
def test_nothing_to_learn_from_is_refused(sparse, task):
    """Where the test part alone has anything, and where all of it is cropped away."""
    held = {"detection": "objects of no class; allowed: of at least 1 class$"}
    held["segmentation"] = "pixels of background alone; allowed: of at least 2 classes$"
    start = r"the 12 development images, brought to 8x8 pixels \(data.resize = {}\), hold "
    sparse(task, [(lambda part, i: part == "test", (0, 20, 28))])
    with pytest.raises(UserError, match=start.format("squash") + held[task]):
        prepare.main()
    sparse(task, [(lambda part, i: True, (0, 0, 8))], "crop")
    with pytest.raises(UserError, match=start.format("crop") + held[task]):
        prepare.main()


@TASKS
def test_classes_that_the_test_alone_has_are_said(sparse, task, capsys):
    sparse(task, [(lambda *_: True, (0, 20, 28)), (lambda part, i: part == "test", (1, 30, 44))])
    prepare.main()
    found = pd.read_csv("data/prepared/findings.csv", keep_default_na=False, dtype=str)
    (row,) = found[found["what"] == "class of the test images alone"].itertuples()
    assert (row.where, row.detail) == (str(1 + (task != "detection")), "nothing is learnt of it")
    assert "prepare: class of the test images alone (1) kept: " in capsys.readouterr().out


def test_further_pictures_of_a_file_are_said_in_the_terminal(study, capsys):
    study()
    frames = [Image.open(io.BytesIO(picture(seed))) for seed in (900, 901, 902)]
    moving = io.BytesIO()
    frames[0].save(moving, "png", save_all=True, append_images=frames[1:])
    fill(FILES | {"a/moving.png": moving.getvalue()})
    prepare.main()
    said = "further pictures in a file (1) left out: a/moving.png (the first of 3 is read); listed"
    assert f"prepare: {said}" in capsys.readouterr().out
    describe.main()
    assert "further pictures in a file" in Path("reports/data.md").read_text()


def test_train_is_not_learnt_against_val(study):
    study()
    fill(
        {
            f"{part}/{i}.png": picture(100 * k + i)
            for k, part in enumerate(("train", "val"))
            for i in range(9)
        }
    )
    with pytest.raises(UserError, match=r"train, val, which parts of a data set are called"):
        prepare.main()
    study(classes=["train", "val"])
    prepare.main()


def test_two_forms_of_a_name_are_one_class_and_params_may_have_either(study, capsys):
    forms = [unicodedata.normalize(form, "Café") for form in ("NFC", "NFD")]
    names = [*forms, "Tee ", "Tee"]
    files = {
        f"{n}/{k}_{i}.png": picture(100 * k + i) for k, n in enumerate(names) for i in range(9)
    }
    for classes in (None, [forms[1], "Tee"]):
        study(classes=classes)
        fill(files)
        prepare.main()
        assert pool.read(Path("data/prepared/dev")).classes == (forms[0], "Tee")
    assert (
        "class name in another form (2) read as Café: 'Cafe\\u0301', ...;"
        in capsys.readouterr().out
    )


def test_the_classes_do_not_depend_on_python_s_hashes(study, root):
    names = ["1", "01", "001", "a1", "a01", "yes", "no", "NaN", "1e3", "null"]
    lines = ["path,label", *(f"{k}_{i}.png,{n}" for k, n in enumerate(names) for i in range(6))]
    fill({f"{k}_{i}.png": picture(100 * k + i) for k in range(len(names)) for i in range(6)})
    Path("data/raw/table.csv").write_text("\n".join(lines) + "\n")
    folder = study(source="image_table")
    made = []
    for seed in ("0", "1", "2"):
        command = [sys.executable, "-m", "stages.prepare"]
        environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONHASHSEED": seed}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        made.append(everything(folder / "data/prepared") | everything(folder / "reports"))
    assert made[0] == made[1] == made[2]
    facts = json.loads(Path("reports/data.json").read_text())
    assert facts["classes"] == list(pool.read(Path("data/prepared/dev")).classes)
    assert sorted(facts["classes"]) == sorted(names)


NAMES = [
    "한국어",
    "日本語",
    "العربية",
    "देवनागरी",
    "\N{FOX FACE}",
    "#1",
    "100%",
    "a?b",
    "x" * 255,
    "猫" * 80,
]


def test_classes_of_any_name_are_described(study):
    study(image_size=None)
    names = {f"{n}/{i}.png": picture(100 * k + i) for k, n in enumerate(NAMES) for i in range(6)}
    fill(names)
    prepare.main()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of letters that no font here has
        describe.main()
    assert sorted(pool.read(Path("data/prepared/dev")).classes) == sorted(NAMES)


def test_names_that_dvc_cannot_keep_are_named_before_it_stumbles(study):
    study()
    fill(FILES)
    check.main()
    Path("data/raw/a", os.fsdecode(b"caf\xe9.png")).write_bytes(FILES["a/0.png"])
    with pytest.raises(
        UserError, match=r"data\.raw = 'data/raw': b'data/raw/a/caf\\xe9\.png': names that are"
    ):
        check.main()
    prepare.main()  # reads it all the same


def test_a_home_that_dvc_does_not_know_is_refused_with_what_to_write(study, monkeypatch):
    here = Path.cwd()
    monkeypatch.setenv("HOME", str(here))
    study(raw="~/data/raw")
    fill(FILES)
    with pytest.raises(UserError, match=rf"data\.raw = '~/data/raw': .*{here}/data/raw"):
        check.main()
    prepare.main()  # reads it all the same
    study(raw="~/nowhere")
    with pytest.raises(UserError, match=f"'{here}/nowhere': no such file or folder"):
        prepare.main()


def test_drivers_of_the_data_do_not_import_tensorflow(root):
    script = "import sys; from stages import prepare, kfold, describe; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert not {"tensorflow", "keras"} & set(done.stdout.split())


@pytest.mark.skipif(not TAR.exists(), reason=f"needs {TAR.name} in ../shared/data")
def test_a_real_archive_is_drawn_from(study, monkeypatch):
    """Two classes of CIFAR-10 as JPEG files: 12,000 of 60,000 in one .tar, which comes split."""
    study(raw=str(TAR), classes=["cat", "dog"], dev_per_class=20, test_per_class=5)
    prepare.main()
    manifest = manifests()
    counts = manifest.groupby(["split", "label"]).size().to_dict()
    assert counts == {(s, c): n for s, n in (("dev", 20), ("test", 5)) for c in ("cat", "dog")}
    assert all(manifest["source"].str.startswith(("train/", "test/")))
    inventory = pd.read_csv("data/prepared/inventory.csv", keep_default_na=False)
    assert len(inventory) == 12_000
    assert not inventory["problem"].any()
    assert set(zip(inventory["width"], inventory["height"], strict=True)) == {(32, 32)}


def scene(seed, ending="png", change=None):
    """A soft picture with some grain, as a file."""
    rng = np.random.default_rng(seed)
    base = rng.normal(rng.uniform(100, 150), 50, (5, 5, 3)).clip(0, 255).astype(np.uint8)
    pixels = np.asarray(Image.fromarray(base).resize((32, 32))) + rng.normal(0, 6, (32, 32, 3))
    pixels = pixels.clip(0, 255)
    pixels = change(pixels) if change else pixels
    content = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(content, ending)
    return content.getvalue()


def test_what_may_be_wrong_with_the_images_is_found_listed_and_drawn(study, capsys):
    """Dark images, twins in two classes, a class of another format; and what is muted."""
    study(image_size=32, test_share=0.1, near_duplicates=4)
    files = {f"{c}/{i}.png": scene(100 * k + i) for k, c in enumerate("ab") for i in range(40)}
    files |= {f"c/{i}.jpg": scene(500 + i, "jpeg") for i in range(40)}
    files |= {f"a/dark{i}.png": scene(900 + i, change=lambda p: p * 0.1) for i in range(4)}
    files["b/twin.png"] = files["a/3.png"]
    fill(files)
    prepare.main()
    describe.main()
    said = capsys.readouterr().out
    table = findings.read(paths.DATA_FINDINGS)
    dev = pool.read(paths.PREPARED / "dev").manifest["source"]
    dark = {source for source in dev if "dark" in source}
    assert dark and dark == set(table.loc[table["code"] == "IMG01", "source"])
    twins = {"a/3.png", "b/twin.png"} & set(dev)
    assert set(table.loc[table["code"] == "DUP01", "source"]) == twins
    assert table.loc[table["code"] == "CUT09", "label"].tolist() == ["c"]
    assert set(table["source"]) - {""} <= set(dev)  # no test image
    assert f"IMG01 dark ({len(dark)}); listed in" in said
    page = paths.DATA_REPORT.read_text()
    for code in table["code"].unique():
        assert (paths.DATA_FIGURES / f"{code}.png").exists()
        assert f"**{code}**" in page and f"data/{code}.png" in page

    before = everything(paths.REPORTS)
    describe.main()
    assert everything(paths.REPORTS) == before
    study(image_size=32, test_share=0.1, near_duplicates=4, mute=["IMG01", "CUT09"])
    describe.main()
    page = paths.DATA_REPORT.read_text()
    assert f"Muted by `data.mute`: IMG01 ({len(dark)}), CUT09 (1)." in page
    assert "**IMG01**" not in page and not (paths.DATA_FIGURES / "IMG01.png").exists()
    assert "muted by data.mute" in capsys.readouterr().out
    muted = findings.read(paths.DATA_FINDINGS)
    assert set(muted.loc[muted["muted"], "code"]) == {"IMG01", "CUT09"}
    study(mute=["IMG99"])
    with pytest.raises(UserError, match="unknown code; allowed: IMG01, "):
        describe.main()
