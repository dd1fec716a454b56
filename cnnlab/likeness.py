"""How unlike the training images an image is, as a network sees it, from what `cnnlab.train.unlike`
learnt and wrote beside the network.

A copy of this file lies beside each network that is served with it: it imports nothing of cnnlab.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

FILE = "unlike.npz"
NEIGHBOURS = 5  # the distance is that to the fifth nearest
AT_ONCE = 256  # images whose distances are held at once


@dataclass(frozen=True)
class Likeness:
    """What it takes to say how unlike the training images others are."""

    centre: np.ndarray  # float32 (features,)
    spread: np.ndarray  # float32 (features,), above 0
    bank: np.ndarray  # float16 (images, features): training images, in units of the spread
    limit: float  # of the distance, above 0; a larger one is unusual

    @classmethod
    def read(cls, path: Path) -> Likeness:
        """What `cnnlab.train.unlike` wrote. Raises FileNotFoundError, and ValueError where it is
        damaged."""
        try:
            with np.load(path, allow_pickle=False) as arrays:
                names = ("centre", "spread", "bank")
                made = cls(*(arrays[name] for name in names), float(arrays["limit"]))
            sound = made.bank.ndim == 2 and len(made.bank) > 0 and made.limit > 0
            shapes = {made.centre.shape, made.spread.shape, made.bank.shape[1:]}
            if not sound or len(shapes) > 1 or not (made.spread > 0).all():
                raise ValueError(f"bank {made.bank.shape}, limit {made.limit}")
        except FileNotFoundError:
            raise
        except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
            raise ValueError(
                f"{path}: does not say what training images are like ({error})"
            ) from None
        return made

    def scores(self, features: np.ndarray) -> np.ndarray:
        """How unlike images are, float64 (n,), from features (n, features): above 1 is unusual."""
        values = (np.asarray(features, np.float64) - self.centre) / self.spread
        return self.distances(values, 0) / self.limit

    def distances(self, values: np.ndarray, skipped: int) -> np.ndarray:
        """To the nearest but `skipped` (oneself) of the bank."""
        bank = self.bank.astype(np.float64)
        rank = min(NEIGHBOURS + skipped, len(bank)) - 1
        squares, out = (bank**2).sum(axis=1), np.empty(len(values))
        for at in range(0, len(values), AT_ONCE):
            some = values[at : at + AT_ONCE]
            both = (some**2).sum(axis=1)[:, None] + squares - 2 * some @ bank.T
            out[at : at + AT_ONCE] = np.partition(both, rank, axis=1)[:, rank]
        return np.sqrt(np.maximum(out, 0))


def features(net: keras.Model) -> keras.Model:
    """The network that makes features, float32 (n, features), of what `net` takes.

    Of each size that maps have in the network those of the last activation count.
    """
    import keras

    parts = []
    for maps in _maps(net):
        values = keras.ops.cast(maps, "float32")
        parts += [keras.ops.mean(values, (1, 2)), keras.ops.std(values, (1, 2))]
    last = keras.ops.cast(net.layers[-1].input, "float32")
    parts.append(keras.ops.reshape(last, (-1, int(np.prod(last.shape[1:])))))
    return keras.Model(net.inputs, keras.ops.concatenate(parts, axis=1))


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
