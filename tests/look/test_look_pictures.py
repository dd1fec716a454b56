"""What the kernel and feature figures show and say."""

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import CenteredNorm

from cnnlab.look import (
    Peaks,
    Picture,
    feature_figure,
    kernel_figure,
    near_zero_share,
    overview_figure,
    relative_change,
)

IMAGE = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)


def maps(seed: int, channels: int = 6, dead: tuple[int, ...] = (), size: int = 4) -> np.ndarray:
    values = np.random.default_rng(seed).random((5, size, size, channels), np.float32)
    values[..., list(dead)] = 0
    return values


def features(by_variant, layer, image, label, shown=0):
    peaks = {name: Peaks.of(values) for name, values in by_variant.items() if values.ndim == 4}
    return feature_figure(by_variant, peaks, layer, image, label, shown)


def overview(by_layer, image, label, title, shown=0):
    peaks = {layer: Peaks.of(values) for layer, values in by_layer.items()}
    return overview_figure(by_layer, peaks, image, label, title, shown)


def drawn(picture: Picture) -> list[tuple[CenteredNorm, np.ndarray]]:
    """The norm and the values of each montage that has a colour scale."""
    images = [(i.norm, np.ma.filled(i.get_array(), np.nan)) for i in picture.figure.images]
    return [(norm, values) for norm, values in images if values.ndim == 2]


def words(picture: Picture) -> str:
    return "\n".join(text.get_text() for text in picture.figure.texts)


def crossed(picture: Picture) -> int:
    """How many tiles are outlined and crossed: three line segments each."""
    lines = [c for c in picture.figure.artists if isinstance(c, LineCollection)]
    return sum(len(c.get_segments()) for c in lines if c.get_linewidths()[0] > 0.6) // 3


def test_feature_figure_shares_one_scale_and_counts_the_dead():
    small, large = maps(1, dead=(0, 3)), 10 * maps(2)
    small[2, ..., 5] = 0  # dark on the image shown, yet alive
    picture = features({"plain": small, "other": large}, "conv2", IMAGE, "digit 3", 2)
    scales = {(norm.vmin, norm.vmax) for norm, _ in drawn(picture)}
    shown = np.concatenate([small[2].ravel(), large[2].ravel()])
    assert scales == {(0.0, float(np.percentile(shown, 99.5)))}
    assert picture.alt == (
        "conv2: feature maps of digit 3. "
        f"plain: 6 maps, 2 dead, max {small[2].max():.3g}; "
        f"other: 6 maps, 0 dead, max {large[2].max():.3g}."
    )
    assert crossed(picture) == 2 + 1  # and one in the legend
    assert "on 5 images" in words(picture)


def test_feature_figure_shows_the_image_that_is_asked_for():
    values = maps(3, channels=1)
    picture = features({"v": values}, "conv", IMAGE, "digit", 4)
    ((_, sheet),) = [d for d in drawn(picture) if np.unique(d[1]).size > 1]
    np.testing.assert_array_equal(np.unique(sheet), np.unique(values[4]))


def test_feature_figure_is_symmetric_where_values_are_negative():
    picture = features({"v": maps(1) - 0.9}, "conv", IMAGE, "digit 3")
    ((norm, _),) = drawn(picture)
    assert norm.vmin == -norm.vmax < 0


def test_feature_figure_says_where_it_is_cut():
    picture = features({"v": maps(1, channels=100)}, "conv", IMAGE, "digit 3")
    assert "64 of 100" in words(picture)
    assert picture.alt.startswith("conv: 64 of 100 feature maps of digit 3. ")
    assert "100 maps" in picture.alt


@pytest.mark.parametrize(
    ("by_variant", "message"),
    [
        ({}, "no variant"),
        ({"a": maps(0), "b": maps(0, size=2)}, "differ"),
        ({"a": maps(0)[0]}, "expected"),
        ({"a": np.full((1, 2, 2, 1), np.nan)}, "a, conv: maps hold NaN"),
    ],
)
def test_feature_figure_refuses(by_variant, message):
    with pytest.raises(ValueError, match=message):
        features(by_variant, "conv", IMAGE, "digit 3")


