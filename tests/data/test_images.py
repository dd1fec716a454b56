"""One image: every kind of file becomes upright grey or RGB pixels of the size asked for."""

import contextlib
import io
import struct
import sys
import warnings
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps, features

from cnnlab.data import formats, images
from cnnlab.data.images import RESIZE, THUMB, BadImage, Settings, decode

AS_IT_IS = Settings(None, "squash", None, 100)


def stored(image, ending="png", **options):
    content = io.BytesIO()
    image.save(content, {"jpg": "jpeg"}.get(ending, ending), **options)
    return content.getvalue()


def plain(mode, colour, size=(5, 4)):
    return Image.new(mode, size, colour)


@pytest.mark.parametrize(
    ("mode", "colour", "ending", "expected"),
    [
        ("L", 200, "png", [200]),
        ("L", 200, "jpg", [200]),
        ("1", 1, "png", [255]),
        ("1", 1, "tiff", [255]),
        ("LA", (200, 255), "png", [200]),
        ("LA", (0, 0), "png", [255]),  # what lies under full transparency is not seen
        ("I;16", 200 * 256, "png", [200]),
        ("I;16", 65535, "tiff", [255]),
        ("I;16B", 200 * 256, "tiff", [200]),
        ("RGB", (1, 2, 3), "png", [1, 2, 3]),
        ("RGB", (1, 2, 3), "bmp", [1, 2, 3]),
        ("RGB", (1, 2, 3), "tiff", [1, 2, 3]),
        ("RGB", (254, 0, 0), "jpg", [254, 0, 0]),
        ("RGBA", (1, 2, 3, 255), "png", [1, 2, 3]),
        ("RGBA", (1, 2, 3, 0), "png", [255, 255, 255]),
        ("RGBA", (0, 0, 0, 51), "png", [204, 204, 204]),
        ("P", 0, "png", [0, 0, 0]),
        ("P", 0, "gif", [0, 0, 0]),
        ("CMYK", (0, 0, 0, 255), "tiff", [0, 0, 0]),
        ("CMYK", (0, 0, 0, 255), "jpg", [0, 0, 0]),
    ],
)
def test_every_kind_of_image_becomes_grey_or_rgb(mode, colour, ending, expected):
    image = decode(stored(plain(mode, colour), ending), AS_IT_IS)
    assert (image.pixels.shape, image.pixels.dtype) == ((4, 5, len(expected)), np.uint8)
    assert np.abs(image.pixels.astype(int) - expected).max() <= (ending == "jpg")
    assert (image.width, image.height) == (5, 4)
    assert image.format == {"jpg": "JPEG"}.get(ending, ending.upper())


def test_webp_is_read():
    image = decode(stored(plain("RGB", (9, 99, 199)), "webp", lossless=True), AS_IT_IS)
    assert (image.pixels == [9, 99, 199]).all()


