"""augment: what each augmentation of the study does to real dev images, before training."""

import shutil

import numpy as np

from cnnlab import params, paths
from cnnlab.data import pool
from cnnlab.look.augmentation import augmentation_figure
from cnnlab.look.figure import save
from cnnlab.processes import import_keras
from cnnlab.recipe.variants import Sections
from cnnlab.seeds import derive
from stages import run

IMAGES, DRAWS = 6, 9


def main() -> None:
    task, seed, model, train, techniques, backbone, variants = params.load(
        "task", "seed", "model", "train", "techniques", "backbone", "variants"
    )
    sections = Sections(model, train, techniques, backbone, task)
    dev = pool.read(paths.PREPARED / "dev")
    # The first image of as many classes as there is room for.
    _, firsts = np.unique(dev.labels, return_index=True)
    shown = dev.take(np.sort(firsts)[:IMAGES])
    shutil.rmtree(paths.AUGMENT, ignore_errors=True)
    paths.AUGMENT.mkdir(parents=True)
    for name in sorted({*train.techniques, *variants.techniques}):
        policy = sections.alone(name)
        if policy.ops:
            import_keras()
            draw = derive(seed, "augment", name)
            labels = list(shown.manifest["label"])
            picture = augmentation_figure(policy, name, shown.images, labels, DRAWS, draw)
            save(picture, paths.AUGMENT / f"{name}.png")
    if not any(paths.AUGMENT.iterdir()):  # Git keeps no empty folder, and DVC would miss it
        (paths.AUGMENT / "none.md").write_text("No variant of this study is augmented.\n")


if __name__ == "__main__":
    run(main)
