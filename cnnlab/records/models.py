"""Trained networks on disk."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cnnlab.errors import UserError
from cnnlab.records.files import replacing, timeless, write_bytes

if TYPE_CHECKING:
    import h5py

MODEL = "model.keras"


def save_model(model, path: Path) -> None:
    """Save a Keras model, without its optimizer, so that equal models are equal files.

    (Keras writes the time of day into them.)
    """
    bare = type(model).from_config(model.get_config())
    bare.set_weights(model.get_weights())
    with replacing(path) as temporary:
        bare.save(temporary)
        temporary.write_bytes(timeless(temporary.read_bytes()))


def write_model(folder: Path, content: bytes) -> None:
    """Write the network that was saved elsewhere, given as its file's content."""
    write_bytes(folder / MODEL, content)


def load_model(path: Path):
    """Load a model that a stage saved. Keras's safe mode refuses code hidden in the file.

    Raises UserError where the file is missing or is no such model.
    """
    import keras

    if path.is_file() and not zipfile.is_zipfile(path):  # of which Keras says "not found"
        raise UserError(f"{path}: is damaged: only a part of a model's file, or none")
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a model that can be loaded safely ({error})") from None


@dataclass(frozen=True)
class Answering:
    """How a network's logits become the probabilities that are given out, and what is said of an
    image besides."""

    temperature: float = 1.0  # what logits are divided by
    flips: bool = False  # they are the mean of those of the image and of its mirror image
    coverage: float | None = None  # of sets of classes, as declared; None: there are no sets
    least: float | None = None  # probability of a class in the set of an image
    false_alarms: float | None = None  # of the score "unlike", as declared; None: there is none

    def of(self, network):
        """A Keras model that takes what `network` takes, float32 (n, height, width, channels), and
        gives probabilities (n, classes): what whoever gets the network as a service, or in another
        format, is given."""
        import keras

        (images,), logits = network.inputs, network.outputs[0]
        if self.flips:
            mirrored = network(keras.ops.flip(images, axis=2))
            logits = keras.layers.Average(name="both_ways", dtype="float32")([logits, mirrored])
        scaled = keras.layers.Rescaling(1 / self.temperature, name="temperature", dtype="float32")
        shares = keras.layers.Softmax(name="probabilities", dtype="float32")
        return keras.Model(network.inputs, shares(scaled(logits)))


AS_TRAINED = Answering()


def count_weights(path: Path, not_in: Path | None = None) -> int:
    """How many weights a saved network has, statistics included. Does not load TensorFlow.

    `not_in`: another saved network, whose arrays are not counted: of a network that began at it,
    what training changed is left. Raises UserError where a file is missing or is no such network.
    """
    known = {(a.shape, a.tobytes()) for a in _weights(not_in)} if not_in else set()
    return sum(a.size for a in _weights(path) if (a.shape, a.tobytes()) not in known)


def _weights(path: Path) -> list[np.ndarray]:
    """The arrays of a saved network."""
    import h5py

    arrays: list[np.ndarray] = []

    def collect(_: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            arrays.append(item[()])

    try:
        with zipfile.ZipFile(path) as archive:
            content = io.BytesIO(archive.read("model.weights.h5"))
        with h5py.File(content) as file:
            file.visititems(collect)
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a saved network ({error}); delete it to train anew") from None
    return arrays
