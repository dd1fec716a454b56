"""compare: what each technique and start did to the scores, and how sure that is."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from cnnlab import params, paths, records, tracking
from cnnlab.compare import METRICS, comparison, designs, effects, mechanisms, recommend, tables
from cnnlab.compare.options import Compare
from cnnlab.compare.scores import Grid, member_scores
from cnnlab.compare.sizes import SIZE_COLUMNS, size_rows
from cnnlab.data import pool
from cnnlab.look import effects as look
from cnnlab.look.figure import save
from cnnlab.look.mechanisms import mechanisms_figure, preactivations_figure
from cnnlab.look.sizes import sizes_figure
from cnnlab.recipe.techniques import TECHNIQUES, starts
from cnnlab.records import Record
from cnnlab.seeds import derive
from stages import run


@dataclass(frozen=True)
class Study:
    """What the tables and figures are made from; dicts are by variant."""

    name: str
    options: Compare
    techniques: Mapping[str, list[str]]
    trials: Mapping[str, list[Record]]
    grids: Mapping[str, Grid]
    costs: Mapping[str, float]  # of training
    compared: comparison.Comparison

    @property
    def metric(self):
        """The primary one."""
        return METRICS[self.options.metric]


def main() -> None:
    study, seed, design, variants, sizes, options, final = params.load(
        "study", "seed", "design", "variants", "sizes", "compare", "final"
    )
    dev = pool.read(paths.PREPARED / "dev").manifest.set_index("image_id").sort_index()
    for folder in (paths.COMPARE, paths.PLOTS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    sets = designs.sets_of(**dict(design))
    techniques = variants.every
    contrasts = effects(techniques, sets, design.techniques, options.order, options.pairs, starts())
    trials = {name: records.read_all(paths.RUNS / name) for name in techniques}
    grids = {name: records.cells(of_variant) for name, of_variant in trials.items()}
    costs = {
        name: records.cost(of_variant, paths.RUNS / name) for name, of_variant in trials.items()
    }
    compared = comparison.compare(grids, contrasts, options)
    whole = Study(study, options, techniques, trials, grids, costs, compared)

    _write_tables(whole)
    groups, draw = dev["group"], derive(seed, "draws")
    other_images = comparison.conditional(compared, grids, groups, options, draw)
    _csv(other_images, paths.COMPARE / "ablation_conditional.csv", tables.CONDITIONAL_COLUMNS)
    files = [*_draw(whole), *_mechanisms(whole), *_sizes(whole, sizes)]
    _write_plots(whole, dev["label"])
    _recommend(whole, final)
    marks = [
        {"name": name, "mark": tracking.mark(of_variant)} for name, of_variant in trials.items()
    ]
    for row in marks:
        with tracking.Run(study, "variant", **row) as parent:
            parent.attach(files, "compare")
    _csv(marks, paths.RECORDS, ["name", "mark"])


def _write_tables(study: Study) -> None:
    """Effects as reports/ablation.csv, headline numbers as reports/ablation.json, scores beside
    them."""
    compared, options = study.compared, study.options
    trained = {
        metric: {
            name: records.scores(of_variant, metric) for name, of_variant in study.trials.items()
        }
        for metric in ("train_accuracy", "gap")
    }
    scores = {**compared.scores, **trained}
    rows = tables.variant_rows(scores, study.techniques, options.confidence, compared.members)
    _csv(rows, paths.COMPARE / "ablation_scores.csv", tables.VARIANT_COLUMNS)
    _csv(compared.effects, paths.REPORTS / "ablation.csv", tables.EFFECT_COLUMNS)
    means = {row["name"]: row[options.metric] for row in rows}
    text = json.dumps(_headline(study, means), indent=2, ensure_ascii=False)
    (paths.REPORTS / "ablation.json").write_text(text + "\n")


def _headline(study: Study, means: Mapping[str, float]) -> dict:
    """Few numbers, as `dvc metrics diff` and `dvc exp show` give each a column: the scores of the
    variant without techniques and of the best, the effects of starts and of the first kind (alone,
    main), and what the backbone is worth on the task that it was trained for."""
    primary, metric = study.compared.primary, study.options.metric
    shown = {name: means[name] for name, on in study.techniques.items() if not on}
    best = comparison.best(study.compared.scores[metric], list(means), study.metric)
    kinds = (primary[0]["kind"] if primary else None, "together", "start")
    moved = {row["technique"]: row["effect"] for row in primary if row["kind"] in kinds}
    headline: dict = {metric: {**shown, "best": means[best]}, "effect": moved}
    if any(paths.BACKBONE.glob("r*.json")):  # the study trained it
        accuracy = records.read_all(paths.BACKBONE)[0].final["accuracy"]
        headline["backbone"] = {"accuracy": accuracy}
    return headline


def _recommend(study: Study, final) -> None:
    """Which variant the stage `final` trains, and how far the others are behind."""
    metric = study.options.metric
    rules = comparison.rules_of(metric, study.options)
    rules = replace(rules, probability=final.probability)
    scores = {name: study.compared.scores[metric][name] for name in study.techniques}
    _csv(recommend(final.rule, scores, study.techniques, study.costs, rules), paths.RECOMMENDED, [])


def _draw(study: Study) -> list:
    """The figures, as reports/compare/ablation_*.png; returns the files."""
    metric, primary, title = study.metric, study.compared.primary, study.name
    scores = study.compared.scores[study.options.metric]
    members = len(next(iter(study.grids.values()))[0][0])
    figures = {
        "scores": look.scores_figure(
            f"{title}: each variant in every fold",
            metric,
            {name: scores[name] for name in study.grids},
            study.options.confidence,
        ),
        "calibration": look.calibration_figure(
            f"{title}: how far confidence can be believed", study.grids
        ),
        "cost": look.cost_figure(
            f"{title}: {metric.title} against the cost of training",
            metric,
            scores,
            comparison.with_ensembles(study.costs, members),
        ),
    }
    if primary:
        figures["effects"] = look.effects_figure(f"{title}: effects", metric, primary)
    if any(row["kind"] == "interaction" for row in primary):
        heading = f"{title}: main effects and two-way interactions"
        figures["interactions"] = look.interactions_figure(heading, metric, primary)
    return _save({f"ablation_{name}": picture for name, picture in figures.items()})


def _mechanisms(study: Study) -> list:
    """The table of mechanisms and its figures; returns their files."""
    claims = {name: mechanisms.claims(TECHNIQUES[name]) for name in TECHNIQUES.names()}
    contrasts, options, grids = study.compared.contrasts, study.options, study.grids
    rows = mechanisms.mechanism_rows(contrasts, claims, grids, options.confidence, options.alpha)
    _csv(rows, paths.COMPARE / "mechanisms.csv", mechanisms.COLUMNS)
    by_name = {(c.name, c.kind): c for c in contrasts}
    rows = [row for row in rows if (row["technique"], row["kind"]) in by_name]
    figures, values = {}, []
    for row in rows:
        contrast = by_name[row["technique"], row["kind"]]
        values.append(mechanisms.sides(contrast, grids, row["quantity"]))
        if row["quantity"] == "preactivation_drift" and row["kind"] != "main":
            names = tuple(sorted(contrast.weights, key=contrast.weights.get))
            figures[f"preactivations_{row['technique']}"] = preactivations_figure(
                f"{study.name}: pre-activations without and with {row['technique']}",
                *mechanisms.preactivations(*(grids[name] for name in names)),
                names,
            )
    if rows:
        title = f"{study.name}: do techniques do what theory says?"
        figures["mechanisms"] = mechanisms_figure(title, rows, values)
    return _save(figures)


def _sizes(study: Study, sizes) -> list:
    """Scores against the size of the training set, as a table and a figure; returns its file."""
    scores: dict[int, dict[str, np.ndarray]] = {}
    for per_class in (*sizes.per_class, None) if sizes.per_class else ():
        for name in sizes.variants:
            few = records.read_all(records.of_size(paths.RUNS / name, per_class))
            images = per_class or round(few[0].n_train / few[0].probabilities.shape[1])
            means = member_scores(records.cells(few), study.metric.score).mean(-1)
            scores.setdefault(images, {})[name] = means
    rows = size_rows(scores, study.metric, study.options.confidence)
    table = pd.DataFrame(rows, columns=SIZE_COLUMNS)
    _csv(table, paths.COMPARE / "sizes.csv", SIZE_COLUMNS)
    if not rows:
        return []
    title = f"{study.name}: variants against the size of the training set"
    return _save({"sizes": sizes_figure(title, study.metric, rows)})


def _write_plots(study: Study, labels: pd.Series) -> None:
    """What `dvc plots` shows: effects, learning curves of each variant, one confusion matrix."""
    m = study.metric
    shown = [
        {"effect": f"{row['technique']} ({row['kind']})", "change": row["effect"] * m.scale}
        for row in study.compared.primary
    ]
    _csv(shown, paths.PLOTS / "effects.csv", ["effect", "change"])
    for name, of_variant in study.trials.items():
        curves = pd.concat(pd.DataFrame(r.history) for r in of_variant).drop(columns="objective")
        path = paths.PLOTS / "curves" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        _csv(curves.groupby("epoch", as_index=False).mean(), path, [])
    scores = study.compared.scores[study.options.metric]
    best = comparison.best(scores, list(study.grids), m)
    answers = [cell[0] for cell in study.grids[best][0]]  # of the first repeat: each image once
    classes = np.array(sorted(labels.unique(), key=pool.natural))
    actual = classes[np.concatenate([a.labels for a in answers])]
    predicted = classes[np.concatenate([a.probabilities.argmax(axis=1) for a in answers])]
    table = pd.DataFrame({"actual": actual, "predicted": predicted})
    _csv(table, paths.PLOTS / "confusion.csv", [])


def _save(figures: Mapping) -> list:
    """Write pictures as reports/compare/NAME.png; returns the files."""
    files = {name: paths.COMPARE / f"{name}.png" for name in figures}
    for name, picture in figures.items():
        save(picture, files[name])
    return list(files.values())


def _csv(rows, path, columns: list[str]) -> None:
    table = pd.DataFrame(rows) if len(rows) else pd.DataFrame(columns=columns)
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    run(main)
