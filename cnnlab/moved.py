"""A clone that was moved or copied: MLflow keeps whole paths of artifacts in its store, which then
lead to where the clone was. They are brought to where it is.

MLflow has no paths relative to a store in SQLite: what is relative is relative to the folder in
which a command happens to run.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

FOLDER = "mlartifacts"  # beside the store
PLACES = (  # (table, column) of the store that hold such paths
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


@dataclass(frozen=True)
class Moved:
    """Artifacts that the store looks for elsewhere."""

    study: str
    before: Path  # where the store looked for the artifacts of all studies
    mended: bool  # whether it looks beside itself now; False: they are in neither place


def mend(store: Path) -> list[Moved]:
    """Let a store find the artifacts that lie beside it, where it looks for those of another
    folder; returns what is to be said of that. An absent store needs nothing."""
    if not store.exists():
        return []
    home = store.parent / FOLDER
    seen = []
    with contextlib.closing(sqlite3.connect(store, timeout=60)) as database:
        for name, before in _elsewhere(database, home.as_uri()):
            old = Path(unquote(urlsplit(before).path))
            if (home / name).is_dir():
                with database:  # one transaction
                    _replace(database, f"{before}/{name}", f"{home.as_uri()}/{name}")
                seen.append(Moved(name, old, mended=True))
            elif not (old / name).is_dir():
                seen.append(Moved(name, old, mended=False))
    return seen


def _elsewhere(database: sqlite3.Connection, home: str) -> list[tuple[str, str]]:
    """(study, URI of its folder's parent) of the experiments whose artifacts are elsewhere."""
    if not database.execute("pragma table_info(experiments)").fetchall():
        return []
    rows = database.execute(
        "select artifact_location from experiments where artifact_location like ?",
        (f"file://%/{FOLDER}/%",),
    )
    split = [location.rpartition("/") for (location,) in rows]
    return [(name, parent) for parent, _, name in split if parent != home]


def _replace(database: sqlite3.Connection, before: str, after: str) -> None:
    """Put a folder's URI in place of another one, in all paths that lie in it."""
    for table, column in PLACES:
        if any(row[1] == column for row in database.execute(f"pragma table_info({table})")):
            database.execute(
                f"update {table} set {column} = ? || substr({column}, ?)"
                f" where {column} = ? or substr({column}, 1, ?) = ?",
                (after, len(before) + 1, before, len(before) + 1, f"{before}/"),
            )
