"""A folder of images with one sub-folder a class, here or behind an fsspec URL, or a .tar or .zip.

`train/` and `test/` above the class folders, where there are both, keep their meaning. Archives are
read in place; see `_files` for what is refused.
"""

from pathlib import PurePosixPath

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
    for path in map(PurePosixPath, sorted(files.keys)):
        if any(part.startswith((".", "__")) for part in path.parts):
            files.note("hidden file", str(path))
        elif path.suffix.lower() not in ENDINGS:
            files.note("not an image by its ending", str(path))
        else:
            paths.append(path)
    # An archive often wraps everything in one folder of its own name, or is a train/ alone.
    shared = {p.parts[0] for p in paths}
    offset = int(len(shared) == 1 and all(len(p.parts) > 2 for p in paths))
    split = {"train", "test"} <= {p.parts[offset] for p in paths if len(p.parts) > offset + 2}
    at = offset + int(split)
    names, rows = [], []
    for path in paths:
        parts = path.parts
        if len(parts) <= at + 1 or (split and parts[offset] not in ("train", "test")):
            files.note("image outside of the layout", str(path), detail=f"expected: {LAYOUT}")
        else:
            names.append(str(path))
            rows.append((shown(str(path)), shown(parts[at]), parts[offset] if split else ""))
    filled = {path.parts[: at + 1] for path in paths}
    for folder in map(PurePosixPath, sorted(files.folders)):
        parts = folder.parts
        hidden = any(part.startswith((".", "__")) for part in parts)
        if len(parts) == at + 1 and parts not in filled and not hidden:
            files.note("class without images", str(folder))
    return names, pd.DataFrame(rows, columns=["source", "label", "split"], dtype=str)
