"""How one trial is trained, whoever asks for it, and the worker process of the local backend.

Nothing here trains in the process of a stage, so TensorFlow's memory, its crashes and its chatter
stay outside it.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from cnnlab.processes import end_with_parent
from cnnlab.training import records
from cnnlab.training.job import Job, Planned
from cnnlab.training.trial import Record

SHOWN = 512  # training images, at most, to a net that no image judges


@dataclass(frozen=True)
class Material:
    """What all trials of a job are made from. No file that the job names is needed any more."""

    job: Job
    images: np.ndarray  # uint8 (pool, height, width, channels)
    backbone: bytes | None  # the file's content

    @classmethod
    def of(cls, job: Job) -> Material:
        """Read the job's files."""
        backbone = job.backbone.read_bytes() if job.backbone else None
        return cls(job, np.asarray(job.pool.images), backbone)


def train(
    material: Material,
    planned: Planned,
    checkpoint: records.Checkpoint,
    on_epoch: Callable[[dict[str, float]], None],
) -> tuple[Record, Any]:
    """Train one trial: its record, and its net, which the next trial reuses: save it before that.

    `checkpoint`, `on_epoch`: as `cnnlab.training.fit.fit` takes them.
    """
    from cnnlab.training.fit import Data, fit, use_threads  # imports TensorFlow

    job, pool = material.job, material.job.pool
    use_threads(job.recipe.threads)
    # A net that no image judges is shown some that it trains on; what it scores there is not told.
    shown = planned.judged if len(planned.judged) else planned.train[:SHOWN]
    unjudged = () if len(planned.judged) else ("accuracy", "nll")

    def told(entry: dict[str, float]) -> dict[str, float]:
        return {name: value for name, value in entry.items() if name not in unjudged}

    data = Data(
        material.images,
        pool.labels,
        planned.train,
        shown,
        len(pool.classes),
        groups=pool.manifest["group"].to_numpy(),
    )
    fitted = fit(
        job.recipe,
        data,
        planned.seed,
        backbone=_loaded(material.backbone) if material.backbone else None,
        checkpoint=checkpoint,
        on_epoch=lambda entry: on_epoch(told(entry)),
    )
    record = Record(
        trial=planned.trial,
        fingerprint=planned.mark,
        seed=planned.seed,
        n_train=len(planned.train),
        history=[told(entry) for entry in fitted.history],
        measured=told(fitted.final),
        preactivations=fitted.preactivations,
        image_id=pool.manifest["image_id"].to_numpy()[planned.judged],
        labels=pool.labels[planned.judged],
        probabilities=fitted.probabilities[: len(planned.judged)],
    )
    return record, fitted.model


@functools.lru_cache(maxsize=1)
def _loaded(backbone: bytes) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / records.MODEL
        path.write_bytes(backbone)
        return records.load_model(path)


_job: Job
_folder: Path
_epochs: Connection  # takes (trial, history entry)
_use_model: Callable[[Path], None]


def start(
    job: Job, folder: Path, epochs: Connection, use_model: Callable[[Path], None], log: Path
) -> None:
    """Make this process a worker for the trials of `job`, whose records go to `folder`.

    `use_model` is called with the net that is kept to look into, once it is saved.
    """
    global _job, _folder, _epochs, _use_model
    _job, _folder, _epochs, _use_model = job, folder, epochs, use_model
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the stage, which ends its workers
    end_with_parent()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())


def work(planned: Planned, keep_model: bool) -> None:
    """Train one trial and write its record; `keep_model`: and its net."""
    checkpoint = records.Checkpoint(_folder, planned.trial, planned.mark)
    record, model = train(
        _material(), planned, checkpoint, lambda entry: _epochs.send((planned.trial, entry))
    )
    if keep_model:
        records.save_model(model, _folder / records.MODEL)
    records.write(_folder, record)
    checkpoint.remove()
    if keep_model:
        try:
            _use_model(_folder / records.MODEL)
        except Exception:  # the trial is complete without it; the stage tries again, and says so
            traceback.print_exc()


@functools.cache
def _material() -> Material:
    return Material.of(_job)
