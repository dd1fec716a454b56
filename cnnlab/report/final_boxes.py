"""The recommended variant, where it finds objects: what the test says of it, and its model card. As
`cnnlab.report.final`, without what probabilities of whole images are asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from cnnlab import paths
from cnnlab.compare.coco import COCOS
from cnnlab.compare.detected import BoxesJudgement
from cnnlab.compare.masked import Ends
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.options import Compare, Final
from cnnlab.data.pool import Pool
from cnnlab.detections import DETECTIONS, counted
from cnnlab.metric import percent
from cnnlab.recipe.options import Backbone
from cnnlab.recipe.recipe import Recipe
from cnnlab.records import Record
from cnnlab.report import escaped, included, page, picture
from cnnlab.report.final import of_choice, of_network
from cnnlab.report.final_masks import bounded, in_unit, metrics_table, or_dash
from cnnlab.tasks import TASKS


def section(
    candidates: pd.DataFrame,
    evaluation: BoxesJudgement,
    options: Compare,
    final: Final,
    figures: Sequence[Path],
    shape: Sequence[int],
    regions: int,
) -> str:
    """What the report says of it. `candidates`: as `compare.recommend` documents its rows. `shape`:
    height and width of the images. `regions`: how many are ignored."""
    m = METRICS[options.metric]
    return page(
        "final_boxes.md.j2",
        **of_choice(candidates, options, final),
        score=in_unit(evaluation.metrics[options.metric], m),
        evaluation=evaluation,
        metrics=metrics_table(evaluation, options.confidence),
        classes=classes_table(evaluation.classes, options.confidence),
        sizes=sizes_table(evaluation.sizes, options.confidence),
        thirds=[row["size"] for row in evaluation.sizes] != [size.name for size in COCOS],
        width=shape[1],
        height=shape[0],
        regions=regions,
        figures=[picture(path, paths.REPORTS) for path in figures],
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
    objects, _ = counted(dev.truth, dev.classes)
    return page(
        "model_card_boxes.md.j2",
        **of_network(study, chosen, recipe, dev, record, backbone),
        detections=DETECTIONS,
        counts=list(objects.values()),
        measured=called,
        train_score=f"{METRICS[score].plain(record.final[f'train_{score}'])} {METRICS[score].unit}",
        evaluated=included(evaluated),
    )


def about(name: str, evaluation: BoxesJudgement, metric: str) -> str:
    """A few words for a model registry. `metric`: the primary one."""
    m = METRICS[metric]
    return (
        f"The recommended variant, {name}, trained on all development images. Test {m.title} "
        f"{in_unit(evaluation.metrics[metric], m)} on {evaluation.images} images. Takes float32 "
        "images 0..255; gives a map of logits of objects and their boxes."
    )


def classes_table(rows: Sequence[Mapping], confidence: float) -> str:
    """A row a class in Markdown."""
    lines = [
        f"| class | images | objects | AP (%) [{percent(confidence)} CI] | recall (%) |",
        "|---|---:|---:|---|---:|",
    ]
    for row in rows:
        ap = bounded(Ends(row["ap50"], row["low"], row["high"]), METRICS["map50"])
        lines.append(
            f"| {escaped(row['class'])} | {row['images']} | {row['objects']} | {ap} "
            f"| {or_dash(row['recall50'])} |"
        )
    return "\n".join(lines)


def sizes_table(rows: Sequence[Mapping], confidence: float) -> str:
    """A row a size in Markdown; nothing where objects are of one size."""
    if not rows:
        return ""
    lines = [
        f"| objects | area (square pixels) | images | objects | mAP (%) [{percent(confidence)} CI] "
        "| mAP at IoU 0.5 (%) | recall (%) |",
        "|---|---|---:|---:|---|---:|---:|",
    ]
    for row in rows:
        ap = bounded(Ends(row["map"], row["low"], row["high"]), METRICS["map"])
        lines.append(
            f"| {row['size']} | {_range(row['least'], row['most'])} | {row['images']} "
            f"| {row['objects']} | {ap} | {or_dash(row['map50'])} | {or_dash(row['recall50'])} |"
        )
    return "\n".join(lines)


def _range(least: float, most: float) -> str:
    if not least:
        return f"up to {most:g}"
    return f"from {least:g}" if math.isinf(most) else f"{least:g} to {most:g}"
