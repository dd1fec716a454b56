"""What is in images: `python -m cnnlab.predict IMAGE_OR_FOLDER...` (`make predict IMAGE=...`).

Asks the network of the recommended variant. Of a few images it prints the likeliest classes with
their probabilities, and draws for each what in it speaks for them (Grad-CAM), as
predictions/IMAGE.png. Of more than one it writes predictions/predictions.csv, a row an image, and
predictions/contact_sheet.png. A warning says where an image is unlike the training images, so that
the answer may mean nothing, and a line which other classes cannot be ruled out. With --json the
answers are printed as one JSON list, nothing else is printed, and no file is written.

Of a network that gives a class to each pixel see `cnnlab.predict_masks`, of one that finds objects
`cnnlab.predict_boxes`.

Without an image the study's own samples are asked about, data/sample, where it has some. A few
images of which some cannot be read stop it. Of many, or of those of a folder (at any depth), .tar
or .zip, they are listed, the others go on, and the exit status is 3.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import importlib
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnnlab import look, paths, usage
from cnnlab.asked import FEW, SHEET, TABLE, Images
from cnnlab.asked import SOME_BAD as SOME_BAD
from cnnlab.data.sources import shown
from cnnlab.errors import UserError, run_command
from cnnlab.look import contact
from cnnlab.look.contact import Answer
from cnnlab.processes import import_keras, quiet
from cnnlab.progress import bar
from cnnlab.tasks import TASKS

BAR = 20  # characters of a probability of 1
UNLIKE = "unlike the training images"
# Where the negative of an image is that much more like the training images, it is said: people draw
# dark on light, where data sets have light on dark.
REVERSED = 0.6


@dataclass(frozen=True)
class Answers:
    """What the network says of images, in their order."""

    files: list[str]
    images: np.ndarray  # uint8 (n, height, width, channels), as the network takes them
    shares: np.ndarray  # float64 (n, classes), calibrated
    sets: list[list[str]] | None  # classes that cannot be ruled out, the likeliest first
    unlike: np.ndarray | None  # float64 (n,), above 1: unlike the training images
    negative: np.ndarray | None  # as `unlike`, of the negatives of those above 1; elsewhere nan

    def warning(self, i: int) -> str:
        """What is to be said of image `i`, besides its classes; empty where nothing is."""
        if self.unlike is None or self.negative is None or self.unlike[i] <= 1:
            return ""
        said = f"{UNLIKE} ({self.unlike[i]:.1f} × the limit): the answer may mean nothing"
        if self.negative[i] < REVERSED * self.unlike[i]:
            said += "; its negative is more like them: are light and dark reversed?"
        return said


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status. Raises UserError, before any model is loaded, for all of a few
    images that cannot be read, and where there are no images."""
    asked = _parse(arguments)
    about = usage.read(asked.model)
    if module := TASKS[about.task].PREDICTS:
        return importlib.import_module(module).answer(asked, about)
    images = Images(asked.images, about.pixels, asked.out)
    ask = _Network(asked.model, about)
    if asked.json:
        return images.print_json(_every_fact(ask, images))
    images.make_room()
    console = Console(soft_wrap=True)
    with contextlib.ExitStack() as stack:
        whole = stack.enter_context(_Whole(asked.out, about)) if images.several else None
        steps = stack.enter_context(bar("images", images.total)) if images.total > FEW else None
        for files, pixels in images.batches():
            answers = ask(files, np.stack(pixels))
            if whole:
                whole.add(answers)
            if steps:
                steps.advance(len(answers.files))
            else:
                _show(console, ask, answers, asked.top, images)
    if whole:
        whole.finish(console, in_words=images.total > FEW)
    return images.status()


def _every_fact(ask: _Network, images: Images) -> Iterator[dict[str, Any]]:
    for files, pixels in images.batches():
        answers = ask(files, np.stack(pixels))
        for i in range(len(files)):
            yield _facts(ask.about, answers, i)


