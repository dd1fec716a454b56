"""visualize, of masks: predicted contours beside the true ones, the best and the worst images, and
what in an image speaks for the class of a region."""

from collections.abc import Mapping

import numpy as np

from cnnlab import look, paths, records
from cnnlab.data.pool import Pool
from cnnlab.look.capture import pools
from cnnlab.look.figure import Picture
from cnnlab.overlap import iou
from cnnlab.records import Record

SHOWN = 6  # images with the contours of all variants
EXTREMES = 8  # best images, and worst ones
REGIONS = 5  # of which is drawn what speaks for their class


def answers(record):
    return None


def looked(study: str, firsts: Mapping[str, Record], dev: Pool) -> dict[str, Picture]:
    """Pictures of the images that the first trial held out, by file name without its ending.
    `firsts`: variant -> its first record."""
    from cnnlab.train.answer import masks  # imports TensorFlow

    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}
    first = next(iter(firsts.values()))
    rows = np.array([row_of[image] for image in first.image_id])
    images, truth = dev.images[rows], dev.truth[rows]
    scores = {name: iou(record.labels, record.outputs) for name, record in firsts.items()}
    order = np.argsort(np.mean(list(scores.values()), axis=0), kind="stable")
    some = order[np.unique(np.linspace(0, len(order) - 1, SHOWN).astype(int))]
    best = max(scores, key=lambda name: scores[name].mean())
    said, made = {}, {}
    for name in firsts:
        network = records.load_model(paths.RUNS / name / records.MODEL)
        said[name] = masks(network, images)
        if name == best and (found := _regions(network, images, said[name], scores[name], dev)):
            layer, regions = found
            picture = look.region_figure(f"{study}, {name}", layer, regions, dev.classes)
            made[f"regions/{name}"] = picture
    lines = [
        (
            images[i],
            truth[i],
            {name: masks_of[i] for name, masks_of in said.items()},
            "IoU: " + ", ".join(f"{name} {scores[name][i]:.2f}" for name in firsts),
        )
        for i in some
    ]
    made["masks"] = look.masks_figure(f"{study}: held-out images", lines, dev.classes)
    ends = np.argsort(-scores[best], kind="stable")
    tops, bottoms = (
        [(images[i], truth[i], said[best][i], f"IoU {scores[best][i]:.2f}") for i in picked]
        for picked in (ends[:EXTREMES], ends[::-1][:EXTREMES])
    )
    title = f"{study}: held-out images, {best}"
    made["extremes"] = look.extremes_figure(title, tops, bottoms, dev.classes)
    return made


def _regions(network, images, said, scores, dev) -> tuple[str, list]:
    """What speaks for the largest region, besides the background, that a network finds in the
    images that it does best: the layer whose maps tell it, and lines of `look.region_figure`;
    nothing where it finds none."""
    layer, lines = _deepest(network), []
    for i in np.argsort(-scores, kind="stable"):
        counts = np.bincount(said[i].ravel(), minlength=len(dev.classes))[: len(dev.classes)]
        counts[0] = 0
        if counts.any() and len(lines) < REGIONS:
            number = int(counts.argmax())
            region = said[i] == number
            heat = look.region_cam(network, layer, images[i], region, number)
            lines.append((images[i], region, number, heat, f"IoU {scores[i]:.2f}"))
    return (layer, lines) if lines else ()


def _deepest(network) -> str:
    """The last conv before maps are enlarged again (the first layer of `cnnlab.recipe.decoder`)."""
    every = [layer.name for layer in network.layers]
    body = set(every[: every.index("enlarge1")] if "enlarge1" in every else every)
    return [name for name in look.layers(network) if name in body - pools(network)][-1]
