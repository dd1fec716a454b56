"""The recommended variant: why it is recommended, what the test says of it, and its model card
(Mitchell et al., "Model Cards for Model Reporting", FAccT 2019)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cnnlab import paths, records, tracking
from cnnlab.compare.calibration import Calibration, Worth
from cnnlab.compare.judgement import Judgement
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.mirrored import Flips
from cnnlab.compare.options import Compare, Final
from cnnlab.data.pool import Pool
from cnnlab.metric import Metric, percent
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.options import Backbone
from cnnlab.recipe.recipe import Recipe
from cnnlab.records import Record
from cnnlab.records.fingerprint import versions
from cnnlab.report import escaped, included, page, picture
from cnnlab.report.dataset import alike
from cnnlab.report.words import amount, bounds, estimate, plural, signed

ABOUT = 4000  # characters of the classes of a registered model, whose description may have 5000
TRUST_COLUMNS = ["quantity", "out_of_fold", "test"]


@dataclass(frozen=True)
class Trust:
    """How far the network's answers can be believed, out of fold and on the test images."""

    calibration: Calibration  # with what it was worth out of fold
    before: Worth  # on the test images, as trained
    after: Worth  # on the test images, calibrated
    alarms: float  # share of the test images that are called unlike the training images
    flips: Flips | None = None  # what mirror images did out of fold; None: they were not tried

    def rows(self) -> list[tuple[str, float, float]]:
        """TRUST_COLUMNS; NaN where it was not measured."""
        c = self.calibration
        return [
            ("nll", c.before.nll, self.before.nll),
            ("nll_calibrated", c.after.nll, self.after.nll),
            ("ece", c.before.ece, self.before.ece),
            ("ece_calibrated", c.after.ece, self.after.ece),
            ("covered", c.after.covered, self.after.covered),
            ("set_size", c.after.size, self.after.size),
            ("unlike", math.nan, self.alarms),
        ]


def section(
    candidates: pd.DataFrame,
    evaluation: Judgement,
    options: Compare,
    final: Final,
    figures: Sequence[Path],
    dev: Mapping[str, int],
    trust: Trust,
) -> str:
    """What the report says of it. `candidates`: as `compare.recommend` documents its rows; `dev`:
    development images of each class."""
    test = {row["class"]: row["images"] for row in evaluation.classes}
    metric, m = options.metric, METRICS[options.metric]
    return page(
        "final.md.j2",
        **of_choice(candidates, options, final),
        on_test="" if metric == "accuracy" else f"{m.plain(evaluation.metrics[metric])} {m.unit}",
        accuracy=_share(evaluation.metrics["accuracy"], evaluation.low, evaluation.high),
        evaluation=evaluation,
        metrics=metrics_table(evaluation),
        classes=classes_table(evaluation.classes, options.confidence),
        figures=[picture(path, paths.REPORTS) for path in figures],
        alike=alike(dev, test),
        believed=believed(trust),
        mirrored=mirrored(trust.flips),
        trust=trust_table(trust, final),
    )


def card(
    study: str,
    chosen: pd.Series,
    recipe: Recipe,
    dev: Pool,
    record: Record,
    evaluated: str,
    final: Final,
    trust: Trust,
    backbone: Backbone,
) -> str:
    """The model card. `evaluated`: the section."""
    return page(
        "model_card.md.j2",
        **of_network(study, chosen, recipe, dev, record, backbone),
        counts=dev.manifest["label"].value_counts().reindex(dev.classes).to_list(),
        train_accuracy=f"{record.final['train_accuracy']:.1%}",
        temperature=f"{trust.calibration.temperature:g}",
        flips=bool(trust.flips and trust.flips.used),
        coverage=f"{final.coverage:.1%}".replace(".0%", "%"),
        alarms=f"{final.false_alarms:.1%}".replace(".0%", "%"),
        evaluated=included(evaluated),
    )


def of_choice(candidates: pd.DataFrame, options: Compare, final: Final) -> dict[str, Any]:
    """Facts for the section of any task: which variant it is, and what it was out of fold."""
    m = METRICS[options.metric]
    rope = amount(getattr(options.rope, options.metric), m)
    chosen = candidates[candidates["recommended"]].iloc[0]
    return {
        "why": why(candidates, m, final, rope),
        "candidates": candidates_table(candidates, m, options.confidence, rope, final.rule),
        "cross_validated": f"{estimate(_ends(chosen), 'score', m)} {m.unit}",
        "primary": m.title,
        "confidence": percent(options.confidence),
    }


