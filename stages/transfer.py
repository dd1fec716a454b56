"""transfer STRATEGY: from the backbone to the target classes, on the same folds as train."""

import sys

from cnnlab import params, paths
from cnnlab.data import folds, pool
from cnnlab.strategies import lengthened, notes, plan
from cnnlab.training import recipe, records
from cnnlab.training.job import Job
from cnnlab.training.observed import run_observed
from stages import run


def main(strategy: str) -> None:
    study, seed, execution, model, train, techniques, transfer, options, learnt = params.load(
        "study",
        "seed",
        "execution",
        "model",
        "train",
        "techniques",
        "transfer",
        f"strategies.{strategy}",
        "data.pretrain",
    )
    dev = pool.read(paths.PREPARED / "dev")
    target = dev.of_classes(set(dev.classes) - set(learnt.taken))
    base = recipe.base(transfer.model or model, train)
    base = recipe.apply(base, transfer.techniques, techniques)
    made = plan(strategy, base, options, transfer.features)
    for note in notes(made):
        print(f"transfer {strategy}: of the techniques {note}", file=sys.stderr)
    folder = paths.TRANSFER / strategy
    records.prune_sizes(folder, transfer.per_class)
    for size in (*transfer.per_class, None):
        few = size and size * len(target.classes)
        job = Job(
            name=f"{strategy}_{size}" if size else strategy,
            recipe=lengthened(made, few, transfer.steps) if few else made,
            pool=target,
            folds=folds.read(paths.FOLDS),
            members=train.members,
            seed=seed,
            backbone=paths.BACKBONE / records.MODEL if made.phases else None,
            features=paths.FEATURES.absolute(),
            per_class=size,
        )
        where = records.of_size(folder, size)
        where.parent.mkdir(parents=True, exist_ok=True)
        run_observed(job, where, execution, study, "strategy")


if __name__ == "__main__":
    run(main)
