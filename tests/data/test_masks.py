"""Masks at the size of a study's images, and back at that of the image."""

import numpy as np
import pytest
from PIL import Image

from cnnlab.data.images import Settings, decode
from cnnlab.data.truths.segmentation import fitted, restored
from cnnlab.overlap import VOID

WAYS = ["squash", "crop", "pad"]
SIZES = [(8, 8), (40, 24), (24, 40), (31, 50), (5, 9), (200, 3)]


def numbers(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 4, shape, np.uint8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", SIZES)
def test_a_mask_has_the_size_of_its_image_again(size, way):
    back = restored(numbers((8, 8)), size, way)
    assert back.shape == size and back.dtype == np.uint8
    assert (VOID in back) == (way == "crop" and size[0] != size[1])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(64, 64), (96, 40), (40, 96), (61, 100)])
def test_there_and_back_is_the_same_mask(size, way):
    """Of the pixels that the image has in it: those that pad it are void."""
    small = numbers((8, 8))
    again = fitted(restored(small, size, way), (8, 8, 3), way)
    inside = again != VOID
    assert inside.all() or way == "pad"
    np.testing.assert_array_equal(again[inside], small[inside])
    assert inside.mean() > 0.3


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [(90, 40), (40, 90), (64, 64)])
def test_what_a_network_sees_somewhere_is_marked_there(size, way):
    """A bright patch of the image, found in the pixels that the network takes."""
    image = np.zeros((*size, 3), np.uint8)
    middle = size[0] // 2, size[1] // 2
    image[middle[0] - 9 : middle[0] + 6, middle[1] - 6 : middle[1] + 9] = 255
    seen = decode(image, Settings(32, way, 3, 100)).pixels[..., 0]
    back = restored((seen > 127).astype(np.uint8), size, way)
    patch = image[..., 0] > 0
    share = np.mean((back == 1) & patch) / np.mean((back == 1) | patch)
    assert share > 0.7


def test_squashed_ones_are_as_pillow_enlarges_them():
    small, nearest = numbers((8, 8)), Image.Resampling.NEAREST
    expected = np.asarray(Image.fromarray(small).resize((40, 24), nearest))
    np.testing.assert_array_equal(restored(small, (24, 40), "squash"), expected)