@pytest.mark.parametrize("ending", ["gif", "tiff", "png", "webp"])
def test_of_several_pictures_in_a_file_the_first_is_read(ending):
    more = [plain("RGB", colour) for colour in ((0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if ending == "webp" else {}
    first = plain("RGB", (255, 0, 0))
    content = stored(first, ending, save_all=True, append_images=more, **options)
    with Image.open(io.BytesIO(content)) as image:
        assert image.n_frames == 3
    made = decode(content, AS_IT_IS)
    assert (made.pixels == [255, 0, 0]).all()
    assert made.pictures == 3


def test_a_palette_with_a_transparent_colour_shows_white_there():
    image = plain("P", 0)
    image.putpalette([9, 9, 9, 200, 0, 0])
    image.putpixel((0, 0), 1)
    pixels = decode(stored(image, "png", transparency=0), AS_IT_IS).pixels
    assert (pixels[0, 0] == [200, 0, 0]).all()
    assert (pixels[1:] == 255).all()


CORNER = np.zeros((40, 60, 3), np.uint8)
CORNER[:20, :30] = (255, 0, 0)  # top left
CORNER[:20, 30:] = (0, 255, 0)  # top right


@pytest.mark.parametrize("ending", ["jpg", "png", "tiff", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [None, 32])
def test_exif_orientation_is_followed(ending, orientation, size):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    image = Image.fromarray(CORNER)
    if orientation > 1:
        image = image.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"exif": exif} | ({"quality": 95} if ending in ("jpg", "webp") else {})
    content = stored(image, ending, **options)
    made = decode(content, replace(AS_IT_IS, size=size))
    assert (made.width, made.height) == images.header(content, 100)[:2] == (60, 40)
    pixels = made.pixels.astype(int)
    assert pixels.shape == ((32, 32, 3) if size else (40, 60, 3))
    tenth = len(pixels) // 10
    assert np.abs(pixels[tenth, tenth] - [255, 0, 0]).max() < 40
    assert np.abs(pixels[tenth, -tenth] - [0, 255, 0]).max() < 40
    assert pixels[-tenth].max() < 40


XMP = b'<x xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'


@pytest.mark.parametrize("ending", ["jpg", "tiff", "webp"])
@pytest.mark.parametrize("size", [None, 10, 32])  # JPEG is shrunk for 10
def test_an_orientation_in_xmp_alone_is_followed(ending, size):
    options = {"tiffinfo": {700: XMP}} if ending == "tiff" else {"xmp": XMP}
    content = stored(
        Image.fromarray(CORNER).transpose(Image.Transpose.ROTATE_90), ending, **options
    )
    made = decode(content, replace(AS_IT_IS, size=size))
    assert (made.width, made.height) == images.header(content, 100)[:2] == (60, 40)
    assert np.abs(made.pixels[1, -2].astype(int) - [0, 255, 0]).max() < 40


def chunk(kind, content):
    """A block of a PNG."""
    crc = zlib.crc32(kind + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + kind + content + crc


def png_of(bits, kind, rows, *blocks, size=(1, 1)):
    """A PNG of rows as they are in the file, with further blocks before its pixels. `kind` of its
    colours as PNG has it, 0: grey, 2: RGB, 3: palette, 4 and 6: with transparency."""
    about = chunk(b"IHDR", struct.pack(">IIBBBBB", *size, bits, kind, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows))
    return b"".join([b"\x89PNG\r\n\x1a\n", about, *blocks, pixels, chunk(b"IEND", b"")])


def png16(values, *blocks):
    """A PNG of uint16 (height, width, channels), with further blocks before its pixels."""
    height, width, channels = values.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return png_of(16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], rows, *blocks, size=(width, height))


def tiff_of(values, meaning=1, *, order="<", planes=False, big=False, tags=()):
    """A TIFF of these numbers, (height, width, channels); `meaning` of its colours as TIFF has it,
    0: from white, 1: from black, 2: RGB, 5: CMYK."""
    height, width, channels = values.shape
    offset, header = ("Q", 16) if big else ("L", 8)
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    bits = 8 * values.itemsize
    content = np.moveaxis(values, 2, 0) if planes else values
    content = content.astype(values.dtype.newbyteorder(order)).tobytes()
    part = len(content) // channels if planes else len(content)
    parts = [header + i * part for i in range(channels if planes else 1)]
    tail, at = b"", header + len(content)
    entries = []
    for tag, *numbers in [
        (256, width),
        (257, height),
        (258, *[bits] * channels),
        (259, 1),
        (262, meaning),
        (273, *parts),
        (277, channels),
        (278, height),
        (279, *[part] * len(parts)),
        (284, 2 if planes else 1),
        (339, *[kind] * channels),
        *tags,
    ]:
        packed = struct.pack(f"{order}{len(numbers)}{offset}", *numbers)
        value = packed if len(numbers) == 1 else struct.pack(f"{order}{offset}", at + len(tail))
        tail += packed if len(numbers) > 1 else b""
        sort = 16 if big else 4
        head = struct.pack(f"{order}HH{offset}", tag, sort, len(numbers))
        entries.append(head + value)
    mark = {"<": b"II", ">": b"MM"}[order]
    start = struct.pack(f"{order}{offset}", at + len(tail))
    about = struct.pack(f"{order}HHH", 43, 8, 0) if big else struct.pack(f"{order}H", 42)
    count = struct.pack(f"{order}{'Q' if big else 'H'}", len(entries))
    ends = struct.pack(f"{order}{offset}", 0)
    return b"".join([mark, about, start, content, tail, count, *entries, ends])


def deep(values, ending):
    """A file of these values, which have more than 8 bits: uint16 grey, colour or with
    transparency, int32 or float32."""
    if values.ndim == 2:
        return stored(Image.fromarray(values), ending)
    if ending == "png":
        return png16(values)
    height, width, channels = values.shape
    pixels = values.astype("<u2").tobytes()
    pixels = zlib.compress(pixels) if ending == "tiff deflated" else pixels
    start = 8 + 2 + 12 * 9 + 4
    compression = 8 if ending == "tiff deflated" else 1
    start += 12 * (channels == 4)
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, start)]
    tags += [(259, 3, 1, compression), (262, 3, 1, 2), (273, 4, 1, start + 2 * channels)]
    tags += [(277, 3, 1, channels), (278, 4, 1, height), (279, 4, 1, len(pixels))]
    tags += [(338, 3, 1, {"tiff": 2, "tiff unused": 0}[ending])] if channels == 4 else []
    head = b"II*\0" + struct.pack("<IH", 8, len(tags))
    return (
        head
        + b"".join(struct.pack("<HHII", *tag) for tag in tags)
        + bytes(4)
        + struct.pack("<H", 16) * channels
        + pixels
    )


TWELVE = np.random.default_rng(0).integers(0, 4096, (6, 8, 4)).astype(np.uint16)
TWELVE[0, 0, :3], TWELVE[..., 3] = 4095, 65535


@pytest.mark.parametrize(
    ("values", "ending"),
    [
        (TWELVE[..., 0], "png"),
        (TWELVE[..., 0], "tiff"),
        (TWELVE[..., :3], "png"),
        (TWELVE, "png"),
        (TWELVE[..., :3], "tiff"),
        (TWELVE[..., :3], "tiff deflated"),
        (TWELVE, "tiff"),
        (TWELVE, "tiff unused"),
        (TWELVE[..., ::3], "png"),
    ],
)
def test_of_twelve_bits_in_sixteen_the_upper_eight_are_read(values, ending):
    image = decode(deep(values, ending), AS_IT_IS)
    assert image.values == (0, 4095)
    colours = values[..., None] if values.ndim == 2 else values[..., :3]
    colours = colours if colours.shape[2] == 3 else colours[..., :1]  # grey
    np.testing.assert_array_equal(*np.broadcast_arrays(image.pixels, colours >> 4))
    brighter = decode(deep(values, ending), replace(AS_IT_IS, scale=(0.0, 65536.0)))
    np.testing.assert_array_equal(*np.broadcast_arrays(brighter.pixels, colours >> 8))


@pytest.mark.parametrize(
    ("ends", "whole", "expected"),
    [
        ((0, 65535), True, (0, 65536)),
        ((0, 4095), True, (0, 4096)),
        ((0, 4096), True, (0, 8192)),
        ((0, 255), True, (0, 256)),
        ((0, 1), True, (0, 2)),
        ((0, 0), True, (0, 1)),
        ((0, 1), False, (0, 1)),
        ((0, 0.3), False, (0, 1)),
        ((0, 254.5), False, (0, 256)),
        ((-1000, 3000), True, (-1000, 4000)),
        ((-1, 1), False, (-1, 2)),
    ],
)
def test_the_scale_of_many_bits_is_the_fewest_that_hold_all_values(ends, whole, expected):
    assert images.scale(*ends, whole) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 0.25, 0.5, 1]], np.float32), [0, 64, 128, 255]),
        (np.array([[0, 1, 100, 255]], np.float32), [0, 1, 100, 255]),
        (np.array([[-1, 0, 0.5, 1]], np.float32), [0, 128, 192, 255]),
        (np.array([[np.nan, np.inf, -np.inf, 1]], np.float32), [0, 255, 0, 255]),
        (np.array([[0, 1 << 15, 1 << 14, 1 << 16]], np.int32), [0, 64, 32, 128]),
    ],
)
def test_fractions_and_whole_numbers_of_32_bits_are_read(values, expected):
    image = decode(stored(Image.fromarray(values), "tiff"), AS_IT_IS)
    assert list(image.pixels[0, :, 0]) == expected


