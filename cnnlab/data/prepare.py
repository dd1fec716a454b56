"""From a source to the pools of a study: which images, in which group and split."""

from __future__ import annotations

import json
import posixpath
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from cnnlab.data import duplicates
from cnnlab.data.formats import ENDINGS
from cnnlab.data.images import scale
from cnnlab.data.sources import Finding, Source, _splits, shown, tidy
from cnnlab.errors import UserError

LONG = 200  # characters of an unusually long name
LOST = ("image ", "broken link", "link ", "file that cannot be read")  # begin the kinds of findings
LISTED = 10  # bad images that an error names
LAYERS = re.compile(  # names of folders that tell images from drawings of where things are on them
    r"(jpeg|png|original|raw|colou?r)?[ _-]?(images?|imgs?|pictures?)"
    r"|masks?|labels?|annotations?|ground[ _-]?truths?|gts?|segmentations?"
    r"|segmentation[ _-]?(class|object)(aug)?",
    re.IGNORECASE,
)
TURNS = ("0", "90", "180", "270")  # degrees
FEWEST = 8  # images of a stratum
LABEL = 255  # bytes of a class name: as long as a folder may be called

RENAMED = (  # what is left where `data.classes` does not serve
    "rename one where it is named beside the images (a JSON, classes.csv, the .xml files, or a file"
    " of names)"
)

ANY = ""  # in what is wanted of a pool: images of any class (none has an empty name)


def named(source: Source) -> Source:
    """The source with its labels as `tidy` writes them; a finding for each that this changes."""
    tidied = {label: tidy(label) for label in sorted(source.table["label"].unique())}
    findings = [
        Finding("class name in another form", ascii(label), f"read as {name}")
        for label, name in tidied.items()
        if label != name
    ]
    table = source.table.assign(label=source.table["label"].map(tidied))
    return replace(source, table=table, findings=[*source.findings, *findings])


def merged(
    table: pd.DataFrame, classes: list[str] | dict[str, list[str]] | None
) -> tuple[pd.DataFrame, list[str] | None]:
    """A source's table with its classes put together, and the names of those to keep.

    `classes`: names to keep, None for all; or name -> the source's classes that become it. Raises
    UserError for a class that is not there, or is in two.
    """
    if not isinstance(classes, dict):
        return table, classes
    labels, into = sorted(table["label"].unique()), {}
    for name, members in classes.items():
        for member in members:
            if member not in labels:
                raise UserError(
                    f"params.yaml: data.classes.{name}: class {member!r} is not there; allowed: "
                    f"{', '.join(labels)}"
                )
            if member in into:
                raise UserError(
                    f"params.yaml: data.classes.{name}: {member!r} is in {into[member]} already; "
                    "allowed: each class once"
                )
            into[member] = name
    kept = table[table["label"].isin(into)]
    return kept.assign(label=kept["label"].map(into)), list(classes)


def select(
    table: pd.DataFrame,
    classes: list[str] | None,
    pretrain_classes: list[str],
    least: int = 2,
    chosen: bool = True,
) -> pd.DataFrame:
    """The rows of a source's table (see `Source`) whose classes are wanted.

    Adds the columns `row` (number in the source) and, where it is missing, `group` (the image
    itself). `classes`: those to keep, None: all; `least`: as many are needed; `chosen`: whether
    `data.classes` may say which there are, else files with the truth do. Raises UserError naming a
    class that is not there or cannot be the name of one.
    """
    labels = sorted(set(table["label"]))
    for name in labels:
        if not 0 < len(name.encode()) <= LABEL or "/" in name or tidy(name) != name:
            raise UserError(
                f"params.yaml: data: class {name[:LABEL]!r}: allowed: 1 to {LABEL} bytes of"
                " characters that can be printed, without /; "
                + ("data.classes: {new name: [this one]} renames it" if chosen else RENAMED)
            )
    if not classes:
        _refuse_doubtful(labels, chosen)
    for key, names, allowed in (
        ("data.classes", classes or [], labels),
        ("data.pretrain.classes", pretrain_classes, classes or labels),
    ):
        for name in names:
            if name not in allowed:
                raise UserError(
                    f"params.yaml: {key}: class {name!r} is not there; allowed: "
                    f"{', '.join(allowed)}"
                )
    table = _numbered(table)
    table = table[table["label"].isin(classes)] if classes else table
    if table["label"].nunique() < least:
        raise UserError(f"params.yaml: data: needs at least {least} classes, found {labels}")
    return table.reset_index(drop=True)


