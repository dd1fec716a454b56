"""A prepared pool of images and its manifest: the one place that writes and reads them.

`data/prepared/<split>/` holds `images.npy`, uint8 (n, height, width, channels), and `manifest.csv`
with one row an image, in the same order:

    image_id  int, unique in the study
    source    where the image came from
    label     class name
    group     images of one group never part company; the image's own id where it has no group
    split     dev (everything is decided on it), pretrain (what a backbone learns from) or
              test (read by the stage `final` alone)
    digest    hash of the pixels

and, where the originals had more than 8 bits, `scale.json`: the value that became black, and how
many there are from there to white. Where a network learns more of an image than its label,
`truth.npy` (n, ...) holds what that is, as the task's file in `cnnlab.tasks` says, and `task.json`
the task and the names of the classes; labels then only say how images are stratified.

A pool a split, so that a stage which has no business with the test images cannot open them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab.errors import UserError

COLUMNS = ["image_id", "source", "label", "group", "split", "digest"]


@dataclass(frozen=True)
class Pool:
    """Images of one split, or some of them. Travels between processes without its pixels."""

    folder: Path
    rows: np.ndarray | None  # which of the folder's images, int (n,); None: all
    manifest: pd.DataFrame  # of these images
    classes: tuple[str, ...]  # names in the order of the network's outputs
    task: str = "classification"

    @functools.cached_property
    def images(self) -> np.ndarray:
        """uint8 (n, height, width, channels), memory-mapped where they are all of the folder's."""
        mapped = np.load(self.folder / "images.npy", mmap_mode="r", allow_pickle=False)
        return mapped if self.rows is None else mapped[self.rows]

    @functools.cached_property
    def truth(self) -> np.ndarray | None:
        """What a network learns of each image besides its label, (n, ...), likewise; None where
        that is all."""
        path = self.folder / "truth.npy"
        if not path.exists():
            return None
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        return mapped if self.rows is None else mapped[self.rows]

    def __getstate__(self) -> dict:
        return {k: v for k, v in self.__dict__.items() if k not in ("images", "truth")}

    @property
    def labels(self) -> np.ndarray:
        """Class numbers, int64 (n,)."""
        number = {name: i for i, name in enumerate(self.classes)}
        return self.manifest["label"].map(number).to_numpy(np.int64)

    @property
    def strata(self) -> int:
        """How many different labels there are."""
        return self.manifest["label"].nunique()

    @property
    def groups(self) -> dict[int, str]:
        """The group of each image: image_id -> group."""
        return self.manifest.set_index("image_id")["group"].to_dict()

    @property
    def codes(self) -> list[str]:
        """Digest and class number of each image: what a trial can know of it."""
        digests = self.manifest["digest"]
        return [f"{d}:{k}" for d, k in zip(digests, self.labels, strict=True)]

    def take(self, rows: np.ndarray) -> Pool:
        """The pool's rows, with its classes."""
        kept = rows if self.rows is None else self.rows[rows]
        return replace(self, rows=kept, manifest=self.manifest.iloc[rows].reset_index(drop=True))


def natural(name: str) -> tuple[list, str]:
    """Sort key under which "10" comes after "9", and "01" before "1"."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name


def digest(image: np.ndarray) -> str:
    """Hash of one image's shape and pixels."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()[:16]


def write(
    folder: Path,
    images: Iterable[np.ndarray],
    manifest: pd.DataFrame,
    shape: tuple[int, int, int] | None = None,
    scale: tuple[float, float] | None = None,
    truth: np.ndarray | None = None,
    task: tuple[str, Sequence[str]] | None = None,
) -> None:
    """Write a pool, one image after another, and the digest of each, where the manifest lacks it.

    `images`: uint8, in the order of the manifest, as an array or one by one, then all of `shape`.
    `truth`: (n, ...), what a network learns besides labels, with the `task` that it is for and the
    names of its classes; digests are then of both.
    """
    folder.mkdir(parents=True, exist_ok=True)
    shape = images.shape[1:] if shape is None else shape
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(manifest), *shape)}
    known = manifest["digest"] if "digest" in manifest else [""] * len(manifest)
    digests = []
    with (folder / "images.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for image, about in zip(images, known, strict=True):
            if image.shape != shape or image.dtype != np.uint8:
                raise ValueError(f"image {image.dtype} {image.shape}; expected: uint8 {shape}")
            file.write(np.ascontiguousarray(image))
            digests.append(about or digest(image))
    if truth is not None:
        np.save(folder / "truth.npy", truth)
        named = {"task": task[0], "classes": [*task[1]]}
        (folder / "task.json").write_text(json.dumps(named) + "\n")
        both = zip(digests, truth, strict=True)
        digests = [hashlib.sha256(d.encode() + m.tobytes()).hexdigest()[:16] for d, m in both]
    manifest.assign(digest=digests)[COLUMNS].to_csv(folder / "manifest.csv", index=False)
    if scale:
        (folder / "scale.json").write_text(json.dumps(scale) + "\n")


def scale(folder: Path) -> tuple[float, float] | None:
    """The scale of a pool whose originals had more than 8 bits, as `images.scale` gives it."""
    path = folder / "scale.json"
    return tuple(json.loads(path.read_text())) if path.exists() else None


def read(folder: Path) -> Pool:
    """Read a pool, its images memory-mapped. Raises UserError where there is none."""
    try:
        images = np.load(folder / "images.npy", mmap_mode="r", allow_pickle=False)
        text = {"source": str, "label": str, "group": str, "digest": str}
        manifest = pd.read_csv(folder / "manifest.csv", dtype=text, keep_default_na=False)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(
            f"{folder}: not a prepared pool ({error}); run `dvc repro prepare`"
        ) from None
    if list(manifest.columns) != COLUMNS or len(manifest) != len(images):
        raise UserError(f"{folder}: manifest.csv and images.npy do not belong together")
    about = folder / "task.json"
    if about.exists():
        said = json.loads(about.read_text())
        return Pool(folder, None, manifest, tuple(said["classes"]), said["task"])
    classes = tuple(sorted(manifest["label"].unique(), key=natural))
    return Pool(folder, None, manifest, classes)
