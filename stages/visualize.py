"""visualize: for chosen variants, kernels before and after training, feature maps of the same
images, the images that excite each filter most, and where the network looks (Grad-CAM); what
training changed inside the backbone."""

import shutil
import sys
from collections.abc import Mapping

import numpy as np
import pandas as pd

from cnnlab import look, params, paths, records, tracking
from cnnlab.compare import inside
from cnnlab.compare.recommend import recommended
from cnnlab.data import pool
from cnnlab.errors import UserError
from cnnlab.look.augmentation import affinity
from cnnlab.look.inside import change_figure
from cnnlab.processes import import_keras
from cnnlab.progress import bar
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.recipe.variants import Sections
from cnnlab.records import Record
from cnnlab.seeds import derive
from stages import run
from stages.parts.visualize import PARTS

DRAWS = 5  # of each augmentation, of each image
ALIKE = 32  # images on which networks before and after training are compared


def main() -> None:
    study, seed, variants, options = params.load("study", "seed", "variants", "visualize")
    task, model, train, techniques, backbone = params.load(
        "task", "model", "train", "techniques", "backbone"
    )
    dev = pool.read(paths.PREPARED / "dev")
    ended = records.without_diverged(variants.every, paths.RUNS)
    shown = options.among(ended, recommended(paths.RECOMMENDED))
    trials = {name: records.read_all(paths.RUNS / name) for name in shown}
    # The trials whose networks are kept.
    firsts = {name: of_variant[0] for name, of_variant in trials.items()}
    probe = _probe(dev, firsts, options.images)
    sections = Sections(model, train, techniques, backbone, task)
    recipes = {name: sections.recipe(variants.every[name]) for name in shown}
    used = sorted({*train.techniques, *variants.techniques})
    shutil.rmtree(paths.FIGURES, ignore_errors=True)
    paths.FIGURES.mkdir(parents=True)

    import_keras()
    from cnnlab.train.fit import set_up

    set_up(train.threads, train.deterministic)  # their number shows in the last bits
    part, views, affinities = PARTS[task], {}, []
    with bar("visualize: variants", len(trials)) as progress:
        for name, record in firsts.items():
            network = records.load_model(paths.RUNS / name / records.MODEL)
            start = _start(recipes[name], record, dev, task)
            answers = part.answers(record)
            views[name] = look.view(network, start, answers, probe)
            if answers is not None and not variants.every[name]:
                affinities += _affinities(name, network, probe, sections, used, seed)
            progress.advance(note=name)
    columns = ["technique", "net", "accuracy", "augmented"]
    _csv(pd.DataFrame(affinities, columns=columns), "affinity")
    _draw(views, probe)
    for stem, picture in part.looked(study, firsts, dev).items():
        _save(picture, stem)
    transferred = [name for name, recipe in recipes.items() if recipe.phases]
    if transferred:
        _inside(transferred, firsts, dev)
    trained = [name for name in ended if any((paths.RUNS / name).glob("r*.json"))]
    marks = {name: tracking.mark(records.read_all(paths.RUNS / name)) for name in trained}
    tracking.log_figures(study, marks, paths.FIGURES)


def _start(recipe, record: Record, dev: pool.Pool, task: str):
    """The network from which a trial started."""
    from cnnlab.recipe.network import put, set_random, weights_of
    from cnnlab.train.tasks import LEARNING

    start = LEARNING[task].network(recipe, dev.images.shape[1:], len(dev.classes))
    set_random(start.model, record.seed)
    if recipe.phases:
        put(start.body, weights_of(records.load_model(paths.BACKBONE / records.MODEL)))
    return start.model


def _affinities(
    name, network, probe, sections: Sections, techniques: list[str], seed: int
) -> list[tuple]:
    """How a network without augmentation does on images as they are and augmented: a row for each
    augmentation among the techniques, but for those that mix images: what these then show is of no
    one class."""
    rows = []
    for technique in techniques:
        policy = sections.alone(technique)
        mixed = any(hasattr(TECHNIQUES[op], "mix") for op, _ in policy.ops)
        if policy.ops and not mixed:
            draw = derive(seed, "affinity", *policy.techniques)
            both = affinity(network, policy, probe.images, probe.labels, DRAWS, draw)
            rows.append((technique, name, *both))
    return rows


