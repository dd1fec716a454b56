"""compare, of classes: which of them gain and which lose, which images changed sides, and how far
confidence can be believed."""

import numpy as np
import pandas as pd

from cnnlab import paths
from cnnlab.compare import comparison, sides, tables
from cnnlab.compare.metrics import METRICS
from cnnlab.look import effects as look
from cnnlab.look.classes import classes_figure
from cnnlab.look.sides import Changed, sides_figure
from cnnlab.recipe.techniques import starts
from stages._study import Study
from stages._write import csv, pictures


def compared(study: Study) -> None:
    """Write the tables and figures."""
    title = f"{study.name}: how far confidence can be believed"
    pictures({"ablation_calibration": look.calibration_figure(title, study.grids)}, paths.COMPARE)
    _classes(study)
    _sides(study)
    _confusion(study)


def _classes(study: Study) -> None:
    """Which classes gain and which lose, as a table and a figure."""
    rules = comparison.rules_of("accuracy", study.options)
    outcomes = next(iter(study.compared.outcomes.values()))
    right = study.compared.values["accuracy"]
    rows = tables.class_rows(
        study.headlines, right, outcomes.labels, study.dev.classes, study.compared.split, rules
    )
    csv(rows, paths.COMPARE / "classes.csv", tables.CLASS_COLUMNS)
    if rows:
        title = f"{study.name}: which classes gain, which lose"
        pictures({"classes": classes_figure(title, METRICS["accuracy"], rows)}, paths.COMPARE)


def _sides(study: Study) -> None:
    """Images that changed sides, as a table and a figure a technique."""
    figures, every = {}, []
    row_of = {image: row for row, image in enumerate(study.dev.manifest["image_id"])}

    def shown(table: pd.DataFrame, way: str) -> list[Changed]:
        other = "lost" if way == "gained" else "gained"
        first = table[table[way] > table[other]].sort_values(way, ascending=False, kind="stable")
        return [
            Changed(
                np.asarray(study.dev.images[row_of[row["image_id"]]]),
                row["label"],
                row["mistaken_for"],
                row[way],
                row["of"],
            )
            for row in first.to_dict("records")
        ]

    for contrast in study.headlines:
        pairs = sides.pairs_of(contrast, study.techniques, starts())
        if not pairs:
            continue
        outcomes = study.compared.outcomes
        table = sides.changed(contrast.name, pairs, outcomes, study.dev.classes)
        every.append(table)
        name, _, other = contrast.name.partition(" - ")  # two starts, or a pair of variants
        figures[sides.figure_of(contrast.name)] = sides_figure(
            f"{study.name}: images that changed sides by {contrast.name}",
            f"with {other}" if other else f"without {name}",
            f"with {name}",
            shown(table, "gained"),
            shown(table, "lost"),
        )
    table = pd.concat(every) if every else pd.DataFrame(columns=sides.COLUMNS)
    csv(table, paths.COMPARE / "sides.csv", sides.COLUMNS)
    pictures(figures, paths.COMPARE)


def _confusion(study: Study) -> None:
    """What `dvc plots` shows of the best variant: one confusion matrix."""
    values = study.compared.values[study.options.metric]
    best = study.compared.outcomes[comparison.best(values, study.real, study.metric)]
    classes = np.array(study.dev.classes)
    first = best.outputs[0, 0].argmax(axis=1)  # of the first repeat: each image once
    table = pd.DataFrame({"actual": classes[best.labels], "predicted": classes[first]})
    csv(table, paths.PLOTS / "confusion.csv", [])
