"""Sources: what they say there is, and what they read."""

import importlib
import io
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from cnnlab.data.sources import SOURCES
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
    images = np.stack([source.read(i) for i in range(1797)])
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
        read = source.read(row)
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


FLAT = {f"{label}/{i}.png": picture((10 * i, 0, k)) for k, label in enumerate("ab") for i in (1, 2)}
SPLIT = {f"{part}/{name}": content for part in ("train", "test") for name, content in FLAT.items()}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("wrapped", ["", "flowers/"])
@pytest.mark.parametrize("files", [FLAT, SPLIT], ids=["flat", "split"])
def test_folders_and_archives_are_read_alike(packed, packing, wrapped, files):
    source = opened(packed({wrapped + name: data for name, data in files.items()}, packing))
    table = source.table
    assert list(table["source"]) == sorted(wrapped + name for name in files)
    assert list(table["label"]) == [name.split("/")[-2] for name in table["source"]]
    below = [name.removeprefix(wrapped) for name in table["source"]]
    assert list(table["split"]) == ["" if files is FLAT else n.split("/")[0] for n in below]
    for row, name in enumerate(table["source"]):
        image = source.read(row)
        assert (image.shape, image.dtype) == ((4, 5, 3), np.uint8)
        label, number = name.removesuffix(".png").split("/")[-2:]
        assert tuple(image[0, 0]) == (10 * int(number), 0, "ab".index(label))


@pytest.mark.parametrize("packing", PACKINGS)
def test_the_order_of_files_does_not_matter(packed, packing):
    one = opened(packed(SPLIT, packing, "one"))
    two = opened(packed(dict(reversed(SPLIT.items())), packing, "two"))
    assert one.table.equals(two.table)
    for row in range(len(SPLIT)):
        np.testing.assert_array_equal(one.read(row), two.read(row))


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


def test_endings_may_be_capitals_and_folders_below_a_class_belong_to_it(packed):
    files = {"a/1.PNG": picture(), "a/more/2.Jpg": picture(ending="jpg"), "b/1.png": picture()}
    table = opened(packed(files, "folder")).table
    assert list(table["label"]) == ["a", "a", "b"]


@pytest.mark.parametrize(
    ("mode", "colour", "ending", "expected"),
    [
        ("L", 200, "png", [200]),
        ("1", 1, "png", [255]),
        ("LA", (200, 255), "png", [200]),
        ("I;16", 200 * 256, "png", [200]),
        ("I;16", 65535, "tiff", [255]),
        ("RGB", (1, 2, 3), "png", [1, 2, 3]),
        ("RGB", (1, 2, 3), "bmp", [1, 2, 3]),
        ("RGBA", (1, 2, 3, 255), "png", [1, 2, 3]),
        ("P", 0, "png", [0, 0, 0]),
        ("P", 0, "gif", [0, 0, 0]),
        ("CMYK", (0, 0, 0, 255), "tiff", [0, 0, 0]),
    ],
)
def test_every_kind_of_image_becomes_grey_or_rgb(packed, mode, colour, ending, expected):
    files = {f"a/1.{ending}": picture(colour, mode, ending=ending), "b/1.png": picture()}
    image = opened(packed(files, "folder")).read(0)
    assert (image.shape, image.dtype) == ((4, 5, len(expected)), np.uint8)
    assert (image == expected).all()


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_known_range_are_refused(packed, mode):
    files = {"a/1.tiff": picture(1, mode, ending="tiff"), "b/1.png": picture()}
    with pytest.raises(UserError, match=r"a/1\.tiff.*8 or 16 bits"):
        opened(packed(files, "folder")).read(0)


NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def damaged():
    """Images that are none: cut short, or with a byte changed."""
    for ending in ("png", "jpeg", "gif", "bmp"):
        content = io.BytesIO()
        Image.fromarray(NOISE).save(content, ending)
        whole = content.getvalue()
        yield from (whole[: len(whole) * part // 5] for part in range(5))
        for place in range(0, 200, 3):
            yield whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]


def test_an_unreadable_image_is_named(packed):
    files = {f"a/{i:04}.png": content for i, content in enumerate(damaged())}
    files |= {"a/text.png": b"no image", "b/1.png": picture()}
    source = opened(packed(files, "zip"))
    refused = 0
    for row, name in enumerate(source.table["source"]):
        try:
            assert source.read(row).dtype == np.uint8
        except UserError as error:  # any other exception fails the test
            assert name in str(error)
            assert "raw.zip" in str(error)
            refused += 1
    assert len(files) > refused > 50


def test_a_damaged_archive_is_named(packed):
    path = packed(FLAT, "zip")
    content = bytearray(path.read_bytes())
    at = content.index(FLAT["a/1.png"]) + 20
    content[at] ^= 0xFF
    path.write_bytes(content)
    source = opened(path)
    assert source.read(1).shape == (4, 5, 3)
    with pytest.raises(UserError, match=r"raw\.zip: a/1\.png"):
        source.read(0)


@pytest.mark.parametrize("packing", ["tar", "tar.gz"])
def test_an_archive_that_is_cut_off_is_refused(packed, packing):
    path = packed({f"{k}/{i}.png": NOISE.tobytes() for i in range(20) for k in "ab"}, packing)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(UserError, match=r"raw\.tar.*damaged"):
        opened(path)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "no images found.*one folder a class.*png"),
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


HOSTILE = ["/evil/a/1.png", "../evil/1.png", "a/../../evil/1.png", "a//7.png", "./b/./8.png"]


@pytest.mark.parametrize("packing", ["tar", "zip"])
def test_an_archive_writes_nothing_wherever_its_names_point(packed, packing, tmp_path, monkeypatch):
    inside = tmp_path / "deep" / "inside"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    absolute = str(tmp_path / "planted.png")
    path = packed(dict.fromkeys([*HOSTILE, absolute, *FLAT], picture()), packing)
    if packing == "tar":
        with tarfile.open(path, "a") as archive:
            for name, target in (("a/link.png", "../../secret.png"), ("b/dir", str(tmp_path))):
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.SYMTYPE, target
                archive.addfile(member)
    before = sorted(tmp_path.rglob("*"))
    source = opened(path)
    for row in range(len(source.table)):
        assert source.read(row).shape == (4, 5, 3)
    assert sorted(tmp_path.rglob("*")) == before
    assert {"a/7.png", "b/8.png", *FLAT} <= set(source.table["source"])
    assert source.table["source"].is_unique
    assert not any("link" in name or ".." in name for name in source.table["source"])
