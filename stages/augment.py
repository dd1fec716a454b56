"""augment: what each augmentation under `techniques` does to real dev images, before training."""

import shutil

import numpy as np

from cnnlab import params, paths
from cnnlab.data import pool
from cnnlab.look.augmentation import augmentation_figure
from cnnlab.look.figure import save
from cnnlab.plugins import chosen
from cnnlab.seeds import derive
from cnnlab.training import recipe
from stages import run

IMAGES, DRAWS = 6, 9


def main() -> None:
    seed, model, train, techniques = params.load("seed", "model", "train", "techniques")
    dev = pool.read(paths.PREPARED / "dev")
    # The first image of as many classes as there is room for.
    _, firsts = np.unique(dev.labels, return_index=True)
    shown = dev.take(np.sort(firsts)[:IMAGES])
    shutil.rmtree(paths.AUGMENT, ignore_errors=True)
    paths.AUGMENT.mkdir(parents=True)
    for name in chosen(techniques):
        policy = recipe.apply(recipe.base(model, train), [name], techniques)
        if policy.ops:
            picture = augmentation_figure(
                policy,
                name,
                shown.images,
                list(shown.manifest["label"]),
                DRAWS,
                derive(seed, "augment", name),
            )
            save(picture, paths.AUGMENT / f"{name}.png")


if __name__ == "__main__":
    run(main)
