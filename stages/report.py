"""report: reports/report.md and reports/report.html from what the other stages wrote."""

import json
from pathlib import Path

import pandas as pd

from cnnlab import params, paths, report, tracking
from cnnlab.compare.metrics import METRICS
from cnnlab.recipe.variants import Sections
from cnnlab.report import charts, html
from cnnlab.report.convergence import convergence_table
from cnnlab.report.readings import readings
from stages import run

TITLES = {
    "alone": "Added to the baseline",
    "removed": "Lost when removed from the full recipe",
    "together": "All at once",
    "start": "How training starts: on average over the techniques",
    "main": "Main effects: on average over the others",
    "interaction": "Interactions: half of what adding one does to the effect of the other",
    "shapley": "Shapley values: each one's share of what all do",
    "ensemble": "Averaging the members",
    "pair": "Asked for besides",
}


def main() -> None:
    study, options, folds, views, model, train, techniques, backbone, variants = params.load(
        "study",
        "compare",
        "folds",
        "visualize",
        "model",
        "train",
        "techniques",
        "backbone",
        "variants",
    )
    data = json.loads(paths.DATA_FACTS.read_text())
    effects = _read(paths.REPORTS / "ablation.csv")
    curves = _read(paths.CURVES / "curves.csv")
    sections = Sections(model, train, techniques, backbone)
    recipes = {name: sections.recipe(on) for name, on in variants.every.items()}
    facts = {
        "study": study,
        **_of_effects(effects, options),
        **_of_variants(effects, options, folds, data),
        "backbone": _backbone(data, backbone) if variants.transfer else "",
        "everywhere": train.techniques,
        **_of_training(curves, options, [k for k, recipe in recipes.items() if recipe.schedule]),
        **_of_networks(views),
        **_of_sizes(options),
        "data": report.included(paths.DATA_REPORT.read_text()),
        "final": report.included(paths.FINAL_REPORT.read_text())
        if paths.FINAL_REPORT.exists()
        else "",
    }
    page = paths.REPORTS / "report.md"
    page.write_text(report.render(**facts))
    explorer = html.Explorer(paths.FIGURES, views.variants)
    figures = _charts(effects, curves, views.variants, options.confidence)
    single = paths.REPORTS / "report.html"
    single.write_text(html.render(facts, figures, explorer, paths.REPORTS))
    marks = _read(paths.RECORDS).set_index("name")["mark"].to_dict()
    with tracking.Run(study, "study", study, tracking.digest(marks.values())) as run:
        run.lead_to(marks, facts["answer"])
        run.attach([page, single, paths.REPORTS / "ablation.csv"], "report")


def _of_effects(every: pd.DataFrame, options) -> dict:
    """What the report says of the effects."""
    metric, confidence = options.metric, options.confidence
    m, effects = METRICS[metric], every[every["metric"] == options.metric]
    scores = _read(paths.COMPARE / "ablation_scores.csv")
    candidates = _read(paths.RECOMMENDED)
    recommended = candidates.loc[candidates["recommended"], "name"].item()
    conditional = _read(paths.COMPARE / "ablation_conditional.csv")
    mechanisms = _read(paths.COMPARE / "mechanisms.csv")
    return {
        "answer": report.answer(scores, effects, metric, recommended),
        "effects": [
            (kind, TITLES[kind], report.effects_table(table, metric, confidence))
            for kind, table in effects.groupby("kind", sort=False)
        ],
        "readings": readings(effects.to_dict("records"), m, confidence),
        "every_metric": len(every) and report.metrics_table(every),
        "conditional": len(conditional) and report.conditional_table(conditional, confidence),
        "ablation_figures": _shown(paths.COMPARE, "ablation_*.png"),
        "mechanisms": len(mechanisms) and report.mechanisms_table(mechanisms, confidence),
        "mechanism_figures": _shown(paths.COMPARE, "mechanisms.png")
        + _shown(paths.COMPARE, "preactivations_*.png"),
        "rope": f"±{getattr(options.rope, metric) * m.scale:g} {m.step}",
        "alpha": options.alpha,
        "probability": f"{options.probability:.0%}",
    }


def _of_variants(effects: pd.DataFrame, options, folds, data) -> dict:
    """What it says of the variants and of how they were evaluated."""
    scores = _read(paths.COMPARE / "ablation_scores.csv")
    return {
        "repeats": folds.repeats,
        "folds": folds.k,
        "n": folds.repeats * folds.k,
        "images": data["images"],
        "classes": len(data["classes"]),
        "shape": "×".join(map(str, data["shape"])),
        "variants": report.scores_table(scores, options.metric, options.confidence),
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
    ropes = options.rope.model_dump()
    return {
        "curves": _shown(paths.CURVES, "*.png"),
        "convergence": convergence_table(curves, ropes, scheduled),
        "scheduled": bool(scheduled),
        "accuracy_rope": f"±{options.rope.accuracy * 100:g} points",
    }


def _of_networks(views) -> dict:
    """The pictures of networks, and of what augmentation does to images."""
    affinity = _read(paths.FIGURES / "affinity.csv")
    folders = {
        name: sorted((paths.FIGURES / name).iterdir()) for name in ("features", "kernels", "peaks")
    }
    pictures = {
        name: [(folder.name, _shown(folder, "*.png")) for folder in inner]
        for name, inner in folders.items()
    }
    return {
        **pictures,
        "overview": _shown(paths.FIGURES / "overview", "*.png")[:: views.images],
        "grad_cam": [
            (path.stem, report.picture(path, paths.REPORTS))
            for path in sorted((paths.FIGURES / "gradcam").glob("*.png"))
        ],
        "inside": _shown(paths.FIGURES / "inside", "*.png"),
        "augmentation": _shown(paths.AUGMENT, "*.png"),
        "affinity": len(affinity) and report.affinity_table(affinity),
    }


def _of_sizes(options) -> dict:
    """What it says of the size of the training set."""
    sizes, metric = pd.read_csv(paths.COMPARE / "sizes.csv"), options.metric
    if not len(sizes):
        return {"sizes": "", "overtaking": [], "sizes_figure": ""}
    return {
        "sizes": report.sizes_table(sizes, metric, options.confidence),
        "overtaking": report.overtaking(sizes, metric),
        "sizes_figure": report.picture(paths.COMPARE / "sizes.png", paths.REPORTS),
    }


def _charts(effects, curves, shown, confidence) -> dict[str, html.Chart]:
    """What of the report answers to the reader: effects, where there are any, and curves."""
    shown_charts = {}
    if len(effects):
        spec = charts.effects_chart(effects, TITLES, confidence)
        shown_charts["effects"] = html.Chart(spec, [paths.COMPARE / "ablation_effects.png"])
    spec = charts.curves_chart(curves, shown, "variant")
    shown_charts["curves"] = html.Chart(spec, sorted(paths.CURVES.glob("*.png")))
    return shown_charts


def _read(path: Path) -> pd.DataFrame:
    text = {"name": str, "mark": str, "technique": str, "variant": str, "minus": str}
    return pd.read_csv(path, keep_default_na=False, dtype=text)


def _shown(folder: Path, pattern: str) -> list[str]:
    """The figures of a folder, as Markdown."""
    return [report.picture(path, paths.REPORTS) for path in sorted(folder.glob(pattern))]


if __name__ == "__main__":
    run(main)
