"""Boxes on images, precision against recall, and kinds of errors: what is drawn, and its words."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from cnnlab.detections import HIT, KINDS, MISSED, RECALLS, errors, kinds, mean_ap, mean_precisions
from cnnlab.look import boxes_figure, errors_figure, precision_recall_figure
from cnnlab.look.boxes import MOST
from cnnlab.look.contours import colour_of
from tests import coco
from tests.look.layout import nothing_collides, png, words

RNG = np.random.default_rng(0)
CLASSES = ("cat", "dog", "owl")
OBJECTS = np.array([[0, 2, 3, 10, 12], [2, 12, 14, 20, 22]], float)
DETECTED = np.array([[0, 0.9, 2, 3, 10, 12], [1, 0.5, 12, 15, 20, 23], [1, 0.1, 0, 0, 3, 3]])


def image(shape=(24, 24, 1)):
    return RNG.integers(0, 256, shape, np.uint8)


def drawn(n=1, **changes):
    row = (image(), OBJECTS, DETECTED, "a.png")
    return boxes_figure("Held out", [row] * n, CLASSES, **{"least": 0.3} | changes)


def outlines(axes, kind):
    """Colour -> corners of boxes on an image, in pixels of the tile."""
    lines = [one for one in axes.collections if one.get_gid() == kind]
    lines = [one for one in lines if one.get_linewidth()[0] < 1]
    return [(to_hex(o.get_color()[0]).upper(), o.get_segments()[0]) for o in lines]


def test_boxes_are_where_they_are_and_in_their_classes_colours():
    axes = drawn().figure.axes[0]
    side = axes.get_xlim()[1]
    true, detected = outlines(axes, "solid"), outlines(axes, "dashed")
    assert [colour for colour, _ in true] == [colour_of(1), colour_of(3)]
    assert [colour for colour, _ in detected] == [colour_of(1), colour_of(2)]  # not the unsure one
    for boxes, some in ((OBJECTS, true), (DETECTED[:2], detected)):
        for corners, (_, path) in zip(boxes[:, -4:] * side / 24, some, strict=True):
            expected = [*corners[1::-1], *corners[:1:-1]]  # x0, y0, x1, y1
            np.testing.assert_allclose([*path.min(0), *path.max(0)], expected, atol=2)
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["cat 0.90", "dog 0.50"]


def test_labels_stay_on_the_image_and_apart():
    crowd = np.array([[0, 0.9 - i / 100, 1, 1 + i / 4, 20, 20] for i in range(12)])
    picture = boxes_figure("x", [(image(), OBJECTS[:0], crowd, "a")], CLASSES, 0.3)
    axes = picture.figure.axes[0]
    assert 1 <= len(axes.texts) <= 6 and len(outlines(axes, "dashed")) == 12
    assert nothing_collides(picture)


@pytest.mark.parametrize("n", [1, 3, MOST + 2])
def test_nothing_collides_whatever_the_number(n):
    picture = drawn(n)
    assert nothing_collides(picture)
    assert len([axes for axes in picture.figure.axes if axes.images]) == min(n, MOST)
    assert (f"{MOST} of {n} images" in "".join(words(picture))) == (n > MOST)
    assert picture.alt.startswith("Held out: true boxes and detected ones: a.png: 2 objects, 2 det")


def test_images_without_boxes_and_in_colour_are_drawn():
    none = np.zeros((0, 5)), np.zeros((0, 6))
    picture = boxes_figure("x", [(image((30, 90, 3)), *none, "b")], CLASSES, 0.5)
    assert nothing_collides(picture) and png(picture) == png(picture)


def test_boxes_of_no_class_are_refused():
    bad = np.array([[3, 0, 0, 1, 1]], float)
    with pytest.raises(ValueError, match="allowed are 0 to 2"):
        boxes_figure("x", [(image(), bad, DETECTED, "a")], CLASSES, 0.3)
    with pytest.raises(ValueError, match="no image"):
        boxes_figure("x", [], CLASSES, 0.3)


def test_curves_are_what_average_precision_is_the_mean_of():
    sets = {name: coco.outputs_of(coco.made(i, 40), 3) for i, name in enumerate("abcd")}
    curves = {name: mean_precisions(outputs, 0) for name, outputs in sets.items()}
    for name, outputs in sets.items():
        assert curves[name].mean() == pytest.approx(mean_ap(outputs, [0]))
        assert (np.diff(curves[name]) <= 1e-12).all()
    picture = precision_recall_figure("Precision and recall", curves, 0.5)
    assert nothing_collides(picture) and png(picture) == png(picture)
    (axes,) = (axes for axes in picture.figure.axes if axes.axison)
    for line, curve in zip(axes.lines, curves.values(), strict=True):
        np.testing.assert_allclose(line.get_ydata(), 100 * curve)
    assert f"a: {100 * curves['a'].mean():.1f}" in picture.alt
    with pytest.raises(ValueError, match="RECALLS"):
        precision_recall_figure("x", {"a": curves["a"][1:]}, 0.5)
    with pytest.raises(ValueError, match="allowed are 1 to 6"):
        precision_recall_figure("x", {}, 0.5)
    assert len(RECALLS) == 101


def test_each_kind_of_error_is_known():
    objects = np.array([[0, 0, 0, 10, 10], [1, 20, 20, 30, 30], [0, 40, 40, 50, 50]], float)
    detected = np.array(
        [
            [0, 0.5, 0, 0, 10, 10],  # the second on this object
            [0, 0.9, 0, 0, 10, 9],
            [0, 0.8, 0, 6, 10, 16],  # IoU 0.25
            [0, 0.7, 20, 20, 30, 30],  # the other class
            [0, 0.6, 20, 26, 30, 36],  # the other class, IoU 0.25
            [1, 0.4, 60, 60, 70, 70],
            [1, 0.3, 40, 49, 50, 59],  # IoU 0.05
        ]
    )
    localisation, class_, both, duplicate, background = KINDS
    expected = [duplicate, HIT, localisation, class_, both, background, background]
    assert kinds(detected, objects) == expected
    assert errors([(detected, objects), (detected[:0], objects)], 0.35) == {
        localisation: 1,
        class_: 1,
        both: 1,
        duplicate: 1,
        background: 1,
        MISSED: 5,
    }
    assert kinds(detected[:, :6], objects[:0]) == [background] * 7


@pytest.mark.parametrize("seed", range(3))
def test_hits_are_those_that_average_precision_counts(seed):
    for detected, objects in coco.made(seed, 20):
        counted = [hit for c in range(3) for _, hit in coco.matched(detected, objects, c, 0.5)]
        assert kinds(detected, objects).count(HIT) == sum(counted)


@pytest.mark.parametrize("n", [1, 4, 6])
def test_bars_are_the_counts(n):
    counts = {f"variant {i}": errors(coco.made(i, 20), 0.3) for i in range(n)}
    picture = errors_figure("What is wrong", counts, 0.3)
    assert nothing_collides(picture) and png(picture) == png(picture)
    widths = [int(patch.get_width()) for axes in picture.figure.axes for patch in axes.patches]
    assert widths == [of[kind] for kind in (*KINDS, MISSED) for of in counts.values()]
    assert f"box is off {counts['variant 0']['localisation']}" in picture.alt
    with pytest.raises(ValueError, match="allowed are localisation, class"):
        errors_figure("x", {"a": {"localisation": 1}}, 0.3)
