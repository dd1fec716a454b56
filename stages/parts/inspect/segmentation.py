"""inspect, of masks: on which development images the recommended variant is worst, by what it
predicted when it was not trained on them."""

import shutil

import numpy as np
import pandas as pd

from cnnlab import params, paths, records
from cnnlab.compare.scores import Outcomes
from cnnlab.data import findings, pool
from cnnlab.look.figure import save
from cnnlab.look.findings import MOST, Seen, findings_figure
from cnnlab.overlap import iou, parts


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
    title = f"{study}: the images whose masks are predicted worst, by {variant}"
    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}
    seen = [
        Seen(dev.images[row_of[row["image_id"]]], row["label"], f"IoU {row['iou']:.2f}")
        for row in table.head(MOST).to_dict("records")
    ]
    note = "below each image: the class that covers most of it, and the IoU, averaged over repeats"
    save(findings_figure(title, note, [("", seen)]), paths.INSPECTED / "losses.png")


def _table(outcomes: Outcomes, dev: pool.Pool) -> pd.DataFrame:
    """A row an image, the worst first: its IoU and cross-entropy when it was held out, averaged
    over repeats and members, and the class that is found worst in it."""
    each = outcomes.of_each(iou).mean(axis=(0, 2))
    nll = outcomes.of_each(lambda labels, outputs: parts(outputs).nll).mean(axis=(0, 2))
    mean = outcomes.outputs.mean(axis=(0, 1), dtype=np.float64)
    p = parts(mean)
    either = p.true + p.predicted - p.shared
    missed = np.where(p.true > 0, 1 - p.shared / np.maximum(either, 1), -1)
    about = dev.manifest.set_index("image_id").loc[outcomes.image_id]
    table = pd.DataFrame(
        {
            "image_id": outcomes.image_id,
            "source": about["source"].to_numpy(),
            "label": about["label"].to_numpy(),
            "iou": each,
            "worst": np.array(dev.classes, object)[missed.argmax(axis=1)],
            "loss": nll,
        }
    )
    return table.sort_values("iou", kind="stable", ignore_index=True)
