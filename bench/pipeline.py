"""What DVC and the records save: no-op, one variant changed, one repeat added.

`python -m bench.pipeline` copies the working tree into a temporary folder, runs the study there
with fewer epochs, then says for each change how long `dvc repro` took and how many trials it
trained.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from ruamel.yaml import YAML

from bench import median, save

ROOT = Path(__file__).parents[1]
EPOCHS, NOOPS = 5, 5


def copy(folder: Path) -> None:
    """The files of the working tree that Git knows or would take, as a repository of their own."""
    listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, check=True).stdout.decode()
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file() and not name.startswith(("reports/", "studies/")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / "dvc.lock").unlink(missing_ok=True)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)


def repro(folder: Path) -> tuple[float, int]:
    """Seconds of `dvc repro`, and trials that it trained."""
    before = records(folder)
    began = time.perf_counter()
    done = subprocess.run(["dvc", "repro"], cwd=folder, capture_output=True, text=True)
    took = time.perf_counter() - began
    assert done.returncode == 0, done.stderr[-3000:]
    return took, sum(before.get(path) != stamp for path, stamp in records(folder).items())


def records(folder: Path) -> dict[Path, int]:
    """Each record of a trial, and when it was written."""
    return {path: path.stat().st_mtime_ns for path in folder.glob("data/**/r*_f*_m*.json")}


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-pipeline-"))
    copy(folder)
    yaml = YAML()

    def change(edit) -> None:
        params = yaml.load(folder / "params.yaml")
        edit(params)
        yaml.dump(params, folder / "params.yaml")

    def shorten(p) -> None:
        p["folds"]["repeats"] = 1
        p["train"]["epochs"] = p["backbone"]["epochs"] = EPOCHS
        for options in p["techniques"].values():
            if "epochs" in (options or ()):  # a start
                options["epochs"] = EPOCHS

    change(shorten)
    steps = {"everything": repro(folder)}
    noops = [repro(folder) for _ in range(NOOPS)]
    steps["nothing"] = (median([took for took, _ in noops]), max(n for _, n in noops))
    change(lambda p: p["techniques"]["dropout"].update(rate=0.25))
    steps["dropout's rate changed"] = repro(folder)
    change(lambda p: p["variants"]["train"].update(dropout_l2=["dropout", "l2"]))
    steps["one variant added"] = repro(folder)
    change(lambda p: p["folds"].update(repeats=2))
    steps["one repeat added"] = repro(folder)
    result = {name: {"seconds": took, "trials": n} for name, (took, n) in steps.items()}
    save("pipeline", {"epochs": EPOCHS, **result})
    shutil.rmtree(folder)


if __name__ == "__main__":
    main()
