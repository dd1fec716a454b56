"""Where image files lie: a folder here or behind an fsspec URL, or a .tar or .zip of one.

Archives are read in place, never unpacked, so nothing that their names say can write anywhere. One
whose names or links point out of it, that holds devices, or that unpacks to far more than it is,
was made to do harm and is refused as a whole before an image is read.
"""

from __future__ import annotations

import functools
import os
import posixpath
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import fsspec
from fsspec.core import url_to_fs

from cnnlab.data import formats
from cnnlab.data.sources import Finding, refused, shown

LARGEST = 512 * 2**20  # bytes of one file that is read
# An archive that unpacks to more than `BOMB` bytes and `RATIO` times its size is refused. Images
# are compressed already: archives of them are hardly smaller than they.
BOMB, RATIO = 2**30, 100
AT_ONCE = 16  # requests to an object store
_KNOWN = {ending for endings in formats.ENDINGS.values() for ending in endings}

# What reading a damaged, cut off or encrypted file or archive may raise.
UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, NotImplementedError)
UNREADABLE += (tarfile.TarError, zipfile.BadZipFile, zlib.error)


@dataclass
class Files:
    """What there is at a place."""

    keys: dict[str, Any] = field(default_factory=dict)  # name -> what `read` finds the file by
    folders: set[str] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)
    # keys, and how many bytes of each where not all -> contents
    read: Callable[..., list[bytes | Exception]] | None = None
    parallel: bool = True
    ordered: bool = False  # keys are places in an archive, best read in their order

    def add(self, name: str, key: Any) -> None:
        """Add a file of an archive, where of several of one name the last counts."""
        if name in self.keys:
            self.note("earlier file of the same name in the archive", name)
        self.keys[name] = key

    def note(self, what: str, where: str, done: str = "left out", detail: str = "") -> None:
        """Add a finding."""
        self.findings.append(Finding(what, shown(where), done, detail))


def look(place: str) -> Files:
    """The files at a place. Raises UserError where it is missing, damaged or made to do harm."""
    try:
        system, path = url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise refused(place, f"{error}; see requirements-data.in") from None
    try:
        here = is_local(system)
        if not (Path(path).exists() if here else system.exists(path)):
            raise refused(place, "no such file or folder")
        if here and Path(path).is_dir():
            return _folder(Path(path))
        if not here and system.isdir(path):
            return _remote_folder(system, path)
        return _archive(place, here)
    except UNREADABLE as error:
        raise refused(place, f"damaged ({error})") from None


def is_local(system: fsspec.AbstractFileSystem) -> bool:
    """Whether a file system is this machine's."""
    return "file" in (system.protocol if isinstance(system.protocol, tuple) else [system.protocol])


SYSTEM = {"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information", "lost+found"}


def images(files: Files) -> list[str]:
    """The names of the files that are images, sorted: by their endings or, whatever those are, by
    their bytes. What is left out is noted."""
    names, others = [], []
    for name in sorted(files.keys):
        parts = name.split("/")
        if is_hidden(parts):
            files.note("hidden file", name)
        elif posixpath.splitext(name)[1].lower() in _KNOWN:
            names.append(name)
        else:
            others.append(name)
    if files.ordered:
        others.sort(key=files.keys.get)
    for first in range(0, len(others), AT_ONCE):
        some = others[first : first + AT_ONCE]
        heads = files.read([files.keys[name] for name in some], formats.HEAD)
        for name, head in zip(some, heads, strict=True):
            if isinstance(head, Exception):
                files.note("file that cannot be read", name, detail=str(head))
            elif formats.kind(head):
                names.append(name)
            else:
                files.note("not an image by its bytes", name)
    return sorted(names)


def holds(files: Files, folders: frozenset[str], endings: Collection[str] = _KNOWN) -> bool:
    """Whether a file with one of these endings, else an image by its ending, lies in a folder of
    one of these names, at any depth; both in small letters."""
    return any(
        posixpath.splitext(name)[1].lower() in endings
        and not folders.isdisjoint(name.lower().split("/")[:-1])
        for name in files.keys
        if not is_hidden(name.split("/"))
    )


def is_hidden(parts: Sequence[str]) -> bool:
    """Whether a file, or a folder above it, is hidden or made by a system for itself."""
    return any(part.startswith(".") or part in SYSTEM for part in parts)


def each(read: Callable[..., bytes], keys: Sequence[Any], *first: int | None) -> list:
    """Read each key; where that fails, what it raised. `first`: how many bytes, None: all."""

    def one(key: Any) -> bytes | Exception:
        try:
            return read(key, *first)
        except UNREADABLE as error:
            return error

    return [one(key) for key in keys]


