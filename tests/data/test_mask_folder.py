"""Folders of images and masks: which belong together, what masks mean, and what is refused."""

import io
import pickle
import struct
import tarfile
import zipfile
import zlib

import fsspec
import numpy as np
import pytest
from PIL import Image

from cnnlab.data.images import Settings, decode
from cnnlab.data.prepare import LOST
from cnnlab.data.sources import SOURCES, _masks
from cnnlab.errors import UserError
from cnnlab.overlap import VOID

PACKINGS = ["folder", "tar", "tar.gz", "zip"]


def stored(array, mode=None, ending="png", **options):
    """The bytes of an image file of some pixels."""
    content = io.BytesIO()
    image = Image.fromarray(np.asarray(array))
    if mode == "P":
        image = image.convert("L")
        image.putpalette([value for i in range(256) for value in (i, 255 - i, 7)])
    elif mode:
        image = image.convert(mode)
    image.save(content, ending, **options)
    return content.getvalue()


def chunk(kind, content):
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def raw_png(rows, bits, width, colour=0):
    """A PNG of rows of bytes as they lie in it."""
    head = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def picture(seed=0, size=(4, 5)):
    return stored(np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8))


def grid(*rows):
    return np.array(rows, np.uint8)


def mask(value, *more):
    """4x5 pixels: most of them background, some with values."""
    values = np.zeros(20, np.uint8)
    values[:6] = value
    for i, other in enumerate(more):
        values[10 + 2 * i : 12 + 2 * i] = other
    return values.reshape(4, 5)


def write(path, files):
    """Files (name -> bytes, in this order) as a folder or an archive, by the path's ending."""
    if path.suffix == "":
        for name, content in files.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def opened(tmp_path):
    def open_source(files, packing="folder"):
        path = write(tmp_path / ("raw" if packing == "folder" else f"raw.{packing}"), files)
        return SOURCES["mask_folder"].open_source(str(path))

    return open_source


def masks(source):
    """Name -> mask, read after a journey through pickle."""
    read = pickle.loads(pickle.dumps(source.mask))
    return {name: read(key) for name, key in zip(source.table["source"], source.keys, strict=True)}


def found(source):
    return sorted((f.what, f.where) for f in source.findings)


def pairs(*values, folder=""):
    """Images 0, 1, ... and their masks."""
    files = {f"{folder}images/{i}.jpg": picture(i) for i in range(len(values))}
    return files | {f"{folder}masks/{i}.png": stored(values[i]) for i in range(len(values))}


BASIC = pairs(mask(1), mask(2, 1), mask(0), mask(2, VOID))


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("wrapped", ["", "set/v1/", "train/"])
def test_folders_and_archives_are_read_alike(opened, packing, wrapped):
    source = opened({wrapped + name: content for name, content in BASIC.items()}, packing)
    names = [f"{wrapped}images/{i}.jpg" for i in range(4)]
    assert list(source.table["source"]) == names
    assert list(source.table["label"]) == ["1", "2", "background", "2"]
    assert set(source.table["split"]) == {""}
    assert source.classes == ("background", "1", "2")
    assert source.findings == []
    read = pickle.loads(pickle.dumps(source.read)) if source.parallel else source.read
    assert read(source.keys) == [BASIC[f"images/{i}.jpg"] for i in range(4)]
    for i, values in enumerate((mask(1), mask(2, 1), mask(0), mask(2, VOID))):
        numbers = masks(source)[names[i]]
        assert numbers.dtype == np.uint8
        np.testing.assert_array_equal(numbers, values)
    assert (source.order is None) == (packing in ("folder", "zip"))
    assert source.parallel == (packing != "tar.gz")


@pytest.mark.parametrize(
    "layout", ["{part}/images/{i}", "images/{part}/{i}", "x/{part}/Images/{i}"]
)
def test_parts_keep_their_meaning(opened, layout):
    files = {}
    for part in ("train", "val", "test"):
        for i in range(2):
            name = layout.format(part=part, i=i)
            other = name.replace("images", "masks").replace("Images", "Masks")
            files |= {f"{name}.png": picture(i), f"{other}.png": stored(mask(1 + i))}
    source = opened(files)
    parts = ["test" if "test" in n.split("/") else "train" for n in source.table["source"]]
    assert list(source.table["split"]) == parts and parts.count("test") == 2
    assert found(source) == [("validation part", "val")]


