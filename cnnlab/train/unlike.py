"""How unlike the training images an image is, as a network sees it.

The distance to the nearest training images among features (Sun, Ming, Zhu and Li, "Out-of-
Distribution Detection with Deep Nearest Neighbors", ICML 2022): what the last layer reads, and of
the maps at several depths (as Lee et al., NeurIPS 2018, use several) the mean and the spread of
each, since what the last layer reads alone misses much where a network is small. Each feature is
counted in its spread over the training images.

A network pulls the images that it learnt from together, so distances among them are too small to
say what is usual. What is usual is therefore measured in a network of cross-validation, on the
images held out from it, and brought to the final network by how close the training images lie to
each other in the one and in the other.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnlab import likeness
from cnnlab.errors import UserError
from cnnlab.likeness import FILE, Likeness
from cnnlab.records.files import timeless, write_bytes

if TYPE_CHECKING:
    import keras

MOST = 2000  # training images that are kept; of more, some drawn at random
FLOOR = 1e-2  # of the spread of all features; the least that one is divided by

Features = Callable[[np.ndarray], np.ndarray]


class Unlike(Likeness):
    """A likeness, and how it is learnt and kept."""

    @classmethod
    def of(cls, features: np.ndarray) -> Unlike:
        """Of training images' features, float32 (n, features), n at least 2; its limit is 1."""
        spread = features.std(axis=0, dtype=np.float64)
        spread = np.maximum(spread, FLOOR * max(features.std(dtype=np.float64), 1e-6))
        centre = features.mean(axis=0, dtype=np.float64)
        bank = np.clip((features - centre) / spread, -6e4, 6e4)
        return cls(
            *(a.astype(np.float32) for a in (centre, spread)), bank.astype(np.float16), limit=1.0
        )

    def within(self) -> np.ndarray:
        """The distances of the training images that are kept to the others of them, (images,)."""
        return self.distances(self.bank.astype(np.float64), 1)

    def write(self, folder: Path) -> None:
        """Write it beside the network; equal ones are equal files."""
        content = io.BytesIO()
        np.savez(content, centre=self.centre, spread=self.spread, bank=self.bank, limit=self.limit)
        write_bytes(folder / FILE, timeless(content.getvalue()))


def read(folder: Path) -> Unlike | None:
    """What `Unlike.write` wrote; None where there is none, as beside networks of older studies.
    Raises UserError where it is damaged."""
    try:
        return Unlike.read(folder / FILE)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise UserError(str(error)) from None


class HeldOut(NamedTuple):
    """A network of cross-validation, and what it did not learn from."""

    net: keras.Model
    held: np.ndarray  # bool (n,): which of the images were held out, at least 1; not all but 1


def learn(
    net: keras.Model, images: np.ndarray, other: HeldOut, false_alarms: float, seed: int
) -> Unlike:
    """What training images of `net` are like, with the limit that a share `false_alarms` of new
    images of their kind is expected to pass.

    `images`: uint8 (n, height, width, channels), n at least 2, what `net` learnt from; may be
    memory-mapped. `other`: a network of the same recipe.
    """
    seen = features(other.net)
    first = Unlike.of(seen(_some(images, ~other.held, seed)))
    usual = np.sort(first.scores(seen(_some(images, other.held, seed))))
    rank = int(np.ceil((len(usual) + 1) * (1 - false_alarms) - 1e-9))
    whole = Unlike.of(features(net)(_some(images, np.ones(len(images), bool), seed)))
    closer = np.median(whole.within()) / max(np.median(first.within()), 1e-12)
    limit = usual[min(rank, len(usual)) - 1] * closer
    return Unlike(whole.centre, whole.spread, whole.bank, max(float(limit), 1e-12))


def _some(images: np.ndarray, which: np.ndarray, seed: int) -> np.ndarray:
    """The images at the True of `which` (n,), or `MOST` of them."""
    rows = np.flatnonzero(which)
    if len(rows) > MOST:
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:MOST])
    return images[rows]


def features(net: keras.Model) -> Features:
    """What makes features of uint8 images (n, height, width, channels), n at least 1, in inference
    mode: those of `cnnlab.likeness.features`."""
    import tensorflow as tf

    from cnnlab.train.input import at_once

    whole, shape = likeness.features(net), net.inputs[0].shape[1:]
    answer = tf.function(
        lambda batch: whole([tf.cast(batch, "float32")], training=False),
        input_signature=[tf.TensorSpec([None, *shape], tf.uint8)],
    )

    def made(images: np.ndarray) -> np.ndarray:
        size = at_once(shape)
        batches = (images[i : i + size] for i in range(0, len(images), size))
        return np.concatenate([answer(tf.constant(batch)).numpy() for batch in batches])

    return made