class Folder:
    """Files below a folder of this machine."""

    def __init__(self, root: Path | str):
        self.root = Path(root)

    def __call__(self, names: Sequence[str], first: int | None = None) -> list[bytes | Exception]:
        return each(self._read, names, first)

    def _read(self, name: str, first: int | None) -> bytes:
        try:
            with (self.root / name).open("rb") as file:
                if first is None and os.fstat(file.fileno()).st_size > LARGEST:
                    raise ValueError(f"larger than {LARGEST >> 20} MiB")
                return file.read(first)
        except OSError as error:  # without the path, which stands beside it in every message
            raise OSError(error.strerror) from None


def _folder(root: Path) -> Files:
    """Links are followed wherever they lead, but for those to a folder that they lie in, which
    lead in circles."""
    files = Files(read=Folder(root))
    waiting = [("", frozenset([os.path.realpath(root)]))]
    while waiting:
        above, inside = waiting.pop()
        with os.scandir(root / above) as entries:
            for entry in entries:
                name, link = f"{above}{entry.name}", entry.is_symlink()
                folder, file = _kind(entry)
                if folder:
                    real = os.path.realpath(entry.path)
                    if real in inside:
                        files.note("link that leads in a circle", name)
                        continue
                    if link:
                        files.note("link to a folder", name, "followed", f"to {shown(real)}")
                    files.folders.add(name)
                    waiting.append((f"{name}/", inside | {real}))
                elif file:
                    files.keys[name] = name
                    if link:
                        files.note("link to a file", name, "followed")
                elif link:
                    files.note("broken link", name)
                else:
                    files.note("not a file (device, pipe or socket)", name)
    return files


def _kind(entry: os.DirEntry) -> tuple[bool, bool]:
    """Whether it is a folder, and whether it is a file, or a link to one."""
    try:
        return entry.is_dir(), entry.is_file()
    except OSError:  # a link that leads to itself
        return False, False


class Remote:
    """Files of an fsspec file system, several at once."""

    def __init__(self, system: fsspec.AbstractFileSystem, root: str):
        self.system, self.root = system, root

    def __call__(self, names: Sequence[str], first: int | None = None) -> list[bytes | Exception]:
        with ThreadPoolExecutor(AT_ONCE) as hands:
            return [
                result[0] for result in hands.map(lambda n: each(self._read, [n], first), names)
            ]

    def _read(self, name: str, first: int | None) -> bytes:
        return self.system.cat_file(f"{self.root}/{name}", end=first)


def _remote_folder(system: fsspec.AbstractFileSystem, path: str) -> Files:
    # In the process of the stage: waiting costs no core, and memory:// is nowhere else.
    root = path.rstrip("/")
    files = Files(read=Remote(system, root), parallel=False)
    for full, about in system.find(path, withdirs=True, detail=True).items():
        name = full.removeprefix(root).strip("/")
        if about["type"] == "directory":
            files.folders.add(name)
        elif (about.get("size") or 0) > LARGEST:
            files.note(f"larger than {LARGEST >> 20} MiB", name)
        elif name:
            files.keys[name] = name
    return files


class _Opened:
    """A file that is opened once in each process that reads it."""

    def __init__(self, place: str):
        self.place = place

    @functools.cached_property
    def file(self) -> BinaryIO:
        return fsspec.open(self.place, "rb").open()

    def __getstate__(self) -> dict:
        return {"place": self.place}


class Tar(_Opened):
    """Members of a .tar by (offset, size). A compressed one has to be read from its start on, so
    keys should come in their order."""

    @functools.cached_property
    def content(self) -> BinaryIO:
        """The archive's uncompressed bytes."""
        return tarfile.open(fileobj=self.file, mode="r:*").fileobj

    def __call__(
        self, keys: Sequence[tuple[int, int]], first: int | None = None
    ) -> list[bytes | Exception]:
        return each(self._read, keys, first)

    def _read(self, key: tuple[int, int], first: int | None) -> bytes:
        offset, size = key[0], key[1] if first is None else min(key[1], first)
        self.content.seek(offset)
        content = self.content.read(size)
        if len(content) < size:
            raise EOFError("the archive is cut off")
        return content

    def __getstate__(self) -> dict:
        return {"place": self.place}


class Zip(_Opened):
    """Members of a .zip by their names."""

    @functools.cached_property
    def archive(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.file)

    def __call__(self, names: Sequence[str], first: int | None = None) -> list[bytes | Exception]:
        return each(self._read, names, first)

    def _read(self, name: str, first: int | None) -> bytes:
        with self.archive.open(name) as file:
            return file.read(first)


