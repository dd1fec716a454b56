"""decide: more repeats of the cross-validation, but only where an effect is still undecided, until
all are decided, or `decide.max_repeats` is reached, or only more images could decide."""

import shutil
from collections.abc import Mapping

from cnnlab import params, paths, records
from cnnlab.compare import comparison, tables
from cnnlab.compare.contrasts import Contrast
from cnnlab.compare.scores import mean_outputs
from cnnlab.data import folds, pool
from cnnlab.observed import run_all_observed
from cnnlab.recipe.techniques import starts
from cnnlab.recipe.variants import Sections
from cnnlab.run import choice
from cnnlab.run.job import Job
from cnnlab.tasks import TASKS
from stages import run


def main() -> None:
    study, seed, split, execution, model, train, techniques, backbone = params.load(
        "study", "seed", "folds", "execution", "model", "train", "techniques", "backbone"
    )
    task, design, variants, options, decide = params.load(
        "task", "design", "variants", "compare", "decide"
    )
    dev, most = pool.read(paths.PREPARED / "dev"), decide.max_repeats
    every = records.without_diverged(variants.every, paths.RUNS)

    def watched() -> list[Contrast]:
        """The contrasts that answer first."""
        contrasts = comparison.contrasts_of(every, design, options, starts())
        kinds = tables.watched({contrast.kind for contrast in contrasts})
        return [contrast for contrast in contrasts if contrast.kind in kinds]

    wanted = most is not None and watched()
    _keep_only(every if wanted else {})
    if not wanted:
        return

    sections = Sections(model, train, techniques, backbone, task)
    splits = folds.make(dev.manifest, split.k, most, seed)

    def job(name: str, repeats: int) -> Job:
        """The further repeats of a variant, up to so many in all."""
        recipe = sections.recipe(variants.every[name])
        return Job(
            name=name,
            recipe=recipe,
            pool=dev,
            folds=splits[splits["repeat"].between(split.repeats, repeats - 1)],
            members=train.members,
            seed=seed,
            device=choice.kind(execution, recipe, dev.images.shape[1:], dev.task),
            backbone=paths.BACKBONE / records.MODEL if recipe.phases else None,
            features=paths.FEATURES.absolute(),
        )

    looks = tables.looks_of(split.repeats, most)
    # Repeats are not added for ensembles: no network is asked again on what others train on.
    together = None if TASKS[task].MAPS else mean_outputs
    repeats = dict.fromkeys(every, split.repeats)
    effects: list[dict] = []
    while contrasts := watched():
        grids = {name: _grid(name, repeats[name]) for name in every}
        effects = comparison.compare(
            grids, contrasts, options, dev.groups, looks, metrics=(), together=together
        ).effects
        open_ = tables.open_effects(effects, most)
        if not open_:
            break
        needed = tables.needed(open_, contrasts, repeats)
        jobs = {paths.DECIDED / name: job(name, number) for name, number in needed.items()}
        names = ", ".join(row["technique"] for row in open_)
        title = f"decide: repeat {max(needed.values())}, still open: {names}"
        run_all_observed(jobs, execution, study, "decide", title)
        repeats |= needed
        every = {name: on for name, on in every.items() if not _diverged(name, repeats[name])}
    for row in effects:
        print(f"decide: {row['technique']}: {row['verdict']} after {row['repeats']} repeats")
    for name, number in repeats.items():  # a larger decide.max_repeats may have left more
        if (paths.DECIDED / name).exists():
            last = job(name, number)
            keys = [planned.trial.key for planned in last.plan()]
            records.prune(paths.DECIDED / name, keys, networks=last.keeps_networks)


def _grid(name: str, repeats: int) -> comparison.Grid:
    """A variant's records of the first repeats."""
    every = records.read_all(paths.RUNS / name, paths.DECIDED / name)
    return records.cells([record for record in every if record.trial.repeat < repeats])


def _diverged(name: str, repeats: int) -> bool:
    """Whether one of a variant's trials of the first repeats did."""
    return any(d.trial.repeat < repeats for d in records.diverged(paths.DECIDED / name))


def _keep_only(variants: Mapping[str, list[str]]) -> None:
    """The folder of further repeats, with no other variants in it."""
    paths.DECIDED.mkdir(parents=True, exist_ok=True)
    for folder in paths.DECIDED.iterdir():
        if folder.name not in variants:
            shutil.rmtree(folder)


if __name__ == "__main__":
    run(main)
