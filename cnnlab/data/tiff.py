"""TIFF files of sorts that Pillow does not read, or not rightly: numbers of 64 bits, fractions in
colour, deep colours in separate planes and others. tifffile reads them, where it is installed."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    PHOTOMETRIC_INTERPRETATION,
    PLANAR_CONFIGURATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    TiffImageFile,
)

if TYPE_CHECKING:
    from tifffile import TiffPage

NEW_SUBFILE_TYPE = 254  # a tag
WHITE_IS_ZERO = 0
COLOURS = {WHITE_IS_ZERO: "L", 1: "L", 2: "RGB", 5: "CMYK"}  # what samples mean -> Pillow's name
SEEN = {1, 2}  # meanings of an additional sample that are transparency


class Samples(NamedTuple):
    """The first picture of a file, as its numbers are."""

    values: np.ndarray  # (height, width, 1, 3 or 4)
    alpha: np.ndarray | None  # uint8 (height, width, 1)
    mode: str  # L, RGB or CMYK
    inverted: bool  # 0 is white
    bits: int  # of each number
    turn: int  # EXIF orientation
    pictures: int  # in the file


def misread(image: TiffImageFile) -> bool:
    """Whether Pillow opens a file whose deep samples it takes wrong: in planes, or from white."""
    tags = image.tag_v2
    planes = tags.get(PLANAR_CONFIGURATION, 1) == 2 and tags.get(SAMPLESPERPIXEL, 1) > 1
    white = tags.get(PHOTOMETRIC_INTERPRETATION) == WHITE_IS_ZERO
    return max(tags.get(BITSPERSAMPLE, (1,))) > 8 and (planes or white)


def is_copy(image: TiffImageFile) -> bool:
    """Whether the first picture is a smaller copy of another, as in raw photographs."""
    return bool(image.tag_v2.get(NEW_SUBFILE_TYPE, 0) & 1)


def signed(image: TiffImageFile) -> bool:
    """Whether the numbers in a file may be below 0."""
    return image.tag_v2.get(SAMPLEFORMAT, (1,))[0] == 2


def read(content: bytes, check: Callable[[int, int], None]) -> Samples:
    """The numbers in a file. `check` sees width and height before anything is decoded. Raises
    ValueError for a sort that is not read, ImportError where tifffile is missing."""
    import tifffile

    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # of odd tags, which may do no harm
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            page, pictures = file.pages.first, len(file.pages)
            check(page.imagewidth * page.imagedepth, page.imagelength)
            mode = _mode(page)
            ends = np.add(page.dataoffsets, page.databytecounts)
            if not all(page.databytecounts) or max(ends, default=0) > len(content):
                raise ValueError("cut off")
            values = page.asarray()
    except (tifffile.TiffFileError, AttributeError, ArithmeticError) as error:  # by odd tags
        raise ValueError(str(error)) from None
    values = np.moveaxis(values, 0, -1) if page.axes == "SYX" else values
    values = values[..., None] if values.ndim == 2 else values
    extra = [i for i, kind in enumerate(page.extrasamples, len(mode)) if int(kind) in SEEN]
    tag = page.tags.get("Orientation")
    return Samples(
        values[..., : len(mode)],
        _alpha(values[..., extra[:1]]) if extra else None,
        mode,
        page.photometric == WHITE_IS_ZERO,
        page.bitspersample,
        int(tag.value) if tag else 1,
        pictures,
    )


def _mode(page: TiffPage) -> str:
    """What colours a picture has. Raises ValueError for a sort that is not read."""
    mode, kind = COLOURS.get(int(page.photometric)), page.dtype and page.dtype.kind
    if mode is None or page.axes not in ("YX", "YXS", "SYX") or kind not in ("u", "i", "f", "b"):
        raise ValueError(f"{page.photometric!r}, {page.dtype} {page.axes} is not read")
    if page.samplesperpixel > (2 if mode == "L" else 32):
        raise ValueError(f"{page.samplesperpixel} channels that are not said to be colours")
    return mode


def _alpha(values: np.ndarray) -> np.ndarray:
    full = 1 if values.dtype.kind in "fb" else np.iinfo(values.dtype).max
    return (values.clip(0, full) / full * 255).astype(np.uint8)
