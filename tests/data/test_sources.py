"""Sources: what they say there is, and what they read."""

import gzip
import importlib
import io
import json
import os
import pickle
import socket
import sys
import tarfile
import warnings
import zipfile

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from cnnlab.data.images import Settings, decode
from cnnlab.data.sources import SOURCES, _files
from cnnlab.errors import UserError

KERAS = [name for name in SOURCES.names() if hasattr(SOURCES[name], "CLASSES")]
PACKINGS = ["folder", "tar", "tar.gz", "zip"]


def test_digits_are_all_there():
    source = SOURCES["digits"].open_source("ignored")
    table = source.table
    assert len(table) == 1797
    assert table["source"].is_unique
    assert sorted(set(table["label"])) == [str(i) for i in range(10)]
    assert set(table["split"]) == {""}
    assert table["label"].value_counts().min() >= 170
    images = np.stack(source.read(source.keys))
    assert images.dtype == np.uint8
    assert images.shape == (1797, 8, 8, 1)
    assert (images.min(), images.max()) == (0, 255)
    assert len(np.unique(images)) == 17  # 0 to 16 dark pixels


def keras_data(name, shape, columns):
    """Made-up train and test parts of a Keras data set: every class thrice, then once."""
    rng, classes = np.random.default_rng(0), len(SOURCES[name].CLASSES)
    for repeats in (3, 1):
        labels = np.tile(np.arange(classes), repeats)
        images = rng.integers(0, 256, (len(labels), *shape), np.uint8)
        yield images, labels.reshape(-1, 1) if columns else labels.astype(np.uint8)


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize(("shape", "columns"), [((28, 28), False), ((32, 32, 3), True)])
def test_keras_sources_keep_images_labels_and_split(name, shape, columns, monkeypatch):
    parts = tuple(keras_data(name, shape, columns))
    module = importlib.import_module(f"keras.datasets.{name}")
    monkeypatch.setattr(module, "load_data", lambda: parts)
    source = SOURCES[name].open_source("ignored")
    classes = SOURCES[name].CLASSES
    n = len(classes)
    assert len(set(classes)) == n == (100 if name == "cifar100" else 10)
    assert list(source.table["label"]) == classes * 4
    assert list(source.table["split"]) == ["train"] * 3 * n + ["test"] * n
    assert source.table["source"].is_unique
    assert list(source.table.index) == list(range(4 * n))
    for row, image in ((0, parts[0][0][0]), (3 * n + 1, parts[1][0][1])):
        (read,) = source.read([source.keys[row]])
        assert read.shape == (*shape[:2], shape[2] if len(shape) == 3 else 1)
        np.testing.assert_array_equal(read, image.reshape(read.shape))


@pytest.mark.parametrize("name", KERAS)
@pytest.mark.parametrize("error", [Exception, OSError, ValueError])
def test_a_keras_source_that_cannot_be_had_says_what_to_do(name, error, monkeypatch):
    def load_data():
        raise error("no route to host")

    monkeypatch.setattr(importlib.import_module(f"keras.datasets.{name}"), "load_data", load_data)
    with pytest.raises(UserError) as refused:
        SOURCES[name].open_source("ignored")
    for told in ("data.source", name, "no route to host", "~/.keras/datasets", "digits"):
        assert told in str(refused.value)


def picture(value=0, mode="RGB", size=(5, 4), ending="png"):
    """The bytes of an image of one colour."""
    content = io.BytesIO()
    Image.new(mode, size, value).save(content, {"jpg": "jpeg"}.get(ending, ending))
    return content.getvalue()


@pytest.fixture
def packed(tmp_path):
    """Writes files (name -> bytes, in this order) as a folder or an archive; returns its path."""

    def pack(files, packing, name="raw"):
        path = tmp_path / (name if packing == "folder" else f"{name}.{packing}")
        if packing == "folder":
            for file, content in files.items():
                (path / file).parent.mkdir(parents=True, exist_ok=True)
                (path / file).write_bytes(content)
        elif packing == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for file, content in files.items():
                    archive.writestr(file, content)
        else:
            with tarfile.open(path, "w:gz" if packing == "tar.gz" else "w") as archive:
                for file, content in files.items():
                    member = tarfile.TarInfo(file)
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
        return path

    return pack


def opened(path):
    return SOURCES["image_folder"].open_source(str(path))


AS_IT_IS = Settings(None, "squash", None, 100)


def decoded(source, row):
    """The pixels of a row's image, read where it may be read: after a journey through pickle."""
    read = pickle.loads(pickle.dumps(source.read)) if source.parallel else source.read
    (content,) = read([source.keys[row]])
    return decode(content, AS_IT_IS).pixels


FLAT = {f"{label}/{i}.png": picture((10 * i, 0, k)) for k, label in enumerate("ab") for i in (1, 2)}
SPLIT = {f"{part}/{name}": content for part in ("train", "test") for name, content in FLAT.items()}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("wrapped", ["", "flowers/", "train/"])
@pytest.mark.parametrize("files", [FLAT, SPLIT], ids=["flat", "split"])
def test_folders_and_archives_are_read_alike(packed, packing, wrapped, files):
    source = opened(packed({wrapped + name: data for name, data in files.items()}, packing))
    table = source.table
    assert list(table["source"]) == sorted(wrapped + name for name in files)
    assert list(table["label"]) == [name.split("/")[-2] for name in table["source"]]
    below = [name.removeprefix(wrapped) for name in table["source"]]
    assert list(table["split"]) == ["" if files is FLAT else n.split("/")[0] for n in below]
    for row, name in enumerate(table["source"]):
        image = decoded(source, row)
        assert (image.shape, image.dtype) == ((4, 5, 3), np.uint8)
        label, number = name.removesuffix(".png").split("/")[-2:]
        assert tuple(image[0, 0]) == (10 * int(number), 0, "ab".index(label))


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_order_of_files_does_not_matter(packed, packing):
    one = opened(packed(SPLIT, packing, "one"))
    two = opened(packed(dict(reversed(SPLIT.items())), packing, "two"))
    assert one.table.equals(two.table)
    for row in range(len(SPLIT)):
        np.testing.assert_array_equal(decoded(one, row), decoded(two, row))


@pytest.mark.parametrize("packing", PACKINGS)
def test_what_is_no_image_of_a_class_is_left_out(packed, packing):
    strangers = {
        ".git/x.png": picture(),
        "__MACOSX/a/._1.png": b"",
        "a/.hidden.png": picture(),
        "a/notes.txt": b"x",
        "a/Thumbs.db": b"x",
        "readme.png": picture(),
        "LICENSE": b"x",
    }
    table = opened(packed(strangers | FLAT, packing)).table
    assert list(table["source"]) == sorted(FLAT)
    assert set(table["label"]) == {"a", "b"}


def test_only_train_and_test_count_where_there_are_both(packed):
    table = opened(packed(SPLIT | {"extra/a/9.png": picture()}, "folder")).table
    assert set(table["split"]) == {"train", "test"}
    assert len(table) == len(SPLIT)


