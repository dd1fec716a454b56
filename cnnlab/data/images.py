"""One image: from a file's bytes to the pixels that networks see.

JPEG, PNG, BMP, GIF, TIFF, PNM, WebP, AVIF, and HEIC where pillow-heif is installed, the first
picture of several; grey, colour, palette, CMYK, with or without transparency. What comes out is 8
bits, grey or RGB, upright as its EXIF or XMP says; transparent parts show white. Colour profiles
are not applied. Values of more than 8 bits are brought to 8 by one rule for a whole data set, see
`scale`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import re
import struct
import sys
import warnings
import zlib
from collections.abc import Iterable, Iterator, Set
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
import PIL
import simplejpeg
from PIL import ExifTags, Image, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

from cnnlab.data import formats, tiff


def pad(
    picture: Image.Image,
    size: tuple[int, int],
    way: Image.Resampling = Image.Resampling.BILINEAR,
    beside: int = 0,
) -> Image.Image:
    """As ImageOps.pad does it, which leaves nothing of a very thin picture."""
    shares = picture.width / picture.height / (size[0] / size[1])
    thin = (max(1, round(size[0] * min(1, shares))), max(1, round(size[1] * min(1, 1 / shares))))
    small = picture.resize(thin, way)
    padded = Image.new(picture.mode, size, beside)
    padded.paste(small, (round((size[0] - thin[0]) / 2), round((size[1] - thin[1]) / 2)))
    return padded


RESIZE = {
    "squash": lambda picture, size: picture.resize(size, Image.Resampling.BILINEAR),
    "crop": lambda picture, size: ImageOps.fit(picture, size, Image.Resampling.BILINEAR),
    "pad": pad,
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
TURNED = (5, 6, 7, 8)  # those that swap width and height

EXIF = {b"Exif", b"eXIf", b"EXIF"}  # begin its block in JPEG, PNG and WebP

MODE = {1: "L", 3: "RGB"}  # channels -> Pillow's name
THUMB = 32  # pixels a side, of what near duplicates are found by; smaller images have none
# Goes up when the same file and settings give other pixels or facts, or are kept in another way.
_VERSION = 6

# What Pillow raises for files that are damaged, cut off or made to do harm.
UNREADABLE = (
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
    AssertionError,  # for a palette that is not there
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
    # As `scale` gives it, for values of more than 8 bits; None: each image's own.
    scale: tuple[float, float] | None = None

    @property
    def key(self) -> str:
        """Hash of all that decides what comes out for a given file."""
        libraries = {"pillow": PIL.__version__, "simplejpeg": simplejpeg.__version__}
        libraries |= formats.readers()
        made_by = {"version": _VERSION, **libraries, **asdict(self)}
        return hashlib.sha256(json.dumps(made_by, sort_keys=True).encode()).hexdigest()[:16]


class Decoded(NamedTuple):
    """One image, and what it was."""

    pixels: np.ndarray  # uint8 (height, width, channels)
    thumb: np.ndarray | None  # uint8 (THUMB, THUMB, 1 or 3); None where the original is smaller
    width: int  # of the original, upright
    height: int
    mode: str  # of the original: Pillow's name, such as RGB, L, P, CMYK, I;16
    format: str  # one of formats.ENDINGS; "array" for what came as pixels
    pictures: int = 1  # in the file, of which this is the first
    values: tuple[float, float] | None = None  # least and largest of more than 8 bits, else None


def scale(low: float, high: float, whole: bool) -> tuple[float, float]:
    """What brings values from `low` to `high` to 8 bits: the one that is black, and how many there
    are from there to white. `whole`: they are whole numbers.

    Black is 0, and white what the fewest bits hold that hold all values, so that 12 bits in a file
    of 16 fill the range; white is 1 for fractions. Where values are below 0, black is the least
    and white the largest.
    """
    if low < 0:
        return float(low), float(high - low) or 1.0
    if high <= 1 and not whole:
        return 0.0, 1.0
    return 0.0, 2.0 ** int(high).bit_length()


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
    kind = formats.kind(content[: formats.HEAD])
    if kind is None:
        raise BadImage("not an image of a known format")
    if remedy := formats.remedy(kind):
        raise BadImage(f"{kind}, which is not read here: {remedy}")
    problem = None
    without = functools.partial(_bare, content, kind)
    for less in (lambda: content, lambda: without(EXIF), lambda: without(set())):
        try:
            return _read(less(), kind, settings)
        except (Image.UnidentifiedImageError, AssertionError):  # which say nothing
            problem = problem or f"{kind}: damaged, cut off or of a sort that is not read"
        except UNREADABLE as error:
            problem = problem or f"{kind}: {' '.join(str(error).split()) or type(error).__name__}"
    remedy = "convert it to PNG"
    if kind == "TIFF":
        try:
            return _read_deep(content, settings)
        except ImportError:
            remedy = formats.OTHER_TIFF
        except UNREADABLE as error:
            problem += f" ({' '.join(str(error).split())})"
    raise BadImage(f"{problem}; if other programs read it: {remedy}")


def header(content: bytes, megapixels: float) -> tuple[int, int, str]:
    """Width and height in pixels, upright, and Pillow's mode, by a file's first bytes, as many as
    its header takes. Raises BadImage, for more than so many million pixels too."""
    kind = formats.kind(content)
    if kind is None:
        raise BadImage("not an image of a known format" if content else "empty file")
    if remedy := formats.remedy(kind):
        raise BadImage(f"{kind}, which is not read here: {remedy}")
    try:
        with warnings.catch_warnings(action="ignore"), _any_size(), _open(content, kind) as image:
            (width, height), mode, turn = image.size, image.mode, _turn(image)
            if kind == "TIFF" and image.tag_v2.get(ExifTags.Base.Orientation) in TURNED:
                turn = 1  # its size is upright already, where XMP alone does not say the turn
    except Exception as error:  # Pillow raises nearly all there are for damaged files
        if kind == "TIFF":  # of a sort that tifffile may read
            raise BadImage("TIFF: of a sort that is not read, or damaged") from None
        said = " ".join(str(error).split())
        said = "damaged or cut off" if "cannot identify" in said else said or "damaged"
        raise BadImage(f"{kind}: {said}") from None
    if width * height > megapixels * 1e6:
        raise BadImage(f"{width}x{height} pixels, more than {megapixels:g} million")
    return (height, width, mode) if turn in TURNED else (width, height, mode)


def _refuse_large(width: int, height: int, settings: Settings) -> None:
    if width * height > settings.megapixels * 1e6:
        raise BadImage(f"{width}x{height} pixels, more than {settings.megapixels:g} million")


def _read(content: bytes, kind: str, settings: Settings) -> Decoded:
    with warnings.catch_warnings(action="ignore"), _any_size(), _open(content, kind) as image:
        _refuse_large(image.width, image.height, settings)
        if isinstance(image, TiffImageFile):
            _refuse_misread(image)
        mode, shape = image.mode, (image.height, image.width)
        if settings.size:
            # JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves twice the pixels asked for.
            image.draft("L" if settings.channels == 1 else None, (2 * settings.size,) * 2)
        colours = _deep_colours(content, kind, image)
        if colours is None:
            image.load()
        if kind == "TIFF":  # which loading turns upright
            shape = (image.height, image.width)
        if kind == "PNG" and image.mode == "L" and "transparency" in image.info:
            # Pillow stretches grey of 2 and 4 bits to 8, and leaves the number that is clear.
            image.info["transparency"] *= {2: 85, 4: 17}.get(content[24], 1)
        turn = _turn(image)
        picture, values = _shallow(image, colours, settings.scale)
        upright = picture.transpose(TURN[turn]) if turn in TURN else picture
        shape = shape[::-1] if turn in TURNED else shape
        image_of = _finish(_plain(upright), settings, shape, kind, mode)
        return image_of._replace(values=values, pictures=_pictures(image))


def _read_deep(content: bytes, settings: Settings) -> Decoded:
    """A TIFF that Pillow does not read, or not rightly."""
    with warnings.catch_warnings(action="ignore"):
        samples = tiff.read(content, functools.partial(_refuse_large, settings=settings))
    levels, ends = samples.values, None
    if levels.dtype != np.uint8 or samples.bits != 8:
        levels, ends = _levels(samples.values, settings.scale)
    levels = 255 - levels if samples.inverted else levels
    picture = Image.fromarray(levels.squeeze(2) if samples.mode == "L" else levels, samples.mode)
    if samples.alpha is not None:
        picture = picture.convert("RGB" if samples.mode == "CMYK" else samples.mode)
        picture.putalpha(Image.fromarray(samples.alpha.squeeze(2)))
    turn = samples.turn
    upright = picture.transpose(TURN[turn]) if turn in TURN else picture
    fractions = samples.values.dtype.kind == "f"
    mode = "F" if fractions else "I" if samples.mode == "L" and ends else samples.mode
    image_of = _finish(_plain(upright), settings, upright.size[::-1], "TIFF", mode)
    return image_of._replace(values=ends, pictures=samples.pictures)


def _refuse_misread(image: TiffImageFile) -> None:
    if tiff.is_copy(image):
        remedy = formats.remedy("raw photograph")
        raise BadImage(f"TIFF: raw photograph, of which a smaller copy would be read: {remedy}")
    if tiff.misread(image):
        raise Image.UnidentifiedImageError


def _pictures(image: Image.Image) -> int:
    """How many pictures a file holds; further ones of a JPEG are copies of the first, as phones
    write them."""
    try:
        return 1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)
    except UNREADABLE:  # later pictures may be damaged where the first is not
        return 1


def _open(content: bytes, kind: str) -> Image.Image:
    return Image.open(io.BytesIO(content), formats=[formats.PILLOW.get(kind, kind)])


def _turn(image: Image.Image) -> int:
    """The orientation in EXIF, or else XMP; upright where that is broken, which is no reason to
    lose an image."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except UNREADABLE:
        return 1