def gathered(table: pd.DataFrame) -> tuple[pd.DataFrame, list[Finding]]:
    """A selected table whose labels say no more than how images are stratified: images whose label
    fewer than `FEWEST` to develop on have, too few for folds and a test, go with the commonest. A
    finding for each such label."""
    labels = sorted(set(table["label"]))
    counts = table["label"][table["split"] != "test"].value_counts().reindex(labels, fill_value=0)
    most = counts.idxmax()
    rare = [name for name in labels if counts[name] < FEWEST and name != most]
    findings = [
        Finding("class that is the largest on few images", name, f"stratified as {most}")
        for name in rare
    ]
    gathered = table["label"].where(~table["label"].isin(rare), most)
    return table.assign(label=gathered), findings


def _refuse_doubtful(names: list[str], chosen: bool) -> None:
    """Refuse classes that may be none, or one, where nobody has said that they are meant so.
    (Files with the truth say it of those that may be none: they are no folders.)"""
    if chosen and len(names) > 1 and all(map(_splits.part, names)):
        raise UserError(
            f"params.yaml: data: the classes would be {', '.join(names)}, which parts of a data set"
            " are called: images should lie in one folder a class below these, or their table have"
            f" a column `split`; if they are classes, data.classes: {json.dumps(names)} says so"
        )
    if chosen and len(names) > 1 and all(map(LAYERS.fullmatch, names)):
        raise UserError(
            f"params.yaml: data: the classes would be {', '.join(names)}, which images and drawings"
            " of their parts are called: images should lie in one folder a class; if they are"
            f" classes, data.classes: {json.dumps(names)} says so"
        )
    alike: dict[str, str] = {}
    for name in names:
        form = "".join(unicodedata.normalize("NFKC", name).casefold().split())
        other = alike.setdefault(form, name)
        if other != name:
            raise UserError(
                f"params.yaml: data: classes {other!r} and {name!r} differ in nothing but case,"
                " form or spaces: "
                + (
                    f"data.classes: {{{name}: [{other}, {name}], ...}} makes them one, a list of"
                    " all names keeps them apart"
                    if chosen
                    else RENAMED
                )
            )


def without_labels(table: pd.DataFrame) -> pd.DataFrame:
    """All rows of a source's table, as `select` gives them, whatever their classes are."""
    return _numbered(table).assign(label=ANY)


def _numbered(table: pd.DataFrame) -> pd.DataFrame:
    """A source's table with the columns `row` and `group`, see `select`."""
    table = table.reset_index(names="row")
    # Of what cannot be printed, a bare CR would be the end of a row of the manifest.
    return table.assign(group=table.get("group", table["source"]).astype(str).map(shown))


