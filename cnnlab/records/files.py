"""Files that are written whole or not at all, and hold no time of day."""

from __future__ import annotations

import contextlib
import io
import json
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path


def timeless(archive: bytes) -> bytes:
    """A zip archive with its dates removed, Keras's `date_saved` included."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "metadata.json":
                metadata = json.loads(content)
                metadata.pop("date_saved", None)
                content = json.dumps(metadata).encode()
            new.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def write_bytes(path: Path, content: bytes) -> None:
    """Replace the content of a file."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, which takes `path`'s place once it is complete and on disk."""
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)  # half-written, as on a full disk
        raise
