"""The training of the study at the root from random weights, against a plain script of the same
trials.

`python -m bench.study [rounds repeats]` prepares the study once, then in turns trains all of
`variants.train` through the stages (records, clean curves, MLflow with nested runs, model and data
set) and through bench/plain_script.py (autolog), each time in a fresh copy with a fresh store.
Where others use the machine meanwhile it says so, and exits with 1.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ruamel.yaml import YAML

from bench import Stopwatch, median, need, save
from cnnlab.params import read

ROOT = Path(__file__).parents[1]
QUIET = 0.05  # of the machine's time may go to others
PARTS = ("seconds", "cpu_seconds", "others")  # of what a stopwatch reads


def python(folder: Path, *arguments: str, **env: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        what = " ".join(arguments)
        sys.exit(f"{what} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return done.stdout


def cnnlab(folder: Path, variants: Sequence[str]) -> dict[str, float]:
    """The mean accuracy of each variant."""
    store = f"sqlite:///{folder}/mlflow.db"
    for variant in variants:
        python(folder, "stages.train", variant, MLFLOW_TRACKING_URI=store)
    return {variant: _accuracy(folder / "data/runs" / variant) for variant in variants}


def plain(folder: Path, variants: Sequence[str]) -> dict[str, float]:
    """The same by the script, which reads the variants itself."""
    printed = python(folder, "bench.plain_script", f"sqlite:///{folder}/mlflow.db")
    return json.loads(printed.splitlines()[-2])


def measured(
    train: Callable[[Path, Sequence[str]], dict[str, float]], prepared: Path, variants: list[str]
) -> tuple[dict[str, float], dict[str, float]]:
    """What it took, and the accuracies, in a copy of the prepared study that nothing has run in."""
    with tempfile.TemporaryDirectory(prefix="bench-study-") as place:
        folder = Path(place, "study")
        shutil.copytree(prepared, folder)
        watch = Stopwatch()
        accuracy = train(folder, variants)
        return watch.read(), accuracy


def main(rounds: int, repeats: int) -> None:
    need("tensorboard")
    yaml = YAML()
    # The whole, as a plain script has no defaults.
    params = read(ROOT / "params.yaml").model_dump(exclude_unset=True)
    params["folds"]["repeats"] = repeats
    params["sizes"]["per_class"] = []
    params["execution"].update(backend="local", workers=None)
    variants = list(params["variants"]["train"])
    taken: dict[str, list[dict[str, float]]] = {"cnnlab": [], "plain": []}
    accuracy = {}
    with tempfile.TemporaryDirectory(prefix="bench-study-") as place:
        prepared = Path(place)
        yaml.dump(params, prepared / "params.yaml")
        for stage in ("prepare", "kfold"):
            python(prepared, f"stages.{stage}")
        for turn in range(rounds):
            for train in (cnnlab, plain):
                name = train.__name__
                took, accuracy[name] = measured(train, prepared, variants)
                taken[name].append(took)
                print(f"round {turn + 1}: {name}: {took}", flush=True)
    parts = {part: {n: [t[part] for t in all] for n, all in taken.items()} for part in PARTS}
    seconds = {name: median(values) for name, values in parts["seconds"].items()}
    result = {
        "variants": len(variants),
        "trials": len(variants) * params["folds"]["k"] * repeats,
        "epochs": params["train"]["epochs"],
        **parts,
        "plain / cnnlab": seconds["plain"] / seconds["cnnlab"],
        "mean accuracy": {k: sum(v.values()) / len(v) for k, v in accuracy.items()},
        "accuracy": accuracy,
    }
    save("study", result)
    busy = max(max(values) for values in parts["others"].values())
    if busy > QUIET:
        sys.exit(
            f"not clean: others used {busy:.0%} of the machine's time in a round; run it again"
        )


def _accuracy(folder: Path) -> float:
    finals = [json.loads(p.read_text())["metrics"]["accuracy"] for p in folder.glob("r*.json")]
    return sum(finals) / len(finals)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:])) if len(sys.argv) == 3 else main(1, 3)
