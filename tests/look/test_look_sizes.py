"""The figure of scores against the size of the training set."""

import numpy as np
import pytest

from cnnlab.compare.growth import Line
from cnnlab.compare.inference import Split
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.sizes import size_rows
from cnnlab.compare.tables import Rules
from cnnlab.look.figure import WIDTH, save
from cnnlab.look.sizes import per_class_of, sizes_figure

MEANS = {"baseline": 0.55, "freeze": 0.8, "finetune": 0.7}
M = METRICS["accuracy"]
SPLIT, RULES = Split(np.arange(5)[None], np.arange(5)), Rules()  # five folds of one image


def rows_of(names, sizes=(20, 100, 500)):
    rng = np.random.default_rng(0)
    scores = {
        size: {name: rng.normal(MEANS[name] + i * 0.05, 0.02, (1, 5)) for name in names}
        for i, size in enumerate(sizes)
    }
    return size_rows(scores, SPLIT, RULES)


@pytest.mark.parametrize("names", [list(MEANS), ["freeze"]])
@pytest.mark.parametrize("sizes", [(20, 100, 500), (20,)])
def test_sizes_are_drawn_and_said_in_words(names, sizes, tmp_path):
    rows = rows_of(names, sizes)
    picture = sizes_figure("a study", M, rows)
    for row in rows:
        numbers = [row[end] * 100 for end in ("mean", "mean_low", "mean_high")]
        words = "{:.1f} [{:.1f}, {:.1f}]".format(*numbers)
        assert f"{row['variant']} at {row['per_class']}: {words}" in picture.alt
    (axes,) = picture.figure.axes
    for name in names:
        means = [row["mean"] * 100 for row in rows if row["variant"] == name]
        lines = [line.get_ydata().astype(float) for line in axes.lines]
        assert any(len(line) == len(means) and np.allclose(means, line) for line in lines), name
    save(picture, tmp_path / "sizes.png")


def test_curves_go_on_to_twice_the_images(tmp_path):
    rows, n = rows_of(["baseline", "freeze"]), np.geomspace(60, 3000, 20)
    line = Line(n, 1 - n**-0.3, 0.98 - n**-0.3, np.minimum(1.02 - n**-0.3, 1))
    picture = sizes_figure("a study", M, rows, {"freeze": line}, {20: 60, 100: 300, 500: 1500})
    (axes,) = picture.figure.axes
    ends = [mark.get_xdata()[-1] for mark in axes.lines if len(mark.get_xdata()) == 20]
    assert ends == [pytest.approx(1000)]
    assert "1000" in [label.get_text() for label in axes.get_xticklabels()]
    last = 100 * (1 - 3000**-0.3)
    assert f"freeze by its curve at 1000: {last:.1f} [" in picture.alt
    assert "baseline by its curve" not in picture.alt
    save(picture, tmp_path / "sizes.png")


def test_images_per_class_of_numbers_between_and_beyond():
    known = {10: 28, 20: 60, 40: 125}  # not in proportion: a class had fewer
    made = per_class_of(np.array([28.0, 60, np.sqrt(60 * 125), 125, 250]), known)
    np.testing.assert_allclose(made, [10, 20, np.sqrt(20 * 40), 40, 80])


def test_the_names_of_many_variants_fit(tmp_path):
    scores = {f"all_but_batchnorm_{i}": np.full((1, 5), 0.5) + i / 50 for i in range(7)}
    picture = sizes_figure("a study", M, size_rows({20: scores}, SPLIT, RULES))
    save(picture, tmp_path / "sizes.png")
    ends = [text.get_window_extent().x1 for text in picture.figure.texts]
    assert max(ends) <= WIDTH
