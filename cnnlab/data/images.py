"""One image: from a file's bytes to the pixels that networks see.

JPEG, PNG, BMP, GIF and TIFF (the first picture of several) and WebP; 1, 8 or 16 bits, grey, colour,
palette, CMYK, with or without transparency. What comes out is 8 bits, grey or RGB, upright as its
EXIF orientation says; transparent parts show white.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import PIL
import simplejpeg
from PIL import ExifTags, Image, ImageOps

# Read by their content, whatever the name ends in. Others that Pillow knows are left out: some
# start programs (EPS), and all of them are more code for a hostile file to meet.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")

RESIZE = {
    "squash": lambda picture, size: picture.resize(size, Image.Resampling.BILINEAR),
    "crop": lambda picture, size: ImageOps.fit(picture, size, Image.Resampling.BILINEAR),
    "pad": lambda picture, size: ImageOps.pad(picture, size, Image.Resampling.BILINEAR),
}

TURN = {  # EXIF orientation -> what makes the picture upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

MODE = {1: "L", 3: "RGB"}  # channels -> Pillow's name
THUMB = 32  # pixels a side, of what near duplicates are found by; smaller images have none
# Goes up when the same file and settings give other pixels or facts, or are kept in another way.
_VERSION = 2

# What Pillow raises for files that are damaged, cut off or made to do harm.
_UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    SyntaxError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


class BadImage(Exception):
    """An image that cannot be used; says why."""


@dataclass(frozen=True)
class Settings:
    """What every image is brought to."""

    size: int | None  # pixels, images become size x size; None: as they are
    resize: str  # a key of RESIZE
    channels: int | None  # 1 or 3; None: as each image is
    megapixels: float  # larger images are refused before they are decoded

    @property
    def key(self) -> str:
        """Hash of all that decides what comes out for a given file."""
        libraries = {"pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
        made_by = {"version": _VERSION, **libraries, **asdict(self)}
        return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]


class Decoded(NamedTuple):
    """One image, and what it was."""

    pixels: np.ndarray  # uint8 (height, width, channels)
    thumb: np.ndarray | None  # uint8 (THUMB, THUMB, 1 or 3); None where the original is smaller
    width: int  # of the original, upright
    height: int
    mode: str  # of the original: Pillow's name, such as RGB, L, P, CMYK, I;16
    format: str  # one of FORMATS; "array" for what came as pixels


def decode(content: bytes | np.ndarray, settings: Settings) -> Decoded:
    """An image file's bytes, or pixels uint8 (height, width, 1 or 3), as the settings ask.

    Squashing, cropping to the middle or padding with black, with antialiasing. Raises BadImage.
    """
    if isinstance(content, np.ndarray):
        return _of_pixels(content, settings, "array", MODE[content.shape[2]])
    if not content:
        raise BadImage("empty file")
    if plain := _plain_jpeg(content, settings):
        pixels, mode = plain
        return _of_pixels(pixels, settings, "JPEG", mode)
    try:
        with _any_size(), Image.open(io.BytesIO(content), formats=FORMATS) as image:
            if image.width * image.height > settings.megapixels * 1e6:
                size = f"{image.width}x{image.height} pixels"
                raise BadImage(f"{size}, more than {settings.megapixels:g} million")
            mode, kind = image.mode, "JPEG" if image.format == "MPO" else image.format
            shape = (image.height, image.width)
            if settings.size:
                # JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves twice the pixels asked for.
                image.draft("L" if settings.channels == 1 else None, (2 * settings.size,) * 2)
            image.load()  # which turns TIFF upright by itself
            turn = image.getexif().get(ExifTags.Base.Orientation, 1)
            upright = image.transpose(TURN[turn]) if turn in TURN else image
            shape = shape[::-1] if turn in (5, 6, 7, 8) else shape
            return _finish(_plain(upright), settings, shape, kind, mode)
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise BadImage("not an image that can be read") from None
    except _UNREADABLE as error:
        raise BadImage(" ".join(str(error).split()) or type(error).__name__) from None


def _plain_jpeg(content: bytes, settings: Settings) -> tuple[np.ndarray, str] | None:
    """Pixels and mode of a flawless JPEG of the usual kind, which is not to be shrunk or turned.

    The same pixels that Pillow gives, seven times as fast for an image as small as 32x32; all other
    files, and what to say of them, are left to Pillow: None.
    """
    if content[:3] != b"\xff\xd8\xff" or b"Exif\0\0" in content:
        return None
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        shrinks = settings.size and min(height, width) >= 4 * settings.size
        if space not in ("YCbCr", "Gray") or shrinks or height * width > settings.megapixels * 1e6:
            return None
        # Asked for a size in grey, Pillow leaves the colours out; else it weighs them afterwards.
        grey = space == "Gray" or (settings.size and settings.channels == 1)
        pixels = simplejpeg.decode_jpeg(content, "GRAY" if grey else "RGB")
        return pixels, "L" if space == "Gray" else "RGB"
    except ValueError:
        return None


@contextlib.contextmanager
def _any_size() -> Iterator[None]:
    """Pillow's limit of pixels, one for all of the process, makes way for the settings'."""
    before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def _plain(picture: Image.Image) -> Image.Image:
    """The picture in mode L or RGB."""
    if picture.mode in ("I", "F"):
        raise BadImage("pixels of 32 bits; allowed: 8 or 16 bits")
    if picture.mode.startswith("I;16"):  # which Pillow would clip at 255
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    plain = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture if picture.mode == plain else picture.convert(plain)


def _of_pixels(pixels: np.ndarray, settings: Settings, kind: str, mode: str) -> Decoded:
    """Size and channels of what is no picture of Pillow's yet, nor has to be if it is as asked."""
    height, width, channels = pixels.shape
    as_asked = settings.size in (None, height) and settings.channels in (None, channels)
    if as_asked and height == width == THUMB:  # which is the thumb, too
        return Decoded(pixels, pixels, width, height, mode, kind)
    picture = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    return _finish(picture, settings, pixels.shape, kind, mode)


