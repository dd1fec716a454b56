"""Properties that alone tell the label."""

import numpy as np
import pandas as pd
import pytest

from cnnlab.data import shortcuts
from cnnlab.data.shortcuts import _wilson


def manifest(classes=4, each=40, group=None):
    n = classes * each
    label = np.repeat([f"c{k}" for k in range(classes)], each)
    groups = [f"g{i}" for i in range(n)] if group is None else group
    return pd.DataFrame({"image_id": range(n), "label": label, "group": groups})


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(size=n)


@pytest.mark.parametrize("seed", range(20))
def test_chance_is_no_shortcut(seed):
    images = manifest()
    values = {f"CUT0{k}": noise(160, 10 * seed + k) for k in range(1, 9)}
    assert shortcuts.shortcuts(images, values) == []


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_a_class_that_is_marked_is_found_among_any_number(classes):
    images = manifest(classes)
    own = images["label"] == "c1"
    (one,) = shortcuts.shortcuts(images, {"CUT01": noise(len(images)) + 6 * own})
    label = "c0" if classes == 2 else "c1"  # what tells one of two tells the other
    assert (one.code, one.label, one.image_id, one.source) == ("CUT01", label, None, "")
    assert one.value > 0.95 and one.limit == shortcuts.LIMIT
    told = "c0 from c1" if classes == 2 else "c1 from the other classes"
    assert one.text.startswith(f"brightness alone tells {told}: balanced accuracy ")


def test_a_weak_tendency_is_none():
    images = manifest(2, 400)
    own = images["label"] == "c1"
    assert shortcuts.shortcuts(images, {"CUT01": noise(800) + 0.7 * own}) == []


def test_words_are_kinds():
    images = manifest(3)
    kinds = np.where(images["label"] == "c2", "PNG RGB", np.where(noise(120) > 0, "JPEG", "BMP"))
    (one,) = shortcuts.shortcuts(images, {"CUT09": kinds})
    assert (one.code, one.label) == ("CUT09", "c2")


def test_what_is_one_value_or_unknown_is_left_out():
    images = manifest(2)
    unknown = np.where(images["label"] == "c1", 100.0, np.nan)
    assert shortcuts.shortcuts(images, {"CUT05": unknown, "CUT06": np.ones(80)}) == []


def test_groups_are_not_counted_as_many_images():
    """One person's 40 images are one witness."""
    images = manifest(2, 40, group=[f"g{i // 20}" for i in range(80)])
    marked = {"CUT01": 5.0 * (images["label"] == "c1").to_numpy() + noise(80)}
    assert shortcuts.shortcuts(images, marked) == []
    assert len(shortcuts.shortcuts(manifest(2, 40), marked)) == 1


def test_classes_of_few_images_are_left_out():
    images = pd.concat([manifest(2), manifest(1, 5).assign(label="few", group=list("abcde"))])
    images = images.reset_index(drop=True)
    values = noise(85)
    values[images["label"] == "few"] = 1e6
    assert shortcuts.shortcuts(images, {"CUT01": values}) == []


def test_the_lower_bound_is_wilsons():
    from statsmodels.stats.proportion import proportion_confint

    for hits, n in ((40, 40), (33, 40), (0, 12)):
        low, _ = proportion_confint(hits, n, 0.05, "wilson")
        assert _wilson(np.array(hits / n), np.array(n), 1.959964) == pytest.approx(low, abs=1e-6)
