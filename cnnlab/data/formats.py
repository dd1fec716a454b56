"""What kind of image a file holds, by its first bytes, whatever its name ends in."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import re

from PIL import features

HEAD = 512  # bytes by which a kind is known

ENDINGS = {  # kinds that are read, and how their files' names usually end
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png", ".apng"},
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
    "AVIF": {".avif"},
    "HEIC": {".heic", ".heif", ".hif"},
    "PNM": {".pnm", ".pbm", ".pgm", ".ppm", ".pfm"},
}
PILLOW = {"HEIC": "HEIF", "PNM": "PPM"}  # where Pillow calls a kind by another name

_HEIC = rb"hei[cxms]|hev[cxms]|mif1|msf1"
_SIGNS = {  # the first that matches
    "JPEG-LS": rb"\xff\xd8\xff\xf7",
    "JPEG": rb"\xff\xd8\xff",
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "BMP": rb"BM.{12}[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF.{4}WEBP",
    "raw photograph": rb"II\*\0.{4}CR\x02|.{4}ftypcrx |FUJIFILMCCD-RAW|II(RO|RS|U\0)|MMOR",
    "TIFF": rb"(II|MM)([*+]\0|\0[*+])",
    "AVIF": rb".{4}ftyp(avi[fs]|(?:" + _HEIC + rb").{4}(?:.{4}){0,8}?avi[fs])",
    "HEIC": rb".{4}ftyp(?:" + _HEIC + rb")",
    "JPEG XL": rb"\xff\x0a|\0\0\0\x0cJXL \r\n\x87\n",
    "JPEG 2000": rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51",
    "JPEG XR": rb"II\xbc",
    "DICOM": rb".{128}DICM|\x08\0[\0\1\5\x08\x10\x12-\x18]\0(..\0\0|[A-Z]{2})",
    "Photoshop": rb"8BPS",
    "OpenEXR": rb"\x76\x2f\x31\x01",
    "PNM": rb"P[1-6Ff]\s+(#[^\n]*\s+)*\d+\s+(#[^\n]*\s+)*\d+\s",
    "PAM": rb"P7\n",
    "Radiance HDR": rb"#\?(RADIANCE|RGBE)\n",
    "FITS": rb"SIMPLE  = ",
    "GIMP": rb"gimp xcf",
    "DDS": rb"DDS \x7c\0\0\0",
    "QOI": rb"qoif",
    "icon": rb"\0\0[\1\2]\0[^\0]\0.{3}\0",
    "SVG": rb"(\xef\xbb\xbf)?\s*(<\?xml.*)?(<!--.*)?(<!DOCTYPE svg.*)?<svg\b",
    "Git LFS pointer": rb"version https://git-lfs",
}
_SIGNS = {kind: re.compile(sign, re.DOTALL) for kind, sign in _SIGNS.items()}

_CONVERT = "convert it to PNG or JPEG"
_TIFF = ("tifffile", "imagecodecs")  # packages that read TIFF which Pillow does not
OTHER_TIFF = f"pip install {' '.join(_TIFF)}, or -r requirements-data.txt, which may read it"
_REMEDIES = {  # kind -> what would help where it is not read
    "AVIF": "pip install 'pillow>=11.3', which reads it",
    "HEIC": "pip install pillow-heif, or -r requirements-data.txt, and it is",
    "JPEG XL": f"{_CONVERT}, as with pillow-jxl-plugin",
    "DICOM": f"{_CONVERT}, as with pydicom",
    "raw photograph": f"{_CONVERT}, as with rawpy",
    "OpenEXR": f"{_CONVERT}, as with the package OpenEXR",
    "Git LFS pointer": "run `git lfs pull`",
}


def kind(head: bytes) -> str | None:
    """What a file that begins so is; None for no image of a known kind."""
    return next((kind for kind, sign in _SIGNS.items() if sign.match(head[:HEAD])), None)


@functools.cache
def remedy(kind: str) -> str | None:
    """What would help with files of a known kind that are not read here; None for one that is."""
    if kind == "AVIF":
        reads = features.check("avif")
    elif kind == "HEIC":
        reads = importlib.util.find_spec("pillow_heif") is not None
        if reads:
            importlib.import_module("pillow_heif").register_heif_opener()
    else:
        reads = kind in ENDINGS
    return None if reads else _REMEDIES.get(kind, _CONVERT)


@functools.cache
def readers() -> dict[str, str | None]:
    """The optional readers and their versions, None for one that is not there."""
    versions = {"avif": features.version("avif")}
    for package in ("pillow_heif", *_TIFF):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions
