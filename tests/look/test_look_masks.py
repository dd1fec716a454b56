"""Masks as contours on images, IoU by class, and where a network looks for a region."""

import itertools
import re

import keras
import numpy as np
import pytest
from keras import layers as k
from matplotlib.colors import to_hex, to_rgb

from cnnlab.look import (
    class_iou_figure,
    extremes_figure,
    masks_figure,
    pixels_figure,
    region_cam,
    region_figure,
    targets_figure,
)
from cnnlab.look.contours import PALETTE, colour_of, contours, entries
from cnnlab.look.masks import COLUMNS, MOST, MOST_TARGETS, PANELS, VARIANTS
from cnnlab.look.sizes import COLOURS
from cnnlab.overlap import VOID
from tests.look.layout import nothing_collides, png, words

RNG = np.random.default_rng(0)
CLASSES = ["background", "cat", "dog"]
MANY = ["background", *(f"class {i}" for i in range(1, 31))]
LETTERS = 200  # of an alt text


def image(shape=(16, 16, 3)):
    return RNG.integers(0, 256, shape, np.uint8)


def square(number=1, rows=(4, 8), columns=(2, 12), shape=(16, 16)):
    mask = np.zeros(shape, np.uint8)
    mask[slice(*rows), slice(*columns)] = number
    return mask


def tiles(picture):
    """Axes that hold an image, in the order in which they were drawn."""
    return [axes for axes in picture.figure.axes if axes.images and not axes.axison]


def outlines(axes, kind="solid"):
    """Colour -> corners of all contours on an image, but for what they lie on."""
    drawn = [lines for lines in axes.collections if lines.get_gid() == kind]
    return {
        to_hex(lines.get_color()[0]).upper(): np.concatenate(lines.get_segments())
        for lines in drawn
        if lines.get_linewidth()[0] < 1
    }


def area(path):
    x, y = path.T
    return np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2


def test_a_contour_runs_along_the_edges_of_pixels():
    (path,) = contours(square() == 1)
    assert path.tolist() == [[2, 4], [12, 4], [12, 8], [2, 8], [2, 4]]
    (path,) = contours(square() == 1, scale=(10, 5), inset=1)
    assert path.tolist() == [[21, 21], [119, 21], [119, 39], [21, 39], [21, 21]]
    (path,) = contours(square() == 1, scale=(10, 5), inset=-1)
    assert path.tolist() == [[19, 19], [121, 19], [121, 41], [19, 41], [19, 19]]


def test_holes_corners_and_borders_have_contours():
    ring = square(1, (0, 4), (0, 4), (4, 4)) == 1
    ring[1:3, 1:3] = False
    outer, inner = contours(ring)
    assert (area(outer), area(inner)) == (16, -4)
    assert [c.tolist() for c in contours(np.eye(2, dtype=bool))] == [
        [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]],
        [[1, 1], [2, 1], [2, 2], [1, 2], [1, 1]],
    ]
    assert contours(np.zeros((3, 3), bool)) == []


def test_contours_enclose_as_many_pixels_as_the_region_has():
    for share in (0.1, 0.5, 0.9):
        region = RNG.random((23, 17)) < share
        paths = contours(region)
        assert sum(map(area, paths)) == region.sum()  # Gauss's shoelace formula
        edges = sum(np.abs(np.diff(path, axis=0)).sum() for path in paths)
        padded = np.pad(region, 1).astype(int)
        assert edges == sum(np.abs(np.diff(padded, axis=a)).sum() for a in (0, 1))


def oklab(colour, seen_as):
    """Lightness and hue as colours are seen (Ottosson 2020), times 100."""
    values = np.array(to_rgb(colour))
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return 100 * lab @ np.cbrt(cones @ np.clip(seen_as @ linear, 0, 1))


SEEN = {  # Machado et al. 2009, severity 1
    "normal": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
}


@pytest.mark.parametrize("eyes", SEEN)
def test_colours_of_classes_differ_for_all_eyes(eyes):
    seen = [oklab(colour, SEEN[eyes]) for colour in PALETTE]
    assert len(PALETTE) == 10
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 7.5


