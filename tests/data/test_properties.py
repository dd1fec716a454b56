"""What is measured of an image without a network."""

import numpy as np
import pytest
from PIL import Image

from cnnlab.data import properties

RNG = np.random.default_rng(0)


def plain(level, channels=1, size=(8, 10)):
    return np.full((1, *size, channels), level, np.uint8)


def test_of_known_images():
    images = np.concatenate([plain(0), plain(255), plain(51)])
    images = np.concatenate([images, plain(0)])
    images[3, :, ::2] = 255  # stripes
    values, small = properties.measure(images)
    assert list(values.columns) == properties.COLUMNS
    np.testing.assert_allclose(values["brightness"], [0, 1, 0.2, 0.5], atol=1e-6)
    np.testing.assert_allclose(values["contrast"], [0, 0, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(values["shadows"], [0, 1, 0.2, 0], atol=1e-6)
    np.testing.assert_allclose(values["highlights"], [0, 1, 0.2, 1], atol=1e-6)
    np.testing.assert_allclose(values["sharpness"], [0, 0, 0, 4], atol=1e-6)  # (2 x 1)²
    assert not values["colourfulness"].any()
    assert small.shape == (4, 64)
    np.testing.assert_allclose(small[2], 0.2, atol=1e-6)


def test_luma_is_pillows_and_grey_images_in_colour_are_as_grey_ones():
    colour = RNG.integers(0, 256, (5, 9, 9, 3), np.uint8)
    grey = np.stack([np.asarray(Image.fromarray(c).convert("L")) for c in colour])[..., None]
    one, other = properties.measure(colour)[0], properties.measure(grey)[0]
    np.testing.assert_allclose(one["brightness"], other["brightness"], atol=0.003)
    repeated = properties.measure(np.repeat(grey, 3, axis=3))[0]
    np.testing.assert_allclose(repeated, other, atol=1e-4)


def test_colourfulness_is_that_of_the_paper():
    """Hasler and Süsstrunk (2003): of one plain colour only the means count."""
    image = np.broadcast_to(np.uint8([255, 0, 0]), (1, 4, 4, 3))
    value = properties.measure(image)[0]["colourfulness"][0]
    assert value == pytest.approx(0.3 * np.hypot(1, 0.5))


class Watched(np.ndarray):
    """An array that remembers how many images are asked for at once."""

    most = 0

    def __getitem__(self, key):
        part = super().__getitem__(key)
        if isinstance(key, slice):
            Watched.most = max(Watched.most, len(part))
        return part


def test_images_are_read_in_chunks_and_these_change_nothing(monkeypatch):
    images = RNG.integers(0, 256, (23, 12, 12, 3), np.uint8)
    whole = properties.measure(images)
    monkeypatch.setattr(properties, "PIXELS", 5 * 144)
    parts = properties.measure(images.view(Watched))
    assert Watched.most == 5
    np.testing.assert_array_equal(whole[0], parts[0])
    np.testing.assert_array_equal(whole[1], parts[1])


def test_none_and_small_ones():
    values, small = properties.measure(np.empty((0, 4, 20, 3), np.uint8))
    assert values.shape == (0, 6) and small.shape == (0, 4 * 8 * 3)