def _bare(content: bytes, kind: str, exif: Set[bytes]) -> bytes:
    """A file without its text and profiles, which may be broken where the pixels are not. `exif`:
    names of blocks that stay, too."""
    blocks = {"PNG": _png, "WEBP": _webp, "JPEG": _jpeg}.get(kind)
    return blocks(content, exif) if blocks else content


def _png(content: bytes, exif: Set[bytes]) -> bytes:
    kept, at = [content[:8]], 8
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", *exif):
            kept.append(content[at:end])
        at = end
    return b"".join(kept)


def _webp(content: bytes, exif: Set[bytes]) -> bytes:
    kept, at = [], 12
    while at < len(content):
        size = int.from_bytes(content[at + 4 : at + 8], "little")
        end = at + 8 + size + size % 2
        if content[at : at + 4] not in {b"ICCP", b"XMP ", b"EXIF"} - exif:
            kept.append(content[at:end])
        at = end
    return content[:4] + sum(map(len, kept), 4).to_bytes(4, "little") + b"".join([b"WEBP", *kept])


def _jpeg(content: bytes, exif: Set[bytes]) -> bytes:
    kept, at = [content[:2]], 2
    while content[at : at + 1] == b"\xff" and content[at + 1 : at + 2] not in (b"\xda", b""):
        end = at + 2 + int.from_bytes(content[at + 2 : at + 4], "big")
        marker = content[at + 1]
        colours = marker == 0xEE and end - at == 16  # says what they are, where it is whole
        extra = marker in {*range(0xE1, 0xF0), 0xFE} and not colours
        if not extra or content[at + 4 : at + 8] in exif:
            kept.append(content[at:end])
        at = end
    return b"".join([*kept, content[at:]])