def test_maps_that_are_zero_everywhere_can_be_shown():
    nothing = np.zeros((2, 4, 4, 3), np.float32)
    assert "3 maps, 3 dead, max 0" in features({"v": nothing}, "c", IMAGE, "digit").alt
    assert "3 maps, 3 dead, max 0" in overview({"c": nothing}, IMAGE, "digit", "v").alt


def test_overview_has_a_row_and_a_scale_a_layer():
    by_layer = {"conv1": maps(1, dead=(2,)), "pool1": 5 * maps(2, size=2), "one": maps(3, size=1)}
    picture = overview(by_layer, IMAGE, "digit 3", "baseline", 1)
    tops = [float(np.percentile(values[1], 99.5)) for values in by_layer.values()]
    assert [norm.vmax for norm, _ in drawn(picture)] == pytest.approx(tops)
    for text in ("baseline", "digit 3", "conv1", "6 maps of 4×4", "1 dead", "6 maps of 2×2"):
        assert text in words(picture)
    assert f"conv1: 6 maps, 1 dead, max {by_layer['conv1'][1].max():.3g}; pool1:" in picture.alt


def test_overview_puts_the_strongest_contrast_first():
    values = np.zeros((1, 2, 2, 3), np.float32)
    values[0, ..., 0] = 9  # bright all over
    values[0, 0, 0, 2] = 5
    sheet = drawn(overview({"conv": values}, IMAGE, "digit", "v"))[0][1]
    assert sheet[0, 0] == 5


def test_overview_of_a_deep_network_is_thinned_and_says_so():
    by_layer = {f"conv{i}": maps(i) for i in range(40)}
    picture = overview(by_layer, IMAGE, "digit 3", "deep")
    assert "28 of 40 layers" in words(picture)
    bars = [axes for axes in picture.figure.axes if axes.images]
    assert len(drawn(picture)) == len(bars) == 28
    assert all(f"conv{i}: " in picture.alt for i in range(40))
    with pytest.raises(ValueError, match="no layer"):
        overview({}, IMAGE, "digit 3", "deep")


def test_near_zero_share_and_its_place_in_the_texts():
    weights = np.ones((2, 2, 1, 10), np.float32)
    weights[0, 0, 0, :5] = [0, 1e-4, -9e-4, 1.1e-3, -2e-3]
    weights[1, 1, 0, 0] = -1
    assert near_zero_share(weights) == pytest.approx(3 / 40)
    assert near_zero_share(np.zeros(3)) == 1
    picture = kernel_figure(weights, "conv1", "l1")
    assert picture.alt.startswith(
        "Kernels of l1, conv1: 10 filters of 2×2×1; weights from −1 to 1, 7.5 % near zero"
    )
    assert "7.5 % near zero" in words(picture)


def test_kernels_with_one_input_are_symmetric_about_zero():
    weights = np.linspace(-1, 3, 36).reshape(3, 3, 1, 4)
    ((norm, sheet),) = drawn(kernel_figure(weights, "conv1", ""))
    assert (norm.vmin, norm.vmax) == (-3, 3)
    assert np.isnan(sheet).any()
    np.testing.assert_allclose(np.unique(sheet[~np.isnan(sheet)]), np.unique(weights), rtol=1e-6)


def test_kernels_with_three_inputs_are_rgb_on_one_scale():
    weights = np.zeros((1, 1, 3, 2))
    weights[0, 0, :, 0] = [2, 0, -2]
    weights[0, 0, :, 1] = [1, -1, 0]
    picture = kernel_figure(weights, "conv1", "v")
    sheets = [i.get_array() for i in picture.figure.images]
    (sheet,) = [sheet for sheet in sheets if sheet.ndim == 3]
    np.testing.assert_allclose(sheet[0, 0], [1, 0.5, 0])
    np.testing.assert_allclose(sheet[0, -1], [0.75, 0.25, 0.5])


def test_deep_kernels_show_the_strongest_filters_and_inputs():
    weights = np.full((3, 3, 20, 32), 0.01)
    weights[..., 7, 11] = -2  # filter 11, input 7
    weights[..., 3, 11] = 1
    picture = kernel_figure(weights, "conv2", "v")
    ((_, sheet),) = drawn(picture)
    across = [values for values in sheet[0] if not np.isnan(values)]
    strengths = list(dict.fromkeys(np.float64(across).round(3).tolist()))
    assert strengths == [-2.0, 1.0, 0.01]
    assert "16 of 32 filters of 3×3×20" in words(picture)
    assert "16 strongest of 20 input slices" in words(picture)
    assert "\n11\n" in words(picture)


