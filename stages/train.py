"""train VARIANT: one set of techniques through every repeat, fold and member."""

from cnnlab import params, paths
from cnnlab.data import folds, pool
from cnnlab.training import recipe
from cnnlab.training.job import Job
from cnnlab.training.observed import run_observed
from stages import run


def main(variant: str) -> None:
    study, seed, execution, model, train, techniques, names = params.load(
        "study", "seed", "execution", "model", "train", "techniques", f"variants.{variant}"
    )
    job = Job(
        name=variant,
        recipe=recipe.variant(model, train, names, techniques),
        pool=pool.read(paths.PREPARED / "dev"),
        folds=folds.read(paths.FOLDS),
        members=train.members,
        seed=seed,
    )
    run_observed(job, paths.RUNS / variant, execution, study, "variant")


if __name__ == "__main__":
    run(main)
