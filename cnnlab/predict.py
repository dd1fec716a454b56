"""What is in an image: `python -m cnnlab.predict IMAGE...` (`make predict IMAGE=...`).

Asks the network of the recommended variant, prints the likeliest classes with their probabilities,
and draws for each image what in it speaks for them (Grad-CAM), as predictions/IMAGE.png.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cnnlab import paths, records, usage
from cnnlab.data.images import BadImage
from cnnlab.data.sources import shown
from cnnlab.errors import UserError

BAR = 20  # characters of a probability of 1
LONGEST = 240  # bytes of a picture's name, of 255 that file systems allow


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises UserError, before any model is loaded, for all images that cannot be read."""
    asked = _parse(arguments)
    about = usage.read(asked.model)
    images = _read(asked.images, about)
    network = records.load_model(asked.model / records.MODEL)

    from cnnlab.train.answer import probabilities  # imports TensorFlow

    shares = probabilities(network, images)
    top = np.argsort(-shares, axis=1, kind="stable")[:, : asked.top]
    console = Console(soft_wrap=True)
    for path, share, ranks in zip(asked.images, shares, top, strict=True):
        console.print(_table(path, [(about.classes[i], float(share[i])) for i in ranks]))
    for picture in _draw(network, images, shares, top, asked, about):
        console.print(f"where it looks: {picture}", highlight=False, markup=False)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m cnnlab.predict", description=__doc__)
    parser.add_argument("images", nargs="+", type=paths.typed, metavar="IMAGE")
    parser.add_argument(
        "--model", type=paths.typed, default=paths.MODELS, help="folder of the network"
    )
    parser.add_argument("--top", type=int, default=3, help="classes to show, at least 1")
    parser.add_argument(
        "--out", type=paths.typed, default=Path("predictions"), help="for the pictures"
    )
    asked = parser.parse_args(arguments)
    if asked.top < 1:
        raise UserError(f"--top {asked.top}: allowed: at least 1")
    return asked


def _read(files: Sequence[Path], about: usage.Usage) -> np.ndarray:
    """uint8 (n, height, width, channels), as `prepare` would have made them."""
    images, bad = [], []
    for path in files:
        try:
            images.append(about.pixels(path.read_bytes()))
        except OSError as error:
            bad.append(f"{path}: {error.strerror}")
        except BadImage as error:
            bad.append(f"{path}: {error}")
    if bad:
        raise UserError("\n".join(bad))
    return np.stack(images)


def _table(path: Path, answers: Sequence[tuple[str, float]]) -> Table:
    table = Table(
        title=Text(shown(str(path)), "bold"), title_justify="left", box=None, show_header=False
    )
    for name, share in answers:
        bar = "█" * round(share * BAR)
        table.add_row(Text(name), Text(f"{share:.1%}"), Text(bar, "blue"))
    return table


def _draw(
    network, images: np.ndarray, shares: np.ndarray, top: np.ndarray, asked, about: usage.Usage
) -> list[Path]:
    """The pictures, as OUT/IMAGE.png; returns their files."""
    from cnnlab import look

    asked.out.mkdir(parents=True, exist_ok=True)
    each = np.repeat(images, top.shape[1], axis=0)  # an image as often as it has classes to show
    try:
        layer, heat = look.grad_cam(network, each, top.ravel())
    except ValueError as error:  # a network without maps to look at; its answers stand
        print(f"no picture: {error}", file=sys.stderr)
        return []
    heat = heat.reshape(*top.shape, *heat.shape[1:])
    files: list[Path] = []
    for i, path in enumerate(asked.images):
        answers = [
            (about.classes[k], float(shares[i, k]), heat[i, j]) for j, k in enumerate(top[i])
        ]
        files.append(_picture(asked.out, path, files))
        look.save(look.prediction_figure(shown(path.name), images[i], answers, layer), files[-1])
    return files


def _picture(out: Path, image: Path, taken: Sequence[Path]) -> Path:
    """A file of its own for an image's picture, whatever the image is called."""
    stem = shown(image.stem).encode()[:LONGEST].decode(errors="ignore")
    names = itertools.chain([stem], (f"{stem}_{i}" for i in itertools.count(1)))
    return next(file for name in names if (file := out / f"{name}.png") not in taken)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow reports a missing GPU otherwise
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
