"""compare: what each technique and transfer strategy did to the scores, and how sure that is."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd

from cnnlab import params, paths, tracking
from cnnlab.compare import (
    METRICS,
    comparison,
    designs,
    effects,
    mechanisms,
    pair,
    recommend,
    tables,
    transfer,
)
from cnnlab.compare.scores import member_scores
from cnnlab.data import pool
from cnnlab.look import effects as look
from cnnlab.look.figure import save
from cnnlab.look.mechanisms import mechanisms_figure, preactivations_figure
from cnnlab.look.transfer import sizes_figure
from cnnlab.plugins import chosen
from cnnlab.seeds import derive
from cnnlab.training import records
from cnnlab.training.recipe import TECHNIQUES
from stages import run


def main() -> None:
    study, seed, design, variants, strategies, per_class, options, final = params.load(
        "study",
        "seed",
        "design",
        "variants",
        "strategies",
        "transfer.per_class",
        "compare",
        "final",
    )
    dev = pool.read(paths.PREPARED / "dev").manifest.set_index("image_id").sort_index()
    for folder in (paths.COMPARE, paths.PLOTS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    sets = designs.sets_of(**dict(design))
    asked = effects(variants, sets, design.techniques, options.order, options.pairs)
    names = list(chosen(strategies))
    transfers = [pair(n, "scratch") for n in names if n != "scratch" and "scratch" in names]
    families = {
        "ablation": (paths.RUNS, "variant", variants, asked),
        "transfer": (paths.TRANSFER, "strategy", dict.fromkeys(names, ()), transfers),
    }
    marks = []
    for title, (folder, kind, members, contrasts) in families.items():
        places = {name: folder / name for name in members}
        if title == "transfer":
            places = {name: records.of_size(place, None) for name, place in places.items()}
        found = {name: records.read_all(place) for name, place in places.items()}
        grids = {name: records.cells(done) for name, done in found.items()}
        done = comparison.compare(grids, kind, contrasts, options)
        costs = {name: records.cost(found[name], places[name]) for name in found}
        _write_tables(title, members, found, done, options)
        images = comparison.conditional(done, grids, dev["group"], options, derive(seed, "draws"))
        _csv(images, paths.COMPARE / f"{title}_conditional.csv", tables.CONDITIONAL_COLUMNS)
        files = _draw(f"{study}: ", title, kind, grids, done, costs, options)
        if title == "ablation":
            files += _mechanisms(study, contrasts, grids, options)
        elif names:
            files += _sizes(study, names, per_class, options)
        for name, trials in found.items():
            marks.append({"kind": kind, "name": name, "mark": tracking.mark(trials)})
            with tracking.Run(study, **marks[-1]) as parent:
                parent.attach(files, "compare")
        if title == "ablation":
            _write_plots(found, grids, done, dev["label"], options)
            _recommend(final, variants, done, costs, options)
    _csv(marks, paths.RECORDS, ["kind", "name", "mark"])


def _write_tables(title, techniques, found, done, options) -> None:
    """Effects as reports/TITLE.csv, headline numbers as reports/TITLE.json, scores beside them."""
    trained = {
        metric: {name: records.scores(trials, metric) for name, trials in found.items()}
        for metric in ("train_accuracy", "gap")
    }
    rows = tables.variant_rows(
        {**done.scores, **trained}, techniques, options.confidence, done.members
    )
    _csv(rows, paths.COMPARE / f"{title}_scores.csv", tables.VARIANT_COLUMNS)
    _csv(done.effects, paths.REPORTS / f"{title}.csv", tables.EFFECT_COLUMNS)
    means = {row["name"]: row[options.metric] for row in rows}
    headline: dict = {options.metric: means}
    if title == "ablation":
        headline = _headline(means, techniques, done, options.metric)
    if title == "transfer" and any(paths.BACKBONE.glob("r*.json")):  # the study trained it
        backbone = records.read_all(paths.BACKBONE)[0].final["accuracy"]
        headline["backbone"] = {"accuracy": backbone}
    text = json.dumps(headline, indent=2, ensure_ascii=False)
    (paths.REPORTS / f"{title}.json").write_text(text + "\n")


def _headline(means, techniques, done, metric) -> dict:
    """Few numbers, as `dvc metrics diff` and `dvc exp show` give each a column: the scores of the
    variant without techniques and of the best, and the effects of the first kind (alone, main)."""
    shown = {name: means[name] for name, on in techniques.items() if not on}
    best = comparison.best(done.scores[metric], list(means), METRICS[metric])
    kinds = (done.primary[0]["kind"] if done.primary else None, "together")
    moved = {r["technique"]: r["effect"] for r in done.primary if r["kind"] in kinds}
    return {metric: {**shown, "best": means[best]}, "effect": moved}


def _recommend(final, techniques, done, costs, options) -> None:
    """Which variant the stage `final` trains, and how far the others are behind."""
    rules = comparison.rules_of(options.metric, options)
    rules = replace(rules, probability=final.probability)
    scores = {name: done.scores[options.metric][name] for name in techniques}
    rows = recommend(final.rule, scores, techniques, costs, rules)
    _csv(rows, paths.RECOMMENDED, [])


def _draw(study, title, kind, grids, done, costs, options) -> list:
    """The figures, as reports/compare/TITLE_*.png; returns the files."""
    metric, scores = METRICS[options.metric], done.scores[options.metric]
    figures = {}
    if grids:
        own = {name: scores[name] for name in grids}
        figures["scores"] = look.scores_figure(
            f"{study}each {kind} in every fold", metric, own, options.confidence
        )
        figures["calibration"] = look.calibration_figure(
            f"{study}how far confidence can be believed", grids
        )
        members = len(next(iter(grids.values()))[0][0])
        figures["cost"] = look.cost_figure(
            f"{study}{metric.title} against the cost of training",
            metric,
            scores,
            comparison.with_ensembles(costs, members),
        )
    if done.primary:
        figures["effects"] = look.effects_figure(f"{study}effects", metric, done.primary)
    if any(row["kind"] == "interaction" for row in done.primary):
        figures["interactions"] = look.interactions_figure(
            f"{study}main effects and two-way interactions", metric, done.primary
        )
    files = {name: paths.COMPARE / f"{title}_{name}.png" for name in figures}
    for name, picture in figures.items():
        save(picture, files[name])
    return list(files.values())


def _mechanisms(study, contrasts, grids, options) -> list:
    """The table of mechanisms and its figures; returns their files."""
    claims = {name: mechanisms.claims(TECHNIQUES[name]) for name in TECHNIQUES.names()}
    rows = mechanisms.mechanism_rows(contrasts, claims, grids, options.confidence, options.alpha)
    _csv(rows, paths.COMPARE / "mechanisms.csv", mechanisms.COLUMNS)
    asked = {(c.name, c.kind): c for c in contrasts}
    figures, values, drawn = {}, [], [r for r in rows if (r["technique"], r["kind"]) in asked]
    for row in drawn:
        contrast = asked[row["technique"], row["kind"]]
        values.append(mechanisms.sides(contrast, grids, row["quantity"]))
        if row["quantity"] == "preactivation_drift" and row["kind"] != "main":
            names = tuple(sorted(contrast.weights, key=contrast.weights.get))
            figures[f"preactivations_{row['technique']}"] = preactivations_figure(
                f"{study}: pre-activations without and with {row['technique']}",
                *mechanisms.preactivations(*(grids[name] for name in names)),
                names,
            )
    if drawn:
        title = f"{study}: do techniques do what theory says?"
        figures["mechanisms"] = mechanisms_figure(title, drawn, values)
    files = {name: paths.COMPARE / f"{name}.png" for name in figures}
    for name, picture in figures.items():
        save(picture, files[name])
    return list(files.values())


def _sizes(study, names, per_class, options) -> list:
    """The strategies' scores against the size of the target, as a table and a figure."""
    metric, scores = METRICS[options.metric], {}
    for size in (*per_class, None):
        found = {n: records.read_all(records.of_size(paths.TRANSFER / n, size)) for n in names}
        first = next(iter(found.values()))[0]
        images = size or round(first.n_train / first.probabilities.shape[1])
        grids = {name: records.cells(trials) for name, trials in found.items()}
        scores[images] = {n: member_scores(g, metric.score).mean(-1) for n, g in grids.items()}
    against = "freeze" if "freeze" in names else names[0]
    rows = transfer.size_rows(scores, against, options.confidence)
    _csv(rows, paths.COMPARE / "transfer_sizes.csv", transfer.SIZE_COLUMNS)
    title = f"{study}: strategies against the size of the target"
    file = paths.COMPARE / "transfer_sizes.png"
    save(sizes_figure(title, metric, rows), file)
    return [file]


