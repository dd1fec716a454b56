"""The Ray backend: trials as tasks of a Ray cluster.

The cluster is the one that RAY_ADDRESS names, or one that is started on this machine for the run.
Nodes need the installed requirements and nothing else: no file of the study, no clone. Code, images
and the backbone's weights go to each node once, by way of Ray; records, the kept network and
checkpoints come back to the run, which writes them as the local backend does. On machines of one
type both backends leave the same bytes.

Each run of a stage is a Ray job of its own, whose workers start anew and import TensorFlow. Ray is
imported in functions only: it is an optional dependency.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
import shutil
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cnnlab
from cnnlab import records
from cnnlab.errors import UserError
from cnnlab.processes import cores
from cnnlab.records import Diverged, Record, Saved, Trial
from cnnlab.records.fingerprint import versions
from cnnlab.run import device, worker
from cnnlab.run.backends import Work
from cnnlab.run.job import Planned

DEATHS = 4  # of a worker or node with the same trial, before it is given up: nodes come and go
CHECKPOINT_SECONDS = 60.0  # of work that a death may cost; each checkpoint crosses the network
POLL_SECONDS = 0.3
MAILBOX = "cnnlab-mailbox"
ADDRESS = "RAY_ADDRESS"


def train(work: Work) -> list[str]:
    """Train what is missing; see `cnnlab.run.backends`.

    A trial asks for `train.threads` CPUs and `work.gpus` GPUs, and sees no others. At most
    `work.workers` are side by side; None: as many as the cluster has room for. Raises
    UserError where Ray is not installed, or no cluster answers.
    """
    with _cluster(work.threads, work.gpus):
        return _Crew(work).train()


@contextlib.contextmanager
def _cluster(cpus: int, gpus: float) -> Iterator[None]:
    """A connection to a cluster, for trials that need so much."""
    try:
        import ray
    except ImportError as error:
        raise UserError(
            f"execution.backend = 'ray': {error}; `pip install -r requirements-ray.txt` installs it"
        ) from None

    address = os.environ.get(ADDRESS)
    variables = {
        "TF_CPP_MIN_LOG_LEVEL": "1",
        "TF_ENABLE_ONEDNN_OPTS": os.environ["TF_ENABLE_ONEDNN_OPTS"],
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",  # who asks for no GPU sees none
    }
    with _code() as folder:
        options = {
            # A working directory, as modules alone would come after a clone that a node may have
            # where the run has its own, and that may be an old one.
            "runtime_env": {"working_dir": str(folder), "env_vars": variables},
            "log_to_driver": False,
            "logging_level": logging.ERROR,
        }
        if address:
            _connect(address, options)
        else:
            ray.init("local", num_cpus=max(cores(), cpus), include_dashboard=False, **options)
    try:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if not any(n.get("CPU", 0) >= cpus and n.get("GPU", 0) >= gpus for n in nodes):
            lacks = f"no node of the cluster has train.threads = {cpus} CPUs"
            lacks += f" and execution.gpus = {gpus:g} GPUs" if gpus else ""
            if not address:
                raise UserError(f"{lacks}; it is this machine alone, as {ADDRESS} is not set")
            print(f"warning: {lacks}; trials wait for one that has", file=sys.stderr)
        yield
    finally:
        ray.shutdown()


def _connect(address: str, options: dict[str, Any]) -> None:
    """Connect to a cluster that runs. Raises UserError where none answers."""
    import ray

    try:
        place = re.fullmatch(r"(?:ray://)?\[?(.+?)]?:(\d+)", address)
        if place:  # Ray itself would try for minutes
            socket.create_connection((place[1], int(place[2])), timeout=10).close()
        ray.init(address, **options)
    except Exception as error:  # of many types
        raise UserError(f"{ADDRESS} = {address!r}: {type(error).__name__}: {error}") from None


@contextlib.contextmanager
def _code() -> Iterator[Path]:
    """A folder that holds this package and nothing else."""
    package = Path(cnnlab.__file__).resolve().parent
    with TemporaryDirectory() as folder:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(package, Path(folder) / package.name, ignore=ignored)
        yield Path(folder)


class _Crew:
    """All trials on a cluster, as tasks; one thread sends them and hears of them."""

    def __init__(self, work: Work):
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._work, self._ray = work, ray
        self._waiting = deque((planned, 0) for planned in work.missing)  # with deaths so far
        self._running: dict[ray.ObjectRef, tuple[Planned, int]] = {}
        self._open = {planned.trial: planned for planned in work.missing}  # without a record
        self._told: dict[Trial, set[int]] = {trial: set() for trial in self._open}  # epochs of each
        self._failures: list[str] = []
        self._limit = work.workers or len(work.missing)
        # On the run's own node, which is not lost without the run (soft: Ray may choose another).
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._mailbox = (
            ray.remote(_Mailbox)
            .options(name=MAILBOX, num_cpus=0, max_restarts=-1, scheduling_strategy=here)
            .remote()
        )
        self._shared = ray.put((worker.Material.of_all(work.jobs), versions(), work.gpus))
        # Ray is not to try again by itself: it would tell nobody.
        self._task = ray.remote(_train).options(
            num_cpus=work.threads, num_gpus=work.gpus, max_retries=0
        )

    def train(self) -> list[str]:
        """Train all; returns once each has its record, or has failed: what to say of those."""
        try:
            while self._waiting or self._running:
                while self._waiting and len(self._running) < self._limit:
                    self._send(*self._waiting.popleft())
                ended, _ = self._ray.wait(list(self._running), timeout=POLL_SECONDS)
                self._hear()
                for ref in ended:
                    self._end(ref)
        finally:
            for ref in self._running:  # none, unless the run is broken off
                self._ray.cancel(ref, force=True)
        return self._failures

    def _send(self, planned: Planned, deaths: int) -> None:
        saved = self._checkpoint(planned).load()
        part = self._work.part(planned.trial)
        keep_model = part.keeps_model(planned) or part.job.keeps_networks
        # The list keeps Ray from unpacking what is shared anew for each trial.
        ref = self._task.remote(
            [self._shared], planned, saved, keep_model, self._mailbox, CHECKPOINT_SECONDS
        )
        self._running[ref] = planned, deaths

    def _hear(self) -> None:
        """Pass on what trials that still run have told."""
        try:
            news = self._ray.get(self._mailbox.take.remote(), timeout=10)
        except self._ray.exceptions.RayError:
            return  # the mailbox died; it starts again, and records tell all that it lost
        for trial, content in news:
            if trial not in self._open:
                continue
            planned = self._open[trial]
            if isinstance(content, Saved):
                self._checkpoint(planned).save(content.arrays, content.history)
            else:
                self._tell(planned, content)

    def _tell(self, planned: Planned, entry: dict[str, float]) -> None:
        """Tell the watcher of an epoch, once, however often it is trained or heard of."""
        epochs = self._told[planned.trial]
        if entry["epoch"] not in epochs:
            epochs.add(entry["epoch"])
            self._work.watcher.epoch(planned.trial, entry)

    def _end(self, ref: Any) -> None:
        """A task has ended: in a record, in a death, or in an error of the trial's own."""
        errors = self._ray.exceptions
        planned, deaths = self._running.pop(ref)
        try:
            record, model = self._ray.get(ref)
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,  # the record was on a node that died before it was fetched
        ) as error:
            if deaths + 1 < DEATHS:
                self._work.watcher.again(planned.trial)
                self._waiting.append((planned, deaths + 1))
            else:
                job = self._work.part(planned.trial).job
                died = f"its worker died {DEATHS} times, {worker.died(job)}"
                self._fail(planned, f"{died}; the last time: {error}")
        except errors.RayTaskError as error:
            expected = isinstance(error.cause, UserError)
            self._fail(planned, str(error.cause) if expected else _plain(str(error)))
        except errors.RayError as error:
            self._fail(planned, f"{type(error).__name__}: {error}")
        else:
            self._finish(planned, record, model)

    def _finish(self, planned: Planned, record: Record | Diverged, model: bytes | None) -> None:
        part, watcher = self._work.part(planned.trial), self._work.watcher
        if diverged := isinstance(record, Diverged):
            records.write_diverged(part.folder, record)
        else:
            if part.keeps_model(planned):
                records.write_model(part.folder, model)
            records.write(part.folder, record, model if part.job.keeps_networks else None)
        self._checkpoint(planned).remove()
        del self._open[planned.trial]
        for entry in record.history:  # those that were not heard of live
            self._tell(planned, entry)
        if diverged:
            watcher.diverged(record)
        else:
            watcher.done(record, trained=True)

    def _fail(self, planned: Planned, what: str) -> None:
        trial = planned.trial
        self._failures.append(f"{trial.variant} {trial.key}: {what}")

    def _checkpoint(self, planned: Planned) -> records.Checkpoint:
        folder = self._work.part(planned.trial).folder
        return records.Checkpoint(folder, planned.trial, planned.mark)