def of_network(
    study: str, chosen: pd.Series, recipe: Recipe, dev: Pool, record: Record, backbone: Backbone
) -> dict[str, Any]:
    """Facts for the model card of any task: what the network is, and how it was trained."""
    path = paths.MODELS / records.MODEL
    return {
        "study": study,
        "name": chosen["name"],
        "techniques": ", ".join(recipe.techniques) or "none",
        "path": path.as_posix(),
        "begins": _beginning(recipe, backbone),
        "weights": f"{records.count_weights(path):,}",
        "recipe": _flat(json.loads(recipe.json())),
        "shape": "×".join(map(str, dev.images.shape[1:])),
        "classes": [escaped(name) for name in dev.classes],
        "images": record.n_train,
        "epochs": int(record.history[-1]["epoch"]),
        "asked": recipe.epochs,
        "seed": record.seed,
        "stopping": recipe.stopping,
        "snapshots": recipe.snapshots,
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


def _beginning(recipe: Recipe, backbone: Backbone) -> str:
    """Which weights training began at, and under which licence they are, where that is known: it
    goes with the network."""
    if not recipe.phases:
        return "random weights"
    if backbone.weights == "package":
        package = NETS[recipe.net].PACKAGE
        return f"weights of {package.name} {package.version}, licence {package.licence}"
    if backbone.weights == "pretrain":
        return "the weights of the backbone that the study trained"
    return f"`{backbone.weights}`: its licence goes with the network"


def about(name: str, evaluation: Judgement, classes: Sequence[str]) -> str:
    """A few words for a model registry."""
    return (
        f"The recommended variant, {name}, trained on all development images. Test accuracy "
        f"{_share(evaluation.metrics['accuracy'], evaluation.low, evaluation.high)} "
        f"({evaluation.right} of {evaluation.images} images). Takes float32 images 0..255; gives "
        f"the probabilities of {tracking.fitting(classes, ABOUT, ', ', 'and {} more')}, in this "
        "order."
    )


def why(candidates: pd.DataFrame, m: Metric, final: Final, rope: str) -> str:
    """Which variant is recommended, and by what rule, in a few sentences."""
    rows = [_ends(row) for _, row in candidates.iterrows()]
    chosen = next(row for row in rows if row["recommended"])
    best = min(rows, key=lambda row: row["behind"])
    score = f"{estimate(chosen, 'score', m)} {m.unit}"
    text = f"**{chosen['name']}** is recommended: out of fold {score}."
    if chosen["behind"] == 0:
        text = f"{text[:-1]}, the best mean of {plural(len(rows), 'variant')}."
        if final.rule == "simplest":
            return f"{text} None that is too close to it to call is simpler."
        parts = [row for row in rows if _techniques(row) < _techniques(chosen)]
        if not parts:
            return text
        return (
            f"{text} It keeps all its techniques: each variant with only some of them loses more "
            f"than {rope}, more likely than not."
        )
    cost = f"{signed(chosen['behind'], m).lstrip('+')} {m.step}"
    lead = f"the best mean, **{best['name']}** ({estimate(best, 'score', m)} {m.unit})"
    if final.rule == "best":
        dropped = ", ".join(t for t in best["techniques"].split() if t not in _techniques(chosen))
        return (
            f"{text} It is {lead}, without {dropped}: that this loses no more than {rope} is more "
            f"likely than not ({1 - chosen['p_worse']:.0%}). It costs {cost} {_bounds(chosen, m)} "
            "in expectation."
        )
    level = sum(row["level"] for row in rows)
    return (
        f"{text} It is the simplest of {plural(level, 'variant')} that are too close to call with "
        f"{lead}: the fewest techniques, then the least to train (`final.rule: simplest`). "
        f"**Simplicity costs {cost} in expectation against the best mean** {_bounds(chosen, m)}; "
        f"the cost is above {rope} with a probability of {chosen['p_worse']:.0%}, and "
        f"{percent(final.probability)} would pass the variant over."
    )


def _techniques(row: Mapping[str, Any]) -> set[str]:
    return set(row["techniques"].split())


def candidates_table(rows: pd.DataFrame, m: Metric, confidence: float, rope: str, rule: str) -> str:
    """Every variant in Markdown, the best mean first."""
    by_level = rule == "simplest"
    lines = [
        f"| | techniques | {m.title} ({m.unit}), mean [{percent(confidence)} CI] "
        f"| behind the best ({m.step}) | by more than {rope}? | cost of training |"
        + by_level
        * " too close to call? |",
        "|---|---|---|---|---|---|" + by_level * "---|",
    ]
    least = rows["cost"].min()
    for _, row in rows.sort_values("behind", kind="stable").iterrows():
        row = _ends(row)
        name = f"**{row['name']}**" + (" (recommended)" if row["recommended"] else "")
        behind = f"{signed(row['behind'], m)} {_bounds(row, m)}" if row["behind"] else "–"
        lines.append(
            f"| {name} | {row['techniques'] or '–'} | {estimate(row, 'score', m)} | {behind} "
            f"| {row['p_worse']:.0%} | {row['cost'] / least if least else 1:.2f} × |"
            + by_level
            * f" {'yes' if row['level'] else 'no'} |"
        )
    return "\n".join(lines)


def metrics_table(evaluation: Judgement) -> str:
    """Every metric on the test images in Markdown."""
    lines = ["| metric | on the test images |", "|---|---|"]
    for name, value in evaluation.metrics.items():
        m = METRICS[name]
        lines.append(f"| {m.title} | {m.plain(value)} {m.unit} |")
    return "\n".join(lines)


def believed(trust: Trust) -> str:
    """What the temperature says, in a sentence."""
    c = trust.calibration
    if c.temperature == 1:
        return (
            "Its probabilities are given as they are: out of fold no temperature made them better."
        )
    way = "sure" if c.temperature > 1 else "unsure"
    return (
        f"Out of fold it was too {way} of itself: its logits are divided by the **temperature "
        f"{c.temperature:.2f}**, chosen there, which changes no answer, only its probability."
    )


def mirrored(flips: Flips | None) -> str:
    """What averaging with the mirror image does, in a sentence or two; empty where it was not
    tried."""
    if flips is None:
        return ""
    parts = []
    for name, change in (("nll", flips.nll), ("accuracy", flips.accuracy)):
        m = METRICS[name]
        low, high = change.interval(flips.confidence)
        parts.append(
            f"{m.title} {signed(change.mean, m)} {m.step} {bounds({'low': low, 'high': high}, m)}"
        )
    does = "It is asked both ways" if flips.used else "It is asked once"
    return (
        "Asked about each image and its mirror image, the networks of the first repeat's folds "
        f"changed out of fold by {' and '.join(parts)}. {does} (`final.flips`)."
    )


def trust_table(trust: Trust, final: Final) -> str:
    """How far answers can be believed, in Markdown."""
    c, points = trust.calibration, METRICS["ece"]

    def row(text: str, *values: str) -> str:
        return f"| {' | '.join([text, *values])} |"

    def change(text: str, name: str, digits: int, scale: float) -> str:
        pairs = ((c.before, c.after), (trust.before, trust.after))
        numbers = [[getattr(worth, name) * scale for worth in pair] for pair in pairs]
        return row(text, *(f"{a:.{digits}f} → {b:.{digits}f}" for a, b in numbers))

    sides = (c.after, trust.after)
    return "\n".join(
        [
            row("", "out of fold", "on the test images"),
            "|---|---|---|",
            change("negative log likelihood (nats), as trained → calibrated", "nll", 3, 1),
            change(
                f"{points.title} ({points.step}), as trained → calibrated", "ece", 1, points.scale
            ),
            row(
                f"sets that hold the true class; declared: {final.coverage:.1%}",
                *(f"{side.covered:.1%}" for side in sides),
            ),
            row("classes a set, on average", *(f"{side.size:.2f}" for side in sides)),
            row(
                f"called unlike the training images; declared: {final.false_alarms:.1%}",
                "–",
                f"{trust.alarms:.1%}",
            ),
        ]
    )


def classes_table(rows: Sequence[dict], confidence: float) -> str:
    """A row a class in Markdown."""
    lines = [
        f"| class | images | right (%) [{percent(confidence)} CI] | precision (%) | F1 (%) "
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