def _archive(place: str, here: bool) -> Files:
    with fsspec.open(place, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if zipfile.is_zipfile(file):
            file.seek(0)
            return _zip(place, zipfile.ZipFile(file), size, here)
        file.seek(0)
        try:
            tar = tarfile.open(fileobj=file, mode="r:*")  # noqa: SIM115  (closed with the file)
        except tarfile.ReadError:
            raise refused(place, "not a folder, .tar or .zip") from None
        return _tar(place, tar, size, here and tar.fileobj is file)


def _tar(place: str, tar: tarfile.TarFile, size: int, parallel: bool) -> Files:
    # A compressed archive is read from front to back, by one process.
    files = Files(read=Tar(place), parallel=parallel, ordered=True)
    total, links = 0, {}
    while (member := tar.next()) is not None:
        tar.members.clear()  # it would keep a kilobyte for each
        total += member.size
        refuse_bomb(place, total, size)
        name = _inside(place, _slashed(member.name))
        if member.isdir():
            files.folders.add(name)
        elif member.issym() or member.islnk():
            above = PurePosixPath(name).parent if member.issym() else PurePosixPath()
            links[name] = _target(place, name, above / _slashed(member.linkname))
        elif not member.isfile():
            raise refused(place, f"{member.name!r} is a device or pipe; not an archive of images")
        elif member.issparse() or member.size > LARGEST:
            sparse = member.issparse()
            files.note("sparse file" if sparse else f"larger than {LARGEST >> 20} MiB", name)
        else:
            files.add(name, (member.offset_data, member.size))
    _refuse_unended(place, tar, files)
    _follow(links, files)
    return files


def _refuse_unended(place: str, tar: tarfile.TarFile, files: Files) -> None:
    """Refuse an archive without its end mark, zeros: `tarfile` takes a header that is damaged or
    cut off for the end. Of the two blocks that the mark has, some writers leave out one."""
    tar.fileobj.seek(tar.offset)
    end = tar.fileobj.read(2 * tarfile.BLOCKSIZE)
    if len(end) < tarfile.BLOCKSIZE or any(end):
        raise refused(place, f"damaged or cut off after {len(files.keys)} files")


def _zip(place: str, archive: zipfile.ZipFile, size: int, here: bool) -> Files:
    files = Files(read=Zip(place), parallel=here)
    members, links = archive.infolist(), {}
    refuse_bomb(place, sum(m.file_size for m in members), size)
    for member in members:
        named = _named(member)
        slashed = _slashed(named, windows=member.create_system == 0)
        name = _inside(place, slashed)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if slashed.endswith("/"):
            files.folders.add(name)
        elif kind == stat.S_IFLNK:
            if member.file_size > 4096:
                raise refused(place, f"{named!r} is a link of {member.file_size} bytes")
            target = archive.read(member).decode(errors="replace")
            links[name] = _target(place, name, PurePosixPath(name).parent / target)
        elif kind not in (0, stat.S_IFREG):
            raise refused(place, f"{named!r} is a device or pipe; not one of images")
        elif member.file_size > LARGEST:
            files.note(f"larger than {LARGEST >> 20} MiB", name)
        else:
            files.add(name, member.filename)
    _follow(links, files)
    return files


def _named(member: zipfile.ZipInfo) -> str:
    """A member's name: many writers, macOS among them, write UTF-8 and do not say so, and then
    `zipfile` takes it for code page 437. Hardly any name in another code page is UTF-8."""
    if member.flag_bits & 0x800:  # which says that it is UTF-8
        return member.filename
    try:
        return member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def _slashed(name: str, windows: bool = False) -> str:
    """A member's name with slashes: archives made on Windows may have backslashes instead."""
    return name.replace("\\", "/") if "\\" in name and (windows or "/" not in name) else name


def _target(place: str, name: str, target: PurePosixPath) -> str:
    """What a link in an archive leads to."""
    _inside(place, str(target), f"{shown(name)!r} links to")
    return posixpath.normpath(target)


def _follow(links: dict[str, str], files: Files) -> None:
    """Give links to files of the archive, or to such links, the files they lead to."""
    for name in links:
        target, seen = name, set()
        while target in links and target not in seen:
            seen.add(target)
            target = links[target]
        if target in files.keys:
            files.keys[name] = files.keys[target]
            files.note("link to a file", name, "followed")
        else:
            folder = any(key.startswith(f"{target}/") for key in files.keys)
            files.note("link to a folder, in an archive" if folder else "broken link", name)


def _inside(place: str, name: str, what: str = "holds") -> str:
    """The name without what changes nothing. Refuses one that leads out of the archive."""
    if what == "holds" and name[:1] not in "/." and "/." not in name and "//" not in name:
        return name.rstrip("/")  # as nearly all are
    path, depth = PurePosixPath(name), 0
    out = path.is_absolute() or (what == "holds" and ".." in path.parts)
    for part in path.parts:
        depth += -1 if part == ".." else 1
        out |= depth < 0
    if out:
        raise refused(place, f"{what} {shown(name)!r}, which leads out of it; nothing was read")
    return str(path)


def refuse_bomb(place: str, unpacked: int, size: int) -> None:
    """Refuse an archive of `size` bytes that unpacks to very much more."""
    if unpacked > BOMB and unpacked > RATIO * size:
        raise refused(
            place,
            f"{size} bytes that unpack to {unpacked} or more, over {RATIO} times as much, as no"
            " images do; nothing was read",
        )
