"""Learning curves."""

import numpy as np
import pytest

from cnnlab.compare.metrics import METRICS
from cnnlab.look.curves import HELD_OUT, TRAINING, Curve, curves_figure
from cnnlab.look.figure import GREY, save

EPOCHS = np.array([1, 2, 3, 4])
HELD = np.array([[0.2, 0.5, 0.7, 0.6], [0.4, 0.7, 0.9, 0.8]])
BASE = Curve(EPOCHS, HELD, np.array([[0.3, 0.6, 0.9, 1.0]] * 2))
OTHER = Curve(EPOCHS, HELD - 0.1, HELD)


def panels(picture):
    return [axes for axes in picture.figure.axes if axes.lines]


def lines(axes, colour):
    return [line.get_ydata() for line in axes.lines if line.get_color() == colour]


def test_means_and_bands_in_the_metric_s_unit():
    (axes,) = panels(curves_figure("t", METRICS["accuracy"], {"base": BASE}, "base"))
    (held,), (training,) = lines(axes, HELD_OUT), lines(axes, TRAINING)
    np.testing.assert_allclose(held, [30, 60, 80, 70])
    np.testing.assert_allclose(training, [30, 60, 90, 100])
    band = axes.collections[-1].get_paths()[0].vertices[:, 1]
    sd = np.std([70, 90], ddof=1)
    assert band.max() == pytest.approx(80 + sd) and band.min() == pytest.approx(30 - sd)


def test_panels_share_axes_and_show_the_reference():
    picture = curves_figure("t", METRICS["accuracy"], {"x": OTHER, "base": BASE}, "base")
    other, base = panels(picture)
    assert other.get_xlim() == base.get_xlim() and other.get_ylim() == base.get_ylim()
    (pale,) = lines(other, GREY)
    np.testing.assert_allclose(pale, [30, 60, 80, 70])
    assert lines(base, GREY) == []
    assert all(
        lines(a, GREY) == []
        for a in panels(curves_figure("t", METRICS["accuracy"], {"x": OTHER}, None))
    )


def test_the_alt_text_has_the_numbers():
    picture = curves_figure("t", METRICS["accuracy"], {"base": BASE, "x": OTHER}, "base")
    sd = np.std([60, 80], ddof=1)
    assert picture.alt == (
        f"t, learning curves, accuracy. base: ends at 70.0 ± {sd:.1f}, in training 100.0; "
        f"best 80.0 at epoch 3. x: ends at 60.0 ± {sd:.1f}, in training 70.0; best 70.0 at epoch 3."
    )
    nll = Curve(EPOCHS, np.array([[2.0, 0.5, 0.25, 0.75]]), np.array([[2.0, 0.5, 0.2, 0.1]]))
    alt = curves_figure("t", METRICS["nll"], {"v": nll}, None).alt
    assert "ends at 0.750 ± 0.000, in training 0.100; best 0.250 at epoch 3" in alt
    texts = [t.get_text() for t in picture.figure.texts]
    assert any("band: ± 1 standard deviation" in text for text in texts)


def test_a_bad_start_does_not_press_the_rest_flat():
    epochs = np.arange(1, 41)
    values = np.where(epochs < 10, 50.0, 0.5)[None]
    curve = Curve(epochs, values, values)
    (axes,) = panels(curves_figure("t", METRICS["nll"], {"v": curve}, None))
    assert axes.get_ylim() == (0, pytest.approx(0.52))


@pytest.mark.parametrize("count", [1, 2, 4, 7, 12, 30])
def test_a_panel_a_variant(tmp_path, count):
    curves = {f"variant_{i}": OTHER for i in range(count - 1)} | {"base": BASE}
    picture = curves_figure("t", METRICS["accuracy"], curves, "base")
    assert len(panels(picture)) == count
    boxes = [axes.get_window_extent() for axes in panels(picture)]
    assert all(b.x0 >= 0 and b.x1 <= 900 and b.width > 150 for b in boxes)
    assert not any(b.overlaps(other) for i, b in enumerate(boxes) for other in boxes[:i])
    save(picture, tmp_path / "c.png")
    assert (tmp_path / "c.png").stat().st_size < 1_000_000


def test_variants_of_different_length_share_the_longest_axis():
    short = Curve(EPOCHS[:1], HELD[:, :1], HELD[:, :1])
    picture = curves_figure("t", METRICS["accuracy"], {"short": short, "base": BASE}, "base")
    assert [axes.get_xlim() for axes in panels(picture)] == [(0, 4), (0, 4)]
