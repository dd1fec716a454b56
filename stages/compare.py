"""compare: what each technique and start did to the scores, and how sure that is."""

import itertools
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cnnlab import params, paths, records, tracking
from cnnlab.compare import comparison, mechanisms, tables
from cnnlab.compare.growth import GROWTH_COLUMNS, growth
from cnnlab.compare.recommend import recommend
from cnnlab.compare.scores import Outcomes, Together, mean_outputs
from cnnlab.compare.sizes import SIZE_COLUMNS, size_rows
from cnnlab.data import pool
from cnnlab.look import effects as look
from cnnlab.look.mechanisms import mechanisms_figure, preactivations_figure
from cnnlab.look.sizes import sizes_figure
from cnnlab.processes import import_keras
from cnnlab.recipe.techniques import TECHNIQUES, starts
from cnnlab.records.trial import in_words
from cnnlab.tasks import TASKS
from stages import run
from stages._study import Study
from stages._write import csv, pictures
from stages.parts.compare import PARTS

GROWTH_SEED = 0  # of the draws behind the intervals of curves


def main() -> None:
    study, folding, design, variants, sizes, options, decide, final = params.load(
        "study",
        "folds",
        "design",
        "variants",
        "sizes",
        "compare",
        "decide",
        "final",
    )
    train = params.load("train")
    dev = pool.read(paths.PREPARED / "dev")
    for folder in (paths.COMPARE, paths.PLOTS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    techniques = records.without_diverged(variants.every, paths.RUNS, paths.DECIDED)
    contrasts = comparison.contrasts_of(techniques, design, options, starts())
    first = {name: records.read_all(paths.RUNS / name) for name in techniques}
    trials = {
        name: records.read_all(paths.RUNS / name, paths.DECIDED / name) for name in techniques
    }
    grids = {name: records.cells(of_variant) for name, of_variant in trials.items()}
    backbone = paths.BACKBONE / records.MODEL
    began = backbone if backbone.exists() else None
    costs = {
        name: records.cost(of_variant, paths.RUNS / name, began)
        for name, of_variant in trials.items()
    }
    looks = tables.looks_of(folding.repeats, decide.max_repeats)
    together = _together(dev, train) if train.members > 1 else None
    compared = comparison.compare(grids, contrasts, options, dev.groups, looks, together=together)
    comparison.note_aliases(compared.effects, contrasts, techniques, design.techniques)
    whole = Study(study, options, techniques, trials, grids, costs, dev, compared)

    _write_tables(whole)
    _estimates(whole, contrasts, looks)
    _draw(whole)
    PARTS[dev.task].compared(whole)
    _mechanisms(whole)
    _sizes(whole, sizes)
    _write_plots(whole)
    _recommend(whole, final)
    marks = {name: tracking.mark(of_variant) for name, of_variant in first.items()}
    rows = [{"name": name, "mark": mark} for name, mark in marks.items()]
    csv(rows, paths.RECORDS, ["name", "mark"])
    csv(_failed(variants.every, sizes), paths.FAILED, ["name", "why"])
    tracking.log_figures(study, marks, paths.COMPARE)


def _together(dev: pool.Pool, train) -> Together:
    """What an ensemble says of the images that its members held out, from a cell of records.

    Where those do not hold what is averaged, the members' networks are asked again, together."""
    if not TASKS[dev.task].MAPS:
        return mean_outputs
    import_keras()
    from cnnlab.train.answer import ensemble, outputs
    from cnnlab.train.fit import set_up
    from cnnlab.train.tasks import LEARNING

    set_up(train.threads, train.deterministic)  # their number shows in the last bits
    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}

    def together(cell: Sequence[records.Record]) -> np.ndarray:
        networks = [records.load_model(_network_of(record.trial)) for record in cell]
        rows = np.array([row_of[image] for image in cell[0].image_id])
        images, truth = dev.images[rows], dev.truth[rows]
        return outputs(LEARNING[dev.task], ensemble(networks), images, truth)

    return together


def _network_of(trial: records.Trial) -> Path:
    folders = (root / trial.variant for root in (paths.RUNS, paths.DECIDED))
    places = [records.network_of(folder, trial.key) for folder in folders]
    return next((place for place in places if place.exists()), places[0])


def _failed(variants: Iterable[str], sizes) -> list[dict]:
    """What is left out of the comparison since its training diverged, and why."""
    folders = {name: [paths.RUNS / name, paths.DECIDED / name] for name in variants}
    for name, size in itertools.product(sizes.variants, sizes.per_class):
        few = f"{name} with {size} images per class"
        folders[few] = [records.of_size(paths.RUNS / name, size)]
    rows = []
    for name, at in folders.items():
        trials = sum(len(list(folder.glob("r*.json"))) for folder in at)
        rows.append({"name": name, "why": in_words(records.diverged(*at), trials)})
    return [row for row in rows if row["why"]]


