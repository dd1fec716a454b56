"""The images that somebody asks a network about: files, folders at any depth, archives."""

from __future__ import annotations

import functools
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

LONGEST = 244  # bytes of a picture's name, less those of a number, of 255 that file systems allow
FEW = 20  # images; of more each is not told of by itself
AT_ONCE = 256  # images that are held in memory
TABLE, SHEET = "predictions.csv", "contact_sheet.png"  # of all images together
SOME_BAD = 3  # exit status

Read = Callable[[bytes], Any]  # what is made of a file's bytes; raises BadImage


class Images:
    """The images of some paths, as `read` makes them of a file's bytes, in their order.

    Raises UserError, at once, for all of a few files that are no images, and where there is none.
    Of many, or of those of folders and archives (.tar, .zip), the others go on without them.

    `out`: where pictures of the images go, such as those of an earlier call: where it lies in a
    folder that is asked about, what is in it is left out, and that is said.
    """

    def __init__(self, places: Sequence[Path], read: Read, out: Path):
        folders = [path for path in places if _holds_images(path)]
        alone = [path for path in places if path not in folders]
        self._read, self._out = read, out
        self._taken: set[Path] = set()  # what `pictures` has given
        self._bad: list[str] = []  # a line a file that is no image
        named = self._few(alone) if len(alone) <= FEW else self._many(alone, self._bad)
        found = {place: _files.look(str(place)) for place in folders}
        names = {place: self._asked(place, _files.images(files)) for place, files in found.items()}
        self._files = [*alone, *(place / name for place in names for name in names[place])]
        self.total = len(alone) + sum(map(len, names.values()))
        self.several = bool(folders) or self.total > 1
        if not self.total:
            raise UserError(f"{', '.join(map(str, folders))}: no images found")
        of_folders = (self._of_place(place, found[place], names[place]) for place in folders)
        self._images = itertools.chain(named, *of_folders)

    def _asked(self, place: Path, names: list[str]) -> list[str]:
        """Without those that lie below `out`."""
        whole, out = place.resolve(), self._out.resolve()
        if out == whole or not out.is_relative_to(whole):
            return names
        below = f"{out.relative_to(whole).as_posix()}/"
        kept = [name for name in names if not name.startswith(below)]
        if len(kept) < len(names):
            left = f"{len(names) - len(kept)} images below --out {self._out} are left out"
            print(f"note: {left}: pictures are written there", file=sys.stderr)
        return kept

    @functools.cached_property
    def _those(self) -> set[tuple[int, int]]:
        """The images as the file system knows them, whatever they are called."""
        found = (_known(file) for file in self._files)
        return {known for known in found if known}

    def pictures(self, image: str, endings: Sequence[str] = (".png",)) -> list[Path]:
        """Files below `out` for pictures of an image, one an ending, under a name of its own,
        whatever the image is called; none is an image that was asked about, or given before."""
        longest = LONGEST - max(map(len, endings))
        stem = shown(Path(image).stem).encode()[:longest].decode(errors="ignore")
        for name in itertools.chain([stem], (f"{stem}_{i}" for i in itertools.count(1))):
            files = [self._out / f"{name}{ending}" for ending in endings]
            if not any(file in self._taken or _known(file) in self._those for file in files):
                break
        self._taken.update(files)
        return files

    def make_room(self) -> None:
        """Make the folder `out`. Raises UserError where what is written of all images together
        would replace one of them."""
        self._out.mkdir(parents=True, exist_ok=True)
        for file in (self._out / TABLE, self._out / SHEET) if self.several else ():
            if _known(file) in self._those:
                raise UserError(
                    f"--out {self._out}: {file.name} in it is one of the images; name another "
                    "folder"
                )
            self._taken.add(file)

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


def _known(file: Path) -> tuple[int, int] | None:
    """What the file system knows a file by; None: it is not there, as those in archives."""
    try:
        there = file.stat()
    except OSError:
        return None
    return there.st_dev, there.st_ino
