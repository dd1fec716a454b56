"""Head training on stored features, against passing every image through the frozen backbone.

`python -m bench.freezing STUDY [per_class epochs folds rounds]`, in turns: folds of the technique
`freeze` with the study's hyperparameters, on its prepared images (run its stages prepare, kfold and
pretrain first). The time includes that to compute the features; every fold is also scored by both
ways.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from bench import alternate, median, save

WAYS = {"stored features": 0, "image by image": None}


def run(way: str, per_class: int, epochs: int, folds: int, accuracies: str) -> None:
    """One contender, in the study's folder: prints seconds; writes accuracies to a file."""
    from dataclasses import replace

    from cnnlab import params, paths, records
    from cnnlab.data import folds as split
    from cnnlab.data import pool
    from cnnlab.run import device, worker
    from cnnlab.run.job import Job

    whole = params.read()
    freeze = whole.techniques.freeze.model_copy(update={"epochs": epochs})
    sections = replace(
        whole.sections,
        techniques=whole.techniques.model_copy(update={"freeze": freeze}),
        backbone=whole.backbone.model_copy(update={"features": WAYS[way]}),
    )
    recipe = sections.recipe(["freeze"])
    with tempfile.TemporaryDirectory() as folder:
        job = Job(
            name="freeze",
            recipe=replace(recipe, threads=os.cpu_count() or 1, evaluate_every=epochs),
            pool=pool.read(paths.PREPARED / "dev"),
            folds=split.read(paths.FOLDS),
            members=1,
            seed=whole.seed,
            device=device.kind("local", 0),
            backbone=paths.BACKBONE / records.MODEL,
            features=Path(folder, "features"),
            per_class=per_class,
        )
        material, accuracy = worker.Material.of(job), []
        began = time.perf_counter()
        for planned in job.plan()[:folds]:
            checkpoint = records.Checkpoint(Path(folder), planned.trial, planned.mark, 1e9)
            record, _ = worker.train(material, planned, checkpoint, lambda entry: None)
            accuracy.append(record.final["accuracy"])
        seconds = time.perf_counter() - began
    Path(accuracies).write_text(" ".join(map(str, accuracy)))
    print(seconds)


def main(study: str, per_class: int, epochs: int, folds: int, rounds: int) -> None:
    root, folder = Path(__file__).parents[1], Path(tempfile.mkdtemp(prefix="bench-freezing-"))
    os.environ["PYTHONPATH"] = str(root)
    contenders = {}
    for number, way in enumerate(WAYS):
        code = (
            f"import os; os.chdir({study!r}); from bench import freezing; "
            f"freezing.run({way!r}, {per_class}, {epochs}, {folds}, {str(folder / str(number))!r})"
        )
        contenders[way] = [sys.executable, "-c", code]
    seconds = alternate(contenders, rounds, "s")
    accuracy = {
        way: [float(x) for x in (folder / str(number)).read_text().split()]
        for number, way in enumerate(WAYS)
    }
    fast, slow = (median(seconds[way]) for way in WAYS)
    settings = {"per_class": per_class, "epochs": epochs, "folds": folds}
    save("freezing", {**settings, "seconds": seconds, "accuracy": accuracy, "ratio": slow / fast})


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[2:]]
    main(sys.argv[1], *[*numbers, *(100, 20, 5, 3)[len(numbers) :]])
