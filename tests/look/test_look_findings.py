"""Sheets of images of which something was found."""

import numpy as np

from cnnlab.look.findings import MOST, Seen, findings_figure
from tests.look.layout import nothing_collides, png, words

RNG = np.random.default_rng(0)


def seen(label="cat", note="0.12", shape=(8, 8, 1)):
    return Seen(RNG.integers(0, 256, shape, np.uint8), label, note)


def tiles(picture):
    return list(picture.figure.images)


def test_images_stand_above_their_class_and_what_was_measured():
    picture = findings_figure("IMG01 dark", "a note", [("", [seen(), seen("dog", "")])])
    assert {"IMG01 dark", "a note", "cat", "0.12", "dog"} <= set(words(picture))
    assert len(tiles(picture)) == 2
    assert picture.alt == "IMG01 dark: 2 images: cat (0.12), dog"
    nothing_collides(picture)


def test_of_many_images_the_first_are_drawn():
    picture = findings_figure("T", "n", [("", [seen(note=str(i)) for i in range(40)])])
    assert len(tiles(picture)) == MOST
    assert "40 images: cat (0), " in picture.alt and picture.alt.endswith("and 35 more")
    nothing_collides(picture)


def test_two_blocks_share_the_sheet():
    blocks = [("cat", [seen()] * 20), ("other classes", [seen("a very_long-label indeed")] * 20)]
    picture = findings_figure("T", "n", blocks)
    assert len(tiles(picture)) == MOST
    assert "cat, 20 images" in picture.alt and "; other classes, 20 images" in picture.alt
    nothing_collides(picture)


def test_no_image_is_a_sheet_too_and_bytes_are_the_same():
    assert png(findings_figure("T", "n", [("", [])]))
    blocks = [("", [seen(shape=(32, 20, 3)) for _ in range(MOST)])]
    one, two = (png(findings_figure("T", "n", blocks)) for _ in range(2))
    assert one == two and len(one) < 1_000_000
