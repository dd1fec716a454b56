"""train VARIANT: one set of techniques through every repeat, fold and member, on all training
images and on as few as `sizes` says. dvc.yaml has it twice: `train` for variants that begin at
random weights, `transfer` for those that begin at the backbone."""

import sys

from cnnlab import params, paths, records
from cnnlab.data import folds, pool
from cnnlab.observed import run_observed
from cnnlab.recipe.variants import Sections
from cnnlab.run import choice
from cnnlab.run.job import Job
from stages import run


def main(variant: str) -> None:
    study, seed, execution, sizes = params.load("study", "seed", "execution", "sizes")
    task, model, train, techniques, backbone = params.load(
        "task", "model", "train", "techniques", "backbone"
    )
    names, sections = params.variant(variant), Sections(model, train, techniques, backbone, task)
    recipe = sections.recipe(names)
    for note in sections.notes(names):
        print(f"{variant}: {note}", file=sys.stderr)
    dev = pool.read(paths.PREPARED / "dev")
    few = sizes.per_class if variant in sizes.variants else []
    folder = paths.RUNS / variant
    folder.mkdir(parents=True, exist_ok=True)
    for size in (*few, None):
        images = size and size * dev.strata
        job = Job(
            name=f"{variant}_{size}" if size else variant,
            recipe=recipe.lengthened(images, sizes.steps) if images else recipe,
            pool=dev,
            folds=folds.read(paths.FOLDS),
            members=train.members,
            seed=seed,
            device=choice.kind(execution, recipe, dev.images.shape[1:], dev.task),
            backbone=paths.BACKBONE / records.MODEL if recipe.phases else None,
            features=paths.FEATURES.absolute(),
            per_class=size,
        )
        where = records.of_size(folder, size)
        run_observed(job, where, execution, study, "variant", few if size is None else ())


if __name__ == "__main__":
    run(main)
