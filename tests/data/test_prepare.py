"""Drawing pools from a source, and bringing images to one shape."""

import unicodedata

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from cnnlab.data import prepare
from cnnlab.data.images import perceptual_hash
from cnnlab.data.pool import digest
from cnnlab.data.sources import Finding, Source
from cnnlab.errors import UserError

POOLS = ["dev", "pretrain", "test"]


def table_of(labels, groups=None, split=""):
    table = pd.DataFrame({"label": labels, "split": split})
    table.insert(0, "source", [f"s/{i}" for i in range(len(table))])
    return table if groups is None else table.assign(group=groups)


def draw(table, classes=None, dev=4, test=None, pretrain=(), images=0, seed=0, share=0.2):
    """`images`: of each class of `pretrain`; where none is named, of what is left."""
    selected = prepare.select(table, classes, list(pretrain))
    return prepare.draw(
        selected,
        dev_per_class=dev,
        test_per_class=test,
        test_share=share,
        pretrain_classes=list(pretrain),
        pretrain_images=images,
        seed=seed,
    )


def counts(manifest):
    """(split, class) -> images."""
    return manifest.groupby(["split", "label"]).size().to_dict()


SIZES = st.lists(st.integers(8, 14), min_size=2, max_size=5)


@given(
    sizes=SIZES,
    dev=st.integers(1, 5),
    images=st.integers(1, 3),
    test=st.none() | st.integers(1, 20),
    learnt=st.sets(st.integers(2, 4)),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_pool_has_its_exact_count_of_each_class(sizes, dev, images, test, learnt, seed):
    labels = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    pretrain = [f"c{i}" for i in learnt if i < len(sizes)]
    manifest = draw(table_of(labels), None, dev, test, pretrain, images if pretrain else 0, seed)
    expected = {}
    for i, size in enumerate(sizes):
        if f"c{i}" in pretrain:
            expected["pretrain", f"c{i}"] = images
        else:
            expected["dev", f"c{i}"] = dev
            expected["test", f"c{i}"] = size - dev if test is None else min(size - dev, test)
    assert counts(manifest) == {k: n for k, n in expected.items() if n}
    assert manifest["source"].is_unique
    assert list(manifest["image_id"]) == list(range(len(manifest)))
    assert manifest["row"].is_monotonic_increasing
    assert (labels[manifest["row"]] == manifest["label"]).all()


@given(
    sizes=SIZES,
    dev=st.none() | st.integers(1, 5),
    images=st.integers(1, 6),
    test=st.integers(1, 2),
    seed=st.integers(0, 2**31 - 1),
)
def test_without_classes_a_backbone_learns_from_what_is_left_of_any(sizes, dev, images, test, seed):
    """So many images in all, which are in no other pool; the target keeps all of its classes."""
    labels = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    manifest = draw(table_of(labels), None, dev, test, (), images, seed)
    split = manifest["split"].value_counts()
    assert split["pretrain"] == images
    assert manifest["source"].is_unique
    for pool in ("dev", "test"):
        assert set(manifest["label"][manifest["split"] == pool]) == set(labels)
    if dev is not None:
        assert split["dev"] == dev * len(sizes)


def test_what_is_left_is_drawn_whatever_its_class_and_not_the_same_of_each():
    table = table_of(np.repeat(["a", "b", "c"], 200))
    for seed in range(3):
        manifest = draw(table, dev=5, test=5, images=60, seed=seed)
        found = [counts(manifest).get(("pretrain", label), 0) for label in "abc"]
        assert sum(found) == 60 and min(found) > 5 and len(set(found)) > 1


def test_groups_stay_whole_where_a_backbone_learns_from_what_is_left():
    groups = [f"g{i // 3}" for i in range(120)]
    manifest = draw(table_of(np.repeat(["a", "b", "c", "d"], 30), groups), dev=3, images=30)
    assert manifest.groupby("group")["split"].nunique().max() == 1
    assert manifest["split"].value_counts()["pretrain"] == 30


@pytest.mark.parametrize("dev", [None, 4])
def test_classes_that_a_backbone_learns_from_are_in_no_other_pool(dev):
    table = table_of(["a", "b", "c", "d"] * 30)
    manifest = draw(table, dev=dev, test=3, pretrain=["c", "d"], images=7)
    found = counts(manifest)
    assert {k: n for k, n in found.items() if "c" in k or "d" in k} == {
        ("pretrain", "c"): 7,
        ("pretrain", "d"): 7,
    }
    assert {label for split, label in found if split in ("dev", "test")} == {"a", "b"}


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
    assert counts(manifest) == {
        **{(split, label): 4 * size for split in ("dev", "test") for label in "ac"},
        ("pretrain", "b"): 2 * size,
    }


@given(
    groups=st.lists(st.integers(0, 12), min_size=60, max_size=60),
    test=st.none() | st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_groups_that_span_classes_and_sizes_stay_whole(groups, test, seed):
    table = table_of(["a", "b", "c"] * 20, [f"g{g}" for g in groups])
    try:
        manifest = draw(table, dev=5, test=test, images=3, seed=seed)
    except UserError:  # they do not fit; that they do in general is tested above
        return
    assert manifest.groupby("group")["split"].nunique().max() == 1
    whole = table["group"].value_counts()
    drawn = manifest["group"].value_counts()
    assert drawn.equals(whole.reindex(drawn.index))
    found = counts(manifest)
    assert all(found["dev", label] == 5 for label in "abc")
    assert (manifest["split"] == "pretrain").sum() == 3


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
        manifest = draw(table, dev=6, images=3, seed=seed)
    except UserError:
        learnt_from = table[table["split"] == "train"]["label"].value_counts()
        assert learnt_from.min() < 6 or learnt_from.sum() < 15
        return
    came = manifest["row"].map(table["split"])
    assert ((manifest["split"] == "test") == (came == "test")).all()
    assert counts(manifest)["dev", "a"] == counts(manifest)["dev", "b"] == 6
    assert (came == "test").sum() == sum(split)
    assert (manifest["split"] == "pretrain").sum() == 3


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
    manifest = draw(table_of(["a", "b", "c"] * 9), ["a", "c"], pretrain=["c"], images=1)
    assert set(manifest["label"]) == {"a", "c"}


def test_without_groups_each_image_is_its_own():
    manifest = draw(table_of(["a", "b"] * 9))
    assert list(manifest["group"]) == list(manifest["source"])


def test_groups_of_any_text_survive_the_manifest(tmp_path):
    groups = [f"p{i // 2}{end}" for i, end in enumerate(["\r", "\n", "\r\n", '"', "\0", " é"] * 3)]
    manifest = draw(table_of(["a", "b"] * 9, groups))
    manifest.to_csv(tmp_path / "manifest.csv", index=False)
    read = pd.read_csv(tmp_path / "manifest.csv", dtype={"group": str}, keep_default_na=False)
    assert list(read["group"]) == list(manifest["group"])
    assert manifest["group"].is_unique


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
            {"classes": ["a", "b"], "pretrain": ["b"], "images": 9},
            r"data\.pretrain\.per_class = 9: class 'b' has 8 images.*only 8",
        ),
        (
            {"classes": ["a", "b"], "dev": 6, "images": 5},
            r"data\.pretrain\.per_class = 5: of all images only 4 were left for the pretrain pool",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, told):
    with pytest.raises(UserError, match=rf"params\.yaml: .*{told}"):
        draw(table_of(["a", "b"] * 8 + ["few"] * 3), **changes)


def test_a_refusal_does_not_offer_what_is_not_there():
    with pytest.raises(UserError, match=r"allowed: a, b$"):
        draw(table_of(["a", "b"] * 8), classes=["a", "zz"])


@given(
    sizes=st.lists(st.integers(4, 60), min_size=2, max_size=5),
    share=st.floats(0.05, 0.5),
    test=st.none() | st.integers(1, 3),
    seed=st.integers(0, 2**31 - 1),
)
def test_without_a_number_dev_has_all_that_are_not_test_images(sizes, share, test, seed):
    labels = np.repeat([f"c{i}" for i in range(len(sizes))], sizes)
    manifest = draw(table_of(labels), dev=None, test=test, share=share, seed=seed)
    assert len(manifest) == len(labels)
    found = counts(manifest)
    for i, size in enumerate(sizes):
        expected = test or max(1, round(share * size))
        assert found["test", f"c{i}"] == expected
        assert found["dev", f"c{i}"] == size - expected


def test_without_a_number_a_given_split_stays_as_it_is():
    table = table_of(["a", "b"] * 20, split=["train"] * 30 + ["test"] * 10)
    manifest = draw(table, dev=None, images=3)
    found = counts(manifest)
    assert (found["test", "a"], found["test", "b"]) == (5, 5)
    assert manifest["split"].value_counts().to_dict() == {"dev": 27, "pretrain": 3, "test": 10}


def test_a_class_of_which_nothing_is_left_for_dev_is_refused():
    with pytest.raises(UserError, match=r"dev_per_class = null: of class 'b', 3 images, none"):
        draw(table_of(["a"] * 9 + ["b"] * 3), dev=None, test=5)


def test_of_few_large_groups_one_is_tested():
    """Three patients of ten images: a fifth of them is less than one patient."""
    groups = [*np.repeat(["p", "q", "r"], 10), *map(str, range(30))]
    for seed in range(5):
        found = counts(draw(table_of(["a"] * 30 + ["b"] * 30, groups), dev=None, seed=seed))
        assert (found["test", "a"], found["dev", "a"]) == (10, 20)
        assert (found["test", "b"], found["dev", "b"]) == (6, 24)


def test_a_class_of_which_nothing_can_be_tested_is_refused():
    groups = [*np.repeat(["p", "q", "r"], 10), *map(str, range(30))]
    with pytest.raises(UserError, match=r"test_per_class = 5: of class 'a', 30 images in 3 groups"):
        draw(table_of(["a"] * 30 + ["b"] * 30, groups), dev=None, test=5)


@pytest.mark.parametrize("name", ["", "  ", "a/b", "x" * 256, "猫" * 86, "a\nb"])
def test_a_class_name_that_cannot_be_part_of_a_file_s_name_is_refused(name):
    with pytest.raises(UserError, match="1 to 255 bytes"):
        draw(table_of(["a", name] * 9))


def inventory_of(**columns):
    """An inventory of readable images, some columns given."""
    n = len(next(iter(columns.values())))
    rest = {
        "id": np.arange(n),
        "source": [f"{i}.jpg" for i in range(n)],
        "label": ["a", "b"] * (n // 2) + ["a"] * (n % 2),
        "split": "",
        "problem": "",
        "format": "JPEG",
        "digest": [f"d{i}" for i in range(n)],
        "hash": None,
        "width": 8,
        "height": 6,
    }
    table = pd.DataFrame(rest | columns)
    return table.assign(group=columns.get("group", table["source"]))


PROBLEMS = ["", "empty file", *[""] * 7, "truncated"]


def test_bad_images_are_left_out_and_listed():
    images, findings = prepare.without_bad(inventory_of(problem=PROBLEMS), "skip", 0.2)
    assert list(images["source"]) == [f"{i}.jpg" for i in range(10) if not PROBLEMS[i]]
    assert list(images.index) == list(range(8))
    what, done = "image that cannot be used", "left out"
    assert findings == [(what, "1.jpg", done, "empty file"), (what, "9.jpg", done, "truncated")]


@pytest.mark.parametrize(
    ("policy", "limit", "told"), [("skip", 0.19, "limit = 0.19"), ("fail", 1.0, "policy = fail")]
)
def test_too_many_bad_images_stop_and_are_named(policy, limit, told):
    with pytest.raises(UserError) as refused:
        prepare.without_bad(inventory_of(problem=PROBLEMS), policy, limit)
    for part in (f"data.bad.{told}", "2 of 10", "1.jpg: empty file", "9.jpg: truncated"):
        assert part in str(refused.value)


def test_of_very_many_bad_images_some_are_named():
    with pytest.raises(UserError) as refused:
        prepare.without_bad(inventory_of(problem=["empty file"] * 500), "skip", 0.5)
    assert len(str(refused.value).splitlines()) == 12
    assert "and 490 more" in str(refused.value)


def test_a_class_of_which_no_image_can_be_used_is_listed():
    images, findings = prepare.without_bad(
        inventory_of(problem=["", "", "x", ""], label=["a", "b", "c", "a"]), "skip", 0.5
    )
    assert set(images["label"]) == {"a", "b"}
    assert findings[1:] == [("class without images that can be used", "c", "left out", "")]
    with pytest.raises(UserError, match=r"2 classes; of b no image can be used: 1.jpg: empty"):
        prepare.without_bad(inventory_of(problem=["", "empty file"], label=["a", "b"]), "skip", 0.5)


def test_oddities_are_listed():
    names = ["a.jpg", "b.png", "c d.jpeg", "é.jpg", "x" * 201 + ".jpg", "a\\n.jpg", "photo"]
    findings = prepare.oddities(inventory_of(source=names))
    odd, other = "unusual name", "ending of another format"
    assert [(f.what, f.where) for f in findings] == [
        (other, "b.png"),
        *((odd, name) for name in names[2:6]),
    ]
    assert prepare.oddities(inventory_of(source=["digits/1"], format="array")) == []


def test_images_that_are_the_same_are_one_group_and_conflicts_are_flagged():
    inventory = inventory_of(
        digest=["x", "y", "x", "y", "z", "x"],
        label=["a", "a", "a", "b", "b", "a"],
        split=["train", "train", "train", "train", "test", "test"],
    )
    images, findings = prepare.group_duplicates(inventory, None, None)
    assert list(images["group"]) == ["0.jpg", "1.jpg", "0.jpg", "1.jpg", "4.jpg", "0.jpg"]
    assert findings == [
        ("duplicate", "2.jpg", "in one group with 0.jpg", ""),
        (
            "duplicate with another label",
            "3.jpg",
            "in one group with 1.jpg",
            "labelled a and b: one is wrong",
        ),
        ("duplicate", "5.jpg", "in one group with 0.jpg", "in train and test: both go to test"),
    ]


def test_near_duplicates_are_one_group_too():
    rng = np.random.default_rng(0)
    thumbs = rng.integers(0, 256, (6, 32, 32)).astype(np.uint8)
    thumbs[4] = np.clip(thumbs[1].astype(int) + 3, 0, 255)
    inventory = inventory_of(hash=perceptual_hash(thumbs), id=np.arange(6) + 10)
    images, findings = prepare.group_duplicates(
        inventory, 4, lambda ids: thumbs[np.array(ids) - 10]
    )
    assert findings == [
        (
            "near duplicate with another label",
            "4.jpg",
            "in one group with 1.jpg",
            "labelled b and a: one is wrong",
        )
    ]
    assert list(images["group"]) == [f"{1 if i == 4 else i}.jpg" for i in range(6)]
    assert prepare.group_duplicates(inventory, None, None)[1] == []


def test_images_without_a_hash_have_no_near_duplicates():
    assert prepare.group_duplicates(inventory_of(hash=[None, None, None]), 4, None)[1] == []


def test_duplicates_join_groups_that_were_given():
    inventory = inventory_of(digest=["x", "y", "x", "z"], group=["p2", "p2", "p1", "p3"])
    images, _ = prepare.group_duplicates(inventory, None, None)
    assert list(images["group"]) == ["p1", "p1", "p1", "p3"]


def test_a_size_and_channels_asked_for_are_the_shape():
    mixed = inventory_of(width=[8, 9], height=[6, 7])
    assert prepare.common_shape(mixed, 16, 3) == (16, 16, 3)
    assert prepare.common_shape(inventory_of(width=[8, 8]), None, 1) == (6, 8, 1)


def test_mixed_sizes_are_refused_unless_a_size_is_given():
    mixed = inventory_of(width=[8, 8, 6], height=[6, 6, 8])
    with pytest.raises(
        UserError, match=r"image_size = null: 2.jpg has 6x8 pixels.*first image 8x6"
    ):
        prepare.common_shape(mixed, None, 1)


def test_grey_among_colour_is_repeated():
    grey, colour = np.arange(6, dtype=np.uint8).reshape(2, 3, 1), np.ones((2, 3, 3), np.uint8)
    one, other = prepare.in_channels([grey, colour], 3)
    np.testing.assert_array_equal(one, np.concatenate([grey] * 3, axis=2))
    np.testing.assert_array_equal(other, colour)


def test_turns_are_four_labels_of_each_image_and_one_group():
    manifest = draw(table_of(["a", "b"] * 9), dev=4, images=3)
    learnt = manifest[manifest["split"] == "pretrain"].assign(digest="d")
    four = prepare.turned(learnt, first_id=100)
    assert list(four["image_id"]) == list(range(100, 112))
    assert list(four["label"]) == ["0", "90", "180", "270"] * 3
    assert list(four["source"]) == [s for s in learnt["source"] for _ in range(4)]
    assert list(four["group"]) == [g for g in learnt["group"] for _ in range(4)]
    assert set(four["split"]) == {"pretrain"} and set(four["digest"]) == {""}


def test_a_turned_image_is_what_pillow_turns_it_to_be():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (3, 6, 6, 3), np.uint8)
    made = list(prepare.in_turns(images))
    assert len(made) == 12
    for i, turned in enumerate(made):
        theirs = Image.fromarray(images[i // 4]).rotate(90 * (i % 4))  # counter-clockwise
        np.testing.assert_array_equal(turned, np.asarray(theirs))


def test_images_without_labels_are_drawn_as_any():
    table = table_of([""] * 9)
    unlabelled = prepare.without_labels(table)
    assert list(unlabelled["row"]) == list(range(9))
    assert list(unlabelled["group"]) == list(table["source"])
    drawn = prepare.draw(
        unlabelled,
        dev_per_class=0,
        test_per_class=None,
        test_share=0,
        pretrain_classes=[],
        pretrain_images=5,
        seed=1,
    )
    assert (drawn["split"] == "pretrain").sum() == 5 and drawn["source"].is_unique
    with pytest.raises(UserError, match="1 to 255 bytes"):
        prepare.select(table, None, [])


def test_digests_tell_images_apart():
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8, 1)
    digests = {digest(i) for i in (grey, grey + 1, grey.transpose(1, 0, 2), grey.reshape(8, 6, 1))}
    assert len(digests) == 4
    assert digest(grey) == digest(grey.copy())


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


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("cat ", "cat"),
        (" cat\t", "cat"),
        ("cat\u00a0", "cat"),
        ("ice  cream", "ice cream"),
        ("\ufeffcat", "cat"),
        ("c\u00adat\u200b", "cat"),
        (unicodedata.normalize("NFD", "Café"), "Café"),
        (unicodedata.normalize("NFD", "강아지"), "강아지"),
        ("\N{WOMAN}\u200d\N{MICROSCOPE}", "\N{WOMAN}\u200d\N{MICROSCOPE}"),
        ("क्\u200dष", "क्\u200dष"),
        ("007", "007"),
        ("a\x07", "a\\x07"),
    ],
)
def test_a_label_has_one_form(written, name):
    source = prepare.named(Source(table_of([written, name, "dog"]), range(3), list))
    table, findings = source.table, source.findings
    assert list(table["label"]) == [name, name, "dog"]
    expected = [("class name in another form", ascii(written), f"read as {name}", "")]
    assert findings == (expected if written != name else [])
    assert set(prepare.select(table, None, [])["label"]) == {name, "dog"}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Cat", "cat"),
        ("STRASSE", "straße"),
        ("ice cream", "icecream"),
        ("ｃａｔ", "cat"),
        ("ﬁg", "fig"),
    ],
)
def test_names_that_are_nearly_one_are_two_only_where_somebody_says_so(one, other):
    table = table_of([one, other, "dog"])
    with pytest.raises(UserError, match="differ in nothing but case, form or spaces"):
        prepare.select(table, None, [])
    assert set(prepare.select(table, [one, other], [])["label"]) == {one, other}
    both, classes = prepare.merged(table, {"x": [one, other], "dog": ["dog"]})
    assert set(prepare.select(both, classes, [])["label"]) == {"x", "dog"}


