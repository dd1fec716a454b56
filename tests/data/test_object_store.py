"""Images in an object store that speaks S3, served by a process on this machine."""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import numpy as np
import pytest
from ruamel.yaml import YAML

from cnnlab.data import pool
from cnnlab.data.sources import SOURCES
from cnnlab.errors import UserError
from tests.data.test_sources import SPLIT, picture

for package in ("s3fs", "moto.server"):
    pytest.importorskip(package, reason="needs requirements-data.txt")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """An empty bucket, and the fsspec file system that sees it."""
    import s3fs

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (tmp_path_factory.mktemp("moto") / "log").open("wb")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(url)
                break
            except OSError:
                assert server.poll() is None
                time.sleep(0.1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ENDPOINT_URL", url)
            patch.setenv("AWS_ACCESS_KEY_ID", "test")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
            patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
            s3fs.S3FileSystem.clear_instance_cache()
            system = s3fs.S3FileSystem()
            system.mkdir("photos")
            yield system
            s3fs.S3FileSystem.clear_instance_cache()
    finally:
        server.terminate()
        server.wait()
        log.close()


@pytest.fixture
def filled(bucket):
    for name, content in SPLIT.items():
        bucket.pipe(f"photos/set/{name}", content)
    yield bucket
    bucket.rm("photos/set", recursive=True)


def test_a_folder_is_read(filled):
    source = SOURCES["image_folder"].open_source("s3://photos/set")
    assert list(source.table["source"]) == sorted(SPLIT)
    assert set(source.table["split"]) == {"train", "test"}
    assert source.read(source.keys) == [SPLIT[name] for name in sorted(SPLIT)]
    filled.rm(f"photos/set/{min(SPLIT)}")
    gone, *there = source.read(source.keys)
    assert isinstance(gone, Exception)
    assert there == [SPLIT[name] for name in sorted(SPLIT)[1:]]


@pytest.mark.parametrize("packing", ["tar", "tar.gz", "zip"])
def test_an_archive_is_read_in_place(bucket, tmp_path, packing):
    path = tmp_path / "raw"
    for name, content in SPLIT.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    kind = {"tar": "tar", "tar.gz": "gztar", "zip": "zip"}[packing]
    archive = shutil.make_archive(str(tmp_path / "packed"), kind, path)
    bucket.put(archive, "photos/packed")
    source = SOURCES["image_folder"].open_source("s3://photos/packed")
    assert list(source.table["source"]) == sorted(SPLIT)
    in_order = range(len(SPLIT)) if source.order is None else np.argsort(source.order)
    for row in in_order:
        (content,) = source.read([source.keys[row]])
        assert content == SPLIT[source.table["source"][row]]


def test_a_table_is_read_with_what_lies_beside_it(filled):
    filled.pipe("photos/set/list.csv", b"path,label\ntest/a/1.png,x\ntest/b/1.png,y\n")
    source = SOURCES["image_table"].open_source("s3://photos/set/list.csv")
    assert source.read(source.keys) == [SPLIT["test/a/1.png"], SPLIT["test/b/1.png"]]


@pytest.mark.parametrize("place", ["s3://photos/nothing", "s3://nobucket/x"])
def test_a_place_that_is_not_there_is_refused(bucket, place):
    with pytest.raises(UserError, match=rf"data\.remote = '{place}'"):
        SOURCES["image_folder"].open_source(place)


def test_the_stage_prepares_a_study_from_a_bucket(bucket, tmp_path, root, monkeypatch):
    """The whole stage, with `data.remote` alone saying where the images are."""
    from stages import prepare

    for label in "ab":
        for i in range(12):
            bucket.pipe(f"photos/all/{label}/{i}.png", picture((i, 9, 9)))
    yaml = YAML()
    params = yaml.load(root / "tests/params.yaml")
    params["data"].update(source="image_folder", remote="s3://photos/all", near_duplicates=None)
    params["data"].update(dev_per_class=8, image_size=4)
    params["data"]["pretrain"]["task"] = None
    params["variants"]["transfer"] = {}
    params["visualize"]["variants"] = params["sizes"]["variants"] = ["baseline"]
    yaml.dump(params, tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    prepare.main()
    dev = pool.read(tmp_path / "data/prepared/dev")
    assert dev.images.shape == (16, 4, 4, 3)
    assert set(dev.manifest["label"]) == {"a", "b"}