def _facts(about: usage.Usage, answers: Answers, i: int) -> dict[str, Any]:
    """What is known of an image, as JSON has it; null: the network does not know it."""
    shares = answers.shares[i]
    return {
        "file": shown(answers.files[i]),
        "predicted": about.classes[int(shares.argmax())],
        "probability": round(float(shares.max()), 6),
        "set": answers.sets[i] if answers.sets else None,
        "unlike": None if answers.unlike is None else round(float(answers.unlike[i]), 4),
        "warning": answers.warning(i) or None,
        "probabilities": {
            name: round(float(share), 6) for name, share in zip(about.classes, shares, strict=True)
        },
    }


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cnnlab.predict", description=__doc__)
    parser.add_argument("images", nargs="*", type=paths.typed, metavar="IMAGE_OR_FOLDER")
    parser.add_argument(
        "--model", type=paths.typed, default=paths.MODELS, help="folder of the network"
    )
    parser.add_argument("--top", type=int, default=3, help="classes to show, at least 1")
    parser.add_argument(
        "--out", type=paths.typed, default=Path("predictions"), help="for what is written"
    )
    parser.add_argument(
        "--json", action="store_true", help="print the answers as JSON, and write no files"
    )
    asked = parser.parse_args(arguments)
    if asked.top < 1:
        raise UserError(f"--top {asked.top}: allowed: at least 1")
    if not asked.json:
        paths.refuse_to_write(asked.out)
    if not asked.images:
        samples = asked.model.absolute().parent / paths.SAMPLES
        if not samples.is_dir():
            usage.read(asked.model)  # without a network no image can be asked about
            raise UserError(
                "no image is named: make predict IMAGE=PATH takes an image, a folder, .tar or .zip"
            )
        asked.images = [Path(os.path.relpath(samples))]
    return asked


class _Network:
    """The network, loaded when the first images ask for it."""

    def __init__(self, folder: Path, about: usage.Usage):
        self._folder, self.about, self.model = folder, about, None

    def __call__(self, files: list[str], images: np.ndarray) -> Answers:
        with quiet():
            if self.model is None:
                self._load()
            shares = self.about.believed(self._probabilities(self.model, images, self.about.flips))
            unlike, negative = self._compared(images)
        return Answers(files, images, shares, self.about.sets(shares), unlike, negative)

    def _compared(self, images: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """How unlike the training images these are, and the negatives of those that are."""
        if not self._like:
            return None, None
        unlike = self._like.scores(self._features(images))
        negative, odd = np.full(len(images), np.nan), unlike > 1
        if odd.any():
            negative[odd] = self._like.scores(self._features(255 - images[odd]))
        return unlike, negative

    def _load(self) -> None:
        import_keras(gpus=True)
        from cnnlab.train import unlike
        from cnnlab.train.answer import probabilities

        self.model = usage.network_of(self._folder, self.about)
        self._probabilities, self._like = probabilities, unlike.read(self._folder)
        if self._like:
            self._features = unlike.features(self.model)
            known = self._like.centre.shape
            (given,) = self._features(np.zeros((1, *self.about.shape), np.uint8))
            if given.shape != known:
                said = f"features of shape {known}, but the network beside it has {given.shape}"
                raise UserError(f"{self._folder / unlike.FILE}: {said}")


@dataclass(frozen=True)
class _Row:
    """What the sheet shows of an image."""

    place: int  # in the order of images
    answer: Answer
    score: float  # how unlike the training images, 0 where that is not known

    @property
    def telling(self) -> tuple[float, float]:
        """The least like training images first, then those of the least sure answer."""
        return -max(self.score, 1.0), self.answer.probability


class _Whole:
    """What is written of all images together: the table and the sheet."""

    def __init__(self, out: Path, about: usage.Usage):
        self._out, self._about = out, about
        self._rows: list[_Row] = []  # the most telling
        self._counts, self._unlike, self._unsure = Counter[str](), 0, 0

    def __enter__(self) -> _Whole:
        self._file = (self._out / TABLE).open("w", newline="", encoding="utf-8")
        self._csv = csv.writer(self._file, lineterminator="\n")
        names = [f"probability of {name}" for name in self._about.classes]
        self._csv.writerow(["file", "predicted", "probability", "set", "unlike", "warning", *names])
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, answers: Answers) -> None:
        """Take in the answers to some images."""
        for i, file in enumerate(answers.files):
            share = answers.shares[i]
            name, probability = self._about.classes[int(share.argmax())], float(share.max())
            classes = answers.sets[i] if answers.sets else []
            score = None if answers.unlike is None else float(answers.unlike[i])
            warning = answers.warning(i)
            numbers = [f"{value:.6g}" for value in (probability, *share)]
            unlike = "" if score is None else f"{score:.4g}"
            head = [shown(file), name, numbers[0], "; ".join(classes), unlike, warning]
            self._csv.writerow([*head, *numbers[1:]])
            label, odd = shown(Path(file).name), bool(warning)
            said = Answer(answers.images[i], label, name, probability, classes[1:], odd)
            self._rows.append(_Row(self._counts.total(), said, score or 0.0))
            self._counts[name] += 1
            self._unlike += odd
            self._unsure += len(classes) > 1
        if len(self._rows) > contact.MOST:
            self._rows = sorted(self._rows, key=lambda row: row.telling)[: contact.MOST]

    def finish(self, console: Console, in_words: bool) -> None:
        """Draw the sheet. `in_words`: also print how many images are what."""
        total = self._counts.total()
        if not total:
            return
        if in_words:
            console.print(_summary(self._counts))
        if in_words and self._unlike:
            said = f"{self._unlike} of {total} are {UNLIKE}: their answers may mean nothing"
            console.print(Text(f"warning: {said}", "yellow"))
        if in_words and self._unsure:
            console.print(f"{self._unsure} of {total} may be of other classes too, see the set")
        note = "as the network sees them: probability, class, others that it may be, or that it is "
        note += "unlike the training images"
        if len(self._rows) < total:
            note = f"{len(self._rows)} of them: the least like training images, then the least sure"
        else:
            self._rows.sort(key=lambda row: row.place)
        title = f"{self._about.recipe}: {total} images"
        sheet = contact.contact_figure(title, note, [row.answer for row in self._rows])
        look.save(sheet, self._out / SHEET)
        for file in (self._out / TABLE, self._out / SHEET):
            console.print(f"written: {file}", highlight=False, markup=False)