def test_where_classes_cannot_be_chosen_a_refusal_says_what_can_be_done():
    with pytest.raises(UserError, match="form or spaces: rename one where it is named") as said:
        prepare.select(table_of(["Cat", "cat"]), None, [], chosen=False)
    assert "data.classes" not in str(said.value)
    with pytest.raises(UserError, match="without /; rename one where it is named") as said:
        prepare.select(table_of(["a/b", "cat"]), None, [], chosen=False)
    assert "data.classes" not in str(said.value)
    assert len(prepare.select(table_of(["train", "test"]), None, [], chosen=False))


@pytest.mark.parametrize("names", [["train", "val"], ["Training", "Valid", "Test"]])
def test_parts_of_a_data_set_are_classes_only_where_somebody_says_so(names):
    table = table_of(names)
    with pytest.raises(UserError, match=r"which parts of a data set are called.*data\.classes: "):
        prepare.select(table, None, [])
    assert set(prepare.select(table, names, [])["label"]) == set(names)
    assert len(prepare.select(table_of([*names, "car"]), None, [])) == len(names) + 1


@pytest.mark.parametrize(
    "names",
    [
        ["images", "masks"],
        ["JPEGImages", "SegmentationClass", "SegmentationObject"],
        ["Original_Images", "Ground Truth"],
        ["image", "label"],
    ],
)
def test_images_and_their_masks_are_classes_only_where_somebody_says_so(names):
    table = table_of(names)
    with pytest.raises(UserError, match="which images and drawings of their parts are called"):
        prepare.select(table, None, [])
    assert len(prepare.select(table, names, [])) == len(table)
    assert len(prepare.select(table_of([*names, "cat"]), None, []))


