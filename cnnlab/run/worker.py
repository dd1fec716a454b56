"""How one trial is trained, whoever asks for it, and the worker process of the local backend.

Nothing here trains in the process of a stage, so TensorFlow's memory, its crashes and its chatter
stay outside it.
"""

from __future__ import annotations

import errno
import functools
import importlib
import math
import os
import re
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab import records
from cnnlab.errors import UserError
from cnnlab.processes import end_with, hidden
from cnnlab.recipe.recipe import Recipe
from cnnlab.records import Diverged, Record, Trial
from cnnlab.run import device
from cnnlab.run.job import RESIZING, Job, Planned, trained_by

# In what TensorFlow says of memory that ran out, besides RESOURCE_EXHAUSTED.
FULL = re.compile(
    "out of memory|OUT_OF_MEMORY|OOM when|RESOURCE_EXHAUSTED|Dst tensor is not initialized"
    "|ALLOC_FAILED|resource allocation failed|DNN library initialization failed",
    re.I,
)
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)  # on a disk, or of a user's share of it
SHOWN = 512  # training images, at most, to a network for which none is held out


@dataclass(frozen=True)
class Material:
    """What all trials of a job are made from. No file that the job names is needed any more."""

    job: Job
    images: np.ndarray  # uint8 (pool, height, width, channels)
    truth: np.ndarray | None  # (pool, ...), as `Pool.truth`
    backbone: bytes | None  # the file's content

    @classmethod
    def of(cls, job: Job) -> Material:
        """Read the job's files."""
        return cls.of_all([job])[job.name]

    @classmethod
    def of_all(cls, jobs: Iterable[Job]) -> dict[str, Material]:
        """Read the files of jobs, each once: job name -> material. Jobs of one pool share its
        images, as those of one backbone share that."""
        jobs = list(jobs)
        pools = {id(job.pool): job.pool for job in jobs}
        read = {key: (np.asarray(pool.images), _array(pool.truth)) for key, pool in pools.items()}
        paths = {job.backbone for job in jobs if job.backbone}
        backbones = {path: path.read_bytes() for path in paths}
        return {
            job.name: cls(job, *read[id(job.pool)], backbones.get(job.backbone)) for job in jobs
        }


def _array(values: np.ndarray | None) -> np.ndarray | None:
    return None if values is None else np.asarray(values)


def import_training() -> None:
    """Import what trains, and so TensorFlow, in a process that does nothing else."""
    with hidden("matplotlib", "sklearn"):  # a third of the time that Keras takes to import
        import cnnlab.train.phases  # noqa: F401


