"""final, of boxes: the recommended variant, trained on all dev images and evaluated once on the
test set."""

import shutil

import numpy as np
import pandas as pd

from cnnlab import look, params, paths, records, tracking
from cnnlab.compare import coco
from cnnlab.compare.detected import CLASS_COLUMNS, SIZE_COLUMNS, judge_boxes
from cnnlab.data import pool
from cnnlab.detections import errors
from cnnlab.ignored import parted
from cnnlab.observed import run_observed
from cnnlab.processes import import_keras
from cnnlab.recipe.variants import Sections
from cnnlab.report import final_boxes as report
from cnnlab.run import device
from cnnlab.seeds import derive
from cnnlab.usage import Usage
from stages import _final

SHOWN = 9  # test images, from the best to the worst
LEAST = 0.3  # score of what is drawn and counted


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
    from cnnlab.train.answer import boxes, outputs
    from cnnlab.train.fit import set_up
    from cnnlab.train.tasks import detection

    # Their number shows in the last bits, and is fixed once a model that is there is looked into.
    set_up(train.threads, train.deterministic)
    shutil.rmtree(paths.MIRRORED, ignore_errors=True)
    paths.MIRRORED.mkdir(parents=True)  # dvc.yaml has it: boxes are not asked of mirror images
    done = run_observed(job, paths.MODELS, execution, study, "final")
    shape = list(dev.images.shape[1:])
    scale = pool.scale(dev.folder)
    kept = (data.resize, data.bad.megapixels, scale)
    usage = Usage(chosen["name"], list(dev.classes), shape, *kept, task=task)
    usage.write(paths.MODELS)
    network = records.load_model(paths.MODELS / records.MODEL)
    losses = outputs(detection, network, test.images, test.truth)[:, -1]
    detected, sizes = boxes(network, test.images), coco.sizes_of(test.truth)
    matched = coco.matched(detected, test.truth, len(dev.classes), sizes)
    judged = judge_boxes(
        matched,
        sizes,
        losses,
        test.manifest["group"].to_numpy(),
        dev.classes,
        confidence=options.confidence,
        draws=options.draws,
        seed=derive(seed, "draws"),
    )
    files = _draw(study, chosen["name"], test, losses, detected, matched[0])
    facts = _final.write_judged(chosen["name"], judged, CLASS_COLUMNS, task, options.metric)
    by_size = pd.DataFrame(judged.sizes, columns=SIZE_COLUMNS)
    _final.write_tables({"sizes": by_size}, paths.FINAL)
    regions = sum(len(parted(some)[1]) for some in test.truth)
    section = report.section(candidates, judged, options, final, files, shape[:2], regions)
    paths.FINAL_REPORT.write_text(section)
    card = report.card(study, chosen, recipe, dev, done[0], section, backbone)
    paths.MODEL_CARD.write_text(card)
    with tracking.Run(study, "final", "final", tracking.mark(done)) as parent:
        parent.judged(facts)
        parent.attach([*files, paths.MODEL_CARD], "final")
        parent.register(study, report.about(chosen["name"], judged, options.metric))


def _draw(study: str, name: str, test: pool.Pool, losses, detected, matched: coco.Matched) -> list:
    """The figures, as reports/final/*.png; returns the files."""
    shutil.rmtree(paths.FINAL, ignore_errors=True)
    paths.FINAL.mkdir(parents=True)
    objects, found = ([some[some[:, 0] >= 0] for some in every] for every in (test.truth, detected))
    order = np.argsort(losses, kind="stable")
    lines = [
        (test.images[i], objects[i], found[i], f"loss {losses[i]:.2f}")
        for i in order[np.unique(np.linspace(0, len(order) - 1, SHOWN).astype(int))]
    ]
    title = f"{study}: test images, from the best to the worst, {name}"
    counted = (matched.number >= 0) & ~matched.ignored[..., 0]  # at an IoU of 0.5, as errors are
    pairs = [
        (of_image[rows], parted(boxes)[0])
        for of_image, rows, boxes in zip(detected, counted, test.truth, strict=True)
    ]
    counts, curves = {name: errors(pairs, LEAST)}, {name: matched.curve}
    figures = {
        "boxes": look.boxes_figure(title, lines, test.classes, LEAST),
        "precision_recall": look.precision_recall_figure(f"{study}: test images", curves, 0.5),
        "errors": look.errors_figure(f"{study}: test images, what is wrong", counts, LEAST),
    }
    files = {stem: paths.FINAL / f"{stem}.png" for stem in figures}
    for stem, picture in figures.items():
        look.save(picture, files[stem])
    return list(files.values())
