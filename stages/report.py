"""report: reports/report.md and reports/report.html from what the other stages wrote."""

import json
from pathlib import Path

import pandas as pd
from altair.utils.schemapi import debug_mode

from cnnlab import params, paths, report, tracking
from cnnlab.compare.designs import KINDS
from cnnlab.compare.labels import too_often_wrong
from cnnlab.compare.metrics import METRICS, task_of
from cnnlab.compare.recommend import recommended
from cnnlab.compare.screening import against
from cnnlab.compare.sides import figure_of
from cnnlab.data import findings, pool
from cnnlab.metric import percent
from cnnlab.recipe.variants import Sections
from cnnlab.report import charts, coded, html
from cnnlab.report.convergence import convergence_table
from cnnlab.report.words import amount, headlines
from cnnlab.tasks import TASKS
from stages import run


def main() -> None:
    study, options, folds, views, variants = params.load(
        "study", "compare", "folds", "visualize", "variants"
    )
    task, model, train, techniques, backbone = params.load(
        "task", "model", "train", "techniques", "backbone"
    )
    data = json.loads(paths.DATA_FACTS.read_text())
    effects = report.read_table(paths.REPORTS / "ablation.csv")
    curves = report.read_table(paths.CURVES / "curves.csv")
    sections = Sections(model, train, techniques, backbone, task)
    recipes = {name: sections.recipe(on) for name, on in variants.every.items()}
    final = report.included(paths.FINAL_REPORT.read_text()) if paths.FINAL_REPORT.exists() else ""
    facts = {
        "study": study,
        **_of_effects(effects, options, folds, train, data, final),
        "screening": _screening(effects, options),
        **_of_classes(TASKS[task].BY_CLASS),
        **_of_variants(options, folds, train, data),
        "backbone": _backbone(data, backbone) if variants.transfer else "",
        "everywhere": train.techniques,
        **_of_training(curves, options, [k for k, recipe in recipes.items() if recipe.schedule]),
        **_of_networks(views),
        **_of_sizes(options),
        "predicted_words": TASKS[task].PREDICTED,
        **_of_images(),
        "data": report.included(paths.DATA_REPORT.read_text()),
        "final": final,
    }
    page = paths.REPORTS / "report.md"
    page.write_text(report.render(**facts, model_card=""))  # which is a page of its own
    shown = views.among(curves["name"].unique(), recommended(paths.RECOMMENDED))
    explorer = html.Explorer(paths.FIGURES, shown)
    figures = _charts(effects, curves, shown, options.confidence)
    single = paths.REPORTS / "report.html"
    facts["model_card"] = _model_card(facts["final"])
    single.write_text(html.render(facts, figures, explorer, _losses(), paths.REPORTS))
    marks = tracking.shown()
    with tracking.Run(study, "study", study, tracking.digest(marks.values())) as run:
        scores = _scores(options)
        run.lead_to(marks, facts["answer"], options.metric, scores)
        run.headline(*_headline(options, scores, folds, recipes, data))
        run.attach([page, single, paths.REPORTS / "ablation.csv"], "report")
        run.show(marks, paths.DRAWN)


def _model_card(final: str) -> str:
    """The model card for a page that has `final`, what is said of the variant, already."""
    if not paths.MODEL_CARD.exists():
        return ""
    above = "How it was chosen and evaluated stands above: the recommended variant."
    return report.included(paths.MODEL_CARD.read_text().replace(final, above))


def _scores(options) -> dict[str, dict[str, float]]:
    """What MLflow shows of each variant by the primary metric; intervals where they are those that
    it calls so."""
    table = report.read_table(paths.COMPARE / "ablation_scores.csv").set_index("name")
    ends = ("low", "high", "sd") if options.confidence == tracking.CONFIDENCE else ()
    wanted = (options.metric, *(f"{options.metric}_{end}" for end in ends))
    return table[[name for name in wanted if name in table]].to_dict("index")


def _headline(options, scores, folds, recipes, data) -> tuple[str, dict, dict]:
    """What MLflow shows of the study itself: its recommended variant, numbers and params."""
    name = recommended(paths.RECOMMENDED)
    facts = json.loads((paths.REPORTS / "ablation.json").read_text())
    file = paths.FINAL / "metrics.csv"
    test = report.read_table(file).set_index("metric")["value"].to_dict() if file.exists() else {}
    metrics = dict(scores[name])
    metrics |= {f"effect_{k}": v for k, v in facts.get("effect", {}).items()}
    metrics |= {f"test_{metric}": value for metric, value in test.items()}
    settings = {
        "images": data["images"]["dev"],
        "classes": len(data["classes"]),
        "shape": "x".join(map(str, data["shape"])),
        "network": recipes[name].net,
        "folds": folds.k,
        "repeats": folds.repeats,
        "epochs": recipes[name].epochs,
        "variants": len(scores),
    }
    return name, metrics, settings


