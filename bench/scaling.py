"""Workers side by side on trials bound by overhead, and what Ray costs a trial.

`python -m bench.scaling [rounds trials]`: the baseline of the digits at the root, in a temporary
folder, on one and on two local workers, and on Ray with two where Ray is installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import alternate, median, save
from cnnlab import params
from cnnlab.data import folds, pool, prepare
from cnnlab.data.sources import SOURCES
from cnnlab.params import Execution
from cnnlab.training import recipe
from cnnlab.training.execute import run
from cnnlab.training.job import Job

EPOCHS, K = 20, 5


class Silent:
    def epoch(self, trial, entry): ...
    def done(self, record, trained): ...
    def again(self, trial): ...


def seconds(backend: str, workers: int, trials: int) -> float:
    """Time of `run` on so many trials, start of the workers included."""
    p = params.read()
    folder = Path(tempfile.mkdtemp(prefix="bench-scaling-"))
    source = SOURCES["digits"].open_source("")
    table = prepare.select(source.table, None, [])
    drawn = prepare.draw(table, 30, 1, p.data.test_share, [], 0, seed=1)
    dev = drawn[drawn["split"] == "dev"]
    images = np.stack(source.read([source.keys[row] for row in dev["row"]]))
    pool.write(folder / "dev", images, dev)
    split = folds.make(dev, K, trials // K, seed=1)
    base = replace(recipe.base(p.model, p.train), epochs=EPOCHS, threads=1)
    job = Job("baseline", base, pool.read(folder / "dev"), split, members=1, seed=1)
    execution = Execution(workers=workers, backend=backend, gpus=0)
    plan = job.plan()
    began = time.perf_counter()
    run(job, plan, folder / "runs", execution, Silent(), os.fspath)
    return time.perf_counter() - began


def main(rounds: int, trials: int) -> None:
    cases = {"local 1": ("local", 1), "local 2": ("local", 2)}
    if importlib.util.find_spec("ray"):
        cases["ray 2"] = ("ray", 2)
    commands = {
        name: [sys.executable, "-m", "bench.scaling", "run", backend, str(workers), str(trials)]
        for name, (backend, workers) in cases.items()
    }
    values = alternate(commands, rounds, "s")
    medians = {name: median(v) for name, v in values.items()}
    result = {"trials": trials, "epochs": EPOCHS, "seconds": values}
    result["local 1 / local 2"] = medians["local 1"] / medians["local 2"]
    if "ray 2" in medians:
        result["Ray's overhead, s a run"] = medians["ray 2"] - medians["local 2"]
        result["Ray's overhead, s a trial"] = result["Ray's overhead, s a run"] / trials
    save("scaling", result)


if __name__ == "__main__":
    if sys.argv[1:2] == ["run"]:
        print(seconds(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
    else:
        main(*(int(a) for a in sys.argv[1:]) if len(sys.argv) == 3 else (3, 40))
