"""A folder of images with one sub-folder a class, or a .tar or .zip archive of it.

`train/` and `test/` above the class folders, where there are both, keep their meaning. Archives are
read in place; nothing is extracted, so no path in them can write anywhere.
"""

import io
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from PIL import Image, UnidentifiedImageError

from cnnlab.data.sources import Source
from cnnlab.errors import UserError

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
LAYOUT = "one folder a class with images in it, optionally below train/ and test/"


def open_source(raw):
    raw = Path(raw)
    if not raw.exists():
        raise UserError(f"params.yaml: data.raw = {str(raw)!r}: no such file or folder")
    if raw.is_dir():
        names = [p.relative_to(raw).as_posix() for p in raw.rglob("*") if p.is_file()]
        load = lambda name: (raw / name).read_bytes()  # noqa: E731
    elif tarfile.is_tarfile(raw):
        tar = tarfile.open(raw)  # noqa: SIM115  (read from until the source is let go)
        members = {m.name.removeprefix("./"): m for m in tar if m.isfile()}
        names, load = list(members), lambda name: tar.extractfile(members[name]).read()
    elif zipfile.is_zipfile(raw):
        archive = zipfile.ZipFile(raw)
        names, load = [n for n in archive.namelist() if not n.endswith("/")], archive.read
    else:
        raise UserError(f"params.yaml: data.raw = {str(raw)!r}: not a folder, .tar or .zip")

    table = _table(names)
    if table.empty:
        raise UserError(
            f"params.yaml: data.raw = {str(raw)!r}: no images found; expected {LAYOUT}; "
            f"endings: {' '.join(sorted(ENDINGS))}"
        )
    sources = table["source"].to_list()
    return Source(table, lambda i: _decode(load(sources[i]), f"{raw}: {sources[i]}"))


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


def _decode(content: bytes, name: str) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(content)) as image:
            grey = image.mode in ("1", "L", "LA", "I", "I;16", "F")
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise UserError(f"{name}: not a readable image ({error})") from None
    return pixels if pixels.ndim == 3 else pixels[..., None]