THREE = [
    ("train", "val", "test"),
    ("Train", "Valid", "Test"),
    ("TRAINING", "VALIDATION", "TESTING"),
    ("training_set", "validation_set", "test_set"),
    ("train", "dev", "eval"),
    ("Training Data", "Validation Data", "Test Data"),
    ("images_train", "images_val", "images_test"),
    ("train2017", "val2017", "test2017"),
]


def in_parts(*parts, order="{part}/{name}"):
    """FLAT, once in each part; every file has its own content."""
    return {
        order.format(part=part, name=name, label=name[0], file=name[2:]): content + part.encode()
        for part in parts
        for name, content in FLAT.items()
    }


@pytest.mark.parametrize("names", THREE, ids="/".join)
@pytest.mark.parametrize("order", ["{part}/{name}", "x/y/{part}/{name}", "{label}/{part}/{file}"])
def test_validation_images_are_development_images_and_that_is_said(packed, names, order):
    train, validation, test = names
    source = opened(packed(in_parts(*names, order=order), "folder"))
    assert len(source.table) == 12 and set(source.table["label"]) == {"a", "b"}
    for name, split in zip(source.table["source"], source.table["split"], strict=True):
        assert split == ("test" if test in name.split("/") else "train")
    done = "used as development images"
    assert source.findings == [("validation part", validation, done, f"as those of {train} are")]


@pytest.mark.parametrize("names", [("train", "val"), ("Training", "Dev"), ("train", "validation")])
def test_without_a_test_part_all_images_are_one_and_that_is_said(packed, names):
    source = opened(packed(in_parts(*names), "folder"))
    assert len(source.table) == 8 and set(source.table["split"]) == {""}
    assert set(source.table["label"]) == {"a", "b"}
    (said,) = source.findings
    assert said[:3] == ("parts of which none is the test", ", ".join(sorted(names)), "used as one")


WRAPPED = [
    ("seg_train/seg_train", "seg_test/seg_test"),
    ("1_train", "2_test"),
    ("train_resized", "test_resized"),
    ("trn", "tst"),
    ("train/images", "test/images"),
    ("train/train", "test/test"),
]


@pytest.mark.parametrize(("train", "test"), WRAPPED)
def test_parts_are_known_by_a_word_of_their_names_and_by_what_they_hold(packed, train, test):
    beside = {"seg_pred/seg_pred/9.png": picture(), "prediction/9.png": picture()}
    source = opened(packed(in_parts(train, test) | beside, "folder"))
    assert len(source.table) == 8 and set(source.table["label"]) == {"a", "b"}
    for name, split in zip(source.table["source"], source.table["split"], strict=True):
        assert split == ("test" if name.startswith(test) else "train")
    assert {f.where for f in source.findings} == set(beside)


def test_classes_with_words_of_parts_in_their_names_are_classes(packed):
    files = {f"{name}/{i}.png": picture(i) for name in ("test tube", "train car") for i in (1, 2)}
    source = opened(packed(files, "folder", "one"))
    assert set(source.table["label"]) == {"test tube", "train car"} and not source.findings
    deep = {
        f"{name}/{name} {i}/{i}.png": picture(i) for name in ("test a", "train b") for i in (1, 2)
    }
    source = opened(packed(deep, "folder", "two"))
    assert set(source.table["label"]) == {"test a", "train b"} and not source.findings


def test_classes_that_hold_the_same_folders_are_said_to_be_like_parts(packed):
    source = opened(packed(in_parts("entrenamiento", "prueba"), "folder", "one"))
    assert set(source.table["label"]) == {"entrenamiento", "prueba"}
    (said,) = source.findings
    assert said.what == "classes that hold the same folders" and "each holds a, b" in said.detail
    files = in_parts("cat", "dog") | {"cat/1.png": picture()}  # not only these
    assert not opened(packed(files, "folder", "two")).findings


def test_an_image_beside_the_parts_of_a_class_does_not_undo_them(packed):
    parts = in_parts("train", "test", order="{label}/{part}/{file}")
    stray = {"a/cover.png": picture(1), "cover.png": picture(2)}
    source = opened(packed(parts | stray, "folder"))
    assert len(source.table) == 8 and set(source.table["split"]) == {"train", "test"}
    assert {(f.what, f.where) for f in source.findings} == {
        ("image outside of the layout", name) for name in stray
    }


def test_test_and_validation_are_enough(packed):
    source = opened(packed(in_parts("valid", "test"), "folder"))
    assert list(source.table["split"]) == ["test"] * 4 + ["train"] * 4


@pytest.mark.parametrize("below", ["", "unknown/", "images/"])
@pytest.mark.parametrize("others", [("train",), ("train", "val")])
def test_test_images_without_class_folders_are_left_out_aloud(packed, below, others):
    flat = {f"test/{below}{i}.jpg": picture(i, ending="jpg") for i in range(3)}
    source = opened(packed(in_parts(*others) | flat, "folder"))
    assert len(source.table) == 4 * len(others) and set(source.table["split"]) == {""}
    assert set(source.table["label"]) == {"a", "b"}
    left = [f.where for f in source.findings if f.what == "image without a class folder"]
    assert sorted(left) == sorted(flat)


def test_classes_may_be_called_as_parts_are(packed):
    """One alone is no layout; and where there are no class folders below, `select` asks."""
    files = {f"{name}/{i}.png": picture(i) for name in ("train", "car") for i in (1, 2)}
    assert set(opened(packed(files, "folder", "one")).table["label"]) == {"car", "train"}
    deep = {f"{name}/more/{i}.png": picture(i) for name in ("train", "car") for i in (1, 2)}
    assert set(opened(packed(deep, "folder", "two")).table["label"]) == {"car", "train"}
    flat = {f"{name}/{i}.png": picture(i) for name in ("train", "val") for i in (1, 2)}
    assert set(opened(packed(flat, "folder", "three")).table["label"]) == {"train", "val"}


@pytest.mark.parametrize("packing", PACKINGS)
def test_folders_that_wrap_all_are_seen_through_whatever_lies_beside(packed, packing):
    beside = {"flowers/preview.png": picture(9), "cover.jpg": picture(9, ending="jpg")}
    beside |= {"__MACOSX/flowers/x/a/._1.png": b"x", "flowers/x/@eaDir/1.png/thumb.jpg": b"x"}
    files = {f"flowers/x/{name}": content for name, content in FLAT.items()}
    source = opened(packed(files | beside, packing))
    assert list(source.table["source"]) == sorted(files)
    assert set(source.table["label"]) == {"a", "b"}
    assert {f.where for f in source.findings} == set(beside)


ENDINGS = ["", ".jfif", ".jpe", ".dat", ".txt", ".jpg_large", ".2021", ".JPG.bak"]


