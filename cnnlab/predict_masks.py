"""What is in images, pixel by pixel: what `python -m cnnlab.predict` does where the recommended
variant gives a class to each pixel.

Writes for each image predictions/NAME_mask.png, as large as the image (upright, as its EXIF says):
the value of a pixel is the number of its class, 255 where the network did not see it (what
`data.resize: crop` cuts off), and its colour is the one that the class has in all figures; and
predictions/NAME_overlay.png, the image with contours. Of more than one it writes besides
predictions/predictions.csv, for each image which share of its pixels each class has, and
predictions/contact_sheet.png. With --json the shares are printed as one JSON list, nothing else is
printed, and no file is written.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnnlab import look
from cnnlab.asked import FEW, SHEET, TABLE, Images
from cnnlab.data.images import Settings, decode
from cnnlab.data.sources import shown
from cnnlab.data.truths.segmentation import restored
from cnnlab.look import overlays
from cnnlab.look.contours import colour_of
from cnnlab.overlap import shares as shares_of
from cnnlab.processes import quiet
from cnnlab.progress import bar
from cnnlab.usage import Usage, network_of

LARGEST = 1024  # pixels: the longer side of an overlay
AT_ONCE = 32  # images whose masks are held in memory
BAR = 20  # characters of a share of 1


@dataclass(frozen=True)
class _Seen:
    """An image that was asked about."""

    pixels: np.ndarray  # uint8 (height, width, channels), as the network takes it
    height: int  # of the original
    width: int
    view: np.ndarray | None  # uint8 (h, w, channels): the original, at most `LARGEST`


@dataclass(frozen=True)
class _Answer:
    """What the network says of an image."""

    file: str
    image: _Seen
    small: np.ndarray  # uint8, as large as the network's
    mask: np.ndarray  # uint8 (height, width) of the original
    shares: dict[str, float]  # of the pixels that the network saw, 0..1


def answer(asked: argparse.Namespace, about: Usage) -> int:
    """Answer as `cnnlab.predict` was asked (`images`, `model`, `out`, `json`); returns the exit
    status. Raises UserError as `Images` does."""
    read = lambda content: _seen(about, content, not asked.json)  # noqa: E731
    images = Images(asked.images, read, asked.out)
    answers = _answers(asked.model, about, images)
    if asked.json:
        return images.print_json(_facts(each) for each in answers)
    images.make_room()
    console = Console(soft_wrap=True)
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(_Whole(asked.out, about)) if images.several else None
        steps = stack.enter_context(bar("images", images.total)) if images.total > FEW else None
        for each in answers:
            files = _write(each, images)
            if whole:
                whole.add(each)
            if steps:
                steps.advance()
            else:
                _show(console, each, about, files)
    if whole:
        whole.finish(console, in_words=images.total > FEW)
    return images.status()


def _seen(about: Usage, content: bytes, with_view: bool) -> _Seen:
    """An image file's bytes as they are needed. Raises BadImage."""
    decoded = about.decoded(content)
    view = None
    if with_view:
        view = decoded.pixels
        if (decoded.height, decoded.width) != view.shape[:2]:
            settings = Settings(None, about.resize, about.shape[2], about.megapixels, about.scale)
            view = decode(content, settings).pixels
    if view is not None and max(view.shape[:2]) > LARGEST:
        picture = Image.fromarray(view.squeeze(2) if view.shape[2] == 1 else view)
        picture.thumbnail((LARGEST, LARGEST))
        small = np.asarray(picture)
        view = small[..., None] if small.ndim == 2 else small
    return _Seen(decoded.pixels, decoded.height, decoded.width, view)


def _answers(model: Path, about: Usage, images: Images) -> Iterator[_Answer]:
    """What the network says of the images, which is loaded when they can be read."""
    network, ask = None, None
    for files, some in images.batches(AT_ONCE):
        with quiet():
            if network is None:
                from cnnlab.train.answer import masks as ask  # imports TensorFlow

                network = network_of(model, about)
            said = ask(network, np.stack([image.pixels for image in some]))
        for file, image, small in zip(files, some, said, strict=True):
            mask = restored(small, (image.height, image.width), about.resize)
            yield _Answer(file, image, small, mask, shares_of(mask, about.classes))


def _facts(each: _Answer) -> dict[str, Any]:
    """What is said of an image, as JSON has it."""
    return {
        "file": shown(each.file),
        "height": each.image.height,
        "width": each.image.width,
        "shares": {name: round(share, 6) for name, share in each.shares.items()},
    }


def _write(each: _Answer, images: Images) -> list[Path]:
    """The mask and the overlay; returns their files."""
    files = images.pictures(each.file, ["_mask.png", "_overlay.png"])
    overlays.indexed(each.mask).save(files[0])
    Image.fromarray(overlays.overlay(each.image.view, each.mask)).save(files[1])
    return files


def _show(console: Console, each: _Answer, about: Usage, files: list[Path]) -> None:
    """Print which classes the image shows, and where its pictures are."""
    there = {name: share for name, share in each.shares.items() if share}
    console.print(_table(shown(each.file), there, about, lambda share: f"{share:.1%}"))
    for file, what in zip(files, ("mask", "overlay"), strict=True):
        console.print(f"{what}: {file}", highlight=False, markup=False)


def _table(title: str, shares: Mapping[str, float], about: Usage, written) -> Table:
    """Classes in their colours, the largest share first."""
    table = Table(title=Text(title, "bold"), title_justify="left", box=None, show_header=False)
    for name, share in sorted(shares.items(), key=lambda item: -item[1]):
        number = about.classes.index(name)
        bar = Text("█" * round(share * BAR), colour_of(number) if number else "")
        table.add_row(Text(name), Text(written(share)), bar)
    return table


class _Whole:
    """What is written of all images together: the table and the sheet."""

    def __init__(self, out: Path, about: Usage):
        self._out, self._about = out, about
        self._first: list[overlays.Masked] = []
        self._with, self._total = Counter[str](), 0  # images that show a class

    def __enter__(self) -> _Whole:
        self._file = (self._out / TABLE).open("w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file, lineterminator="\n")
        self._csv.writerow(["file", *(f"share of {name}" for name in self._about.classes)])
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, each: _Answer) -> None:
        """Take in the answer to an image."""
        self._csv.writerow([shown(each.file), *(f"{s:.6g}" for s in each.shares.values())])
        there = {name: share for name, share in each.shares.items() if share}
        self._with.update(there.keys())
        self._total += 1
        if len(self._first) < overlays.MOST:
            name, background = shown(Path(each.file).name), self._about.classes[0]
            others = sorted(there.keys() - {background}, key=there.__getitem__, reverse=True)
            words = ", ".join(others) or f"{background} alone"
            self._first.append(overlays.Masked(each.image.pixels, each.small, name, words))

    def finish(self, console: Console, in_words: bool) -> None:
        """Draw the sheet. `in_words`: also print how many images show what."""
        if not self._total:
            return
        if in_words:
            shares = {name: count / self._total for name, count in self._with.items()}
            title = f"images that show a class, of {self._total}"
            written = lambda share: str(round(share * self._total))  # noqa: E731
            console.print(_table(title, shares, self._about, written))
        note = (
            "as the network sees them, with predicted contours; below: classes, the largest first"
        )
        if len(self._first) < self._total:
            note = f"the first {len(self._first)}, {note}"
        title = f"{self._about.recipe}: {self._total} images"
        sheet = overlays.overlays_figure(title, note, self._first, self._about.classes)
        look.save(sheet, self._out / SHEET)
        for file in (self._out / TABLE, self._out / SHEET):
            console.print(f"written: {file}", highlight=False, markup=False)