RAMP = np.random.default_rng(0).integers(0, 4096, (6, 8, 4)).astype(np.uint16)
RAMP[0, 0] = 4095


@pytest.mark.parametrize("order", ["<", ">"])
def test_four_inks_of_twelve_bits_are_the_upper_eight(order):
    made = decode(tiff_of(RAMP, 5, order=order), AS_IT_IS)
    inks = Image.fromarray((RAMP >> 4).astype(np.uint8), "CMYK")
    np.testing.assert_array_equal(made.pixels, np.asarray(inks.convert("RGB")))
    assert (made.mode, made.values) == ("CMYK", (0, 4095))


@pytest.mark.parametrize(
    ("values", "ends"),
    [
        (np.array([-128, -1, 0, 127], np.int8), (-128, 127)),
        (np.array([-32768, -1, 0, 32767], np.int16), (-32768, 32767)),
        (np.array([0, 1, 2**31, 2**32 - 1], np.uint32), (0, 2**32 - 1)),
    ],
)
def test_whole_numbers_are_read_with_their_signs(values, ends):
    made = decode(tiff_of(values.reshape(1, 4, 1)), AS_IT_IS)
    assert made.values == ends
    black, width = images.scale(*ends, whole=True)
    expected = ((values.astype(float) - black) * 256 / width).clip(0, 255).astype(int)
    assert list(made.pixels[0, :, 0]) == list(expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_transparent_colour_of_sixteen_bits_is_white(channels):
    values = RAMP[..., :channels].copy()
    values[1, 1], values[2, 2] = 300, 301  # of which the upper 8 bits are the same
    clear = struct.pack(f">{channels}H", *[300] * channels)
    made = decode(png16(values, chunk(b"tRNS", clear)), AS_IT_IS)
    expected = values >> 4
    expected[(values == 300).all(2)] = 255
    np.testing.assert_array_equal(made.pixels, expected)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_transparent_grey_of_few_bits_is_white(bits):
    rows = b"\0" + bytes([1 << 8 - bits])  # 1, and 0 for the rest of a byte
    size = (8 // bits, 1)
    for clear in (0, 1):
        block = chunk(b"tRNS", struct.pack(">H", clear))
        made = decode(png_of(bits, 0, rows, block, size=size), AS_IT_IS)
        levels = np.zeros(size[0]) if clear else np.full(size[0], 255)
        levels[0] = 255 if clear else 255 // (2**bits - 1)
        assert list(made.pixels.ravel()) == list(levels)


FRACTIONS = np.random.default_rng(1).random((5, 4, 3))
UPPER = (RAMP >> 4).astype(np.uint8)
RARE = {  # TIFF that Pillow does not read, or not rightly: file, pixels
    "64 bits": (tiff_of(FRACTIONS[..., :1]), FRACTIONS[..., :1] * 256),
    "64 bits, from the other end": (tiff_of(FRACTIONS, 2, order=">"), FRACTIONS * 256),
    "32 bits": (tiff_of(FRACTIONS.astype("f4"), 2), FRACTIONS * 256),
    "16 bits": (tiff_of(FRACTIONS.astype("f2"), 2), FRACTIONS.astype("f2").astype(float) * 256),
    "planes": (tiff_of(RAMP[..., :3], 2, planes=True), UPPER[..., :3]),
    "from white": (tiff_of(RAMP[..., :1], 0), 255 - UPPER[..., :1]),
    "whole": (tiff_of(RAMP[..., :3].astype("u4"), 2), UPPER[..., :3]),
    "big": (tiff_of(RAMP[..., :3], 2, order=">", big=True), UPPER[..., :3]),
    "transparent": (
        tiff_of(np.dstack([RAMP[..., :1], np.full((6, 8), 65535, np.uint16)]), tags=[(338, 2)]),
        UPPER[..., :1],
    ),
    "turned": (tiff_of(FRACTIONS, 2, tags=[(274, 6)]), np.rot90(FRACTIONS, -1) * 256),
}


@pytest.mark.parametrize(("content", "pixels"), RARE.values(), ids=RARE)
def test_rare_tiff_is_read_where_its_package_is(content, pixels):
    pytest.importorskip("tifffile", reason="needs requirements-data.txt")
    made = decode(content, AS_IT_IS)
    np.testing.assert_array_equal(made.pixels, pixels.astype(np.uint8))
    assert made.values[1] <= 1 or made.values == (0, RAMP[..., : pixels.shape[2]].max())
    for cut in (len(content) // 3, len(content) * 2 // 3):
        with pytest.raises(BadImage, match=r"^TIFF: "):
            decode(content[:cut], AS_IT_IS)


@pytest.mark.parametrize("content", [content for content, _ in RARE.values()], ids=RARE)
def test_without_its_package_rare_tiff_says_what_to_install(content, monkeypatch):
    monkeypatch.setitem(sys.modules, "tifffile", None)
    with pytest.raises(BadImage, match=r"^TIFF: .* read it: pip install tifffile imagecodecs"):
        decode(content, AS_IT_IS)


@pytest.mark.parametrize(
    ("values", "meaning", "told"),
    [
        (np.zeros((4, 4, 5), np.uint16), 1, "5 channels that are not said to be colours"),
        (np.zeros((4, 4, 1), np.uint16), 32803, "is not read"),  # a camera's sensor
    ],
)
def test_channels_that_are_no_colours_are_not_guessed(values, meaning, told):
    pytest.importorskip("tifffile", reason="needs requirements-data.txt")
    with pytest.raises(BadImage, match=told):
        decode(tiff_of(values, meaning), AS_IT_IS)


def test_the_small_copy_in_a_raw_photograph_is_not_taken_for_it():
    content = tiff_of(np.zeros((4, 4, 3), np.uint8), 2, tags=[(254, 1)])
    with pytest.raises(BadImage, match=r"raw photograph, of which a smaller copy .*rawpy"):
        decode(content, AS_IT_IS)


TWELFTH = [0, 1, 10, 100, 150, 255]  # the upper 8 of 12 bits


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        (b"P5\n# made by hand\n2 1\n255\n\x05\xfa", [5, 250]),
        (b"P2 2 1 255 5 250", [5, 250]),
        (b"P6 1 1 255\n\x01\x02\x03", [1, 2, 3]),
        (b"P1 2 1\n1 0\n", [0, 255]),
        (b"P5 2 1 65535\n\x40\0\xff\xff", [64, 255]),
        (b"P6 2 1 65535\n" + np.array([0, 16, 160, 1600, 2400, 4095], ">u2").tobytes(), TWELFTH),
        (b"P3 2 1 65535 0 16 160 # so far\n1600 2400 4095", TWELFTH),
        (b"P6 1 1 1000\n" + np.array([0, 500, 1000], ">u2").tobytes(), [0, 128, 255]),
        (b"P5 3 1 1000\n" + np.array([0, 500, 1000], ">u2").tobytes(), [0, 128, 255]),
        (b"Pf\n2 1\n-1.0\n" + np.array([0.25, 1], "<f4").tobytes(), [64, 255]),
    ],
)
def test_pnm_is_read(content, pixels):
    made = decode(content, AS_IT_IS)
    assert made.format == "PNM"
    assert list(made.pixels.ravel()) == pixels


NOISE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)