def test_a_class_has_the_same_colour_in_every_figure():
    assert [colour_of(i) for i in (1, 10, 11)] == [PALETTE[0], PALETTE[9], PALETTE[0]]
    with pytest.raises(ValueError, match="class 0 has no colour"):
        colour_of(0)
    for classes in (CLASSES, MANY):
        picture = masks_figure("x", [(image(), square(2), {}, "a")], classes)
        (axes,) = tiles(picture)
        assert set(outlines(axes)) == {colour_of(2)}


def test_the_legend_names_all_of_few_classes_and_of_many_those_that_are_shown():
    assert list(entries([square(1)], CLASSES).values()) == ["cat", "dog"]
    shown = entries([square(3), square(13), square(25)], MANY)
    assert shown == {colour_of(3): "class 3 / class 13", colour_of(5): "class 25"}


def row(variants, caption="a.png, IoU 0.50", shape=(16, 16, 3), truth=None):
    truth = square(1, shape=shape[:2]) if truth is None else truth
    return image(shape), truth, {v: square(2, shape=shape[:2]) for v in variants}, caption


def test_an_image_has_its_true_contours_and_those_of_each_variant():
    rows = [row(("base", "drop"), "a.png, IoU 0.50"), row(("base", "drop"), "b.png, IoU 0.25")]
    picture = masks_figure("Masks", rows, CLASSES)
    assert len(tiles(picture)) == 6
    true, base, _ = tiles(picture)[:3]
    assert set(outlines(true)) == {colour_of(1)} and set(outlines(base)) == {colour_of(2)}
    wide = true.get_window_extent().width
    path = outlines(true)[colour_of(1)] * 16 / wide  # in pixels of the mask
    np.testing.assert_allclose(path.min(0), [2, 4], atol=0.2)
    np.testing.assert_allclose(path.max(0), [12, 8], atol=0.2)
    lefts = [axes.get_window_extent().x0 for axes in tiles(picture)]
    assert lefts[:3] == lefts[3:] and lefts[0] < lefts[1] < lefts[2]
    texts = words(picture)
    for text in ("true", "base", "drop", "cat", "dog", "a.png, IoU 0.50"):
        assert texts.count(text) == 1
    assert "void: not evaluated" not in texts
    assert picture.alt == (
        "Masks: 2 images, true contours and those by 2 variants: a.png, IoU 0.50; b.png, IoU 0.25."
    )