def test_images_of_one_name_in_several_folders_have_their_own_masks(opened):
    files = {}
    for folder, value in (("a/", 1), ("b/", 2)):
        files |= {f"images/{folder}1.png": picture(), f"masks/{folder}1.png": stored(mask(value))}
    source = opened(files)
    assert list(source.table["label"]) == ["1", "2"]
    assert masks(source)["images/b/1.png"].max() == 2


def test_what_has_no_partner_is_left_out_and_listed(opened):
    files = BASIC | {
        "images/lone.jpg": picture(),
        "masks/lost.png": stored(mask(1)),
        "masks/1.jpg": stored(mask(1), ending="jpeg"),
        "beside.png": picture(),
        "masks/.DS_Store": b"x",
        "images/notes.txt": b"x",
    }
    source = opened(files)
    assert len(source.table) == 4
    assert found(source) == [
        ("hidden file", "masks/.DS_Store"),
        ("image outside of the layout", "beside.png"),
        ("image without a mask", "images/lone.jpg"),
        ("mask that is no .png", "masks/1.jpg"),
        ("mask without an image", "masks/lost.png"),
        ("not an image by its bytes", "images/notes.txt"),
    ]


@pytest.mark.parametrize("packing", PACKINGS)
def test_one_of_two_images_or_masks_of_a_name_is_left_out(opened, packing):
    """Both images would have the same mask; and which of two masks is meant, nobody says."""
    files = {"images/a.jpg": picture(), "images/a.png": picture(1), "masks/a.png": stored(mask(1))}
    files |= {"images/b.png": picture(2), "masks/b.PNG": stored(mask(2)), "masks/b.png": b""}
    source = opened(files, packing)
    assert list(source.table["source"]) == ["images/a.jpg", "images/b.png"]
    assert {(f.what, f.where, f.detail) for f in source.findings} == {
        ("image of the same name but for the ending", "images/a.png", "beside images/a.jpg"),
        ("mask of the same name but for the ending", "masks/b.png", "beside masks/b.PNG"),
    }
    assert list(masks(source)) == ["images/a.jpg", "images/b.png"]


@pytest.mark.parametrize("packing", PACKINGS)
def test_masks_that_cannot_serve_are_left_out_with_their_images(opened, packing):
    whole = stored(mask(1))
    bad = {
        "size": (stored(mask(1)[:3]), "image whose mask has another size"),
        "turned": (stored(mask(1).T.copy()), "image whose mask has another size"),
        "damaged": (whole[:-25], "image whose mask cannot be read"),
        "jpeg": (stored(mask(1), ending="jpeg"), "image whose mask cannot be read"),
        "text": (b"not an image", None),
        "empty": (b"", "image whose mask cannot be read"),
        "void": (stored(np.full((4, 5), VOID, np.uint8)), "image whose mask is void everywhere"),
    }
    files = dict(BASIC)
    for name, (content, _) in bad.items():
        files |= {f"images/{name}.png": picture(), f"masks/{name}.png": content}
    source = opened(files, packing)
    assert len(source.table) == 4
    bad["text"] = (b"", "image whose mask cannot be read")
    assert found(source) == sorted((what, f"images/{n}.png") for n, (_, what) in bad.items())
    assert all(f.what.startswith(LOST) for f in source.findings)  # `prepare` counts them
    details = {f.where: f.detail for f in source.findings}
    assert details["images/size.png"] == "masks/size.png is 5x3; allowed: 5x4, as its image is"
    assert details["images/jpeg.png"] == "masks/jpeg.png: JPEG; allowed: PNG"
    assert "object at" not in str(source.findings)


def test_a_mask_has_the_size_of_its_image_upright(opened):
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    lying = stored(pixels, ending="jpeg", exif=exif)
    assert decode(lying, Settings(None, "squash", None, 1)).pixels.shape == (5, 4, 3)
    files = BASIC | {"images/up.jpg": lying, "masks/up.png": stored(mask(1).T.copy())}
    files |= {"images/raw.jpg": lying, "masks/raw.png": stored(mask(1))}
    source = opened(files)
    assert masks(source)["images/up.jpg"].shape == (5, 4)
    (said,) = source.findings
    assert said.where == "images/raw.jpg"
    assert said.detail.endswith("allowed: 4x5, as its image is, upright as its EXIF says")


