"""A study's network as MLflow serves it: images in, the probability of each class by its name out,
of each image or, where the network gives logits for each pixel, of each pixel.

A copy of this file lies beside each network that is logged (see `cnnlab.logged`), so that it can be
served where cnnlab is not installed: it imports nothing of cnnlab.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

NETWORK = "model.keras"
ABOUT = "served.json"  # classes, shape of an image, temperature, and whether both ways


class Served:
    """What `mlflow.pyfunc.load_model` gives, and a server asks."""

    def __init__(self, folder: Path):
        import keras

        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self._classes: list[str] = about["classes"]
        self._shape: tuple[int, ...] = tuple(about["shape"])
        self._temperature: float = about["temperature"]
        self._flips: bool = about["flips"]
        self._network = keras.models.load_model(folder / NETWORK, compile=False, safe_mode=True)

    def get_raw_model(self) -> Any:
        """The Keras model, which gives logits."""
        return self._network

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> Any:
        """Calibrated probabilities: a pandas DataFrame, a row an image, a float64 column a class;
        those of pixels as a dict of float32 (n, height, width), an array a class.

        `images`: (n, height, width, channels), 0..255, or a dict that holds just that. Raises
        MlflowException, which a server answers as its message alone, for another shape, and for
        numbers that no image has.
        """
        import pandas as pd

        if isinstance(images, dict) and len(images) == 1:
            images = next(iter(images.values()))
        pixels = np.asarray(images)
        if pixels.shape[1:] != self._shape or pixels.dtype.kind not in "fiu":
            raise _refused(pixels, self._shape)
        if pixels.size and not (pixels.min() >= 0 and pixels.max() <= 255):  # or one is no number
            raise _refused(pixels, self._shape)
        batch = pixels.astype(np.float32)
        logits = np.zeros((0, *self._network.output_shape[1:]))
        if len(batch):
            ways = [batch, batch[:, :, ::-1]] if self._flips else [batch]
            logits = np.mean([self._network.predict(way, verbose=0) for way in ways], axis=0)
            logits = np.asarray(logits, np.float64)
        shares = np.exp((logits - logits.max(axis=-1, keepdims=True)) / self._temperature)
        shares /= shares.sum(axis=-1, keepdims=True)
        if shares.ndim == 4:
            maps = np.moveaxis(shares.astype(np.float32), -1, 0)
            return dict(zip(self._classes, maps, strict=True))
        return pd.DataFrame(shares, columns=self._classes)


def _refused(pixels: np.ndarray, shape: tuple[int, ...]) -> Exception:
    from mlflow.exceptions import MlflowException
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE

    class Refusal(MlflowException):
        """Keeps its message: MLflow's server would put all of the input before it."""

        @property
        def message(self) -> str:
            return self._message

        @message.setter
        def message(self, text: str) -> None:
            self._message = getattr(self, "_message", text)

    what = "of unequal sizes" if pixels.dtype.kind not in "fiu" else f"of shape {pixels.shape}"
    if pixels.shape[1:] == shape and pixels.dtype.kind in "fiu":
        what = f"of numbers from {pixels.min():g} to {pixels.max():g}"
    allowed = ", ".join(map(str, shape))
    said = f"images {what}; allowed: (n, {allowed}), numbers from 0 to 255"
    return Refusal(said, INVALID_PARAMETER_VALUE)


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls: `path` is the folder of the network."""
    return Served(Path(path))
