"""visualize, of boxes: what the best variant detects, precision against recall, and what is wrong
with what is detected."""

from collections.abc import Mapping

import numpy as np

from cnnlab import look, paths, records
from cnnlab.data.pool import Pool
from cnnlab.detections import errors, mean_ap, mean_precisions
from cnnlab.look.figure import Picture
from cnnlab.records import Record

SHOWN = 9  # images
LEAST = 0.3  # score of what is drawn and counted, as usual for this kind of network


def answers(record):
    return None


def looked(study: str, firsts: Mapping[str, Record], dev: Pool) -> dict[str, Picture]:
    """Pictures of the images that the first trial held out, by file name without its ending.
    `firsts`: variant -> its first record."""
    from cnnlab.train.answer import boxes  # imports TensorFlow

    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}
    rows = np.array([row_of[image] for image in next(iter(firsts.values())).image_id])
    images = dev.images[rows]
    objects = [some[some[:, 0] >= 0] for some in dev.truth[rows]]
    found = {}
    for name in firsts:
        network = records.load_model(paths.RUNS / name / records.MODEL)
        found[name] = [some[some[:, 0] >= 0] for some in boxes(network, images)]
    best = max(firsts, key=lambda name: mean_ap(firsts[name].outputs, [0]))
    losses = firsts[best].outputs[:, -1]
    order = np.argsort(losses, kind="stable")
    lines = [
        (images[i], objects[i], found[best][i], f"loss {losses[i]:.2f}")
        for i in order[np.unique(np.linspace(0, len(order) - 1, SHOWN).astype(int))]
    ]
    title = f"{study}: held-out images, from the best to the worst, {best}"
    curves = {name: mean_precisions(record.outputs, 0) for name, record in firsts.items()}
    counts = {name: errors(zip(some, objects, strict=True), LEAST) for name, some in found.items()}
    of_first = f"{study}: the first held-out fold"
    return {
        "boxes": look.boxes_figure(title, lines, dev.classes, LEAST),
        "precision_recall": look.precision_recall_figure(of_first, curves, 0.5),
        "errors": look.errors_figure(f"{of_first}, what is wrong", counts, LEAST),
    }
