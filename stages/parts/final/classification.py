"""final: the recommended variant, trained on all dev images and evaluated once on the test set."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd

from cnnlab import look, params, paths, records, tracking
from cnnlab.compare.calibration import Calibration, Worth, calibrate, sets, worth
from cnnlab.compare.judgement import Judgement, judge
from cnnlab.compare.mirrored import judge_flips
from cnnlab.compare.scores import Outcomes
from cnnlab.data import pool
from cnnlab.look.effects import calibration_figure
from cnnlab.observed import networks, run_observed
from cnnlab.processes import import_keras
from cnnlab.recipe.variants import Sections
from cnnlab.records import Trial
from cnnlab.report import final as report
from cnnlab.run import device
from cnnlab.run.job import NEVER, Job
from cnnlab.seeds import derive
from cnnlab.usage import Usage
from stages import _final


def main() -> None:
    study, seed, execution, options, final = params.load(
        "study", "seed", "execution", "compare", "final"
    )
    data = params.load("data")
    task, model, train, techniques, backbone = params.load(
        "task", "model", "train", "techniques", "backbone"
    )
    candidates = _final.candidates()
    chosen = candidates[candidates["recommended"]].iloc[0]
    dev, test = pool.read(paths.PREPARED / "dev"), _final.test_images()
    sections = Sections(model, train, techniques, backbone, task)
    recipe = sections.recipe(chosen["techniques"].split())
    outcomes = _outcomes(chosen["name"])
    groups = np.array([dev.groups[image] for image in outcomes.image_id.tolist()])
    job = _final.job(recipe, dev, seed, execution)

    import_keras(device.is_gpu(job.device))
    from cnnlab.train.answer import probabilities
    from cnnlab.train.fit import set_up

    # Their number shows in the last bits, and is fixed once a model that is there is looked into.
    set_up(train.threads, train.deterministic)
    plain, both = _both_ways(job, chosen["name"], final.flips, execution)
    flips = judge_flips(plain, both, groups, options.guard, options.confidence) if both else None
    if flips and flips.used:
        outcomes = both
    calibration = calibrate(outcomes, groups, final.coverage)
    usage = Usage(
        chosen["name"],
        list(dev.classes),
        list(dev.images.shape[1:]),
        data.resize,
        data.bad.megapixels,
        pool.scale(dev.folder),
        calibration.temperature,
        bool(flips and flips.used),
        final.coverage,
        calibration.least,
        final.false_alarms,
    )
    done = run_observed(
        job,
        paths.MODELS,
        execution,
        study,
        "final",
        answering=usage.answering,
        beside=lambda: _learn_unlike(chosen["name"], dev, final.false_alarms, seed),
    )
    usage.write(paths.MODELS)
    network = records.load_model(paths.MODELS / records.MODEL)
    alarms = _alarms(network, test)
    test = replace(test, classes=dev.classes)
    raw = probabilities(network, test.images, usage.flips)
    predicted = usage.believed(raw)
    judged = judge(
        test.labels,
        predicted,
        test.manifest["group"].to_numpy(),
        dev.classes,
        confidence=options.confidence,
        draws=options.draws,
        seed=derive(seed, "draws"),
    )
    trust = report.Trust(
        calibration,
        before=_worth(test.labels, raw, calibration.least),
        after=_worth(test.labels, predicted, calibration.least),
        alarms=alarms,
        flips=flips,
    )
    grids = _answers(outcomes, calibration, test, raw, predicted)
    files = _draw(study, chosen["name"], judged, dev.classes, grids)
    facts = _write(chosen["name"], judged, options.metric, trust)
    counts = dev.manifest["label"].value_counts().to_dict()
    section = report.section(candidates, judged, options, final, files, counts, trust)
    paths.FINAL_REPORT.write_text(section)
    card = report.card(study, chosen, recipe, dev, done[0], section, final, trust, backbone)
    paths.MODEL_CARD.write_text(card)
    with tracking.Run(study, "final", "final", tracking.mark(done, usage.answering)) as parent:
        more = {"covered": trust.after.covered, "set_size": trust.after.size, "unlike": alarms}
        parent.judged({k: v for k, v in (facts | more).items() if k != "recommended"})
        parent.attach([*files, paths.MODEL_CARD], "final")
        parent.register(study, report.about(chosen["name"], judged, dev.classes))


def _outcomes(name: str) -> Outcomes:
    """What the variant's networks predicted for the images held out from them."""
    done = records.read_all(paths.RUNS / name, paths.DECIDED / name)
    return Outcomes.of(records.cells(done), name)


