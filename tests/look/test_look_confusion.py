"""Which classes are taken for which."""

import itertools

import numpy as np
import pytest

from cnnlab.look import confusion_figure, save

COUNTS = np.array([[5, 1, 0], [0, 4, 0], [3, 0, 0]])
NAMES = ["cat", "dog", "eel"]


def words(figure):
    inside = [t for axes in figure.axes for t in axes.texts]
    return [text.get_text() for text in (*figure.texts, *inside)]


def test_it_names_and_counts_and_tells_the_worst():
    picture = confusion_figure("a title", COUNTS, NAMES)
    assert picture.alt == (
        "a title: 9 of 13 images right; eel taken for cat 3 times; cat taken for dog 1 times"
    )
    said = words(picture.figure)
    assert all(said.count(name) == 2 for name in NAMES)
    assert {"5", "1", "4", "3"} <= set(said) and "0" not in said
    matrix = picture.figure.axes[0].get_images()[0].get_array()
    np.testing.assert_allclose(matrix[0], [5 / 6, 1 / 6, 0])


@pytest.mark.parametrize("classes", [2, 10, 40, 120])
def test_any_number_of_classes_fits(classes, tmp_path):
    counts = np.random.default_rng(0).integers(0, 30, (classes, classes))
    names = [f"a rather long name {i}" for i in range(classes)]
    picture = confusion_figure("title", counts, names)
    save(picture, tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size < 1_000_000
    assert ("a rather" in " ".join(words(picture.figure))) == (classes < 47)


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
