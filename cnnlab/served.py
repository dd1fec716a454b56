"""A study's network as MLflow serves it: images in, the probability of each class by its name out,
of each image or, where the network gives logits for each pixel, of each pixel; or the objects that
it finds. `detected` makes boxes of what an exported network that finds objects gives, too.

A copy of this file lies beside each network that is logged (see `cnnlab.logged`), and one of
`cnnlab.likeness`, so that it can be served where cnnlab is not installed: nothing else is imported.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

NETWORK = "model.keras"
ABOUT = "served.json"  # classes, shape of an image, if boxes, and what `records.Answering` says
SET, UNLIKE = "set", "unlike"  # columns besides those of the classes

# As `cnnlab.train.tasks._boxes` has them, which is where it is said why.
DETECTIONS, CANDIDATES = 50, 100  # of an image, at most
SAME, SUREST = 0.5, 0.01  # IoU of boxes of one object; least score
BOX = ("top", "left", "bottom", "right")


class Served:
    """What `mlflow.pyfunc.load_model` gives, and a server asks."""

    def __init__(self, folder: Path):
        import keras

        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        self._classes: list[str] = about["classes"]
        self._shape: tuple[int, ...] = tuple(about["shape"])
        self._temperature: float = about["temperature"]
        self._flips: bool = about["flips"]
        self._boxes: bool = about.get("boxes", False)
        self._least: float | None = about.get("least")
        self._network = keras.models.load_model(folder / NETWORK, compile=False, safe_mode=True)
        if about.get("false_alarms") is None:
            self._like = None
        else:
            from . import likeness

            self._like = likeness.Likeness.read(folder / likeness.FILE)
            self._features = likeness.features(self._network)

    def get_raw_model(self) -> Any:
        """The Keras model, which gives logits."""
        return self._network

    def predict(self, images: Any, params: dict[str, Any] | None = None) -> Any:
        """Calibrated probabilities: a pandas DataFrame, a row an image, a float64 column a class;
        those of pixels as a dict of float32 (n, height, width), an array a class. Of the study's
        final network also a column `set`, the classes that an image may be, the likeliest first,
        and `unlike`, above 1 where it is unlike the training images, so that the answer may mean
        nothing. Of objects a DataFrame too: a row an image, in the column `objects` a list of them,
        the surest first, as dicts of class, score, and the box in pixels of the image.

        `images`: (n, height, width, channels), 0..255, or a dict that holds just that. Raises
        MlflowException, which a server answers as its message alone, for another shape, and for
        numbers that no image has.
        """
        import pandas as pd

        if isinstance(images, dict) and len(images) == 1:
            images = next(iter(images.values()))
        pixels = _numbers(images)
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
        if self._boxes:
            found = detected(logits, self._shape[:2])
            return pd.DataFrame({"objects": [self._objects(of_image) for of_image in found]})
        shares = np.exp((logits - logits.max(axis=-1, keepdims=True)) / self._temperature)
        shares /= shares.sum(axis=-1, keepdims=True)
        if shares.ndim == 4:
            maps = np.moveaxis(shares.astype(np.float32), -1, 0)
            return dict(zip(self._classes, maps, strict=True))
        table = pd.DataFrame(shares, columns=self._classes)
        if self._least is not None:
            table[column(SET, self._classes)] = [self._set(of_image) for of_image in shares]
        if self._like:
            features = np.zeros((0, len(self._like.centre)))
            if len(batch):
                features = self._features.predict(batch, verbose=0)
            table[column(UNLIKE, self._classes)] = self._like.scores(features)
        return table

    def _set(self, shares: np.ndarray) -> list[str]:
        """The classes of at least the least probability, and the likeliest, which comes first."""
        first, *others = np.argsort(-shares, kind="stable")
        return [self._classes[k] for k in (first, *(k for k in others if shares[k] >= self._least))]

    def _objects(self, found: np.ndarray) -> list[dict[str, Any]]:
        return [
            {"class": self._classes[int(number)], "score": score} | dict(zip(BOX, box, strict=True))
            for number, score, *box in found.tolist()
        ]


def column(name: str, classes: Sequence[str]) -> str:
    """The name of a column besides those of the classes."""
    while name in classes:
        name += "_"
    return name


def detected(maps: np.ndarray, shape: Sequence[int]) -> list[np.ndarray]:
    """What maps (n, rows, columns, classes + 4) say is on each of n images of `shape` (height,
    width), float (k, 6), the surest first: class number, score, and top, left, bottom and right in
    pixels. In NumPy what `python -m cnnlab.predict` does, which leaves out scores below 0.3.

    Of each cell the maps hold a logit a class (its sigmoid is the score), height and width of the
    box, and its centre below and right of the cell's upper left corner, in cells. What has a higher
    score among its 8 neighbours is none, nor what overlaps a surer one of its class by half.
    """
    maps = np.asarray(maps, np.float32)
    scores = 1 / (1 + np.exp(-np.clip(maps[..., :-4], -80, 80)))
    around = np.pad(scores, ((0, 0), (1, 1), (1, 1), (0, 0)))
    around = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(1, 2))
    peaks = (scores >= around.max(axis=(-2, -1))) & (scores >= SUREST)
    cells, sides = np.array(maps.shape[1:3]), np.array(shape)
    found = []
    for peak, score, about in zip(peaks, scores, maps[..., -4:], strict=True):
        places = np.argwhere(peak)  # (candidates, row, column and class)
        sure = score[peak]
        order = np.argsort(-sure, kind="stable")[:CANDIDATES]
        places, sure = places[order], sure[order]
        box = about[places[:, 0], places[:, 1]]
        centre, half = places[:, :2] + box[:, 2:], np.maximum(box[:, :2], 0) / 2
        corners = [np.clip(end / cells, 0, 1) * sides for end in (centre - half, centre + half)]
        every = np.column_stack([places[:, 2], sure, *corners])
        kept: list[np.ndarray] = []
        for one in every:
            if not any(one[0] == other[0] and _iou(one, other) >= SAME for other in kept):
                kept.append(one)
        found.append(np.reshape(kept[:DETECTIONS], (-1, 6)))
    return found


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    """Area that two boxes share of the area that either covers."""
    high = np.minimum(one[4:], other[4:]) - np.maximum(one[2:4], other[2:4])
    shared = np.prod(np.maximum(high, 0))
    both = np.prod(one[4:] - one[2:4]) + np.prod(other[4:] - other[2:4]) - shared
    return float(shared / both) if both else 0.0


def _numbers(images: Any) -> np.ndarray:
    """What was sent, as numbers where it is some; a server hands on objects."""
    pixels = np.asarray(images)
    if pixels.dtype.kind == "O":
        with contextlib.suppress(ValueError, TypeError):  # of unequal sizes, or no numbers
            return pixels.astype(np.float32)
    return pixels


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

    what = f"of shape {pixels.shape}"
    if pixels.dtype.kind not in "fiu":
        what = "of unequal sizes, or no numbers"
    if pixels.shape[1:] == shape and pixels.dtype.kind in "fiu":
        what = f"of numbers from {pixels.min():g} to {pixels.max():g}"
    allowed = ", ".join(map(str, shape))
    said = f"images {what}; allowed: (n, {allowed}), numbers from 0 to 255"
    return Refusal(said, INVALID_PARAMETER_VALUE)


def _load_pyfunc(path: str) -> Served:
    """What MLflow calls: `path` is the folder of the network."""
    return Served(Path(path))
