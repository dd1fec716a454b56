"""Images that stand out: few of ordinary ones, and those that were spoilt."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from cnnlab.data import suspects
from cnnlab.data.properties import measure


def scenes(n, seed=0, size=24):
    """Made-up photographs: a few soft shapes, some grain, each of another brightness."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(n):
        base = rng.normal(rng.uniform(90, 160), rng.uniform(35, 60), (5, 5, 3))
        picture = Image.fromarray(np.clip(base, 0, 255).astype(np.uint8)).resize((size, size))
        grain = rng.normal(0, 8, (size, size, 3))
        images.append(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))
    return np.stack(images)


def blurred(image):
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(2)))


SPOIL = {
    "IMG01": lambda image: (image * 0.1).astype(np.uint8),
    "IMG02": lambda image: 255 - (image * 0.1).astype(np.uint8),
    "IMG06": lambda image: (image * 0.05 + 110).astype(np.uint8),
    "IMG03": blurred,
    "IMG07": lambda image: np.random.default_rng(image[0, 0, 0]).integers(
        0, 256, image.shape, np.uint8
    ),
}


def manifest(n):
    names = [f"{i}.jpg" for i in range(n)]
    return pd.DataFrame({"image_id": np.arange(n) * 2, "source": names, "label": "c"})


def of_pixels(images):
    return suspects.of_pixels(manifest(len(images)), *measure(images))


@pytest.mark.parametrize("seed", range(3))
def test_of_ordinary_images_next_to_none_is_found(seed):
    assert len(of_pixels(scenes(300, seed))) <= 1


@pytest.mark.parametrize("code", SPOIL)
def test_spoilt_images_are_found_by_their_code_and_no_other(code):
    images = scenes(300)
    for i in range(5):
        images[i] = SPOIL[code](images[i])
    found = of_pixels(images)
    assert sorted(f.image_id for f in found if f.code == code) == [0, 2, 4, 6, 8]
    assert len(found) <= 6
    for f in found:
        assert (f.value > f.limit) == (f.code in ("IMG02", "IMG07"))
    values = [f.value for f in found if f.code == code]
    assert values == sorted(values, reverse=code in ("IMG02", "IMG07"))  # the worst first


@pytest.mark.parametrize(("code", "spoil"), list(SPOIL.items())[:3])
def test_what_all_images_are_is_no_finding(code, spoil):
    images = np.stack([spoil(image) for image in scenes(100)])
    assert code not in {f.code for f in of_pixels(images)}


def test_few_images_have_no_spread_to_be_far_from():
    images = scenes(12)
    images[0] = blurred(images[0])
    images[1] = 0
    assert [(f.code, f.image_id) for f in of_pixels(images)] == [("IMG01", 2)]
    assert of_pixels(images[:0]) == []
    assert suspects.of_sizes(manifest(3), [1, 1, 900], [1, 1, 900]) == []


def test_plain_images_that_are_all_alike():
    assert of_pixels(np.full((30, 8, 8, 1), 120, np.uint8)) == []


def test_odd_sizes_and_shapes():
    rng = np.random.default_rng(0)
    width, height = rng.integers(600, 900, (2, 60))
    width[0], height[0] = 60, 50
    width[1], height[1] = 9000, 8000
    width[2], height[2] = 3000, 300
    found = suspects.of_sizes(manifest(60), width, height)
    assert [(f.code, f.image_id) for f in found] == [("IMG04", 2), ("IMG04", 0), ("IMG05", 4)] or [
        (f.code, f.image_id) for f in found
    ] == [("IMG04", 0), ("IMG04", 2), ("IMG05", 4)]
    assert "60x50 pixels, unusually few" in next(f.text for f in found if f.image_id == 0)
    assert "one side 10.0 times the other" in found[-1].text


def test_upright_and_lying_photographs_are_ordinary():
    lying = np.arange(100) % 5 > 0
    width, height = np.where(lying, 3000, 2000), np.where(lying, 2000, 3000)
    assert suspects.of_sizes(manifest(100), width, height) == []


def test_twins_with_two_labels_are_named_both():
    images = manifest(4).assign(label=["cat", "dog", "cat", "eel"])
    listed = pd.DataFrame(
        [
            ("near duplicate with another label", "1.jpg", "in one group with 0.jpg", "labelled"),
            ("duplicate with another label", "3.jpg", "in one group with elsewhere.jpg", ""),
            ("duplicate", "2.jpg", "in one group with 0.jpg", ""),
        ],
        columns=["what", "where", "done", "detail"],
    )
    found = suspects.across_classes(images, listed)
    assert [(f.code, f.source) for f in found] == [
        ("DUP01", "1.jpg"),
        ("DUP01", "0.jpg"),
        ("DUP01", "3.jpg"),
    ]
    assert found[0].text == "near duplicate of 0.jpg, which is labelled cat"
    assert found[2].text == "duplicate of elsewhere.jpg, which is labelled otherwise"


def test_an_image_that_is_in_two_pairs_of_twins_is_found_once():
    images = manifest(3).assign(label=["cat", "dog", "cow"])
    listed = pd.DataFrame(
        [
            ("near duplicate with another label", "1.jpg", "in one group with 0.jpg"),
            ("duplicate with another label", "2.jpg", "in one group with 0.jpg"),
            ("near duplicate with another label", "0.jpg", "in one group with 1.jpg"),
        ],
        columns=["what", "where", "done"],
    )
    found = suspects.across_classes(images, listed)
    assert [f.source for f in found] == ["1.jpg", "0.jpg", "2.jpg"]
    assert found[1].text == (
        "near duplicate of 1.jpg, which is labelled dog; duplicate of 2.jpg, which is labelled cow"
    )
