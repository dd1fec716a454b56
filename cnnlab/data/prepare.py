"""From a source to the pools of a study: which images, in which split, at which size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
from PIL import Image

from cnnlab.data.pool import digest
from cnnlab.data.sources import Source
from cnnlab.errors import UserError


def merged(
    table: pd.DataFrame, classes: list[str] | dict[str, list[str]] | None
) -> tuple[pd.DataFrame, list[str] | None]:
    """A source's table with its classes put together, and the names of those to keep.

    `classes`: names to keep, None for all; or name -> the source's classes that become it. Raises
    UserError for a class that is not there, or is in two.
    """
    if not isinstance(classes, dict):
        return table, classes
    there, into = sorted(table["label"].unique()), {}
    for name, members in classes.items():
        for member in members:
            if member not in there:
                raise UserError(
                    f"params.yaml: data.classes.{name}: class {member!r} is not there; allowed: "
                    f"{', '.join(there)}"
                )
            if member in into:
                raise UserError(
                    f"params.yaml: data.classes.{name}: {member!r} is in {into[member]} already; "
                    "allowed: each class once"
                )
            into[member] = name
    kept = table[table["label"].isin(into)]
    return kept.assign(label=kept["label"].map(into)), list(classes)


def draw(
    table: pd.DataFrame,
    classes: list[str] | None,
    dev_per_class: int,
    test_per_class: int | None,
    pretrain_classes: list[str],
    pretrain_per_class: int,
    seed: int,
) -> pd.DataFrame:
    """Draw the pools from a source's table (see `Source`): a manifest without digests.

    Stratified: `dev_per_class` images of every class go to dev, then `pretrain_per_class` of each
    of `pretrain_classes` to pretrain, the rest (at most `test_per_class` a class, None: all) to
    test. Where the source comes split, its test part is where test is drawn from, and dev and
    pretrain come from its train part. A group goes where all of it fits. `classes`: those to keep
    (None: all). Raises UserError naming a class that is unknown or too small.
    """
    there = table["label"].value_counts().sort_index()
    for names, allowed in (
        (classes or [], there.index),
        (pretrain_classes, classes or there.index),
    ):
        for name in names:
            if name not in allowed:
                raise UserError(
                    f"params.yaml: data: class {name!r} is not there; allowed: {', '.join(allowed)}"
                )
    table = table.reset_index(names="row")
    table = table[table["label"].isin(classes)] if classes else table
    if table["label"].nunique() < 2:
        raise UserError(f"params.yaml: data: needs at least 2 classes, found {sorted(there.index)}")
    table["group"] = table.get("group", table["source"]).astype(str)

    shuffled = table.sample(frac=1, random_state=np.random.default_rng(seed))
    comes_split = shuffled["split"].isin(["train", "test"]).all()
    wanted = {"dev": dict.fromkeys(shuffled["label"].unique(), dev_per_class)}
    wanted["pretrain"] = dict.fromkeys(pretrain_classes, pretrain_per_class)
    unlimited = len(table) if test_per_class is None else test_per_class
    wanted["test"] = dict.fromkeys(shuffled["label"].unique(), unlimited)

    groups: dict[str, list[int]] = {}
    for i, group in enumerate(shuffled["group"]):
        groups.setdefault(group, []).append(i)
    labels, given = shuffled["label"].to_list(), shuffled["split"].to_list()
    split = np.full(len(shuffled), "", object)
    for members in groups.values():
        counts = Counter(labels[i] for i in members)
        pools = ["dev", "pretrain", "test"]
        if comes_split:
            judges = any(given[i] == "test" for i in members)
            pools = ["test"] if judges else ["dev", "pretrain"]
        for pool in pools:
            if all(wanted[pool].get(label, 0) >= n for label, n in counts.items()):
                split[members] = pool
                for label, n in counts.items():
                    wanted[pool][label] -= n
                break
    shuffled["split"] = split
    for pool, key in (("dev", "dev_per_class"), ("pretrain", "pretrain.per_class")):
        short = {label: n for label, n in wanted[pool].items() if n > 0}
        # With groups the last few may not fit exactly; one image short in twenty is let pass.
        asked = dev_per_class if pool == "dev" else pretrain_per_class
        slack = 0 if shuffled["group"].is_unique else asked // 20
        for label, n in short.items():
            if n > slack:
                raise UserError(
                    f"params.yaml: data.{key} = {asked}: class {label!r} has {there[label]} images,"
                    f" of which only {asked - n} were left for the {pool} pool"
                )
    manifest = shuffled[shuffled["split"] != ""].sort_values("row")
    manifest.insert(0, "image_id", np.arange(len(manifest)))
    return manifest.reset_index(drop=True)


def decode(
    source: Source,
    manifest: pd.DataFrame,
    size: int | None,
    channels: int | None,
    on_image: Callable[[], None],
) -> tuple[np.ndarray, pd.DataFrame]:
    """Read the manifest's images, uint8 (n, height, width, channels), and add their digests.

    `size`: pixels, the image is squashed to size x size with antialiasing (None: as they are, all
    alike). `channels`: 1 grey, 3 colour (None: as the first image). Raises UserError naming the
    first image that differs in shape where size is None.
    """
    images = None
    for i, (row, name) in enumerate(zip(manifest["row"], manifest["source"], strict=True)):
        image = _fit(source.read(row), size, channels)
        if images is None:
            channels = image.shape[2]
            images = np.empty((len(manifest), *image.shape), np.uint8)
        if image.shape != images.shape[1:]:
            height, width = images.shape[1:3]
            raise UserError(
                f"params.yaml: data.image_size = null: {name} has {image.shape[1]}x{image.shape[0]}"
                f" pixels, the first image {width}x{height}; give the size to bring all of them to"
            )
        images[i] = image
        on_image()
    return images, manifest.assign(digest=[digest(image) for image in images])


def _fit(image: np.ndarray, size: int | None, channels: int | None) -> np.ndarray:
    if channels in (None, image.shape[2]) and (size is None or image.shape[:2] == (size, size)):
        return image
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    if channels:
        picture = picture.convert("L" if channels == 1 else "RGB")
    if size:
        picture = picture.resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(picture)
    return pixels if pixels.ndim == 3 else pixels[..., None]
