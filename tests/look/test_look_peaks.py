"""What excites each filter, and what its units see."""

import keras
import numpy as np
import pytest
from keras import layers as k
from matplotlib.collections import LineCollection

from cnnlab.look import Peaks, capture, feature_maps, peaks, peaks_figure, reach
from cnnlab.look.capture import BATCH
from cnnlab.look.peaks import MOST_FILTERS, MOST_IMAGES


def words(picture) -> str:
    return "\n".join(text.get_text() for text in picture.figure.texts)


def noise(count: int, size: int = 4, channels: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, size, size, channels)).astype(np.float32)


def test_the_strongest_images_come_first_with_the_place_of_their_peak():
    maps = np.zeros((3, 2, 2, 1), np.float32)
    maps[0, 1, 0], maps[1, 0, 1], maps[2, 1, 1] = 2, 5, 3
    top = Peaks.of(maps, first=10)
    assert (top.images, top.size) == (3, (2, 2))
    assert top.value[:, 0].tolist() == [5, 3, 2]
    assert top.image[:, 0].tolist() == [11, 12, 10]
    assert top.place[:, 0].tolist() == [1, 3, 2]


def test_ties_keep_the_order_of_the_images():
    assert Peaks.of(np.ones((20, 1, 1, 1))).image[:, 0].tolist() == list(range(MOST_IMAGES))


@pytest.mark.parametrize("cut", [1, 7, 19])
def test_batches_joined_are_as_all_at_once(cut):
    maps = noise(20)
    whole, parts = Peaks.of(maps), Peaks.of(maps[:cut]).joined(Peaks.of(maps[cut:], cut))
    for name, value in vars(whole).items():
        np.testing.assert_array_equal(getattr(parts, name), value, err_msg=name)
    by_hand = maps.max((1, 2))[:, 3]
    np.testing.assert_array_equal(whole.value[:, 3], np.sort(by_hand)[::-1][:MOST_IMAGES])


def test_dead_is_above_zero_nowhere():
    maps = np.zeros((5, 4, 4, 4), np.float32)
    maps[3, 1, 1, 1] = 1e-6  # alive in one pixel of one image
    maps[..., 2] = -1
    maps[..., 3] = 1
    assert Peaks.of(maps).dead.tolist() == [True, False, True, False]


def small_model() -> keras.Model:
    keras.utils.set_random_seed(0)
    ones = {"padding": "same", "kernel_initializer": "ones"}
    x = inputs = keras.Input((16, 16, 1))
    x = k.ReLU()(k.Conv2D(2, 3, name="conv1", **ones)(x))
    x = k.ReLU()(k.Conv2D(2, 3, name="conv2", **ones)(x))
    x = k.MaxPooling2D(name="pool")(x)
    x = k.ReLU()(k.Conv2D(2, 3, name="conv3", **ones)(x))
    y = k.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, k.Dense(2)(y))


VALUES = 16 * 16 * (1 + 4 * 2) + 8 * 8 * 3 * 2 + 2 + 2  # that the layers of `small_model` give out


@pytest.mark.parametrize("batch", [BATCH, 10, 1])
def test_peaks_of_a_model_are_those_of_its_maps(monkeypatch, batch):
    model = small_model()
    images = np.random.default_rng(1).integers(0, 256, (BATCH + 6, 16, 16, 1), np.uint8)
    maps = feature_maps(model, images.astype(np.float32))
    counts, really = [], capture.forward

    def counting(model, images, names):
        counts.append(len(images))
        return really(model, images, names)

    monkeypatch.setattr(capture, "VALUES", batch * VALUES)
    monkeypatch.setattr(capture, "forward", counting)
    by_layer = peaks(model, images)
    assert max(counts) == batch
    assert list(by_layer) == list(maps)
    for layer, values in maps.items():
        expected = Peaks.of(values)
        assert by_layer[layer].images == BATCH + 6
        np.testing.assert_array_equal(by_layer[layer].image, expected.image)
        np.testing.assert_allclose(by_layer[layer].value, expected.value, rtol=1e-5)


def test_what_units_see_grows_with_depth():
    pixels = reach(small_model(), (16, 16, 1))
    assert pixels["conv1"] == (-1, 1, -1, 1)  # one 3x3 kernel
    assert pixels["conv2"] == (-2, 2, -2, 2)  # two
    assert pixels["pool"] == (-2, 3, -2, 3)  # and two pixels next to one another
    assert pixels["conv3"] == (-4, 5, -4, 5)  # and a 3x3 kernel over pairs of pixels


def test_a_frozen_model_sees_as_much():
    model = small_model()
    model.trainable = False
    assert reach(model, (16, 16, 1))["conv2"] == (-2, 2, -2, 2)


def figure(maps: np.ndarray, reach=(-1, 2, -1, 2), size: int = 8):
    images = np.random.default_rng(2).integers(0, 256, (len(maps), size, size, 1), np.uint8)
    labels = ["cat" if i % 3 else "dog" for i in range(len(maps))]
    return peaks_figure(Peaks.of(maps), reach, "conv", "base", images, labels, "held-out images")


def test_the_figure_says_what_it_shows():
    maps = np.maximum(noise(12, channels=30), 0)
    maps[..., 7] = 0
    maps[2, 0, 0, 9] = 50
    picture = figure(maps)
    assert f"what excites {MOST_FILTERS} of 30 filters most, base" in picture.alt
    assert "9 strongest of 12 held-out images" in picture.alt and "1 dead" in picture.alt
    top = Peaks.of(maps).image[:, 9]
    cats = sum(1 for image in top if image % 3)
    kind, times = ("cat", cats) if cats * 2 > len(top) else ("dog", len(top) - cats)
    assert f"filter 9: max 50, {times} of 9 are {kind}" in picture.alt
    assert "filter 7" not in picture.alt
    shown = [t.get_text() for t in picture.figure.texts if t.get_text().startswith("filter ")]
    assert shown[0] == "filter 9" and len(shown) == MOST_FILTERS


def test_frames_lie_around_the_peaks():
    maps = np.zeros((1, 4, 4, 1), np.float32)
    maps[0, 2, 1] = 1  # its cell begins at row 4, column 2 of 8
    (lines,) = [
        c
        for c in figure(maps).figure.artists
        if isinstance(c, LineCollection) and c.get_linewidths()[0] > 0.6
    ]
    corners = np.array(lines.get_segments()[0])
    tile = 64 / 8
    assert corners[:, 0].min() == 1 * tile and corners[:, 0].max() == 5 * tile
    assert corners[:, 1].min() == 3 * tile and corners[:, 1].max() == 7 * tile


def test_no_frame_where_units_see_all():
    picture = figure(np.ones((3, 2, 2, 1)), reach=(-8, 8, -8, 8))
    assert "see the whole image" in words(picture)


def test_a_dead_layer_can_be_shown():
    picture = figure(np.zeros((3, 2, 2, 4)))
    assert "4 dead" in picture.alt and "No filter answers" in picture.alt


def test_images_that_were_not_searched_are_refused():
    top = Peaks.of(noise(3))
    with pytest.raises(ValueError, match="2 images, 3 labels, but 3 were searched"):
        peaks_figure(top, (0, 0, 0, 0), "c", "v", np.zeros((2, 4, 4)), ["a"] * 3, "images")