def train(
    material: Material,
    planned: Planned,
    checkpoint: records.Checkpoint,
    on_epoch: Callable[[dict[str, float]], None],
) -> tuple[Record | Diverged, Any]:
    """Train one trial: its record, and its network, which the next trial reuses: save it before
    that. Of a trial that diverges: that, and None.

    `checkpoint`, `on_epoch`: as `cnnlab.train.fit.fit` takes them.
    """
    from cnnlab.train import fit  # imports TensorFlow
    from cnnlab.train.input import Data
    from cnnlab.train.tasks import LEARNING

    job, pool = material.job, material.job.pool
    fit.set_up(job.recipe.threads, job.recipe.deterministic)
    _check_device(job.device)
    # Where no image is held out the network is shown some that it trains on; what it scores there
    # is left out.
    held_out = planned.held_out if len(planned.held_out) else planned.train[:SHOWN]

    def honest(entry: dict[str, float]) -> dict[str, float]:
        scores = {name for name in entry if f"train_{name}" in entry}
        left_out = () if len(planned.held_out) else scores
        return {name: value for name, value in entry.items() if name not in left_out}

    past: list[dict[str, float]] = []

    def tell(entry: dict[str, float]) -> None:
        loss = LEARNING[pool.task].LOSS
        losses = (entry[name] for name in ("objective", f"train_{loss}", loss) if name in entry)
        if bad := [loss for loss in losses if not math.isfinite(loss)]:
            raise _NotFinite(bad[0], int(entry.get("phase", 0)))
        past.append(honest(entry))
        on_epoch(past[-1])

    data = Data(
        material.images,
        pool.labels,
        planned.train,
        held_out,
        len(pool.classes),
        groups=pool.manifest["group"].to_numpy(),
        learning=LEARNING[pool.task],
        truth=material.truth,
    )
    if job.recipe.stopping is not None and not len(fit._split(data, job.recipe, planned.seed)[1]):
        raise UserError(
            f"technique early_stopping: none of the {len(planned.train)} training images can be "
            "held back, as its class would keep no other (those of a group stay together); more "
            "images may do, or training without it"
        )
    trainer = importlib.import_module(by := trained_by(job.recipe))
    try:
        if trainer is fit:
            fitted = fit.fit(job.recipe, data, planned.seed, checkpoint=checkpoint, on_epoch=tell)
        else:
            start, folder = {}, None
            if job.recipe.phases:
                start, folder = _weights(material.backbone), _features(job)
            fitted = trainer.train(job.recipe, data, planned.seed, start, folder, checkpoint, tell)
    except _NotFinite as stop:
        stretched = trainer.stretches(job.recipe)[0] if by == RESIZING else job.recipe
        cure = _cure(stretched, stop.phase)
        return Diverged(planned.trial, planned.mark, str(stop.loss), cure, past), None
    except Exception as error:
        if not _is_lack_of_memory(error):
            raise
        where = "the GPU's memory" if device.is_gpu(job.device) else "memory"
        raise UserError(f"{where} ran out {_smaller(job, material.images.shape)}") from None
    record = Record(
        trial=planned.trial,
        fingerprint=planned.mark,
        seed=planned.seed,
        n_train=len(planned.train),
        history=[honest(entry) for entry in fitted.history],
        measured=honest(fitted.final),
        preactivations=fitted.preactivations,
        image_id=pool.manifest["image_id"].to_numpy()[planned.held_out],
        labels=pool.labels[planned.held_out],
        outputs=fitted.outputs[: len(planned.held_out)],
    )
    return record, fitted.model


class _NotFinite(Exception):
    """Ends a training whose loss is not finite."""

    def __init__(self, loss: float, phase: int):
        super().__init__(loss, phase)
        self.loss, self.phase = loss, phase


def _cure(recipe: Recipe, phase: int) -> str:
    """What to change in params.yaml where a loss stops being finite. `phase`: from 1; 0: a recipe
    without."""
    rate = recipe.phases[phase - 1].learning_rate if phase else recipe.learning_rate
    cures = [f"lower the learning rate ({rate:g})"]
    if recipe.precision != "float32":
        cures.append(f"set train.precision to float32 (it is {recipe.precision})")
    if recipe.clip_norm is None:
        cures.append("clip gradients (technique clip_norm)")
    return " or ".join(cures)


def _is_lack_of_memory(error: Exception) -> bool:
    """TensorFlow has no one type for it: what it cannot copy to a full GPU is an internal error."""
    import tensorflow as tf

    expected = isinstance(error, MemoryError | tf.errors.ResourceExhaustedError)
    kinds = (tf.errors.OpError, RuntimeError)
    return expected or (isinstance(error, kinds) and bool(FULL.search(str(error))))


def died(job: Job) -> str:
    """Why a worker of a job may have died: the system ends what takes too much memory."""
    return f"perhaps as memory ran out {_smaller(job, job.pool.images.shape)}"


def _smaller(job: Job, shape: tuple[int, ...]) -> str:
    """What takes a job's memory, and what to change in params.yaml so that it is less. `shape`: of
    the pool's images."""
    recipe, (height, width) = job.recipe, shape[1:3]
    on_gpu = device.is_gpu(job.device)
    cures = ["execution.per_gpu: 1 where trials share it" if on_gpu else "fewer execution.workers"]
    if recipe.batch_size > 1:
        cures.append(f"train.batch_size: {recipe.batch_size // 2}")
    if recipe.precision == "float32" and on_gpu:
        cures.append("train.precision: mixed_bfloat16")
    return (
        f"at batches of {recipe.batch_size} images of {width}x{height} pixels: "
        f"{', or '.join(cures)}, or smaller images (data.image_size) may fit"
    )


