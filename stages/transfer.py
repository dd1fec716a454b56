"""transfer STRATEGY: from the backbone to the target classes, on the same folds as train."""

from cnnlab import params, paths
from cnnlab.data import folds, pool
from cnnlab.strategies import STRATEGIES
from cnnlab.training import recipe, records
from cnnlab.training.job import Job
from cnnlab.training.observed import run_observed
from stages import run


def main(strategy: str) -> None:
    study, seed, execution, model, train, techniques, names, options, learnt = params.load(
        "study",
        "seed",
        "execution",
        "model",
        "train",
        "techniques",
        "transfer.techniques",
        f"strategies.{strategy}",
        "data.pretrain.classes",
    )
    dev = pool.read(paths.PREPARED / "dev")
    target = recipe.apply(recipe.base(model, train), names, techniques)
    target = STRATEGIES[strategy].apply(target, options)
    job = Job(
        name=strategy,
        recipe=target,
        pool=dev.of_classes(set(dev.classes) - set(learnt)),
        folds=folds.read(paths.FOLDS),
        members=train.members,
        seed=seed,
        backbone=paths.BACKBONE / records.MODEL if target.start == "backbone" else None,
    )
    run_observed(job, paths.TRANSFER / strategy, execution, study, "strategy")


if __name__ == "__main__":
    run(main)
