"""A folder of images with one sub-folder a class, here or behind an fsspec URL, or a .tar or .zip.

Folders of parts above the class folders, or below them, keep their meaning: train, validation, test
and other usual names of those, see `_splits`. Folders that wrap all of it, or all of a part, are
seen through.
Archives are read in place; see `_files` for what is refused.
"""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from cnnlab.data.sources import Source, _splits, refused, shown, tidy
from cnnlab.data.sources._files import Files, images, is_hidden, look

WRAPS = {"image", "images", "imgs", "pictures", "photos", "data", "dataset", "classes"}
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
    part_at, class_at, part_of = _levels(paths, at)
    rows = []
    for parts in paths:
        name = "/".join(parts)
        part = parts[part_at] if part_at is not None and len(parts) > part_at + 1 else ""
        if part and part_of(part) and len(parts) <= class_at + 1:
            files.note("image without a class folder", name)
        elif len(parts) <= class_at + 1 or (part_at is not None and not part_of(part)):
            files.note("image outside of the layout", name, detail=f"expected: {LAYOUT}")
        else:
            rows.append((name, parts[class_at], part))
    rows = _of_classes(rows, files, part_of)
    split, findings = _splits.settle((part for _, _, part in rows), part_of)
    files.findings += findings
    if part_at is None:
        _note_alike(paths, class_at, files)
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


def _levels(paths: list[list[str]], at: int) -> tuple[int | None, int, Callable]:
    """Where in the paths the name of the part is, None for nowhere, and where that of the class;
    and which part a name is."""
    above = {p[at] for p in paths if len(p) > at + 1}
    below = {p[at + 1] for p in paths if len(p) > at + 2}
    known = {name for name in above if _splits.part(name)}
    if len(known) > 1 and any(p[at] in known for p in paths if len(p) > at + 2):
        return at, _below(paths, at, known), _splits.part
    # Names of classes may have such words too: the same folders in two of them tell.
    known = {name for name in above if _splits.likely(name)}
    class_at = _below(paths, at, known)
    folders = _inside(paths, at, class_at)
    classes = [folders[name] for name in known if name in folders]
    if len(classes) > 1 and len(set.intersection(*classes)) > 1:
        return at, class_at, _splits.likely
    deep = sum(len(p) > at + 2 for p in paths)
    if 2 * deep > len(paths) and len(below) > 1 and all(map(_splits.part, below)):
        return at + 1, at, _splits.part
    return None, at, _splits.part


def _inside(paths: list[list[str]], at: int, level: int) -> dict[str, set[str]]:
    """Of each folder at the level `at`, the names of those at a deeper level inside it."""
    folders: dict[str, set[str]] = {}
    for parts in paths:
        if len(parts) > level + 1:
            folders.setdefault(parts[at], set()).add(parts[level])
    return folders


def _below(paths: list[list[str]], at: int, known: set[str]) -> int:
    """The level of the classes below the parts `known`, which are at the level `at`: the next, or
    where one folder wraps all of each part, as train/images/ does, the one after."""
    inside = [names for part, names in _inside(paths, at, at + 1).items() if part in known]

    def wraps(name: str) -> bool:
        return name.casefold() in WRAPS or bool(_splits.likely(name))

    wrapped = all(len(names) == 1 and all(map(wraps, names)) for names in inside)
    deeper = any(part in known for part in _inside(paths, at, at + 2))
    return at + 2 if wrapped and deeper else at + 1


def _note_alike(paths: list[list[str]], at: int, files: Files) -> None:
    """Say it where all classes hold the same folders and no images beside them, as parts would."""
    direct = any(len(parts) == at + 2 for parts in paths)
    inside = _inside(paths, at, at + 1)
    first = next(iter(inside.values()), set())
    if not direct and len(inside) > 1 < len(first) and all(n == first for n in inside.values()):
        names = ", ".join(map(shown, sorted(first)))
        detail = f"each holds {names}: if those are the classes, call these folders train and test"
        where = ", ".join(map(shown, sorted(inside)))
        files.note("classes that hold the same folders", where, "read as classes", detail)


def _of_classes(
    rows: list[tuple[str, str, str]], files: Files, part_of: Callable
) -> list[tuple[str, str, str]]:
    """Without the parts none of whose folders is a class of train, as where test images lie in one
    folder because nobody knows what they are."""
    classes: dict[str, set[str]] = {}
    for label, part in {row[1:] for row in rows}:
        classes.setdefault(part, set()).add(tidy(label).casefold())
    train = {c for part, held in classes.items() if part_of(part) == "train" for c in held}
    lone = {part for part, held in classes.items() if train and not held & train}
    for name, label, part in rows:
        if part in lone:
            files.note("image without a class folder", name, detail=f"train has no class {label}")
    return [row for row in rows if row[2] not in lone]
