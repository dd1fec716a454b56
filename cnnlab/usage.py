"""What else one needs to use a saved network, `models/usage.json` beside it: the one place that
writes and reads it. With both, images are judged as the study's own were, whatever became of the
study. (What training images are like is in a third file, see `cnnlab.train.unlike`.)"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from cnnlab import records
from cnnlab.compare import calibration
from cnnlab.data.images import RESIZE, BadImage, Decoded, Settings, decode
from cnnlab.errors import UserError
from cnnlab.tasks import TASKS

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
        """How the network's logits become probabilities."""
        return records.Answering(self.temperature, self.flips)

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
            raise BadImage(f"{image.width}x{image.height} pixels; allowed: {width}x{height}")
        return image


def read(folder: Path) -> Usage:
    """What `Usage.write` wrote. Raises UserError where it is missing or damaged."""
    path = folder / FILE
    try:
        usage = Usage(**json.loads(path.read_text()))
        if usage.resize not in RESIZE or len(usage.shape) != 3 or not usage.classes:
            raise ValueError(f"resize {usage.resize!r}, shape {usage.shape}")
        if not (usage.temperature > 0 and math.isfinite(usage.temperature)):
            raise ValueError(f"temperature {usage.temperature}")
        if usage.task not in TASKS.names():
            raise ValueError(f"task {usage.task!r}; allowed: {', '.join(TASKS.names())}")
        if usage.flips and TASKS[usage.task].MAPS:
            raise ValueError("flips: maps of mirror images are not averaged")
        if not 0 <= usage.least <= 1:
            raise ValueError(f"least {usage.least}")
    except FileNotFoundError:
        raise UserError(f"{path}: there is none; run `dvc repro final` first") from None
    except (OSError, ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{path}: does not say how to use a network ({error})") from None
    return usage
