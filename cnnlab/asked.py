"""The images that somebody asks a network about: files, folders at any depth, archives."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cnnlab.data.images import BadImage
from cnnlab.data.sources import _files, shown
from cnnlab.errors import UserError
from cnnlab.processes import cores

LONGEST = 240  # bytes of a picture's name, of 255 that file systems allow
FEW = 20  # images; of more each is not told of by itself
AT_ONCE = 256  # images that are held in memory
TABLE, SHEET = "predictions.csv", "contact_sheet.png"  # of all images together
SOME_BAD = 3  # exit status

Read = Callable[[bytes], Any]  # what is made of a file's bytes; raises BadImage


class Images:
    """The images of some paths, as `read` makes them of a file's bytes, in their order.

    Raises UserError, at once, for all of a few files that are no images, and where there is none.
    Of many, or of those of folders and archives (.tar, .zip), the others go on without them.
    """

    def __init__(self, places: Sequence[Path], read: Read):
        folders = [path for path in places if _holds_images(path)]
        alone = [path for path in places if path not in folders]
        self._read = read
        self._bad: list[str] = []  # a line a file that is no image
        named = self._few(alone) if len(alone) <= FEW else self._many(alone, self._bad)
        found = {place: _files.look(str(place)) for place in folders}
        names = {place: _files.images(files) for place, files in found.items()}
        self.total = len(alone) + sum(map(len, names.values()))
        self.several = bool(folders) or self.total > 1
        if not self.total:
            raise UserError(f"{', '.join(map(str, folders))}: no images found")
        of_folders = (self._of_place(place, found[place], names[place]) for place in folders)
        self._images = itertools.chain(named, *of_folders)

    def batches(self, size: int = AT_ONCE) -> Iterator[tuple[list[str], list[Any]]]:
        """Files and what was read of them, `size` at once."""
        while some := list(itertools.islice(self._images, size)):
            yield [file for file, _ in some], [image for _, image in some]

    def status(self) -> int:
        """The exit status, once it was said which files are no images."""
        for line in self._bad:
            print(f"not read: {line}", file=sys.stderr)
        return SOME_BAD if self._bad else 0

    def print_json(self, facts: Iterable[Mapping[str, Any]]) -> int:
        """Print a JSON list, an object and line an image, as they come; returns the exit status."""
        before = "["
        for of_image in facts:
            text = json.dumps(of_image, ensure_ascii=False)
            print(f"{before}{text}", end="", flush=True)
            before = ",\n "
        print("]" if before != "[" else "[]")
        return self.status()

    def _few(self, files: Sequence[Path]) -> list[tuple[str, Any]]:
        bad: list[str] = []
        images = list(self._many(files, bad))
        if bad:
            raise UserError("\n".join(bad))
        return images

    def _many(self, files: Sequence[Path], bad: list[str]) -> Iterator[tuple[str, Any]]:
        """The images of files; those that are none are added to `bad`."""

        def content(path: Path) -> bytes | Exception:
            try:
                return path.read_bytes()
            except OSError as error:
                return OSError(error.strerror)  # the path stands before it

        for at in range(0, len(files), AT_ONCE):
            some = files[at : at + AT_ONCE]
            yield from self._decoded(list(map(str, some)), map(content, some), bad)

    def _of_place(
        self, place: Path, files: _files.Files, names: list[str]
    ) -> Iterator[tuple[str, Any]]:
        """The images of a folder or an archive."""
        unread = [finding for finding in files.findings if finding.what.endswith("cannot be read")]
        self._bad += [f"{shown(str(place))}/{found.where}: {found.detail}" for found in unread]
        if files.ordered:
            names = sorted(names, key=files.keys.__getitem__)
        for at in range(0, len(names), AT_ONCE):
            some = names[at : at + AT_ONCE]
            contents = files.read([files.keys[name] for name in some])
            yield from self._decoded([str(place / name) for name in some], contents, self._bad)

    def _decoded(
        self, files: Sequence[str], contents: Iterable[bytes | Exception], bad: list[str]
    ) -> Iterator[tuple[str, Any]]:
        def image_of(content: bytes | Exception) -> Any:
            try:
                return content if isinstance(content, Exception) else self._read(content)
            except BadImage as error:
                return error

        with ThreadPoolExecutor(cores()) as threads:
            for file, image in zip(files, threads.map(image_of, contents), strict=True):
                if isinstance(image, Exception):
                    bad.append(f"{shown(file)}: {image}")
                else:
                    yield file, image


def _holds_images(path: Path) -> bool:
    """Whether a path is a folder or an archive, and no image."""
    return path.is_dir() or path.name.lower().endswith((".tar", ".tar.gz", ".tgz", ".zip"))


def stem_of(image: Path, taken: set[str], longest: int = LONGEST) -> str:
    """A name of its own for an image's picture, whatever the image is called, of at most so many
    bytes; it is added to `taken`."""
    stem = shown(image.stem).encode()[:longest].decode(errors="ignore")
    names = itertools.chain([stem], (f"{stem}_{i}" for i in itertools.count(1)))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name
