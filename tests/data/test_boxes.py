"""Boxes at a study's shape: where the pixels of their objects go."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnlab.data.images import RESIZE
from cnnlab.data.sources import of_array
from cnnlab.data.sources._boxes import label
from cnnlab.data.truths import TRUTHS, detection
from cnnlab.detections import MOST_OBJECTS, counted
from cnnlab.errors import UserError
from cnnlab.ignored import parted, turned

NAMES = ("cat", "dog", "owl")


def source_of(of_each, shape=(40, 60)):
    images = np.zeros((len(of_each), *shape), np.uint8)
    table = pd.DataFrame({"source": [f"{i}.png" for i in range(len(of_each))], "label": "cat"})
    arrays = [np.array(some, np.float32).reshape(-1, 5) for some in of_each]
    return replace(
        of_array(table.assign(split=""), images),
        object_classes=NAMES,
        boxes=arrays.__getitem__,
    )


def rows_of(source, shape=(40, 60)):
    table = source.table.reset_index(names="row")
    return table.assign(width=shape[1], height=shape[0])


@pytest.mark.parametrize("resize", RESIZE)
@pytest.mark.parametrize(
    ("old", "new"),
    [((40, 60), (32, 32)), ((90, 30), (32, 32)), ((40, 60), (80, 64)), ((7, 90), (16, 16))],
)
def test_boxes_move_as_pixels_do(resize, old, new):
    rng = np.random.default_rng(0)
    for _ in range(20):
        low = rng.uniform(0, 0.6, 2) * old
        high = low + rng.uniform(0.3, 0.4, 2) * old
        y0, x0, y1, x1 = np.round([*low, *high]).astype(int)
        if y0 >= y1 or x0 >= x1:
            continue
        image = np.zeros(old, np.uint8)
        image[y0:y1, x0:x1] = 255
        size = (new[1], new[0])
        painted = np.asarray(RESIZE[resize](Image.fromarray(image), size)) > 127
        found = detection.fitted(np.array([[1, y0, x0, y1, x1]]), old, (*new, 1), resize)
        if not len(found):
            assert painted.sum() < 0.5 * new[0] * new[1]
            continue
        assert found.dtype == np.float32 and found[0, 0] == 1
        down, across = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
        if len(down):
            expected = [down[0], across[0], down[-1] + 1, across[-1] + 1]
            np.testing.assert_allclose(found[0, 1:], expected, atol=1.2)


def test_by_hand():
    one = np.array([[2, 10, 15, 30, 45]])
    old, new = (40, 60), (20, 20, 3)
    assert detection.fitted(one, old, new, "squash").tolist() == [[2, 5, 5, 15, 15]]
    assert detection.fitted(one, old, new, "crop").tolist() == [[2, 5, 2.5, 15, 17.5]]
    # 20 x 13, below 4 (rounded) empty rows
    found = detection.fitted(one, old, new, "pad")
    assert found.tolist()[0] == pytest.approx([2, 10 * 13 / 40 + 4, 5, 30 * 13 / 40 + 4, 15])
    assert detection.fitted(one, old, old, "crop").tolist() == one.tolist()


def test_what_is_cut_away_by_three_quarters_is_gone():
    """Of 60 columns the middle 40 are kept: 10 to 50."""
    for right, left in ((15, [0, 0, 0, 10, 5]), (13, [0, 0, 0, 10, 3]), (12, None), (9, None)):
        one = np.array([[0, 0, 1 if right > 13 else 2, 10, right]])
        found = detection.fitted(one, (40, 60), (40, 40), "crop").tolist()
        assert found == ([] if left is None else [left]), right


def test_all_images_have_as_many_rows():
    some = [[0, 0, 0, 10, 10], [2, 20, 30, 40, 60]]
    source = source_of([some, [], some[1:]])
    made = detection.truth(source, rows_of(source).iloc[[2, 0, 1]], (20, 30, 1), "squash")
    assert (made.shape, made.dtype) == ((3, MOST_OBJECTS, 5), np.float32)
    assert made[0, 0].tolist() == [2, 10, 15, 20, 30] and (made[0, 1:] == -1).all()
    assert made[1, :2].tolist() == [[0, 0, 0, 5, 5], [2, 10, 15, 20, 30]]
    assert (made[1, 2:] == -1).all() and (made[2] == -1).all()
    assert counted(made, NAMES) == ({"cat": 1, "dog": 0, "owl": 2}, 1)
    task = TRUTHS["detection"]
    np.testing.assert_array_equal(
        task.truth(source, rows_of(source), (20, 30, 1), "squash"), made[[1, 2, 0]]
    )
    assert task.classes(source) == NAMES


def test_too_many_objects_are_refused_by_the_images_name():
    source = source_of([[], [[0, 0, 0, 5, 5]] * (MOST_OBJECTS + 1)])
    with pytest.raises(UserError, match=f"1.png: has {MOST_OBJECTS + 1} objects; allowed: 64"):
        detection.truth(source, rows_of(source), (40, 60, 1), "squash")


def test_regions_go_where_objects_go(monkeypatch):
    """A difficult object and the region that it also is stay the same; and both have room."""
    box = [2, 10.3, 15.7, 30.1, 45.9]
    some = [[0, 0, 0, 40, 60], box, [turned(2), *box[1:]], [turned(0), 1, 1, 2, 2]]
    source = source_of([some])
    made = detection.truth(source, rows_of(source), (13, 17, 1), "squash")[0]
    objects, regions = parted(made)
    assert objects[:, 0].tolist() == [0] and regions[:, 0].tolist() == [2, 0]
    assert made[1, 1:].tolist() == made[2, 1:].tolist()
    assert counted(made[None], NAMES) == ({"cat": 1, "dog": 0, "owl": 1}, 0)
    assert label(np.array(some, np.float32), NAMES) == "cat"
    assert label(np.array(some[2:], np.float32), NAMES) == "cat"
    monkeypatch.setattr(detection, "MOST_OBJECTS", 3)
    with pytest.raises(UserError, match=r"0\.png: has 2 objects and 2 regions that are ig"):
        detection.truth(source, rows_of(source), (13, 17, 1), "squash")


def test_a_source_without_boxes_is_refused():
    source = replace(source_of([[]]), boxes=None)
    with pytest.raises(UserError, match=r"data\.source has no boxes, which task: detection needs"):
        TRUTHS["detection"].truth(source, rows_of(source), (40, 60, 1), "squash")


def test_labels_are_the_class_of_most_area():
    one = np.array([[0, 0, 0, 10, 10], [1, 0, 0, 11, 10], [0, 20, 20, 24, 24]], np.float32)
    assert label(one, NAMES) == "cat"  # 116 of 110
    assert label(one[:2], NAMES) == "dog"
    assert label(one[:0], NAMES) == "cat"  # there is no class for none


def test_what_is_there_and_what_resizing_takes():
    """Of 60 columns the middle 40 are kept."""
    source = source_of([[[0, 0, 0, 10, 9], [2, 0, 20, 10, 30]], [], [[1, 0, 0, 9, 9]]])
    rows = rows_of(source)
    made = detection.truth(source, rows, (40, 40), "crop")
    assert detection.there(made, 3).tolist() == [[False, False, True], [False] * 3, [False] * 3]
    assert detection.empty(source, rows).tolist() == [False, True, False]
    said = [(f.where, f.done, f.detail) for f in detection.lost(source, rows, made)]
    assert said == [("0.png", "kept", "1 of 2 objects"), ("2.png", "kept", "1 of 1 objects")]
    whole = detection.truth(source, rows, (40, 40), "squash")
    assert detection.lost(source, rows, whole) == []
