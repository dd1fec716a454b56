"""Figures of transfer: their words hold their numbers, and they draw what they are given."""

import numpy as np
import pytest

from cnnlab.compare.metrics import METRICS
from cnnlab.compare.transfer import size_rows
from cnnlab.look.figure import save
from cnnlab.look.transfer import change_figure, sizes_figure


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    base = {"scratch": 0.55, "freeze": 0.8, "finetune": 0.7}
    scores = {
        size: {name: rng.normal(mean + gain, 0.02, (1, 5)) for name, mean in base.items()}
        for size, gain in ((20, 0.0), (100, 0.08), (500, 0.12))
    }
    return size_rows(scores, "freeze", 0.95)


def test_sizes_are_drawn_and_told(rows, tmp_path):
    picture = sizes_figure("a study", METRICS["accuracy"], rows)
    for row in rows:
        name, size, mean = row["strategy"], row["per_class"], row["mean"]
        assert f"{name} at {size}: {mean * 100:.1f}" in picture.alt
    (axes,) = picture.figure.axes
    drawn = [line.get_ydata().astype(float) for line in axes.lines if len(line.get_ydata()) == 3]
    for name in ("scratch", "freeze", "finetune"):
        means = [row["mean"] * 100 for row in rows if row["strategy"] == name]
        assert any(np.allclose(means, line) for line in drawn), name
    save(picture, tmp_path / "sizes.png")


def test_changes_are_drawn_by_layer_with_gaps_where_there_is_none(tmp_path):
    layers = [f"conv{i}" for i in range(25)]
    rows = [
        {
            "strategy": name,
            "layer": layer,
            "cka": 1 - slope * i,
            "change": float("nan") if i == 3 else slope * i,
        }
        for name, slope in (("freeze", 0.0), ("finetune", 0.01))
        for i, layer in enumerate(layers)
    ]
    picture = change_figure("a study", rows)
    assert "freeze: CKA 1.000 to 1.000, 1.000 at the top" in picture.alt
    assert "finetune: CKA 0.760 to 1.000, 0.760 at the top" in picture.alt
    alike, change = picture.figure.axes
    assert [len(line.get_xdata()) for line in alike.lines] == [25, 25]
    assert [len(line.get_xdata()) for line in change.lines] == [24, 24]
    save(picture, tmp_path / "changes.png")
