"""The training of the study at the root from random weights, against a plain script of the same
trials.

`python -m bench.study [rounds repeats]` copies the study into a temporary folder, prepares it once
then in turns trains all of `variants.train` through the stages (records, clean curves, MLflow with
nested runs, model and data set) and through bench/plain_script.py (autolog).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from bench import median, save

ROOT = Path(__file__).parents[1]


def python(folder: Path, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return done.stdout


def main(rounds: int, repeats: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-study-"))
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    params["folds"]["repeats"] = repeats
    params["sizes"]["per_class"] = []
    yaml.dump(params, folder / "params.yaml")
    for stage in ("prepare", "kfold"):
        python(folder, f"stages.{stage}")
    variants = list(params["variants"]["train"])
    seconds: dict[str, list[float]] = {"cnnlab": [], "plain": []}
    accuracy: dict[str, dict[str, float]] = {}
    for turn in range(rounds):
        shutil.rmtree(folder / "data/runs", ignore_errors=True)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/cnnlab-{turn}.db"
        began = time.perf_counter()
        for variant in variants:
            python(folder, "stages.train", variant)
        seconds["cnnlab"].append(time.perf_counter() - began)
        scores = {v: _accuracy(folder / "data/runs" / v) for v in variants}
        accuracy["cnnlab"] = scores
        printed = python(folder, "bench.plain_script", f"sqlite:///{folder}/plain-{turn}.db")
        *_, scores, taken = printed.strip().splitlines()
        seconds["plain"].append(float(taken))
        accuracy["plain"] = json.loads(scores)
        print({name: values[-1] for name, values in seconds.items()}, flush=True)
    result = {
        "variants": len(variants),
        "trials": len(variants) * params["folds"]["k"] * repeats,
        "epochs": params["train"]["epochs"],
        "seconds": seconds,
        "plain / cnnlab": median(seconds["plain"]) / median(seconds["cnnlab"]),
        "mean accuracy": {k: sum(v.values()) / len(v) for k, v in accuracy.items()},
        "accuracy": accuracy,
    }
    save("study", result)
    shutil.rmtree(folder)


def _accuracy(folder: Path) -> float:
    finals = [json.loads(p.read_text())["metrics"]["accuracy"] for p in folder.glob("r*.json")]
    return sum(finals) / len(finals)


if __name__ == "__main__":
    main(*(int(a) for a in sys.argv[1:])) if len(sys.argv) == 3 else main(1, 3)
