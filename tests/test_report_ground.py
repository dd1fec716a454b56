"""Which parts of figures are pictures: a dark page leaves those alone, and turns the rest."""

import io

import numpy as np
import pytest
from PIL import Image

from cnnlab.look.figure import (
    Grid,
    Picture,
    Scale,
    blank,
    colour_bar,
    draw_tiles,
    house_style,
    rule,
    save,
    symmetric,
    write,
)
from cnnlab.report.ground import outline, pictures

GRID = Grid(4, 30, 40)


def drawn(tiles, scale=None, framed=False, more=lambda figure: None):
    """A figure with words and 8 tiles, and the boxes of these."""
    with house_style():
        figure = blank(300)
        write(figure, 24, 14, "What (8) jumping IIlW—@% mean: Übergrößen", 10.5, weight="bold")
        write(figure, 24, 44, "a row: __ || ==== ........ −−−− Ill")
        rule(figure, 70, 24, 876)
        more(figure)
        draw_tiles(figure, 100, 80, tiles, GRID, 3, scale, framed=framed)
        file = io.BytesIO()
        save(Picture(figure, "words"), file)
    places = [(100 + 43 * (i % 4), 80 + 33 * (i // 4)) for i in range(8)]
    return file, {(x, y, x + 40, y + 30) for x, y in places}


def pixels(file):
    return np.asarray(Image.open(file).convert("RGB"))


def noise(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 0.9, shape)


def test_pictures_are_told_from_words():
    file, boxes = drawn(noise(8, 6, 8, 3))
    assert set(pictures(pixels(file))) == boxes


def test_maps_of_values_keep_their_scale():
    def more(figure):
        colour_bar(figure, 700, 100, 90, Scale(None, "viridis"), "of its max")

    file, boxes = drawn(noise(8, 6, 8), symmetric(1.0), framed=True, more=more)
    found = set(pictures(pixels(file)))
    (bar,) = {box for box in found if box[0] > 600}
    assert bar == pytest.approx((700, 100, 714, 190), abs=1)
    (sheet,) = found - {bar}  # their frames touch
    corners = np.array(sorted(boxes))
    assert sheet == pytest.approx((*corners.min(0)[:2], *corners.max(0)[2:]), abs=2)


def test_patches_of_a_legend_keep_their_colours():
    def more(figure):
        draw_tiles(figure, 500, 80, noise(1, 1, 1, 3), Grid(1, 10, 10), 0)

    file, boxes = drawn(noise(8, 6, 8, 3), more=more)
    assert set(pictures(pixels(file))) == boxes | {(500, 80, 510, 90)}


def test_a_map_of_zeros_in_a_frame_is_a_picture():
    (sheet,) = pictures(pixels(drawn(np.zeros((8, 6, 8)), symmetric(1.0), framed=True)[0]))
    assert sheet == pytest.approx((100, 80, 269, 143), abs=2)


def test_of_a_picture_on_white_what_is_in_it_stays():
    tiles = np.ones((8, 30, 40, 3))
    tiles[:, 3:28, 5:35] = noise(8, 25, 30, 3)
    file, boxes = drawn(tiles)
    assert set(pictures(pixels(file))) == {(x + 5, y + 3, x + 35, y + 28) for x, y, *_ in boxes}


def test_the_outline_has_a_hole_for_each(tmp_path):
    file, boxes = drawn(noise(8, 6, 8, 3))
    path = tmp_path / "figure.png"
    path.write_bytes(file.getvalue())
    text = outline(path)
    assert text.startswith("polygon(evenodd,-1% -1%,101% -1%,")
    assert text.count(",-1% -1%") == 2 + len(boxes)
    x, y, u, v = min(boxes)
    width, height = Image.open(path).size
    for across, down in ((x, y), (u, v)):
        assert f"{100 * across / width:.2f}% {100 * down / height:.2f}%" in text
    Image.new("RGB", (90, 60), "white").save(path)
    assert outline(path) == "polygon(evenodd,-1% -1%,101% -1%,101% 101%,-1% 101%,-1% -1%)"