def damaged():
    """Images that are none: cut short, or with a byte changed."""
    for ending in ("png", "jpeg", "gif", "bmp", "webp", "tiff"):
        whole = stored(Image.fromarray(NOISE), ending)
        yield from (whole[: len(whole) * part // 5] for part in range(5))
        for place in range(0, 200, 3):
            yield whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :]


def test_a_damaged_image_is_refused_or_read_and_nothing_else():
    refused = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in [*damaged(), b"no image", b"%!PS-Adobe-3.0 EPSF-3.0\n"]:
            try:
                assert decode(content, AS_IT_IS).pixels.dtype == np.uint8
            except BadImage as problem:  # any other exception fails the test
                assert str(problem)
                refused += 1
    assert refused > 100


@given(st.binary(max_size=200), st.sampled_from(["png", "jpeg", "gif", "bmp", "tiff", "webp"]))
def test_any_bytes_behind_a_good_start_are_refused_or_read(tail, ending):
    head = stored(Image.fromarray(NOISE[:8, :8]), ending)[:60]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(BadImage):
            assert decode(head + tail, AS_IT_IS).pixels.dtype == np.uint8


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty file"),
        (b"text", "not an image of a known format"),
        (stored(Image.fromarray(NOISE), "jpeg")[:-400], "JPEG: .*truncated"),
        (stored(Image.fromarray(NOISE), "png")[:20], "^PNG: "),
        (b"\xff\x0a" + bytes(99), "^JPEG XL, .*pillow-jxl-plugin"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "^JPEG 2000, which is not read here: convert it to PNG"),
        (b"8BPS\0\1", "^Photoshop, which is not read here: convert"),
        (bytes(128) + b"DICM", "^DICOM, .*pydicom"),
        (b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100", "^DICOM, .*pydicom"),  # without a preamble
        (b"II*\0\x10\0\0\0CR\x02\0", "^raw photograph, .*rawpy"),
        (b"\0\0\0\x18ftypcrx ", "^raw photograph, .*rawpy"),
        (b"\0\0\1\0\1\0\x10\x10\0\0\1\0", "^icon, .*convert"),
        (b"\xff\xd8\xff\xf7", "^JPEG-LS, "),
        (b"qoif", "^QOI, "),
        (b"\xef\xbb\xbf<svg>", "^SVG, "),
        (b"PF\n4 4\n-1.0\n", "^PNM: .*if other programs read it: convert it"),
        (b'<?xml version="1.0"?>\n<svg width="9">', "^SVG, "),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (png_of(8, 3, b"\0\1"), "^PNG: damaged, cut off or of a sort"),  # without its palette
    ],
)
def test_what_is_wrong_is_said(content, told):
    with pytest.raises(BadImage, match=told):
        decode(content, AS_IT_IS)