def _check_device(planned: str) -> None:
    """Raises UserError where TensorFlow computes on another kind of device than was planned."""
    from cnnlab.recipe.blocks import on_gpu

    if device.is_gpu(planned) != on_gpu():
        raise UserError(
            f"trials were planned for {planned!r}, which TensorFlow cannot use: `make gpu` installs"
            " what a GPU needs, execution.device: cpu does without one"
        )


@functools.lru_cache(maxsize=1)  # a study has one backbone
def _weights(backbone: bytes) -> dict[str, list[np.ndarray]]:
    """The weights of a saved network: layer name -> arrays."""
    from cnnlab.recipe.network import weights_of

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / records.MODEL
        path.write_bytes(backbone)
        return weights_of(records.load_model(path))


def _features(job: Job) -> Path:
    """Where stored features lie, a folder a kind of device: in the study's folder, or elsewhere in
    a temporary one."""
    here = job.features
    folder = here if here.parent.is_dir() else Path(tempfile.gettempdir(), "cnnlab-features")
    return folder / re.sub(r"\W+", "-", job.device)


def serve(stage: Connection) -> None:
    """Be a worker process: train the trials that a stage sends, until it ends.

    It sends (its process id, log file, environment), and is sent this process's id. Then, again and
    again, it sends (jobs, log file), and for each of their trials what `train_for` takes, for which
    it is sent ("epoch", trial, entry of the history) and at last what that returns; and after them
    None. `environment`: says, before TensorFlow looks for devices, which it sees.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, which ends its workers
    of_stage, log, environment = stage.recv()
    end_with(of_stage)
    os.environ.update(environment)
    _write_to(log)
    stage.send(os.getpid())
    import_training()

    def tell(*epoch: Any) -> None:
        stage.send(("epoch", *epoch))

    try:
        while True:
            jobs, log = stage.recv()
            _write_to(log)
            materials = functools.cache(functools.partial(Material.of_all, jobs))
            while (given := stage.recv()) is not None:
                stage.send(train_for(materials, *given, tell))
    except EOFError:
        return


def _write_to(log: Path) -> None:
    """Write to a file, at its end, what this process prints."""
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())
    os.close(output)


def train_for(
    materials: Callable[[], Mapping[str, Material]],
    planned: Planned,
    folder: Path,
    with_network: bool,
    tell: Callable[[Trial, dict[str, float]], None],
) -> tuple[str, Any]:
    """Train one trial and write its record to `folder`, and its network too, if asked for. What
    came of it: ("done", trial), ("diverged", what), ("failed", message for a person) or ("broke",
    traceback). `materials`: by the jobs' names, when first asked for; `tell`: is told of epochs."""
    trial = planned.trial
    checkpoint = records.Checkpoint(folder, trial, planned.mark)
    try:
        material = materials()[trial.variant]
        record, model = train(material, planned, checkpoint, functools.partial(tell, trial))
        if isinstance(record, Diverged):
            records.write_diverged(folder, record)
        else:
            keeps = material.job.keeps_networks
            network = network_bytes(model) if with_network or keeps else None
            if with_network:
                records.write_model(folder, network)
            records.write(folder, record, network if keeps else None)
        checkpoint.remove()
    except UserError as error:
        return "failed", f"{trial.variant} {trial.key}: {error}"
    except Exception as error:
        if isinstance(error, OSError) and error.errno in NO_ROOM:
            where = error.filename or folder
            return "failed", f"{trial.variant} {trial.key}: {where}: {os.strerror(error.errno)}"
        return "broke", traceback.format_exc()
    return ("diverged", record) if isinstance(record, Diverged) else ("done", trial)


def network_bytes(model: Any) -> bytes:
    """The content of the file of a network."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / records.MODEL
        try:
            records.save_model(model, path)
        except OSError as error:
            error.filename = error.filename or folder  # is full, not that of the records
            raise
        return path.read_bytes()