def draw(
    table: pd.DataFrame,
    *,
    dev_per_class: int | None,
    test_per_class: int | None,
    test_share: float,
    pretrain_classes: Sequence[str],
    pretrain_images: int,
    seed: int,
) -> pd.DataFrame:
    """Draw the pools from a selected table: a manifest without digests.

    `pretrain_images` of each of `pretrain_classes` go to pretrain, and nothing else of them
    anywhere; where none is named, so many of what is left, whatever its class. Stratified:
    `dev_per_class` images of every other class go to dev, then some to pretrain, the rest (at most
    `test_per_class` of each class, None: all) to test. With `dev_per_class` None it is the other
    way round: `test_per_class` images, or the share `test_share` of each class, go to test, some to
    pretrain and the rest to dev. Where the source comes split, its test part is where test is drawn
    from, and dev and pretrain come from its train part. A group goes where all of it fits. Where
    all groups of a class are larger than its share, one of the smallest size may go to test. Raises
    UserError naming a class that is too small.
    """
    shuffled = table.sample(frac=1, random_state=np.random.default_rng(seed))
    comes_split = bool(shuffled["split"].isin(["train", "test"]).all())
    available = table["label"].value_counts().sort_index()
    target = [name for name in available.index if name not in pretrain_classes]
    wanted = {
        "dev": dict.fromkeys(target, len(table) if dev_per_class is None else dev_per_class),
        "pretrain": dict.fromkeys(pretrain_classes or [ANY], pretrain_images),
        "test": dict.fromkeys(target, test_per_class or len(table)),
    }
    order = ["dev", "pretrain", "test"]
    if dev_per_class is None:
        order = ["test", "pretrain", "dev"]
        if not comes_split and test_per_class is None:
            by_group = shuffled.groupby(["label", "group"]).size().groupby("label").min()
            wanted["test"] = {
                c: max(int(by_group[c]), round(test_share * int(available[c]))) for c in target
            }
    shuffled["split"] = _placed(shuffled, wanted, order, comes_split)
    if dev_per_class is None:
        in_dev = set(shuffled["label"][shuffled["split"] == "dev"])
        for label in sorted(set(target) - in_dev):
            raise UserError(
                f"params.yaml: data.dev_per_class = null: of class {label!r}, {available[label]} "
                "images, none is left for the dev pool: those of a group stay together, as near "
                "duplicates do unless data.near_duplicates is null"
            )
        in_test = set(shuffled["label"][shuffled["split"] == "test"])
        for label in sorted(set(target) - in_test) if not comes_split else ():
            groups = shuffled["group"][shuffled["label"] == label].nunique()
            asked = f"test_per_class = {test_per_class}"
            if test_per_class is None:
                asked = f"test_share = {test_share:g}"
            raise UserError(
                f"params.yaml: data.{asked}: of class {label!r}, {available[label]} images in"
                f" {groups} groups, no whole group can be tested; give a larger number"
            )
    else:
        _require_all("dev", "dev_per_class", dev_per_class, wanted["dev"], available, shuffled)
    _require_all(
        "pretrain", "pretrain.per_class", pretrain_images, wanted["pretrain"], available, shuffled
    )
    manifest = shuffled[shuffled["split"] != ""].sort_values("row")
    manifest.insert(0, "image_id", np.arange(len(manifest)))
    return manifest.reset_index(drop=True)


def _placed(
    shuffled: pd.DataFrame,
    wanted: dict[str, dict[str, int]],
    order: Sequence[str],
    comes_split: bool,
) -> list[str]:
    """The pool of each image, "" for none: group after group goes to the first pool of `order` that
    still wants all of it. What is left to be wanted stays in `wanted`."""
    groups: dict[str, list[int]] = {}
    for i, group in enumerate(shuffled["group"].to_list()):
        groups.setdefault(group, []).append(i)
    labels, given = shuffled["label"].to_list(), shuffled["split"].to_list()
    pool_of = [""] * len(shuffled)
    learning = [pool for pool in order if pool != "test"]
    for members in groups.values():
        one = len(members) == 1  # as nearly all are: a Counter takes its time
        by_label = {labels[members[0]]: 1} if one else Counter(labels[i] for i in members)
        pools = order
        if comes_split:
            pools = ["test"] if "test" in [given[i] for i in members] else learning
        for pool in pools:
            counts = {ANY: len(members)} if ANY in wanted[pool] else by_label
            if all(wanted[pool].get(label, 0) >= n for label, n in counts.items()):
                for i in members:
                    pool_of[i] = pool
                for label, n in counts.items():
                    wanted[pool][label] -= n
                break
    return pool_of


def _require_all(
    pool: str,
    key: str,
    asked: int,
    lacking: Mapping[str, int],
    available: pd.Series,
    shuffled: pd.DataFrame,
) -> None:
    """Raise UserError where a pool lacks images: `lacking`: class -> how many."""
    # With groups the last few may not fit exactly; one image short in twenty is let pass.
    slack = 0 if shuffled["group"].is_unique else asked // 20
    for label, n in lacking.items():
        if n > slack:
            have = (
                f"class {label!r} has {available[label]} images, of which"
                if label
                else "of all images"
            )
            raise UserError(
                f"params.yaml: data.{key} = {asked}: {have} only {asked - n} were left for the"
                f" {pool} pool"
            )


def turned(manifest: pd.DataFrame, first_id: int) -> pd.DataFrame:
    """The manifest of each image turned by 0, 90, 180 and 270 degrees, the turn as its label: what
    a network learns without labels (Gidaris et al. 2018). Turns of one image are one group."""
    four = manifest.loc[manifest.index.repeat(len(TURNS))].reset_index(drop=True)
    ids = np.arange(first_id, first_id + len(four))
    return four.assign(image_id=ids, label=list(TURNS) * len(manifest), digest="")


