"""What networks learn of images besides labels: brought to the shape of the images, and kept."""

import json

import numpy as np
import pandas as pd
import pytest

from cnnlab.data import images, pool
from cnnlab.data.sources import Source
from cnnlab.data.truths import TRUTHS, segmentation
from cnnlab.errors import UserError
from cnnlab.overlap import VOID, shares


def source(masks):
    table = pd.DataFrame({"source": [f"{i}.png" for i in range(len(masks))]})
    return Source(
        table, range(len(masks)), read=None, classes=("nothing", "it"), mask=masks.__getitem__
    )


def rows(masks):
    sizes = {"width": [m.shape[1] for m in masks], "height": [m.shape[0] for m in masks]}
    return pd.DataFrame({"row": range(len(masks)), **sizes}).assign(
        source=lambda t: t["row"].astype(str)
    )


@pytest.mark.parametrize("resize", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(30, 50), (50, 30), (24, 24), (10, 64)])
def test_a_mask_goes_where_its_image_goes(resize, size):
    """Of an image that is white where its mask is 1, all that is far from an edge agrees."""
    height, width = size
    mask = np.zeros(size, np.uint8)
    mask[height // 4 : -height // 4, width // 3 :] = 1
    settings = images.Settings(24, resize, 1, 100)
    made = images.decode((mask * 255)[..., None], settings).pixels[..., 0]
    truth = segmentation.fitted(mask, (24, 24, 1), resize)
    sure = (made < 30) | (made > 225)
    assert sure.mean() > 0.7
    there = np.where(truth == VOID, 0, truth)  # what pads an image is black
    assert np.array_equal(there[sure] == 1, made[sure] > 128)
    assert (truth == VOID).any() == (resize == "pad" and height != width)


def test_masks_are_taken_by_row_in_the_order_asked_for():
    masks = [np.full((4, 4), i, np.uint8) for i in range(3)]
    made = TRUTHS["segmentation"].truth(
        source(masks), rows(masks).iloc[[2, 0]], (4, 4, 3), "squash"
    )
    assert made.dtype == np.uint8 and made.shape == (2, 4, 4)
    assert [m[0, 0] for m in made] == [2, 0]


def test_a_mask_of_another_size_is_named():
    masks = [np.zeros((4, 4), np.uint8)]
    other = rows(masks).assign(width=5)
    with pytest.raises(UserError, match=r"0: its mask has 4x4 pixels; allowed: .* 5x4"):
        segmentation.truth(source(masks), other, (4, 4, 1), "squash")


def test_a_source_without_masks_is_refused_and_classes_need_none():
    plain = Source(pd.DataFrame(), [], read=None)
    with pytest.raises(UserError, match=r"data\.source has no masks"):
        segmentation.truth(plain, rows([]), (4, 4, 1), "squash")
    assert TRUTHS["classification"].truth(plain, rows([]), (4, 4, 1), "squash") is None


def test_classes_that_are_there_and_masks_that_crop_leaves_void():
    one, other = np.full((4, 8), VOID, np.uint8), np.zeros((4, 8), np.uint8)
    one[:, 0] = 1
    both = rows([one, other])
    whole = segmentation.truth(source([one, other]), both, (4, 8), "crop")
    assert segmentation.there(whole, 2).tolist() == [[False, True], [True, False]]
    assert segmentation.lost(source([one, other]), both, whole) == []
    made = segmentation.truth(source([one, other]), both, (4, 4), "crop")
    assert segmentation.there(made, 2).tolist() == [[False, False], [True, False]]
    (said,) = segmentation.lost(source([one, other]), both, made)
    assert (said.what, said.where) == ("image whose mask is void everywhere after resizing", "0")


def test_shares_leave_void_out():
    masks = np.array([[[0, 0, 1, VOID]], [[0, 0, 0, VOID]]], np.uint8)
    assert shares(masks, ["nothing", "it"]) == {"nothing": 5 / 6, "it": 1 / 6}
    assert shares(np.full((1, 2, 2), VOID, np.uint8), ["a"]) == {"a": 0.0}


def manifest(n):
    return pd.DataFrame(
        {"image_id": range(n), "source": [str(i) for i in range(n)], "label": ["b", "a"] * (n // 2)}
    ).assign(group=lambda t: t["source"], split="dev")


def test_a_pool_keeps_what_is_true_with_its_classes_and_task(tmp_path):
    pixels, truth = np.zeros((4, 2, 3, 1), np.uint8), np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    pool.write(tmp_path, pixels, manifest(4), truth=truth, task=("segmentation", ["n", "a", "b"]))
    made = pool.read(tmp_path)
    assert made.task == "segmentation" and made.classes == ("n", "a", "b") and made.strata == 2
    assert list(made.labels) == [2, 1, 2, 1]
    np.testing.assert_array_equal(made.truth, truth)
    np.testing.assert_array_equal(made.take(np.array([3, 1])).truth, truth[[3, 1]])
    # The same pixels with another truth are another image to a trial.
    assert made.manifest["digest"].nunique() == 4
    assert json.loads((tmp_path / "task.json").read_text())["classes"] == ["n", "a", "b"]


def test_a_pool_of_classes_has_nothing_besides_labels(tmp_path):
    pool.write(tmp_path, np.zeros((4, 2, 3, 1), np.uint8), manifest(4))
    made = pool.read(tmp_path)
    assert made.task == "classification" and made.classes == ("a", "b") and made.truth is None
    assert {path.name for path in tmp_path.iterdir()} == {"images.npy", "manifest.csv"}