def _write_tables(study: Study) -> None:
    """Effects as reports/ablation.csv, headline numbers as reports/ablation.json, scores beside
    them."""
    compared, options = study.compared, study.options
    rules = comparison.rules_of(options.metric, options)
    values = dict(compared.values)
    for metric in (f"train_{next(iter(TASKS[study.dev.task].MEASURED))}", "gap"):
        of_fold = {
            name: records.scores(of_variant, metric) for name, of_variant in study.trials.items()
        }
        values[metric] = {name: compared.split.spread(each) for name, each in of_fold.items()}
    rows = tables.variant_rows(values, study.techniques, compared.split, rules, compared.members)
    csv(rows, paths.COMPARE / "ablation_scores.csv", tables.VARIANT_COLUMNS)
    csv(compared.effects, paths.REPORTS / "ablation.csv", tables.EFFECT_COLUMNS)
    means = {row["name"]: row[options.metric] for row in rows}
    text = json.dumps(_rounded(_headline(study, means)), indent=2, ensure_ascii=False)
    (paths.REPORTS / "ablation.json").write_text(text + "\n")


def _headline(study: Study, means: Mapping[str, float]) -> dict:
    """Few numbers, as `dvc metrics diff` and `dvc exp show` give each a column: the scores of the
    variant without techniques and of the best, the effects of the first kind (main, or alone), of
    starts and of all, and what the backbone is worth on the task that it was trained for."""
    primary, metric = study.primary, study.options.metric
    shown = {name: means[name] for name, on in study.techniques.items() if not on}
    best = comparison.best(study.compared.values[metric], study.real, study.metric)
    kinds = (primary[0]["kind"] if primary else None, "together", "start")
    moved = {row["technique"]: row["effect"] for row in primary if row["kind"] in kinds}
    headline: dict = {metric: {**shown, "best": means[best]}, "effect": moved}
    if any(paths.BACKBONE.glob("r*.json")):  # the study trained it
        accuracy = records.read_all(paths.BACKBONE)[0].final["accuracy"]
        headline["backbone"] = {"accuracy": accuracy}
    return headline


def _rounded(numbers: Any) -> Any:
    """Numbers in groups to six digits, as tables have them: the last ones of least squares are not
    those of the run before."""
    if isinstance(numbers, dict):
        return {name: _rounded(each) for name, each in numbers.items()}
    return float(f"{numbers:.6g}")


def _estimates(study: Study, contrasts, looks) -> None:
    """How many effects of each kind the crossed estimate and the corrected t decide, on the same
    records, as reports/compare/estimates.csv."""
    compared, metric = study.compared, study.options.metric
    rules, rows = comparison.rules_of(metric, study.options, looks), []
    for name in ("crossed", "corrected_t"):
        effects = pd.DataFrame(
            tables.effect_rows(
                contrasts, compared.values[metric], compared.split, replace(rules, estimate=name)
            ),
            columns=tables.EFFECT_COLUMNS,  # also where there are none
        )
        for kind, of_kind in effects.groupby("kind", sort=False):
            decided = int((of_kind["verdict"] != "undecided").sum())
            row = {"estimate": name, "kind": kind, "effects": len(of_kind), "decided": decided}
            rows.append(row | {"significant": int(of_kind["clear"].sum())})
    columns = ["estimate", "kind", "effects", "decided", "significant"]
    csv(rows, paths.COMPARE / "estimates.csv", columns)


def _recommend(study: Study, final) -> None:
    """Which variant the stage `final` trains, and how far the others are behind."""
    metric = study.options.metric
    rules = comparison.rules_of(metric, study.options)
    rules = replace(rules, probability=final.probability)
    every = study.compared.values[metric]
    values = {name: every[name] for name in study.real}
    beside = [every[name] for name in study.grids if name not in values]
    split, costs = study.compared.split, study.costs
    rows = recommend(final.rule, values, study.techniques, costs, split, rules, beside)
    csv(rows, paths.RECOMMENDED, [])


def _draw(study: Study) -> None:
    """The figures, as reports/compare/ablation_*.png."""
    metric, primary, title = study.metric, study.primary, study.name
    members = len(next(iter(study.grids.values()))[0][0])
    values, split = study.compared.values[study.options.metric], study.compared.split
    rules = comparison.rules_of(study.options.metric, study.options)
    intervals = tables.intervals(values, split, rules)
    costs = comparison.with_ensembles(study.costs, members)
    figures = {
        "scores": look.scores_figure(
            f"{title}: each variant in every fold",
            metric,
            {name: study.compared.outcomes[name].of_fold(metric.score) for name in study.grids},
            intervals,
        ),
        "cost": look.cost_figure(
            f"{title}: {metric.title} against the cost of training", metric, intervals, costs
        ),
    }
    if primary:
        kinds = {row["kind"] for row in primary}
        first = tables.watched(kinds) or kinds
        figures["effects"] = look.effects_figure(f"{title}: effects", metric, primary, first)
        others = kinds - first - {"placebo"}
        heading = f"{title}: what stands behind the effects"
        figures["views"] = look.effects_figure(heading, metric, primary, others)
        heading = f"{title}: main effects and two-way interactions"
        figures["interactions"] = look.interactions_figure(heading, metric, primary)
    pictures(
        {f"ablation_{name}": picture for name, picture in figures.items() if picture}, paths.COMPARE
    )