def test_void_is_hatched_in_all_columns():
    truth = square()
    truth[12:, 12:] = VOID
    grey = np.full((16, 16, 1), 128, np.uint8)
    picture = masks_figure("x", [(grey, truth, {"v": square(2)}, "a")], CLASSES)
    assert "void: not evaluated" in words(picture)
    for axes in tiles(picture):
        pixels = axes.images[0].get_array()[..., 0]
        size = len(pixels)
        corner = pixels[size * 12 // 16 :, size * 12 // 16 :]
        assert len(np.unique(corner)) == 2  # stripes
        assert np.unique(pixels[: size // 2]).size == 1
    assert set(outlines(tiles(picture)[0])) == {colour_of(1)}  # void has no contour


def test_many_variants_take_several_lines():
    names = [f"v{i}" for i in range(COLUMNS + 2)]
    picture = masks_figure("x", [row(names), row(names)], CLASSES)
    assert len(tiles(picture)) == 2 * (1 + len(names))
    assert words(picture).count("v7") == 2 and words(picture).count("true") == 2
    places = [tuple(axes.get_window_extent().min) for axes in tiles(picture)]
    assert len(set(places)) == len(places)
    nothing_collides(picture)


@pytest.mark.parametrize("shape", [(8, 8, 1), (64, 40, 3), (300, 500, 3)])
@pytest.mark.parametrize("variants", [1, 3, 5])
def test_masks_of_any_size_fit(shape, variants):
    names = ["all_but_label_smoothing", "b", "c", "d", "e"][:variants]
    picture = masks_figure("A title", [row(names, shape=shape)] * 2, CLASSES)
    nothing_collides(picture)
    ends = [axes.get_window_extent().x1 for axes in tiles(picture)]
    assert max(ends) <= picture.figure.bbox.width - 20
    content = png(picture)
    assert len(content) < 1_000_000 and len(picture.alt) <= LETTERS


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="no image"):
        masks_figure("x", [], CLASSES)
    with pytest.raises(ValueError, match=r"shape \(8, 8\); its image has \(16, 16, 3\)"):
        masks_figure("x", [(image(), np.zeros((8, 8), np.uint8), {}, "")], CLASSES)
    with pytest.raises(ValueError, match=r"holds \[7\]; allowed are 0 to 2, and 255"):
        masks_figure("x", [(image(), square(7), {}, "")], CLASSES)
    with pytest.raises(ValueError, match=r"variants \['a'\] and \['b'\]"):
        masks_figure("x", [row("a"), row("b")], CLASSES)


def extremes(n):
    return [(image(), square(1), square(1), f"{i}.png, IoU 0.{i}0") for i in range(n)]


def test_true_contours_are_solid_and_predicted_ones_dashed():
    best = [(image(), square(1), square(2), "good.png, IoU 0.90")]
    picture = extremes_figure("Ends", best, extremes(2), CLASSES)
    first, second, _ = tiles(picture)
    assert set(outlines(first)) == {colour_of(1)}
    assert set(outlines(first, "dashed")) == {colour_of(2)}
    # Where both are the same, the dashed one runs outside of the solid one: both can be seen.
    solid, dashed = outlines(second)[colour_of(1)], outlines(second, "dashed")[colour_of(1)]
    assert (dashed.min(0) < solid.min(0)).all() and (dashed.max(0) > solid.max(0)).all()
    styles = {
        lines.get_gid(): lines.get_linestyle()[0][1]
        for lines in second.collections
        if lines.get_linewidth()[0] < 1
    }
    assert styles["solid"] is None and len(styles["dashed"]) == 2
    for text in ("best", "worst", "good.png, IoU 0.90", "0.png, IoU 0.00"):
        assert text in words(picture)
    assert picture.alt == (
        "Ends: true and predicted contours: best: good.png, IoU 0.90; "
        "worst: 0.png, IoU 0.00, 1.png, IoU 0.10."
    )


@pytest.mark.parametrize(("best", "worst"), [(0, 1), (1, 0), (4, 4), (6, 9)])
def test_any_number_of_extremes_fits(best, worst):
    picture = extremes_figure("Ends", extremes(best), extremes(worst), CLASSES)
    assert len(tiles(picture)) == best + worst
    assert ("best" in words(picture)) == (best > 0)
    nothing_collides(picture)
    assert len(picture.alt) <= LETTERS
    with pytest.raises(ValueError, match="no image"):
        extremes_figure("Ends", [], [], CLASSES)


def test_targets_are_coloured_by_class():
    black = np.zeros((16, 16, 1), np.uint8)
    picture = targets_figure("Targets", [black], [square(2)], CLASSES)
    plain, masked = tiles(picture)
    assert not plain.images[0].get_array().any() and not outlines(plain)
    pixels = masked.images[0].get_array()
    scale = len(pixels) // 16
    inside = pixels[6 * scale, 6 * scale]
    np.testing.assert_allclose(inside, np.array(to_rgb(colour_of(2))) / 2, atol=1e-6)
    assert not pixels[10 * scale].any()
    assert set(outlines(masked)) == {colour_of(2)}
    assert picture.alt == (
        "Targets: 1 image with masks; share of evaluated pixels: "
        "background 84.4 %; cat 0.0 %; dog 15.6 %."
    )  # 40 of 256 pixels


def test_of_many_targets_the_first_are_drawn():
    n = MOST_TARGETS + 3
    images, masks = np.stack([image()] * n), np.stack([square(1 + i % 2) for i in range(n)])
    picture = targets_figure("Targets", images, masks, CLASSES)
    assert len(tiles(picture)) == 2 * MOST_TARGETS
    assert any("24 of 27 images" in text for text in words(picture))
    floats = targets_figure("Targets", images[:5] / 255, masks[:5], CLASSES)
    assert len(tiles(floats)) == 10
    nothing_collides(floats)
    with pytest.raises(ValueError, match="27 images, but 1 masks"):
        targets_figure("x", images, masks[:1], CLASSES)


def ious(classes, variants, **more):
    rows = []
    for i, (name, variant) in enumerate(itertools.product(classes, variants)):
        value = 0.3 + 0.5 * ((7 * i) % 11) / 11
        rows.append(
            {"class": name, "name": variant, "iou": value, "low": value - 0.1, "high": value + 0.1}
            | more
        )
    return rows


def dots(axes):
    """(x, colour) of each dot of a panel, from the top."""
    points = [line for line in axes.lines if line.get_marker() not in ("None", None, "")]
    points.sort(key=lambda line: line.get_ydata()[0])
    return [(round(p.get_xdata()[0], 6), p.get_color()) for p in points]


def panels(picture):
    return [axes for axes in picture.figure.axes if axes.axison]


def test_each_class_has_a_dot_and_an_interval_for_each_variant():
    rows = ious(CLASSES, ("base", "drop"))
    picture = class_iou_figure("IoU", list(reversed(rows)), CLASSES)
    (axes,) = panels(picture)
    by_class = sorted(rows, key=lambda r: (CLASSES.index(r["class"]), r["name"] == "base"))
    assert [x for x, _ in dots(axes)] == [round(100 * r["iou"], 6) for r in by_class]
    assert {colour for _, colour in dots(axes)} == set(COLOURS[:2])
    ends = [np.round(line.get_xdata(), 6).tolist() for line in axes.lines]
    assert all([round(100 * r["low"], 6), round(100 * r["high"], 6)] in ends for r in rows)
    for text in (*CLASSES, "base", "drop"):
        assert words(picture).count(text) == 1
    low, high = (f(rows, key=lambda r: r["iou"]) for f in (min, max))
    assert picture.alt == (
        f"IoU: IoU of 3 classes by 2 variants, %: lowest {low['class']} by {low['name']} "
        f"30.0 [20.0, 40.0]; highest {high['class']} by {high['name']} 75.5 [65.5, 85.5]."
    )


def test_what_is_not_there_is_not_drawn():
    rows = ious(("cat", "dog"), ("base",))
    rows[0] |= {"low": np.nan, "high": np.nan}
    rows[1] |= {"iou": np.nan, "low": np.nan, "high": np.nan}
    picture = class_iou_figure("IoU", rows, CLASSES)
    (axes,) = panels(picture)
    assert len(dots(axes)) == 1 and "background" not in words(picture)
    assert "nan" not in picture.alt
    nothing = class_iou_figure("IoU", [rows[1]], CLASSES)
    assert png(nothing) and "nan" not in nothing.alt
    with pytest.raises(ValueError, match="rows of \\['cow'\\]"):
        class_iou_figure("IoU", ious(("cow",), ("a",)), CLASSES)


@pytest.mark.parametrize("variants", [1, 6, 14, 25])
@pytest.mark.parametrize("length", [1, 40])
def test_any_number_of_variants_and_names_of_any_length_fit(variants, length):
    classes = [(f"{i} " + "long name " * 4)[:length].strip() for i in range(9)]
    names = [f"variant_{i}" for i in range(variants)]
    picture = class_iou_figure("IoU", ious(classes, names), classes)
    nothing_collides(picture)
    drawn = min(variants, VARIANTS * PANELS)
    assert len(panels(picture)) == -(-drawn // VARIANTS)
    assert sum(len(dots(axes)) for axes in panels(picture)) == 9 * drawn
    first = any("the first 18 of 25 variants" in text for text in words(picture))
    assert first == (variants == 25)


def test_of_many_classes_those_are_drawn_that_differ_most():
    rows = ious(MANY, ("a", "b"), iou=0.5)
    rows[2 * 28]["iou"] = 0.9  # of class 28 by a
    for i in range(MOST - 1):
        rows[2 * i]["iou"] = 0.6
    picture = class_iou_figure("IoU", rows, MANY)
    shown = [text for text in words(picture) if text in MANY]
    assert shown == [*MANY[: MOST - 1], "class 28"]
    assert "24 of 31 classes: those in which variants differ most" in words(picture)
    one = ious(MANY, ("a",), iou=0.5)
    one[30]["iou"] = 0.1
    lowest = words(class_iou_figure("IoU", one, MANY))
    assert "class 30" in lowest and "24 of 31 classes: those with the lowest IoU" in lowest


def test_pixels_stand_at_their_share():
    counts = {"background": 0.9, "cat": 0.099, "dog": 0.001, "eel": 0.0}
    picture = pixels_figure("Pixels", counts)
    (axes,) = panels(picture)
    points = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(round(p.get_xdata()[0], 9), p.get_ydata()[0]) for p in points] == [
        (90, 0.5),
        (9.9, 1.5),
        (0.1, 2.5),
    ]
    assert axes.get_xscale() == "log" and axes.get_xlim()[0] < 0.1
    for text in ("90.0 %", "9.9 %", "0.1 %", "none"):
        assert text in words(picture)
    assert picture.alt == (
        "Pixels: share of pixels, largest first: "
        "background 90.0 %; cat 9.9 %; dog 0.1 %; eel 0.0 %."
    )
    nothing_collides(picture)
    (axes,) = panels(pixels_figure("Pixels", {"background": 0.7, "cat": 0.3}))
    assert axes.get_xscale() == "linear" and axes.get_xlim() == (0, 100)


def test_of_many_classes_the_rarest_and_the_most_frequent_are_drawn():
    counts = {name: (i + 1) / 1000 for i, name in enumerate(MANY)}
    picture = pixels_figure("Pixels", counts)
    shown = [text for text in words(picture) if text in MANY]
    assert shown == [*MANY[: MOST // 2], *MANY[-MOST // 2 :]]
    assert len(picture.alt) <= LETTERS
    for wrong in ({}, {"cat": 1.5}, {"cat": float("nan")}):
        with pytest.raises(ValueError, match="Pixels"):
            pixels_figure("Pixels", wrong)


def by_hand():
    """Maps that are the two channels of the image; the logit of class 1 of a pixel is the sum of
    the first in the 3 x 3 pixels around it, that of class 2 of the second, that of class 0 minus
    the first."""
    inputs = keras.Input((8, 10, 2))
    x = k.Conv2D(2, 1, use_bias=False, name="evidence")(inputs)
    logits = k.Conv2D(3, 3, padding="same", use_bias=False, name="logits")(x)
    model = keras.Model(inputs, logits, name="by_hand")
    model.get_layer("evidence").set_weights([np.eye(2).reshape(1, 1, 2, 2)])
    weights = np.zeros((3, 3, 2, 3))
    weights[..., 0, 1], weights[..., 1, 2], weights[..., 0, 0] = 1, 1, -1
    model.get_layer("logits").set_weights([weights])
    return model


def scene():
    """A bright spot in each channel, and the region around the first."""
    pixels = np.zeros((8, 10, 2), np.float32)
    pixels[3, 2, 0], pixels[5, 8, 1] = 4, 2
    region = np.zeros((8, 10), bool)
    region[2:4, 1:4] = True
    return pixels, region


def test_what_speaks_for_a_region_is_where_its_evidence_is():
    pixels, region = scene()
    heat = region_cam(by_hand(), "evidence", pixels, region, 1)
    # By hand: each of the region's pixels has 9 neighbours of gradient 1, over 80 pixels of a map.
    assert heat.shape == (8, 10) and heat.dtype == np.float32
    np.testing.assert_allclose(heat, 9 / 80 * pixels[..., 0], rtol=1e-5)
    other = region_cam(by_hand(), "evidence", pixels, region, 2)
    np.testing.assert_allclose(other, 9 / 80 * pixels[..., 1], rtol=1e-5)
    assert not region_cam(by_hand(), "evidence", pixels, region, 0).any()  # it speaks against


def test_only_the_region_counts():
    pixels, _ = scene()
    corner = np.zeros((8, 10), bool)
    corner[0, 0] = True  # has 4 neighbours, with itself
    heat = region_cam(by_hand(), "evidence", pixels, corner, 1)
    np.testing.assert_allclose(heat, 4 / 80 * pixels[..., 0], rtol=1e-5)
    both = corner.copy()
    both[4, 4] = True
    mean = region_cam(by_hand(), "evidence", pixels, both, 1)
    np.testing.assert_allclose(mean, (4 + 9) / 2 / 80 * pixels[..., 0], rtol=1e-5)


def test_small_maps_are_enlarged_and_a_frozen_network_gives_the_same():
    keras.utils.set_random_seed(1)
    inputs = keras.Input((8, 8, 1))
    x = k.ReLU()(k.Conv2D(4, 3, strides=2, padding="same", name="down")(inputs))
    x = k.UpSampling2D(2)(x)
    model = keras.Model(inputs, k.Conv2D(2, 1, name="logits")(x))
    pixels, region = image((8, 8, 1)), square(1, (2, 5), (2, 5), (8, 8)) == 1
    heat = region_cam(model, "down", pixels, region, 1)
    assert heat.shape == (8, 8) and heat.min() >= 0
    model.trainable = False
    np.testing.assert_array_equal(region_cam(model, "down", pixels, region, 1), heat)


def test_regions_and_networks_that_do_not_fit_are_refused():
    pixels, region = scene()
    with pytest.raises(ValueError, match="a region of 0 pixels"):
        region_cam(by_hand(), "evidence", pixels, np.zeros_like(region), 1)
    with pytest.raises(ValueError, match="has no maps of a layer 'nothing'"):
        region_cam(by_hand(), "nothing", pixels, region, 1)
    with pytest.raises(ValueError, match="class 3; by_hand has 3"):
        region_cam(by_hand(), "evidence", pixels, region, 3)
    inputs = keras.Input((8, 10, 2))
    x = k.GlobalAveragePooling2D()(k.Conv2D(2, 1, name="evidence")(inputs))
    with pytest.raises(ValueError, match=r"logits of shape \(1, 2\)"):
        region_cam(keras.Model(inputs, x), "evidence", pixels, region, 1)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_a_region_is_outlined_on_the_image_and_on_its_heat(n):
    heat = np.zeros((16, 16), np.float32)
    rows = [(image(), square() == 1, i % 3, heat + i, f"{i}.png") for i in range(n)]
    picture = region_figure("base", "conv3", rows, CLASSES)
    assert len(tiles(picture)) == 2 * n
    for axes in tiles(picture):
        assert len(outlines(axes)) == 1
    assert set(outlines(tiles(picture)[0])) == {"#FFFFFF"}  # of the background
    if n > 1:
        assert set(outlines(tiles(picture)[2])) == {colour_of(1)}
    nothing_collides(picture)
    start = "base: what speaks for a region's class, by Grad-CAM at conv3: background 0.png"
    assert picture.alt.startswith(start) and len(picture.alt) <= LETTERS
    with pytest.raises(ValueError, match="no region"):
        region_figure("base", "conv3", [], CLASSES)


def figures():
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (2, 16, 16, 3), np.uint8)
    masks = rng.integers(0, 3, (2, 16, 16), np.uint8)
    masks[:, :4] = VOID
    other = masks.clip(0, 2)
    yield masks_figure("x", [(pixels[0], masks[0], {"a": other[0]}, "a")], CLASSES)
    yield extremes_figure("x", [(pixels[0], masks[0], other[0], "a")], [], CLASSES)
    yield targets_figure("x", pixels, masks, CLASSES)
    yield class_iou_figure("x", ious(CLASSES, ("a", "b")), CLASSES)
    yield pixels_figure("x", {"a": 0.9, "b": 0.1})
    yield region_figure("x", "c", [(pixels[0], masks[0] == 1, 1, np.eye(16), "")], CLASSES)


def test_the_same_arrays_make_the_same_bytes():
    for one, two in zip(figures(), figures(), strict=True):
        assert png(one) == png(two)
        assert nothing_collides(one)
        assert not re.search(r"-\d", " ".join(words(one)))
