"""visualize: kernels, and feature maps of the same probe images, for chosen variants."""

import shutil

import numpy as np

from cnnlab import look, params, paths, tracking
from cnnlab.data import pool
from cnnlab.progress import bar
from cnnlab.training import records
from stages import run

PROBES = 64  # images on which a filter that never answers counts as dead


def main() -> None:
    study, options = params.load("study", "visualize")
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