def _mechanisms(study: Study) -> None:
    """The table of mechanisms and its figures."""
    instead = TASKS[study.dev.task].INSTEAD
    claims = {name: mechanisms.claims(TECHNIQUES[name], instead) for name in TECHNIQUES.names()}
    compared, grids = study.compared, study.grids
    rules = comparison.rules_of(study.options.metric, study.options)
    rows = mechanisms.mechanism_rows(compared, claims, grids, rules)
    csv(rows, paths.COMPARE / "mechanisms.csv", mechanisms.COLUMNS)
    by_name = {(c.name, c.kind): c for c in compared.contrasts}
    rows = [row for row in rows if (row["technique"], row["kind"]) in by_name]
    figures, values = {}, []
    for row in rows:
        contrast = by_name[row["technique"], row["kind"]]
        values.append(mechanisms.sides(contrast, grids, row["quantity"]))
        if row["quantity"] == "preactivation_drift":
            pair = next(
                (by_name[row["technique"], kind] for kind in ("alone", "removed")
                 if (row["technique"], kind) in by_name), None
            )  # fmt: skip
            if pair is None:
                continue
            names = tuple(sorted(pair.weights, key=pair.weights.get))
            figures[f"preactivations_{row['technique']}"] = preactivations_figure(
                f"{study.name}: pre-activations without and with {row['technique']}",
                *mechanisms.preactivations(*(grids[name] for name in names)),
                names,
            )
    if rows:
        title = f"{study.name}: do techniques do what theory says?"
        figures["mechanisms"] = mechanisms_figure(title, rows, values)
    pictures(figures, paths.COMPARE)


def _sizes(study: Study, sizes) -> None:
    """Scores against the size of the training set, and what more images would bring, as tables and
    a figure. A size is left out where the variant diverged that others are compared with."""
    values: dict[int, dict[str, np.ndarray]] = {}
    trained: dict[int, int] = {}  # images of a trial, by images per class
    for per_class in (*sizes.per_class, None) if sizes.per_class else ():
        for name in sizes.variants:
            folder = records.of_size(paths.RUNS / name, per_class)
            if records.diverged(folder):
                continue
            few = records.read_all(folder)
            images = per_class or round(few[0].n_train / study.dev.strata)
            outcomes = Outcomes.of(records.cells(few), name)
            each = outcomes.of_each(study.metric.values).mean(axis=2)
            values.setdefault(images, {})[name] = each
            trained[images] = round(np.mean([record.n_train for record in few]))
    values = {images: by for images, by in values.items() if sizes.variants[0] in by}
    rules = comparison.rules_of(study.options.metric, study.options)
    rows = size_rows(values, study.compared.split, rules)
    table = pd.DataFrame(rows, columns=SIZE_COLUMNS)
    csv(table, paths.COMPARE / "sizes.csv", SIZE_COLUMNS)
    more = growth(values, trained, study.compared.split, rules, study.options.draws, GROWTH_SEED)
    table = pd.DataFrame(more.rows, columns=GROWTH_COLUMNS)
    csv(table, paths.COMPARE / "growth.csv", GROWTH_COLUMNS)
    if rows:
        title = f"{study.name}: variants against the size of the training set"
        pictures(
            {"sizes": sizes_figure(title, study.metric, rows, more.lines, trained)}, paths.COMPARE
        )


def _write_plots(study: Study) -> None:
    """What `dvc plots` shows: effects, and learning curves of each variant."""
    m = study.metric
    shown = [
        {"effect": f"{row['technique']} ({row['kind']})", "change": row["effect"] * m.scale}
        for row in study.primary
    ]
    csv(shown, paths.PLOTS / "effects.csv", ["effect", "change"])
    confusion = paths.PLOTS / "confusion.csv"
    if not confusion.exists():  # of a task without: DVC says that it fails to load what is missing
        csv([], confusion, ["actual", "predicted"])
    # Columns of one name in all tasks, which dvc.yaml asks for.
    measured = dict(zip(TASKS[study.dev.task].MEASURED, ("score", "loss"), strict=True))
    neutral = {f"{of}{name}": f"{of}{to}" for name, to in measured.items() for of in ("", "train_")}
    for name, of_variant in study.trials.items():
        curves = pd.concat(pd.DataFrame(r.history) for r in of_variant).drop(columns="objective")
        curves = curves.rename(columns=neutral)
        path = paths.PLOTS / "curves" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        csv(curves.groupby("epoch", as_index=False).mean(), path, [])


if __name__ == "__main__":
    run(main)
