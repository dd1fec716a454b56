"""Tiles and saving."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cnnlab.compare.metrics import METRICS
from cnnlab.look import (
    Case,
    Peaks,
    Picture,
    feature_figure,
    grad_cam_figure,
    kernel_figure,
    montage,
    overview_figure,
    peaks_figure,
    save,
)
from cnnlab.look.curves import Curve, curves_figure
from cnnlab.look.figure import fit, resize, wrapped


@given(
    n=st.integers(1, 12),
    size=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    columns=st.integers(1, 6),
    gutter=st.integers(0, 3),
    rgb=st.booleans(),
)
def test_montage_places_every_tile_and_nan_elsewhere(n, size, columns, gutter, rgb):
    (h, w), depth = size, (3,) if rgb else ()
    tiles = np.random.default_rng(0).random((n, h, w, *depth), np.float32)
    sheet = montage(tiles, columns, gutter)
    columns = min(columns, n)
    rows = -(-n // columns)
    assert sheet.shape[:2] == (rows * (h + gutter) - gutter, columns * (w + gutter) - gutter)
    for i, tile in enumerate(tiles):
        y, x = i // columns * (h + gutter), i % columns * (w + gutter)
        np.testing.assert_array_equal(sheet[y : y + h, x : x + w], tile)
    assert np.isfinite(sheet).sum() == tiles.size


@pytest.mark.parametrize(
    ("shape", "columns", "gutter"),
    [
        ((0, 2, 2), 1, 1),
        ((2, 2), 1, 1),
        ((2, 2, 2, 4), 1, 1),
        ((2, 2, 2), 0, 1),
        ((2, 2, 2), 1, -1),
    ],
)
def test_montage_refuses(shape, columns, gutter):
    with pytest.raises(ValueError, match=r"expected|at least"):
        montage(np.zeros(shape), columns, gutter)


def test_resize_repeats_pixels_or_takes_means():
    tile = np.array([[[1, 2], [3, 4]]])
    np.testing.assert_array_equal(resize(tile, 4, 2)[0], [[1, 2], [1, 2], [3, 4], [3, 4]])
    np.testing.assert_array_equal(resize(tile, 1, 1)[0], [[2.5]])
    np.testing.assert_array_equal(resize(np.arange(5.0).reshape(1, 1, 5), 1, 2)[0], [[0.5, 3]])


@settings(max_examples=200)
@given(
    count=st.integers(1, 128),
    shape=st.tuples(st.integers(4, 64), st.integers(4, 64)),
    room=st.tuples(st.integers(150, 600), st.integers(150, 600)),
)
def test_fit_stays_inside_its_room(count, shape, room):
    grid = fit(count, shape, room, 3)
    rows = -(-count // grid.columns)
    assert rows * (grid.height + 3) - 3 <= room[0]
    assert grid.columns * (grid.width + 3) - 3 <= room[1]


@given(st.text("ab _-", max_size=40), st.integers(1, 12), st.integers(1, 3))
def test_wrapped_loses_nothing(string, characters, most):
    lines = wrapped(string, characters, most)
    assert "".join(lines) == string
    assert len(lines) <= most


def pictures() -> dict[str, Picture]:
    rng = np.random.default_rng(0)
    noise = np.maximum(rng.normal(size=(2, 16, 16, 64)), 0)
    peaks, many = Peaks.of(noise), Peaks.of(np.maximum(rng.normal(size=(12, 4, 4, 64)), 0))
    images = rng.integers(0, 256, (12, 40, 40, 3), np.uint8)
    long = "a name that is much longer than any figure of this width could hold at its size " * 2
    variants = {f"variant {i}": noise for i in range(12)}
    layers = {f"{i} {long}": noise for i in range(30)}
    first, deep = rng.normal(size=(7, 7, 3, 64)), rng.normal(size=(3, 3, 64, 128))
    heat = rng.random((5, 5))
    right = [Case(image, long, long, 0.99, heat) for image in images[:6]]
    wrong = [Case(image, long, "no", 0.99, heat, heat) for image in images[6:]]
    curve = Curve(np.arange(1, 61), 0.5 + rng.random((15, 60)) / 2, 1 - rng.random((15, 60)) / 9)
    curves = {f"{i} {long}": curve for i in range(30)} | {"plain": curve}
    return {
        "features": feature_figure(variants, dict.fromkeys(variants, peaks), "c", images[0], long),
        "overview": overview_figure(layers, dict.fromkeys(layers, peaks), images[0], long, long),
        "grey": kernel_figure(rng.normal(size=(3, 3, 1, 200)), "c", long),
        "rgb": kernel_figure(first, "c", long),
        "deep": kernel_figure(deep, long, long),
        "grey, two": kernel_figure(
            noise[:1, :3].reshape(3, 4, 1, -1), "c", long, noise[:1, :3].reshape(3, 4, 1, -1)
        ),
        "rgb, two": kernel_figure(first, "c", long, -first),
        "deep, two": kernel_figure(deep, long, long, deep / 2),
        "one, two": kernel_figure(np.ones((3, 3, 1, 1)), "c", "v", np.ones((3, 3, 1, 1))),
        "peaks": peaks_figure(many, (-3, 6, -3, 6), long, long, images, [long] * 12, long),
        "grad_cam": grad_cam_figure([*right, *wrong], long, long, 0.5, long),
        "accuracy": curves_figure(long, METRICS["accuracy"], curves, "plain"),
        "nll": curves_figure(long, METRICS["nll"], dict(list(curves.items())[:2]), None),
    }


def test_files_are_identical_small_and_900_pixels_wide_and_nothing_is_clipped(tmp_path):
    again = pictures()
    for name, picture in pictures().items():
        first, second = tmp_path / f"{name}.png", tmp_path / f"{name}_again.png"
        save(picture, first)
        save(again[name], second)
        save(again[name], second)
        assert first.read_bytes() == second.read_bytes(), name
        assert first.stat().st_size < 1_000_000, name
        with Image.open(first) as image:
            assert image.width == 900, name
            assert "Software" not in image.info, name
            pixels = np.asarray(image.convert("L"))
        edges = [pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]]
        assert all((edge == 255).all() for edge in edges), f"{name}: ink at the edge"
        boxes = [text.get_window_extent() for text in picture.figure.texts if text.get_text()]
        for i, box in enumerate(boxes):
            assert box.x0 >= 0 and box.x1 <= 900 and box.y0 >= 0, name
            for other in boxes[:i]:
                assert not box.padded(-2).overlaps(other.padded(-2)), name


def test_the_users_style_does_not_matter(tmp_path):
    import matplotlib

    def draw(name: str) -> bytes:
        picture = kernel_figure(np.eye(3)[..., None, None], "c", "v")
        save(picture, tmp_path / name)
        return (tmp_path / name).read_bytes()

    plain = draw("plain.png")
    with matplotlib.rc_context({"savefig.bbox": "tight", "font.size": 30, "text.color": "red"}):
        assert draw("other.png") == plain


def test_the_package_imports_without_tensorflow_keras_or_pyplot():
    code = (
        "import sys, cnnlab.look; "
        "print({'tensorflow', 'keras', 'matplotlib.pyplot'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
