"""pretrain: the backbone that starts begin from, trained here or with weights that others have
trained."""

from cnnlab import params, paths, records
from cnnlab.data import folds, pool
from cnnlab.observed import run_observed
from cnnlab.recipe.variants import Sections
from cnnlab.run import choice
from cnnlab.run.job import NEVER, Job
from stages import run


def main() -> None:
    study, seed, execution, model, train, techniques, backbone, data = params.load(
        "study",
        "seed",
        "execution",
        "model",
        "train",
        "techniques",
        "backbone",
        "data",
    )
    paths.BACKBONE.mkdir(parents=True, exist_ok=True)
    recipe = Sections(model, train, techniques, backbone).pretraining()
    images = pool.read(paths.PREPARED / "pretrain")
    if backbone.weights != "pretrain":
        _import(recipe, images.images.shape[1:], backbone)
    elif data.pretrain.task:
        # A fifth of the images is held out, to know what the backbone is worth.
        split = folds.make(images.manifest, k=5, repeats=1, seed=seed)
        split["fold"] = split["fold"].where(split["fold"] == 0, NEVER)
        job = Job(
            name="backbone",
            recipe=recipe,
            pool=images,
            folds=split,
            members=1,
            seed=seed,
            device=choice.kind(execution, recipe, images.images.shape[1:], images.task),
        )
        run_observed(job, paths.BACKBONE, execution, study, "backbone")
    else:
        records.prune(paths.BACKBONE, [])  # no variant begins at a backbone


def _import(recipe, shape, backbone) -> None:
    """Write the backbone with the weights that params name, instead of training it."""
    from cnnlab.train import weights  # imports TensorFlow

    body = weights.backbone(recipe, shape, backbone.weights, backbone.sha256)
    records.prune(paths.BACKBONE, [])
    records.save_model(body, paths.BACKBONE / records.MODEL)


if __name__ == "__main__":
    run(main)
