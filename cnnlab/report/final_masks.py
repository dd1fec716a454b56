"""The recommended variant, where it gives a class to each pixel: what the test says of it, and its
model card. As `cnnlab.report.final`, without what probabilities of whole images are asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab import paths, tracking
from cnnlab.compare.masked import WHOLE, Ends, MasksJudgement
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.options import Compare, Final
from cnnlab.data.pool import Pool
from cnnlab.metric import Metric, percent
from cnnlab.overlap import shares as shares_of
from cnnlab.recipe.options import Backbone
from cnnlab.recipe.recipe import Recipe
from cnnlab.records import Record
from cnnlab.report import escaped, included, page, picture
from cnnlab.report.dataset import alike
from cnnlab.report.final import ABOUT, of_choice, of_network
from cnnlab.tasks import TASKS


def section(
    candidates: pd.DataFrame,
    evaluation: MasksJudgement,
    options: Compare,
    final: Final,
    figures: Sequence[Path],
    dev: Mapping[str, int],
    test: Mapping[str, int],
) -> str:
    """What the report says of it. `candidates`: as `compare.recommend` documents its rows; `dev`,
    `test`: images of each label."""
    m = METRICS[options.metric]
    return page(
        "final_masks.md.j2",
        **of_choice(candidates, options, final),
        score=in_unit(evaluation.metrics[options.metric], m),
        evaluation=evaluation,
        whole=METRICS[WHOLE].title,
        metrics=metrics_table(evaluation, options.confidence),
        classes=classes_table(evaluation.classes, options.confidence),
        figures=[picture(path, paths.REPORTS) for path in figures],
        alike=alike(dev, test),
    )


def card(
    study: str,
    chosen: pd.Series,
    recipe: Recipe,
    dev: Pool,
    record: Record,
    evaluated: str,
    backbone: Backbone,
) -> str:
    """The model card. `evaluated`: the section."""
    score, called = next(iter(TASKS[dev.task].MEASURED.items()))
    numbers = range(len(dev.classes))
    return page(
        "model_card_masks.md.j2",
        **of_network(study, chosen, recipe, dev, record, backbone),
        shares=[f"{_percent(share)}%" for share in shares_of(dev.truth, dev.classes).values()],
        counts=[int((dev.truth == i).any(axis=(1, 2)).sum()) for i in numbers],
        measured=called,
        train_score=METRICS[score].plain(record.final[f"train_{score}"])
        + f" {METRICS[score].unit}",
        evaluated=included(evaluated),
    )


def about(name: str, evaluation: MasksJudgement, metric: str, classes: Sequence[str]) -> str:
    """A few words for a model registry. `metric`: the primary one."""
    m = METRICS[metric]
    return (
        f"The recommended variant, {name}, trained on all development images. Test {m.title} "
        f"{in_unit(evaluation.metrics[metric], m)} on {evaluation.images} images. Takes float32 "
        "images 0..255; gives for each pixel the probabilities of "
        f"{tracking.fitting(classes, ABOUT, ', ', 'and {} more')}, in this order."
    )


def metrics_table(evaluation: MasksJudgement, confidence: float) -> str:
    """Every metric on the test images in Markdown."""
    lines = [f"| metric | on the test images [{percent(confidence)} CI] |", "|---|---|"]
    for name, ends in evaluation.metrics.items():
        m = METRICS[name]
        lines.append(f"| {m.title} | {in_unit(ends, m)} |")
    return "\n".join(lines)


def classes_table(rows: Sequence[Mapping], confidence: float) -> str:
    """A row a class in Markdown."""
    lines = [
        f"| class | images | pixels (%) | IoU (%) [{percent(confidence)} CI] | precision (%) "
        "| recall (%) |",
        "|---|---:|---:|---|---:|---:|",
    ]
    m = METRICS[WHOLE]
    for row in rows:
        iou = bounded(Ends(row["iou"], row["low"], row["high"]), m)
        precision, recall = (or_dash(row[key]) for key in ("precision", "recall"))
        lines.append(
            f"| {escaped(row['class'])} | {row['images']} | {_percent(row['share'])} | {iou} "
            f"| {precision} | {recall} |"
        )
    return "\n".join(lines)


def or_dash(share: float) -> str:
    """A share in %; a dash where there is none."""
    return "–" if math.isnan(share) else f"{share * 100:.1f}"


def _percent(share: float) -> str:
    return f"{share * 100:.1f}" if share >= 0.01 or not share else f"{share * 100:.2g}"


def bounded(ends: Ends, m: Metric) -> str:
    """A value with its interval, without the unit."""
    if not np.isfinite(ends).all():
        return "–" if math.isnan(ends.value) else m.plain(ends.value)
    return f"{m.plain(ends.value)} [{m.plain(ends.low)}, {m.plain(ends.high)}]"


def in_unit(ends: Ends, m: Metric) -> str:
    """A value with its interval, in the metric's unit."""
    return f"{bounded(ends, m)} {m.unit}"