def _both_ways(job: Job, name: str, asked: bool, execution) -> tuple:
    """What the networks of the first repeat's folds, trained once more as they were, say of the
    images held out from them: asked once, and about the mirror image too. (None, None) where that
    is not `asked` for."""
    from cnnlab.train.answer import probabilities

    paths.MIRRORED.mkdir(parents=True, exist_ok=True)
    split = pd.read_csv(paths.FOLDS).query("repeat == 0")
    jobs = {}
    for fold in sorted(set(split["fold"])) if asked else ():
        alone = split.assign(fold=split["fold"].where(split["fold"] == fold, NEVER))
        fold_job = replace(job, name=f"{name}, fold {fold}", folds=alone)
        jobs[paths.MIRRORED / f"fold_{fold}"] = fold_job
    for folder in set(paths.MIRRORED.iterdir()) - set(jobs):
        shutil.rmtree(folder)
    if not asked:
        return None, None
    done = networks(jobs, execution, f"{name} and mirror images: epochs")
    rows = {image: row for row, image in enumerate(job.pool.manifest["image_id"].tolist())}
    grids: list[list] = [[], []]
    for folder, record in done.items():
        network = records.load_model(folder / records.MODEL)
        held_out = job.pool.images[[rows[image] for image in record.image_id.tolist()]]
        for grid, flips in zip(grids, (False, True), strict=True):
            said = probabilities(network, held_out, flips)
            grid.append([replace(record, outputs=said)])
    return tuple(Outcomes.of([grid], name) for grid in grids)


def _worth(labels, probabilities, least: float) -> Worth:
    return worth(labels, probabilities, sets(probabilities, least))


def _learn_unlike(name: str, dev: pool.Pool, alarms: float, seed: int) -> None:
    """Write what training images are like beside the final network. The network of the variant's
    first trial says what is usual."""
    from cnnlab.train import unlike

    network = records.load_model(paths.MODELS / records.MODEL)
    runs = paths.RUNS / name
    first = records.read(runs, Trial(name, 0, 0, 0).key)
    held = np.isin(dev.manifest["image_id"], first.image_id)
    other = unlike.HeldOut(records.load_model(runs / records.MODEL), held)
    made = unlike.learn(network, dev.images, other, alarms, derive(seed, "unlike"))
    made.write(paths.MODELS)


def _alarms(network, test: pool.Pool) -> float:
    """The share of test images that are called unlike the training images."""
    from cnnlab.train import unlike

    scores = unlike.read(paths.MODELS).scores(unlike.features(network)(test.images))
    return float(np.mean(scores > 1))


def _answers(outcomes: Outcomes, calibration: Calibration, test: pool.Pool, raw, predicted) -> dict:
    """What `calibration_figure` draws: out of fold and on test, as trained and calibrated."""
    labels = outcomes.labels
    of_fold = {"as trained": outcomes.outputs, "calibrated": calibration.after_probabilities}
    grids = {
        f"out of fold, {how}": [[[_answer(labels, m) for m in repeat]] for repeat in values]
        for how, values in of_fold.items()
    }
    for how, values in (("as trained", raw), ("calibrated", predicted)):
        grids[f"test, {how}"] = [[[_answer(test.labels, values)]]]
    return grids


def _answer(labels, probabilities) -> SimpleNamespace:
    return SimpleNamespace(labels=labels, outputs=probabilities)


def _draw(study: str, name: str, judged: Judgement, classes, grids: dict) -> list:
    """The figures, as reports/final/*.png; returns the files."""
    shutil.rmtree(paths.FINAL, ignore_errors=True)
    paths.FINAL.mkdir(parents=True)
    title = f"{study}: {name} on the test images"
    figures = {
        "confusion": look.confusion_figure(title, judged.confusion, classes),
        "calibration": calibration_figure(f"{study}: how far confidence can be believed", grids),
    }
    files = {stem: paths.FINAL / f"{stem}.png" for stem in figures}
    for stem, picture in figures.items():
        look.save(picture, files[stem])
    return list(files.values())


def _confusion(judged: Judgement) -> pd.DataFrame:
    """How many images of which class were taken for which, where any were."""
    names = [row["class"] for row in judged.classes]
    true, taken = np.nonzero(judged.confusion)
    return pd.DataFrame(
        {
            "class": [names[i] for i in true],
            "predicted": [names[i] for i in taken],
            "images": judged.confusion[true, taken],
        }
    )


def _write(name: str, judged: Judgement, primary: str, trust: report.Trust) -> dict:
    """The tables in reports/final, and the headline numbers, which are returned."""
    tables = {
        "classes": pd.DataFrame(judged.classes),
        "metrics": pd.DataFrame(judged.metrics.items(), columns=["metric", "value"]),
        "confusion": _confusion(judged),
        "calibration": pd.DataFrame(trust.rows(), columns=report.TRUST_COLUMNS),
    }
    _final.write_tables(tables, paths.FINAL)
    facts = {
        "recommended": name,
        "accuracy": judged.metrics["accuracy"],
        "accuracy_low": judged.low,
        "accuracy_high": judged.high,
        **{metric: judged.metrics[metric] for metric in dict.fromkeys(["nll", primary])},
    }
    # "test.accuracy": a column of its own beside "accuracy.best", which is out of fold.
    rounded = {k: round(v, 6) for k, v in facts.items() if k != "recommended"}
    shown = {"recommended": name, "test": rounded}
    paths.FINAL_FACTS.write_text(json.dumps(shown, indent=2, ensure_ascii=False) + "\n")
    return facts
