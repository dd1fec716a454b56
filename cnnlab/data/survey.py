"""What a folder or archive of images holds, told from names, headers and some pixels: for a new
study.

Of up to `DECODED` images all are decoded, which shows what is damaged behind its header and what is
nearly the same. Of more, so that 20,000 take seconds, a few are, and files here that do not end as
their format does, such as a copy that was cut off; `prepare`, which reads all, says the rest.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab.data import duplicates, formats, images, prepare
from cnnlab.data.pool import natural
from cnnlab.data.sources import SOURCES, Source
from cnnlab.data.sources._files import Folder, Tar, Zip, look
from cnnlab.data.sources._masks import Images
from cnnlab.data.truths import TRUTHS
from cnnlab.errors import UserError
from cnnlab.processes import cores

HEAD = 2**16  # bytes in which a header is looked for, before the whole file is read
TAIL = 2**12  # bytes in which the end of an image is looked for: cameras write more behind it
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}  # and how it looks there
AT_ONCE = 256  # files
DECODED = 1000  # images, up to which the pixels of all are looked at
WHOLE = 32  # files that are read as a whole at once
BITS = 4  # of a perceptual hash that may differ, as data.near_duplicates
MEGAPIXELS = 100  # as data.bad.megapixels
SMALL = images.Settings(images.THUMB, "squash", 3, MEGAPIXELS)
TINY = 0.25  # of the median side, below which an image is suspiciously small
ODD = 3.0  # longer side over shorter, from which an image is suspiciously long
SAMPLED = 24  # images that are decoded, to see whether those in colour have any
TINGE = 6  # of 255: a picture whose channels differ by less is grey
NAMED = 3  # files that a line names
LISTED = 12  # classes that a line names
TABLES = {".csv", ".tsv", ".parquet"}
TELLING = ("masks", "boxes")  # what says more comes first: a mask has a box, a box no mask


@dataclass(frozen=True)
class Survey:
    """What was found. `table`: one row an image that fits the layout, with the columns `source`,
    `label`, `split` ("train" or "test" where the images come split, else "") and `group` of the
    source (see `cnnlab.data.sources.Source`); of its header `width`, `height` (pixels, upright),
    `mode` and `bytes`; `problem` ("" where it can be used), `mark` (equal for files of equal
    bytes), `scene` (groups, with what is the same, or nearly, together) and `twin`: the `source`
    of one that is nearly the same, "" where none is known."""

    task: str  # a name of cnnlab.tasks
    others: tuple[str, ...]  # tasks that the images might serve as well
    source: str  # a name of cnnlab.data.sources
    place: str
    opened: Source
    table: pd.DataFrame
    colour: bool  # some images have colour

    @property
    def labels_are_all(self) -> bool:
        """Whether nothing is learnt of images but their labels."""
        return TRUTHS[self.task].TRUTH is None

    @property
    def usable(self) -> pd.DataFrame:
        """The images that can be used."""
        return self.table[self.table["problem"] == ""]

    @property
    def classes(self) -> list[str]:
        """Names of the classes of usable images, in the order that networks have them."""
        return sorted(set(self.usable["label"]), key=natural)

    @property
    def own_test(self) -> bool:
        """Whether the images come with a test part."""
        return bool(set(self.usable["split"]) == {"train", "test"})

    @property
    def sides(self) -> np.ndarray:
        """The shorter side of each usable image, pixels."""
        return self.usable[["width", "height"]].to_numpy(int).min(axis=1)

    @property
    def ratios(self) -> np.ndarray:
        """Longer side over shorter, of each usable image."""
        both = self.usable[["width", "height"]].to_numpy(float)
        return both.max(axis=1) / both.min(axis=1).clip(1)


def survey(place: Path, task: str | None = None) -> Survey:
    """Look at a folder, .tar, .zip, .npz or table. `task`: that the images are for; None: the one
    that they are laid out for. Raises UserError, in one line, where it is missing, holds not what
    the task needs, or too few classes of images."""
    if not place.exists():
        raise UserError(f"images {str(place)!r}: no such file or folder")
    try:
        task, others, name, source = _opened(place, task)
        source = prepare.named(source)
        least = TRUTHS[task].LEAST
        table = prepare.select(source.table, None, [], least, not TRUTHS[task].TRUTH)
        if TRUTHS[task].TRUTH:
            table, strata = prepare.gathered(table)
            source = replace(source, findings=[*source.findings, *strata])
    except UserError as error:
        raise UserError(_without_params(str(error), place)) from None
    table = _with_headers(source, table)
    found = Survey(task, others, name, str(place), source, table, True)
    if len(found.classes) < least:
        first = table[table["problem"] != ""].iloc[0]
        raise UserError(
            f"images {str(place)!r}: needs at least {least} classes of images that can be read, "
            f"found {found.classes}; {first['source']}: {first['problem']}"
        )
    to_learn = found.usable[found.usable["split"] != "test"]
    if not found.labels_are_all and TRUTHS[task].empty(source, to_learn).all():
        raise UserError(
            f"images {str(place)!r}: none of {len(to_learn)} images outside of a test part has "
            f"{TRUTHS[task].SOUGHT}; allowed: at least one that has"
        )
    return replace(found, colour=_colour(source, found.usable))


def lines(found: Survey) -> list[str]:
    """What was found, a line each: classes, sizes, what is left out and what looks wrong."""
    usable, sides = found.usable, found.sides
    counted = TRUTHS[found.task].counted(found.opened, usable)
    said = [f"for {found.task}, as {found.source} reads it"] if not found.labels_are_all else []
    said += [f"TASK={task} takes it for {task} instead" for task in found.others]
    said += [f"{what}: {_listed(each, LISTED)}" if each else what for what, each in counted.items()]
    said += [
        f"{'in colour' if found.colour else 'grey'}, shorter side {sides.min()} to {sides.max()} "
        f"pixels, half of them at least {int(np.median(sides))}",
    ]
    if found.own_test:
        parts = usable["split"].value_counts()
        said.append(f"they come split: {parts['train']} to train on, {parts['test']} to test")
    said += [line.rpartition("; listed in")[0] for line in prepare.lines(found.opened.findings, "")]
    return said + [f"look at: {line}" for line in suspicious(found)]


def suspicious(found: Survey) -> list[str]:
    """What looks wrong with images, a line for each kind, with how many and the first of them."""
    table, usable, said = found.table, found.usable, []
    median = np.median(found.sides)

    def add(what: str, names: Iterable[str]) -> None:
        names = list(names)
        if names:
            said.append(f"{what} ({len(names)}): {_listed(names, NAMED)}")

    bad = table[table["problem"] != ""]
    pairs = zip(bad["source"], bad["problem"], strict=True)
    add("cannot be read, left out", [f"{name} ({why})" for name, why in pairs])
    add(
        f"tiny, shorter side below a quarter of the usual {median:.0f} pixels",
        usable["source"][found.sides < TINY * median],
    )
    add(f"one side {ODD:g} times the other or more", usable["source"][found.ratios >= ODD])
    twins = usable[usable.duplicated("mark", keep=False)].sort_values("source")
    of_mark = twins.groupby("mark", sort=False)
    in_classes = twins[of_mark["label"].transform("nunique") > 1]
    add(
        "the same file in two classes, of which one is wrong",
        [" = ".join(rows["source"]) for _, rows in in_classes.groupby("mark", sort=False)],
    )
    alike = twins[of_mark["label"].transform("nunique") == 1]
    add("the same file again in its class", alike["source"][alike.duplicated("mark")])
    in_both = twins[of_mark["split"].transform("nunique") > 1]
    add("the same file to train on and to test", in_both["source"][in_both.duplicated("mark")])
    near = usable[usable["twin"] != ""]
    pairs = near["source"] + " = " + near["twin"]
    label_of = dict(zip(table["source"], table["label"], strict=True))
    apart = near["label"] != near["twin"].map(label_of)
    add("nearly the same in two classes, of which one may be wrong", pairs[apart])
    add("nearly the same", pairs[~apart])
    if found.own_test:
        parts = usable.groupby("label")["split"].agg(set)
        add("classes without an image to test on", parts.index[parts == {"train"}])
    counts = usable["label"].value_counts()
    if found.labels_are_all and counts.max() >= 5 * counts.min():
        rare, most = counts.idxmin(), counts.idxmax()
        said.append(
            f"uneven classes: {most} has {counts.max()} images, {rare} {counts.min()} "
            "(train.balanced: true weighs them alike, compare.metric: balanced_accuracy counts so)"
        )
    return said


def _listed(names: Sequence[str], most: int) -> str:
    more = [f"and {len(names) - most} more"] if len(names) > most else []
    return ", ".join([*names[:most], *more])


def _opened(place: Path, task: str | None) -> tuple[str, tuple[str, ...], str, Source]:
    """The task that a place is laid out for, or the one that is asked for; tasks that it is laid
    out for as well; and the source that reads it so, with its name before it."""
    by_truth = {TRUTHS[name].TRUTH: name for name in TRUTHS.names()}
    asked = TRUTHS[task].TRUTH if task else None
    known = _recognised(place) if asked or task is None else {}
    if asked and asked not in known:
        able = [name for name in _telling() if asked in SOURCES[name].TRUTH]
        raise UserError(
            f"no images with {asked}, as task: {task} needs; allowed: what {', '.join(able)} read,"
            f" see docs/{task}.md"
        )
    if not known:
        return by_truth[None], (), *_of_labels(place)
    first, *others = [asked] if asked else known
    name = known[first]
    also = tuple(by_truth[truth] for truth in others)
    return by_truth[first], also, name, SOURCES[name].open_source(str(place))


def _recognised(place: Path) -> dict[str, str]:
    """What of `TELLING` there is at a place -> the name of the source that reads it."""
    if place.is_file() and place.suffix.lower() in {".npz", *TABLES}:
        return {}
    files, known = look(str(place)), {}
    for truth in TELLING:
        for name in _telling():
            if truth not in known and truth in SOURCES[name].TRUTH:
                known |= {truth: name} if SOURCES[name].recognises(files) else {}
    return known


def _telling() -> list[str]:
    """The sources that tell whether a place is theirs."""
    return [name for name in SOURCES.names() if hasattr(SOURCES[name], "recognises")]


def _of_labels(place: Path) -> tuple[str, Source]:
    """The source that reads images and their labels at a place, and its name before it."""
    ending = place.suffix.lower()
    if ending == ".npz" and place.is_file():
        return "npz", SOURCES["npz"].open_source(str(place))
    if ending in TABLES and place.is_file():
        return "image_table", SOURCES["image_table"].open_source(str(place))
    tables = place.is_dir() and [f for f in place.iterdir() if f.suffix.lower() in TABLES]
    try:
        source = SOURCES["image_folder"].open_source(str(place))
    except UserError:
        if not tables:
            raise
    else:
        if not tables or source.table["label"].nunique() > 1:
            return "image_folder", source
    return "image_table", SOURCES["image_table"].open_source(str(place))


def _without_params(said: str, place: Path) -> str:
    """An error of a source or of `prepare`, which speak of a params.yaml that is not there yet."""
    for start in (f"params.yaml: data.raw = {str(place)!r}: ", "params.yaml: data: "):
        said = said.removeprefix(start)
    return f"images {str(place)!r}: {said}"


def _with_headers(source: Source, table: pd.DataFrame) -> pd.DataFrame:
    """The table with what the headers say of each image."""
    if isinstance(source.read, Images):  # whose keys hold more than the image's
        keys = [key.image for key in source.keys]
        source = replace(source, read=source.read.files, keys=keys)
    keys = [source.keys[row] for row in table["row"]]
    order = np.arange(len(keys))
    if source.order is not None:  # how they lie in the archive
        order = np.argsort(np.asarray(source.order)[table["row"]], kind="stable")
    sizes, parts = _sizes(source, keys), isinstance(source.read, (Folder, Tar, Zip))
    facts: list[tuple] = [()] * len(keys)
    for first in range(0, len(keys), AT_ONCE):
        some = order[first : first + AT_ONCE]
        asked = [keys[i] for i in some]
        contents = source.read(asked, HEAD) if parts else source.read(asked)
        for i, content in zip(some, contents, strict=True):
            whole = not parts or (sizes[i] is not None and sizes[i] <= HEAD)
            facts[i] = _facts(source, keys[i], content, whole, sizes[i])
    about = pd.DataFrame(facts, columns=["width", "height", "mode", "bytes", "problem", "mark"])
    table = pd.concat([table.reset_index(drop=True), about], axis=1)
    if isinstance(source.read, Folder) and len(table) > DECODED:
        for i in np.flatnonzero(table["problem"] == ""):
            table.loc[i, "problem"] = _damage(source.read.root / keys[i], sizes[i])
    # Larger files are read as a whole only where another one has as many bytes.
    unmarked = table["mark"].isna() & (table["problem"] == "")
    alike = unmarked & table["bytes"].notna() & table.loc[unmarked].duplicated("bytes", keep=False)
    for i in np.flatnonzero(alike):
        (content,) = source.read([keys[i]])
        if not isinstance(content, Exception):
            table.loc[i, "mark"] = _mark(content)
    single = table["mark"].isna()
    table.loc[single, "mark"] = [f"single {i}" for i in np.flatnonzero(single)]
    scene = duplicates.join(table["group"], *duplicates.exact(table["mark"]))
    table = table.assign(twin="", scene=scene)
    return _decoded(source, keys, table) if len(table) <= DECODED else table


def _decoded(source: Source, keys: Sequence, table: pd.DataFrame) -> pd.DataFrame:
    """The table with what the pixels say, of files that differ."""
    rows = np.flatnonzero((table["problem"] == "") & ~table["mark"].duplicated())
    thumbs: dict[int, np.ndarray] = {}
    with ThreadPoolExecutor(cores()) as threads:  # decoding lets other threads run
        for first in range(0, len(rows), WHOLE):
            some = rows[first : first + WHOLE]
            contents = source.read([keys[row] for row in some])
            for row, seen in zip(some, threads.map(_thumb, contents), strict=True):
                if isinstance(seen, str):  # so are those of the same bytes
                    table.loc[table["mark"] == table["mark"][row], "problem"] = seen
                elif seen is not None:  # it is not too small
                    thumbs[row] = seen
    if not thumbs:
        return table
    at, pictures = np.array(list(thumbs)), images.grey(thumbs.values())
    pairs = duplicates.near(images.perceptual_hash(pictures), BITS, lambda places: pictures[places])
    one, other = (at[places] for places in pairs)
    twin = table["twin"].copy()
    twin.iloc[other] = table["source"].to_numpy()[one]
    return table.assign(twin=twin, scene=duplicates.join(table["scene"], one, other))


def _thumb(content: bytes | np.ndarray | Exception) -> np.ndarray | str | None:
    """A small picture of an image, None of one that is smaller; what is wrong with it, if it cannot
    be decoded."""
    if isinstance(content, Exception):
        return str(content) or type(content).__name__
    try:
        return images.decode(content, SMALL).thumb
    except images.BadImage as error:
        return str(error)


def shapes(source: str, place: str, most: int) -> list[tuple[str, int, int]]:
    """Name, width and height of some of the images at a place, in pixels and upright, by their
    headers: `most` of them, from all over the place, less those that cannot be read. Raises
    UserError as the source does, for a place that cannot serve."""
    opened = SOURCES[source].open_source(place)
    rows = np.unique(np.linspace(0, len(opened.table) - 1, most).astype(int))
    parts = isinstance(opened.read, (Folder, Tar, Zip))
    keys = [opened.keys[row] for row in rows]
    contents = opened.read(keys, HEAD) if parts else opened.read(keys)
    read = zip(rows, keys, contents, strict=True)
    facts = [(row, *_facts(opened, key, content, not parts, None)) for row, key, content in read]
    names = opened.table["source"]
    return [(names[row], width, height) for row, width, height, _, _, bad, _ in facts if not bad]


def _sizes(source: Source, keys: Sequence) -> list[int | None]:
    """Bytes of each file, None where that is not known before it is read."""
    if isinstance(source.read, Folder):
        sizes = []
        for key in keys:
            path = source.read.root / key
            # Of a name too long for a file, or one that may not be seen, `is_file` would raise.
            there = os.path.isfile(path)  # noqa: PTH113
            sizes.append(path.stat().st_size if there else None)
        return sizes
    if isinstance(source.read, Tar):
        return [size for _, size in keys]
    if isinstance(source.read, Zip):
        return [source.read.archive.getinfo(key).file_size for key in keys]
    return [None] * len(keys)


def _facts(
    source: Source, key: object, content: bytes | np.ndarray | Exception, whole: bool, size: int
) -> tuple:
    """Width, height, mode, bytes, problem and, of a file that is read as a whole, its mark."""
    if isinstance(content, Exception):
        return None, None, None, size, str(content) or type(content).__name__, None
    if isinstance(content, np.ndarray):
        height, width, channels = content.shape
        return width, height, images.MODE[channels], content.nbytes, "", _mark(content)
    mark = _mark(content) if whole else None
    try:
        return *images.header(content, MEGAPIXELS), size or len(content), "", mark
    except images.BadImage as error:
        if whole or formats.kind(content) is None:
            return None, None, None, size, str(error), None
    (content,) = source.read([key])  # such as WebP, or a header behind much else
    return _facts(source, key, content, True, size)


def _damage(path: Path, size: int) -> str:
    """Why an image file of so many bytes cannot be decoded, of those that do not end as their
    format does; "" of others."""
    with path.open("rb") as file:
        head = file.read(formats.HEAD)
        file.seek(max(0, size - TAIL))
        tail = file.read()
    if size <= HEAD:  # where a small picture within the header may end too
        tail = tail[-64:]
    end = ENDS.get(formats.kind(head))
    if end is None or end in tail:
        return ""
    seen = _thumb(path.read_bytes())
    return seen if isinstance(seen, str) else ""


def _mark(content: bytes | np.ndarray) -> str:
    content = np.ascontiguousarray(content) if isinstance(content, np.ndarray) else content
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def some(found: Survey) -> list[bytes | np.ndarray | Exception]:
    """Contents of a few usable images."""
    return _read(found.opened, found.usable)


def truth(found: Survey, side: int, resize: str, most: int) -> np.ndarray | None:
    """What so many usable images are learnt to be besides their labels, as
    `cnnlab.data.truths` makes it for images of `side` pixels, (most, ...): of some again where
    there are fewer. None where labels are all."""
    rows = found.usable.iloc[np.linspace(0, len(found.usable) - 1, most).astype(int)]
    return TRUTHS[found.task].truth(found.opened, rows, (side, side), resize)


def _read(source: Source, table: pd.DataFrame) -> list[bytes | np.ndarray | Exception]:
    places = np.linspace(0, len(table) - 1, min(SAMPLED, len(table))).astype(int)
    keys = [source.keys[row] for row in table["row"].iloc[places]]
    return source.read(keys) if keys else []


def _colour(source: Source, usable: pd.DataFrame) -> bool:
    """Whether images have colour: many that are grey are stored as if they had."""
    coloured = usable[~usable["mode"].str.match("1$|L|I|F")]
    for content in _read(source, coloured):
        try:
            pixels = images.decode(content, SMALL).pixels.astype(int)
        except (images.BadImage, TypeError):  # damaged behind its header, or not read at all
            continue
        if (pixels.max(axis=2) - pixels.min(axis=2)).mean() > TINGE:
            return True
    return False
