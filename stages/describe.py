"""describe: reports/data.md, on what the images are and what was done to them."""

import json
import shutil

import numpy as np
import pandas as pd

from cnnlab import params, paths, report
from cnnlab.data import pool
from cnnlab.look.dataset import samples_figure, sizes_figure
from cnnlab.look.figure import save
from cnnlab.report import dataset
from stages import run

CLASSES, IMAGES = 12, 6  # shown
CHUNK = 256  # images in memory at once


def main() -> None:
    size, resize, channels = params.load("data.image_size", "data.resize", "data.channels")
    facts = json.loads(paths.DATA_FACTS.read_text())
    text = {"keep_default_na": False, "dtype": {"label": str, "source": str, "pool": str}}
    inventory = pd.read_csv(paths.INVENTORY, **text)
    inventory[["width", "height"]] = inventory[["width", "height"]].apply(pd.to_numeric)
    findings = pd.read_csv(paths.FINDINGS, keep_default_na=False, dtype=str)
    dev = pool.read(paths.PREPARED / "dev")

    shutil.rmtree(paths.DATA_FIGURES, ignore_errors=True)
    paths.DATA_FIGURES.mkdir(parents=True)
    shown = dev.classes[:CLASSES]
    rows = {name: np.flatnonzero(dev.manifest["label"] == name) for name in shown}
    picks = {
        n: r[np.unique(np.linspace(0, len(r) - 1, IMAGES).astype(int))] for n, r in rows.items()
    }
    some = f"{len(shown)} of {len(dev.classes)} classes" if shown != dev.classes else "the classes"
    picture = samples_figure(
        f"Development images of {some}",
        {name: dev.images[picked] for name, picked in picks.items()},
        {name: _mean(dev.images, of) for name, of in rows.items()},
        {name: len(of) for name, of in rows.items()},
    )
    save(picture, paths.DATA_FIGURES / "samples.png")
    used = inventory[inventory["problem"] == ""]
    if len(used[["width", "height"]].drop_duplicates()) > 1:
        picture = sizes_figure(
            "Sizes of the originals", used["width"].astype(int), used["height"].astype(int)
        )
        save(picture, paths.DATA_FIGURES / "sizes.png")

    pictures = [
        report.picture(path, paths.REPORTS) for path in sorted(paths.DATA_FIGURES.glob("*.png"))
    ]
    asked = {"image_size": size, "resize": resize, "channels": channels}
    paths.DATA_REPORT.write_text(dataset.render(facts, inventory, findings, asked, pictures))


def _mean(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Mean of some images, read in chunks."""
    total = sum(
        images[rows[i : i + CHUNK]].sum(axis=0, dtype=np.uint64) for i in range(0, len(rows), CHUNK)
    )
    return total / len(rows)


if __name__ == "__main__":
    run(main)
