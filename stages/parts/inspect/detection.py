"""inspect, of boxes: on which development images the recommended variant is worst, by what it
detected when it was not trained on them."""

import numpy as np
import pandas as pd

from cnnlab import params
from cnnlab.compare.scores import Outcomes
from cnnlab.data import pool
from cnnlab.detections import loss, parts
from stages._inspect import worst


def main() -> None:
    title = f"{params.load('study')}: the images whose objects are found worst"
    note = "below each image: the class of most box area, and the loss, averaged over repeats"
    worst(_table, title, note, lambda row: f"loss {row['loss']:.2f}")


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
