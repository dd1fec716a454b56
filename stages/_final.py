"""What the stage `final` does for any task."""

import json
from pathlib import Path

import pandas as pd

from cnnlab import paths, records
from cnnlab.compare.detected import BoxesJudgement
from cnnlab.compare.masked import METRIC_COLUMNS, MasksJudgement
from cnnlab.data import pool
from cnnlab.errors import UserError
from cnnlab.recipe.recipe import Recipe
from cnnlab.run import choice
from cnnlab.run.job import NEVER, Job
from cnnlab.run.options import Execution
from cnnlab.tasks import TASKS


def candidates() -> pd.DataFrame:
    """All variants, of which one is recommended, as `compare.recommend` documents them."""
    text = {"name": str, "techniques": str}
    return pd.read_csv(paths.RECOMMENDED, dtype=text, keep_default_na=False)


def job(recipe: Recipe, dev: pool.Pool, seed: int, execution: Execution) -> Job:
    """One trial, on all development images."""
    return Job(
        name="final",
        recipe=recipe,
        pool=dev,
        folds=dev.manifest[["image_id"]].assign(repeat=0, fold=NEVER),
        members=1,
        seed=seed,
        device=choice.kind(execution, recipe, dev.images.shape[1:], dev.task),
        backbone=paths.BACKBONE / records.MODEL if recipe.phases else None,
        features=paths.FEATURES.absolute(),
    )


def test_images() -> pool.Pool:
    """The test images. Raises UserError where there are none."""
    folder = paths.PREPARED / "test"
    test = pool.read(folder)
    if not len(test.manifest):
        raise UserError(
            f"{folder}: no image is left to evaluate the final network on; lower "
            "data.dev_per_class, or set it to null and choose data.test_share"
        )
    return test


def write_judged(
    name: str, judged: MasksJudgement | BoxesJudgement, columns: list[str], task: str, primary: str
) -> dict[str, float]:
    """The tables in reports/final, and the headline numbers, which are returned, of a judgement
    with intervals. `columns`: of its table of classes; `primary`: the metric that comes first."""
    metrics = [(metric, *ends) for metric, ends in judged.metrics.items()]
    classes = pd.DataFrame(judged.classes, columns=columns)
    of_metrics = pd.DataFrame(metrics, columns=METRIC_COLUMNS)
    write_tables({"classes": classes, "metrics": of_metrics}, paths.FINAL)
    value, low, high = judged.metrics[primary]
    facts = {primary: value, f"{primary}_low": low, f"{primary}_high": high}
    facts |= {m: judged.metrics[m].value for m in TASKS[task].MEASURED if m != primary}
    # "test.iou": a column of its own beside "iou.best", which is out of fold.
    shown = {"recommended": name, "test": {k: round(v, 6) for k, v in facts.items()}}
    paths.FINAL_FACTS.write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    return facts


def write_tables(tables: dict[str, pd.DataFrame], folder: Path) -> None:
    """Tables by name, as CSV."""
    for name, table in tables.items():
        path = folder / f"{name}.csv"
        table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
