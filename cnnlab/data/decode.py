"""Many images: read, decoded by worker processes and kept in the cache, a chunk at a time.

What is in memory at any time is a few chunks, whatever the number of images.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import multiprocessing.forkserver
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from cnnlab.data.cache import Cache, Facts, New
from cnnlab.data.images import BadImage, Settings, decode, grey, perceptual_hash
from cnnlab.data.pool import digest
from cnnlab.data.sources import Source
from cnnlab.errors import UserError
from cnnlab.processes import end_with_parent

CHUNK = 32  # images
LARGE, WORTH = 256, 0.03  # images of a larger chunk, for worker processes, and its seconds of work
ALONE = 4.0  # seconds of work for which no other process is started
MANY = 50_000  # images that take longer than that, however small


class Counts(NamedTuple):
    """How a run went."""

    decoded: int  # images
    known: int  # images that were in the cache


def decode_all(
    source: Source,
    rows: Sequence[int],
    settings: Settings,
    folder: Path,
    processes: int,
    on_images: Callable[[int], None],
) -> tuple[pd.DataFrame, Path, Counts]:
    """Bring the cache in `folder` up to date with the source's rows.

    Returns a table with the columns of `cache.Facts`, one row for each of `rows`, in their order;
    the file of the cache, where the pixels are; and the counts. `problem` is filled and `id` is -1
    for images that could not even be read. `on_images`: called with how many more are done.
    """
    path = folder / f"{settings.key}.sqlite"
    cache = Cache(path)
    facts: dict[int, tuple] = {}
    counts = [0, 0]
    positions = np.arange(len(rows))
    if source.order is not None:  # how they lie in the archive
        positions = positions[np.argsort(np.asarray(source.order)[rows], kind="stable")]
    waiting = iter(positions.tolist())

    def take(n: int) -> list[int]:
        return list(itertools.islice(waiting, n))

    def load(chunk: list[int]) -> Sequence:
        keys = [source.keys[rows[i]] for i in chunk]
        return keys if source.parallel else source.read(keys)

    def store(chunk: list[int], found: list[Facts | New]) -> None:
        new = [image for image in found if isinstance(image, New)]
        added = iter(cache.add(new) if new else ())
        for i, image in zip(chunk, found, strict=True):
            facts[i] = next(added) if isinstance(image, New) else image
        counts[0] += len(new)
        counts[1] += sum(isinstance(image, Facts) and image.id >= 0 for image in found)
        on_images(len(chunk))

    read = source.read if source.parallel else None

    def here(chunk: list[int]) -> None:
        store(chunk, work(load(chunk), read, cache, settings))

    try:
        done = 0
        while chunk := take(CHUNK):
            began = time.monotonic()
            here(chunk)
            done += len(chunk)
            each = (time.monotonic() - began) / len(chunk)
            if processes > 1 and each * (len(rows) - done) > ALONE and done > CHUNK:
                # (The first chunk was slow: imports.) Where images take no time, handing over does.
                size = max(CHUNK, min(LARGE, int(WORTH / each)))
                setting = (read, path, settings)
                _share(functools.partial(take, size), load, store, here, setting, processes)
    finally:
        cache.close()
    table = pd.DataFrame([facts[i] for i in range(len(rows))], columns=Facts._fields)
    return table, path, Counts(*counts)


def start_early(images: int, processes: int) -> None:
    """Called as soon as it is known that there will be work: what worker processes import takes a
    second, which passes while that is looked into."""
    if images > MANY and processes > 1:
        _context()
        multiprocessing.forkserver.ensure_running()


def _context() -> multiprocessing.context.BaseContext:
    """Worker processes are forks of one that has imported all that they need, and what the stage
    imports, whose module each of them runs anew."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "cnnlab.data.prepare", "cnnlab.params"])
    return context


def _share(
    take: Callable[[], list[int]],
    load: Callable[[list[int]], Sequence],
    store: Callable[[list[int], list[Facts | New]], None],
    here: Callable[[list[int]], None],
    setting: tuple,
    processes: int,
) -> None:
    """Do the chunks that are left on worker processes, and here while those start."""
    pool = ProcessPoolExecutor(
        processes, mp_context=_context(), initializer=_start, initargs=setting
    )
    running, starting = {}, True
    try:
        while True:
            while len(running) < 2 * processes and (chunk := take()):
                running[pool.submit(_work_there, load(chunk))] = chunk
            if not running:
                break
            timeout = 0 if starting else None
            done = wait(running, timeout, return_when=FIRST_COMPLETED).done
            if starting and not done and (chunk := take()):
                here(chunk)
                continue
            starting = False
            for future in done:
                store(running.pop(future), future.result())
    except BrokenProcessPool:
        raise UserError(
            "prepare: a process that decodes images died, as when memory runs out. What is decoded"
            " is kept: run again, with fewer cores (CNNLAB_CORES) or a lower data.bad.megapixels in"
            " params.yaml"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def work(
    items: Sequence,
    read: Callable[[Sequence], list] | None,
    cache: Cache,
    settings: Settings,
) -> list[Facts | New]:
    """What became of some images: facts of those that the cache knows, and the new ones.

    `items`: keys for `read`, or contents where that is None.
    """
    contents = read(items) if read else items
    marks = [None if isinstance(c, Exception) else _mark(c) for c in contents]
    known = cache.find([mark for mark in marks if mark])
    found: list[Facts | New] = []
    thumbs: dict[int, np.ndarray] = {}
    for i, (content, mark) in enumerate(zip(contents, marks, strict=True)):
        if mark is None:
            found.append(Facts(-1, f"cannot be read: {content}", *[None] * 11))
        elif mark in known:
            found.append(known[mark])
        else:
            new, thumb = _new(mark, content, settings)
            found.append(new)
            if thumb is not None:
                thumbs[i] = thumb
    if thumbs:
        pictures = grey(thumbs.values())
        hashes = perceptual_hash(pictures)
        for i, picture, value in zip(thumbs, pictures, hashes, strict=True):
            facts = (*found[i].facts[:-1], int(value))
            found[i] = found[i]._replace(facts=facts, thumb=picture.tobytes())
    return found


def _new(
    mark: bytes, content: bytes | np.ndarray, settings: Settings
) -> tuple[New, np.ndarray | None]:
    """A decoded image, still without its hash, and the small picture that it is made from."""
    try:
        image = decode(content, settings)
    except BadImage as problem:
        return New(mark, (str(problem), *[None] * 11), None, b"", b""), None
    height, width, channels = image.pixels.shape
    about = ("", image.width, image.height, image.mode, image.format, image.pictures)
    size = None if isinstance(content, np.ndarray) else len(content)
    facts = (*about, size, channels, *(image.values or (None, None)), digest(image.pixels), None)
    return New(mark, facts, (height, width), b"", image.pixels.tobytes()), image.thumb


def _mark(content: bytes | np.ndarray) -> bytes:
    """Hash of a file's bytes, or of an array's shape and pixels."""
    hasher = hashlib.blake2b(digest_size=16)
    if isinstance(content, np.ndarray):
        hasher.update(f"array {content.shape}".encode())
        content = np.ascontiguousarray(content)
    hasher.update(content)
    return hasher.digest()


_setting: tuple


def _start(read: Callable[[Sequence], list] | None, path: Path, settings: Settings) -> None:
    """Make this process a worker."""
    global _setting
    _setting = (read, Cache(path), settings)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, which ends its workers
    end_with_parent()


def _work_there(items: Sequence) -> list[Facts | New]:
    return work(items, *_setting)
