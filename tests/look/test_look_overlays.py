"""Masks in colours, over their image, and on a sheet."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from cnnlab.look.contours import PALETTE, colour_of
from cnnlab.look.overlays import COLUMNS, MOST, Masked, indexed, overlay, overlays_figure
from cnnlab.overlap import VOID
from tests.look.layout import nothing_collides, png, words

CLASSES = ["background", "cat", "dog"]


def rgb(number):
    return [round(255 * part) for part in to_rgb(colour_of(number))]


def square(number=1, side=32):
    mask = np.zeros((side, side), np.uint8)
    mask[8:24, 8:24] = number
    return mask


def test_an_indexed_mask_keeps_its_numbers_and_has_the_colours_of_figures(tmp_path):
    mask = square(2)
    mask[0] = VOID
    indexed(mask).save(tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.asarray(image), mask)
        colours = np.asarray(image.convert("RGB"))
    assert colours[16, 16].tolist() == rgb(2) and colours[30, 30].tolist() == [0, 0, 0]
    assert colours[0, 0].tolist() == [204, 204, 204]
    assert np.asarray(indexed(np.full((2, 2), 12, np.uint8)).convert("RGB"))[0, 0].tolist() == rgb(
        12 - len(PALETTE)
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_an_overlay_shows_the_image_the_contour_and_a_tint(channels):
    image = np.full((32, 32, channels), 100, np.uint8)
    drawn = overlay(image, square(1))
    assert drawn.shape == (384, 384, 3) and drawn.dtype == np.uint8  # 12 times as large
    assert (drawn[:90] == 100).all()  # beside the square
    edge, inside = drawn[96, 200], drawn[200, 200].astype(int)
    assert edge.tolist() == rgb(1)
    toward = np.array(rgb(1)) - 100
    assert (np.sign(inside - 100) == np.sign(toward)).all()
    assert (np.abs(inside - 100) < np.abs(toward)).all()


def test_a_mask_may_be_larger_than_what_is_shown():
    image = np.zeros((400, 500, 3), np.uint8)
    small = square(1)[4:, :]  # 28 x 32
    large = small.repeat(100, axis=0).repeat(50, axis=1)
    np.testing.assert_array_equal(overlay(image, small), overlay(image, large))


def test_neighbours_of_other_classes_have_a_line_each_and_void_is_grey():
    mask = np.ones((400, 400), np.uint8)
    mask[:, 200:] = 2
    mask[300:] = VOID
    drawn = overlay(np.zeros((400, 400, 3), np.uint8), mask)
    assert drawn[100, 199].tolist() == rgb(1) and drawn[100, 200].tolist() == rgb(2)
    assert len(np.unique(drawn[350:])) == 1 and 100 < drawn[350, 350, 0] < 204


def test_a_sheet_names_files_and_classes():
    some = [
        Masked(
            np.full((32, 32, 1), 50, np.uint8), square(1 + i % 2), f"{i}.png", CLASSES[1 + i % 2]
        )
        for i in range(COLUMNS + 1)
    ]
    picture = overlays_figure("small: 7 images", "as the network sees them", some, CLASSES)
    said = words(picture)
    assert {"cat", "dog", "0.png", "6.png"} <= set(said) and nothing_collides(picture)
    assert picture.alt == "small: 7 images: 7 images with predicted contours of cat; dog"
    assert png(picture) == png(overlays_figure("small: 7 images", said[1], some, CLASSES))
    with pytest.raises(ValueError, match="no image to show"):
        overlays_figure("none", "", [], CLASSES)
    with pytest.raises(ValueError, match="a mask has shape"):
        overlays_figure("odd", "", [Masked(some[0].image, np.zeros((3, 3)), "", "")], CLASSES)
    assert MOST % COLUMNS == 0
