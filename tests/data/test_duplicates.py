"""Images that are the same, or nearly."""

import io

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageFilter

from cnnlab.data import duplicates, images
from cnnlab.data.images import Settings, decode

SETTINGS = Settings(None, "squash", None, 100)


def photograph(seed):
    """Something like one: smooth shapes of several sizes, and a little noise."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (n, n, 3), np.uint8)).resize((96, 96), 3), float
        )
        for n in (3, 6, 12, 24)
    ]
    mixed = sum(w * layer for w, layer in zip((0.4, 0.3, 0.2, 0.1), layers, strict=True))
    return Image.fromarray(np.clip(mixed + rng.normal(0, 3, mixed.shape), 0, 255).astype(np.uint8))


def jpeg(image, quality):
    content = io.BytesIO()
    image.save(content, "jpeg", quality=quality)
    return content.getvalue()


def thumb(image):
    content = io.BytesIO()
    image.save(content, "png")
    return images.grey([decode(content.getvalue(), SETTINGS).thumb])[0]


def near(thumbs, bits=4):
    thumbs = np.stack(thumbs)
    one, other = duplicates.near(images.perceptual_hash(thumbs), bits, thumbs.__getitem__)
    return set(zip(one.tolist(), other.tolist(), strict=True))


CHANGES = {
    "recompressed": lambda i: Image.open(io.BytesIO(jpeg(i, 40))),
    "smaller": lambda i: i.resize((48, 48), Image.Resampling.LANCZOS),
    "larger": lambda i: i.resize((200, 200), Image.Resampling.BICUBIC),
    "brighter": lambda i: ImageEnhance.Brightness(i).enhance(1.1),
    "less contrast": lambda i: ImageEnhance.Contrast(i).enhance(0.8),
    "blurred": lambda i: i.filter(ImageFilter.GaussianBlur(1)),
    "grey": lambda i: i.convert("L").convert("RGB"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found(change):
    originals = [photograph(i) for i in range(40)]
    copies = [CHANGES[change](image) for image in originals]
    found = near([thumb(image) for image in originals + copies])
    assert found <= {(i, i + 40) for i in range(40)}
    assert len(found) >= 36  # nine in ten


def test_different_images_are_not():
    assert near([thumb(photograph(i)) for i in range(300)]) == set()


def test_flat_images_have_nothing_to_compare():
    assert near([np.full((32, 32), v, np.uint8) for v in (0, 0, 9, 255)]) == set()


def test_equal_hashes_need_pictures_that_look_alike():
    rng = np.random.default_rng(0)
    thumbs = rng.integers(0, 256, (2, 32, 32)).astype(np.uint8)
    one, _ = duplicates.near(np.array([5, 5]), 4, thumbs.__getitem__)
    assert len(one) == 0


def test_grey_is_what_pillow_makes_of_colour():
    colour = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    expected = np.asarray(Image.fromarray(colour).convert("L")).astype(int)
    made = images.grey([colour, colour[..., :1]])
    assert np.abs(made[0] - expected).max() <= 1
    np.testing.assert_array_equal(made[1], colour[..., 0])


@given(
    hashes=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=30),
    flips=st.lists(st.tuples(st.integers(0, 29), st.sets(st.integers(0, 63), max_size=6))),
    bits=st.integers(0, 4),
)
def test_all_pairs_within_the_bits_are_found_and_no_others(hashes, flips, bits):
    for which, flipped in flips:
        value = hashes[which % len(hashes)]
        for bit in flipped:
            value ^= 1 << bit if bit < 63 else -(2**63)
        hashes.append(value)
    values = np.array(hashes, np.int64)
    alike = np.tile(np.random.default_rng(0).integers(0, 256, (1, 8, 8)), (len(values), 1, 1))
    one, other = duplicates.near(values, bits, alike.__getitem__)
    expected = {
        (i, j)
        for i in range(len(values))
        for j in range(i + 1, len(values))
        if ((hashes[i] ^ hashes[j]) & (2**64 - 1)).bit_count() <= bits
    }
    found = list(zip(one.tolist(), other.tolist(), strict=True))
    assert set(found) == expected
    assert len(found) == len(expected)


@given(st.lists(st.sampled_from("abcde"), max_size=20))
def test_exact_links_each_to_the_first_of_its_kind(digests):
    one, other = duplicates.exact(pd.Series(digests, dtype=str))
    expected = {(digests.index(d), i) for i, d in enumerate(digests) if digests.index(d) != i}
    assert set(zip(one.tolist(), other.tolist(), strict=True)) == expected


@given(st.data())
def test_what_is_linked_has_one_name_and_what_is_not_keeps_its_own(data):
    n = data.draw(st.integers(1, 12))
    names = data.draw(st.lists(st.sampled_from("pqrstuvw"), min_size=n, max_size=n))
    pairs = data.draw(st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=8))
    one, other = (np.array([p[k] for p in pairs], int) for k in (0, 1))
    joined = duplicates.join(pd.Series(names, dtype=str), one, other).to_list()
    assert all(joined[i] == joined[j] for i, j in pairs)
    assert all(joined[i] == joined[j] for i in range(n) for j in range(n) if names[i] == names[j])
    linked = {names[i] for pair in pairs for i in pair}
    assert all(new == old for new, old in zip(joined, names, strict=True) if old not in linked)
    order = np.array(data.draw(st.permutations(range(n))), int)
    place = np.argsort(order)
    shuffled = pd.Series([names[i] for i in order], dtype=str)
    again = duplicates.join(shuffled, place[one], place[other]) if pairs else shuffled
    assert again.to_list() == [joined[i] for i in order]
