"""Many images: decoded once, whoever does it, and again never."""

import io
import os
import signal
import sqlite3
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnlab.data import decode
from cnnlab.data.cache import Cache, Facts, New
from cnnlab.data.images import Settings
from cnnlab.data.pool import digest
from cnnlab.data.sources import Source
from cnnlab.data.sources._files import Folder
from cnnlab.errors import UserError

SETTINGS = Settings(8, "squash", None, 100)


def png(seed, size=40):
    content = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3), np.uint8)
    Image.fromarray(pixels).save(content, "png")
    return content.getvalue()


@pytest.fixture
def folder(tmp_path):
    """A hundred images, one of them empty, one missing, two alike."""
    root = tmp_path / "raw"
    root.mkdir()
    for i in range(100):
        (root / f"{i:03}.png").write_bytes(png(i))
    (root / "010.png").write_bytes(b"")
    (root / "020.png").unlink()
    (root / "031.png").write_bytes(png(30))
    return root


def source_of(folder, names=None):
    names = [f"{i:03}.png" for i in range(100)] if names is None else names
    return Source(pd.DataFrame({"source": names}), names, Folder(folder), parallel=True)


def run(source, cache, processes=1, rows=None, settings=SETTINGS):
    seen = []
    rows = np.arange(len(source.keys)) if rows is None else rows
    facts, path, counts = decode.decode_all(
        source, rows, settings, cache, processes, lambda n: seen.append(n)
    )
    assert sum(seen) == len(rows) == len(facts)
    assert list(facts.columns) == list(Facts._fields)
    return facts, path, counts


def pixels(path, ids):
    cache = Cache(path)
    try:
        return list(cache.pixels(ids))
    finally:
        cache.close()


def test_each_row_has_its_image_or_what_is_wrong_with_it(folder, tmp_path):
    facts, path, counts = run(source_of(folder), tmp_path / "cache")
    bad = facts[facts["problem"] != ""]
    assert list(bad.index) == [10, 20]
    assert list(bad["problem"]) == ["empty file", "cannot be read: No such file or directory"]
    assert counts.decoded + counts.known == 99  # one is missing
    good = facts[facts["problem"] == ""]
    for i, image in zip(good.index, pixels(path, good["id"]), strict=True):
        assert image.shape == (8, 8, 3)
        assert facts["digest"][i] == digest(image)
    assert facts["digest"][30] == facts["digest"][31]
    assert good["digest"].nunique() == 97
    assert set(good["width"]) == {40}
    assert set(good["format"]) == {"PNG"}
    assert good["hash"].nunique() > 90


def test_rows_come_in_the_order_asked_for(folder, tmp_path):
    all_facts, _, _ = run(source_of(folder), tmp_path / "cache")
    rows = np.array([50, 3, 99])
    some, _, counts = run(source_of(folder), tmp_path / "cache", rows=rows)
    assert list(some["digest"]) == list(all_facts["digest"][rows])
    assert counts == (0, 3)