def _summary(counts: Counter) -> Table:
    table, total = Table(box=None, show_header=False), counts.total()
    for name, count in counts.most_common():
        bar = "█" * round(count / total * BAR)
        table.add_row(Text(name), Text(str(count)), Text(bar, "blue"))
    return table


def _show(console: Console, ask: _Network, answers: Answers, most: int, images: Images) -> None:
    """Print what the network says of each image, `most` classes, and draw where it looks."""
    top = np.argsort(-answers.shares, axis=1, kind="stable")[:, :most]
    for i, ranks in enumerate(top):
        likeliest = [(ask.about.classes[k], float(answers.shares[i, k])) for k in ranks]
        console.print(_table(answers.files[i], likeliest))
        if warning := answers.warning(i):
            console.print(Text(f"warning: {warning}", "yellow"))
        elif answers.sets and len(answers.sets[i]) > 1:
            coverage = f"{ask.about.coverage:g} of all sets hold the true class"
            console.print(Text(f"may be {', '.join(answers.sets[i])} ({coverage})"))
    for picture in _draw(ask, answers, top, images):
        console.print(f"where it looks: {picture}", highlight=False, markup=False)


def _table(path: str, answers: Sequence[tuple[str, float]]) -> Table:
    table = Table(
        title=Text(shown(path), "bold"), title_justify="left", box=None, show_header=False
    )
    for name, share in answers:
        bar = "█" * round(share * BAR)
        table.add_row(Text(name), Text(f"{share:.1%}"), Text(bar, "blue"))
    return table


def _draw(ask: _Network, answers: Answers, top: np.ndarray, images: Images) -> list[Path]:
    """The pictures, as OUT/IMAGE.png; returns their files."""
    # An image as often as it has classes to show.
    each = np.repeat(answers.images, top.shape[1], axis=0)
    try:
        with quiet():
            layer, heat = look.grad_cam(ask.model, each, top.ravel())
    except ValueError as error:  # a network without maps to look at; its answers stand
        print(f"no picture: {error}", file=sys.stderr)
        return []
    heat = heat.reshape(*top.shape, *heat.shape[1:])
    files: list[Path] = []
    for i, file in enumerate(answers.files):
        said: list[tuple[str, float, Any]] = [
            (ask.about.classes[k], float(answers.shares[i, k]), heat[i, j])
            for j, k in enumerate(top[i])
        ]
        files += images.pictures(file)
        figure = look.prediction_figure(shown(Path(file).name), answers.images[i], said, layer)
        look.save(figure, files[-1])
    return files


if __name__ == "__main__":
    run_command(main)
