"""What else one needs to use a saved network, `models/usage.json` beside it: the one place that
writes and reads it. With both, images are judged as the study's own were, whatever became of the
study. (What training images are like is in a third file, see `cnnlab.train.unlike`.)"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import TypeAdapter, ValidationError

from cnnlab import records
from cnnlab.compare import calibration
from cnnlab.data.images import RESIZE, BadImage, Decoded, Settings, decode
from cnnlab.errors import UserError
from cnnlab.tasks import TASKS

if TYPE_CHECKING:
    import keras

FILE = "usage.json"
CLASSIFICATION = "classification"


@dataclass(frozen=True)
class Usage:
    """How a network is fed, what its outputs are called, and how far they can be believed."""

    recipe: str  # name of the variant
    classes: list[str]  # in the order of the outputs
    shape: list[int]  # of an image: height, width, channels
    resize: str  # what is done to images of another shape, a key of RESIZE
    megapixels: float  # larger images are refused
    scale: list[float] | None = None  # of images of more than 8 bits; None: each one's own
    temperature: float = 1.0  # what logits are divided by
    flips: bool = False  # logits are the mean of those of an image and its mirror image
    coverage: float | None = None  # of prediction sets, as declared; None: there are no sets
    least: float = 1.0  # probability of a class in the set of an image
    false_alarms: float | None = None  # of `unlike`, as declared; None: it was not measured
    task: str = CLASSIFICATION  # a file of cnnlab/tasks: what the outputs say of an image

    def write(self, folder: Path) -> None:
        """Write it beside the network."""
        facts = asdict(self)
        if self.task == CLASSIFICATION:  # as before there were other tasks
            del facts["task"]
        (folder / FILE).write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n")

    @property
    def answering(self) -> records.Answering:
        """How the network's logits become probabilities, and what is said besides."""
        least = None if self.coverage is None else self.least
        return records.Answering(
            self.temperature, self.flips, self.coverage, least, self.false_alarms
        )

    def believed(self, probabilities: np.ndarray) -> np.ndarray:
        """A network's probabilities (n, classes) as they can be believed, float64."""
        return calibration.scaled(probabilities, self.temperature)

    def sets(self, believed: np.ndarray) -> list[list[str]] | None:
        """For each image the classes that it may be, the likeliest first, from what `believed`
        gives; None where the network has no such limit."""
        if self.coverage is None:
            return None
        order = np.argsort(-believed, axis=1, kind="stable")
        chosen = calibration.sets(believed, self.least)
        return [
            [self.classes[k] for k in ranks if of_image[k]]
            for ranks, of_image in zip(order, chosen, strict=True)
        ]

    def pixels(self, content: bytes) -> np.ndarray:
        """An image file's bytes as the network takes them, uint8 of `shape`. Raises BadImage."""
        return self.decoded(content).pixels

    def decoded(self, content: bytes) -> Decoded:
        """The same, with what the image was. Raises BadImage."""
        height, width, channels = self.shape
        size = height if height == width else None
        settings = Settings(size, self.resize, channels, self.megapixels, self.scale)
        image = decode(content, settings)
        if list(image.pixels.shape) != self.shape:
            allowed = f"{width}x{height}, as {FILE} says"
            raise BadImage(f"{image.width}x{image.height} pixels; allowed: {allowed}")
        return image


def _typed(text: str) -> Usage:
    """What the text says. Raises ValueError for a value that is not of its kind, TypeError for keys
    that are missing or unknown."""
    Usage(**json.loads(text))
    try:
        return TypeAdapter(Usage).validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ValueError(f"{key} {first['input']!r}: {first['msg']}") from None


def network_of(folder: Path, about: Usage) -> keras.Model:
    """The network beside which `about` lies. Raises UserError where it cannot be loaded, or is
    another than it speaks of."""
    network = records.load_model(folder / records.MODEL)
    takes, gives = list(network.input_shape[1:]), list(network.output_shape[1:])
    if takes != about.shape:
        raise UserError(
            f"{folder / FILE}: shape {about.shape}, but the network beside it takes {takes}"
        )
    from cnnlab.recipe.detector import BOX

    each = len(about.classes) + (BOX if TASKS[about.task].LOGITS else 0)
    if gives[-1] != each or (len(gives) == 1) != (about.task == CLASSIFICATION):
        raise UserError(
            f"{folder / FILE}: task {about.task} with {len(about.classes)} classes, but the "
            f"network beside it gives numbers of shape {gives}"
        )
    return network


def read(folder: Path) -> Usage:
    """What `Usage.write` wrote. Raises UserError where it is missing or damaged."""
    path = folder / FILE
    try:
        usage = _typed(path.read_text())
        if usage.resize not in RESIZE:
            raise ValueError(f"resize {usage.resize!r}; allowed: {', '.join(RESIZE)}")
        if len(usage.shape) != 3 or min(usage.shape) < 1 or usage.shape[2] not in (1, 3):
            raise ValueError(f"shape {usage.shape}; allowed: height, width, and 1 or 3 channels")
        if not usage.classes or len({*usage.classes}) < len(usage.classes):
            raise ValueError(f"classes {usage.classes}; allowed: names that differ")
        for name in ("temperature", "megapixels"):
            if not (getattr(usage, name) > 0 and math.isfinite(getattr(usage, name))):
                raise ValueError(f"{name} {getattr(usage, name)}")
        if usage.task not in TASKS.names():
            raise ValueError(f"task {usage.task!r}; allowed: {', '.join(TASKS.names())}")
        if usage.flips and TASKS[usage.task].MAPS:
            raise ValueError("flips: maps of mirror images are not averaged")
        if not 0 <= usage.least <= 1:
            raise ValueError(f"least {usage.least}")
        if usage.scale is not None and not (
            len(usage.scale) == 2 and all(map(math.isfinite, usage.scale)) and usage.scale[1] > 0
        ):
            raise ValueError(f"scale {usage.scale}; allowed: two numbers, the second > 0")
    except FileNotFoundError:
        raise UserError(f"{path}: there is none; run `dvc repro final` first") from None
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: does not say how to use a network ({error})") from None
    return usage
