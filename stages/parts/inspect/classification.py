"""inspect: which labels are likely wrong and which images are hard, by what the recommended variant
predicted for development images that it was not trained on."""

import shutil
import sys

import pandas as pd

from cnnlab import params, paths, records
from cnnlab.compare.labels import MARGIN, losses, too_often_wrong
from cnnlab.compare.recommend import recommended
from cnnlab.compare.scores import Outcomes
from cnnlab.data import findings, pool
from cnnlab.look.figure import plural, save
from cnnlab.look.findings import MOST, Seen, findings_figure

CODE = "LAB01"


def main() -> None:
    data, study = params.load("data", "study")
    dev = pool.read(paths.PREPARED / "dev")
    variant = recommended(paths.RECOMMENDED)
    trials = records.read_all(paths.RUNS / variant, paths.DECIDED / variant)
    table = losses(Outcomes.of(records.cells(trials), variant), dev.classes)
    source = dev.manifest.set_index("image_id")["source"]
    table.insert(1, "source", table["image_id"].map(source))

    shutil.rmtree(paths.INSPECTED, ignore_errors=True)
    paths.INSPECTED.mkdir(parents=True)
    table.to_csv(paths.LOSSES, index=False, float_format="%.6g", lineterminator="\n")
    if why := too_often_wrong(table):
        print(f"inspect: {why}", file=sys.stderr)
    labels = findings.table(_suspects(table), data.mute)
    for line in findings.counted(labels):
        print(f"inspect: {line}; listed in {paths.ALL_FINDINGS}")
    before = findings.read(paths.DATA_FINDINGS)
    findings.write(paths.ALL_FINDINGS, findings.joined([before, labels]))

    shown = labels.loc[~labels["muted"], "image_id"]
    seen = table.set_index("image_id", drop=False).loc[shown]
    if len(seen):
        title = f"{CODE} {findings.CODES[CODE].name} ({plural(len(seen), 'image')})"
        _draw(dev, seen, title, paths.INSPECTED / f"{CODE}.png")
    title = f"{study}: the most confusing images, by {variant}"
    _draw(dev, table, title, paths.INSPECTED / "losses.png")


def _suspects(table: pd.DataFrame) -> list[findings.Finding]:
    """A finding for each label that is likely wrong, the surest first."""
    rows = table[table["suspect"]]
    rows = rows.assign(margin=rows["other"] - rows["probability"])
    rows = rows.sort_values(["margin", "image_id"], ascending=[False, True])
    return [
        findings.Finding(
            CODE,
            row["image_id"],
            row["source"],
            row["label"],
            row["margin"],
            MARGIN,
            f"labelled {row['label']} ({row['probability']:.2f}), probably {row['predicted']} "
            f"({row['other']:.2f}); wrong in {row['wrong']} of {row['of']} repeats",
        )
        for row in rows.to_dict("records")
    ]


def _draw(dev: pool.Pool, rows: pd.DataFrame, title: str, path) -> None:
    """A sheet of the first of these images."""
    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}
    seen = [
        Seen(
            dev.images[row_of[row["image_id"]]],
            row["label"],
            f"taken for {row['predicted']}, {row['wrong']} of {row['of']}"
            if row["predicted"] != row["label"]
            else f"right, {row['probability']:.2f}",
        )
        for row in rows.head(MOST).to_dict("records")
    ]
    note = (
        "below each image: its label, what it was taken for, and in how many repeats it was wrong"
    )
    save(findings_figure(title, note, [("", seen)]), path)