@pytest.mark.parametrize("packing", PACKINGS)
def test_an_image_is_one_by_its_bytes_whatever_its_ending(packed, packing):
    kinds = ["png", "jpg", "gif", "bmp", "webp", "tiff"]
    files = {
        f"{label}/{kind}{i}{ending}": picture(i, ending=kind)
        for label in "ab"
        for kind in kinds
        for i, ending in enumerate(ENDINGS)
    }
    strangers = {f"a/x{ending}": b"no image" for ending in ENDINGS if ending[:2] != ".j"}
    strangers |= {"a/x.jpg_large": b"no image", "a/empty": b""}
    source = opened(packed(strangers | files, packing))
    assert list(source.table["source"]) == sorted(files)
    assert found(source) == dict.fromkeys(strangers, ("not an image by its bytes", "left out"))
    assert all(decoded(source, row).shape == (4, 5, 3) for row in range(len(files)))
    path = packed(strangers | files, packing, "flat")
    assert len(SOURCES["unlabelled"].open_source(str(path)).table) == len(files)


def test_images_of_kinds_that_are_not_read_are_not_passed_over(packed):
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)
    source = opened(packed(FLAT | {"a/1.HEIC": heic, "a/2": heic, "a/3.psd": b"8BPS"}, "folder"))
    assert {"a/1.HEIC", "a/2", "a/3.psd"} <= set(source.table["source"])


def test_endings_may_be_capitals_and_folders_below_a_class_belong_to_it(packed):
    files = {"a/1.PNG": picture(), "a/more/2.Jpg": picture(ending="jpg"), "b/1.png": picture()}
    table = opened(packed(files, "folder")).table
    assert list(table["label"]) == ["a", "a", "b"]


NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def test_a_damaged_member_does_not_hide_the_others(packed):
    path = packed(FLAT, "zip")
    content = bytearray(path.read_bytes())
    at = content.index(FLAT["a/1.png"]) + 20
    content[at] ^= 0xFF
    path.write_bytes(content)
    source = opened(path)
    bad, good = source.read(source.keys[:2])
    assert isinstance(bad, Exception)
    assert isinstance(good, bytes)


@pytest.mark.parametrize("packing", ["tar", "tar.gz"])
def test_an_archive_that_is_cut_off_is_refused(packed, packing):
    path = packed({f"{k}/{i}.png": NOISE.tobytes() for i in range(20) for k in "ab"}, packing)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UserError, match=r"raw\.tar.*damaged"):
        opened(path)


@pytest.mark.parametrize("packing", ["tar", "tar.gz"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda whole, at: whole[:at],
        lambda whole, at: whole[: at + 100],
        lambda whole, at: whole[:at] + b"\xff" * 20 + whole[at + 20 :],
        lambda whole, at: whole[:at] + bytes(512) + whole[at + 512 :],
    ],
    ids=["cut before a header", "cut in it", "header overwritten", "header of zeros"],
)
def test_a_tar_whose_headers_break_off_is_refused(packed, packing, damage):
    path = packed(FLAT, "tar")
    with tarfile.open(path) as archive:
        at = archive.getmember("b/1.png").offset
    content = damage(path.read_bytes(), at)
    path = path.with_name(f"damaged.{packing}")
    path.write_bytes(gzip.compress(content) if packing == "tar.gz" else content)
    with pytest.raises(UserError, match=r"damaged\.tar.*damaged or cut off after 2 files"):
        opened(path)


@pytest.mark.parametrize("blocks", [1, 2, 20])
def test_a_tar_may_end_with_one_block_of_zeros_or_more(packed, blocks):
    path = packed(FLAT, "tar")
    with tarfile.open(path) as archive:
        last = archive.getmembers()[-1]
        end = last.offset_data + 512 * -(-last.size // 512)
    path.write_bytes(path.read_bytes()[:end] + bytes(512 * blocks))
    assert len(opened(path).table) == len(FLAT)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "no images found.*one folder a class"),
        (lambda path: path.write_bytes(b"text"), "not a folder, .tar or .zip"),
        (lambda path: path.write_bytes(b""), "not a folder, .tar or .zip"),
        (lambda path: zipfile.ZipFile(path, "w").close(), "no images found"),
    ],
    ids=["missing", "empty folder", "text", "empty file", "empty archive"],
)
def test_a_place_without_images_is_refused(tmp_path, make, told):
    path = tmp_path / "here"
    make(path)
    with pytest.raises(UserError, match=rf"data\.raw = .*here.*{told}"):
        opened(path)


def found(source):
    """What was said of each place: where -> (what, done)."""
    return {f.where: (f.what, f.done) for f in source.findings}


def test_what_is_left_out_is_listed(packed, tmp_path):
    strangers = {
        ".git/x.png": picture(),
        "a/Thumbs.db": b"x",
        "readme.png": picture(),
        "empty/notes.txt": b"x",
    }
    said = found(opened(packed(strangers | FLAT, "folder")))
    assert said == {
        ".git/x.png": ("hidden file", "left out"),
        "a/Thumbs.db": ("not an image by its bytes", "left out"),
        "empty/notes.txt": ("not an image by its bytes", "left out"),
        "readme.png": ("image outside of the layout", "left out"),
        "empty": ("class without images", "left out"),
    }


def test_links_and_what_is_no_file_are_listed(packed, tmp_path):
    path = packed(FLAT, "folder")
    (tmp_path / "elsewhere.png").write_bytes(picture())
    (path / "a/linked.png").symlink_to(tmp_path / "elsewhere.png")
    (path / "a/broken.png").symlink_to(tmp_path / "nothing.png")
    (path / "a/round").symlink_to(path)
    (tmp_path / "more").mkdir()
    (tmp_path / "more/1.png").write_bytes(picture())
    (path / "c").symlink_to(tmp_path / "more")
    (path / "b/again").symlink_to(path / "a")
    os.mkfifo(path / "a/pipe.png")
    server = socket.socket(socket.AF_UNIX)
    try:
        server.bind(str(path / "b/socket.png"))
    finally:
        server.close()
    source = opened(path)
    more = ["a/linked.png", "c/1.png", *(f"b/again/{i}.png" for i in ("1", "2", "linked"))]
    assert list(source.table["source"]) == sorted([*FLAT, *more])
    labels = dict(zip(source.table["source"], source.table["label"], strict=True))
    assert (labels["c/1.png"], labels["b/again/1.png"]) == ("c", "b")
    assert all(isinstance(content, bytes) for content in source.read(source.keys))
    said = found(source)
    assert said.pop("c") == said.pop("b/again") == ("link to a folder", "followed")
    assert said.pop("b/again/linked.png") == ("link to a file", "followed")
    for name in ("broken", "round", "pipe"):
        ending = "" if name == "round" else ".png"
        assert said.pop(f"b/again/{name}{ending}") == said[f"a/{name}{ending}"]
    assert said == {
        "a/linked.png": ("link to a file", "followed"),
        "a/broken.png": ("broken link", "left out"),
        "a/round": ("link that leads in a circle", "left out"),
        "a/pipe.png": ("not a file (device, pipe or socket)", "left out"),
        "b/socket.png": ("not a file (device, pipe or socket)", "left out"),
    }


