"""A Hugging Face data set of images: Parquet files that lie here, or a name on the Hub.

`data.raw` is a .parquet file or a folder of them, with the files' bytes in an image column, as the
Hub serves them; nothing but Arrow is needed. `data.remote` is a NAME or NAME@REVISION, which the
package `datasets` downloads once and keeps in its own cache. One column holds images, one named
`label` or of the type ClassLabel the classes. Splits keep their meaning, see `_splits`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from cnnlab.data.sources import Finding, Source, _splits, refuse_lists, refused, shown, text
from cnnlab.data.sources._files import each
from cnnlab.errors import UserError


def open_source(place):
    return _local(place) if Path(place).exists() else _hub(place)


class Rows:
    """The images in Parquet files, by (file, row group, row in it)."""

    def __init__(self, column: str):
        self.column = column

    def __call__(self, keys: Sequence[tuple[str, int, int]]) -> list[bytes | Exception]:
        return each(self._read, keys)

    def _read(self, key: tuple[str, int, int]) -> bytes:
        file, group, row = key
        return _content(_images(file, group, self.column)[row].as_py())


@functools.lru_cache(maxsize=2)
def _images(file: str, group: int, column: str) -> pa.ChunkedArray:
    return pq.ParquetFile(file).read_row_group(group, columns=[column])[column]


def _content(cell: Any) -> bytes:
    """The file in a cell of an image column: its bytes, or else the path of one that lies here."""
    if isinstance(cell, dict):
        cell = cell["bytes"] or (cell.get("path") and Path(cell["path"]).read_bytes())
    if not isinstance(cell, bytes):
        raise ValueError("no image in the row")
    return cell


def _local(place: str) -> Source:
    root = Path(place)
    files = [root] if root.is_file() else sorted(root.rglob("*.parquet"))
    if not files:
        raise refused(place, "holds no .parquet files")
    parts, keys, column = [], [], None
    for path in files:
        try:
            opened = pq.ParquetFile(path)
            features = _features(opened.schema_arrow)
            image, label = _columns(place, features)
            column = column or image
            labels = opened.read(columns=[label])[label].to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise refused(place, f"{path}: not a Parquet file that can be read ({error})") from None
        if image != column:
            raise refused(place, f"{path}: images are in {image!r}, elsewhere in {column!r}")
        name = shown(path.relative_to(root).as_posix()) if root.is_dir() else path.name
        parts.append(_part(place, name, _split(path), features[label], labels))
        for group in range(opened.num_row_groups):
            rows = opened.metadata.row_group(group).num_rows
            keys += [(str(path), group, row) for row in range(rows)]
    return _source(place, parts, keys, Rows(column), parallel=True)


def _split(path: Path) -> str:
    """The split of a file, by its own name, as train-00000-of-00002, or else its folder's."""
    name = path.name.split("-")[0].split(".")[0]
    return path.parent.name if not _splits.part(name) and _splits.part(path.parent.name) else name


def _features(schema: pa.Schema) -> dict[str, dict]:
    """Column -> what it is, as `datasets` writes it beside the schema; guessed where it is not."""
    try:
        said = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
    except (LookupError, TypeError, ValueError):  # written by something else
        said = {}
    features = _described(said if isinstance(said, dict) else {})
    for column in schema:
        if column.name not in features:
            holds = pa.types.is_struct(column.type) and column.type.get_field_index("bytes") >= 0
            image = (
                holds or pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type)
            )
            features[column.name] = {"_type": "Image" if image else "Value"}
    return features


def _described(features: Mapping[str, Any]) -> dict[str, dict]:
    """The same where a column of lists is described by a list."""
    return {
        name: about if isinstance(about, dict) else {"_type": "List"}
        for name, about in features.items()
    }


def _columns(place: str, features: dict[str, dict]) -> tuple[str, str]:
    """The names of the image column and of the label column."""
    images = [n for n, about in features.items() if about.get("_type") == "Image" and n != "label"]
    labels = [name for name, about in features.items() if about.get("_type") == "ClassLabel"]
    labels = ["label"] if "label" in features else labels
    for what, found in (("images", images), ("labels", labels)):
        if len(found) != 1:
            raise refused(
                place,
                f"columns {', '.join(features)}; expected: one of {what}, found {found or 'none'}",
            )
    return images[0], labels[0]


def _part(place: str, name: str, split: str, about: dict, labels: Sequence) -> pd.DataFrame:
    """The rows of one file or split."""
    refuse_lists(place, f"of labels in {name}", labels)
    names = about.get("names")
    missing = (None, -1) if names else (None,)
    if names and not all(label in (*missing, *range(len(names))) for label in set(labels)):
        raise refused(place, f"{name}: labels that are none of 0 .. {len(names) - 1}")
    texts = ["" if v in missing else names[v] if names else text(v) for v in labels]
    return pd.DataFrame(
        {"source": [f"{name}/{i}" for i in range(len(texts))], "label": texts, "split": split}
    )


def _source(
    place: str, parts: list[pd.DataFrame], keys: list, read: Callable, parallel: bool
) -> Source:
    """Of all rows but those without a label."""
    table = pd.concat(parts, ignore_index=True)
    labelled = table["label"].str.strip() != ""
    if not labelled.any():
        raise refused(place, "images without a label, all of them")
    findings = [
        Finding("image without a label", row, "left out") for row in table["source"][~labelled]
    ]
    keys = [key for key, has_label in zip(keys, labelled, strict=True) if has_label]
    table = table[labelled].reset_index(drop=True)
    split, said = _splits.settle(table["split"])
    table["split"] = table["split"].map(split)
    return Source(table, keys, read, parallel, findings=[*findings, *said])


def _hub(place: str) -> Source:
    try:
        import datasets
    except ImportError:
        raise UserError(
            f"params.yaml: data.remote = {place!r}: needs the package `datasets`: pip install -r"
            " requirements-data.txt; or put the data set's .parquet files into data.raw"
        ) from None
    name, _, revision = place.partition("@")
    try:
        found = datasets.load_dataset(name, revision=revision or None)
    except Exception as error:  # the package raises its own, the network's and the file system's
        raise UserError(
            f"params.yaml: data.remote = {place!r}: neither in the cache of `datasets` nor to be"
            f" had ({type(error).__name__}: {error})"
        ) from error
    parts, keys, column = [], [], None
    for split, rows in found.items():
        features = _described(rows.features.to_dict())
        column, label = _columns(place, features)
        parts.append(_part(place, split, split, features[label], rows[label]))
        keys += [(split, i) for i in range(len(rows))]
        found[split] = rows.select_columns([column]).cast_column(
            column, datasets.Image(decode=False)
        )

    def read(wanted: Sequence[tuple[str, int]]) -> list[bytes | Exception]:
        return each(lambda key: _content(found[key[0]][key[1]][column]), wanted)

    return _source(place, parts, keys, read, parallel=False)
