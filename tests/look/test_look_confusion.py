"""Which classes are taken for which."""

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
