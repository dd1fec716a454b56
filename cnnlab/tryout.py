"""Try a study before it is run: `python -m cnnlab.tryout` in its folder (`make try`).

All stages, on few images: two variants, two folds, few epochs, so that what is wrong with the
images, the params or the machine is seen within a minute or two. It happens in the folder `.try`,
with params of its own and a store of its own for MLflow, so that the study's params, records and
reports stay as they are; every page says that it is a try. `make repro` removes the folder.
"""

from __future__ import annotations

import io
import math
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from ruamel.yaml import YAML

from cnnlab import CODE, params, paths
from cnnlab.compare.designs import PLACEBO
from cnnlab.data import prepare
from cnnlab.data.sources import SOURCES
from cnnlab.data.truths import TRUTHS
from cnnlab.errors import UserError, run_command
from cnnlab.params import Params
from cnnlab.recipe.techniques import starts

FOLDER = Path(".try")
DEV, TEST, LEARNT = 8, 4, 20  # images of each class, at most; LEARNT: by a backbone
FEWEST = 4  # of each class that params may ask for
SPARE = 2  # times as many are taken, as some may be bad, or twice there
EPOCHS = (2, 4, 8, 16, 32, 64, 128)  # the first with which the params hold
DRAWS = 200  # of the bootstrap


def chosen(whole: Params) -> dict[str, dict[str, list[str]]]:
    """Two variants by group: the first that begins where none at a backbone is asked for, and the
    one of the most techniques, which begins at the backbone if any does."""
    groups = {group: dict(variants) for group, variants in whole.variants}
    every = [(group, name, on) for group in groups for name, on in groups[group].items()]
    first = every[0]
    others = [v for v in every[1:] if PLACEBO not in v[2]] or every[1:]
    others = [v for v in others if v[0] == "transfer"] or others
    both = [first, *sorted(others, key=lambda v: -len(v[2]))[:1]]
    return {group: {name: on for g, name, on in both if g == group} for group in groups}


def smaller(whole: Params, images: Mapping[str, Any], epochs: int) -> dict[str, Any]:
    """The content of the params of a try. `whole`: those of the study; `images`: what its section
    `data` changes; `epochs`: that training takes at most, in each phase."""
    small = whole.model_dump(exclude_unset=True)
    variants = chosen(whole)
    names = [name for group in variants.values() for name in group]
    on = [t for group in variants.values() for names_ in group.values() for t in names_]
    studied = [t for t in dict.fromkeys(on) if t not in (*starts(), PLACEBO)]
    small["study"] = f"try-of-{whole.study}"[:64]
    small["code"] = str(CODE)
    small["data"] |= images
    small["folds"] |= {"k": 2, "repeats": 1}
    small["train"] |= {"evaluate_every": 1, "members": min(2, whole.train.members)}
    for section in ("train", "techniques", "backbone"):
        small[section] = _short(small[section], epochs)
    if "://" not in whole.backbone.weights and whole.backbone.sha256:
        small["backbone"]["weights"] = str(Path(whole.backbone.weights).absolute())
    small["design"] |= {"kind": "custom", "techniques": studied, "placebo": False}
    small["variants"] = variants
    small["sizes"] |= {"per_class": [], "variants": []}
    small["compare"] |= {"pairs": [names[::-1]] if len(names) > 1 else [], "draws": DRAWS}
    small["decide"] |= {"max_repeats": None}
    small["visualize"] |= {"variants": names, "images": 1}
    return small


def _short(section: Any, epochs: int) -> Any:
    """A section of params in which no number of epochs is larger."""
    if not isinstance(section, Mapping):
        return section
    return {
        key: min(value, epochs) if key.endswith("epochs") else _short(value, epochs)
        for key, value in section.items()
    }


