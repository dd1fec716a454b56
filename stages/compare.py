"""compare: what each technique and transfer strategy did to the scores, and how sure that is."""

import json
import shutil

import pandas as pd

from cnnlab import params, paths, tracking
from cnnlab.compare import ablation, effect_rows, pair, variant_rows
from cnnlab.compare.metrics import METRICS
from cnnlab.compare.tables import EFFECT_COLUMNS, VARIANT_COLUMNS
from cnnlab.errors import UserError
from cnnlab.look.effects import effects_figure, scores_figure
from cnnlab.look.figure import save
from cnnlab.plugins import chosen
from cnnlab.training import records
from stages import run


def main() -> None:
    study, variants, strategies, options = params.load("study", "variants", "strategies", "compare")
    names = list(chosen(strategies))
    shutil.rmtree(paths.COMPARE, ignore_errors=True)
    paths.COMPARE.mkdir(parents=True)
    families = {
        "ablation": (paths.RUNS, "variant", variants, ablation(variants)),
        "transfer": (
            paths.TRANSFER,
            "strategy",
            dict.fromkeys(names, ()),
            [pair(name, "scratch") for name in names if name != "scratch" and "scratch" in names],
        ),
    }
    for title, (folder, kind, members, contrasts) in families.items():
        found = {name: records.read_all(folder / name) for name in members}
        _compare(title, kind, found, members, contrasts, options, study)


def _compare(title, kind, found, techniques, contrasts, options, study) -> None:
    """Write the effects as reports/TITLE.csv, headline numbers as reports/TITLE.json, and the
    scores and figures into reports/compare."""
    metric = METRICS[options.metric]
    measured = dict.fromkeys([options.metric, "accuracy", "nll", "train_accuracy", "gap"])
    scores = {m: {name: records.scores(done, m) for name, done in found.items()} for m in measured}
    shapes = {name: scores["accuracy"][name].shape for name in found}
    for name, shape in shapes.items():
        first = next(iter(shapes))
        if shape != shapes[first]:
            raise UserError(
                f"{kind} {name}: records of {shape[0]} repeats x {shape[1]} folds, {kind} {first}:"
                f" {shapes[first][0]} x {shapes[first][1]}; run `dvc repro`"
            )
    rows = variant_rows(scores, techniques, options.confidence)
    effects = effect_rows(contrasts, scores[options.metric], options.confidence, options.alpha)
    _csv(rows, paths.COMPARE / f"{title}_scores.csv", VARIANT_COLUMNS)
    _csv(effects, paths.REPORTS / f"{title}.csv", EFFECT_COLUMNS)
    headline: dict = {options.metric: {row["name"]: row[options.metric] for row in rows}}
    for row in effects:
        headline.setdefault(row["kind"], {})[row["technique"]] = row["effect"]
    if title == "transfer" and found:
        backbone = records.read_all(paths.BACKBONE)[0].final["accuracy"]
        headline["backbone"] = {"accuracy": backbone}
    text = json.dumps(headline, indent=2)
    (paths.REPORTS / f"{title}.json").write_text(text + "\n")

    figures = {}
    if rows:
        columns = {"mean": options.metric, **{k: f"{options.metric}_{k}" for k in ("low", "high")}}
        shown = [{"name": r["name"], **{k: r[v] for k, v in columns.items()}} for r in rows]
        figures["scores"] = scores_figure(
            f"{study}: each {kind} in every fold", metric, scores[options.metric], shown
        )
    if effects:
        figures["effects"] = effects_figure(f"{study}: effects", metric, effects)
    files = [paths.COMPARE / f"{title}_{name}.png" for name in figures]
    for picture, path in zip(figures.values(), files, strict=True):
        save(picture, path)
    for name, done in found.items():
        with tracking.Run(study, kind, name, tracking.mark(done)) as parent:
            parent.attach(files, "compare")


def _csv(rows: list[dict], path, columns: list[str]) -> None:
    table = pd.DataFrame(rows) if rows else pd.DataFrame(columns=columns)
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    run(main)
