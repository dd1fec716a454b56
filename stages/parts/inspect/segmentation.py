"""inspect, of masks: on which development images the recommended variant is worst, by what it
predicted when it was not trained on them."""

import numpy as np
import pandas as pd

from cnnlab import params
from cnnlab.compare.scores import Outcomes
from cnnlab.data import pool
from cnnlab.overlap import iou, parts
from stages._inspect import worst


def main() -> None:
    title = f"{params.load('study')}: the images whose masks are predicted worst"
    note = "below each image: the class that covers most of it, and the IoU, averaged over repeats"
    worst(_table, title, note, lambda row: f"IoU {row['iou']:.2f}")


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
