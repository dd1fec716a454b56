"""A folder of images with one sub-folder a class, here or behind an fsspec URL, or a .tar or .zip.

Folders of parts above the class folders, or below them, keep their meaning: train, validation, test
and other usual names of those, see `_splits`. Folders that wrap all of it are seen through.
Archives are read in place; see `_files` for what is refused.
"""

from __future__ import annotations

import pandas as pd

from cnnlab.data.sources import Source, _splits, refused, shown, tidy
from cnnlab.data.sources._files import Files, images, is_hidden, look

LAYOUT = "one folder a class with images in it, optionally below train/ and test/"


def open_source(place):
    files = look(place)
    names, table = _table(files)
    if table.empty:
        outside = [f"{f.what}: {f.where}" for f in files.findings]
        seen = f"; left out: {len(outside)}, the first is {outside[0]}" if outside else ""
        raise refused(place, f"no images found; expected {LAYOUT}{seen}")
    keys = [files.keys[name] for name in names]
    order = [offset for offset, _ in keys] if files.ordered else None
    return Source(table, keys, files.read, files.parallel, order, files.findings)


def _table(files: Files) -> tuple[list[str], pd.DataFrame]:
    """The names that fit the layout, in their order, and a row for each."""
    paths = [name.split("/") for name in images(files)]
    at = _wrapping(paths)
    part_at, class_at = _levels(paths, at)
    rows = []
    for parts in paths:
        name = "/".join(parts)
        part = parts[part_at] if part_at is not None and len(parts) > part_at + 1 else ""
        if part and _splits.part(part) and len(parts) <= class_at + 1:
            files.note("image without a class folder", name)
        elif len(parts) <= class_at + 1 or (part_at is not None and not _splits.part(part)):
            files.note("image outside of the layout", name, detail=f"expected: {LAYOUT}")
        else:
            rows.append((name, parts[class_at], part))
    rows = _of_classes(rows, files)
    split, findings = _splits.settle(part for _, _, part in rows)
    files.findings += findings
    filled = {tuple(parts[: class_at + 1]) for parts in paths}
    for folder in sorted(files.folders):
        parts = folder.split("/")
        if len(parts) == class_at + 1 and tuple(parts) not in filled and not is_hidden(parts):
            files.note("class without images", folder)
    table = [(shown(name), label, split[part]) for name, label, part in rows]
    names = [name for name, _, _ in rows]
    return names, pd.DataFrame(table, columns=["source", "label", "split"], dtype=str)


def _wrapping(paths: list[list[str]]) -> int:
    """How many folders wrap all others, as an archive's own name does, or a train/ alone."""
    deeper = [parts for parts in paths if len(parts) > 2]
    at = 0
    while deeper and len({parts[at] for parts in paths if len(parts) > at + 1}) == 1:
        at += 1
        deeper = [parts for parts in deeper if len(parts) > at + 2]
    return at


def _levels(paths: list[list[str]], at: int) -> tuple[int | None, int]:
    """Where in the paths the name of the part is, None for nowhere, and where that of the class."""
    above = {p[at] for p in paths if len(p) > at + 1}
    below = {p[at + 1] for p in paths if len(p) > at + 2}
    known = {name for name in above if _splits.part(name)}
    if len(known) > 1 and any(p[at] in known for p in paths if len(p) > at + 2):
        return at, at + 1
    deep = all(len(p) > at + 2 for p in paths)
    if deep and len(below) > 1 and all(map(_splits.part, below)):
        return at + 1, at
    return None, at


def _of_classes(rows: list[tuple[str, str, str]], files: Files) -> list[tuple[str, str, str]]:
    """Without the parts none of whose folders is a class of train, as where test images lie in one
    folder because nobody knows what they are."""
    classes: dict[str, set[str]] = {}
    for label, part in {row[1:] for row in rows}:
        classes.setdefault(part, set()).add(tidy(label).casefold())
    train = {c for part, held in classes.items() if _splits.part(part) == "train" for c in held}
    lone = {part for part, held in classes.items() if train and not held & train}
    for name, label, part in rows:
        if part in lone:
            files.note("image without a class folder", name, detail=f"train has no class {label}")
    return [row for row in rows if row[2] not in lone]