def _write_plots(found, grids, done, labels, options) -> None:
    """What `dvc plots` shows: effects, learning curves of each variant, one confusion matrix."""
    m = METRICS[options.metric]
    shown = [
        {"effect": f"{r['technique']} ({r['kind']})", "change": r["effect"] * m.scale}
        for r in done.primary
    ]
    _csv(shown, paths.PLOTS / "effects.csv", ["effect", "change"])
    for name, trials in found.items():
        curves = pd.concat(pd.DataFrame(r.history) for r in trials).drop(columns="objective")
        path = paths.PLOTS / "curves" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        _csv(curves.groupby("epoch", as_index=False).mean(), path, [])
    best = comparison.best(done.scores[options.metric], list(grids), m)
    classes = np.array(sorted(labels.unique(), key=pool.natural))
    answers = [cell[0] for cell in grids[best][0]]  # of the first repeat: each image once
    truth, said = (
        classes[np.concatenate(numbers)]
        for numbers in (
            [a.labels for a in answers],
            [a.probabilities.argmax(axis=1) for a in answers],
        )
    )
    _csv(pd.DataFrame({"actual": truth, "predicted": said}), paths.PLOTS / "confusion.csv", [])


def _csv(rows, path, columns: list[str]) -> None:
    table = pd.DataFrame(rows) if len(rows) else pd.DataFrame(columns=columns)
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    run(main)
