"""The figure of scores against the size of the training set."""

import numpy as np
import pytest

from cnnlab.compare.inference import Split
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.sizes import size_rows
from cnnlab.compare.tables import Rules
from cnnlab.look.figure import WIDTH, save
from cnnlab.look.sizes import sizes_figure

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


def test_the_names_of_many_variants_fit(tmp_path):
    scores = {f"all_but_batchnorm_{i}": np.full((1, 5), 0.5) + i / 50 for i in range(7)}
    picture = sizes_figure("a study", M, size_rows({20: scores}, SPLIT, RULES))
    save(picture, tmp_path / "sizes.png")
    ends = [text.get_window_extent().x1 for text in picture.figure.texts]
    assert max(ends) <= WIDTH
