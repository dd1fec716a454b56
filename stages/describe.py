"""describe: reports/data.md, on what the images are, what was done to them, and what may be wrong
with them."""

import json
import shutil

import numpy as np
import pandas as pd

from cnnlab import params, paths, report
from cnnlab.data import findings, pool, properties, shortcuts, suspects
from cnnlab.look.dataset import samples_figure, sizes_figure
from cnnlab.look.figure import number, plural, save
from cnnlab.look.findings import Seen, findings_figure
from cnnlab.report import coded, dataset
from cnnlab.tasks import TASKS
from stages import run
from stages.parts.describe import PARTS

CLASSES, IMAGES = 12, 6  # shown
CHUNK = 256  # images in memory at once
OF_SHORTCUT = 12  # images of a class, and of the others, that a sheet of a shortcut shows


def main() -> None:
    data = params.load("data")
    facts = json.loads(paths.DATA_FACTS.read_text())
    text = {"keep_default_na": False, "dtype": {"label": str, "source": str, "pool": str}}
    inventory = pd.read_csv(paths.INVENTORY, **text)
    for column in ("width", "height", "bytes"):
        inventory[column] = pd.to_numeric(inventory[column])
    listed = pd.read_csv(paths.FINDINGS, keep_default_na=False, dtype=str)
    dev = pool.read(paths.PREPARED / "dev")

    shutil.rmtree(paths.DATA_FIGURES, ignore_errors=True)
    paths.DATA_FIGURES.mkdir(parents=True)
    labels = tuple(name for name in dev.classes if (dev.manifest["label"] == name).any())
    shown = labels[:CLASSES]
    rows = {name: np.flatnonzero(dev.manifest["label"] == name) for name in shown}
    picks = {
        n: r[np.unique(np.linspace(0, len(r) - 1, IMAGES).astype(int))] for n, r in rows.items()
    }
    some = f"{len(shown)} of {len(labels)} classes" if shown != labels else "the classes"
    picture = samples_figure(
        f"Development images of {some}",
        {name: dev.images[picked] for name, picked in picks.items()},
        {name: _mean(dev.images, of) for name, of in rows.items()},
        {name: len(of) for name, of in rows.items()},
    )
    save(picture, paths.DATA_FIGURES / "samples.png")
    for name, picture in PARTS[dev.task].described(dev).items():
        save(picture, paths.DATA_FIGURES / f"{name}.png")
    used = inventory[inventory["problem"] == ""]
    if len(used[["width", "height"]].drop_duplicates()) > 1:
        picture = sizes_figure(
            "Sizes of the originals", used["width"].astype(int), used["height"].astype(int)
        )
        save(picture, paths.DATA_FIGURES / "sizes.png")
    pictures = [
        report.picture(path, paths.REPORTS) for path in sorted(paths.DATA_FIGURES.glob("*.png"))
    ]

    table, of_code = _look(dev, inventory, listed, data.mute)
    findings.write(paths.DATA_FINDINGS, table)
    for line in findings.counted(table):
        print(f"describe: {line}; listed in {paths.DATA_FINDINGS}")
    sheets = _draw(dev, table, of_code)
    asked = data.model_dump(include={"image_size", "resize", "channels"})
    page = dataset.render(
        facts,
        inventory,
        listed,
        asked,
        pictures,
        coded.table(table),
        coded.muted(table),
        sheets,
        by_label=TASKS[dev.task].BY_CLASS is None,
    )
    paths.DATA_REPORT.write_text(page)


def _look(dev: pool.Pool, inventory: pd.DataFrame, listed: pd.DataFrame, mute: list[str]):
    """The table of findings, and the values of each property that may be a shortcut, by code."""
    manifest = dev.manifest
    originals = inventory[inventory["pool"] == "dev"].drop_duplicates("source")
    originals = manifest[["source"]].merge(originals, on="source", validate="one_to_one")
    values, small = properties.measure(dev.images)
    width, height = originals["width"].to_numpy(float), originals["height"].to_numpy(float)
    of_code = {
        "CUT01": values["brightness"].to_numpy(),
        "CUT02": values["contrast"].to_numpy(),
        "CUT03": values["colourfulness"].to_numpy(),
        "CUT04": values["sharpness"].to_numpy(),
        "CUT05": originals["bytes"].to_numpy(float),
        "CUT06": width,
        "CUT07": height,
        "CUT08": width / height,
        "CUT09": (originals["format"] + " " + originals["mode"]).to_numpy(str),
    }
    every = [
        *suspects.of_pixels(manifest, values, small),
        *suspects.of_sizes(manifest, width, height),
        *suspects.across_classes(manifest, listed),
        *shortcuts.shortcuts(manifest, of_code),
    ]
    return findings.table(every, mute), of_code


def _draw(dev: pool.Pool, table: pd.DataFrame, of_code) -> list[tuple[str, str]]:
    """A sheet of each code that is not muted, as reports/data/CODE.png; title and Markdown image of
    each."""
    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}
    pictures = []
    for code, rows in table[~table["muted"]].groupby("code", sort=False):
        about = findings.CODES[code]
        n = len(rows)
        images = plural(n, "image") if code not in of_code else f"{n} class{'es' * (n > 1)}"
        title = f"{code} {about.name} ({images})"
        measured = about.unit != "none"
        also = f", and {about.unit}" if measured else "; twins come one after the other"
        note = f"below each image: its class{also}"
        if code in of_code:
            blocks = _beside(dev, rows["label"].iloc[0], of_code[code])
            what = about.name.removeprefix("shortcut: ").removesuffix(" predicts the label")
            note = f"below each image: its class and its {what}, from the least to the largest"
        else:
            seen = [
                Seen(
                    dev.images[row_of[row["image_id"]]],
                    row["label"],
                    number(row["value"]) if pd.notna(row["value"]) else "",
                )
                for row in rows.to_dict("records")
            ]
            blocks = [("", seen)]
        path = paths.DATA_FIGURES / f"{code}.png"
        save(findings_figure(title, note, blocks), path)
        pictures.append((f"{code} {about.name}", report.picture(path, paths.REPORTS)))
    return pictures


def _beside(dev: pool.Pool, label: str, values: np.ndarray):
    """Images of a class, and of the others, in the order of a property."""
    own = (dev.manifest["label"] == label).to_numpy()
    blocks = []
    for name, rows in ((label, np.flatnonzero(own)), ("other classes", np.flatnonzero(~own))):
        ordered = rows[np.argsort(values[rows], kind="stable")]
        picks = np.unique(np.linspace(0, len(ordered) - 1, OF_SHORTCUT).astype(int))
        seen = [
            Seen(
                dev.images[row],
                dev.manifest["label"][row],
                values[row] if isinstance(values[row], str) else number(values[row]),
            )
            for row in ordered[picks]
        ]
        blocks.append((name, seen))
    return blocks


def _mean(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean of some images, read in chunks."""
    total = sum(
        images[rows[i : i + CHUNK]].sum(axis=0, dtype=np.uint64) for i in range(0, len(rows), CHUNK)
    )
    return total / len(rows)


if __name__ == "__main__":
    run(main)