def _plain(text: str) -> str:
    """Text without the codes that colour it on a terminal."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


class _Mailbox:
    """An actor that carries news from trials to the run."""

    def __init__(self):
        self._news: list[tuple[Trial, Any]] = []

    def put(self, trial: Trial, content: dict[str, float] | Saved) -> None:
        """From a trial: an entry of its history, or a checkpoint."""
        self._news.append((trial, content))

    def take(self) -> list[tuple[Trial, Any]]:
        """All since the last time."""
        news, self._news = self._news, []
        return news


# From here on: what runs on a node.


def _train(
    shared: list[Any],
    planned: Planned,
    saved: Saved | None,
    keep_model: bool,
    mailbox: Any,
    checkpoint_seconds: float,
) -> tuple[Record | Diverged, bytes | None]:
    """Train one trial: its record, and with `keep_model` its network as a file's content."""

    def tell(content: dict[str, float] | Saved) -> None:
        mailbox.put.remote(planned.trial, content)  # waits for no answer, and minds no failure

    worker.import_training()
    checkpoint = _SentCheckpoint(planned, saved, tell, checkpoint_seconds)
    material = _unpacked(shared[0])[planned.trial.variant]
    record, model = worker.train(material, planned, checkpoint, tell)
    keep = keep_model and not isinstance(record, Diverged)
    return record, worker.network_bytes(model) if keep else None


