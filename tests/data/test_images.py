"""One image: every kind of file becomes upright grey or RGB pixels of the size asked for."""

import contextlib
import io
import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cnnlab.data import images
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
    assert (decode(content, AS_IT_IS).pixels == [255, 0, 0]).all()


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
    made = decode(stored(image, ending, **options), replace(AS_IT_IS, size=size))
    assert (made.width, made.height) == (60, 40)
    pixels = made.pixels.astype(int)
    assert pixels.shape == ((32, 32, 3) if size else (40, 60, 3))
    tenth = len(pixels) // 10
    assert np.abs(pixels[tenth, tenth] - [255, 0, 0]).max() < 40
    assert np.abs(pixels[tenth, -tenth] - [0, 255, 0]).max() < 40
    assert pixels[-tenth].max() < 40


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_known_range_are_refused(mode):
    with pytest.raises(BadImage, match="8 or 16 bits"):
        decode(stored(plain(mode, 1), "tiff"), AS_IT_IS)


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
        (b"text", "not an image that can be read"),
        (stored(Image.fromarray(NOISE), "jpeg")[:-400], "truncated"),
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


def test_settings_that_differ_have_keys_that_differ():
    made = [AS_IT_IS, replace(AS_IT_IS, size=8), replace(AS_IT_IS, channels=1)]
    made += [replace(AS_IT_IS, resize="pad"), replace(AS_IT_IS, megapixels=9)]
    assert len({settings.key for settings in made}) == len(made)
    assert replace(AS_IT_IS).key == AS_IT_IS.key


def test_exif_that_pillow_reads_is_what_was_written():
    """The test of orientations is worth something only if files hold them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(io.BytesIO(stored(plain("RGB", 0), "jpg", exif=exif))) as image:
        assert ImageOps.exif_transpose(image).size == (4, 5)