def test_further_pictures_of_a_file_are_said():
    table = pd.DataFrame({"source": ["a.gif", "b.png", "c.tif"], "pictures": [3.0, 1.0, 50.0]})
    assert prepare.further_pictures(table) == [
        ("further pictures in a file", "a.gif", "left out", "the first of 3 is read"),
        ("further pictures in a file", "c.tif", "left out", "the first of 50 is read"),
    ]


def test_one_scale_is_for_all_images_of_more_than_8_bits():
    facts = {"low": [None, 0, 0], "high": [None, 900, 4095], "mode": ["L", "I;16", "I;16"]}
    facts = pd.DataFrame(facts)
    scale, (said,) = prepare.range_of(facts, "data/raw")
    assert scale == (0, 4096)
    assert said[:3] == ("rule for more than 8 bits", "data/raw", "applied")
    assert said.detail == (
        "2 images hold values from 0 to 4095: in all of them 0 becomes black and 4096 white"
    )
    assert prepare.range_of(facts[:1], "data/raw") == (None, [])
    fractions = facts.assign(high=[None, 0.5, 1], mode=["L", "F", "F"])
    assert prepare.range_of(fractions, "data/raw")[0] == (0, 1)


def test_there_is_a_line_for_each_kind_of_finding():
    findings = [Finding("hidden file", f".{i}", "left out") for i in range(3)]
    findings += [Finding("validation part", "val", "used as development images", "as train")]
    assert prepare.lines(findings, "LIST") == [
        "hidden file (3) left out: .0, ...; listed in LIST",
        "validation part (1) used as development images: val (as train); listed in LIST",
    ]


def test_where_no_image_may_be_bad_none_may_be_left_out():
    others = [Finding("hidden file", ".x", "left out"), Finding("link to a file", "y", "followed")]
    lost = [Finding("image outside of the layout", f"{i}.png", "left out") for i in range(12)]
    prepare.refuse_lost(others, "fail")
    prepare.refuse_lost([*others, *lost], "skip")
    with pytest.raises(
        UserError, match=r"= fail: [^\n]*\n  0\.png: image outside[\s\S]*and 2 more"
    ):
        prepare.refuse_lost([*others, *lost], "fail")


def test_labels_of_few_images_go_with_the_commonest():
    labels = ["b"] * 9 + ["a"] * 12 + ["rare"] * 7 + ["c"] * 8 + ["late"] * 9
    table = pd.DataFrame({"label": labels, "split": ["train"] * 36 + ["test"] * 9})
    made, findings = prepare.gathered(table)
    assert made["label"].value_counts().to_dict() == {"a": 28, "b": 9, "c": 8}
    assert [(f.where, f.done) for f in findings] == [
        ("late", "stratified as a"),
        ("rare", "stratified as a"),
    ]
    few, _ = prepare.gathered(table.iloc[[0, 1, 10]])
    assert set(few["label"]) == {"b"}
