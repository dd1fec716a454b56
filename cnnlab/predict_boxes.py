"""Which objects are on images: what `python -m cnnlab.predict` does where the recommended variant
finds objects.

Writes for each image predictions/NAME_boxes.png, the image as the network sees it with a box, a
class and a score for each detection of a score of at least `LEAST`, and of more than one image
predictions/predictions.csv: a line a detection, its box in pixels of the image (upright, as its
EXIF says). With --json all of it is printed as one JSON list, nothing else is printed, and no file
is written.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from cnnlab import look
from cnnlab.asked import FEW, TABLE, Images
from cnnlab.data.sources import shown
from cnnlab.data.truths.detection import returned
from cnnlab.processes import quiet
from cnnlab.progress import bar
from cnnlab.usage import Usage, network_of

LEAST = 0.3  # score of what is told
AT_ONCE = 64  # images
COLUMNS = ["class", "score", "top", "left", "bottom", "right"]


class _Answer(NamedTuple):
    """What the network says of an image."""

    file: str
    size: tuple[int, int]  # height and width of the original
    pixels: np.ndarray  # uint8 (height, width, channels), as the network takes it
    small: np.ndarray  # float32 (k, 6): class number, score, and the box in these pixels
    boxes: np.ndarray  # float32 (k, 4): the boxes in pixels of the original


def answer(asked: argparse.Namespace, about: Usage) -> int:
    """Answer as `cnnlab.predict` was asked (`images`, `model`, `out`, `json`); returns the exit
    status. Raises UserError as `Images` does."""
    images = Images(asked.images, about.decoded, asked.out)
    answers = _answers(asked.model, about, images)
    if asked.json:
        return images.print_json(_facts(each, about) for each in answers)
    images.make_room()
    console = Console(soft_wrap=True)
    with contextlib.ExitStack() as stack:
        table = stack.enter_context(_table(asked.out)) if images.several else None
        steps = stack.enter_context(bar("images", images.total)) if images.total > FEW else None
        for each in answers:
            facts = _facts(each, about)
            (path,) = images.pictures(each.file, ["_boxes.png"])
            title = shown(Path(each.file).name)
            rows = [(each.pixels, np.zeros((0, 5), np.float32), each.small, "")]
            look.save(look.boxes_figure(title, rows, about.classes, LEAST), path)
            if table:
                table.writerows([facts["file"], *found.values()] for found in facts["objects"])
            if steps:
                steps.advance()
            else:
                console.print(f"{facts['file']}: {_words(facts)}; {path}", markup=False)
    if images.several:
        console.print(f"written: {asked.out / TABLE}", highlight=False, markup=False)
    return images.status()


def _words(facts: dict[str, Any]) -> str:
    found = [f"{one['class']} {one['score']:.2f}" for one in facts["objects"]]
    return ", ".join(found) or "nothing found"


@contextlib.contextmanager
def _table(out: Path) -> Iterator[Any]:
    """What writes lines of the table, whose head is there."""
    with (out / TABLE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["file", *COLUMNS])
        yield writer


def _answers(model: Path, about: Usage, images: Images) -> Iterator[_Answer]:
    """What the network says of the images, which is loaded when they can be read."""
    network, ask = None, None
    for files, some in images.batches(AT_ONCE):
        with quiet():
            if network is None:
                from cnnlab.train.answer import boxes as ask  # imports TensorFlow

                network = network_of(model, about)
            found = ask(network, np.stack([image.pixels for image in some]))
        for file, image, detected in zip(files, some, found, strict=True):
            kept = detected[(detected[:, 0] >= 0) & (detected[:, 1] >= LEAST)]
            size = image.height, image.width
            whole = returned(kept[:, 2:], size, image.pixels.shape, about.resize)
            yield _Answer(file, size, image.pixels, kept, whole)


def _facts(each: _Answer, about: Usage) -> dict[str, Any]:
    """What is said of an image, as JSON has it, the surest object first."""
    objects = []
    for (number, score, *_), box in zip(each.small.tolist(), each.boxes.tolist(), strict=True):
        values = about.classes[int(number)], round(score, 4), *(round(end, 1) for end in box)
        objects.append(dict(zip(COLUMNS, values, strict=True)))
    height, width = each.size
    return {"file": shown(each.file), "height": height, "width": width, "objects": objects}
