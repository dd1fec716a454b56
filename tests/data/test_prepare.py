"""Drawing pools from a source, and bringing images to one shape."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnlab.data import prepare
from cnnlab.data.pool import digest
from cnnlab.data.sources import Source
from cnnlab.errors import UserError

POOLS = ["dev", "pretrain", "test"]


def table_of(labels, groups=None, split=""):
    table = pd.DataFrame({"label": labels, "split": split})
    table.insert(0, "source", [f"s/{i}" for i in range(len(table))])
    return table if groups is None else table.assign(group=groups)


def draw(table, classes=None, dev=4, test=None, pretrain=(), per_class=1, seed=0):
    return prepare.draw(table, classes, dev, test, list(pretrain), per_class, seed)


def counts(manifest):
    """(split, class) -> images."""
    return manifest.groupby(["split", "label"]).size().to_dict()


SIZES = st.lists(st.integers(8, 14), min_size=2, max_size=5)


@given(
    sizes=SIZES,
    dev=st.integers(1, 5),
    per_class=st.integers(1, 3),
    test=st.none() | st.integers(1, 20),
    learnt=st.sets(st.integers(0, 4)),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_pool_has_its_exact_count_of_each_class(sizes, dev, per_class, test, learnt, seed):
    labels = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    pretrain = [f"c{i}" for i in learnt if i < len(sizes)]
    manifest = draw(table_of(labels), None, dev, test, pretrain, per_class, seed)
    expected = {}
    for i, size in enumerate(sizes):
        expected["dev", f"c{i}"] = dev
        left = size - dev
        if f"c{i}" in pretrain:
            expected["pretrain", f"c{i}"] = per_class
            left -= per_class
        expected["test", f"c{i}"] = left if test is None else min(left, test)
    assert counts(manifest) == {k: n for k, n in expected.items() if n}
    assert manifest["source"].is_unique
    assert list(manifest["image_id"]) == list(range(len(manifest)))
    assert manifest["row"].is_monotonic_increasing
    assert (labels[manifest["row"]] == manifest["label"]).all()


@given(data=st.data(), size=st.integers(1, 3), seed=st.integers(0, 2**31 - 1))
def test_no_group_parts_company(data, size, seed):
    """Groups of one size fit exactly; each is in one pool, whole."""
    labels = np.repeat(["a", "b", "c"], 8 * size)
    groups = data.draw(st.permutations([f"g{i // size}" for i in range(8 * size)]))
    groups = [f"{label}/{g}" for label, g in zip(labels, groups * 3, strict=True)]
    table = table_of(labels, groups)
    manifest = draw(table, None, 4 * size, None, ["b"], 2 * size, seed)
    assert manifest.groupby("group")["split"].nunique().max() == 1
    assert (manifest["group"].value_counts() == size).all()
    found = counts(manifest)
    assert all(found["dev", label] == 4 * size for label in "abc")
    assert found["pretrain", "b"] == 2 * size
    assert len(manifest) == len(table)


@given(
    groups=st.lists(st.integers(0, 12), min_size=60, max_size=60),
    test=st.none() | st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_groups_that_span_classes_and_sizes_stay_whole(groups, test, seed):
    table = table_of(["a", "b", "c"] * 20, [f"g{g}" for g in groups])
    try:
        manifest = draw(table, dev=5, test=test, pretrain=["a"], per_class=3, seed=seed)
    except UserError:  # they do not fit; that they do in general is tested above
        return
    assert manifest.groupby("group")["split"].nunique().max() == 1
    whole = table["group"].value_counts()
    drawn = manifest["group"].value_counts()
    assert drawn.equals(whole.reindex(drawn.index))
    found = counts(manifest)
    assert all(found["dev", label] == 5 for label in "abc")
    assert set(manifest.loc[manifest["split"] == "pretrain", "label"]) == {"a"}


def test_with_groups_one_image_in_twenty_may_be_missing():
    sizes = [3] * 6 + [2] * 10 + [30]
    groups = np.repeat(np.arange(len(sizes)), sizes).astype(str)
    table = table_of(["a"] * len(groups) + ["b"] * 40, [*groups, *map(str, range(100, 140))])
    for seed in range(20):
        manifest = draw(table, dev=20, seed=seed)
        assert 19 <= counts(manifest)["dev", "a"] <= 20
        assert counts(manifest)["dev", "b"] == 20


@given(split=st.lists(st.booleans(), min_size=60, max_size=60), seed=st.integers(0, 99))
def test_a_source_that_comes_split_keeps_its_test_part_apart(split, seed):
    given_split = ["test" if judges else "train" for judges in split]
    table = table_of(["a", "b"] * 30, split=given_split)
    try:
        manifest = draw(table, dev=6, pretrain=["a"], per_class=3, seed=seed)
    except UserError:
        assert table[table["split"] == "train"]["label"].value_counts().min() < 9
        return
    came = manifest["row"].map(table["split"])
    assert ((manifest["split"] == "test") == (came == "test")).all()
    assert counts(manifest)["dev", "a"] == counts(manifest)["dev", "b"] == 6
    assert (came == "test").sum() == sum(split)


def test_a_group_on_both_sides_of_a_given_split_is_judged_not_learnt():
    table = table_of(["a", "b"] * 10, ["g"] * 4 + [f"g{i}" for i in range(16)], "train")
    table.loc[0, "split"] = "test"
    manifest = draw(table, dev=4)
    assert set(manifest.loc[manifest["group"] == "g", "split"]) == {"test"}


def test_a_seed_decides_the_draw():
    table = table_of(["a", "b", "c"] * 20)
    one, again, other = (draw(table, seed=seed) for seed in (1, 1, 2))
    assert one.equals(again)
    assert not one["split"].equals(other["split"])


def test_classes_keeps_those_named():
    manifest = draw(table_of(["a", "b", "c"] * 9), ["a", "c"], pretrain=["c"])
    assert set(manifest["label"]) == {"a", "c"}


def test_without_groups_each_image_is_its_own():
    manifest = draw(table_of(["a", "b"] * 9))
    assert list(manifest["group"]) == list(manifest["source"])


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"classes": ["a", "zz"]}, r"class 'zz'.*allowed: a, b, few"),
        ({"classes": ["zz", "a"]}, "class 'zz' is not there"),
        ({"pretrain": ["zz"]}, "class 'zz' is not there; allowed: a, b, few"),
        ({"classes": ["a", "b"], "pretrain": ["few"]}, "class 'few' is not there; allowed: a, b"),
        ({"classes": ["a"]}, "at least 2 classes"),
        ({"dev": 4}, r"data\.dev_per_class = 4: class 'few' has 3 images.*only 3"),
        ({"classes": ["a", "b"], "dev": 9}, r"data\.dev_per_class = 9: class '[ab]' has 8 images"),
        (
            {"classes": ["a", "b"], "dev": 6, "pretrain": ["b"], "per_class": 3},
            r"data\.pretrain\.per_class = 3: class 'b' has 8 images.*only 2",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, told):
    with pytest.raises(UserError, match=rf"params\.yaml: .*{told}"):
        draw(table_of(["a", "b"] * 8 + ["few"] * 3), **changes)


def test_a_refusal_does_not_offer_what_is_not_there():
    with pytest.raises(UserError, match=r"allowed: a, b$"):
        draw(table_of(["a", "b"] * 8), classes=["a", "zz"])


def source_of(*images):
    table = table_of(["a"] * len(images))
    return Source(table, images.__getitem__), table.reset_index(names="row")


def decode(images, size=None, channels=None):
    seen = []
    made, manifest = prepare.decode(*source_of(*images), size, channels, lambda: seen.append(1))
    assert len(seen) == len(images)
    assert list(manifest["digest"]) == [digest(image) for image in made]
    return made


GREY = np.arange(48, dtype=np.uint8).reshape(6, 8, 1)
COLOUR = np.stack([np.full((6, 8), v, np.uint8) for v in (255, 0, 0)], -1)


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
def test_images_stay_as_they_are_where_nothing_is_asked(image):
    made = decode([image, image[::-1]])
    assert made.dtype == np.uint8
    np.testing.assert_array_equal(made, [image, image[::-1]])


@pytest.mark.parametrize("image", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("channels", [None, 1, 3])
@pytest.mark.parametrize("size", [4, 32])
def test_images_are_brought_to_a_size_and_to_channels(image, size, channels):
    made = decode([image], size, channels)
    assert made.shape == (1, size, size, channels or image.shape[2])
    assert made.dtype == np.uint8


def test_grey_is_repeated_and_colour_is_weighed():
    np.testing.assert_array_equal(decode([GREY], channels=3)[0], np.repeat(GREY, 3, axis=2))
    assert decode([COLOUR], channels=1).max() == 76  # 0.299 * 255: as bright as red is
    # The first image decides where nothing is asked.
    assert decode([GREY, COLOUR]).shape == (2, 6, 8, 1)
    assert decode([COLOUR, GREY]).shape == (2, 6, 8, 3)


def test_shrinking_takes_means_and_keeps_what_is_where():
    checks = (np.indices((8, 8)).sum(0) % 2 * 200).astype(np.uint8)
    np.testing.assert_allclose(decode([checks[..., None]], size=4)[0, 1:-1, 1:-1], 100, atol=1)
    half = np.zeros((8, 8, 1), np.uint8)
    half[:, 4:] = 255
    small = decode([half], size=4)[0, ..., 0]
    assert small[:, 0].max() == 0
    assert small[:, 3].min() == 255


def test_mixed_sizes_are_refused_unless_a_size_is_given():
    with pytest.raises(UserError, match=r"image_size = null: s/1 has 6x8 pixels.*first image 8x6"):
        decode([GREY, GREY.transpose(1, 0, 2)])
    assert decode([GREY, GREY.transpose(1, 0, 2)], size=8).shape == (2, 8, 8, 1)


def test_digests_tell_images_apart():
    digests = {digest(i) for i in (GREY, GREY + 1, GREY.transpose(1, 0, 2), GREY.reshape(8, 6, 1))}
    assert len(digests) == 4
    assert digest(GREY) == digest(GREY.copy())


def test_classes_are_merged_under_new_names():
    table = pd.DataFrame({"source": list("abcd"), "label": ["cat", "dog", "car", "bus"]})
    found, classes = prepare.merged(table, {"animal": ["dog", "cat"], "car": ["car"]})
    assert classes == ["animal", "car"]
    assert list(found["label"]) == ["animal", "animal", "car"]
    assert list(found["source"]) == list("abc")
    for same in (None, ["cat", "dog"]):
        assert prepare.merged(table, same) == (table, same)


@pytest.mark.parametrize(
    ("classes", "said"),
    [
        ({"x": ["cat", "cow"]}, "data.classes.x: class 'cow' is not there; allowed: cat, dog"),
        ({"x": ["cat"], "y": ["cat"]}, "data.classes.y: 'cat' is in x already"),
    ],
)
def test_merging_what_is_not_there_or_twice_is_refused(classes, said):
    table = pd.DataFrame({"source": list("ab"), "label": ["cat", "dog"]})
    with pytest.raises(UserError, match=said):
        prepare.merged(table, classes)
