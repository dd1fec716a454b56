"""A contact sheet: every image with its answer."""

import numpy as np
import pytest
from PIL import Image

from cnnlab.look import save
from cnnlab.look.contact import COLUMNS, Answer, contact_figure


def answers(n, shape=(8, 8, 1)):
    rng = np.random.default_rng(0)
    return [
        Answer(
            rng.integers(0, 256, shape, np.uint8), f"{i}.png", "cat", 0.9, ["dog"], unlike=i == 1
        )
        for i in range(n)
    ]


@pytest.mark.parametrize("shape", [(8, 8, 1), (96, 60, 3), (20, 300, 3)])
def test_a_sheet_has_all_images_and_their_words(tmp_path, shape):
    n = COLUMNS + 1
    picture = contact_figure("study: 9 images", "a note", answers(n, shape))
    words = [text.get_text() for text in picture.figure.texts]
    assert [w for w in words if w.endswith(".png")] == [f"{i}.png" for i in range(n)]
    assert words.count("90% cat") == n and words.count("unlike") == 1
    assert words.count("or dog") == n - 1
    assert picture.alt == "study: 9 images: 9 images, 1 unlike the training images"
    save(picture, tmp_path / "sheet.png")
    assert Image.open(tmp_path / "sheet.png").width == 900