def test_the_size_is_found_behind_much_else(opened, monkeypatch):
    monkeypatch.setattr(_masks, "HEAD", 30)
    exif = Image.Exif()
    exif[0x010E] = "x" * 5000
    pixels = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
    files = BASIC | {
        "images/far.jpg": stored(pixels, ending="jpeg", exif=exif),
        "masks/far.png": stored(mask(1)[:2]),
    }
    assert found(opened(files)) == [("image whose mask has another size", "images/far.jpg")]


def test_an_image_that_cannot_be_read_is_left_to_prepare(opened):
    source = opened(BASIC | {"images/bad.jpg": b"\xff\xd8\xff", "masks/bad.png": stored(mask(1))})
    assert "images/bad.jpg" in list(source.table["source"]) and source.findings == []
    assert masks(source)["images/bad.jpg"].shape == (4, 5)


FOUR = [bytes([0b0000_0001, 0b0010_1111]), bytes([0b0001_0001, 0b0010_1111])]  # 0 1 2 15, 1 1 2 15
TWO = [bytes([0b00_01_10_11])] * 2
ONE = [bytes([0b0101_0000])] * 2


@pytest.mark.parametrize(
    ("content", "values"),
    [
        (raw_png(FOUR, 4, 4), [[0, 1, 2, 15], [1, 1, 2, 15]]),
        (raw_png(TWO, 2, 4), [[0, 1, 2, 3]] * 2),
        (raw_png(ONE, 1, 4), [[0, 1, 0, 1]] * 2),
        (stored(grid([0, 1, 2, 9], [9, 9, 1, 0]), "P"), [[0, 1, 2, 9], [9, 9, 1, 0]]),
        (stored(grid([0, 1, 2, 9], [9, 9, 1, 0]), "RGB"), [[0, 1, 2, 9], [9, 9, 1, 0]]),
        (stored(grid([0, 1, 2, 9], [9, 9, 1, 0]), "LA"), [[0, 1, 2, 9], [9, 9, 1, 0]]),
        (stored(grid([0, 1, 2, 9], [9, 9, 1, 0]).astype(np.uint16)), [[0, 1, 2, 9], [9, 9, 1, 0]]),
    ],
    ids=["4 bits", "2 bits", "1 bit", "palette", "grey as colours", "opaque", "16 bits"],
)
def test_values_are_read_as_they_lie_in_the_file(opened, content, values):
    source = opened({"images/1.png": picture(size=(2, 4)), "masks/1.png": content})
    present = sorted({v for row in values for v in row} | {0})
    assert source.classes == ("background", *map(str, present[1:]))
    expected = [[present.index(value) for value in row] for row in values]
    np.testing.assert_array_equal(masks(source)["images/1.png"], expected)


def test_values_that_skip_become_numbers_that_do_not(opened):
    source = opened(pairs(mask(7), mask(3, 40, 7), mask(40, 255)))
    assert source.classes == ("background", "3", "7", "40")
    assert list(source.table["label"]) == ["7", "3", "40"]
    np.testing.assert_array_equal(
        masks(source)["images/1.jpg"], np.vectorize({0: 0, 3: 1, 40: 3, 7: 2}.get)(mask(3, 40, 7))
    )
    assert set(np.unique(masks(source)["images/2.jpg"])) == {0, 3, VOID}


def test_without_background_pixels_the_background_is_still_the_first(opened):
    source = opened(pairs(np.full((4, 5), 1, np.uint8), np.full((4, 5), 2, np.uint8)))
    assert source.classes == ("background", "1", "2")


def test_a_table_names_values(opened):
    table = "name;value\nsky; 10\nBackground;3\n road ;255\nVoid;0\nnever;77\n"
    values = mask(10, 3, 255)
    source = opened(pairs(values, mask(255)) | {"classes.csv": table.encode()})
    assert source.classes == ("Background", "sky", "road")
    assert list(source.table["label"]) == ["sky", "road"]
    expected = np.vectorize({0: VOID, 10: 1, 3: 0, 255: 2}.get)(values)
    np.testing.assert_array_equal(masks(source)["images/0.jpg"], expected)
    assert found(source) == [("class without pixels", "never")]