def _of_effects(every: pd.DataFrame, options, folds, train, data, final: str) -> dict:
    """What the report says of the effects."""
    metric, confidence = options.metric, options.confidence
    questions = TASKS[task_of(metric)].QUESTIONS
    known = (options.estimate, folds.repeats, every, data["images"]["dev"])
    levels = (options.alpha, options.probability)
    names = dict.fromkeys([metric, *questions])
    words = {name: report.words_of(name, *known, *levels) for name in names}
    effects = every[every["metric"] == metric]
    scores = report.read_table(paths.COMPARE / "ablation_scores.csv")
    best = recommended(paths.RECOMMENDED)
    failed = report.read_table(paths.FAILED)
    mechanisms = report.read_table(paths.COMPARE / "mechanisms.csv")
    placebo = effects[effects["kind"] == "placebo"]
    kinds = [kind for kind in effects["kind"].unique() if kind != "placebo"] or ["placebo"]
    first = headlines(kinds) or kinds
    estimates = report.read_table(paths.COMPARE / "estimates.csv") if len(effects) else effects
    tables = {}
    for kind in kinds if len(effects) else ():
        of_kind = effects[effects["kind"] == kind]
        table = pd.concat([of_kind, placebo]).drop_duplicates()
        text = report.effects_table(table, words[metric], confidence)
        count = report.decided(of_kind, estimates, options.estimate)
        tables[kind] = (KINDS[kind], text, count, report.aliases(of_kind))
    others = [words[name] for name in questions if name != metric]
    asked = every[every["kind"].isin([*first, "placebo"])]
    return {
        "recommendation": report.recommendation(scores, words[metric], best, failed, final),
        "answer": report.answer(scores, effects, words[metric], best, failed),
        "primary": words[metric].m.title,
        "first": [table for kind, table in tables.items() if kind in first],
        "behind": [table for kind, table in tables.items() if kind not in first],
        "evidence": len(effects) and report.evidence(effects, words[metric]),
        "trainings": int(scores["repeats"].sum()) * folds.k * train.members,
        "placebo": len(placebo) > 0,
        "opening": report.opening(effects, words[metric]),
        "views": report.views_table(effects, words[metric]),
        "asked_besides": [of.metric for of in others],
        "questions": len(asked) and bool(others) and report.questions_table(asked, others),
        "every_metric": len(every) and report.metrics_table(every),
        **{
            f"{name}_figures": _shown(paths.COMPARE, f"ablation_{name}.png")
            for name in ("effects", "views", "interactions", "calibration")
        },
        "mechanisms": len(mechanisms) and report.mechanisms_table(mechanisms, confidence),
        "mechanism_figures": _shown(paths.COMPARE, "mechanisms.png")
        + _shown(paths.COMPARE, "preactivations_*.png"),
        "estimate": options.estimate,
        "guard": options.guard,
        "rope": f"±{amount(getattr(options.rope, metric), words[metric].m)}",
        "alpha": options.alpha,
        "probability": percent(options.probability),
        "looks": len(effects) and bool(effects["look"].max()),
    }


def _screening(effects: pd.DataFrame, options) -> str:
    """What became of the screening; empty where there was none."""
    path = paths.SCREEN / "effects.csv"
    screened = report.read_table(path) if path.exists() else pd.DataFrame()
    if not len(screened):
        return ""
    of_metric = effects[effects["metric"] == options.metric]
    rows = against(screened.to_dict("records"), of_metric.to_dict("records"))
    return report.screened(rows, options.metric) if rows else ""


def _of_classes(by_class) -> dict:
    """What it says of single classes and images."""
    sides, classes = paths.COMPARE / "sides.csv", paths.COMPARE / "classes.csv"
    techniques = report.read_table(sides)["technique"].unique() if sides.exists() else ()
    files = {name: paths.COMPARE / f"{figure_of(name)}.png" for name in techniques}
    effects = report.classes_table(report.read_table(classes)) if classes.exists() else ""
    return {
        "class_effects": effects,
        "classes_figures": _shown(paths.COMPARE, "classes.png"),
        "by_label": by_class is None,
        "by_class": by_class,
        "sides": [(name, report.picture(path, paths.REPORTS)) for name, path in files.items()],
    }


def _of_variants(options, folds, train, data) -> dict:
    """What it says of the variants and of how they were evaluated."""
    scores = report.read_table(paths.COMPARE / "ablation_scores.csv")
    trainings = folds.k * folds.repeats * train.members
    least = "at least " if scores["repeats"].max() > folds.repeats else ""
    repeats = report.plural(folds.repeats, "repeat")
    return {
        "cross_validation": f"Cross-validation: {folds.k} folds × {least}{repeats}, "
        f"{least}{report.plural(trainings, 'training')} a variant",
        "images": data["images"],
        "classes": len(data["classes"]),
        "shape": "×".join(map(str, data["shape"])),
        "score": next(iter(TASKS[task_of(options.metric)].MEASURED.values())),
        "variants": report.scores_table(scores, options.metric, options.confidence),
        "scores_figures": _shown(paths.COMPARE, "ablation_scores.png")
        + _shown(paths.COMPARE, "ablation_cost.png"),
    }


