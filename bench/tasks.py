"""Masks and boxes: networks of the committed studies against torchvision's smallest, by training
time.

`python -m bench.tasks [minutes]`; needs requirements-bench.txt. Both learn from the same
development images of studies/canvases and studies/boxes, from random weights, for as many minutes
each, on one thread, as a study trains, in batches of 16 by Adam with a rate that falls along half a
cosine, without augmentation: cnnlab the baseline of the study, torchvision
`lraspp_mobilenet_v3_large` and `ssdlite320_mobilenet_v3_large`. They take turns: a quarter of the
time each, after which both are scored on the test images by cnnlab's metrics, with the clock
stopped. Minutes are those of the processor, so that what else runs does not count; what compiles
counts as training. torchvision's networks are made for larger images, to which these are enlarged
for them. Their statistics of batch norm move by a tenth a step: torchvision's own, slower ones are
for long trainings.
"""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench import Stopwatch, machine_kind, median, need, save, without_gpus

ROOT = Path(__file__).parents[1]
STUDIES = {"segmentation": "canvases", "detection": "boxes"}
# Pixels, for torchvision; SSDlite's own 320 take 2.8 s a step on one thread.
SIDES = {"segmentation": (64, 128), "detection": (128,)}
RATE = 0.001  # of torchvision's networks, Adam's own
BATCH, PARTS, THREADS, SEED = 16, 4, 1, 20
TRIED = 6  # epochs, from which cnnlab's time an epoch is told
DETECTIONS, CANDIDATES, SUREST = 50, 100, 0.01  # of an image, as in cnnlab

Turn = Callable[[float, dict], None]  # seconds trained, and what to say: waits for the next turn


def prepared(study: str, folder: Path) -> None:
    """Prepare the images of a committed study in a folder of their own."""
    for name in ("raw", "raw_pretrain"):
        (folder / "data" / name).mkdir(parents=True)
    shutil.copy(ROOT / "studies" / study / "params.yaml", folder)
    place = without_gpus() | {"PYTHONPATH": str(ROOT), "DVC_ROOT": str(folder)}
    subprocess.run([sys.executable, "-m", "stages.prepare"], cwd=folder, env=place, check=True)


def parts(folder: Path) -> list:
    """The pools of a study to learn from and to test on."""
    from cnnlab.data import pool

    return [pool.read(folder / "data/prepared" / name) for name in ("dev", "test")]


def both(folder: Path):
    """The same as cnnlab's `Data`: the first are trained on, the others held out."""
    from cnnlab.train.input import Data
    from cnnlab.train.tasks import LEARNING

    dev, test = parts(folder)
    images, truth = (np.concatenate([getattr(p, n) for p in (dev, test)]) for n in PIECES)
    rows = np.split(np.arange(len(images)), [len(dev.images)])
    learning, labels = LEARNING[dev.task], np.zeros(len(images), int)
    return Data(images, labels, *rows, len(dev.classes), learning=learning, truth=truth)


