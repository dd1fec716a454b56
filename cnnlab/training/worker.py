"""A worker process: it trains the trials that it is given and leaves their records on disk.

Nothing here runs in the process of a stage, so TensorFlow's memory, its crashes and its chatter
stay outside it.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cnnlab.training import records
from cnnlab.training.job import Job, Planned
from cnnlab.training.trial import Record

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
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "1"
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
        os.dup2(output, stream.fileno())


def work(planned: Planned, keep_model: bool) -> None:
    """Train one trial and write its record; `keep_model`: and its net."""
    from cnnlab.training.fit import Data, fit, use_threads  # imports TensorFlow

    use_threads(_job.recipe.threads)
    pool, trial = _job.pool, planned.trial
    data = Data(pool.images, pool.labels, planned.train, planned.judged, len(pool.classes))
    checkpoint = records.Checkpoint(_folder, trial, planned.mark)
    fitted = fit(
        _job.recipe,
        data,
        planned.seed,
        backbone=_backbone(_job.backbone) if _job.backbone else None,
        checkpoint=checkpoint,
        on_epoch=lambda entry: _epochs.send((trial, entry)),
    )
    record = Record(
        trial=trial,
        fingerprint=planned.mark,
        seed=planned.seed,
        n_train=len(planned.train),
        history=fitted.history,
        image_id=pool.manifest["image_id"].to_numpy()[planned.judged],
        labels=pool.labels[planned.judged],
        probabilities=fitted.probabilities,
    )
    if keep_model:
        records.save_model(fitted.model, _folder / records.MODEL)
    records.write(_folder, record)
    checkpoint.remove()
    if keep_model:
        try:
            _use_model(_folder / records.MODEL)
        except Exception:  # the trial is complete without it; the stage tries again, and says so
            traceback.print_exc()


@functools.lru_cache(maxsize=1)
def _backbone(path: Path) -> Any:
    return records.load_model(path)


def _end_with_parent() -> None:
    """A stage that was killed cannot end its workers; they must not go on without it."""
    multiprocessing.parent_process().join()
    os._exit(1)
