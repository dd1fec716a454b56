"""A CSV, TSV or Parquet table of images, for labels, groups or splits that folders cannot say.

Columns: `path` (of an image file, relative to the table's folder), `label`, and optionally `group`
(images that must not part company, such as one patient's) and `split` (train, validation or test).
The place is the table, or the folder that holds it and the images, which DVC then watches too.
Fields are separated by commas, semicolons or tabs; text is UTF-8, or UTF-16 as Excel writes it.
"""

import codecs
import csv
import functools
import io
import posixpath
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import BinaryIO

import fsspec
import pandas as pd
from fsspec.core import url_to_fs

from cnnlab.data.sources import Finding, Source, _splits, refuse_lists, refused, shown, text
from cnnlab.data.sources._files import Folder, Remote, images, is_local, look


def _text_table(file: BinaryIO, separators: str) -> pd.DataFrame:
    """`separators`: those that may be, the most likely first."""
    content = file.read()
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        decoded = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{error}; save it as UTF-8, in Excel `CSV UTF-8`") from None
    separator = max(separators, key=decoded.partition("\n")[0].count)
    lines = csv.reader(io.StringIO(decoded, newline=""), delimiter=separator)
    rows = [row for row in lines if any(row)]
    columns = rows.pop(0) if rows else []
    n = len(columns)
    for row in rows:
        if any(row[n:]):
            raise ValueError(f"{n} columns, but more fields in the row {separator.join(row)}")
    return pd.DataFrame([row[:n] + [""] * (n - len(row)) for row in rows], columns=columns)


READERS = {
    ".csv": functools.partial(_text_table, separators=",;\t"),
    ".tsv": functools.partial(_text_table, separators="\t,;"),
    ".parquet": pd.read_parquet,
}
COLUMNS = ("path", "label", "group", "split")


def open_source(place):
    system, path = url_to_fs(place)
    if not system.exists(path):
        raise refused(place, "no such file or folder")
    folder = system.isdir(path)
    if folder:
        tables = [f for f in sorted(system.ls(path, detail=False)) if _ending(f) in READERS]
        if len(tables) != 1:
            names = [PurePosixPath(f).name for f in tables]
            raise refused(place, f"holds the tables {names}; expected: one .csv, .tsv or .parquet")
        path = tables[0]
    table, findings = _read(place, system, path)
    root = str(PurePosixPath(path).parent)
    local = is_local(system)
    read = Folder(root) if local else Remote(system, root)
    keys = [_slashed(system, root, name) for name in table.pop("path")]
    findings += _unnamed(place, PurePosixPath(path).name, root, keys) if folder else []
    return Source(table, keys, read, parallel=local, findings=findings)


def _unnamed(place: str, table: str, root: str, keys: list[str]) -> Iterator[Finding]:
    """What is to be said of images that lie in the folder and are not in the table."""
    files = look(place)
    files.keys.pop(table)
    named = {posixpath.relpath(key, root) if key.startswith("/") else key for key in keys}
    named = {posixpath.normpath(key) for key in named}
    for name in images(files):
        if name not in named:
            yield Finding("file that the table does not name", shown(name), "left out")


def _slashed(system: fsspec.AbstractFileSystem, root: str, name: str) -> str:
    """A path as it is here: tables written on Windows have backslashes."""
    other = "\\" in name and not system.exists(f"{root}/{name}")
    return name.replace("\\", "/") if other else name


def _ending(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _read(
    place: str, system: fsspec.AbstractFileSystem, path: str
) -> tuple[pd.DataFrame, list[Finding]]:
    if _ending(path) not in READERS:
        raise refused(place, f"not a table; allowed endings: {' '.join(READERS)}")
    try:
        with system.open(path, "rb") as file:
            table = READERS[_ending(path)](file)
    except (OSError, ValueError, csv.Error) as error:  # pandas' and Arrow's are among them
        raise refused(place, f"not a table that can be read ({error})") from None
    table = table.rename(columns=lambda name: str(name).strip())
    missing = [name for name in COLUMNS[:2] if name not in table]
    if missing:
        raise refused(place, f"columns {list(table.columns)}; missing: {', '.join(missing)}")
    table = table[[name for name in COLUMNS if name in table]].copy()
    if not table.columns.is_unique:
        raise refused(place, f"columns {list(table.columns)}; allowed: each of them once")
    for name in table:
        refuse_lists(place, name, table[name])
        table[name] = table[name].map(lambda v: "" if pd.isna(v) else text(v))
    again = table["path"][table.duplicated()]
    findings = [Finding("row that is there again", shown(path), "left out") for path in again]
    table = table.drop_duplicates().sort_values("path", ignore_index=True)
    unlabelled = (table["label"].str.strip() == "") & (table["path"].str.strip() != "")
    if not unlabelled.all():
        findings += [
            Finding("image without a label", shown(path), "left out")
            for path in table["path"][unlabelled]
        ]
        table = table[~unlabelled].reset_index(drop=True)
    twice = table["path"][table["path"].duplicated()]
    if len(twice):
        raise refused(place, f"{twice.iloc[0]!r} is listed twice, with other labels or groups")
    for name in COLUMNS[:2]:
        empty = table[name].str.strip() == ""
        if empty.any():
            row = table.index[empty][0]
            raise refused(place, f"no {name} in the row of {dict(table.loc[row])}")
    table["split"] = table.get("split", "")
    splits = set(table["split"])
    if splits != {""} and not all(map(_splits.part, splits)):
        allowed = "train, validation and test, or none anywhere"
        raise refused(place, f"split {sorted(splits)}; allowed: {allowed}")
    split, said = _splits.settle(splits)
    table["split"] = table["split"].map(split)
    table["source"] = table["path"].map(shown)
    if "group" in table:  # an image without one is its own
        table["group"] = table["group"].where(table["group"] != "", table["source"])
    return table, [*findings, *said]
