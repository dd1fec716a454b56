"""screen: within minutes, what techniques do to the head of the frozen backbone, on the folds of
the study; trained on features that are computed once."""

import shutil
from collections.abc import Sequence

import pandas as pd

from cnnlab import params, paths, records, report
from cnnlab.compare import comparison, screening, tables
from cnnlab.compare.designs import PLACEBO, named
from cnnlab.compare.options import Design
from cnnlab.data import folds, pool
from cnnlab.errors import UserError
from cnnlab.observed import run_all_observed
from cnnlab.plugins import chosen
from cnnlab.recipe.techniques import starts
from cnnlab.recipe.variants import Sections
from cnnlab.run import choice
from cnnlab.run.job import Job
from stages import run

START = "freeze"


def main() -> None:
    study, seed, folding, execution, variants, options = params.load(
        "study", "seed", "folds", "execution", "variants", "compare"
    )
    task, model, train, techniques, backbone = params.load(
        "task", "model", "train", "techniques", "backbone"
    )
    sections = Sections(model, train, techniques, backbone, task)
    wanted = [name for on in variants.every.values() for name in on]
    studied = [t for t in dict.fromkeys(wanted) if t not in (*starts(), PLACEBO)]
    why, acting, left_out = _screened(sections, studied, bool(variants.transfer))
    kind, sets = screening.sets(acting)
    screened = named([on | {START} for on in sets], acting, [START]) if not why else {}
    paths.SCREENED.mkdir(parents=True, exist_ok=True)
    for folder in paths.SCREENED.iterdir():
        if folder.name not in screened:
            shutil.rmtree(folder)
    dev = pool.read(paths.PREPARED / "dev")
    jobs = {
        paths.SCREENED / name: Job(
            name=name,
            recipe=(recipe := sections.recipe(on)),
            pool=dev,
            folds=folds.read(paths.FOLDS),
            members=train.members,
            seed=seed,
            device=choice.kind(execution, recipe, dev.images.shape[1:], dev.task),
            backbone=paths.BACKBONE / records.MODEL,
            features=paths.FEATURES.absolute(),
        )
        for name, on in screened.items()
    }
    done = run_all_observed(jobs, execution, study, "screen", "screening") if jobs else {}
    for folder, job in jobs.items():
        records.prune(folder, [planned.trial.key for planned in job.plan()])
    effects = pd.DataFrame(
        _effects(screened, done, kind, acting, options, dev), columns=tables.EFFECT_COLUMNS
    )
    shutil.rmtree(paths.SCREEN, ignore_errors=True)
    paths.SCREEN.mkdir(parents=True)
    path = paths.SCREEN / "effects.csv"
    effects.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    effects = report.read_table(path)
    words = report.words_of(
        options.metric,
        options.estimate,
        folding.repeats,
        effects,
        len(dev.manifest),
        probability=options.probability,
    )
    of_kind = pd.DataFrame(screening.of_techniques(effects.to_dict("records")))
    facts = {
        "study": study,
        "why": why,
        "trainings": sum(map(len, done.values())),
        "table": len(of_kind) and report.effects_table(of_kind, words, options.confidence),
        "evidence": len(of_kind) and report.evidence(of_kind, words),
        "left_out": left_out,
    }
    (paths.SCREEN / "screening.md").write_text(report.page("screening.md.j2", **facts))


def _screened(
    sections: Sections, techniques: Sequence[str], begins: bool
) -> tuple[str, list[str], dict[str, str]]:
    """Why nothing is screened, if so; which techniques act on the head alone; and which do not:
    name -> why."""
    if not begins:
        return "no variant begins at a backbone", [], {}
    if START not in chosen(sections.techniques):
        return f"the technique `{START}` has no hyperparameters in params.yaml", [], {}
    if sections.backbone.features is None:
        return "`backbone.features: null` stores no features of the backbone", [], {}
    acting, left_out = [], {}
    for name in techniques:
        try:
            sections.recipe([START, name])
        except UserError as error:
            left_out[name] = str(error)
        else:
            acting.append(name)
    return "" if acting else "no technique of the study acts on the head", acting, left_out


def _effects(screened, done, kind, acting, options, dev) -> list[dict]:
    """On the primary metric."""
    lost = {name for name in screened if records.diverged(paths.SCREENED / name)}
    kept = {name: on for name, on in screened.items() if name not in lost}
    if not kept:
        return []
    design = Design(kind=kind, techniques=acting, starts=[START], resolution=5, placebo=False)
    asked = options.model_copy(update={"pairs": []})
    contrasts = comparison.contrasts_of(kept, design, asked, starts())
    grids = {name: records.cells(done[name]) for name in kept}
    return comparison.compare(grids, contrasts, options, dev.groups, metrics=()).effects


if __name__ == "__main__":
    run(main)
