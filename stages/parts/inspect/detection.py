"""inspect, of boxes: on which development images the recommended variant is worst, by what it
detected when it was not trained on them."""

import shutil

import numpy as np
import pandas as pd

from cnnlab import params, paths, records
from cnnlab.compare.scores import Outcomes
from cnnlab.data import findings, pool
from cnnlab.detections import loss, parts
from cnnlab.look.figure import save
from cnnlab.look.findings import MOST, Seen, findings_figure


def main() -> None:
    study = params.load("study")
    dev = pool.read(paths.PREPARED / "dev")
    candidates = pd.read_csv(paths.RECOMMENDED, dtype={"name": str}, keep_default_na=False)
    variant = candidates.loc[candidates["recommended"], "name"].item()
    trials = records.read_all(paths.RUNS / variant, paths.DECIDED / variant)
    table = _table(Outcomes.of(records.cells(trials), variant), dev)
    shutil.rmtree(paths.INSPECTED, ignore_errors=True)
    paths.INSPECTED.mkdir(parents=True)
    table.to_csv(paths.LOSSES, index=False, float_format="%.6g", lineterminator="\n")
    findings.write(paths.ALL_FINDINGS, findings.read(paths.DATA_FINDINGS))
    title = f"{study}: the images whose objects are found worst, by {variant}"
    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}
    seen = [
        Seen(dev.images[row_of[row["image_id"]]], row["label"], f"loss {row['loss']:.2f}")
        for row in table.head(MOST).to_dict("records")
    ]
    note = "below each image: the class of most box area, and the loss, averaged over repeats"
    save(findings_figure(title, note, [("", seen)]), paths.INSPECTED / "losses.png")


def _table(outcomes: Outcomes, dev: pool.Pool) -> pd.DataFrame:
    """A row an image, the worst first: its objects, how many of them were found when it was held
    out, at an IoU of 0.5 and whatever the score, and its loss; means over repeats and members."""
    found = outcomes.of_each(lambda labels, outputs: parts(outputs).hit[..., 0].sum(axis=1))
    about = dev.manifest.set_index("image_id").loc[outcomes.image_id]
    rows = pd.Series(range(len(dev.manifest)), dev.manifest["image_id"])[outcomes.image_id]
    table = pd.DataFrame(
        {
            "image_id": outcomes.image_id,
            "source": about["source"].to_numpy(),
            "label": about["label"].to_numpy(),
            "objects": np.sum(dev.truth[rows.to_numpy()][..., 0] >= 0, axis=1),
            "found": found.mean(axis=(0, 2)),
            "loss": outcomes.of_each(loss).mean(axis=(0, 2)),
        }
    )
    return table.sort_values("loss", ascending=False, kind="stable", ignore_index=True)