@pytest.mark.parametrize("header", ["name,colour", "color,NAME"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_table_names_colours(opened, mode, header):
    colours = {"water": (0, 200, 255), "land": (16, 32, 48), "void": (1, 1, 1)}
    numbers = np.random.default_rng(0).integers(0, 3, (2, 4, 5))
    painted = np.array([*colours.values()], np.uint8)[numbers]
    options = {"mode": mode} if mode != "P" else {}
    rows = [(name, "#{:02X}{:02x}{:02x}".format(*rgb)) for name, rgb in colours.items()]
    rows = rows if header.startswith("name") else [row[::-1] for row in rows]
    files = {"set/classes.csv": "\n".join([header, *map(",".join, rows)]).encode()}
    for i in range(2):
        files[f"set/images/{i}.png"] = picture(i)
        content = stored(painted[i], **options)
        if mode == "P":
            file = io.BytesIO()
            Image.open(io.BytesIO(content)).quantize(8).save(file, "png")
            content = file.getvalue()
        files[f"set/masks/{i}.png"] = content
    source = opened(files)
    assert source.classes == ("water", "land")
    for i in range(2):
        expected = np.array([0, 1, VOID], np.uint8)[numbers[i]]
        np.testing.assert_array_equal(masks(source)[f"set/images/{i}.png"], expected)


SEE_THROUGH = np.dstack([np.full((4, 5, 3), 7), np.eye(4, 5) * 255]).astype(np.uint8)
COLOURED = np.random.default_rng(0).integers(0, 256, (4, 5, 3), np.uint8)
VALUES, COLOURS = b"name,value\na,0\nb,1\n", b"name,colour\na,#000000\nb,#010101\n"


@pytest.mark.parametrize(
    ("content", "table", "told"),
    [
        (stored(mask(1, 9)), VALUES, r"masks/x.png holds the value 9; allowed: 0 \(a\), 1 \(b\),"),
        (stored(mask(1, 9)), VALUES, r"255 \(void\)"),
        (stored(mask(1, 9)), COLOURS, r"masks/x.png holds the colour #090909; allowed: #000000"),
        (stored(COLOURED), COLOURS, "and 15 more; allowed"),
        (stored(COLOURED), VALUES, r"masks/x.png is in colour; allowed: .*classes.csv"),
        (stored(COLOURED), None, r"masks/x.png is in colour; allowed: .*classes.csv"),
        (stored(SEE_THROUGH), None, r"masks/x.png has transparent pixels"),
        (stored(SEE_THROUGH), COLOURS, r"masks/x.png has transparent pixels"),
        (stored(mask(1).astype(np.uint16) * 300), COLOURS, r"masks/x.png has 16 bits"),
        (stored(mask(1).astype(np.uint16) * 300), VALUES, r"masks/x.png holds the value 300"),
        (stored(mask(1).astype(np.uint16) * 300), None, r"values, up to 300; without a classes"),
        (raw_png([bytes(30)] * 4, 16, 5, 2), None, r"masks/x.png has 16 bits and more than one"),
    ],
)
def test_a_mask_of_unknown_values_is_refused(opened, content, table, told):
    files = pairs(mask(1)) | {"images/x.png": picture(), "masks/x.png": content}
    files |= {"classes.csv": table} if table else {}
    with pytest.raises(UserError, match=rf"data\.raw = .*raw.*: .*{told}"):
        opened(files)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({}, "no images with masks found; expected images/ with images and masks/"),
        ({"images/1.png": picture()}, "left out: 1, the first is image without a mask"),
        (pairs(mask(255)), "values 0, 255 alone.*where 255 is an object, say so in classes.csv"),
        (pairs(mask(0)), "values 0 alone"),
        (
            pairs(
                *(np.arange(20 * i, 20 * i + 20, dtype=np.uint8).reshape(4, 5) for i in range(4))
            ),
            "masks hold 80 values, up to 79; without a classes.csv",
        ),
        (pairs(mask(0)) | {"classes.csv": VALUES}, "hold no class but a; allowed: 2 or more"),
    ],
)
def test_a_place_without_classes_is_refused(opened, tmp_path, files, told):
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=told):
        opened(files)


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("", "columns"),
        ("name\na\n", "columns .*allowed: name, and either value or colour"),
        ("name,value,colour\na,0,#000000\n", "either value or colour"),
        ("name,name,value\na,b,0\n", "columns"),
        ("name,value\na,0\n", "1 classes; allowed: 2 to 255"),
        ("name,value\na,0\na,1\n", "each name and value once"),
        ("name,value\na,0\nb,0\n", "each name and value once"),
        ("name,value\na,0\n,1\n", "each name and value once"),
        ("name,value\na,0\nb,-1\n", "value of 'b' is '-1'; allowed: whole numbers from 0"),
        ("name,value\na,0\nb,65536\n", "value of 'b' is '65536'"),
        ("name,value\na,0\nb,1.0\n", "value of 'b'"),
        ("name,value\na,0\nb,²\n", "value of 'b'"),
        ("name,colour\na,#000000\nb,red\n", "colour of 'b' is 'red'; allowed: #rrggbb"),
        ("name,colour\na,#000000\nb,#12345g\n", "colour of 'b'"),
        ("name,value\n" + "".join(f"c{i},{i}\n" for i in range(256)), "256 classes"),
        ("name,value\na,0,9\nb,1\n", "more fields"),
        (b"\xff\xfe\xff", "truncated data"),
        (b"name,value\n\xff,0", "UTF-8"),
    ],
)
def test_a_bad_table_of_classes_is_refused(opened, table, told):
    table = table.encode() if isinstance(table, str) else table
    with pytest.raises(UserError, match=rf"classes\.csv.*{told}|{told}.*classes\.csv"):
        opened(BASIC | {"classes.csv": table})


