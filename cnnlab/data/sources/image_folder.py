"""A folder of images with one sub-folder a class, here or behind an fsspec URL, or a .tar or .zip.

`train/` and `test/` above the class folders, where there are both, keep their meaning. Archives are
read in place; see `_files` for what is refused.
"""

import posixpath

import pandas as pd

from cnnlab.data.sources import Source, refused, shown
from cnnlab.data.sources._files import Files, look

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff"}
LAYOUT = "one folder a class with images in it, optionally below train/ and test/"


def open_source(place):
    files = look(place)
    names, table = _table(files)
    if table.empty:
        raise refused(
            place,
            f"no images found; expected {LAYOUT}; endings: {' '.join(sorted(ENDINGS))}",
        )
    keys = [files.keys[name] for name in names]
    order = [offset for offset, _ in keys] if files.ordered else None
    return Source(table, keys, files.read, files.parallel, order, files.findings)


def _table(files: Files) -> tuple[list[str], pd.DataFrame]:
    """The names that fit the layout, in their order, and a row for each."""
    paths = []
    for name in sorted(files.keys):
        parts = name.split("/")
        if is_hidden(parts):
            files.note("hidden file", name)
        elif not is_image(name):
            files.note("not an image by its ending", name)
        else:
            paths.append(parts)
    # An archive often wraps everything in one folder of its own name, or is a train/ alone.
    shared = {parts[0] for parts in paths}
    offset = int(len(shared) == 1 and all(len(parts) > 2 for parts in paths))
    split = {"train", "test"} <= {p[offset] for p in paths if len(p) > offset + 2}
    at = offset + int(split)
    names, rows = [], []
    for parts in paths:
        name = "/".join(parts)
        if len(parts) <= at + 1 or (split and parts[offset] not in ("train", "test")):
            files.note("image outside of the layout", name, detail=f"expected: {LAYOUT}")
        else:
            names.append(name)
            rows.append((shown(name), shown(parts[at]), parts[offset] if split else ""))
    filled = {tuple(parts[: at + 1]) for parts in paths}
    for folder in sorted(files.folders):
        parts = folder.split("/")
        if len(parts) == at + 1 and tuple(parts) not in filled and not is_hidden(parts):
            files.note("class without images", folder)
    return names, pd.DataFrame(rows, columns=["source", "label", "split"], dtype=str)


def is_image(name: str) -> bool:
    """Whether a file is one by its ending."""
    return posixpath.splitext(name)[1].lower() in ENDINGS


def is_hidden(parts: list[str]) -> bool:
    """Whether a file, or a folder above it, is hidden or made by a system for itself."""
    return any(part.startswith((".", "__")) for part in parts)