def in_turns(images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Each image (side, side, channels) in the turns of `TURNS`, counter-clockwise."""
    for image in images:
        for quarter in range(len(TURNS)):
            yield np.rot90(image, quarter)


def range_of(facts: pd.DataFrame, place: str) -> tuple[tuple[float, float] | None, list[Finding]]:
    """The one scale of all images of more than 8 bits, as `images.scale` gives it, and what is to
    be said of it; None where there are none. `facts`: see `cache.Facts`."""
    deep = facts[facts["low"].notna()]
    if deep.empty:
        return None, []
    low, high = float(deep["low"].min()), float(deep["high"].max())
    black, width = scale(low, high, whole=bool((deep["mode"] != "F").any()))
    detail = (
        f"{len(deep)} images hold values from {low:g} to {high:g}: in all of them {black:g} becomes"
        f" black and {black + width:g} white"
    )
    return (black, width), [Finding("rule for more than 8 bits", place, "applied", detail)]


def further_pictures(images: pd.DataFrame) -> list[Finding]:
    """What is to be said of files with several pictures, of which the first is an image."""
    return [
        Finding("further pictures in a file", source, "left out", f"the first of {n:.0f} is read")
        for source, n in zip(images["source"], images["pictures"], strict=True)
        if n > 1
    ]


def lines(findings: list[Finding], listed: str) -> list[str]:
    """A line for each kind of finding: how many, what became of them, the first of them and why,
    and where they are `listed`."""
    kinds: dict[str, list[Finding]] = {}
    for finding in sorted(findings):
        kinds.setdefault(finding.what, []).append(finding)
    return [
        f"{what} ({len(some)}) {some[0].done}: {some[0].where}"
        f"{f' ({some[0].detail})' if some[0].detail else ''}{', ...' if len(some) > 1 else ''};"
        f" listed in {listed}"
        for what, some in kinds.items()
    ]


def refuse_lost(findings: list[Finding], policy: str) -> None:
    """Raise UserError where images were left out before any was read, and none may be."""
    lost = [f for f in findings if f.done == "left out" and f.what.startswith(LOST)]
    if policy == "fail" and lost:
        some = [f"{f.where}: {f.what}" for f in lost[:LISTED]]
        more = [f"and {len(lost) - LISTED} more"] if len(lost) > LISTED else []
        heading = "params.yaml: data.bad.policy = fail: of the images were left out:"
        raise UserError("\n  ".join([heading, *some, *more]))


def without_bad(
    inventory: pd.DataFrame, policy: str, limit: float
) -> tuple[pd.DataFrame, list[Finding]]:
    """The images without those that have a `problem`, and what is to be said of each of those.

    `policy`: "fail" stops at any, "skip" where their share is above `limit`: UserError names some.
    """
    bad = inventory[inventory["problem"] != ""]
    if len(bad) > (limit * len(inventory) if policy == "skip" else 0):
        allowed = f"limit = {limit:g} allows a share of it" if policy == "skip" else "policy = fail"
        lines = [
            f"{source}: {problem}"
            for source, problem in zip(bad["source"][:LISTED], bad["problem"], strict=False)
        ]
        more = [f"and {len(bad) - LISTED} more"] if len(bad) > LISTED else []
        raise UserError(
            "\n  ".join(
                [
                    f"params.yaml: data.bad.{allowed}: {len(bad)} of {len(inventory)} images cannot"
                    " be used:",
                    *lines,
                    *more,
                ]
            )
        )
    findings = [
        Finding("image that cannot be used", source, "left out", problem)
        for source, problem in zip(bad["source"], bad["problem"], strict=True)
    ]
    usable = inventory[inventory["problem"] == ""].reset_index(drop=True)
    gone = sorted(set(bad["label"]) - set(usable["label"]))
    if gone and usable["label"].nunique() < 2:
        raise UserError(
            f"params.yaml: data: needs at least 2 classes; of {', '.join(gone)} no image can be"
            f" used: {bad['source'].iloc[0]}: {bad['problem'].iloc[0]}"
        )
    what = "class without images that can be used"
    return usable, [*findings, *(Finding(what, label, "left out") for label in gone)]


def oddities(inventory: pd.DataFrame) -> list[Finding]:
    """What is unusual about images that are used all the same."""
    findings = []
    for source, format in zip(inventory["source"], inventory["format"], strict=True):
        ending = posixpath.splitext(source)[1].lower()
        if ending not in ENDINGS.get(format, {ending}) and ending:
            findings.append(Finding("ending of another format", source, f"read as {format}"))
        if not source.isascii() or " " in source or "\\" in source or len(source) > LONG:
            findings.append(Finding("unusual name", source, "read as any other"))
    return findings


def group_duplicates(
    inventory: pd.DataFrame, bits: int | None, thumbs: Callable[[Iterable[int]], np.ndarray]
) -> tuple[pd.DataFrame, list[Finding]]:
    """Put images that are the same, or nearly, into one group; say which, and how they conflict.

    `bits`: of the perceptual hash that may differ, None: only equal pixels count. `thumbs`: ids of
    the cache -> their small pictures.
    """
    pairs = [("duplicate", *duplicates.exact(inventory["digest"]))]
    if bits is not None:
        rows = np.flatnonzero(inventory["hash"].notna() & ~inventory["digest"].duplicated())
        ids = inventory["id"].to_numpy()[rows]
        hashes = inventory["hash"].iloc[rows].to_numpy(np.int64)
        one, other = duplicates.near(hashes, bits, lambda places: thumbs(ids[places]))
        pairs.append(("near duplicate", rows[one], rows[other]))
    source, label, split = (inventory[c].to_list() for c in ("source", "label", "split"))
    findings = []
    for what, one, other in pairs:
        for i, j in zip(one, other, strict=True):
            conflicts = []
            if label[i] != label[j]:
                conflicts.append(f"labelled {label[i]} and {label[j]}: one is wrong")
            if split[i] != split[j]:
                conflicts.append(f"in {split[i]} and {split[j]}: both go to test")
            kind = what + duplicates.CONFLICT if label[i] != label[j] else what
            done = duplicates.TOGETHER + source[i]
            findings.append(Finding(kind, source[j], done, "; ".join(conflicts)))
    one = np.concatenate([p[1] for p in pairs])
    other = np.concatenate([p[2] for p in pairs])
    return inventory.assign(group=duplicates.join(inventory["group"], one, other)), findings


def common_shape(manifest: pd.DataFrame, size: int | None, channels: int) -> tuple[int, int, int]:
    """Height, width and channels of all images.

    Raises UserError naming the first image that differs from the first of all, where `size` is
    None and they stay as they are.
    """
    if size:
        return size, size, channels
    height, width = manifest[["height", "width"]].iloc[0].astype(int)
    other = manifest[(manifest["height"] != height) | (manifest["width"] != width)]
    if len(other):
        name, wide, high = other[["source", "width", "height"]].iloc[0]
        raise UserError(
            f"params.yaml: data.image_size = null: {name} has {wide:.0f}x{high:.0f} pixels, the"
            f" first image {width}x{height}; give the size to bring all of them to"
        )
    return int(height), int(width), channels


def refuse_unheld(held: Sequence[str], needed: tuple[str, int], of: str) -> None:
    """Raise UserError where images hold too few classes. `held`: names of those that they do;
    `needed`: `HELD` of a file of `cnnlab.data.truths`; `of`: which images."""
    what, least = needed
    if len(held) < least:
        raise UserError(
            f"params.yaml: data: {of} hold {what} of {', '.join(held) or 'no class'}"
            f"{' alone' if held else ''}; allowed: of at least {least}"
            f" class{'es' if least > 1 else ''}"
        )


def unlearnt(classes: Sequence[str], dev: Sequence[bool], test: Sequence[bool]) -> list[Finding]:
    """A finding for each class that the development images have nothing of. `dev`, `test`: whether
    there is anything of each class."""
    return [
        Finding("class of the test images alone", name, "kept", "nothing is learnt of it")
        if tested
        else Finding("class on no image that was drawn", name, "kept")
        for name, learnt, tested in zip(classes, dev, test, strict=True)
        if not learnt
    ]


def in_channels(images: Iterable[np.ndarray], channels: int) -> Iterator[np.ndarray]:
    """Images (height, width, 1 or `channels`) with `channels` channels; grey is repeated."""
    for image in images:
        yield image if image.shape[2] == channels else np.repeat(image, channels, axis=2)