def _draw(views: Mapping[str, look.View], probe: look.Probe) -> None:
    """Write the figures, and the sheets of the HTML report."""
    every, drawn = len(look.layers_of(views)), len(look.drawn(views))
    if drawn < every:
        print(f"visualize: {drawn} of {every} layers are drawn, evenly spaced", file=sys.stderr)
    for stem, _, picture in look.figures(views, probe):
        _save(picture, stem)
    for stem, sheet in look.sheets(views, probe):
        path = paths.SHEETS / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        look.save_sheet(sheet, path)


def _inside(names: list[str], firsts: Mapping[str, Record], dev: pool.Pool) -> None:
    """What training made of the backbone: how like its maps are, how far its weights moved, and
    maps of one image before and after, from three depths."""
    probe = _probe(dev, {name: firsts[name] for name in names}, 1)
    pixels = probe.images[:ALIKE].astype(np.float32)
    image = int(probe.shown[0])  # the first one: it begins its class
    before = records.load_model(paths.BACKBONE / records.MODEL)
    after = {name: records.load_model(paths.RUNS / name / records.MODEL) for name in names}
    began = {name: layer for name, layer in look.layers(before).items() if layer.weights}
    convs = list(began)
    drawn = [convs[i] for i in sorted({0, len(convs) // 2, len(convs) - 1})]
    rows = []
    for some in look.in_parts(before, convs, len(pixels)):
        first = look.feature_maps(before, pixels, some)
        others = {name: look.feature_maps(network, pixels, some) for name, network in after.items()}
        for layer in some:
            maps = {"pre-trained": first[layer], **{name: m[layer] for name, m in others.items()}}
            for name, network in after.items():
                alike = inside.cka(first[layer], maps[name])
                ended = look.layers(network)[layer].get_weights()
                moved = inside.change(began[layer].get_weights(), ended)
                rows.append({"variant": name, "layer": layer, "cka": alike, "change": moved})
            if layer in drawn:
                tops = {name: look.Peaks.of(m) for name, m in maps.items()}
                label = probe.label(image)
                picture = look.feature_figure(maps, tops, layer, probe.images[image], label, image)
                _save(picture, f"inside/{convs.index(layer):02d}_{layer}")
    _save(change_figure("what training changed in the backbone", rows), "inside/changes")
    _csv(pd.DataFrame(rows), "inside/changes")


def _probe(dev: pool.Pool, firsts: Mapping[str, Record], images: int) -> look.Probe:
    """What no network drawn has trained on: the images that the first trial held out, of which the
    first ones of `images` different classes are shown. Raises UserError where trials differ in
    them."""
    name, record = next(iter(firsts.items()))
    for other, another in firsts.items():
        if not np.array_equal(record.image_id, another.image_id):
            raise UserError(f"variants {name} and {other} differ in their folds; run `dvc repro`")
    row = dict(zip(dev.manifest["image_id"], range(len(dev.manifest)), strict=True))
    held_out = dev.take(np.array([row[image] for image in record.image_id]))
    _, firsts_of_class = np.unique(held_out.labels, return_index=True)
    shown = np.sort(firsts_of_class)[:images]
    return look.Probe(held_out.images, held_out.labels, held_out.classes, shown, "held-out images")


def _save(picture: look.Picture, stem: str) -> None:
    """Write reports/figures/STEM.png."""
    path = paths.FIGURES / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    look.save(picture, path)


def _csv(table: pd.DataFrame, stem: str) -> None:
    """Write reports/figures/STEM.csv."""
    path = paths.FIGURES / f"{stem}.csv"
    table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


if __name__ == "__main__":
    run(main)