def _finish(
    picture: Image.Image, settings: Settings, shape: tuple[int, ...], kind: str, mode: str
) -> Decoded:
    """Size and channels of a picture in mode L or RGB, of an original of `shape` and `mode`."""
    wanted = MODE.get(settings.channels, picture.mode)
    size = (settings.size, settings.size) if settings.size else picture.size
    made = picture if picture.mode == wanted else picture.convert(wanted)
    made = made if made.size == size else RESIZE[settings.resize](made, size)
    pixels, thumb = _pixels(made), None
    if min(shape[:2]) >= THUMB:
        small = (THUMB, THUMB)
        same = made is picture and size == small
        thumb = pixels if same else _pixels(picture.resize(small, Image.Resampling.BILINEAR))
    return Decoded(pixels, thumb, shape[1], shape[0], mode, kind)


def _pixels(picture: Image.Image) -> np.ndarray:
    """Of a picture of mode L or RGB: uint8 (height, width, channels)."""
    width, height = picture.size
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(height, width, -1)


def grey(pictures: Iterable[np.ndarray]) -> np.ndarray:
    """Pictures uint8 (s, s, 1 or 3), all of one size, as grey ones, uint8 (n, s, s)."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    colour = np.stack([p if p.shape[2] == 3 else np.repeat(p, 3, axis=2) for p in pictures])
    return np.round(colour @ weights).astype(np.uint8)


def perceptual_hash(thumbs: np.ndarray) -> np.ndarray:
    """pHash (Zauner 2010): which of the 63 lowest frequencies are above their median.

    thumbs: uint8 (n, s, s), s at least 8. Returns int64 (n,), the bits of each.
    """
    side = thumbs.shape[1]
    # The eight lowest cosines, written out: importing scipy.fft would take a worker longer than
    # thousands of images.
    waves = np.outer(np.arange(8), np.arange(side) + 0.5) * np.pi / side
    basis = (np.cos(waves) * np.where(np.arange(8) == 0, 0.5**0.5, 1)[:, None]).astype(np.float32)
    low = (basis @ thumbs.astype(np.float32) @ basis.T).reshape(-1, 64)
    low[:, 0] = -np.inf  # the mean brightness says nothing
    above = low > np.median(low[:, 1:], axis=1, keepdims=True)
    return np.packbits(above, axis=1).view(">i8").astype(np.int64).ravel()
