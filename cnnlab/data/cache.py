"""Decoded images, kept from run to run: what a file's content became under given settings.

One SQLite file for each `images.Settings`, in a folder that is no output of any stage: DVC removes
outputs before a stage runs, and this is for the runs after. Rows are committed every second, so a
run that was killed finds what it had done. Any of the files may be deleted at any time.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.errors import UserError

COMMIT = 1.0  # seconds of work that may be lost; each commit writes many pages of the index
FACTS = "id, problem, width, height, mode, format, channels, digest, hash"
_TABLE = """
create table if not exists images (
    id integer primary key,
    content blob not null unique,  -- hash of the file
    problem text not null,         -- why it is no image, '' where it is one
    width integer, height integer, mode text, format text,  -- of the original
    channels integer, digest text, hash integer,  -- as in Facts
    rows integer, columns integer, -- pixels of what is stored
    thumb blob, pixels blob
)
"""


class Facts(NamedTuple):
    """What is known of one image besides its pixels; see `images.Decoded`."""

    id: int  # in the cache
    problem: str  # why it is no image, "" where it is one
    width: int | None
    height: int | None
    mode: str | None
    format: str | None
    channels: int | None  # stored
    digest: str | None  # of the pixels stored
    hash: int | None  # perceptual, 64 bits as a signed integer; None for a small image


class New(NamedTuple):
    """An image that was not there yet: the content's hash, its facts without `id`, its pixels."""

    content: bytes
    facts: tuple
    shape: tuple[int, int] | None  # height, width; None where there is a problem
    thumb: bytes | None
    pixels: bytes | None


class Cache:
    """One file, open in one process. Several processes may have it open at once."""

    def __init__(self, path: Path):
        """Opens the file, makes it where it is missing. Raises UserError where it is damaged."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(path, timeout=600, isolation_level=None)
        try:
            for pragma in ("page_size = 16384", "journal_mode = wal", "synchronous = normal"):
                self._db.execute(f"pragma {pragma}")
            self._db.execute(_TABLE)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise UserError(f"{path}: damaged ({error}); delete it and run again") from None

    def close(self) -> None:
        """Commit, and let go of the file."""
        self._commit()
        self._db.close()

    def _commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("commit")

    def find(self, contents: Sequence[bytes]) -> dict[bytes, Facts]:
        """What is known of contents; those of which nothing is are absent."""
        marks = ", ".join("?" * len(contents))
        rows = self._db.execute(
            f"select content, {FACTS} from images where content in ({marks})", contents
        )
        return {content: Facts(*facts) for content, *facts in rows}

    def add(self, images: Iterable[New]) -> list[Facts]:
        """Keep images. What another run added meanwhile stays as it is."""
        columns = f"content, {FACTS.removeprefix('id, ')}, rows, columns, thumb, pixels"
        marks = ", ".join("?" * (columns.count(",") + 1))
        if not self._db.in_transaction:
            self._db.execute("begin immediate")
            self._since = time.monotonic()
        added = []
        for new in images:
            values = (new.content, *new.facts, *(new.shape or (None, None)), new.thumb, new.pixels)
            row = self._db.execute(
                f"insert into images ({columns}) values ({marks}) on conflict do nothing", values
            )
            if row.rowcount:
                added.append(Facts(row.lastrowid, *new.facts))
            else:
                added.append(self.find([new.content])[new.content])
        if time.monotonic() - self._since > COMMIT:
            self._commit()
        return added

    def pixels(self, ids: Iterable[int]) -> Iterator[np.ndarray]:
        """The images of these ids, in their order: uint8 (height, width, channels)."""
        for i in ids:
            *shape, pixels = self._db.execute(
                "select rows, columns, channels, pixels from images where id = ?", (int(i),)
            ).fetchone()
            yield np.frombuffer(pixels, np.uint8).reshape(shape)

    def thumbs(self, ids: Iterable[int], side: int) -> np.ndarray:
        """The small grey pictures of these ids, uint8 (n, side, side)."""
        query = "select thumb from images where id = ?"
        found = [self._db.execute(query, (int(i),)).fetchone()[0] for i in ids]
        return np.frombuffer(b"".join(found), np.uint8).reshape(-1, side, side)
