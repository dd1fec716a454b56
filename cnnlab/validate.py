"""How often is the comparison wrong? `python -m cnnlab.validate` (`make validate`) at the root.

Simulates studies with no effect and with known ones (`cnnlab.compare.simulation`), compares by
the rules of params.yaml as `stages.compare` would, and writes the shares, with their binomial
intervals, as a table and a figure to reports/validity. It takes a few minutes and is no stage of
the pipeline: its result depends on the code of `cnnlab/compare` alone, not on a study.

`--train N` (`make validate TRAIN=N`) adds N real studies of no effect: the study's network without
techniques under two names, every trial with a fresh seed, the folds drawn anew for each study. They
are resumed where they were cut off; a study is 2 x `folds.k` trials.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from cnnlab import params, paths
from cnnlab.compare import METRICS, Rules, effect_rows, pair
from cnnlab.compare import simulation as sim
from cnnlab.errors import UserError
from cnnlab.seeds import derive

FOLDER = paths.REPORTS / "validity"
TRAINED = Path("data/validity")  # records of `--train`
SEED = 5

BASE, WIDER = 16, (18, 20, 24, 28, 36, 48)
NONE = [
    (sim.Setting("no effect, 1 x 5 folds", BASE, (BASE,), repeats=1), 2000),
    (sim.Setting("no effect, 3 x 5 folds", BASE, (BASE,)), 2000),
    (sim.Setting("no effect, 10 x 5 folds", BASE, (BASE,), repeats=10), 1000),
    (sim.Setting("no effect, 3 x 10 folds", BASE, (BASE,), folds=10), 1000),
    (sim.Setting("five techniques, none has an effect", BASE, (BASE,) * 5), 1000),
]
SOME = [(sim.Setting(f"width {BASE} to {width}", BASE, (width,)), 500) for width in WIDER]
GAUSSIAN = ("no effect, correlated as assumed", 5, 3, 4000)


def rules_of(options, metric: str = "accuracy") -> Rules:
    """The rules of params.yaml, on one metric."""
    return Rules(
        metric=metric,
        higher_is_better=METRICS[metric].higher_is_better,
        rope=getattr(options.rope, metric),
        confidence=options.confidence,
        alpha=options.alpha,
        probability=options.probability,
    )


def row_of(tally: sim.Tally, confidence: float) -> dict:
    """One row of simulated.csv: setting, (true) effect, studies, and shares of studies, each with
    the ends of its interval, _low and _high:

        clear     significant after Holm's correction (of several techniques: any of them)
        sign      of those significant, the wrong way round; empty where none is
        covered   the interval of the first effect holds the true one
        helps, hurts, same   its verdict (same: no practical difference)
        naive     significant by the plain paired t test
        mcnemar   significant by McNemar's test of the first repeat; empty without images
    """
    row: dict = {"setting": tally.setting.name, "effect": tally.effect, "studies": tally.studies}
    counts = {
        "clear": (tally.clear, tally.studies),
        "sign": (tally.wrong_sign, tally.clear),
        "covered": (tally.covered, tally.studies),
        "helps": (tally.verdicts["helps"], tally.studies),
        "hurts": (tally.verdicts["hurts"], tally.studies),
        "same": (tally.verdicts["no practical difference"], tally.studies),
        "naive": (tally.naive, tally.studies),
        "mcnemar": (tally.mcnemar, tally.studies),
    }
    for name, (count, of) in counts.items():
        shares = sim.share(count, of, confidence) if of else ("", "", "")  # no study: no share
        row |= dict(zip((name, f"{name}_low", f"{name}_high"), shares, strict=True))
    if tally.setting.baseline == 0:  # normal differences, no images
        row |= {"mcnemar": "", "mcnemar_low": "", "mcnemar_high": ""}
    return row


def train(studies: int) -> None:
    """Real studies of no effect, one after another; writes trained.csv, a row a study."""
    from cnnlab import records
    from cnnlab.data import folds, pool
    from cnnlab.progress import bar
    from cnnlab.run import device, execute
    from cnnlab.run.job import Job

    class Silent:
        def epoch(self, trial, entry):
            pass

        def done(self, record, trained):
            progress.advance(note=record.trial.variant)

        def again(self, trial):
            progress.say(f"the worker of {trial.variant} {trial.key} died; tried again")

    whole = params.read()
    dev = pool.read(paths.PREPARED / "dev")
    rules = rules_of(whole.compare)
    rows = []
    with bar("validate: trials", studies * 2 * whole.folds.k) as progress:
        for number in range(studies):
            seed = derive(whole.seed, "validity", number)
            split = folds.make(dev.manifest, whole.folds.k, 1, seed)
            scores = {}
            for name in ("a", "b"):
                job = Job(
                    name=name,
                    recipe=whole.sections.recipe([]),
                    pool=dev,
                    folds=split,
                    members=1,
                    seed=derive(seed, name),
                    device=device.kind(whole.execution.backend, whole.execution.gpus),
                )
                folder = TRAINED / str(number) / name
                folder.parent.mkdir(parents=True, exist_ok=True)
                where = whole.execution.model_dump()
                done = execute.run(job, job.plan(), folder, Silent(), os.fspath, **where)
                scores[name] = records.scores(done, "accuracy")
            (row,) = effect_rows([pair("a", "b")], scores, rules)
            rows.append({"study": number, **row})
    pd.DataFrame(rows).to_csv(
        FOLDER / "trained.csv", index=False, float_format="%.6g", lineterminator="\n"
    )


def write() -> None:
    """The figure and the page from the tables."""
    from cnnlab.look.figure import save
    from cnnlab.look.validity import validity_figure
    from cnnlab.report import validity

    table = pd.read_csv(FOLDER / "simulated.csv")
    trained = FOLDER / "trained.csv"
    real = pd.read_csv(trained) if trained.exists() else None
    options = params.load("compare")
    picture = validity_figure("How often is the comparison wrong?", table, options.alpha)
    save(picture, FOLDER / "validity.png")
    (FOLDER / "README.md").write_text(validity.page(table, real, options, FOLDER / "validity.png"))


def main(arguments: list[str] | None = None) -> None:
    """Simulate, and train where asked to. Raises UserError for bad params."""
    parser = argparse.ArgumentParser(prog="python -m cnnlab.validate", description=__doc__)
    parser.add_argument("--train", type=int, metavar="N", default=0, help="real studies, >= 1")
    share = "of the simulated studies, to try it out; 0 .. 1"
    parser.add_argument("--share", type=float, default=1.0, help=share)
    asked = parser.parse_args(arguments)
    options = params.load("compare")
    rules = rules_of(options)
    FOLDER.mkdir(parents=True, exist_ok=True)
    tallies = []
    name, folds, repeats, studies = GAUSSIAN
    for setting, count in [*NONE, *SOME]:
        print(f"{setting.name} ...", file=sys.stderr, flush=True)
        tallies.append(sim.run(setting, max(1, int(count * asked.share)), rules, SEED))
    count = max(1, int(studies * asked.share))
    normal = sim.run_gaussian(name, folds, repeats, count, rules, SEED)
    rows = [row_of(tally, options.confidence) for tally in [normal, *tallies]]
    pd.DataFrame(rows).to_csv(
        FOLDER / "simulated.csv", index=False, float_format="%.6g", lineterminator="\n"
    )
    if asked.train:
        train(asked.train)
    write()


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"error: {error}")
