"""compare, of boxes: how well each variant finds each class."""

import numpy as np

from cnnlab import paths
from cnnlab.compare import comparison, tables
from cnnlab.detections import parts
from cnnlab.look import class_iou_figure
from cnnlab.tasks.detection import ap50_of_class
from stages._study import Study
from stages._write import csv, pictures

COLUMNS = ["class", "name", "ap50", "low", "high"]


def compared(study: Study) -> None:
    """Average precision of each class that is there at an IoU of 0.5, out of fold, as a table and a
    figure."""
    rules = comparison.rules_of("map50", study.options)
    outcomes = study.compared.outcomes
    first = next(iter(outcomes.values()))
    has = parts(first.outputs[0, 0]).true > 0  # (images, classes), the same of all
    group_of, rows = study.dev.groups, []
    groups = np.array([group_of[i] for i in first.image_id])
    for number, name in enumerate(study.dev.classes):
        known = len(np.unique(groups[has[:, number]]))
        if not known:  # as of a class that the test alone has: nothing can be told of it here
            continue
        of_class = ap50_of_class(number)
        values = {v: o.of_each(of_class).mean(axis=2) for v, o in outcomes.items()}
        for variant, ends in tables.intervals(values, study.compared.split, rules).items():
            ends = ends if known > 1 else (ends[0], np.nan, np.nan)
            rows.append(dict(zip(COLUMNS, (name, variant, *ends), strict=True)))
    csv(rows, paths.COMPARE / "class_ap50.csv", COLUMNS)
    title = f"{study.name}: how well each class is found"
    drawn = class_iou_figure(
        title, [{**row, "iou": row["ap50"]} for row in rows], study.dev.classes, "AP at IoU 0.5"
    )
    pictures({"classes": drawn}, paths.COMPARE)
