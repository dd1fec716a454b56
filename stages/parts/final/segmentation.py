"""final, of masks: the recommended variant, trained on all dev images and evaluated once on the
test set."""

import shutil

import numpy as np

from cnnlab import look, params, paths, records, tracking
from cnnlab.compare.masked import CLASS_COLUMNS, MasksJudgement, judge_masks
from cnnlab.data import pool
from cnnlab.errors import UserError
from cnnlab.observed import run_observed
from cnnlab.overlap import iou, parts
from cnnlab.processes import import_keras
from cnnlab.recipe.variants import Sections
from cnnlab.report import final_masks as report
from cnnlab.run import device
from cnnlab.seeds import derive
from cnnlab.usage import Usage
from stages import _final

EXTREMES = 8  # best images, and worst ones, drawn


def main() -> None:
    study, seed, execution, options, final = params.load(
        "study", "seed", "execution", "compare", "final"
    )
    data = params.load("data")
    task, model, train, techniques, backbone = params.load(
        "task", "model", "train", "techniques", "backbone"
    )
    candidates = _final.candidates()
    chosen = candidates[candidates["recommended"]].iloc[0]
    dev, test = pool.read(paths.PREPARED / "dev"), _final.test_images()
    recipe = Sections(model, train, techniques, backbone, task).recipe(chosen["techniques"].split())
    job = _final.job(recipe, dev, seed, execution)

    import_keras(device.is_gpu(job.device))
    from cnnlab.train.answer import masks, outputs
    from cnnlab.train.fit import set_up
    from cnnlab.train.tasks import segmentation

    # Their number shows in the last bits, and is fixed once a model that is there is looked into.
    set_up(train.threads, train.deterministic)
    shutil.rmtree(paths.MIRRORED, ignore_errors=True)
    paths.MIRRORED.mkdir(parents=True)  # dvc.yaml has it: masks are not asked of mirror images
    done = run_observed(job, paths.MODELS, execution, study, "final")
    usage = Usage(
        chosen["name"],
        list(dev.classes),
        list(dev.images.shape[1:]),
        data.resize,
        data.bad.megapixels,
        pool.scale(dev.folder),
        task=task,
    )
    usage.write(paths.MODELS)
    network = records.load_model(paths.MODELS / records.MODEL)
    measured = outputs(segmentation, network, test.images, test.truth)
    if not parts(measured).pixels.any():
        raise UserError(f"{test.folder}: all pixels of the test images' masks are void")
    judged = judge_masks(
        test.labels,
        measured,
        test.manifest["group"].to_numpy(),
        dev.classes,
        confidence=options.confidence,
        draws=options.draws,
        seed=derive(seed, "draws"),
    )
    files = _draw(study, chosen["name"], judged, test, measured, masks(network, test.images))
    facts = _final.write_judged(chosen["name"], judged, CLASS_COLUMNS, task, options.metric)
    labels = (p.manifest["label"].value_counts().to_dict() for p in (dev, test))
    section = report.section(candidates, judged, options, final, files, *labels)
    paths.FINAL_REPORT.write_text(section)
    card = report.card(study, chosen, recipe, dev, done[0], section, backbone)
    paths.MODEL_CARD.write_text(card)
    with tracking.Run(study, "final", "final", tracking.mark(done)) as parent:
        parent.judged(facts)
        parent.attach([*files, paths.MODEL_CARD], "final")
        words = report.about(chosen["name"], judged, options.metric, dev.classes)
        parent.register(study, words)


def _draw(
    study: str,
    name: str,
    judged: MasksJudgement,
    test: pool.Pool,
    outputs: np.ndarray,
    predicted: np.ndarray,
) -> list:
    """The figures, as reports/final/*.png; returns the files."""
    shutil.rmtree(paths.FINAL, ignore_errors=True)
    paths.FINAL.mkdir(parents=True)
    rows = [{**row, "name": name} for row in judged.classes]
    figures = {
        "classes": look.class_iou_figure(f"{study}: IoU on the test images", rows, test.classes),
        "extremes": _extremes(study, name, test, outputs, predicted),
    }
    files = {stem: paths.FINAL / f"{stem}.png" for stem in figures}
    for stem, picture in figures.items():
        look.save(picture, files[stem])
    return list(files.values())


def _extremes(study: str, name: str, test: pool.Pool, outputs, predicted) -> look.Picture:
    """The best and the worst test images that have judged pixels; none is both."""
    scores = iou(test.labels, outputs)
    order = np.argsort(-scores, kind="stable")
    order = order[parts(outputs).pixels[order] > 0]
    best = order[: min(EXTREMES, -(-len(order) // 2))]
    worst = order[len(best) :][::-1][:EXTREMES]
    both = (
        [(test.images[i], test.truth[i], predicted[i], f"IoU {scores[i]:.2f}") for i in rows]
        for rows in (best, worst)
    )
    return look.extremes_figure(f"{study}: test images, {name}", *both, test.classes)