def cnnlab(task: str, folder: Path, seconds: float, turn: Turn) -> None:
    """Train the study's baseline by the one `fit`."""
    from cnnlab import params
    from cnnlab.tasks import TASKS
    from cnnlab.train.fit import fit, set_up

    recipe = params.read(folder / "params.yaml").sections.recipe([])
    recipe = replace(recipe, threads=THREADS, batch_size=BATCH)
    set_up(recipe.threads, recipe.deterministic)
    data, score = both(folder), next(iter(TASKS[task].MEASURED))

    def trained(epochs: int, every: int, on_epoch: Callable[[dict], None]):
        some = replace(recipe, epochs=epochs, evaluate_every=every)
        return fit(some, data, SEED, on_epoch=on_epoch)

    began, stamps = time.process_time(), []
    tried = trained(TRIED, TRIED, lambda _: stamps.append(time.process_time() - began))
    epoch = median(np.diff(stamps)[:-1])  # the last one evaluates, too
    epochs = max(2, int((seconds - stamps[0]) / epoch / PARTS)) * PARTS
    turn(0.0, {"parameters": int(tried.model.count_params())})
    clock, times = time.process_time(), []

    def ended(entry: dict) -> None:
        nonlocal clock
        now = time.process_time() - clock
        # What evaluating takes is no training.
        times.append(min(now, median(times)) if score in entry else now)
        if score in entry:
            turn(sum(times), {"score": entry[score], "epochs": entry["epoch"]})
        clock = time.process_time()

    trained(epochs, epochs // PARTS, ended)


def torchvision(task: str, folder: Path, seconds: float, turn: Turn, side: int) -> None:
    """Train torchvision's network with images of `side` pixels; what it says goes to files."""
    import torch

    load_torchvision()
    torch.manual_seed(SEED)
    torch.set_num_threads(THREADS)
    dev, test = parts(folder)
    (x, truth), (new, _) = ([np.array(getattr(p, n)) for n in PIECES] for p in (dev, test))
    x, new = (torch.from_numpy(i).permute(0, 3, 1, 2).expand(-1, 3, -1, -1) / 255 for i in (x, new))
    model, loss_of, say = NETWORKS[task](len(dev.classes), side)
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 0.1  # PyTorch's own: torchvision's 0.01 takes hundreds of steps
    adam = torch.optim.Adam(model.parameters(), RATE)
    order, took, steps, rng = [], 0.0, 0, np.random.default_rng(SEED)
    turn(0.0, {"parameters": sum(p.numel() for p in model.parameters())})
    for part in range(1, PARTS + 1):
        model.train()
        began, before = time.process_time(), took
        while took < seconds * part / PARTS:
            if len(order) < BATCH:  # an epoch leaves out what fills no batch
                order = rng.permutation(len(x))
            rows, order = order[:BATCH], order[BATCH:]
            for group in adam.param_groups:
                group["lr"] = RATE * (1 + math.cos(math.pi * min(1.0, took / seconds))) / 2
            adam.zero_grad()
            loss_of(x[rows], truth[rows]).backward()
            adam.step()
            steps, took = steps + 1, before + time.process_time() - began
        model.eval()
        with torch.inference_mode():
            said = np.concatenate([say(new[i : i + BATCH]) for i in range(0, len(new), BATCH)])
        file = folder / f"{side}-{part}.npy"
        np.save(file, said)
        turn(took, {"said": str(file), "epochs": round(steps * BATCH / len(x), 1)})


def masks(classes: int, side: int):
    """LR-ASPP on MobileNetV3 (A. Howard et al. 2019): the network, the loss of a batch, and what it
    says of images, uint8 (n, height, width)."""
    import torch.nn.functional as F
    from torchvision.models.segmentation import lraspp_mobilenet_v3_large

    model = lraspp_mobilenet_v3_large(weights=None, weights_backbone=None, num_classes=classes)

    def logits(x):
        larger = F.interpolate(x, (side, side), mode="bilinear", antialias=True)
        return model((larger - 0.5) / 0.25)["out"]

    def loss_of(x, truth):
        from torch import from_numpy

        larger = F.interpolate(from_numpy(truth)[:, None].float(), (side, side))[:, 0].long()
        return F.cross_entropy(logits(x), larger, ignore_index=255)

    def say(x):
        smaller = F.interpolate(logits(x), x.shape[2:], mode="area")
        return smaller.argmax(1).numpy().astype(np.uint8)

    return model, loss_of, say


def boxes(classes: int, side: int):
    """SSDlite on MobileNetV3, likewise: of each image (DETECTIONS, 6) as cnnlab's, float32."""
    from torch import from_numpy
    from torchvision.models.detection import ssdlite320_mobilenet_v3_large

    model = ssdlite320_mobilenet_v3_large(
        weights=None,
        weights_backbone=None,
        num_classes=classes + 1,  # with the background
        score_thresh=SUREST,
        detections_per_img=DETECTIONS,
        topk_candidates=CANDIDATES,
    )
    model.transform.fixed_size = (side, side)

    def loss_of(x, truth):
        targets = []
        for objects in truth:
            here = from_numpy(objects[objects[:, 0] >= 0])
            about = {"boxes": here[:, [2, 1, 4, 3]], "labels": here[:, 0].long() + 1}
            targets.append(about)
        return sum(model(list(x), targets).values())

    def say(x):
        high, wide = x.shape[2:]
        made = np.tile(np.float32([-1, 0, 0, 0, 0, 0]), (len(x), DETECTIONS, 1))
        for rows, found in zip(made, model(list(x)), strict=True):
            n = len(found["labels"])
            rows[:n, 0] = found["labels"].numpy() - 1
            rows[:n, 1] = found["scores"].numpy()
            rows[:n, 2:] = found["boxes"].numpy()[:, [1, 0, 3, 2]] / [high, wide, high, wide]
        return made

    return model, loss_of, say


def load_torchvision() -> None:
    """Import torchvision. Its compiled ops, of a build for CUDA, do not load beside a build of
    PyTorch for CPUs: then the one that is asked for, with the clock stopped, is done here."""
    import torch

    try:
        from torchvision.ops import boxes
    except RuntimeError:
        for name in ("nms", "qnms"):
            takes = "(Tensor boxes, Tensor scores, float most) -> Tensor"
            torch.library.define(f"torchvision::{name}", takes)
        from torchvision.ops import boxes

        boxes.nms = nms


def nms(boxes, scores, most: float):
    """Numbers of boxes (n, 4) that no surer one that is kept overlaps by more than `most`, the
    surest first, as torchvision's compiled op gives them."""
    from torchvision.ops import box_iou

    order = scores.argsort(descending=True, stable=True)
    overlaps = box_iou(boxes[order], boxes[order]).numpy() > most
    free, kept = np.ones(len(order), bool), []
    for i in range(len(order)):
        if free[i]:
            kept.append(i)
            free &= ~overlaps[i]
    return order[kept]


PIECES = "images", "truth"
NETWORKS = {"segmentation": masks, "detection": boxes}


def scored(task: str, folder: Path, said: np.ndarray) -> float:
    """The score that cnnlab gives to what a network of torchvision says."""
    import tensorflow as tf

    from cnnlab.tasks import TASKS
    from cnnlab.train.tasks import _boxes

    data = both(folder)
    targets = tf.constant(data.targets[data.held_out])
    if said.dtype == np.uint8:
        outputs = data.learning.outputs(100 * tf.one_hot(said, data.classes), targets)
    else:
        of_each = tf.concat([said[..., :2], _boxes.hits(said, targets)], axis=-1)
        true = tf.reduce_sum(tf.one_hot(tf.cast(targets[..., 0], tf.int32), data.classes), axis=1)
        flat = tf.reshape(of_each, [len(said), -1])
        outputs = tf.concat([flat, true, tf.zeros([len(said), 1])], axis=1)
    scores = data.learning.scores(data.labels[data.held_out], outputs.numpy())
    return scores[next(iter(TASKS[task].MEASURED))]


class Worker:
    """A contender in a process of its own, which trains when it is told to."""

    def __init__(self, *given: object):
        command = [sys.executable, "-m", "bench.tasks", *map(str, given)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=without_gpus()
        )
        self.about = self._heard()  # it is ready

    def train(self) -> dict:
        """A part of its training: seconds so far, and what it says."""
        print("go", file=self.process.stdin, flush=True)
        return self._heard()

    def end(self) -> None:
        """Let it end."""
        self.process.communicate("go\n")

    def _heard(self) -> dict:
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        sys.exit(f"{self.process.args} ended")


def turn(seconds: float, about: dict) -> None:
    """Say how far one is, and wait."""
    print(json.dumps({"seconds": round(seconds, 2), **about}), flush=True)
    sys.stdin.readline()


def held(task: str, folder: Path, seconds: float) -> dict[str, dict]:
    """The contenders in turns on a task: parameters, and the score after each part of the time."""
    workers = {"cnnlab": Worker("cnnlab", task, folder, seconds)}
    for side in SIDES[task]:
        name = f"torchvision at {side} pixels"
        workers[name] = Worker("torchvision", task, folder, seconds, side)
    told = {name: worker.about | {"scores": []} for name, worker in workers.items()}
    for _ in range(PARTS):
        for name, worker in workers.items():
            said = worker.train()
            if "said" in said:
                said["score"] = scored(task, folder, np.load(said.pop("said")))
            said["score"] = round(said["score"], 4)
            told[name]["scores"].append(said)
            print(f"{task}: {name}: {said}", flush=True)
    for worker in workers.values():
        worker.end()
    return told


def main(minutes: float) -> None:
    need("torch")
    need("torchvision")
    result = {"minutes": minutes}
    with tempfile.TemporaryDirectory() as place:
        watch = Stopwatch()
        for task, study in STUDIES.items():
            folder = Path(place) / study
            prepared(study, folder)
            result[task] = held(task, folder, 60 * minutes)
        result |= watch.read()
    save(f"tasks_{machine_kind()}", result)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["cnnlab", task, folder, seconds]:
            cnnlab(task, Path(folder), float(seconds), turn)
        case ["torchvision", task, folder, seconds, side]:
            torchvision(task, Path(folder), float(seconds), turn, int(side))
        case given:
            main(float(given[0]) if given else 3)