def _plain_jpeg(content: bytes, settings: Settings) -> tuple[np.ndarray, str] | None:
    """Pixels and mode of a flawless JPEG of the usual kind, which is not to be shrunk or turned.

    The same pixels that Pillow gives, seven times as fast for an image as small as 32x32; all other
    files, and what to say of them, are left to Pillow: None.
    """
    if content[:3] != b"\xff\xd8\xff" or b"Exif\0\0" in content or b"tiff:Orientation" in content:
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


def _deep_colours(content: bytes, kind: str, image: Image.Image) -> np.ndarray | None:
    """Values of colours of 16 bits, of which Pillow takes 8; None for all others.

    `image`: the file's, not loaded. Pillow takes the lower bytes where it is told that they come in
    the other order, and all of PNM where it is told that it is grey, and three times as wide.
    """
    args = image.tile[0].args if image.tile else None
    if kind == "PNM" and image.mode == "RGB" and isinstance(args, tuple) and args[1] > 255:
        sort = int(content[1:2]) - 1  # P6 -> P5, P3 -> P2
        about = b"P%d %d %d %d\n" % (sort, 3 * image.width, image.height, args[1])
        with _open(about + content[image.tile[0].offset :], kind) as grey:
            return np.asarray(grey).astype(np.uint16).reshape(image.height, image.width, 3)
    order = args[0] if isinstance(args, tuple) and args else args
    if not re.fullmatch("(RGB[AX]?|LA|CMYK);16[BLN]", str(order)):
        return None
    big = order[-1] == "B" or (order[-1] == "N" and sys.byteorder == "big")
    grey = order[0] == "L"  # of which it knows one order: its four bytes are read as colours
    other = "RGBA" if grey else order[:-1] + ("L" if big else "B")
    with _open(content, kind) as again:
        again.tile = [
            tile._replace(args=other if isinstance(tile.args, str) else (other, *tile.args[1:]))
            for tile in again.tile
        ]
        lower = np.asarray(again)
    lower = lower[..., [1, 1, 1, 3]] if grey else lower
    return (np.asarray(image).astype(np.uint16) << 8) | lower


