"""The recommended variant: why it is recommended, what the test says of it, and its model card
(Mitchell et al., "Model Cards for Model Reporting", FAccT 2019)."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cnnlab import paths, records
from cnnlab.compare import Judgement
from cnnlab.compare.metrics import METRICS, Metric
from cnnlab.compare.options import Compare, Final
from cnnlab.data.pool import Pool
from cnnlab.recipe.recipe import Recipe
from cnnlab.records import Record
from cnnlab.records.fingerprint import versions
from cnnlab.report import bounds, escaped, estimate, included, page, picture, signed

ABOUT = 4000  # characters of the description of a registered model; MLflow's limit is 5000


def section(
    candidates: pd.DataFrame,
    evaluation: Judgement,
    options: Compare,
    final: Final,
    figures: Sequence[Path],
) -> str:
    """What the report says of it. `candidates`: as `compare.recommend` documents its rows."""
    m = METRICS[options.metric]
    rope = f"{getattr(options.rope, options.metric) * m.scale:g} {m.step}"
    chosen = candidates[candidates["recommended"]].iloc[0]
    return page(
        "final.md.j2",
        why=why(candidates, m, final, rope),
        candidates=candidates_table(candidates, m, options.confidence, rope),
        accuracy=_share(evaluation.metrics["accuracy"], evaluation.low, evaluation.high),
        cross_validated=f"{estimate(_ends(chosen), 'score', m)} {m.unit}",
        primary=m.title,
        evaluation=evaluation,
        confidence=f"{options.confidence:.0%}",
        metrics=metrics_table(evaluation),
        classes=classes_table(evaluation.classes, options.confidence),
        figures=[picture(path, paths.REPORTS) for path in figures],
    )


def card(
    study: str, chosen: pd.Series, recipe: Recipe, dev: Pool, record: Record, evaluated: str
) -> str:
    """The model card. `evaluated`: the section."""
    path = paths.MODELS / records.MODEL
    return page(
        "model_card.md.j2",
        study=study,
        name=chosen["name"],
        techniques=", ".join(recipe.techniques) or "none",
        path=path.as_posix(),
        begins="the backbone's weights" if recipe.phases else "random weights",
        weights=f"{records.count_weights(path):,}",
        recipe=_flat(json.loads(recipe.json())),
        shape="×".join(map(str, dev.images.shape[1:])),
        classes=[escaped(name) for name in dev.classes],
        counts=dev.manifest["label"].value_counts().reindex(dev.classes).to_list(),
        images=record.n_train,
        epochs=int(record.history[-1]["epoch"]),
        asked=recipe.epochs,
        seed=record.seed,
        stopping=recipe.stopping,
        snapshots=recipe.snapshots,
        train_accuracy=f"{record.final['train_accuracy']:.1%}",
        versions=", ".join(f"{name} {version}" for name, version in versions().items()),
        evaluated=included(evaluated),
    )


def about(name: str, evaluation: Judgement, classes: Sequence[str]) -> str:
    """A few words for a model registry."""
    text = (
        f"The recommended variant, {name}, trained on all development images. Test accuracy "
        f"{_share(evaluation.metrics['accuracy'], evaluation.low, evaluation.high)} "
        f"({evaluation.right} of {evaluation.images} images). Takes float32 images 0..255; gives "
        f"the probabilities of {', '.join(classes)}, in this order."
    )
    return text if len(text) <= ABOUT else f"{text[:ABOUT]}…"


def why(candidates: pd.DataFrame, m: Metric, final: Final, rope: str) -> str:
    """Which variant is recommended, and by what rule, in a few sentences."""
    rows = [_ends(row) for _, row in candidates.iterrows()]
    chosen = next(row for row in rows if row["recommended"])
    best = min(rows, key=lambda row: row["behind"])
    score = f"{estimate(chosen, 'score', m)} {m.unit}"
    text = f"**{chosen['name']}** is recommended: out of fold {score}."
    if chosen["behind"] == 0 and chosen["name"] == best["name"]:
        text += " No variant has a better mean"
        text += "." if final.rule == "best" else ", and nothing simpler is level with it."
        return text
    level = sum(row["level"] for row in rows)
    text += (
        f" It is the simplest of {level} variants that are level with the best, {best['name']} "
        f"({estimate(best, 'score', m)} {m.unit}): the fewest techniques, then the least to train."
        f" The best leads it by {signed(chosen['behind'], m)} {m.step} {_bounds(chosen, m)}, by "
        f"more than {rope} with a probability of {chosen['p_worse']:.0%}; {final.probability:.0%}"
        " would pass it over (`final`)."
    )
    return text


def candidates_table(rows: pd.DataFrame, m: Metric, confidence: float, rope: str) -> str:
    """Every variant in Markdown, the best mean first."""
    lines = [
        f"| | techniques | {m.title} ({m.unit}), mean [{confidence:.0%} CI] "
        f"| behind the best ({m.step}) | by more than {rope}? | level | cost of training |",
        "|---|---|---|---|---|---|---|",
    ]
    least = rows["cost"].min()
    for _, row in rows.sort_values("behind", kind="stable").iterrows():
        row = _ends(row)
        name = f"**{row['name']}**" + (" (recommended)" if row["recommended"] else "")
        behind = f"{signed(row['behind'], m)} {_bounds(row, m)}" if row["behind"] else "–"
        lines.append(
            f"| {name} | {row['techniques'] or '–'} | {estimate(row, 'score', m)} | {behind} "
            f"| {row['p_worse']:.0%} | {'yes' if row['level'] else 'no'} "
            f"| {row['cost'] / least if least else 1:.2f} × |"
        )
    return "\n".join(lines)


def metrics_table(evaluation: Judgement) -> str:
    """Every metric on the test images in Markdown."""
    lines = ["| metric | on the test images |", "|---|---|"]
    for name, value in evaluation.metrics.items():
        m = METRICS[name]
        lines.append(f"| {m.title} | {value * m.scale:.{m.digits}f} {m.unit} |")
    return "\n".join(lines)


def classes_table(rows: Sequence[dict], confidence: float) -> str:
    """A row a class in Markdown."""
    lines = [
        f"| class | images | right (%) [{confidence:.0%} CI] | precision (%) | F1 (%) "
        "| most often mistaken for |",
        "|---|---:|---|---:|---:|---|",
    ]
    for row in rows:
        right = (
            "–" if math.isnan(row["recall"]) else _points(row["recall"], row["low"], row["high"])
        )
        lines.append(
            f"| {escaped(row['class'])} | {row['images']} | {right} | {row['precision'] * 100:.1f} "
            f"| {row['f1'] * 100:.1f} | {escaped(row['mistaken_for']) or '–'} |"
        )
    return "\n".join(lines)


def _ends(row: pd.Series) -> dict[str, Any]:
    """A row of the candidates with the names that `report.estimate` asks for."""
    return {**row, "score_low": row["low"], "score_high": row["high"]}


def _bounds(row: dict[str, Any], m: Metric) -> str:
    return bounds({"low": row["behind_low"], "high": row["behind_high"]}, m)


def _points(share: float, low: float, high: float) -> str:
    return f"{share * 100:.1f} [{low * 100:.1f}, {high * 100:.1f}]"


def _share(share: float, low: float, high: float) -> str:
    return f"{_points(share, low, high)} %"


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        inner = isinstance(value, dict)
        flat |= _flat(value, f"{prefix}{key}.") if inner else {prefix + key: value}
    return flat
