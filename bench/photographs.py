"""Memory of training from a backbone at 224x224 pixels, on photographs of mixed sizes.

`python -m bench.photographs [images]` makes JPEG files of 0.3 to 12 megapixels, prepares them, and
trains a MobileNet, frozen (on stored features) and fine-tuned, for one fold and epoch each. Memory
is that of all processes of a stage together (PSS), sampled, with one worker.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image
from ruamel.yaml import YAML

from bench import save, watched

ROOT = Path(__file__).parents[1]
SIZE, BATCH = 224, 32
COLOURS = ("white", "cyan", "blue", "grey")  # two for the backbone, two for the study
SIDES = [(640, 480), (1600, 1200), (3000, 2000), (4000, 3000)]  # pixels


def photographs(folder: Path, n: int) -> None:
    """Coloured clouds, whose colour tells the class, as large as photographs are."""
    rng = np.random.default_rng(0)
    for i in range(n):
        label = COLOURS[i % len(COLOURS)]
        clouds = rng.integers(0, 200, (12, 16, 3))
        clouds[..., i % len(COLOURS) :] += 55
        size = SIDES[i // len(COLOURS) % len(SIDES)]
        picture = Image.fromarray(clouds.astype(np.uint8)).resize(size)
        (folder / label).mkdir(parents=True, exist_ok=True)
        picture.save(folder / label / f"{i}.jpg")


def main(images: int) -> None:
    folder = Path(tempfile.mkdtemp(prefix="bench-photographs-"))
    photographs(folder / "data/raw", images)
    (folder / "data/raw_pretrain").mkdir()
    yaml = YAML()
    params = yaml.load(ROOT / "params.yaml")
    each = images // len(COLOURS)
    params["data"].update(source="image_folder", image_size=SIZE, dev_per_class=each // 2)
    params["data"]["pretrain"].update(task="labels", classes=["white", "cyan"], per_class=each // 4)
    params["folds"].update(k=2, repeats=1)
    params["train"].update(epochs=1, batch_size=BATCH)
    net = {"name": "MobileNet", "cut": None, "size": None, "preprocessing": "own"}
    net |= {"momentum": 0.9, "dense": []}
    params["backbone"].update(model={"application": net}, epochs=1)
    for start in ("freeze", "finetune"):
        params["techniques"][start] = {"epochs": 1}
    params["sizes"].update(per_class=[], variants=[])
    params["execution"]["workers"] = 1
    yaml.dump(params, folder / "params.yaml")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)}
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    result: dict = {"images": images, "pixels": SIZE, "batch": BATCH}
    stages = ["prepare", "kfold", "pretrain", "train freeze", "train finetune"]
    for stage in stages:
        name, *arguments = stage.split()
        began = time.perf_counter()
        command = [sys.executable, "-m", f"stages.{name}", *arguments]
        _, most = watched(command, folder, env)
        result[stage] = {"peak_mib": most / 2**20, "s": time.perf_counter() - began}
        print(f"{stage}: {most / 2**20:.0f} MiB", flush=True)
    save("photographs", result)
    shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 600)
