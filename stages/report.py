"""report: reports/report.md and reports/report.html from what the other stages wrote."""

import json

import pandas as pd

from cnnlab import params, paths, report, tracking
from cnnlab.compare.metrics import METRICS
from cnnlab.report import charts, html
from cnnlab.report.convergence import convergence_table
from cnnlab.report.readings import readings
from cnnlab.training import recipe
from stages import run

TITLES = {
    "alone": "Added to the baseline",
    "removed": "What the full recipe has from it",
    "together": "All at once",
    "main": "Main effects: on average over the others",
    "interaction": "Interactions: half of what adding one does to the effect of the other",
    "shapley": "Shapley values: each one's share of what all do",
    "ensemble": "Averaging the members",
    "pair": "Asked for besides",
}


def main() -> None:
    study, options, design, views, weights, model, train, techniques, variants = params.load(
        "study",
        "compare",
        "folds",
        "visualize",
        "transfer.weights",
        "model",
        "train",
        "techniques",
        "variants",
    )
    recipes = {k: recipe.variant(model, train, own, techniques) for k, own in variants.items()}
    scheduled = {name for name, made in recipes.items() if made.schedule}
    metric, root = options.metric, paths.REPORTS
    m = METRICS[metric]
    data = json.loads(paths.DATA_FACTS.read_text())
    scores, every, images = (
        {t: pd.read_csv(name.format(t), keep_default_na=False) for t in ("ablation", "transfer")}
        for name in (
            f"{paths.COMPARE}/{{}}_scores.csv",
            f"{root}/{{}}.csv",
            f"{paths.COMPARE}/{{}}_conditional.csv",
        )
    )
    effects = {title: rows[rows["metric"] == metric] for title, rows in every.items()}
    affinity = pd.read_csv(paths.FIGURES / "affinity.csv")
    mechanisms = pd.read_csv(paths.COMPARE / "mechanisms.csv", keep_default_na=False)
    candidates = pd.read_csv(paths.RECOMMENDED, keep_default_na=False)
    recommended = candidates.loc[candidates["recommended"], "name"].item()
    strategies = len(scores["transfer"]) > 0
    sizes = pd.read_csv(paths.COMPARE / "transfer_sizes.csv") if strategies else None
    curves = pd.read_csv(paths.CURVES / "variant.csv", keep_default_na=False)
    headline = json.loads((root / "transfer.json").read_text())

    def shown(folder, pattern):
        return [report.picture(path, root) for path in sorted(folder.glob(pattern))]

    def sections(name):
        folders = sorted((paths.FIGURES / name).iterdir())
        return [(f.name, shown(f, "*.png")) for f in folders]

    def read(title):
        return readings(effects[title].to_dict("records"), m, options.confidence)

    facts = {
        "study": study,
        "answer": report.answer(scores, effects, metric, recommended),
        "repeats": design.repeats,
        "folds": design.k,
        "n": design.repeats * design.k,
        "data": report.included(paths.DATA_REPORT.read_text()),
        "final": report.included(paths.FINAL_REPORT.read_text())
        if paths.FINAL_REPORT.exists()
        else "",
        "images": data["images"],
        "classes": len(data["classes"]),
        "shape": "×".join(map(str, data["shape"])),
        "alpha": options.alpha,
        "variants": report.scores_table(scores["ablation"], metric, options.confidence),
        "effects": [
            (kind, TITLES[kind], report.effects_table(table, metric, options.confidence))
            for kind, table in effects["ablation"].groupby("kind", sort=False)
        ],
        "readings": read("ablation"),
        "transfer_readings": read("transfer"),
        "mechanisms": len(mechanisms) and report.mechanisms_table(mechanisms, options.confidence),
        "mechanism_figures": shown(paths.COMPARE, "mechanisms.png")
        + shown(paths.COMPARE, "preactivations_*.png"),
        "every_metric": len(every["ablation"]) and report.metrics_table(every["ablation"]),
        "conditional": len(images["ablation"])
        and report.conditional_table(images["ablation"], options.confidence),
        "rope": f"±{getattr(options.rope, metric) * m.scale:g} {m.step}",
        "probability": f"{options.probability:.0%}",
        "ablation_figures": shown(paths.COMPARE, "ablation_*.png"),
        "pretrain_source": data["pretrain_source"],
        "pretrain_classes": report.learnt(data["pretrain_classes"], data["pretrain_source"]),
        "backbone": f"{headline['backbone']['accuracy']:.1%}" if "backbone" in headline else "",
        "weights": weights,
        "strategies": strategies
        and report.scores_table(scores["transfer"], metric, options.confidence),
        "transfer_effects": len(effects["transfer"])
        and report.effects_table(effects["transfer"], metric, options.confidence),
        "sizes": strategies and report.sizes_table(sizes, metric, options.confidence),
        "overtakes": report.overtakes(sizes, metric) if strategies else [],
        "transfer_figures": [
            *shown(paths.COMPARE, "transfer_*.png"),
            *shown(paths.CURVES, "strategy_*.png"),
        ],
        "transfer_inside": shown(paths.FIGURES / "transfer", "*.png"),
        "affinity": len(affinity) and report.affinity_table(affinity),
        "augmentation": shown(paths.AUGMENT, "*.png"),
        "overview": shown(paths.FIGURES / "overview", "*.png")[:: views.images],
        "curves": shown(paths.CURVES, "variant_*.png"),
        "everywhere": train.techniques,
        "convergence": convergence_table(curves, options.rope.model_dump(), scheduled),
        "scheduled": bool(scheduled),
        "accuracy_rope": f"±{options.rope.accuracy * 100:g} points",
        "features": sections("features"),
        "kernels": sections("kernels"),
        "peaks": sections("peaks"),
        "grad_cam": [
            (path.stem, report.picture(path, root))
            for path in sorted((paths.FIGURES / "gradcam").glob("*.png"))
        ],
    }
    (root / "report.md").write_text(report.render(**facts))
    nets = html.Explorer(paths.FIGURES, views.variants)
    figures = _charts(every["ablation"], curves, views.variants, options.confidence)
    page = html.render(facts, figures, nets, root)
    (root / "report.html").write_text(page)
    marks = pd.read_csv(paths.RECORDS, dtype=str, keep_default_na=False)
    marks = marks.set_index(["kind", "name"])["mark"]
    with tracking.Run(study, "study", study, tracking.digest(marks)) as run:
        run.lead_to(marks.to_dict(), facts["answer"])
        run.attach([root / "report.md", root / "report.html", root / "ablation.csv"], "report")


def _charts(effects, curves, shown, confidence) -> dict[str, html.Chart]:
    """What of the report answers to the reader: effects, where there are any, and curves."""
    made = {}
    if len(effects):
        spec = charts.effects_chart(effects, TITLES, confidence)
        made["effects"] = html.Chart(spec, [paths.COMPARE / "ablation_effects.png"])
    spec = charts.curves_chart(curves, shown, "variant")
    made["curves"] = html.Chart(spec, sorted(paths.CURVES.glob("variant_*.png")))
    return made


if __name__ == "__main__":
    run(main)