def test_a_file_that_goes_away_or_may_not_be_read_is_an_exception_in_its_place(packed):
    path = packed(FLAT, "folder")
    source = opened(path)
    (path / "a/1.png").unlink()
    gone, there = source.read(source.keys[:2])
    assert isinstance(gone, OSError) and str(gone) == "No such file or directory"
    assert there == FLAT["a/2.png"]


def test_a_file_too_large_to_be_an_image_is_not_read(packed, monkeypatch):
    monkeypatch.setattr(_files, "LARGEST", 1000)
    big = {"a/big.png": bytes(1001)}
    source = opened(packed(FLAT | big, "folder"))
    (content,) = source.read(["a/big.png"])
    assert "larger" in str(content)
    for packing in ("tar", "zip"):
        source = opened(packed(FLAT | big, packing))
        assert "a/big.png" not in list(source.table["source"])
        assert "larger" in found(source)["a/big.png"][0]


ODD = ["a b", "ünï çødé", "日本", "x" * 240, "line\nbreak", "tab\t", "quote\"'", "100%", "[x]*?"]


@pytest.mark.parametrize("packing", PACKINGS)
def test_odd_names_are_read(packed, packing):
    files = {f"{label}/{name}.png": picture() for label in ("a", "b c") for name in ODD}
    source = opened(packed(files, packing))
    assert len(source.table) == len(files)
    assert set(source.table["label"]) == {"a", "b c"}
    assert all(name.isprintable() for name in source.table["source"])
    assert all(isinstance(content, bytes) for content in source.read(source.keys))


@pytest.mark.parametrize(
    ("label", "encoding"), [("Café", "utf-8"), ("猫", "utf-8"), ("Café", "cp437")]
)
def test_names_of_a_zip_that_says_nothing_of_them(packed, monkeypatch, label, encoding):
    """macOS writes UTF-8 so, old programs code page 437."""
    monkeypatch.setattr(
        zipfile.ZipInfo, "_encodeFilenameFlags", lambda self: (self.filename.encode(encoding), 0)
    )
    files = {name.replace("a/", f"{label}/"): content for name, content in FLAT.items()}
    path = packed(files, "zip")
    with zipfile.ZipFile(path) as archive:
        assert not any(member.flag_bits for member in archive.infolist())
    source = opened(path)
    assert list(source.table["source"]) == sorted(files)
    assert set(source.table["label"]) == {label, "b"}
    assert source.read(source.keys) == [files[name] for name in sorted(files)]


def test_a_name_that_is_not_utf_8_can_be_written_down(packed):
    path = packed(FLAT, "folder")
    (path / "a" / os.fsdecode(b"\xff.png")).write_bytes(picture())
    source = opened(path)
    assert "a/\\udcff.png" in list(source.table["source"])
    assert all(isinstance(content, bytes) for content in source.read(source.keys))
    source.table["source"].str.encode("utf-8")


def add(path, kind, name, target="", mode=0o644):
    """Add a member that is no plain file to an archive."""
    if path.suffix == ".zip":
        member = zipfile.ZipInfo(name)
        modes = {tarfile.SYMTYPE: 0o120000, tarfile.CHRTYPE: 0o020000, tarfile.FIFOTYPE: 0o010000}
        member.external_attr = (modes[kind] | mode) << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(member, target)
    else:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, target
        with tarfile.open(path, "a") as archive:
            archive.addfile(member)


@pytest.mark.parametrize("packing", PACKINGS[1:])
@pytest.mark.parametrize(
    "name", ["/evil/1.png", "../evil/1.png", "a/../../evil/1.png", "a/../b.png"]
)
def test_an_archive_whose_names_lead_out_of_it_is_refused(packed, packing, name):
    path = packed(FLAT | {name: picture()}, packing)
    with pytest.raises(UserError, match=r"leads out of it; nothing was read"):
        opened(path)


LINKS = ["/etc/passwd", "../../secret.png", "../b/../../secret.png"]


@pytest.mark.parametrize("packing", ["tar", "zip"])
@pytest.mark.parametrize("target", LINKS)
def test_an_archive_whose_links_lead_out_of_it_is_refused(packed, packing, target):
    path = packed(FLAT, packing)
    add(path, tarfile.SYMTYPE, "a/link.png", target)
    with pytest.raises(UserError, match=r"'a/link.png' links to .*leads out of it"):
        opened(path)


def test_a_hard_link_that_leads_out_is_refused(packed):
    path = packed(FLAT, "tar")
    add(path, tarfile.LNKTYPE, "a/link.png", "../secret.png")
    with pytest.raises(UserError, match="leads out of it"):
        opened(path)


@pytest.mark.parametrize("packing", ["tar", "zip"])
def test_links_to_files_inside_an_archive_are_followed_and_all_are_listed(packed, packing):
    path = packed(FLAT, packing)
    links = {"a/link.png": "../b/1.png", "a/chain": "link.png", "a/none.png": "gone.png"}
    links |= {"c": "b", "a/round.png": "round.png"}
    for name, target in links.items():
        add(path, tarfile.SYMTYPE, name, target)
    source = opened(path)
    assert list(source.table["source"]) == sorted([*FLAT, "a/link.png", "a/chain"])
    assert found(source) == {
        "a/link.png": ("link to a file", "followed"),
        "a/chain": ("link to a file", "followed"),
        "a/none.png": ("broken link", "left out"),
        "a/round.png": ("broken link", "left out"),
        "c": ("link to a folder, in an archive", "left out"),
    }
    contents = dict(zip(source.table["source"], source.read(source.keys), strict=True))
    assert contents["a/link.png"] == contents["a/chain"] == FLAT["b/1.png"]


def test_hard_links_in_a_tar_are_the_files_they_lead_to(packed):
    path = packed(FLAT, "tar")
    add(path, tarfile.LNKTYPE, "b/link.png", "a/1.png")
    source = opened(path)
    contents = dict(zip(source.table["source"], source.read(source.keys), strict=True))
    assert contents["b/link.png"] == FLAT["a/1.png"]


@pytest.mark.parametrize("packing", ["tar", "zip"])
def test_backslashes_of_an_archive_made_on_windows_are_folders(packed, packing):
    path = packed({f"photos\\{n}".replace("/", "\\"): c for n, c in FLAT.items()}, packing)
    source = opened(path)
    assert list(source.table["source"]) == [f"photos/{name}" for name in sorted(FLAT)]
    assert list(source.table["label"]) == ["a", "a", "b", "b"]
    assert source.read(source.keys) == [FLAT[name] for name in sorted(FLAT)]
    out = packed({"a\\..\\..\\evil.png": picture()}, packing, "evil")
    with pytest.raises(UserError, match="leads out of it"):
        opened(out)


def test_mixed_separators_of_a_zip_made_on_windows_are_folders(tmp_path):
    path = tmp_path / "raw.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in {"photos/a\\": b"", "photos/a\\1.png": FLAT["a/1.png"]}.items():
            member = zipfile.ZipInfo(name)
            member.create_system = 0
            archive.writestr(member, content)
        archive.writestr("photos/b/we\\ird.png", FLAT["b/1.png"])  # whose maker was not Windows
    source = opened(path)
    assert list(source.table["source"]) == ["photos/a/1.png", "photos/b/we\\ird.png"]