@pytest.mark.parametrize("parallel", [True, False])
def test_other_processes_make_the_same(folder, tmp_path, monkeypatch, parallel):
    one, path, _ = run(source_of(folder), tmp_path / "one")
    monkeypatch.setattr(decode, "ALONE", 0.0)
    source = source_of(folder)
    if not parallel:  # read here, decoded there
        source = Source(source.table, source.keys, source.read)
    many, other, counts = run(source, tmp_path / "many", processes=2)
    assert one.drop(columns="id").equals(many.drop(columns="id"))
    assert counts.decoded >= 98
    good = one["problem"] == ""
    for a, b in zip(pixels(path, one["id"][good]), pixels(other, many["id"][good]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_second_run_decodes_only_what_is_new(folder, tmp_path, monkeypatch):
    run(source_of(folder), tmp_path / "cache")
    decoded = []
    real = decode.decode
    monkeypatch.setattr(decode, "decode", lambda c, s: decoded.append(1) or real(c, s))
    assert run(source_of(folder), tmp_path / "cache")[2] == (0, 99)  # nor the bad ones
    (folder / "020.png").write_bytes(png(20))
    (folder / "100.png").write_bytes(png(100))
    (folder / "001.png").rename(folder / "moved.png")  # same content, other name
    names = sorted(p.name for p in folder.iterdir())
    facts, _, counts = run(source_of(folder, names), tmp_path / "cache")
    assert counts == (2, 99)
    assert len(decoded) == 2
    assert list(facts.index[facts["problem"] != ""]) == [names.index("010.png")]


def test_other_settings_are_other_images(folder, tmp_path):
    run(source_of(folder), tmp_path / "cache")
    other = Settings(4, "squash", None, 100)
    facts, path, counts = run(source_of(folder), tmp_path / "cache", settings=other)
    assert counts.decoded >= 98
    assert pixels(path, facts["id"][:1])[0].shape == (4, 4, 3)


def test_arrays_are_kept_like_files(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 1), np.uint8)
    images[69] = images[0]
    table = pd.DataFrame({"source": [f"a/{i}" for i in range(70)]})
    source = Source(table, range(70), lambda keys: [images[k] for k in keys])
    facts, path, _ = run(source, tmp_path)
    np.testing.assert_array_equal(np.stack(pixels(path, facts["id"])), images)
    assert list(facts["digest"]) == [digest(image) for image in images]
    assert run(source, tmp_path)[2] == (0, 70)
    assert facts["hash"].isna().all()  # too small


SLOW = """
import sys, time
from pathlib import Path
from tests.data.test_decode import SETTINGS, source_of, run
from cnnlab.data import decode
decode.CHUNK = 4
real = decode.decode
decode.decode = lambda c, s: time.sleep(0.02) or real(c, s)
run(source_of(Path(sys.argv[1])), Path(sys.argv[2]))
"""


def test_a_run_that_was_killed_has_kept_what_it_did(folder, tmp_path, root):
    cache = tmp_path / "cache"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder), str(cache)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    path = cache / f"{SETTINGS.key}.sqlite"

    def rows():
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
            return db.execute("select count(*) from images").fetchone()[0]

    try:
        done = 0
        while done < 20:
            assert process.poll() is None
            time.sleep(0.02)
            if path.exists():
                try:
                    done = rows()
                except sqlite3.OperationalError:  # not made yet
                    continue
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = rows()
    _, _, counts = run(source_of(folder), cache)
    assert 20 <= kept < 98
    assert counts.known in (kept, kept + 1)  # 30 and 31 are one content
    fresh, _, _ = run(source_of(folder), tmp_path / "fresh")
    again, _, _ = run(source_of(folder), cache)
    assert again.drop(columns="id").equals(fresh.drop(columns="id"))


def test_a_process_that_dies_says_what_to_do(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "ALONE", -1.0)
    source = Source(pd.DataFrame({"source": range(99)}), range(99), _Deadly(), parallel=True)
    with pytest.raises(UserError, match=r"died, as when memory runs out.*CNNLAB_CORES"):
        run(source, tmp_path / "cache", processes=2)


class _Deadly:
    """Reads nothing in the process of the test, and ends any other."""

    def __init__(self):
        self.here = os.getpid()

    def __call__(self, keys):
        if os.getpid() != self.here:
            os._exit(1)
        return [b""] * len(keys)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path, monkeypatch):
    """Chunks that wait are bounded, whatever is asked for."""
    most, alive = 0, 0

    class Content(bytes):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def read(keys):
        nonlocal most, alive
        alive += len(keys)
        most = max(most, alive)
        return [Content(b"%d" % key) for key in keys]

    source = Source(pd.DataFrame({"source": range(5000)}), range(5000), read)
    run(source, tmp_path)
    assert most <= 2 * decode.CHUNK


def test_a_damaged_cache_says_what_to_do(folder, tmp_path):
    path = tmp_path / "cache" / f"{SETTINGS.key}.sqlite"
    path.parent.mkdir()
    path.write_bytes(b"no data base" * 100)
    with pytest.raises(UserError, match=rf"{path.name}: damaged.*delete it"):
        run(source_of(folder), tmp_path / "cache")


