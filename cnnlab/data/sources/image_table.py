"""A CSV, TSV or Parquet table of images, for labels, groups or splits that folders cannot say.

Columns: `path` (of an image file, relative to the table's folder), `label`, and optionally `group`
(images that must not part company, such as one patient's) and `split` (train, validation or test).
The place is the table, or the folder that holds it and the images, which DVC then watches too.
"""

from pathlib import PurePosixPath

import fsspec
import pandas as pd
from fsspec.core import url_to_fs

from cnnlab.data.sources import Finding, Source, _splits, refused, shown, text
from cnnlab.data.sources._files import Folder, Remote, is_local

READERS = {
    ".csv": lambda file: pd.read_csv(file, dtype=str, keep_default_na=False),
    ".tsv": lambda file: pd.read_csv(file, dtype=str, keep_default_na=False, sep="\t"),
    ".parquet": pd.read_parquet,
}
COLUMNS = ("path", "label", "group", "split")


def open_source(place):
    system, path = url_to_fs(place)
    if not system.exists(path):
        raise refused(place, "no such file or folder")
    if system.isdir(path):
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
    return Source(table, keys, read, parallel=local, findings=findings)


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
    except (OSError, ValueError) as error:  # pandas' and Arrow's errors are among them
        raise refused(place, f"not a table that can be read ({error})") from None
    table = table.rename(columns=lambda name: str(name).strip())
    missing = [name for name in COLUMNS[:2] if name not in table]
    if missing:
        raise refused(place, f"columns {list(table.columns)}; missing: {', '.join(missing)}")
    table = table[[name for name in COLUMNS if name in table]].copy()
    for name in table:
        table[name] = table[name].map(lambda v: "" if pd.isna(v) else text(v))
    table = table.drop_duplicates().sort_values("path", ignore_index=True)
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
    split, findings = _splits.settle(splits)
    table["split"] = table["split"].map(split)
    table["source"] = table["path"].map(shown)
    if "group" in table:  # an image without one is its own
        table["group"] = table["group"].where(table["group"] != "", table["source"])
    return table, findings
