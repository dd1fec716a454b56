"""visualize: kernels, and feature maps of the same probe images, for chosen variants; what transfer
changed inside the backbone."""

import shutil

import numpy as np
import pandas as pd

from cnnlab import look, params, paths, tracking
from cnnlab.compare import transfer
from cnnlab.data import pool
from cnnlab.look.transfer import change_figure
from cnnlab.plugins import chosen
from cnnlab.progress import bar
from cnnlab.training import records
from stages import run

PROBES = 64  # images on which a filter that never answers counts as dead
ALIKE = 32  # images, of those, on which nets before and after transfer are compared


def main() -> None:
    study, options, strategies = params.load("study", "visualize", "strategies")
    dev = pool.read(paths.PREPARED / "dev")
    done = {name: records.read_all(paths.RUNS / name) for name in options.variants}
    probe = _probe(dev, next(iter(done.values()))[0].image_id, options.images)
    shutil.rmtree(paths.FIGURES, ignore_errors=True)
    models, maps, written = {}, {}, {}
    for name in options.variants:
        models[name] = records.load_model(paths.RUNS / name / records.MODEL)
        maps[name] = look.feature_maps(models[name], probe.images.astype(np.float32))
    layers = list(dict.fromkeys(layer for by_layer in maps.values() for layer in by_layer))
    labels = list(probe.manifest["label"])

    with bar("visualize: variants and layers", len(models) + len(layers)) as progress:
        for name, model in models.items():
            written[name] = []
            for layer, weights in look.kernels(model).items():
                picture = look.kernel_figure(weights, layer, name)
                _save(picture, f"kernels/{name}/{layers.index(layer):02d}_{layer}", written[name])
            for i in range(options.images):
                picture = look.overview_figure(maps[name], probe.images[i], labels[i], name, i)
                _save(picture, f"overview/{name}_{i}_{labels[i]}", written[name])
            progress.advance(note=name)
        for number, layer in enumerate(layers):
            there = {name: by_layer[layer] for name, by_layer in maps.items() if layer in by_layer}
            for i in range(options.images):
                picture = look.feature_figure(there, layer, probe.images[i], labels[i], i)
                stem = f"features/{i}_{labels[i]}/{number:02d}_{layer}"
                _save(picture, stem, *(written[name] for name in there))
            progress.advance(note=layer)
    for name, files in written.items():
        with tracking.Run(study, "variant", name, tracking.mark(done[name])) as parent:
            parent.attach(files, "figures")
    names = [name for name in chosen(strategies) if name != "scratch"]
    if names:
        _transfer(study, names, dev)


def _transfer(study: str, names: list[str], dev: pool.Pool) -> None:
    """What each strategy made of the backbone: how like its maps are, how far its weights moved,
    and maps of one image before and after, from three depths."""
    places = {name: records.of_size(paths.TRANSFER / name, None) for name in names}
    before = records.load_model(paths.BACKBONE / records.MODEL)
    after = {name: records.load_model(place / records.MODEL) for name, place in places.items()}
    judged = records.read_all(places[names[0]])[0].image_id
    images = _probe(dev, judged, 1).take(np.arange(min(ALIKE, len(judged))))
    convs = [name for name in look.layers(before) if before.get_layer(name).weights]
    drawn = [convs[i] for i in sorted({0, len(convs) // 2, len(convs) - 1})]
    rows, pixels, label = [], images.images.astype(np.float32), images.manifest["label"][0]
    for number, layer in enumerate(convs):  # one at a time: all of a large net's maps are a lot
        maps = {"pre-trained": look.feature_maps(before, pixels, [layer])[layer]}
        began = before.get_layer(layer).get_weights()
        for name, net in after.items():
            maps[name] = look.feature_maps(net, pixels, [layer])[layer]
            alike = transfer.cka(maps["pre-trained"], maps[name])
            moved = transfer.change(began, net.get_layer(layer).get_weights())
            rows.append({"strategy": name, "layer": layer, "cka": alike, "change": moved})
        if layer in drawn:
            picture = look.feature_figure(maps, layer, images.images[0], label)
            _save(picture, f"transfer/{number:02d}_{layer}")
    title = f"{study}: what transfer changed in the backbone"
    _save(change_figure(title, rows), "transfer/changes")
    table = pd.DataFrame(rows)
    table.to_csv(paths.FIGURES / "transfer/changes.csv", index=False, float_format="%.6g")


def _probe(dev: pool.Pool, judged: np.ndarray, images: int) -> pool.Pool:
    """Images that none of the nets drawn has trained on: those that judged the first trial, the
    first `images` of them, which are shown, each of another class."""
    rows = np.flatnonzero(dev.manifest["image_id"].isin(judged))[:PROBES]
    _, firsts = np.unique(dev.labels[rows], return_index=True)
    shown = np.sort(firsts)[:images]
    return dev.take(np.concatenate([rows[shown], np.delete(rows, shown)]))


def _save(picture: look.Picture, stem: str, *lists: list) -> None:
    path = paths.FIGURES / f"{stem}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    look.save(picture, path)
    for files in lists:
        files.append(path)


if __name__ == "__main__":
    run(main)