def test_two_runs_that_keep_the_same_image_have_it_once(tmp_path):
    one, other = Cache(tmp_path / "c.sqlite"), Cache(tmp_path / "c.sqlite")
    facts = ("", 1, 1, "L", "PNG", 1, 99, 1, None, None, "d", None)
    new = New(b"x", facts, (1, 1), b"", b"\7")
    (first,) = one.add([new])
    one._commit()
    (again,) = other.add([new])
    assert first == again == Facts(first.id, *facts)
    assert one.find([b"x", b"y"]) == {b"x": first}
    assert other.find([]) == {}
    one.close(), other.close()


def test_what_was_added_is_there_once_the_cache_is_closed(tmp_path):
    cache = Cache(tmp_path / "c.sqlite")
    (added,) = cache.add(
        [New(b"x", ("", 1, 1, "L", "PNG", 1, 99, 1, None, None, "d", None), (1, 1), b"", b"\7")]
    )
    assert cache.find([b"x"]) == {b"x": added}
    cache.close()
    again = Cache(tmp_path / "c.sqlite")
    assert again.find([b"x"]) == {b"x": added}
    assert next(again.pixels([added.id])).tolist() == [[[7]]]
    again.close()


def test_pixels_that_were_not_committed_are_written_over(tmp_path):
    """As after a kill between the two files."""
    cache = Cache(tmp_path / "c.sqlite")
    facts = ("", 1, 1, "L", "PNG", 1, 99, 1, None, None, "d", None)
    (first,) = cache.add([New(b"x", facts, (1, 1), b"", b"\7")])
    cache.close()
    with (tmp_path / "c.pixels").open("ab") as file:
        file.write(b"lost")
    cache = Cache(tmp_path / "c.sqlite")
    added = cache.add([New(b"y", facts, (1, 1), b"", b"\x08"), New(b"x", facts, (1, 1), b"", b"!")])
    assert added[1] == first
    assert [int(p.item()) for p in cache.pixels([added[0].id, first.id])] == [8, 7]
    cache.close()
    cache = Cache(tmp_path / "c.sqlite")
    (third,) = cache.add([New(b"z", facts, (1, 1), b"", b"\x09")])
    assert [int(p.item()) for p in cache.pixels([third.id, added[0].id, first.id])] == [9, 8, 7]
    cache.close()


@pytest.mark.parametrize("gone", ["sqlite", "pixels"])
def test_either_file_may_be_deleted(folder, tmp_path, gone):
    before, path, _ = run(source_of(folder), tmp_path / "cache")
    path.with_suffix(f".{gone}").unlink()
    after, path, counts = run(source_of(folder), tmp_path / "cache")
    assert counts.decoded >= 98
    assert after.equals(before)
    good = after["problem"] == ""
    for image, mark in zip(pixels(path, after["id"][good]), after["digest"][good], strict=True):
        assert digest(image) == mark


def test_worker_processes_get_larger_chunks_of_small_images(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(decode, "ALONE", 0.0)
    monkeypatch.setattr(decode, "CHUNK", 4)
    monkeypatch.setattr(decode, "WORTH", 60.0)
    chunks = []
    source = source_of(folder)
    facts, _, _ = decode.decode_all(
        source, np.arange(100), SETTINGS, tmp_path / "cache", 2, chunks.append
    )
    assert chunks[:2] == [4, 4]
    assert sum(chunks) == 100
    assert max(chunks) == 92
    assert facts.drop(columns="id").equals(run(source, tmp_path / "one")[0].drop(columns="id"))


@pytest.mark.parametrize(
    ("images", "processes", "starts"),
    [(decode.MANY + 1, 2, True), (decode.MANY + 1, 1, False), (decode.MANY, 2, False)],
)
def test_what_worker_processes_import_is_imported_early_for_many_images(
    images, processes, starts, monkeypatch
):
    started = []
    monkeypatch.setattr(
        decode.multiprocessing.forkserver, "ensure_running", lambda: started.append(1)
    )
    decode.start_early(images, processes)
    assert bool(started) == starts
