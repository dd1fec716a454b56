"""Folds: which images judge which trial."""

import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.data import folds
from cnnlab.errors import UserError


def manifest_of(labels, groups=None):
    ids = np.arange(len(labels)) * 3 + 5
    groups = [f"i{i}" for i in ids] if groups is None else groups
    return pd.DataFrame({"image_id": ids, "label": labels, "group": groups})


def judged_once(made, manifest, k, repeats):
    """Each image is judged exactly once a repeat, and each fold judges."""
    assert len(made) == len(manifest) * repeats
    for repeat in range(repeats):
        part = made[made["repeat"] == repeat]
        assert sorted(part["image_id"]) == sorted(manifest["image_id"])
        assert set(part["fold"]) == set(range(k))
    return True


@given(
    sizes=st.lists(st.integers(5, 12), min_size=2, max_size=4),
    k=st.integers(2, 5),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 2**31 - 1),
)
def test_each_image_is_judged_once_a_repeat_and_classes_are_spread_evenly(sizes, k, repeats, seed):
    labels = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    manifest = manifest_of(np.random.default_rng(seed).permutation(labels))
    made = folds.make(manifest, k, repeats, seed)
    assert judged_once(made, manifest, k, repeats)
    merged = made.merge(manifest, on="image_id")
    shares = merged.groupby(["repeat", "fold", "label"]).size().unstack(fill_value=0)
    for _, part in shares.groupby("repeat"):
        assert (part.max() - part.min()).max() <= 1


@given(
    data=st.data(),
    k=st.integers(2, 4),
    seed=st.integers(0, 2**31 - 1),
)
def test_groups_never_cross_folds(data, k, seed):
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=2 * k + 2, max_size=16))
    groups = np.repeat([f"g{i}" for i in range(len(sizes))], sizes)
    labels = np.repeat(["ab"[i % 2] for i in range(len(sizes))], sizes)
    manifest = manifest_of(labels, groups)
    made = folds.make(manifest, k, 2, seed)
    assert len(made) == 2 * len(manifest)
    assert not made.duplicated(["image_id", "repeat"]).any()
    merged = made.merge(manifest, on="image_id")
    assert merged.groupby(["repeat", "group"])["fold"].nunique().max() == 1


def test_grouped_folds_are_about_as_large_as_each_other():
    groups = np.repeat([f"g{i}" for i in range(30)], 3)
    manifest = manifest_of(np.repeat(["a", "b"], 45), groups)
    made = folds.make(manifest, 5, 2, 0)
    assert judged_once(made, manifest, 5, 2)
    assert (made.groupby(["repeat", "fold"]).size() == 18).all()


@given(
    sizes=st.lists(st.integers(5, 12), min_size=2, max_size=4),
    twins=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=3),
    k=st.integers(2, 4),
    seed=st.integers(0, 2**31 - 1),
)
def test_a_few_twins_leave_the_classes_spread_evenly(sizes, twins, k, seed):
    """Single images even out what pairs of images left."""
    labels = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    groups = [f"g{i}" for i in range(len(labels))]
    for one, other in twins:
        groups[one % len(groups)] = groups[other % len(groups)]
    manifest = manifest_of(labels, groups)
    try:
        made = folds.make(manifest, k, 2, seed)
    except UserError:  # too few groups of a class
        return
    merged = made.merge(manifest, on="image_id")
    shares = merged.groupby(["repeat", "label", "fold"]).size().unstack(fill_value=0)
    largest = manifest["group"].value_counts().max()
    assert (shares.max(axis=1) - shares.min(axis=1)).max() <= largest
    assert merged.groupby(["repeat", "group"])["fold"].nunique().max() == 1


def test_groups_of_many_images_are_split_in_no_time():
    """StratifiedGroupKFold took 3.4 s for these."""
    n = 10_000
    manifest = manifest_of([f"c{i % 10}" for i in range(n)], [f"g{max(i, 1)}" for i in range(n)])
    began = time.process_time()
    made = folds.make(manifest, 5, 1, 0)
    assert time.process_time() - began < 2
    shares = made.merge(manifest, on="image_id").groupby(["label", "fold"]).size()
    assert set(shares) == {200}


def test_repeats_draw_other_folds_and_a_seed_decides_them():
    manifest = manifest_of(["a", "b"] * 20)
    made = folds.make(manifest, 4, 3, 1)
    first, second, third = (made[made["repeat"] == r]["fold"].to_list() for r in range(3))
    assert first != second != third != first
    assert made.equals(folds.make(manifest, 4, 3, 1))
    assert not made.equals(folds.make(manifest, 4, 3, 2))


def test_one_repeat_more_leaves_those_there_as_they_are():
    manifest = manifest_of(["a", "b"] * 20)
    few, more = (folds.make(manifest, 4, repeats, 1) for repeats in (2, 3))
    assert more[more["repeat"] < 2].reset_index(drop=True).equals(few)


@pytest.mark.parametrize(
    ("manifest", "told"),
    [
        (manifest_of(["a"] * 9 + ["b"] * 4), "class 'b' has only 4 images"),
        (
            manifest_of(["a"] * 9 + ["b"] * 9, [f"g{i // 3}" for i in range(18)]),
            "class 'a' has only 3 groups",
        ),
    ],
)
def test_a_class_too_small_for_the_folds_is_refused(manifest, told):
    with pytest.raises(UserError, match=rf"folds\.k = 5: {told}"):
        folds.make(manifest, 5, 1, 0)


def test_what_is_written_is_read(tmp_path):
    made = folds.make(manifest_of(["a", "b"] * 10), 2, 2, 0)
    path = tmp_path / "new" / "folds.csv"
    folds.write(path, made)
    pd.testing.assert_frame_equal(folds.read(path), made)


@pytest.mark.parametrize(
    "content",
    ["", "image_id,repeat\n1,0\n", "image_id,repeat,fold\n1,0,x\n", "a\n1\n", "\0", None],
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "folds.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"folds\.csv: "):
        folds.read(path)


def test_every_fold_leaves_what_smaller_training_sets_need():
    manifest = manifest_of(["a"] * 20 + ["b"] * 10)
    made = folds.make(manifest, 5, 3, 0)
    folds.enough(made, manifest, [4, 8])
    with pytest.raises(UserError, match=r"per_class = 9: at most 8 of class 'b' are left"):
        folds.enough(made, manifest, [4, 9])


def test_a_size_that_is_all_there_is_to_train_on_is_refused():
    """11 images a class in two folds leave 16 of 33, which are 5 a class as pages write it."""
    manifest = manifest_of(["a"] * 11 + ["b"] * 11 + ["c"] * 11)
    made = folds.make(manifest, 2, 1, 0)
    folds.enough(made, manifest, [4])
    with pytest.raises(UserError, match=r"per_class = 5: that is all that are left"):
        folds.enough(made, manifest, [5])
