"""Which classes are taken for which."""

import itertools

import numpy as np
import pytest

from cnnlab.look import confusion_figure, save
from cnnlab.look.confusion import MOST

COUNTS = np.array([[5, 1, 0], [0, 4, 0], [3, 0, 0]])
NAMES = ["cat", "dog", "eel"]


def words(figure):
    inside = [t for axes in figure.axes for t in axes.texts]
    return [text.get_text() for text in (*figure.texts, *inside)]


def test_it_names_and_counts_and_tells_the_worst():
    picture = confusion_figure("a title", COUNTS, NAMES)
    assert picture.alt == (
        "a title: 9 of 13 images right; eel taken for cat 3 times; cat taken for dog 1 time"
    )
    said = words(picture.figure)
    assert all(said.count(name) == 2 for name in NAMES)
    assert {"5", "1", "4", "3"} <= set(said) and "0" not in said
    matrix = picture.figure.axes[0].get_images()[0].get_array()
    np.testing.assert_allclose(matrix[0], [5 / 6, 1 / 6, 0])


def test_a_class_that_is_a_number_is_not_read_as_one_with_the_count():
    alt = confusion_figure("a title", COUNTS, ["0", "1", "2"]).alt
    assert alt.endswith("2 taken for 0, 3 times; 0 taken for 1, 1 time")


@pytest.mark.parametrize("classes", [2, 10, 40, 120, 500])
def test_any_number_of_classes_fits_its_picture(classes, tmp_path):
    counts = np.random.default_rng(0).integers(0, 30, (classes, classes))
    names = [f"a rather long name {i}" for i in range(classes)]
    picture = confusion_figure("title", counts, names)
    save(picture, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 1_000_000
    matrix = picture.figure.axes[0].get_window_extent()
    assert matrix.x1 <= picture.figure.bbox.width and matrix.y0 >= 0
    assert "a rather" in " ".join(words(picture.figure))
    said = f"{MOST} of {classes} classes" in " ".join(words(picture.figure))
    assert said == (classes > MOST)


def test_of_many_classes_those_with_most_mistakes_are_drawn_the_worst_first():
    """Shares stay those of all images of a class."""
    counts = np.diag(np.full(100, 10))
    counts[70, 3], counts[5, 4] = 30, 20
    figure = confusion_figure("t", counts, [f"c{i}" for i in range(100)]).figure
    down = [text for text in words(figure) if text.startswith("c") and text[1:].isdigit()]
    assert down[0] == down[1] == "c3" and set(down[:8]) == {"c3", "c70", "c4", "c5"}
    matrix = np.asarray(figure.axes[0].get_images()[0].get_array())
    assert matrix.shape == (MOST, MOST)
    np.testing.assert_allclose(np.sort(matrix[:4].ravel())[-4:], [20 / 30, 30 / 40, 1, 1])


def test_a_class_without_images_divides_by_nothing():
    picture = confusion_figure("t", np.array([[0, 0], [1, 2]]), ["a", "b"])
    assert np.isfinite(picture.figure.axes[0].get_images()[0].get_array()).all()


@pytest.mark.parametrize("length", [1, 6, 10, 14])
def test_names_do_not_run_into_each_other(length):
    classes = [chr(97 + i) * length for i in range(10)]
    figure = confusion_figure("t", np.eye(10, dtype=int), classes).figure
    names = [text for text in figure.texts if text.get_text() in classes]
    assert len(names) == 20  # none is cut
    boxes = [text.get_window_extent() for text in figure.texts]
    assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    assert all(a.y1 <= figure.bbox.height and a.x0 >= 0 for a in boxes)