def _backbone(data, backbone) -> str:
    """Where the backbone of the study comes from, in a sentence."""
    if backbone.weights != "pretrain":
        return f"The backbone has weights that others have trained (`{backbone.weights}`)."
    headline = json.loads((paths.REPORTS / "ablation.json").read_text())
    worth = f"{headline['backbone']['accuracy']:.1%}"
    return (
        f"The backbone was trained on {report.pretrained(data)}. Held-out accuracy there: {worth}. "
        "None of these images is a development or test image."
    )


def _of_training(curves: pd.DataFrame, options, scheduled: list[str]) -> dict:
    """What it says of learning curves."""
    ropes, (score, _) = options.rope.model_dump(), TASKS[task_of(options.metric)].MEASURED
    return {
        "curves": _shown(paths.CURVES, "*.png"),
        "convergence": convergence_table(curves, ropes, scheduled),
        "scheduled": bool(scheduled),
        "score_rope": f"±{amount(ropes[score], METRICS[score])}",
    }


def _of_networks(views) -> dict:
    """The pictures of networks, and of what augmentation does to images."""
    affinity = report.read_table(paths.FIGURES / "affinity.csv")
    folders = {
        name: sorted((paths.FIGURES / name).iterdir()) for name in ("features", "kernels", "peaks")
    }
    pictures = {
        name: [(folder.name, _shown(folder, "*.png")) for folder in inner]
        for name, inner in folders.items()
    }
    looks = sorted((paths.FIGURES / "gradcam").glob("*.png"))
    return {
        **pictures,
        "overview": _shown(paths.FIGURES / "overview", "*.png")[:: views.images],
        "looked_at": bool(looks),  # whether it is asked where they look
        "grad_cam": [(path.stem, report.picture(path, paths.REPORTS)) for path in looks],
        "inside": _shown(paths.FIGURES / "inside", "*.png"),
        "predicted": _shown(paths.FIGURES, "*.png") + _shown(paths.FIGURES / "regions", "*.png"),
        "augmentation": _shown(paths.AUGMENT, "*.png"),
        "affinity": len(affinity) and report.affinity_table(affinity),
    }


def _of_sizes(options) -> dict:
    """What it says of the size of the training set."""
    of_effect = ["effect", "low", "high", "p"]  # not of what the others are compared with
    sizes, metric = report.read_table(paths.COMPARE / "sizes.csv", of_effect), options.metric
    if not len(sizes):
        return {"sizes": "", "overtaking": [], "growing": [], "sizes_figure": ""}
    numbers = ["scale", "exponent", "floor", "mean", "doubled", "doubled_low", "doubled_high"]
    numbers += ["gain", "gain_low", "gain_high", "worth", "worth_low", "worth_high"]
    more = report.read_table(paths.COMPARE / "growth.csv", numbers)
    return {
        "sizes": report.sizes_table(sizes, metric, options.confidence),
        "overtaking": report.overtaking(sizes, metric),
        "growing": report.growing(more, metric, options.confidence),
        "sizes_figure": report.picture(paths.COMPARE / "sizes.png", paths.REPORTS),
    }


def _of_images() -> dict:
    """What it says of labels that are likely wrong and of images that are hard."""
    every = findings.read(paths.ALL_FINDINGS)
    labels = every[every["code"] == "LAB01"]
    table = report.read_table(paths.LOSSES)
    asked = "suspect" in table  # whether labels are doubted
    return {
        "inspected": recommended(paths.RECOMMENDED),
        "labels": coded.table(labels),
        "labels_muted": coded.muted(labels),
        "labels_asked": asked,
        "labels_why": too_often_wrong(table) if asked else "",
        "losses_figures": _shown(paths.INSPECTED, "*.png"),
    }


def _losses() -> html.Losses:
    """Every development image by its loss when it was held out."""
    dev = pool.read(paths.PREPARED / "dev")
    images = dict(zip(dev.manifest["image_id"].tolist(), dev.images, strict=True))
    return html.Losses(report.read_table(paths.LOSSES), images)


def _charts(effects, curves, shown, confidence) -> dict[str, html.Chart]:
    """What of the report answers to the reader: effects, where there are any, and curves."""
    shown_charts = {}
    with debug_mode(False):  # else Altair checks each part against its schema; tests let it
        if len(effects):
            spec = charts.effects_chart(effects, KINDS, confidence)
            instead = [paths.COMPARE / "ablation_effects.png"]
            shown_charts["effects"] = html.Chart(spec, instead, charts.how_to_read(confidence))
        spec = charts.curves_chart(curves, shown, "variant")
        shown_charts["curves"] = html.Chart(spec, sorted(paths.CURVES.glob("*.png")))
    return shown_charts


def _shown(folder: Path, pattern: str) -> list[str]:
    """The figures of a folder, as Markdown."""
    return [report.picture(path, paths.REPORTS) for path in sorted(folder.glob(pattern))]


if __name__ == "__main__":
    run(main)
