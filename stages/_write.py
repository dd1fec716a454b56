"""How stages write tables and pictures."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from cnnlab.look.figure import Picture, save


def csv(rows: Iterable, path: Path, columns: list[str]) -> None:
    """Write rows as a table; `columns`: of one without rows."""
    table = pd.DataFrame(rows) if len(rows) else pd.DataFrame(columns=columns)
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def pictures(figures: Mapping[str, Picture], folder: Path) -> None:
    """Write pictures as FOLDER/NAME.png."""
    for name, picture in figures.items():
        save(picture, folder / f"{name}.png")
