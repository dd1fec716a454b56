"""Cost against scale: seconds a trial and peak memory against images and pixels.

`python -m bench.scale`: one trial of two epochs of a small network on synthetic pools, in a worker
as the train stage starts it; peak memory of the stage's process and of the worker, without the
pages of files that they map, which the system takes back when it needs them. Up to 256 MiB of
images a worker holds; more stay in their file.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from bench import save
from cnnlab import params
from cnnlab.data import folds, pool
from cnnlab.run import device
from cnnlab.run.execute import run
from cnnlab.run.job import NEVER, Job

CASES = [(1_000, 32), (10_000, 32), (60_000, 32), (100_000, 32), (200_000, 32)]
CASES += [(10_000, 64), (10_000, 128)]  # images, pixels


class Silent:
    def epoch(self, trial, entry): ...
    def done(self, record, trained): ...
    def again(self, trial): ...


def measure(images: int, size: int) -> dict[str, float]:
    """Seconds of a run of one trial, and peak memory in MiB of its processes."""
    from dataclasses import replace

    folder = Path(tempfile.mkdtemp(prefix="bench-scale-"))
    shape = (images, size, size, 3)
    pixels = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, shape)
    rng = np.random.default_rng(0)
    for start in range(0, images, 1000):
        pixels[start : start + 1000] = rng.integers(0, 256, pixels[start : start + 1000].shape)
    pixels.flush()
    ids = np.arange(images)
    table = pd.DataFrame({"image_id": ids, "source": ids.astype(str), "split": "dev"})
    table = table.assign(
        label=(ids % 10).astype(str), group=table["source"], digest=table["source"]
    )
    table[pool.COLUMNS].to_csv(folder / "manifest.csv", index=False)
    del pixels
    split = folds.make(table, k=5, repeats=1, seed=1)
    split["fold"] = split["fold"].where(split["fold"] == 0, NEVER)
    base = params.read().sections.recipe([])
    small = {**base.net_options, "filters": [8, 8], "convs": 1}
    base = replace(base, net_options=small, epochs=2, evaluate_every=2, batch_size=128, threads=1)
    kind = device.kind("local", 0)
    job = Job("scale", base, pool.read(folder), split, members=1, seed=1, device=kind)
    peak = {"stage": 0, "worker": 0}
    ended = threading.Event()

    def watch() -> None:
        me = psutil.Process(os.getpid())
        while not ended.wait(0.05):
            for process in (me, *me.children(recursive=True)):
                who = "stage" if process == me else "worker"
                with contextlib.suppress(psutil.NoSuchProcess):
                    held = process.memory_info()
                    peak[who] = max(peak[who], held.rss - held.shared)

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    run(job, job.plan(), folder / "runs", Silent(), workers=1)
    took = time.perf_counter() - began
    ended.set()
    watcher.join()
    return {"seconds": took, **{f"{name} MiB": value / 2**20 for name, value in peak.items()}}


def main() -> None:
    rows = []
    for images, size in CASES:
        command = [sys.executable, "-m", "bench.scale", str(images), str(size)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        held = images * size * size * 3 / 2**20
        rows.append({"images": images, "pixels": size, "data MiB": held})
        rows[-1] |= json.loads(done.stdout.splitlines()[-1])
        print(rows[-1], flush=True)
    save("scale", {"cases": rows})


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]))))
    else:
        main()