@pytest.mark.parametrize("packing", ["tar", "zip"])
def test_of_files_of_one_name_in_an_archive_the_last_is_read_and_that_is_said(tmp_path, packing):
    path = tmp_path / f"x.{packing}"
    files = [("a/1.png", 1), ("b/1.png", 2), ("a/1.png", 3)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if packing == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                for name, seed in files:
                    archive.writestr(name, picture(seed))
        else:
            with tarfile.open(path, "w") as archive:
                for name, seed in files:
                    member = tarfile.TarInfo(name)
                    member.size = len(picture(seed))
                    archive.addfile(member, io.BytesIO(picture(seed)))
    source = SOURCES["image_folder"].open_source(str(path))
    assert source.read(source.keys) == [picture(3), picture(2)]
    what = "earlier file of the same name in the archive"
    assert [f[:3] for f in source.findings] == [(what, "a/1.png", "left out")]


@pytest.mark.parametrize("packing", ["tar", "zip"])
@pytest.mark.parametrize("kind", [tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_an_archive_with_devices_or_pipes_is_refused(packed, packing, kind):
    path = packed(FLAT, packing)
    add(path, kind, "a/device.png")
    with pytest.raises(UserError, match="device or pipe"):
        opened(path)


@pytest.mark.parametrize("packing", ["tar.gz", "zip"])
def test_an_archive_that_unpacks_to_far_more_than_it_is_is_refused(
    packed, packing, monkeypatch, tmp_path
):
    monkeypatch.setattr(_files, "BOMB", 2**20)
    path = packed(FLAT, packing)
    content = bytes(2**21)
    if packing == "zip":
        with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a/3.png", content)
    else:
        path = packed(FLAT | {"a/3.png": content}, packing)
    with pytest.raises(UserError, match=r"unpack to 2\d{6} or more.*nothing was read"):
        opened(path)


def test_a_bomb_of_many_small_files_is_refused(packed, monkeypatch):
    monkeypatch.setattr(_files, "BOMB", 2**20)
    path = packed({f"a/{i}.png": bytes(2**15) for i in range(64)}, "tar.gz")
    with pytest.raises(UserError, match="unpack to"):
        opened(path)


@pytest.mark.parametrize("packing", ["tar", "tar.gz", "zip"])
def test_reading_an_archive_writes_nothing(packed, packing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = packed(FLAT | {"a//7.png": picture(), "./b/./8.png": picture()}, packing)
    before = sorted(tmp_path.rglob("*"))
    source = opened(path)
    assert list(source.table["source"]) == sorted([*FLAT, "a/7.png", "b/8.png"])
    for row in range(len(source.table)):
        assert decoded(source, row).shape == (4, 5, 3)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_compressed_archive_is_read_from_front_to_back(packed):
    files = {
        f"{'ab'[i % 2]}/{i:02}.png": picture(int(i))
        for i in np.random.default_rng(0).permutation(40)
    }
    source = opened(packed(files, "tar.gz"))
    assert not source.parallel
    in_order = [source.table["source"][i] for i in np.argsort(source.order)]
    assert in_order == list(files)


def test_a_folder_behind_a_url_is_read_like_one_here(packed, tmp_path):
    memory = fsspec.filesystem("memory")
    strangers = {"a/.hidden.png": picture(), "a/notes.txt": b"x", "a/[x]*?.png": picture()}
    for name, content in (SPLIT | {f"train/{n}": c for n, c in strangers.items()}).items():
        memory.pipe(f"/bucket/photos/{name}", content)
    try:
        source = opened("memory://bucket/photos")
        here = opened(packed(SPLIT | {f"train/{n}": c for n, c in strangers.items()}, "folder"))
        assert source.table.equals(here.table)
        assert sorted(source.findings) == sorted(here.findings)
        assert not source.parallel
        assert source.read(source.keys) == here.read(here.keys)
        memory.rm("/bucket/photos/train/a/1.png")
        gone = list(source.table["source"]).index("train/a/1.png")
        assert isinstance(source.read(source.keys)[gone], Exception)
    finally:
        memory.store.clear()


@pytest.mark.parametrize("packing", ["tar", "tar.gz", "zip"])
def test_an_archive_behind_a_url_is_read_in_place(packed, packing):
    memory = fsspec.filesystem("memory")
    memory.pipe("/bucket/raw", packed(FLAT, packing).read_bytes())
    try:
        source = opened("memory://bucket/raw")
        assert list(source.table["source"]) == sorted(FLAT)
        assert source.read(source.keys) == [FLAT[name] for name in sorted(FLAT)]
    finally:
        memory.store.clear()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("memory://nothing/here", "no such file"),
        ("nosuch://bucket", "nosuch"),
        ("s4://bucket", "requirements-data"),
    ],
)
def test_a_url_that_cannot_serve_is_refused(place, told):
    with pytest.raises(UserError, match=rf"data\.remote = '{place}': .*{told}"):
        opened(place)


def tabled(folder, rows, ending="csv", **files):
    """A folder with images and a table of them."""
    for name, content in (FLAT | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    path = folder / f"table.{ending}"
    table = pd.DataFrame(rows)
    if ending == "parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if ending == "tsv" else ",")
    return path


ROWS = {
    "path": ["b/1.png", "a/2.png", "a/1.png", "b/2.png"],
    "label": ["001", "NA", "NA", "001"],
    "group": ["p1", "", "p1", None],
    "split": ["train", "test", "train", "test"],
}


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize("whole", [False, True], ids=["table", "its folder"])
def test_a_table_says_labels_groups_and_splits(tmp_path, ending, whole):
    path = tabled(tmp_path, ROWS, ending)
    source = SOURCES["image_table"].open_source(str(tmp_path if whole else path))
    table = source.table
    assert list(table["source"]) == ["a/1.png", "a/2.png", "b/1.png", "b/2.png"]
    assert list(table["label"]) == ["NA", "NA", "001", "001"]
    assert list(table["group"]) == ["p1", "a/2.png", "p1", "b/2.png"]
    assert list(table["split"]) == ["train", "test", "train", "test"]
    assert source.read(source.keys) == [FLAT[name] for name in table["source"]]


def test_a_table_s_rows_may_be_in_any_order_and_its_columns_too(tmp_path):
    mixed = pd.DataFrame(ROWS)[["label", "split", "path", "group"]].iloc[[2, 0, 3, 1]]
    one = SOURCES["image_table"].open_source(str(tabled(tmp_path / "1", ROWS)))
    other = SOURCES["image_table"].open_source(str(tabled(tmp_path / "2", mixed)))
    assert one.table.equals(other.table)


def test_a_table_written_on_windows_finds_its_images(tmp_path):
    odd = "a/we\\ird.png"
    rows = {"path": ["a\\1.png", "./b\\1.png", odd], " label": ["x", "y", "y"]}
    path = tabled(tmp_path, rows, **{odd: picture(7)})
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    source = SOURCES["image_table"].open_source(str(path))
    contents = dict(zip(source.table["source"], source.read(source.keys), strict=True))
    expected = {"a\\1.png": FLAT["a/1.png"], "./b\\1.png": FLAT["b/1.png"], odd: picture(7)}
    assert contents == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_of_excel_is_read(tmp_path, encoding, separator, ending):
    tabled(tmp_path, {})
    (tmp_path / "table.csv").unlink()
    lines = ['path|label|"note, 1"', '"a/1.png"|café|"x;y, ""z"""|', "b/1.png|dog", "||", ""]
    path = tmp_path / f"table.{ending}"
    path.write_bytes("\r\n".join(lines).replace("|", separator).encode(encoding))
    table = SOURCES["image_table"].open_source(str(path)).table
    assert list(table["source"]) == ["a/1.png", "b/1.png"]
    assert list(table["label"]) == ["café", "dog"]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("path,label\na/1.png,café\n".encode("cp1252"), "save it as UTF-8"),
        (b"path,label\na/1.png,cat, grey\n", "2 columns, but more fields in the row a/1.png,cat,"),
        (b"path,label, label\na/1.png,cat,dog\n", "allowed: each of them once"),
        (b"image,cat,dog\na/1.png,0,1\n", "missing: path, label"),
    ],
)
def test_a_table_that_may_be_read_in_two_ways_is_refused(tmp_path, content, told):
    (tmp_path / "table.csv").write_bytes(content)
    with pytest.raises(UserError, match=told):
        SOURCES["image_table"].open_source(str(tmp_path / "table.csv"))


def test_what_a_table_leaves_out_is_said(tmp_path):
    rows = {
        "path": ["a/1.png", "./a/2.png", "b\\1.png", "b/2.png", "b/2.png", "a/9.png"],
        "label": ["x", "x", "y", "y", "y", " "],
    }
    tabled(tmp_path, rows, **{"a/3.png": picture(3), "b/notes.txt": b"x", "a/odd": picture(4)})
    source = SOURCES["image_table"].open_source(str(tmp_path))
    assert list(source.table["source"]) == ["./a/2.png", "a/1.png", "b/2.png", "b\\1.png"]
    assert sorted(f[:3] for f in source.findings) == [
        ("file that the table does not name", "a/3.png", "left out"),
        ("file that the table does not name", "a/odd", "left out"),
        ("image without a label", "a/9.png", "left out"),
        ("row that is there again", "b/2.png", "left out"),
    ]


def test_the_parts_of_a_table_have_their_usual_names(tmp_path):
    rows = ROWS | {"split": ["Train", "TEST", "validation", "test"]}
    source = SOURCES["image_table"].open_source(str(tabled(tmp_path, rows)))
    assert list(source.table["split"]) == ["train", "test", "train", "test"]
    assert [f.what for f in source.findings] == ["validation part"]


LABELS = ["yes", "NaN", "1e3", "007", "null", "true", "nan", "猫", "1", "01"]


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "bytes"])
def test_labels_stay_as_they_are_written(tmp_path, ending):
    paths = [f"{i:02}.png" for i in range(len(LABELS))]
    labels = [label.encode() for label in LABELS] if ending == "bytes" else LABELS
    path = tabled(
        tmp_path, {"path": paths, "label": labels}, "parquet" if ending == "bytes" else ending
    )
    assert list(SOURCES["image_table"].open_source(str(path)).table["label"]) == LABELS


