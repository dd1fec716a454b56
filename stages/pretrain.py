"""pretrain: the backbone that transfer starts from, learnt on other classes than the target's, or
with weights that others have learnt."""

from dataclasses import replace

from cnnlab import params, paths
from cnnlab.data import folds, pool
from cnnlab.training import recipe, records
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
    base = recipe.base(transfer.model or model, train)
    images = pool.read(paths.PREPARED / "pretrain")
    if transfer.weights != "pretrain":
        _import(base, images.images.shape[1:], transfer)
        return
    if not classes:
        return  # a study without transfer
    # A fifth of the images is held out, to know what the backbone is worth.
    split = folds.make(images.manifest, k=5, repeats=1, seed=seed)
    split["fold"] = split["fold"].where(split["fold"] == 0, NEVER)
    job = Job(
        name="backbone",
        recipe=recipe.apply(replace(base, epochs=transfer.epochs), transfer.techniques, techniques),
        pool=images,
        folds=split,
        members=1,
        seed=seed,
    )
    run_observed(job, paths.BACKBONE, execution, study, "backbone")


def _import(base: recipe.Recipe, shape: tuple[int, ...], transfer) -> None:
    """Write the backbone with the weights that params name, instead of learning them."""
    from cnnlab.training import weights  # imports TensorFlow

    net = weights.backbone(base, shape, transfer.weights, transfer.sha256)
    records.prune(paths.BACKBONE, set())
    records.save_model(net, paths.BACKBONE / records.MODEL)


if __name__ == "__main__":
    run(main)
