"""pretrain: the backbone that transfer starts from, learnt on other classes than the target's."""

from dataclasses import replace

from cnnlab import params, paths
from cnnlab.data import folds, pool
from cnnlab.training import recipe
from cnnlab.training.job import NEVER, Job
from cnnlab.training.observed import run_observed
from stages import run


def main() -> None:
    study, seed, execution, model, train, techniques, transfer, classes = params.load(
        "study",
        "seed",
        "execution",
        "model",
        "train",
        "techniques",
        "transfer",
        "data.pretrain.classes",
    )
    paths.BACKBONE.mkdir(parents=True, exist_ok=True)
    if not classes:
        return  # a study without transfer
    images = pool.read(paths.PREPARED / "pretrain")
    # A fifth of the images is held out, to know what the backbone is worth.
    split = folds.make(images.manifest, k=5, repeats=1, seed=seed)
    split["fold"] = split["fold"].where(split["fold"] == 0, NEVER)
    base = replace(recipe.base(model, train), epochs=transfer.epochs)
    job = Job(
        name="backbone",
        recipe=recipe.apply(base, transfer.techniques, techniques),
        pool=images,
        folds=split,
        members=1,
        seed=seed,
    )
    run_observed(job, paths.BACKBONE, execution, study, "backbone")


if __name__ == "__main__":
    run(main)
