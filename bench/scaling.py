"""Workers side by side on trials bound by overhead, and what Ray costs a trial.

`python -m bench.scaling [rounds trials]`: the baseline of the digits at the root, in a temporary
folder, on one and on two local workers, and on Ray with two where Ray is installed.
"""

from __future__ import annotations

import importlib.util
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
from cnnlab.run import device
from cnnlab.run.execute import run
from cnnlab.run.job import Job

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
    drawn = prepare.draw(
        table,
        dev_per_class=30,
        test_per_class=1,
        test_share=p.data.test_share,
        pretrain_classes=[],
        pretrain_images=0,
        seed=1,
    )
    dev = drawn[drawn["split"] == "dev"]
    images = np.stack(source.read([source.keys[row] for row in dev["row"]]))
    pool.write(folder / "dev", images, dev)
    split = folds.make(dev, K, trials // K, seed=1)
    base = replace(p.sections.recipe([]), epochs=EPOCHS, threads=1)
    dev, kind = pool.read(folder / "dev"), device.kind(backend, 0)
    job = Job("baseline", base, dev, split, members=1, seed=1, device=kind)
    plan = job.plan()
    began = time.perf_counter()
    run(job, plan, folder / "runs", Silent(), backend, workers)
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