def test_a_file_that_a_table_names_and_is_not_there_is_an_exception_in_its_place(tmp_path):
    path = tabled(tmp_path, {"path": ["a/1.png", "a/none.png"], "label": ["x", "y"]})
    source = SOURCES["image_table"].open_source(str(path))
    there, missing = source.read(source.keys)
    assert isinstance(there, bytes) and isinstance(missing, OSError)
    assert set(source.table["split"]) == {""}


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"path": ["a/1.png"], "class": ["x"]}, "missing: label"),
        ({"path": ["a/1.png", "a/1.png"], "label": ["x", "y"]}, "'a/1.png' is listed twice"),
        ({"path": ["a/1.png"], "label": [""]}, "no label"),
        ({"path": ["", "a/1.png"], "label": ["x", "y"]}, "no path"),
        ({"path": ["a/1.png"], "label": ["x"], "split": ["fold1"]}, r"split \['fold1'\]; allowed"),
        (
            {"path": ["a/1.png", "a/2.png"], "label": ["x", "y"], "split": ["train", ""]},
            "allowed: train, validation and test",
        ),
    ],
)
def test_a_table_that_does_not_say_enough_is_refused(tmp_path, rows, told):
    path = tabled(tmp_path, rows)
    with pytest.raises(UserError, match=rf"data\.raw = .*table\.csv.*{told}"):
        SOURCES["image_table"].open_source(str(path))


@pytest.mark.parametrize("column", ["path", "label", "group", "split"])
@pytest.mark.parametrize("value", [["a", "b"], [], {"a": 1}])
def test_lists_in_a_table_are_refused(tmp_path, column, value):
    path = tabled(tmp_path, ROWS | {column: [value] * 4}, "parquet")
    told = rf"table\.parquet.*column {column} holds .*; allowed: one text or number"
    with pytest.raises(UserError, match=told):
        SOURCES["image_table"].open_source(str(path))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), r"tables \[\]; expected: one"),
        (lambda path: path.write_text("x"), "allowed endings: .csv .tsv .parquet"),
    ],
    ids=["missing", "empty folder", "text"],
)
def test_a_place_without_a_table_is_refused(tmp_path, make, told):
    path = tmp_path / "here"
    make(path)
    with pytest.raises(UserError, match=told):
        SOURCES["image_table"].open_source(str(path))


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_damaged_table_is_refused(tmp_path, ending):
    path = tmp_path / f"t.{ending}"
    path.write_bytes(b"\xff\x00PAR1" * 9)
    with pytest.raises(UserError, match="not a table that can be read"):
        SOURCES["image_table"].open_source(str(path))


def test_a_table_behind_a_url_finds_its_images_beside_it():
    memory = fsspec.filesystem("memory")
    memory.pipe("/set/images/1.png", FLAT["a/1.png"])
    memory.pipe("/set/list.csv", b"path,label\nimages/1.png,x\n")
    try:
        source = SOURCES["image_table"].open_source("memory://set/list.csv")
        assert source.read(source.keys) == [FLAT["a/1.png"]]
    finally:
        memory.store.clear()


RNG = np.random.default_rng(1)
GREYS = RNG.integers(0, 256, (6, 4, 5), np.uint8)
COLOURS = RNG.integers(0, 256, (6, 4, 5, 3), np.uint8)


