"""A folder of images with one sub-folder a class, or a .tar or .zip archive of it.

`train/` and `test/` above the class folders, where there are both, keep their meaning. Archives are
read in place; nothing is extracted, so no path in them can write anywhere.
"""

import io
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from cnnlab.data.sources import Source
from cnnlab.errors import UserError

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
LAYOUT = "one folder a class with images in it, optionally below train/ and test/"


# What reading a damaged, cut or encrypted file or archive may raise.
UNREADABLE = (OSError, EOFError, RuntimeError, tarfile.TarError, zipfile.BadZipFile, zlib.error)
UNREADABLE += (Image.DecompressionBombError,)


def open_source(raw):
    raw = Path(raw)
    if not raw.exists():
        raise UserError(f"params.yaml: data.raw = {str(raw)!r}: no such file or folder")
    try:
        files, load = _files(raw)
    except UNREADABLE as error:
        raise UserError(f"params.yaml: data.raw = {str(raw)!r}: damaged ({error})") from None
    files = {str(PurePosixPath(name)): file for name, file in files.items()}
    table = _table(list(files))
    if table.empty:
        raise UserError(
            f"params.yaml: data.raw = {str(raw)!r}: no images found; expected {LAYOUT}; "
            f"endings: {' '.join(sorted(ENDINGS))}"
        )
    sources = table["source"].to_list()
    return Source(table, lambda i: _decode(load, files[sources[i]], f"{raw}: {sources[i]}"))


def _files(raw: Path) -> tuple[dict[str, Any], Callable[[Any], bytes]]:
    """What there is, by name, and how to read it."""
    if raw.is_dir():
        found = {p.relative_to(raw).as_posix(): p for p in raw.rglob("*") if p.is_file()}
        return found, Path.read_bytes
    if tarfile.is_tarfile(raw):
        tar = tarfile.open(raw)  # noqa: SIM115  (read from until the source is let go)
        return {m.name: m for m in tar if m.isfile()}, lambda member: tar.extractfile(member).read()
    if zipfile.is_zipfile(raw):
        archive = zipfile.ZipFile(raw)
        return {m.filename: m for m in archive.infolist() if not m.is_dir()}, archive.read
    raise UserError(f"params.yaml: data.raw = {str(raw)!r}: not a folder, .tar or .zip")


def _table(names: list[str]) -> pd.DataFrame:
    """Rows for the names that fit the layout, in the order of their names."""
    paths = [PurePosixPath(n) for n in sorted(names)]
    paths = [
        p
        for p in paths
        if p.suffix.lower() in ENDINGS and not any(part.startswith((".", "__")) for part in p.parts)
    ]
    # An archive often wraps everything in one folder of its own name.
    shared = {p.parts[0] for p in paths if len(p.parts) > 2}
    offset = int(len(shared) == 1 and not shared & {"train", "test"} and _all_deep(paths))
    split = {"train", "test"} <= {p.parts[offset] for p in paths if len(p.parts) > offset + 2}
    at = offset + int(split)
    rows = [
        (str(p), p.parts[at], p.parts[offset] if split else "")
        for p in paths
        if len(p.parts) > at + 1 and (not split or p.parts[offset] in ("train", "test"))
    ]
    return pd.DataFrame(rows, columns=["source", "label", "split"])


def _all_deep(paths: list[PurePosixPath]) -> bool:
    return all(len(p.parts) > 2 for p in paths)


def _decode(load: Callable[[Any], bytes], file: Any, name: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(load(file))) as image:
            if image.mode in ("I", "F"):
                raise UserError(f"{name}: pixels of 32 bits; allowed: 8 or 16 bits")
            if image.mode.startswith("I;16"):  # which Pillow would clip at 255
                return (np.asarray(image) >> 8).astype(np.uint8)[..., None]
            pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB"))
    except UNREADABLE as error:
        raise UserError(f"{name}: not a readable image ({error})") from None
    return pixels if pixels.ndim == 3 else pixels[..., None]
