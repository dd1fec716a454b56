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
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cnnlab.errors import UserError
from cnnlab.records.files import timeless, write_bytes

if TYPE_CHECKING:
    import keras

FILE = "unlike.npz"
NEIGHBOURS = 5  # the distance is that to the fifth nearest
MOST = 2000  # training images that are kept; of more, some drawn at random
AT_ONCE = 256  # images whose distances are held at once
FLOOR = 1e-2  # of the spread of all features; the least that one is divided by

Features = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Unlike:
    """What it takes to say how unlike the training images others are."""

    centre: np.ndarray  # float32 (features,)
    spread: np.ndarray  # float32 (features,), above 0
    bank: np.ndarray  # float16 (images, features): training images, in units of the spread
    limit: float  # of the distance, above 0; a larger one is unusual

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

    def scores(self, features: np.ndarray) -> np.ndarray:
        """How unlike images are, float64 (n,), from features (n, features): above 1 is unusual."""
        values = (np.asarray(features, np.float64) - self.centre) / self.spread
        return self._distances(values, 0) / self.limit

    def within(self) -> np.ndarray:
        """The distances of the training images that are kept to the others of them, (images,)."""
        return self._distances(self.bank.astype(np.float64), 1)

    def _distances(self, values: np.ndarray, skipped: int) -> np.ndarray:
        """To the nearest but `skipped` (oneself) of the bank."""
        bank = self.bank.astype(np.float64)
        rank = min(NEIGHBOURS + skipped, len(bank)) - 1
        squares, out = (bank**2).sum(axis=1), np.empty(len(values))
        for at in range(0, len(values), AT_ONCE):
            some = values[at : at + AT_ONCE]
            both = (some**2).sum(axis=1)[:, None] + squares - 2 * some @ bank.T
            out[at : at + AT_ONCE] = np.partition(both, rank, axis=1)[:, rank]
        return np.sqrt(np.maximum(out, 0))

    def write(self, folder: Path) -> None:
        """Write it beside the network; equal ones are equal files."""
        content = io.BytesIO()
        np.savez(content, centre=self.centre, spread=self.spread, bank=self.bank, limit=self.limit)
        write_bytes(folder / FILE, timeless(content.getvalue()))


def read(folder: Path) -> Unlike | None:
    """What `Unlike.write` wrote; None where there is none, as beside networks of older studies.
    Raises UserError where it is damaged."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            made = Unlike(
                arrays["centre"], arrays["spread"], arrays["bank"], float(arrays["limit"])
            )
        sound = made.bank.ndim == 2 and len(made.bank) > 0 and made.limit > 0
        shapes = {made.centre.shape, made.spread.shape, made.bank.shape[1:]}
        if not sound or len(shapes) > 1 or not (made.spread > 0).all():
            raise ValueError(f"bank {made.bank.shape}, limit {made.limit}")
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: does not say what training images are like ({error})") from None
    return made


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
    """What makes features, float32 (n, features), of uint8 images (n, height, width, channels), n
    at least 1, in inference mode.

    Of each size that maps have in the network those of the last activation count.
    """
    import keras
    import tensorflow as tf

    from cnnlab.train.input import at_once

    parts = []
    for maps in _maps(net):
        values = keras.ops.cast(maps, "float32")
        parts += [keras.ops.mean(values, (1, 2)), keras.ops.std(values, (1, 2))]
    last = keras.ops.cast(net.layers[-1].input, "float32")
    parts.append(keras.ops.reshape(last, (-1, int(np.prod(last.shape[1:])))))
    whole = keras.Model(net.inputs, keras.ops.concatenate(parts, axis=1))
    shape = net.inputs[0].shape[1:]
    answer = tf.function(
        lambda batch: whole([tf.cast(batch, "float32")], training=False),
        input_signature=[tf.TensorSpec([None, *shape], tf.uint8)],
    )

    def made(images: np.ndarray) -> np.ndarray:
        size = at_once(shape)
        batches = (images[i : i + size] for i in range(0, len(images), size))
        return np.concatenate([answer(tf.constant(batch)).numpy() for batch in batches])

    return made


def _maps(net: keras.Model) -> list[keras.KerasTensor]:
    """Of each size the maps of the last layer that activates, from bottom to top; of one pixel
    none, and of networks without such layers none."""
    from keras import activations, layers

    kinds = (layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU)
    last: dict[tuple[int, int], keras.KerasTensor] = {}
    for layer in net.layers:
        linear = getattr(layer, "activation", activations.linear) in (None, activations.linear)
        if isinstance(layer, kinds) or not linear:
            maps = layer.output
            if len(maps.shape) == 4 and None not in maps.shape[1:] and maps.shape[1:3] != (1, 1):
                last[maps.shape[1:3]] = maps
    return list(last.values())