def _shallow(
    image: Image.Image, colours: np.ndarray | None, asked: tuple[float, float] | None
) -> tuple[Image.Image, tuple[float, float] | None]:
    """The picture with 8 bits, and the least and largest value where it had more."""
    signed = isinstance(image, TiffImageFile) and tiff.signed(image)
    if colours is not None:
        values = colours
    elif image.mode == "I":  # for whole numbers of either sort
        values = np.asarray(image) if signed else np.asarray(image).view(np.uint32)
    elif image.mode == "F" or image.mode.startswith("I;16"):
        values = np.asarray(image)
    elif image.mode == "L" and signed:
        values = np.asarray(image).view(np.int8)
    else:
        return image, None
    opaque = image.mode[-1] != "A"
    levels, ends = _levels(values if opaque else values[..., :-1], asked)
    clear = image.info.get("transparency")  # the one number, or colour, that is
    if clear is not None:
        levels[(values == clear).reshape(*values.shape[:2], -1).all(2)] = 255
    if not opaque:
        levels = np.concatenate([levels, np.asarray(image)[..., -1:]], axis=2)
    return Image.fromarray(levels, "CMYK" if image.mode == "CMYK" else None), ends


def _plain(picture: Image.Image) -> Image.Image:
    """The picture in mode L or RGB."""
    plain = "L" if picture.mode in ("1", "L", "LA", "La") else "RGB"
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture)
    return picture if picture.mode == plain else picture.convert(plain)


def _levels(
    values: np.ndarray, asked: tuple[float, float] | None
) -> tuple[np.ndarray, tuple[float, float]]:
    """Values at 8 bits, where what is no number is black, and the least and largest of them."""
    whole = values.dtype.kind != "f"
    finite = values if whole else values[np.isfinite(values)]
    ends = (float(finite.min(initial=0)), float(finite.max(initial=0)))
    black, width = asked or scale(*ends, whole)
    levels = (values.astype(np.float32 if values.itemsize == 2 else np.float64) - black) * (
        256 / width
    )
    return np.nan_to_num(levels, nan=0).clip(0, 255).astype(np.uint8), ends


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
    resized = picture if picture.mode == wanted else picture.convert(wanted)
    resized = resized if resized.size == size else RESIZE[settings.resize](resized, size)
    pixels, thumb = _pixels(resized), None
    if min(shape[:2]) >= THUMB:
        small = (THUMB, THUMB)
        same = resized is picture and size == small
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