def test_formats_that_start_programs_are_not_read():
    content = io.BytesIO()
    Image.fromarray(NOISE).save(content, "eps")
    with pytest.raises(BadImage, match="not an image"):
        decode(content.getvalue(), AS_IT_IS)


def test_a_bomb_is_refused_before_it_is_decoded():
    content = stored(plain("1", 0, (2000, 2000)))
    assert len(content) < 10_000
    with pytest.raises(BadImage, match="2000x2000 pixels, more than 1 million"):
        decode(content, replace(AS_IT_IS, megapixels=1))
    assert decode(content, replace(AS_IT_IS, megapixels=4, size=8)).pixels.shape == (8, 8, 1)


def test_the_limit_is_ours_alone():
    """Pillow's own, one for the whole process, is neither in the way nor changed."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = 10
    try:
        assert decode(stored(plain("L", 7)), AS_IT_IS).pixels.shape == (4, 5, 1)
        assert Image.MAX_IMAGE_PIXELS == 10
    finally:
        Image.MAX_IMAGE_PIXELS = before


def test_large_jpegs_are_decoded_smaller_and_look_the_same():
    ramp = np.linspace(0, 255, 1200).astype(np.uint8)
    image = Image.fromarray(
        np.stack([np.tile(ramp, (800, 1)), np.tile(ramp[::-1], (800, 1))] * 2)[:3].transpose(
            1, 2, 0
        )
    )
    made = decode(stored(image, "jpeg", quality=95), replace(AS_IT_IS, size=50))
    assert (made.width, made.height) == (1200, 800)
    exact = np.asarray(image.resize((50, 50), Image.Resampling.BILINEAR)).astype(int)
    assert np.abs(made.pixels - exact).max() <= 4


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (7, 90), (200, 130)])
@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("asked", [None, 32, 50])
@pytest.mark.parametrize(
    "options",
    [
        {"subsampling": 0, "quality": 90},
        {"subsampling": 1},
        {"subsampling": 2, "quality": 20},
        {"progressive": True},
        {"grey": True},
        {"comment": b"Exif"},
    ],
    ids=str,
)
def test_plain_jpegs_become_what_pillow_makes_of_them(size, channels, asked, options, monkeypatch):
    """They are read by another library, for speed alone."""
    settings = Settings(asked, "crop", channels, 100)
    options = dict(options)
    big = np.random.default_rng(size).integers(0, 256, (12, 12, 3), np.uint8)
    image = Image.fromarray(big).resize(size, Image.Resampling.BICUBIC)
    image = image.convert("L") if options.pop("grey", False) else image
    content = stored(image, "jpeg", **options)
    fast = decode(content, settings)
    monkeypatch.setattr(images, "_plain_jpeg", lambda *_: None)
    slow = decode(content, settings)
    for one, other in zip(fast, slow, strict=True):
        np.testing.assert_array_equal(one, other)


def test_plain_jpegs_need_no_pillow_and_all_others_do(monkeypatch):
    def opened(*_, **__):
        raise RuntimeError("Pillow's")

    monkeypatch.setattr(Image, "open", opened)
    picture = Image.fromarray(NOISE)
    assert decode(stored(picture, "jpeg"), AS_IT_IS).pixels.shape == (32, 32, 3)
    turned = Image.Exif()
    turned[0x0112] = 6
    flaw = stored(picture, "jpeg")[:-100]
    others = [
        stored(picture, "jpeg", exif=turned),
        stored(picture.convert("CMYK"), "jpeg"),
        stored(picture.resize((128, 128)), "jpeg"),  # which Pillow decodes at half the size
        stored(picture.resize((2000, 1000)), "jpeg"),  # too large
        stored(picture),
        flaw,
    ]
    for content in others:
        with pytest.raises(BadImage, match="Pillow's"):
            decode(content, replace(AS_IT_IS, size=32, megapixels=1))


GREY = np.arange(48, dtype=np.uint8).reshape(6, 8, 1)
COLOUR = np.stack([np.full((6, 8), v, np.uint8) for v in (255, 0, 0)], -1)


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
def test_pixels_stay_as_they_are_where_nothing_is_asked(image):
    made = decode(image, AS_IT_IS)
    np.testing.assert_array_equal(made.pixels, image)
    assert (made.format, made.width, made.height) == ("array", 8, 6)


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("size", [4, 32])
@pytest.mark.parametrize("resize", RESIZE)
def test_images_are_brought_to_a_size_and_to_channels(image, size, channels, resize):
    for content in (image, stored(Image.fromarray(image[..., 0] if image is GREY else image))):
        made = decode(content, Settings(size, resize, channels, 100)).pixels
        assert made.shape == (size, size, channels or image.shape[2])
        assert made.dtype == np.uint8


def test_grey_is_repeated_and_colour_is_weighed():
    made = decode(GREY, replace(AS_IT_IS, channels=3)).pixels
    np.testing.assert_array_equal(made, np.repeat(GREY, 3, axis=2))
    assert decode(COLOUR, replace(AS_IT_IS, channels=1)).pixels.max() == 76  # 0.299 * 255


def test_shrinking_takes_means_and_keeps_what_is_where():
    checks = (np.indices((8, 8)).sum(0) % 2 * 200).astype(np.uint8)
    small = replace(AS_IT_IS, size=4)
    np.testing.assert_allclose(decode(checks[..., None], small).pixels[1:-1, 1:-1], 100, atol=1)
    half = np.zeros((8, 8, 1), np.uint8)
    half[:, 4:] = 255
    made = decode(half, small).pixels[..., 0]
    assert made[:, 0].max() == 0
    assert made[:, 3].min() == 255


def test_squash_keeps_all_crop_the_middle_and_pad_the_shape():
    wide = np.zeros((20, 60, 1), np.uint8)
    wide[:, :20], wide[:, 20:40], wide[:, 40:] = 50, 150, 250
    squash, crop, pad = (
        decode(wide, Settings(20, resize, None, 100)).pixels[..., 0]
        for resize in ("squash", "crop", "pad")
    )
    assert (squash[10, 1], squash[10, 10], squash[10, -2]) == (50, 150, 250)
    assert set(np.unique(crop[:, 1:-1])) == {150}
    assert (pad[10, 1], pad[10, 10], pad[10, -2]) == (50, 150, 250)
    assert pad[:6].max() == pad[-6:].max() == 0


def test_a_square_is_resized_alike_by_every_way():
    square = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    made = [decode(square, Settings(16, resize, None, 100)).pixels for resize in RESIZE]
    for other in made[1:]:
        np.testing.assert_array_equal(made[0], other)


def test_small_images_have_no_thumb():
    assert decode(NOISE[: THUMB - 1], AS_IT_IS).thumb is None
    for size in (None, 8):
        thumb = decode(NOISE, replace(AS_IT_IS, size=size)).thumb
        np.testing.assert_array_equal(thumb, NOISE)
    assert decode(np.tile(NOISE, (2, 2, 1)), AS_IT_IS).thumb.shape == (THUMB, THUMB, 3)


def boxes(brand, *compatible):
    """How a file of the family of HEIC begins."""
    brands = b"".join([brand, bytes(4), *compatible])
    return (8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands + bytes(300)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (boxes(b"heic", b"mif1", b"heic"), "HEIC"),
        (boxes(b"mif1", b"heic"), "HEIC"),
        (boxes(b"mif1", b"mif1", b"avif"), "AVIF"),
        (boxes(b"avif"), "AVIF"),
        (boxes(b"isom", b"mp42"), None),
        (b"BM for short, these are notes", None),
        (b"P1 is the first of my notes", None),
        (b"P2 2 notes", None),
        (b"", None),
    ],
)
def test_the_kind_is_known_by_the_bytes(content, kind):
    assert formats.kind(content) == kind


def test_without_its_package_heic_says_what_to_install(monkeypatch):
    monkeypatch.setattr(formats.importlib.util, "find_spec", lambda name: None)
    formats.remedy.cache_clear()
    try:
        with pytest.raises(
            BadImage, match=r"^HEIC, which is not read here: pip install pillow-heif"
        ):
            decode(boxes(b"heic"), AS_IT_IS)
    finally:
        formats.remedy.cache_clear()


def test_heic_is_read_where_its_package_is():
    heif = pytest.importorskip("pillow_heif", reason="needs requirements-data.txt")
    content = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 10, 10))).save(content, quality=95)
    image = decode(content.getvalue(), AS_IT_IS)
    assert (image.format, image.width, image.height) == ("HEIC", 64, 48)
    assert np.abs(image.pixels.astype(int) - [200, 10, 10]).max() < 6


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_avif_is_read_upright():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = stored(Image.new("RGB", (64, 48), (200, 10, 10)), "avif", quality=95, exif=exif)
    image = decode(content, AS_IT_IS)
    assert (image.format, image.width, image.height) == ("AVIF", 48, 64)
    assert np.abs(image.pixels.astype(int) - [200, 10, 10]).max() < 6
    with pytest.raises(BadImage, match=r"^AVIF"):
        decode(boxes(b"avif"), AS_IT_IS)


TURNED = Image.Exif()
TURNED[0x0112] = 6
BROKEN = {
    "empty": b"Exif\0\0",
    "no header": b"Exif\0\0\x11\x08\0\x02\x01\x12\0\x03",
    "cut": b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01",
    "astray": b"Exif\0\0II*\0\xff\xff\xff\x7f",
}


@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
@pytest.mark.parametrize("exif", BROKEN.values(), ids=BROKEN)
def test_broken_exif_costs_no_image(ending, exif):
    options = {"lossless": True} if ending == "webp" else {}
    picture = Image.fromarray(NOISE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = decode(stored(picture, ending, exif=exif, **options), AS_IT_IS)
    np.testing.assert_array_equal(
        made.pixels, decode(stored(picture, ending, **options), AS_IT_IS).pixels
    )


@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_a_broken_profile_costs_neither_an_image_nor_its_turn(ending):
    options = {"lossless": True} if ending == "webp" else {}
    picture = Image.fromarray(NOISE[:20])
    for profile in (b"", b"x", bytes(2 << 20)):
        made = decode(
            stored(picture, ending, exif=TURNED, icc_profile=profile, **options), AS_IT_IS
        )
        plain = decode(stored(picture, ending, exif=TURNED, **options), AS_IT_IS)
        np.testing.assert_array_equal(made.pixels, plain.pixels)
        assert (made.width, made.height) == (20, 32)


def segment(marker, content):
    """A block of a JPEG."""
    return bytes([0xFF, marker]) + (len(content) + 2).to_bytes(2, "big") + content


@pytest.mark.parametrize(
    "odd",
    [
        segment(0xED, b"Photoshop 3.0\x008BIM"),
        segment(0xED, b"Photoshop 3.0\x008BIM\x04"),
        segment(0xE1, b""),
        segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x tiff:Orientation='zz'/>"),
        segment(0xE2, b"ICC_PROFILE\0"),
        segment(0xE2, b"MPF\0"),
        segment(0xE2, b"MPF\0II*\0\x08\0\0\0\xff\xff"),
        segment(0xEE, b"Adobe"),
        segment(0xFE, b""),
    ],
)
def test_broken_blocks_cost_no_jpeg_nor_its_turn(odd):
    whole = stored(Image.fromarray(NOISE[:20]), "jpg")
    expected = decode(whole, AS_IT_IS).pixels
    turned = segment(0xE1, b"Exif\0\0" * 2 + TURNED.tobytes()[6:])  # which some phones write twice
    for blocks, turns in ((odd, 0), (odd + turned, -1), (turned + odd, -1)):
        made = decode(whole[:2] + blocks + whole[2:], AS_IT_IS)
        np.testing.assert_array_equal(made.pixels, np.rot90(expected, turns))


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tIME", b"gAMA", b"pHYs"])
@pytest.mark.parametrize("late", [False, True])
def test_text_and_what_else_is_no_pixels_cost_no_png(kind, late):
    whole = stored(Image.fromarray(NOISE[:20]), exif=TURNED)
    at = whole.index(b"IEND" if late else b"IDAT") - 4
    much = chunk(kind, b"name\0\0" + zlib.compress(bytes(2 << 20)))
    for odd in (much, chunk(kind, b""), chunk(kind, b"x"), much[:-1] + b"?"):
        made = decode(whole[:at] + odd + whole[at:], AS_IT_IS)
        np.testing.assert_array_equal(made.pixels, np.rot90(NOISE[:20], -1))


@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (3, 20_000), (20_000, 3)])
def test_the_thinnest_images_keep_a_pixel_a_side(resize, size):
    made = decode(stored(plain("L", 200, size)), Settings(32, resize, None, 100))
    assert made.pixels.shape == (32, 32, 1)
    assert made.pixels.max() == 200


@pytest.mark.parametrize("shape", [(7, 90), (33, 32), (32, 33), (64, 64), (5, 8), (200, 130)])
@pytest.mark.parametrize("size", [8, 32, 33])
def test_padding_is_pillow_s(shape, size):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8))
    theirs = ImageOps.pad(picture, (size, size), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(RESIZE["pad"](picture, (size, size)), theirs)


def test_settings_that_differ_have_keys_that_differ():
    made = [AS_IT_IS, replace(AS_IT_IS, size=8), replace(AS_IT_IS, channels=1)]
    made += [replace(AS_IT_IS, resize="pad"), replace(AS_IT_IS, megapixels=9)]
    made += [replace(AS_IT_IS, scale=(0, 4096))]
    assert len({settings.key for settings in made}) == len(made)
    assert replace(AS_IT_IS).key == AS_IT_IS.key


def test_exif_that_pillow_reads_is_what_was_written():
    """The test of orientations is worth something only if files hold them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(stored(plain("RGB", 0), "jpg", exif=exif))) as image:
        assert ImageOps.exif_transpose(image).size == (4, 5)
