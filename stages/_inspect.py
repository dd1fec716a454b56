"""What the stage `inspect` does where labels are not doubted: the images that the recommended
variant is worst at."""

import shutil
from collections.abc import Callable, Mapping

import pandas as pd

from cnnlab import paths, records
from cnnlab.compare.recommend import recommended
from cnnlab.compare.scores import Outcomes
from cnnlab.data import findings, pool
from cnnlab.look.figure import save
from cnnlab.look.findings import MOST, Seen, findings_figure


def worst(
    table_of: Callable[[Outcomes, pool.Pool], pd.DataFrame],
    title: str,
    note: str,
    caption: Callable[[Mapping], str],
) -> None:
    """Write reports/findings. `table_of`: a row an image, the worst first; `caption`: what stands
    below the image of a row."""
    dev = pool.read(paths.PREPARED / "dev")
    variant = recommended(paths.RECOMMENDED)
    trials = records.read_all(paths.RUNS / variant, paths.DECIDED / variant)
    table = table_of(Outcomes.of(records.cells(trials), variant), dev)
    shutil.rmtree(paths.INSPECTED, ignore_errors=True)
    paths.INSPECTED.mkdir(parents=True)
    table.to_csv(paths.LOSSES, index=False, float_format="%.6g", lineterminator="\n")
    findings.write(paths.ALL_FINDINGS, findings.read(paths.DATA_FINDINGS))
    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}
    seen = [
        Seen(dev.images[row_of[row["image_id"]]], row["label"], caption(row))
        for row in table.head(MOST).to_dict("records")
    ]
    picture = findings_figure(f"{title}, by {variant}", note, [("", seen)])
    save(picture, paths.INSPECTED / "losses.png")
