"""visualize: for chosen variants, kernels before and after training, feature maps of the same
images, the images that excite each filter most, and where the net looks (Grad-CAM)."""

import shutil

import numpy as np

from cnnlab import look, params, paths, tracking
from cnnlab.data import pool
from cnnlab.errors import UserError
from cnnlab.progress import bar
from cnnlab.training import recipe, records
from cnnlab.training.initial import initial
from stages import run


def main() -> None:
    study, model, train, techniques, variants, options = params.load(
        "study", "model", "train", "techniques", "variants", "visualize"
    )
    dev = pool.read(paths.PREPARED / "dev")
    done = {name: records.read_all(paths.RUNS / name) for name in options.variants}
    firsts = {name: found[0] for name, found in done.items()}  # the trials whose nets are kept
    probe = _probe(dev, firsts, options.images)
    shutil.rmtree(paths.FIGURES, ignore_errors=True)
    views, written = {}, {name: [] for name in done}

    from cnnlab.training.fit import use_threads  # imports TensorFlow

    use_threads(train.threads)  # their number shows in the last bits
    with bar("visualize: variants", len(done)) as progress:
        for name, record in firsts.items():
            net = records.load_model(paths.RUNS / name / records.MODEL)
            made = recipe.apply(recipe.base(model, train), variants[name], techniques)
            start = initial(made, record.seed, dev.images.shape[1:], len(dev.classes))
            views[name] = look.view(net, start, record.probabilities, probe)
            progress.advance(note=name)
    for stem, names, picture in look.figures(views, probe):
        path = paths.FIGURES / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        look.save(picture, path)
        for name in names:
            written[name].append(path)
    for stem, sheet in look.sheets(views, probe):
        path = paths.SHEETS / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        look.save_sheet(sheet, path)
    for name, files in written.items():
        with tracking.Run(study, "variant", name, tracking.mark(done[name])) as parent:
            parent.attach(files, "figures")


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


if __name__ == "__main__":
    run(main)
