"""Which images changed sides."""

import numpy as np
import pytest

from cnnlab.look.figure import GREY, INK
from cnnlab.look.sides import MOST, Changed, sides_figure
from cnnlab.look.thumbnails import TILE
from tests.look.layout import nothing_collides, png, words

RNG = np.random.default_rng(0)


def changed(label="cat", mistaken_for="dog", times=5, of=6, shape=(8, 8, 1), level=None):
    image = RNG.integers(0, 256, shape, np.uint8)
    if level is not None:
        image[:] = level
    return Changed(image, label, mistaken_for, times, of)


def draw(gained, lost):
    return sides_figure("Sides", "without dropout", "with it", gained, lost)


def tiles(picture):
    """What is drawn of each image, 0..1, (height, width, 3)."""
    return [image.get_array() for image in picture.figure.images]


def test_two_blocks_say_which_images_changed_to_which_side():
    picture = draw([changed(), changed("eel", "cat", 1)], [changed("dog", "eel", 3, 3)])
    texts = words(picture)
    assert "wrong without dropout, right with it: 2 images" in texts
    assert "right without dropout, wrong with it: 1 image" in texts
    for label, mistake, count in (("cat", "dog", "5 of 6"), ("dog", "eel", "3 of 3")):
        assert {label, f"taken for {mistake}", count} <= set(texts)
    assert len(tiles(picture)) == 3
    assert picture.alt == (
        "Sides; wrong without dropout, right with it: 2 images: cat taken for dog (5 of 6), "
        "eel taken for cat (1 of 6). "
        "right without dropout, wrong with it: 1 image: dog taken for eel (3 of 3)."
    )
    colours = {text.get_text(): text.get_color() for text in picture.figure.texts}
    assert colours["cat"] == INK and colours["taken for dog"] == GREY
    nothing_collides(picture)


def test_an_empty_block_says_none():
    picture = draw([], [changed()])
    assert "wrong without dropout, right with it: none" in words(picture)
    assert "right with it: none. right without" in picture.alt
    both = draw([], [])
    assert png(both) and both.alt.count(": none") == 2
    nothing_collides(both)


def test_of_many_images_the_first_are_drawn_and_the_number_is_said():
    gained = [changed(level=10 * i, times=30 - i, of=30) for i in range(20)]
    picture = draw(gained, [])
    assert len(tiles(picture)) == MOST
    for i, tile in enumerate(tiles(picture)):
        np.testing.assert_allclose(tile, 10 * i / 255, atol=1e-6)
    text = f"wrong without dropout, right with it: 20 images, the {MOST} most consistent"
    assert text in words(picture)
    assert "20 images: cat taken for dog (30 of 30)" in picture.alt
    assert "and 15 more. right" in picture.alt
    nothing_collides(picture)


def test_small_images_are_enlarged_with_hard_edges():
    one = changed()
    (tile,) = tiles(draw([one], []))
    assert tile.shape == (TILE // 8 * 8, TILE // 8 * 8, 3)
    expected = np.kron(one.image[..., 0], np.ones((TILE // 8, TILE // 8))) / 255
    np.testing.assert_allclose(tile[..., 0], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(224, 224, 3), (300, 100, 3), (100, 300, 1), (640, 480)])
def test_large_images_fit_their_cell_and_keep_their_shape(shape):
    (tile,) = tiles(draw([], [changed(shape=shape)]))
    assert max(tile.shape) == TILE
    assert tile.shape[0] / tile.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.03)


def test_long_names_do_not_run_into_each_other():
    label, mistake = "yellow_lady_slipper_orchid", "great_spangled_fritillary_butterfly"
    mixed = [changed(), changed(label, mistake), changed("Staffordshire bull terrier", label)] * 4
    picture = draw(mixed, mixed[:7])
    nothing_collides(picture)
    assert {"slipper_orchid", "butterfly"} <= set(words(picture))
    assert f"{label} taken for {mistake}" in picture.alt


def test_the_same_images_make_the_same_bytes_in_a_small_file():
    block = [changed(shape=(32, 32, 3)) for _ in range(MOST)]
    one, two = (png(draw(block, block)) for _ in range(2))
    assert one == two and len(one) < 1_000_000
