"""NumPy arrays in an .npz file, as `np.savez` writes them.

Either `x_train`, `y_train`, `x_test` and `y_test`, as Keras names them, or `train_images`,
`train_labels` and so on, each with or without a validation part, or `images` and `labels`,
optionally with `groups` and `splits` (train, validation or test). Images are uint8 (n, height,
width) or (n, height, width, 1 or 3); labels are whole numbers or names, (n,) or (n, 1). The arrays
are read into memory as a whole.
"""

import os
import re
import zipfile
import zlib

import fsspec
import numpy as np
import pandas as pd

from cnnlab.data.sources import Finding, _splits, of_array, refused, shown, text
from cnnlab.data.sources._files import refuse_bomb

ALLOWED = "x_train, y_train, x_test, y_test; or images, labels[, groups, splits]"
PAIRS = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))  # names of the arrays of a part
COLUMNS = {"label": "labels", "group": "groups", "split": "splits"}  # arrays beside `images`


def open_source(place):
    arrays = _arrays(place)
    pairs = [
        (x.format(part), y.format(part), part)
        for x, y in PAIRS
        for part in dict.fromkeys(re.sub(r"^[xy]_|_(images|labels)$", "", name) for name in arrays)
        if _splits.part(part) and {x.format(part), y.format(part)} <= arrays.keys()
    ]
    if len(pairs) > 1:
        parts = [_part(place, arrays, x, y, part) for x, y, part in pairs]
        used = {name for x, y, _ in pairs for name in (x, y)}
    elif {"images", "labels"} <= arrays.keys():
        parts = [_part(place, arrays, "images", "labels", "")]
        used = {"images", *COLUMNS.values()}
    else:
        raise refused(place, f"holds the arrays {', '.join(arrays)}; expected: {ALLOWED}")
    shapes = {images.shape[1:] for images, _ in parts}
    if len(shapes) > 1:
        raise refused(place, f"images of several shapes: {sorted(shapes)}")
    table = pd.concat([table for _, table in parts], ignore_index=True)
    if set(table["split"]) != {""} and not all(map(_splits.part, table["split"].unique())):
        allowed = "train, validation and test"
        raise refused(place, f"splits {sorted(set(table['split']))}; allowed: {allowed}")
    split, findings = _splits.settle(table["split"])
    table["split"] = table["split"].map(split)
    unused = [Finding("array that is not read", shown(n), "left out") for n in arrays.keys() - used]
    findings += sorted(unused)
    return of_array(table, np.concatenate([images for images, _ in parts]), findings)


def _arrays(place: str) -> dict[str, np.ndarray]:
    try:
        with fsspec.open(place, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            refuse_bomb(place, sum(m.file_size for m in zipfile.ZipFile(file).infolist()), size)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: np.asarray(arrays[name]) for name in arrays.files}
    except FileNotFoundError:
        raise refused(place, "no such file") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise refused(place, f"not an .npz file that can be read ({error})") from None


def _part(
    place: str, arrays: dict[str, np.ndarray], x: str, y: str, split: str
) -> tuple[np.ndarray, pd.DataFrame]:
    images = arrays[x]
    fits = images.ndim == 3 or (images.ndim == 4 and images.shape[3] in (1, 3))
    if images.dtype != np.uint8 or not fits or not images.size:
        raise refused(
            place,
            f"{x} is {images.dtype} {images.shape}; expected: uint8 (n, height, width[, 1 or 3]),"
            " none of them 0",
        )
    table = pd.DataFrame({"source": [f"{x}/{i}" for i in range(len(images))]})
    columns = {"label": y} if split else COLUMNS
    for column, name in columns.items():
        if name in arrays:
            values = arrays[name]
            one_each = values.shape in ((len(images),), (len(images), 1))
            if not one_each or values.dtype.kind not in "iuUSb":
                raise refused(
                    place,
                    f"{name} is {values.dtype} {values.shape}; expected: {len(images)}"
                    " whole numbers or names, one for each image",
                )
            table[column] = [text(value) for value in values.ravel().tolist()]
    table["split"] = split or table.get("split", "")
    return images, table
