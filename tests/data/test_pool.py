"""Pools on disk."""

import pickle
import random

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cnnlab.data import pool
from cnnlab.errors import UserError


def test_what_is_written_is_read(small_pool):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 8, 8, 1), np.uint8)
    np.testing.assert_array_equal(small_pool.images, images)
    assert list(small_pool.manifest.columns) == pool.COLUMNS
    assert list(small_pool.manifest["image_id"]) == list(range(0, 120, 10))
    assert list(small_pool.manifest["label"]) == ["2", "10", "9"] * 4
    assert small_pool.classes == ("2", "9", "10")
    assert list(small_pool.labels) == [0, 2, 1] * 4
    assert small_pool.labels.dtype == np.int64


def test_codes_tell_what_a_trial_can_know_of_an_image(small_pool):
    assert small_pool.codes[1] == f"{pool.digest(small_pool.images[1])}:2"
    assert len(set(small_pool.codes)) == 12


NAMES = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6)


@given(names=st.lists(NAMES, min_size=2, max_size=5, unique=True))
def test_any_names_survive(tmp_path_factory, names):
    folder = tmp_path_factory.mktemp("pool")
    manifest = pd.DataFrame({"image_id": range(len(names)), "label": names, "source": names})
    manifest = manifest.assign(group=names, split="dev")
    pool.write(folder, np.zeros((len(names), 2, 2, 3), np.uint8), manifest)
    read = pool.read(folder)
    for column in ("label", "source", "group"):
        assert list(read.manifest[column]) == list(manifest[column])
    assert sorted(read.classes) == sorted(names)
    assert [read.classes[k] for k in read.labels] == names


@pytest.mark.parametrize("names", [["NA", "null", "nan", "None"], ["01", "1", "1.0", "1e0"]])
def test_names_that_look_like_something_else_survive(tmp_path, names):
    manifest = pd.DataFrame({"image_id": range(4), "label": names, "source": names})
    pool.write(
        tmp_path,
        np.zeros((4, 2, 2, 3), np.uint8),
        manifest.assign(group=names, split="dev"),
    )
    assert list(pool.read(tmp_path).manifest["label"]) == names


def test_images_may_come_one_by_one_and_make_the_file_that_numpy_makes(small_pool, tmp_path):
    pool.write(
        tmp_path / "streamed",
        iter(small_pool.images),
        small_pool.manifest,
        small_pool.images.shape[1:],
    )
    np.save(tmp_path / "saved.npy", small_pool.images)
    assert (tmp_path / "streamed/images.npy").read_bytes() == (tmp_path / "saved.npy").read_bytes()
    assert pool.read(tmp_path / "streamed").manifest.equals(small_pool.manifest)


def test_no_images_are_a_pool_too(small_pool, tmp_path):
    pool.write(tmp_path / "none", iter(()), small_pool.manifest[:0], (8, 8, 1))
    assert pool.read(tmp_path / "none").images.shape == (0, 8, 8, 1)


def test_an_image_of_another_shape_is_refused(small_pool, tmp_path):
    with pytest.raises(ValueError, match=r"uint8 \(8, 8, 1\)"):
        pool.write(tmp_path, iter(small_pool.images), small_pool.manifest, (8, 8, 3))


def test_take_keeps_the_classes(small_pool):
    few = small_pool.take(np.array([3, 1]))
    assert list(few.manifest["image_id"]) == [30, 10]
    np.testing.assert_array_equal(few.images, small_pool.images[[3, 1]])
    assert few.classes == small_pool.classes
    assert list(few.labels) == [0, 2]
    once_more = few.take(np.array([0]))
    np.testing.assert_array_equal(once_more.images, small_pool.images[[3]])


def test_a_pool_travels_without_its_pixels(small_pool):
    few = small_pool.take(np.array([3, 1]))
    before = len(pickle.dumps(few))
    assert few.images.shape == (2, 8, 8, 1)
    assert len(pickle.dumps(few)) == before
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(few)).images, few.images)


def test_natural_order():
    names = ["x10", "x9", "10", "9", "x", "b2c10", "b2c9"]
    assert sorted(names, key=pool.natural) == ["9", "10", "b2c9", "b2c10", "x", "x9", "x10"]


@given(st.lists(st.text(max_size=5), unique=True), st.randoms(use_true_random=False))
@example(["1²", "²", "1", "x"], random.Random(0))
def test_any_names_can_be_put_in_natural_order(names, chance):
    before = sorted(names, key=pool.natural)
    chance.shuffle(names)
    assert [pool.natural(n) for n in sorted(names, key=pool.natural)] == [
        pool.natural(n) for n in before
    ]


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("file", ["images.npy", "manifest.csv"])
@pytest.mark.parametrize(
    "damage",
    [
        cut,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"x\xff\x00y" * 50),
        lambda path: path.write_bytes(b"PK\x03\x04 no archive"),
        lambda path: path.unlink(),
    ],
    ids=["cut", "empty", "noise", "zip", "missing"],
)
def test_a_damaged_pool_is_refused(small_pool, tmp_path, file, damage):
    damage(tmp_path / "small_pool" / file)
    with pytest.raises(UserError, match="small_pool: "):
        pool.read(tmp_path / "small_pool")


def test_a_manifest_of_other_images_is_refused(small_pool, tmp_path):
    np.save(tmp_path / "small_pool/images.npy", np.zeros((11, 8, 8, 1), np.uint8))
    with pytest.raises(UserError, match="do not belong together"):
        pool.read(tmp_path / "small_pool")


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere: not a prepared pool.*dvc repro prepare"):
        pool.read(tmp_path / "nowhere")