@pytest.mark.parametrize("images", [GREYS, GREYS[..., None], COLOURS], ids=["n h w", "grey", "rgb"])
@pytest.mark.parametrize("labels", [np.arange(6), np.arange(6)[:, None], np.array(list("abcdef"))])
def test_npz_of_images_and_labels(tmp_path, images, labels):
    np.savez_compressed(tmp_path / "x.npz", images=images, labels=labels, groups=np.arange(6) // 2)
    source = SOURCES["npz"].open_source(str(tmp_path / "x.npz"))
    assert list(source.table["label"]) == [str(label) for label in labels.ravel()]
    assert list(source.table["group"]) == list("001122")
    assert set(source.table["split"]) == {""}
    read = source.read(source.keys)
    assert {image.ndim for image in read} == {3}
    np.testing.assert_array_equal(np.stack(read), images.reshape(6, 4, 5, -1))


def test_npz_labels_may_be_bytes(tmp_path):
    labels = np.array([label.encode() for label in LABELS[-6:]])
    np.savez(tmp_path / "x.npz", images=GREYS, labels=labels)
    table = SOURCES["npz"].open_source(str(tmp_path / "x.npz")).table
    assert list(table["label"]) == LABELS[-6:]


@pytest.mark.parametrize(("x", "y"), [("x_{}", "y_{}"), ("{}_images", "{}_labels")])
def test_npz_with_a_validation_part(tmp_path, x, y):
    arrays = {}
    for i, part in enumerate(("train", "val", "test")):
        arrays |= {x.format(part): GREYS[i : i + 2], y.format(part): np.array([i, 1])}
    np.savez(tmp_path / "x.npz", **arrays)
    source = SOURCES["npz"].open_source(str(tmp_path / "x.npz"))
    assert list(source.table["split"]) == ["train"] * 4 + ["test"] * 2
    assert list(source.table["label"]) == ["0", "1", "1", "1", "2", "1"]
    assert [f.where for f in source.findings] == ["val"]


def test_arrays_of_an_npz_that_are_not_read_are_said(tmp_path):
    arrays = {"x_train": 3, "y_train": 3, "x_test": 2, "y_test": 2, "x_val": 2, "x_extra": 4}
    made = {
        name: np.arange(n) if name[0] == "y" else np.zeros((n, 4, 4), np.uint8)
        for name, n in arrays.items()
    }
    np.savez(tmp_path / "x.npz", **made)
    source = SOURCES["npz"].open_source(str(tmp_path / "x.npz"))
    assert [f[:3] for f in source.findings] == [
        ("array that is not read", name, "left out") for name in ("x_extra", "x_val")
    ]


IMAGES = np.zeros((4, 6, 6, 3), np.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (IMAGES.astype(np.float32) / 255, np.arange(4), "images is float32"),
        (IMAGES.astype(np.uint16), np.arange(4), "images is uint16"),
        (IMAGES > 0, np.arange(4), "images is bool"),
        (IMAGES.transpose(0, 3, 1, 2), np.arange(4), r"uint8 \(4, 3, 6, 6\); expected"),
        (IMAGES[..., 0].transpose(1, 2, 0), np.arange(4), "labels is int64"),
        (IMAGES, np.eye(4, dtype=int), "one for each image"),
        (IMAGES, np.arange(4.0), "labels is float64"),
        (IMAGES, np.array(["a", "b", None, 1], object), "allow_pickle"),
    ],
)
def test_arrays_of_other_forms_are_refused_and_never_guessed(tmp_path, images, labels, told):
    np.savez(tmp_path / "x.npz", images=images, labels=labels)
    with pytest.raises(UserError, match=told):
        SOURCES["npz"].open_source(str(tmp_path / "x.npz"))


def test_npz_with_the_names_that_keras_gives(tmp_path):
    labels = np.arange(6) % 3
    np.savez(tmp_path / "x.npz", x_train=GREYS, y_train=labels, x_test=GREYS[:2], y_test=labels[:2])
    source = SOURCES["npz"].open_source(str(tmp_path / "x.npz"))
    assert list(source.table["split"]) == ["train"] * 6 + ["test"] * 2
    assert source.table["source"].is_unique
    np.testing.assert_array_equal(source.read([6])[0][..., 0], GREYS[0])


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"a": GREYS}, "holds the arrays a; expected"),
        ({"images": GREYS / 255, "labels": np.arange(6)}, "images is float64"),
        ({"images": GREYS, "labels": np.arange(5)}, "6 whole numbers or names"),
        ({"images": GREYS, "labels": 5}, r"labels is int64 \(\); expected: 6 whole numbers"),
        ({"images": 5, "labels": 5}, r"images is int64 \(\); expected"),
        ({"images": GREYS[:, :, :0], "labels": np.arange(6)}, r"images is uint8 \(6, 4, 0\)"),
        (
            {"x_train": GREYS, "y_train": np.arange(6), "x_test": GREYS[:0], "y_test": [0][:0]},
            r"x_test is uint8 \(0, 4, 5\); expected: .* none of them 0",
        ),
        ({"images": GREYS, "labels": np.arange(6) / 2}, "6 whole numbers or names"),
        ({"images": COLOURS[..., :2], "labels": np.arange(6)}, r"1 or 3"),
        ({"images": GREYS, "labels": np.array([None] * 6)}, "cannot be loaded|read"),
        (
            {"images": GREYS, "labels": np.arange(6), "splits": np.array(["fold1"] * 6)},
            "allowed: train, validation and test",
        ),
    ],
)
def test_an_npz_of_something_else_is_refused(tmp_path, arrays, told):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=rf"data\.raw = .*x\.npz.*({told})"):
        SOURCES["npz"].open_source(str(tmp_path / "x.npz"))


@pytest.mark.parametrize("content", [None, b"", b"x", b"PK\x03\x04"])
def test_a_file_that_is_no_npz_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "x.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"x\.npz"):
        SOURCES["npz"].open_source(str(tmp_path / "x.npz"))


