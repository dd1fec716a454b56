"""Decoded images, kept from run to run: what a file's content became under given settings.

Two files for each `images.Settings`, in a folder that is no output of any stage: DVC removes
outputs before a stage runs, and this is for the runs after. NAME.sqlite says what is known of each
image, NAME.pixels holds the bytes, one image after the other. Both are made sure of every second,
the pixels first, so a run that was killed finds what it had done. Either may be deleted at any
time, which is as if both were.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cnnlab.errors import UserError

COMMIT = 1.0  # seconds of work that may be lost; each commit writes many pages of the index
AT_ONCE = 1024  # images that are looked up in one query
FACTS = (
    "id, problem, width, height, mode, format, pictures, bytes, channels, low, high, digest, hash"
)
_TABLE = """
create table if not exists images (
    id integer primary key,
    content blob not null unique,  -- hash of the file
    problem text not null,         -- why it is no image, '' where it is one
    width integer, height integer, mode text, format text, pictures integer,  -- of the original
    bytes integer,
    channels integer, low real, high real, digest text, hash integer,  -- as in Facts
    rows integer, columns integer, -- pixels of what is stored
    start integer not null, size integer not null  -- bytes: pixels, then the thumb if there is one
)
"""
_COLUMNS = f"content, {FACTS}, rows, columns, start, size".split(", ")
_INSERT = f"""
insert into images ({", ".join(_COLUMNS)}) values ({", ".join("?" * len(_COLUMNS))})
on conflict do nothing
"""


class Facts(NamedTuple):
    """What is known of one image besides its pixels; see `images.Decoded`."""

    id: int  # in the cache
    problem: str  # why it is no image, "" where it is one
    width: int | None
    height: int | None
    mode: str | None
    format: str | None
    pictures: int | None  # in the file, of which the first is stored
    bytes: int | None  # of the file; None for what came as pixels
    channels: int | None  # stored
    low: float | None  # least and largest value of an original of more than 8 bits, else None
    high: float | None
    digest: str | None  # of the pixels stored
    hash: int | None  # perceptual, 64 bits as a signed integer; None for a small image


class New(NamedTuple):
    """An image that was not there yet: the content's hash, its facts without `id`, its pixels."""

    content: bytes
    facts: tuple
    shape: tuple[int, int] | None  # height, width; None where there is a problem
    thumb: bytes  # b"" where there is none
    pixels: bytes


class Cache:
    """The two files, open in one process. Several processes may have them open at once."""

    def __init__(self, path: Path):
        """Opens NAME.sqlite, makes it where it is missing. Raises UserError where it is damaged."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._pixels = path.with_suffix(".pixels").open("ab+", buffering=0)
        self._db = sqlite3.connect(path, timeout=600, isolation_level=None)
        try:
            for pragma in ("journal_mode = wal", "synchronous = normal"):
                self._db.execute(f"pragma {pragma}")
            self._db.execute(_TABLE)
            if self._latest()[1] > os.fstat(self._pixels.fileno()).st_size:
                self._db.execute("delete from images")  # whose pixels are gone
        except sqlite3.DatabaseError as error:
            self._pixels.close()
            self._db.close()
            raise UserError(f"{path}: damaged ({error}); delete it and run again") from None

    def close(self) -> None:
        """Commit, and let go of the files."""
        self._commit()
        self._pixels.close()
        self._db.close()

    def _latest(self) -> tuple[int, int]:
        """Id of the image added last, and where its bytes end."""
        query = "select id, start + size from images order by id desc limit 1"
        return self._db.execute(query).fetchone() or (0, 0)

    def _begin(self) -> None:
        """From here to the commit nobody else adds images."""
        self._db.execute("begin immediate")
        self._since = time.monotonic()
        self._last, self._end = self._latest()
        self._pixels.truncate(self._end)  # what a run that was killed did not commit

    def _commit(self) -> None:
        if self._db.in_transaction:
            os.fsync(self._pixels.fileno())
            self._db.execute("commit")

    def find(self, contents: Sequence[bytes]) -> dict[bytes, Facts]:
        """What is known of contents; those of which nothing is are absent."""
        marks = ", ".join("?" * len(contents))
        rows = self._db.execute(
            f"select content, {FACTS} from images where content in ({marks})", contents
        )
        return {content: Facts(*facts) for content, *facts in rows}

    def add(self, images: Sequence[New]) -> list[Facts]:
        """Keep images. What another run added meanwhile stays as it is."""
        if not self._db.in_transaction:
            self._begin()
        rows, found = [], {}
        for new in images:
            self._last += 1
            size = len(new.pixels) + len(new.thumb)
            shape = new.shape or (None, None)
            rows.append((new.content, self._last, *new.facts, *shape, self._end, size))
            found[new.content] = Facts(self._last, *new.facts)
            self._end += size
        self._write(b"".join(part for new in images for part in (new.pixels, new.thumb)))
        before = self._db.total_changes
        self._db.executemany(_INSERT, rows)
        if self._db.total_changes - before < len(rows):  # some were there, or came twice
            found = self.find([new.content for new in images])
        if time.monotonic() - self._since > COMMIT:
            self._commit()
        return [found[new.content] for new in images]

    def _write(self, data: bytes) -> None:
        while data:
            data = data[self._pixels.write(data) :]

    def pixels(self, ids: Iterable[int]) -> Iterator[np.ndarray]:
        """The images of these ids, in their order: uint8 (height, width, channels)."""
        for start, _, *shape in self._places(ids):
            size = shape[0] * shape[1] * shape[2]
            data = os.pread(self._pixels.fileno(), size, start)
            yield np.frombuffer(data, np.uint8).reshape(shape)

    def thumbs(self, ids: Iterable[int], side: int) -> np.ndarray:
        """The small grey pictures of these ids, uint8 (n, side, side)."""
        n = side * side
        found = [
            os.pread(self._pixels.fileno(), n, start + size - n)
            for start, size, *_ in self._places(ids)
        ]
        return np.frombuffer(b"".join(found), np.uint8).reshape(-1, side, side)

    def _places(self, ids: Iterable[int]) -> Iterator[tuple[int, int, int, int, int]]:
        """Start and size in bytes, then rows, columns and channels, of each of the images."""
        query = (
            "select id, start, size, rows, columns, channels from images"
            " where id in (select value from json_each(?))"
        )
        ids = iter(ids)
        while part := [int(i) for i in itertools.islice(ids, AT_ONCE)]:
            places = {i: place for i, *place in self._db.execute(query, (json.dumps(part),))}
            for i in part:
                yield places[i]
