"""visualize: for chosen variants, kernels before and after training, feature maps of the same
images, the images that excite each filter most, and where the net looks (Grad-CAM); what transfer
changed inside the backbone."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab import look, params, paths, tracking
from cnnlab.compare import transfer
from cnnlab.data import pool
from cnnlab.errors import UserError
from cnnlab.look.augmentation import affinity
from cnnlab.look.transfer import change_figure
from cnnlab.plugins import chosen
from cnnlab.progress import bar
from cnnlab.seeds import derive
from cnnlab.training import recipe, records
from cnnlab.training.initial import initial
from stages import run

DRAWS = 5  # of each augmentation, of each image
ALIKE = 32  # images on which nets before and after transfer are compared


def main() -> None:
    study, seed, model, train, techniques, variants, strategies, options = params.load(
        "study", "seed", "model", "train", "techniques", "variants", "strategies", "visualize"
    )
    dev = pool.read(paths.PREPARED / "dev")
    done = {name: records.read_all(paths.RUNS / name) for name in options.variants}
    firsts = {name: found[0] for name, found in done.items()}  # the trials whose nets are kept
    probe = _probe(dev, firsts, options.images)
    shutil.rmtree(paths.FIGURES, ignore_errors=True)
    views, affinities, written = {}, [], {name: [] for name in done}

    from cnnlab.training.fit import use_threads  # imports TensorFlow

    use_threads(train.threads)  # their number shows in the last bits
    with bar("visualize: variants", len(done)) as progress:
        for name, record in firsts.items():
            net = records.load_model(paths.RUNS / name / records.MODEL)
            made = recipe.variant(model, train, variants[name], techniques)
            start = initial(made, record.seed, dev.images.shape[1:], len(dev.classes))
            views[name] = look.view(net, start, record.probabilities, probe)
            if not variants[name]:
                for policy in _augmentations(recipe.base(model, train), techniques):
                    draw = derive(seed, "affinity", *policy.techniques)
                    both = affinity(net, policy, probe.images, probe.labels, DRAWS, draw)
                    affinities.append((policy.techniques[-1], name, *both))
            progress.advance(note=name)
    paths.FIGURES.mkdir(parents=True)
    table = pd.DataFrame(affinities, columns=["technique", "net", "accuracy", "augmented"])
    table.to_csv(paths.FIGURES / "affinity.csv", index=False, float_format="%.6g")
    for stem, names, picture in look.figures(views, probe):
        path = _save(picture, stem)
        for name in names:
            written[name].append(path)
    for stem, sheet in look.sheets(views, probe):
        path = paths.SHEETS / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        look.save_sheet(sheet, path)
    for name, files in written.items():
        with tracking.Run(study, "variant", name, tracking.mark(done[name])) as parent:
            parent.attach(files, "figures")
    names = [name for name in chosen(strategies) if name != "scratch"]
    if names:
        _transfer(names, dev)


def _transfer(names: list[str], dev: pool.Pool) -> None:
    """What each strategy made of the backbone: how like its maps are, how far its weights moved,
    and maps of one image before and after, from three depths."""
    places = {name: records.of_size(paths.TRANSFER / name, None) for name in names}
    firsts = {name: records.read_all(place)[0] for name, place in places.items()}
    probe = _probe(dev, firsts, 1)
    pixels = probe.images[:ALIKE].astype(np.float32)
    shown = int(probe.shown[0])  # the first one: it begins its class
    before = records.load_model(paths.BACKBONE / records.MODEL)
    after = {name: records.load_model(place / records.MODEL) for name, place in places.items()}
    began = {name: layer for name, layer in look.layers(before).items() if layer.weights}
    convs = list(began)
    drawn = [convs[i] for i in sorted({0, len(convs) // 2, len(convs) - 1})]
    rows = []
    for number, layer in enumerate(convs):  # one at a time: all of a large net's maps are a lot
        maps = {"pre-trained": look.feature_maps(before, pixels, [layer])[layer]}
        for name, net in after.items():
            maps[name] = look.feature_maps(net, pixels, [layer])[layer]
            alike = transfer.cka(maps["pre-trained"], maps[name])
            ended = look.layers(net)[layer].get_weights()
            moved = transfer.change(began[layer].get_weights(), ended)
            rows.append({"strategy": name, "layer": layer, "cka": alike, "change": moved})
        if layer in drawn:
            tops = {name: look.Peaks.of(found) for name, found in maps.items()}
            label = probe.label(shown)
            picture = look.feature_figure(maps, tops, layer, probe.images[shown], label, shown)
            _save(picture, f"transfer/{number:02d}_{layer}")
    _save(change_figure("what transfer changed in the backbone", rows), "transfer/changes")
    table = pd.DataFrame(rows)
    table.to_csv(paths.FIGURES / "transfer/changes.csv", index=False, float_format="%.6g")


def _augmentations(plain, techniques) -> list:
    """The recipes of the augmentations under `techniques`, each alone."""
    made = [recipe.apply(plain, [name], techniques) for name in chosen(techniques)]
    return [policy for policy in made if policy.ops]


def _probe(dev: pool.Pool, firsts: dict, images: int) -> look.Probe:
    """What no net drawn has trained on: the images that judged the first trial, of which the first
    ones of `images` different classes are shown. Raises UserError where trials differ in them."""
    name, record = next(iter(firsts.items()))
    for other, another in firsts.items():
        if not np.array_equal(record.image_id, another.image_id):
            raise UserError(f"variants {name} and {other} differ in their folds; run `dvc repro`")
    row = dict(zip(dev.manifest["image_id"], range(len(dev.manifest)), strict=True))
    held = dev.take(np.array([row[image] for image in record.image_id]))
    _, firsts_of_class = np.unique(held.labels, return_index=True)
    shown = np.sort(firsts_of_class)[:images]
    return look.Probe(held.images, held.labels, held.classes, shown, "held-out images")


def _save(picture: look.Picture, stem: str) -> Path:
    """Write reports/figures/STEM.png; returns the file."""
    path = paths.FIGURES / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    look.save(picture, path)
    return path


if __name__ == "__main__":
    run(main)