def test_a_zip_of_something_else_is_no_npz(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("images", b"no array")
        archive.writestr("labels", b"")
    with pytest.raises(UserError, match=r"x\.npz.*images is \|S8"):
        SOURCES["npz"].open_source(str(tmp_path / "x.npz"))


NAMES = ["cat", "dog"]


NAMED = {"_type": "ClassLabel", "names": ["a", "b"]}


def parquet(path, labels=(0, 1, 0), names=NAMES, column="image", start=0, rows=2):
    """A Parquet file as the Hugging Face Hub serves data sets of images."""
    content = list(FLAT.values())
    cells = [{"bytes": content[start + i], "path": f"{i}.png"} for i in range(len(labels))]
    table = pa.table({column: cells, "label": list(labels)})
    if names:
        features = {column: {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}
        about = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({"huggingface": about})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=rows)
    return path


def test_parquet_of_the_hub_is_read_without_its_package(tmp_path):
    parquet(tmp_path / "data/train-00000-of-00002.parquet")
    parquet(tmp_path / "data/train-00001-of-00002.parquet", [1], start=3)
    parquet(tmp_path / "data/validation-00000-of-00001.parquet", [1])
    parquet(tmp_path / "data/test-00000-of-00001.parquet", [0, 1])
    source = SOURCES["huggingface"].open_source(str(tmp_path))
    assert list(source.table["split"]) == ["test"] * 2 + ["train"] * 5
    assert list(source.table["label"]) == ["cat", "dog", "cat", "dog", "cat", "dog", "dog"]
    assert source.table["source"].is_unique
    content = list(FLAT.values())
    expected = [content[i] for i in (0, 1, 0, 1, 2, 3, 0)]
    assert [tuple(f)[:2] for f in source.findings] == [("validation part", "validation")]
    assert pickle.loads(pickle.dumps(source.read))(source.keys) == expected


def test_the_splits_of_parquet_may_be_folders(tmp_path):
    for part in ("train", "test"):
        parquet(tmp_path / f"default/{part}/0000.parquet")
    source = SOURCES["huggingface"].open_source(str(tmp_path))
    assert list(source.table["split"]) == ["test"] * 3 + ["train"] * 3


def test_unlabelled_images_of_parquet_are_left_out_aloud(tmp_path):
    parquet(tmp_path / "train-0.parquet", [0, 1, None])
    parquet(tmp_path / "test-0.parquet", [-1, -1])
    source = SOURCES["huggingface"].open_source(str(tmp_path))
    assert list(source.table["source"]) == ["train-0.parquet/0", "train-0.parquet/1"]
    assert set(source.table["split"]) == {""}
    assert source.read(source.keys) == list(FLAT.values())[:2]
    assert [f[:3] for f in source.findings] == [
        ("image without a label", f"{row}", "left out")
        for row in ("test-0.parquet/0", "test-0.parquet/1", "train-0.parquet/2")
    ]


def test_splits_of_other_names_make_all_images_one_and_that_is_said(tmp_path):
    for part in ("train", "test", "unsupervised"):
        parquet(tmp_path / f"{part}-0.parquet")
    source = SOURCES["huggingface"].open_source(str(tmp_path))
    assert set(source.table["split"]) == {""}
    (said,) = source.findings
    assert said[:3] == ("parts of other names", "test, train, unsupervised", "used as one")
    assert said.detail.startswith("unsupervised: known are train, validation and test;")


@pytest.mark.parametrize(
    ("about", "labels"),
    [
        ({"image": {"_type": "Image"}, "label": NAMED, "tags": [{"_type": "Value"}]}, ["a", "b"]),
        ({"label": NAMED}, ["a", "b"]),
        ([], ["0", "1"]),
        (None, ["0", "1"]),
    ],
)
def test_of_what_is_said_of_columns_what_can_be_used_is(tmp_path, about, labels):
    """A list stands for lists; what is no description is as none."""
    cells = [{"bytes": content, "path": None} for content in list(FLAT.values())[:2]]
    table = pa.table({"image": cells, "label": [0, 1], "tags": [["x"], []]})
    said = json.dumps({"info": {"features": about}} if about is not None else [])
    pq.write_table(table.replace_schema_metadata({"huggingface": said}), tmp_path / "x.parquet")
    found = SOURCES["huggingface"].open_source(str(tmp_path)).table["label"]
    assert list(found) == labels


def test_labels_of_parquet_may_be_bytes(tmp_path):
    cells = [{"bytes": content} for content in list(FLAT.values())[:2]]
    pq.write_table(
        pa.table({"image": cells, "label": [b"01", "猫".encode()]}), tmp_path / "x.parquet"
    )
    source = SOURCES["huggingface"].open_source(str(tmp_path))
    assert list(source.table["label"]) == ["01", "猫"]


def test_a_single_split_means_nothing_and_numbers_are_names(tmp_path):
    path = parquet(tmp_path / "train.parquet", names=None)
    table = SOURCES["huggingface"].open_source(str(path)).table
    assert list(table["label"]) == ["0", "1", "0"]
    assert set(table["split"]) == {""}


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda p: p.mkdir(), "holds no .parquet"),
        (lambda p: (p.mkdir(), (p / "x.parquet").write_bytes(b"x")), "not a Parquet file"),
        (lambda p: parquet(p / "x.parquet", [-1, None]), "images without a label, all of them"),
        (lambda p: parquet(p / "x.parquet", [0, 2]), "labels that are none of 0 .. 1"),
        (
            lambda p: (p.mkdir(), pq.write_table(pa.table({"label": [1]}), p / "x.parquet")),
            "one of images, found none",
        ),
        (
            lambda p: (parquet(p / "a.parquet"), parquet(p / "b.parquet", column="picture")),
            "elsewhere in 'image'",
        ),
        (
            lambda p: parquet(p / "x.parquet", [["a", "b"], ["a"]], names=None),
            r"column of labels in x\.parquet holds \['a', 'b'\]; allowed: one text or number",
        ),
        (lambda p: parquet(p / "x.parquet", [[0, 1], [0]]), r"holds \[0, 1\]; allowed: one"),
    ],
)
def test_parquet_without_labelled_images_is_refused(tmp_path, make, told):
    make(tmp_path / "here")
    with pytest.raises(UserError, match=rf"here.*{told}"):
        SOURCES["huggingface"].open_source(str(tmp_path / "here"))


def test_an_image_that_a_row_lacks_is_an_exception_in_its_place(tmp_path):
    cells = [{"bytes": FLAT["a/1.png"]}, {"bytes": None}, None]
    pq.write_table(pa.table({"image": cells, "label": [0, 1, 2]}), tmp_path / "x.parquet")
    source = SOURCES["huggingface"].open_source(str(tmp_path))
    good, *bad = source.read(source.keys)
    assert good == FLAT["a/1.png"]
    assert all(isinstance(content, Exception) for content in bad)


def test_a_name_on_the_hub_is_had_from_its_package(tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs requirements-data.txt")
    parquet(tmp_path / "set/train-0.parquet")
    parquet(tmp_path / "set/test-0.parquet", [1, 1], start=2)
    load = datasets.load_dataset
    asked = []

    def load_dataset(name, revision):
        asked.append((name, revision))
        files = {s: str(tmp_path / f"set/{s}-0.parquet") for s in ("train", "test")}
        return load("parquet", data_files=files, cache_dir=str(tmp_path / "cache"))

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    source = SOURCES["huggingface"].open_source("someone/animals@v2")
    assert asked == [("someone/animals", "v2")]
    assert list(source.table["split"]) == ["train"] * 3 + ["test"] * 2
    assert list(source.table["label"]) == ["cat", "dog", "cat", "dog", "dog"]
    content = list(FLAT.values())
    assert source.read(source.keys) == [content[i] for i in (0, 1, 2, 2, 3)]


def test_a_name_that_cannot_be_had_says_what_to_do(monkeypatch):
    datasets = pytest.importorskip("datasets", reason="needs requirements-data.txt")

    def load_dataset(name, revision):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    with pytest.raises(UserError, match=r"data\.remote = 'a/b'.*no route to host"):
        SOURCES["huggingface"].open_source("a/b")


def test_without_its_package_a_name_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"data\.remote = 'a/b'.*requirements-data\.txt"):
        SOURCES["huggingface"].open_source("a/b")