def test_two_tables_have_to_agree(opened, tmp_path):
    table = b"name,value\nground,0\na,1\nb,2\n"
    files = {f"train/{n}": c for n, c in BASIC.items()} | {f"test/{n}": c for n, c in BASIC.items()}
    files |= {"train/classes.csv": table, "test/classes.csv": table, "x/._classes.csv": b"\0"}
    assert opened(files).classes == ("ground", "a", "b")
    with pytest.raises(UserError, match=r"train/classes.csv says other than test/classes.csv"):
        opened(files | {"train/classes.csv": table + b"c,3\n"})


def test_a_mask_too_large_is_refused_before_it_is_decoded(opened):
    """A file of some kilobytes that would fill the memory."""
    bomb = raw_png([b""], 8, 5)
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    bomb = bomb[:8] + chunk(b"IHDR", head) + bomb[8 + 25 :]
    source = opened(BASIC | {"images/x.jpg": picture(), "masks/x.png": bomb})
    (said,) = source.findings
    assert "60000x60000 pixels, more than 100 million" in said.detail


def test_a_mask_that_changes_after_a_look_is_refused(opened, tmp_path):
    source = opened(BASIC)
    path = tmp_path / "raw/masks/0.png"
    for content, told in (
        (stored(mask(1)[:2]), r"masks/0.png is 5x2; allowed: 5x4"),
        (stored(mask(9)), r"masks/0.png holds the value 9"),
        (b"x", r"masks/0.png cannot be read"),
        (None, r"masks/0.png cannot be read .*No such file"),
    ):
        path.write_bytes(content) if content is not None else path.unlink()
        with pytest.raises(UserError, match=told):
            source.mask(source.keys[0])


def test_an_archive_that_leads_out_is_refused(opened):
    with pytest.raises(UserError, match="leads out of it"):
        opened(BASIC | {"../masks/9.png": stored(mask(1))}, "zip")


def test_a_folder_behind_a_url_is_read_like_one_here(opened):
    memory = fsspec.filesystem("memory")
    for name, content in BASIC.items():
        memory.pipe(f"/bucket/set/{name}", content)
    try:
        source = SOURCES["mask_folder"].open_source("memory://bucket/set")
        here = opened(BASIC)
        assert source.table.equals(here.table) and not source.parallel
        assert source.read(source.keys) == here.read(here.keys)
        for one, other in zip(source.keys, here.keys, strict=True):
            np.testing.assert_array_equal(source.mask(one), here.mask(other))
        memory.rm("/bucket/set/masks/0.png")
        with pytest.raises(UserError, match=r"data\.remote = .*masks/0.png cannot be read"):
            source.mask(source.keys[0])
    finally:
        memory.store.clear()