def taken(whole: Params, folder: Path) -> dict[str, Any]:
    """Write a few images of each class of the study into a folder, and return what the section
    `data` says of them. More than classes is true of the images of some tasks: there it says how
    few are drawn from the study's own. Raises UserError as `prepare` does."""
    data = whole.data
    source = prepare.named(SOURCES[data.source].open_source(data.remote or data.raw))
    table, classes = prepare.merged(source.table, data.classes)
    truth = TRUTHS[whole.task]
    table = prepare.select(table, classes, data.pretrain.taken, truth.LEAST, not truth.TRUTH)
    pretrain = data.pretrain.model_dump() | {"raw": str(Path(data.pretrain.raw).absolute())}
    pretrain["per_class"] = min(LEARNT, data.pretrain.per_class)
    if truth.TRUTH:
        # Of images that hold nothing so many more are drawn that DEV are expected to hold some.
        share = float(1 - truth.empty(source, table).mean())
        few = _few(prepare.gathered(table)[0], share)
        return {"raw": str(Path(data.raw).absolute()), "pretrain": pretrain} | few
    learnt = 0
    if data.pretrain.from_own:  # LEARNT of each class, or of all together
        learnt = LEARNT if data.pretrain.taken else -(-LEARNT // table["label"].nunique())
    split = bool(table["split"].isin(["train", "test"]).all())
    kept = []
    for (_, part), rows in table.groupby(["label", "split"]):
        many = SPARE * ((TEST if part == "test" else DEV if split else DEV + TEST) + learnt)
        places = np.unique(np.linspace(0, len(rows) - 1, min(many, len(rows))).astype(int))
        kept.append(rows.iloc[places])
    some = pd.concat(kept)
    contents = source.read([source.keys[row] for row in some["row"]])
    for row, label, part, image in zip(
        some["row"], some["label"], some["split"], contents, strict=True
    ):
        if not isinstance(image, Exception):
            path = folder / (part if split else "") / label / f"{row}.image"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image if isinstance(image, bytes) else _png(image))
    study = ~some["label"].isin(data.pretrain.taken)
    least = _least(some[study & (some["split"] != "test")])
    dev = min(DEV, least if split else max(FEWEST, 4 * least // 5))
    tests = _least(some[study & (some["split"] == "test")]) if split else max(1, least - dev)
    images = {"source": "image_folder", "raw": str(folder.absolute()), "remote": None}
    images |= {"classes": sorted(set(some["label"])), "dev_per_class": dev}
    return images | {"test_per_class": min(TEST, tests), "pretrain": pretrain}


def _few(table: pd.DataFrame, share: float = 1.0) -> dict[str, int]:
    """How many images of each class are drawn from a source's own, of which the `share` holds
    something; of one with too rare classes: nothing, so as many as in the study."""
    wanted = math.ceil(DEV / share) if share else len(table)
    least = {part: _least(rows) for part, rows in table.groupby("split")}
    if set(least) == {"train", "test"}:
        dev, tests = least["train"], least["test"]
    else:
        dev = 4 * _least(table) // 5
        tests = _least(table) - dev
    if dev < FEWEST:
        return {}
    return {"dev_per_class": min(wanted, dev), "test_per_class": min(TEST, tests)}


def _least(table: pd.DataFrame) -> int:
    """Images of the rarest class."""
    return int(table["label"].value_counts().min())


def _png(pixels: np.ndarray) -> bytes:
    """The content of a PNG of pixels, uint8 (height, width, 1 or 3)."""
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(file, "PNG")
    return file.getvalue()


def marked(folder: Path, whole: Params) -> None:
    """Say in every page that this is a try."""
    said = (
        f"A try, not a result: {len(whole.variants.every)} variants, {whole.folds.k} folds, few "
        f"images and epochs. Nothing here says what the study {whole.study} will; make repro "
        "removes it."
    )
    for page in sorted(folder.rglob("*.md")):
        page.write_text(f"> **{said}**\n\n{page.read_text(encoding='utf-8')}", encoding="utf-8")
    for page in sorted(folder.rglob("*.html")):
        text = page.read_text(encoding="utf-8")
        style = "background:#b00020;color:#fff;margin:0;padding:.6em 1em;font-weight:bold"
        told = re.sub(r"(<body[^>]*>)", rf'\1<p style="{style}">{said}</p>', text, count=1)
        page.write_text(told, encoding="utf-8")


def main() -> None:
    """Try the study of this folder. Raises UserError for params that do not hold, and where a stage
    fails."""
    began = time.monotonic()
    whole = params.read()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    images = taken(whole, FOLDER / "data/raw")
    small = None
    for epochs in EPOCHS:  # such as a schedule of several cycles needs some
        with (FOLDER / params.FILE).open("w", encoding="utf-8") as file:
            YAML().dump(smaller(whole, images, epochs), file)
        try:
            small = params.read(FOLDER / params.FILE)
            break
        except UserError:
            if epochs == EPOCHS[-1]:
                raise
    names = ", ".join(small.variants.every)
    print(f"trying {names} on few images of each class, {epochs} epochs")
    here = str(FOLDER.absolute())  # its own store of MLflow and cache of decoded images
    store = {"DVC_ROOT": here, "MLFLOW_TRACKING_URI": f"sqlite:///{here}/mlflow.db"}
    environment = {**os.environ, **store, "PYTHONPATH": str(CODE)}
    done = subprocess.run([sys.executable, "-m", "stages"], cwd=FOLDER, env=environment)
    if done.returncode:
        raise UserError(f"the try stopped: {FOLDER / params.FILE} says what it was made of")
    marked(FOLDER / paths.REPORTS, small)
    print(f"tried in {time.monotonic() - began:.0f} s: {FOLDER / paths.REPORTS / 'report.html'}")


if __name__ == "__main__":
    run_command(main)
