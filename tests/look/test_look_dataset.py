"""Figures of what the images are."""

import io

import numpy as np
import pytest
from PIL import Image

from cnnlab.look import save
from cnnlab.look.dataset import samples_figure, sizes_figure
from cnnlab.look.figure import WIDTH

RNG = np.random.default_rng(0)


def smooth(shape):
    """As photographs are."""
    height, width, channels = shape
    few = Image.fromarray(RNG.integers(0, 256, (6, 6, 3), np.uint8)).resize((width, height), 3)
    return np.asarray(few)[..., :channels]


def samples(classes=("cat", "dog"), n=6, shape=(32, 32, 3)):
    made = {name: np.stack([smooth(shape) for _ in range(n)]) for name in classes}
    means = {name: images.mean(axis=0) for name, images in made.items()}
    return samples_figure("Images", made, means, dict.fromkeys(classes, 10 * n))


def png(picture):
    content = io.BytesIO()
    save(picture, content)
    return content.getvalue()


@pytest.mark.parametrize("shape", [(8, 8, 1), (32, 32, 3), (224, 224, 3)])
@pytest.mark.parametrize("n", [1, 6])
@pytest.mark.parametrize("classes", [2, 12])
def test_samples_fit_the_page(shape, n, classes):
    picture = samples([f"class {i}" for i in range(classes)], n, shape)
    content = png(picture)
    assert len(content) < 1_000_000
    with Image.open(io.BytesIO(content)) as image:
        assert image.width == WIDTH
        right = np.asarray(image.convert("RGB"))[:, -4:]
    assert (right == 255).all()
    assert f"for each of {classes} its mean image" in picture.alt


def test_a_class_with_fewer_images_has_a_shorter_row():
    images = {"a": RNG.integers(0, 256, (8, 8, 8, 1), np.uint8)}
    images["b"] = images["a"][:2]
    means = {name: of.mean(axis=0) for name, of in images.items()}
    picture = samples_figure("Images", images, means, {"a": 8, "b": 2})
    texts = [text.get_text() for text in picture.figure.texts]
    assert "b  (2)" in texts and "a  (8)" in texts


def test_sizes_say_the_commonest_and_the_ends():
    picture = sizes_figure("Sizes", [100] * 9 + [20, 3000], [50] * 9 + [30, 2000])
    for told in ("3 sizes", "from 20×30 to 3000×2000", "commonest 100×50"):
        assert told in picture.alt
    texts = [text.get_text() for text in picture.figure.texts]
    assert "100×50: 81.8 %" in texts
    assert png(picture)


def test_the_same_images_make_the_same_bytes():
    for make in (
        lambda: samples_figure(
            "x",
            {"a": np.full((2, 8, 8, 1), 9, np.uint8)},
            {"a": np.full((8, 8, 1), 9.0)},
            {"a": 2},
        ),
        lambda: sizes_figure("x", [9, 8], [7, 6]),
    ):
        assert png(make()) == png(make())
