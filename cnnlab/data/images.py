"""One image: from a file's bytes to the pixels that nets see.

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
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import PIL
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

THUMB = 32  # pixels a side, of what near duplicates are found by; smaller images have none
_VERSION = 1  # goes up when the same file and settings give other pixels or facts

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
        made_by = {"version": _VERSION, "pillow": PIL.__version__, **asdict(self)}
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
        return _finish(_picture(content), settings, content.shape, "array", content)
    if not content:
        raise BadImage("empty file")
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
            return _finish(_plain(upright), settings, shape, kind, None, mode)
    except BadImage:
        raise
    except Image.UnidentifiedImageError:
        raise BadImage("not an image that can be read") from None
    except _UNREADABLE as error:
        raise BadImage(" ".join(str(error).split()) or type(error).__name__) from None


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


def _finish(
    picture: Image.Image,
    settings: Settings,
    shape: tuple[int, ...],
    kind: str,
    pixels: np.ndarray | None,
    mode: str = "",
) -> Decoded:
    """Size and channels. `pixels`: the picture's own, returned where nothing is to be done."""
    wanted = {1: "L", 3: "RGB", None: picture.mode}[settings.channels]
    size = (settings.size, settings.size) if settings.size else picture.size
    made = picture if picture.mode == wanted else picture.convert(wanted)
    made = made if made.size == size else RESIZE[settings.resize](made, size)
    if pixels is None or made is not picture:
        pixels = _pixels(made)
    thumb = None
    if min(shape[:2]) >= THUMB:
        small = (THUMB, THUMB)
        same = made is picture and size == small
        thumb = pixels if same else _pixels(picture.resize(small, Image.Resampling.BILINEAR))
    return Decoded(pixels, thumb, shape[1], shape[0], mode or picture.mode, kind)


def _picture(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def _pixels(picture: Image.Image) -> np.ndarray:
    """Of a picture of mode L or RGB: uint8 (height, width, channels)."""
    width, height = picture.size
    return np.frombuffer(picture.tobytes(), np.uint8).reshape(height, width, -1)
