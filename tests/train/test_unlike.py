"""How unlike the training images an image is: digits against what is none."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.datasets import load_digits

from cnnlab.errors import UserError
from cnnlab.recipe.network import initial
from cnnlab.train import unlike


@pytest.fixture(scope="module")
def digits():
    images = np.round(load_digits().images * (255 / 16)).astype(np.uint8)[..., None]
    return images[np.random.default_rng(0).permutation(len(images))]


@pytest.fixture(scope="module")
def nets(base):
    small = replace(base, net_options={"filters": [8, 8], "convs": 1, "kernel": 3, "dense": [16]})
    return [initial(small, seed, (8, 8, 1), 10).model for seed in (1, 2)]


@pytest.fixture(scope="module")
def learnt(digits, nets):
    held = np.arange(300) % 5 == 0
    return unlike.learn(nets[0], digits[:300], unlike.HeldOut(nets[1], held), 0.05, 0)


def scores(learnt, nets, images):
    return learnt.scores(unlike.features(nets[0])(images))


def test_other_digits_pass_as_often_as_declared(learnt, nets, digits):
    assert 0.01 < np.mean(scores(learnt, nets, digits[300:]) > 1) < 0.12


def test_a_thick_black_one_on_white_is_unlike_digits_in_white_on_black(learnt, nets):
    image = np.full((1, 8, 8, 1), 255, np.uint8)
    image[0, 1:7, 3:5] = 0
    assert scores(learnt, nets, image)[0] > 1.5


@pytest.mark.parametrize("kind", ["negatives", "noise", "white", "black"])
def test_what_is_no_digit_is_unlike_them(learnt, nets, digits, kind):
    rng = np.random.default_rng(0)
    images = {
        "negatives": 255 - digits[300:400],
        "noise": rng.integers(0, 256, (100, 8, 8, 1), np.uint8),
        "white": np.full((1, 8, 8, 1), 255, np.uint8),
        "black": np.zeros((1, 8, 8, 1), np.uint8),
    }[kind]
    assert np.mean(scores(learnt, nets, images) > 1) > 0.9


def test_a_training_image_is_at_home(learnt, nets, digits):
    assert np.median(scores(learnt, nets, digits[:300])) < 0.9


def test_fewer_false_alarms_are_a_wider_limit(digits, nets, learnt):
    held = np.arange(300) % 5 == 0
    rarely = unlike.learn(nets[0], digits[:300], unlike.HeldOut(nets[1], held), 0.01, 0)
    assert rarely.limit > learnt.limit
    np.testing.assert_array_equal(rarely.bank, learnt.bank)


def test_of_many_images_some_are_kept_the_same_each_time(digits, nets, monkeypatch):
    monkeypatch.setattr(unlike, "MOST", 50)
    held = np.arange(300) % 5 == 0
    two = [
        unlike.learn(nets[0], digits[:300], unlike.HeldOut(nets[1], held), 0.05, 7) for _ in "ab"
    ]
    assert len(two[0].bank) == 50
    np.testing.assert_array_equal(two[0].bank, two[1].bank)


def test_few_images_are_enough(digits, nets):
    few = unlike.learn(
        nets[0], digits[:4], unlike.HeldOut(nets[1], np.array([True, False, False, False])), 0.05, 0
    )
    assert np.isfinite(scores(few, nets, digits[:9])).all() and few.limit > 0


def test_distances_are_those_to_the_fifth_nearest_but_oneself():
    values = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)
    made = unlike.Unlike.of(values)
    bank = made.bank.astype(np.float64)
    every = np.sort(np.linalg.norm(bank[:, None] - bank[None], axis=2), axis=1)
    np.testing.assert_allclose(made.within(), every[:, 5], atol=1e-6)
    scaled = (values - made.centre) / made.spread
    others = np.sort(np.linalg.norm(scaled[:, None].astype(float) - bank[None], axis=2), axis=1)
    np.testing.assert_allclose(made.scores(values), others[:, 4], atol=1e-6)


def test_it_is_read_as_it_was_written_and_equal_ones_are_equal_files(learnt, tmp_path):
    learnt.write(tmp_path)
    first = (tmp_path / unlike.FILE).read_bytes()
    read = unlike.read(tmp_path)
    for name in ("centre", "spread", "bank"):
        np.testing.assert_array_equal(getattr(read, name), getattr(learnt, name))
    assert read.limit == learnt.limit
    read.write(tmp_path)
    assert (tmp_path / unlike.FILE).read_bytes() == first


def test_none_is_none_and_a_damaged_one_is_refused(tmp_path, learnt):
    assert unlike.read(tmp_path) is None
    path = tmp_path / unlike.FILE
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"unlike.npz: does not say"):
        unlike.read(tmp_path)
    for bad in ({"limit": 0.0}, {"spread": learnt.spread[:-1]}, {"bank": learnt.bank[:0]}):
        replace(learnt, **bad).write(tmp_path)
        with pytest.raises(UserError, match=r"unlike.npz: does not say"):
            unlike.read(tmp_path)
    arrays = {"centre": np.array([None], dtype=object)}
    np.savez(path, **arrays)
    with pytest.raises(UserError, match=r"unlike.npz: does not say"):
        unlike.read(tmp_path)
