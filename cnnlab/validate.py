"""How often is the comparison wrong? `python -m cnnlab.validate` (`make validate`) at the root.

Counts errors of `cnnlab.compare` in studies whose true effects are known (`compare.validity`), by
the rules of params.yaml, and writes tables, a figure and a page to reports/validity:

- recorded studies: outcomes of 164,700 trainings of a small CNN, `../shared/data/validity` beside
  the clone or the folder of `--outcomes`. Where a set is not there, its rows of the committed
  tables stay, and what is lacking is said. (recorded.csv, sequential.csv, recommended.csv)
- simulated studies (`compare.simulation`). (simulated.csv, correlated.csv)
- `--train N` (`make validate TRAIN=N`): N real studies of no effect: the study's network without
  techniques under two names, every trial with a fresh seed, the folds drawn anew for each study.
  They are resumed where they were cut off; a study is 2 x `folds.k` trials. (trained.csv)

It takes some minutes and is no stage of the pipeline: its result depends on the code of
`cnnlab/compare` alone, not on a study.

A set of outcomes is a file SET_c.npz. `perm`, int (studies, repeats, images): the order of a
study's images; fold f holds the images perm[f * m : (f + 1) * m], m = images / 5. `cVARIANT`: bits,
(studies, repeats, images), packed: whether each image was predicted right when it was held out. A
variant is six digits, 0 or 1: the stream of seeds, then augment, batchnorm, dropout, l1, l2 off or
on.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cnnlab import params, paths, processes
from cnnlab.compare import designs, validity
from cnnlab.compare import simulation as sim
from cnnlab.compare.comparison import rules_of
from cnnlab.compare.contrasts import Contrast, pair
from cnnlab.compare.inference import Split
from cnnlab.compare.tables import Looks, Rules
from cnnlab.compare.validity import RATE_COLUMNS, Study
from cnnlab.errors import run_command
from cnnlab.progress import bar
from cnnlab.seeds import derive

FOLDER = paths.REPORTS / "validity"
TRAINED = Path("data/validity")  # records of `--train`
SEED = 5

# Recorded studies.
FOLDS = 5
TECHNIQUES = ("augment", "batchnorm", "dropout", "l1", "l2")
SETS = {"a": (1, 3), "b": (1, 3, 10), "c": (1, 3), "d": (1, 3)}  # and after how many repeats
RECOMMENDED = ("a", "d")  # sets of whole stars
SEQUENTIAL, LOOKS = "b", (Looks(first=3, most=10), Looks(first=1, most=10))

# Simulated studies: how many of each setting.
BASE, WIDER = 16, (18, 20, 24, 28, 36, 48)
ALIKE, RARE = sim.World(group=4), sim.World(frequent=(0.6, 0.25, 0.1, 0.05))
SETTINGS = [
    (sim.Setting("no effect", BASE, (BASE,)), 2000),
    (sim.Setting("no effect, 10 repeats", BASE, (BASE,), repeats=10), 1000),
    (sim.Setting("no effect, 10 folds", BASE, (BASE,), folds=10), 1000),
    (sim.Setting("no effect, five techniques", BASE, (BASE,) * 5), 1000),
    (sim.Setting("no effect, near duplicates", BASE, (BASE,), world=ALIKE), 1000),
    (sim.Setting("no effect, rare classes", BASE, (BASE,), world=RARE), 1000),
    *((sim.Setting(f"width {BASE} to {width}", BASE, (width,)), 1000) for width in WIDER),
    (sim.Setting(f"width {BASE} to 24, near duplicates", BASE, (24,), world=ALIKE), 1000),
    (sim.Setting(f"width {BASE} to 24, rare classes", BASE, (24,), world=RARE), 1000),
]
NETWORKS = 2000  # whose mean is the true score of a width
METRICS = ("accuracy", "macro_f1", "mcc")  # those of predicted classes
CORRELATED = 1000  # studies whose folds are correlated as the corrected t assumes


@dataclass(frozen=True)
class Outcomes:
    """One set of recorded studies; dicts are by variant."""

    order: np.ndarray  # int (studies, repeats, images), `perm`
    right: dict[str, np.ndarray]  # bool (studies, repeats, images)

    @classmethod
    def read(cls, path: Path) -> Outcomes:
        with np.load(path) as file:
            order = file["perm"]
            bits = {name[1:]: file[name] for name in file.files if name[0] == "c"}
        right = {
            name: np.unpackbits(packed, count=order.size).reshape(order.shape).astype(bool)
            for name, packed in bits.items()
        }
        return cls(order, right)

    @property
    def techniques(self) -> dict[str, list[str]]:
        """What is on."""
        switches = (designs.PLACEBO, *TECHNIQUES)
        return {
            name: [t for t, on in zip(switches, name, strict=True) if on == "1"]
            for name in self.right
        }

    @property
    def truth(self) -> dict[str, float]:
        """The true score: the mean over all studies, each of which has images of its own."""
        means = {name: float(right.mean()) for name, right in self.right.items()}
        return {name: means["0" + name[1:]] for name in means}  # other seeds change nothing

    def studies(self, count: int, names: Iterator[str] | None = None) -> Iterator[Study]:
        """The first studies, with these variants or all."""
        shape = self.order.shape[1:]
        fold = np.empty(shape, np.int64)
        of_place = np.broadcast_to(np.arange(shape[1]) * FOLDS // shape[1], shape)
        for number in range(count):
            np.put_along_axis(fold, self.order[number], of_place, axis=1)
            values = {n: self.right[n][number].astype(float) for n in names or self.right}
            yield Study(values, Split(fold.copy(), np.arange(shape[1])))

    def contrasts(self, sets: designs.Sets) -> list[Contrast]:
        """All effects of variants with these sets of techniques (of none: of all variants), and
        what other seeds do to the baseline and to the variant with all techniques."""
        real = {n: on for n, on in self.techniques.items() if not sets or frozenset(on) in sets}
        real = {n: on for n, on in real.items() if designs.PLACEBO not in on}
        nothing = [
            Contrast(name, "placebo", {other: 1.0, first: -1.0})
            for name, other, first in (
                ("other seeds", "100000", "000000"),
                ("other seeds of all", "111111", "011111"),
            )
            if other in self.right
        ]
        return [*designs.effects(real, sets, TECHNIQUES, order=1), *nothing]


def recorded(path: Path, share: float, repeats: int, rules: Rules) -> list[dict]:
    """Rates of one set after some repeats; besides, of main effects by the full factorial, where
    all of its variants are there."""
    outcomes = Outcomes.read(path)
    name, count = path.name[0], _some(len(outcomes.order), share)
    methods, variants = validity.methods_of(rules), outcomes.techniques.values()
    star = designs.star(TECHNIQUES)
    whole = all(sorted(on) in map(sorted, variants) for on in star)
    families = {name: outcomes.contrasts(star if whole else [])}
    if len(outcomes.right) > 2 ** len(TECHNIQUES):
        every = outcomes.contrasts(designs.full(TECHNIQUES))
        families[f"{name}, factorial"] = [c for c in every if c.kind == "main"]
    rows = []
    for label, contrasts in families.items():
        used = {v for c in contrasts for v in c.weights}
        studies = outcomes.studies(count, sorted(used))
        of_set = validity.rates(studies, contrasts, outcomes.truth, methods, [repeats])
        images = outcomes.order.shape[2]
        rows += [{"set": label, "images": images, **row} for row in of_set]
    return rows


def looked_at(path: Path, share: float, looks: Looks, number: int, rules: Rules) -> list[dict]:
    """Sequential repeats of one effect of a set."""
    outcomes = Outcomes.read(path)
    contrasts = outcomes.contrasts([])
    if number >= len(contrasts):
        return []
    contrast = contrasts[number]
    studies = list(outcomes.studies(_some(len(outcomes.order), share), sorted(contrast.weights)))
    effect = validity.effect_of(contrast, outcomes.truth)
    row = validity.sequential(studies, contrast, effect, rules, looks)
    return [{"set": path.name[0], "kind": contrast.kind, **row}]


def taken_home(path: Path, share: float, repeats: int, rules: Rules, sure: float) -> list[dict]:
    """What the recommended variants of a star lose."""
    outcomes, star = Outcomes.read(path), designs.star(TECHNIQUES)
    techniques = {n: on for n, on in outcomes.techniques.items() if frozenset(on) in star}
    studies = outcomes.studies(_some(len(outcomes.order), share), list(techniques))
    short = [study.first(repeats) for study in studies]
    methods = validity.methods_of(rules)
    return [
        {"set": path.name[0], "method": method, **row}
        for method in ("crossed", "corrected t")
        for row in validity.losses(short, techniques, outcomes.truth, methods[method], sure)
    ]


def simulated(setting: sim.Setting, count: int, networks: int, rules: dict) -> list[dict]:
    """Rates of one setting, after one repeat and after all, on each metric; by `rules`: metric ->
    rules."""
    studies = list(sim.simulate(setting, count, SEED))
    rows = []
    for metric, of_metric in rules.items():
        methods = validity.methods_of(of_metric)
        if metric != "accuracy":
            methods = {"crossed": methods["crossed"]}
        truth = setting.truth(metric, SEED, networks)
        measured = [study.measured(metric) for study in studies]
        repeats = [1, setting.repeats]
        of_setting = validity.rates(measured, setting.contrasts, truth, methods, repeats)
        rows += [{"setting": setting.name, "metric": metric, **row} for row in of_setting]
    return rows


def correlated(count: int, rules: Rules) -> list[dict]:
    """Rates where folds are correlated as the corrected t assumes, without any network."""
    studies = sim.correlated(400, FOLDS, 3, count, SEED)
    contrast = Contrast("nothing", "alone", {"with": 1.0, "baseline": -1.0})
    methods = validity.methods_of(rules)
    truth = {"with": 0.0, "baseline": 0.0}
    return validity.rates(studies, [contrast], truth, methods, [1, 3])


def _some(count: int, share: float) -> int:
    return max(2, round(count * share))


def train(count: int) -> list[dict]:
    """Rates of real studies of no effect, one after another."""
    from cnnlab import records
    from cnnlab.compare.scores import Outcomes, split_of
    from cnnlab.data import folds, pool
    from cnnlab.run import choice, execute
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
    groups, recipe = dev.groups, whole.sections.recipe([])
    rules = rules_of("accuracy", whole.compare)

    def studies() -> Iterator[Study]:
        for number in range(count):
            seed = derive(whole.seed, "validity", number)
            outcomes = {}
            for name in ("a", "b"):
                job = Job(
                    name=name,
                    recipe=recipe,
                    pool=dev,
                    folds=folds.make(dev.manifest, whole.folds.k, 1, seed),
                    members=1,
                    seed=derive(seed, name),
                    device=choice.kind(whole.execution, recipe, dev.images.shape[1:], dev.task),
                )
                folder = TRAINED / str(number) / name
                folder.parent.mkdir(parents=True, exist_ok=True)
                where = whole.execution.where
                done = execute.run(job, job.plan(), folder, Silent(), os.fspath, **where)
                outcomes[name] = Outcomes.of(records.cells(done), name)
            of_each = sim.METRICS["accuracy"].values
            values = {n: o.of_each(of_each).mean(axis=2) for n, o in outcomes.items()}
            yield Study(values, split_of(outcomes, groups))

    with bar("validate: trials", count * 2 * whole.folds.k) as progress:
        methods, truth = validity.methods_of(rules), {"a": 0.0, "b": 0.0}
        return validity.rates(studies(), [pair("a", "b")], truth, methods, [1])


@dataclass(frozen=True)
class Task:
    """Some rows of one table, to be made in a process of its own."""

    table: str
    rows_of: Callable[..., list[dict]]
    given: tuple


def tasks_of(outcomes: Path, share: float, options: params.Params) -> list[Task]:
    """All that is to be counted, the longest first; of the sets that `outcomes` holds."""
    of_metric = {metric: rules_of(metric, options.compare) for metric in METRICS}
    rules, sure = of_metric["accuracy"], options.final.probability
    file = {name: outcomes / f"{name}_c.npz" for name in SETS if name not in lacking(outcomes)}
    tasks = []
    if SEQUENTIAL in file:
        asked = [(looks, number) for looks in LOOKS for number in range(5)]
        tasks += [
            Task("sequential", looked_at, (file[SEQUENTIAL], share, *each, rules)) for each in asked
        ]
    for name in file:
        tasks += [Task("recorded", recorded, (file[name], share, r, rules)) for r in SETS[name]]
    for name in RECOMMENDED:
        for repeats in SETS[name] if name in file else ():
            given = (file[name], share, repeats, rules, sure)
            tasks.append(Task("recommended", taken_home, given))
    for setting, count in SETTINGS:
        given = (setting, _some(count, share), _some(NETWORKS, share), of_metric)
        tasks.append(Task("simulated", simulated, given))
    return [*tasks, Task("correlated", correlated, (_some(CORRELATED, share), rules))]


def lacking(outcomes: Path) -> list[str]:
    """Names of the sets of recorded studies that are not there."""
    return [name for name in SETS if not (outcomes / f"{name}_c.npz").is_file()]


def count(tasks: list[Task]) -> dict[str, pd.DataFrame]:
    """The tables, on all cores."""
    rows: dict[str, list[dict]] = {}
    context = multiprocessing.get_context("spawn")
    workers = ProcessPoolExecutor(processes.cores(), context, initializer=processes.end_with_parent)
    with workers as pool, bar("validate: counts", len(tasks)) as progress:
        futures: list[tuple[str, Future]] = [
            (task.table, pool.submit(task.rows_of, *task.given)) for task in tasks
        ]
        for table, future in progress.each(futures):
            rows.setdefault(table, []).extend(future.result())
    return {name: pd.DataFrame(of_table) for name, of_table in rows.items()}


def write(tables: dict[str, pd.DataFrame]) -> None:
    """Bring the tables up to date. Sets that were not counted keep their rows."""
    for name, table in tables.items():
        path = FOLDER / f"{name}.csv"
        if "set" in table and path.exists():
            old = pd.read_csv(path)
            kept = old[~old["set"].str[0].isin(table["set"].str[0])]
            table = pd.concat([kept, table]) if len(kept) else table
            table = table.sort_values("set", kind="stable")
        table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")


def draw(outcomes: Path) -> None:
    """The figure and the page, from the tables."""
    from cnnlab.look.figure import save
    from cnnlab.look.validity import validity_figure
    from cnnlab.report import validity as report

    names = ("recorded", "sequential", "recommended", "simulated", "correlated", "trained")
    files = {name: FOLDER / f"{name}.csv" for name in names}
    tables = {name: pd.read_csv(path) for name, path in files.items() if path.exists()}
    options, absent = params.load("compare"), lacking(outcomes)
    picture = validity_figure("How often is the comparison wrong?", tables, options.alpha)
    save(picture, FOLDER / "validity.png")
    text = report.page(tables, options, FOLDER / "validity.png", absent)
    (FOLDER / "README.md").write_text(text)


def main(arguments: list[str] | None = None) -> None:
    """Count, and train where asked to. Raises UserError for bad params."""
    parser = argparse.ArgumentParser(prog="python -m cnnlab.validate", description=__doc__)
    parser.add_argument("--train", type=int, metavar="N", default=0, help="real studies, >= 1")
    share = "of the studies that are counted, to try it out; 0 .. 1"
    parser.add_argument("--share", type=float, default=1.0, help=share)
    beside = paths.workspace().parent / "shared/data/validity"
    recorded_in = f"folder of recorded studies; default: {beside}"
    parser.add_argument(
        "--outcomes", type=paths.typed, default=beside, metavar="PATH", help=recorded_in
    )
    asked = parser.parse_args(arguments)
    FOLDER.mkdir(parents=True, exist_ok=True)
    absent = [f"{name}_c.npz" for name in lacking(asked.outcomes)]
    if absent:
        print(
            f"validate: {asked.outcomes} lacks {', '.join(absent)}: no recorded studies are counted"
            " of them; rows of committed tables stay",
            file=sys.stderr,
        )
    write(count(tasks_of(asked.outcomes, asked.share, params.read())))
    if asked.train:
        write({"trained": pd.DataFrame(train(asked.train), columns=RATE_COLUMNS)})
    draw(asked.outcomes)


if __name__ == "__main__":
    run_command(main)