def test_few_filters_and_inputs_need_no_of():
    picture = kernel_figure(np.ones((1, 1, 2, 1)), "conv", "v")
    assert "1 filter of 1×1×2" in words(picture)
    assert "its 2 input slices" in words(picture)


@pytest.mark.parametrize("weights", [np.ones((3, 3)), np.full((1, 1, 1, 1), np.inf)])
def test_kernel_figure_refuses(weights):
    with pytest.raises(ValueError, match="conv: weights"):
        kernel_figure(weights, "conv", "v")


def test_a_filter_is_dead_if_it_is_on_all_images():
    values = maps(1, dead=(0, 3))
    alive = values.copy()
    alive[4, 0, 0, 3] = 1  # on an image that is not shown
    picture = feature_figure({"v": values[:2]}, {"v": Peaks.of(alive)}, "conv", IMAGE, "digit")
    assert "v: 6 maps, 1 dead" in picture.alt
    assert crossed(picture) == 1 + 1
    assert "on 5 images" in words(picture)
    picture = overview_figure({"c": values[:2]}, {"c": Peaks.of(alive)}, IMAGE, "digit", "v")
    assert "6 maps, 1 dead" in picture.alt


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ([3, 4], [3, 4], 0),
        ([3, 4], [0, 0], 1),
        ([3, 4], [6, 8], 1),
        ([0], [0], 0),
        ([0], [1], np.inf),
    ],
)
def test_relative_change(before, after, moved):
    assert relative_change(np.array(before), np.array(after)) == pytest.approx(moved)


@pytest.mark.parametrize("inputs", [1, 2, 3, 20])
def test_kernels_before_and_after_share_filters_slices_and_scale(inputs):
    rng = np.random.default_rng(0)
    before = rng.normal(size=(3, 3, inputs, 5))
    after = before.copy()
    after[..., 2] *= -2
    picture = kernel_figure(after, "conv", "v", before)
    moved = f"moved by {relative_change(before, after):.3g} of their initial norm"
    assert moved in words(picture) and moved in picture.alt
    assert "before training" in words(picture) and "after training" in words(picture)
    panels = drawn(picture)
    if inputs == 3:
        rgb = [i.get_array() for i in picture.figure.images]
        rgb = [i for i in rgb if i.ndim == 3]
        largest = np.abs(after).max()
        old, new = (np.asarray(sheet) for sheet in rgb)
        np.testing.assert_allclose(old[0, 0], before[0, 0, :, 0] / 2 / largest + 0.5, rtol=1e-5)
        np.testing.assert_array_equal(old[:5, :5], new[:5, :5])
    (norm, old), (other, new) = panels
    assert (norm.vmin, norm.vmax) == (other.vmin, other.vmax)
    assert norm.vmax == pytest.approx(np.abs(after).max())
    assert old.shape == new.shape
    drawn_pixels = ~np.isnan(old)
    share = np.isclose(new[drawn_pixels], -2 * old[drawn_pixels], rtol=1e-5).mean()
    assert share == pytest.approx(1 / 5)  # a filter of five, at the same place
    assert np.isclose(new[drawn_pixels], old[drawn_pixels], rtol=1e-5).mean() == pytest.approx(
        4 / 5
    )


def test_three_inputs_are_shown_as_slices_too():
    weights = np.random.default_rng(0).normal(size=(2, 2, 3, 1))
    ((norm, sheet),) = drawn(kernel_figure(weights, "conv1", "v"))
    assert norm.vmin == -norm.vmax
    size = sheet.shape[0] // 2  # screen pixels a weight
    tile = sheet[::size, ::size]
    expected = np.full((2, 8), np.nan)
    for channel in range(3):
        expected[:, 3 * channel : 3 * channel + 2] = weights[:, :, channel, 0]
    np.testing.assert_allclose(tile, expected, rtol=1e-6)


def test_kernels_of_another_shape_before_are_refused():
    with pytest.raises(ValueError, match="conv"):
        kernel_figure(np.ones((3, 3, 1, 2)), "conv", "v", np.ones((3, 3, 1, 3)))