@functools.lru_cache(maxsize=1)
def _unpacked(shared: Any) -> dict[str, worker.Material]:
    """What trials are made from, by job name, once a process. Raises UserError where the node
    differs from what they were planned for."""
    import ray

    materials, libraries, gpus = ray.get(shared)
    here = {**versions(), "device": device.kind("ray", gpus)}
    planned_for = {material.job.device for material in materials.values()}
    planned_for = {kind for kind in planned_for if not kind.startswith(device.ANY_GPU)}
    wanted = [*libraries.items(), *(("device", kind) for kind in sorted(planned_for))]
    for name, version in wanted:
        if here[name] != version:  # the record's fingerprint would not be true
            raise UserError(
                f"node {ray.util.get_node_ip_address()} has {name} {here[name]}, the run has "
                f"{version}; all nodes need the same requirements and one kind of processor"
            )
    return materials


class _SentCheckpoint(records.Checkpoint):
    """A checkpoint that the run keeps, since a node may be lost with all its files."""

    def __init__(
        self,
        planned: Planned,
        saved: Saved | None,
        send: Callable[[Saved], None],
        seconds: float,
    ):
        super().__init__(Path(), planned.trial, planned.mark, seconds)
        self._saved, self._send = saved, send

    def save(self, arrays: list, history: list[dict[str, float]]) -> None:
        self._send(Saved(history, arrays))
        self._last = time.monotonic()

    def load(self) -> Saved | None:
        return self._saved
