"""MLflow: the only module that knows it. What is logged is a projection of the records.

One experiment a study. In it one parent run a variant (or transfer strategy) with its trials
nested below. A run is recognised by its tags, never by an id kept elsewhere:

    cnnlab.kind    variant, strategy or backbone    cnnlab.name    of the variant or strategy
    cnnlab.mark    digest of the records it shows; another recipe, seed or design is another run
    cnnlab.trial   key of the trial (r0_f0_m0), on nested runs

so that logging the same records again adds nothing. Where MLflow fails, training goes on: one
warning says so.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np

from cnnlab import paths
from cnnlab.compare import mean_interval
from cnnlab.data.pool import Pool
from cnnlab.training import records
from cnnlab.training.trial import Record

if TYPE_CHECKING:
    from mlflow import MlflowClient

# An absent server shall cost seconds, not the minutes that MLflow would try again.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

CONFIDENCE = 0.95  # of the intervals on parent runs


def mark(records: list[Record]) -> str:
    """Digest of a set of records: what a parent run stands for."""
    return digest(r.fingerprint for r in records)


def digest(fingerprints: Iterable[str]) -> str:
    """Digest of trial fingerprints, in the order of trials."""
    return hashlib.sha256("\n".join(fingerprints).encode()).hexdigest()[:32]


def store() -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, or SQLite in the root of the clone."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{paths.workspace() / 'mlflow.db'}"


def _forgiving(method: Callable[..., None]) -> Callable[..., None]:
    """A method of Run that warns once where MLflow fails, and after that does nothing."""

    @functools.wraps(method)
    def wrapped(self, *args: Any) -> None:
        if self._failed:
            return
        try:
            method(self, *args)
        except Exception as error:  # a store may fail in any way, and no record depends on it
            self._failed = True
            print(
                f"warning: MLflow at {_safe(store())} failed ({type(error).__name__}: {error}); "
                "the study goes on, its records are complete",
                file=sys.stderr,
            )

    return wrapped


class Run:
    """A parent run. Each method turns a failure of MLflow into one warning."""

    def __init__(self, study: str, kind: str, name: str, mark: str):
        self._tags = {"cnnlab.kind": kind, "cnnlab.name": name, "cnnlab.mark": mark}
        self._name, self._failed = name, False
        self._open(study)

    @_forgiving
    def _open(self, study: str) -> None:
        self._client, self._experiment = _connect(study)
        text = " and ".join(f"tags.`{k}` = '{v}'" for k, v in self._tags.items())
        found = self._client.search_runs([self._experiment], text, max_results=10_000)
        trials = [r for r in found if "cnnlab.trial" in r.data.tags]
        parents = [r for r in found if "cnnlab.trial" not in r.data.tags]
        self._logged = {r.data.tags["cnnlab.trial"] for r in trials if r.info.status == "FINISHED"}
        self._run = parents[0] if parents else self._create(self._name, {})

    def _create(self, title: str, tags: Mapping[str, str]) -> Any:
        every = {**self._tags, **_provenance(), "variant": self._name, **tags}
        return self._client.create_run(self._experiment, run_name=title, tags=every)

    @property
    def _id(self) -> str:
        return self._run.info.run_id

    @_forgiving
    def describe(self, params: Mapping[str, Any], pool: Pool, study: str) -> None:
        """Log params (nested ones dotted) and the data set as the run's input."""
        from mlflow.data.pandas_dataset import from_pandas
        from mlflow.entities import DatasetInput, InputTag, Param

        logged = [Param(k, str(v)[:6000]) for k, v in _flat(params).items()]
        self._client.log_batch(self._id, params=logged)
        table = pool.manifest[["image_id", "label", "digest"]].astype(str)
        data = from_pandas(table, targets="label", name=study)._to_mlflow_entity()
        tags = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(self._id, datasets=[DatasetInput(data, tags)])

    @_forgiving
    def trial(self, record: Record) -> None:
        """Log one trial as a nested run, unless it is there already."""
        from mlflow.entities import Metric, Param

        t, now = record.trial, int(time.time() * 1000)
        if t.key in self._logged:
            return
        tags = {"mlflow.parentRunId": self._id, "cnnlab.trial": t.key, "fold": str(t.fold)}
        run_id = self._create(f"{t.variant} {t.key}", tags).info.run_id
        metrics = [
            Metric(name, value, now, int(entry["epoch"]))
            for entry in record.history
            for name, value in entry.items()
            if name != "epoch"
        ]
        metrics.append(Metric("gap", record.final["gap"], now, int(record.history[-1]["epoch"])))
        values = {"repeat": t.repeat, "fold": t.fold, "member": t.member}
        values |= {"seed": record.seed, "n_train": record.n_train}
        self._client.log_batch(run_id, params=[Param(k, str(v)) for k, v in values.items()])
        for start in range(0, len(metrics), 1000):  # MLflow's limit a request
            self._client.log_batch(run_id, metrics=metrics[start : start + 1000])
        self._client.set_terminated(run_id)
        self._logged.add(t.key)

    @_forgiving
    def finish(self, done: list[Record], model: Path, pool: Pool) -> None:
        """Log the metrics of all records together and the model with its signature; end it."""
        for name, value in summary(done).items():
            self._client.log_metric(self._id, name, value)
        if not self._client.get_run(self._id).outputs.model_outputs:
            self.model_logger(pool)(model)
        self._client.set_terminated(self._id)

    def model_logger(self, pool: Pool) -> Callable[[Path], None]:
        """What logs a saved net to this run; may be sent to a process that has TensorFlow."""
        if self._failed:
            return nothing
        return functools.partial(
            _log_model, store(), self._id, pool.images.shape[1:], len(pool.classes)
        )

    @_forgiving
    def attach(self, files: list[Path], folder: str) -> None:
        """Log files, such as figures, as artifacts in a folder of the run."""
        for path in files:
            self._client.log_artifact(self._id, str(path), folder)


def _connect(study: str) -> tuple[MlflowClient, str]:
    """A client, and the id of the study's experiment, both made once whoever comes first."""
    from mlflow import MlflowClient

    # Processes that meet an empty store would race to create its tables.
    with filelock.FileLock(paths.workspace() / ".dvc/tmp/mlflow.lock"):
        client = MlflowClient(store())
        experiment = client.get_experiment_by_name(study)
        if experiment is not None:
            return client, experiment.experiment_id
        local = store().startswith("sqlite:")
        place = (paths.workspace() / "mlartifacts" / study).as_uri() if local else None
        return client, client.create_experiment(study, artifact_location=place)


def summary(done: list[Record]) -> dict[str, float]:
    """Mean, spread over folds and repeats, and interval of each metric of a variant's records."""
    values = {}
    for metric in done[0].final:
        scores = records.scores(done, metric)
        values[metric] = float(scores.mean())
        if scores.shape[1] > 1:
            interval = mean_interval(scores, CONFIDENCE)
            values[f"{metric}_sd"] = interval.sd
            values[f"{metric}_ci95_low"] = interval.low
            values[f"{metric}_ci95_high"] = interval.high
    return values


def nothing(*_: Any) -> None:
    """What is done where there is no MLflow."""


def _log_model(uri: str, run_id: str, shape: tuple[int, ...], classes: int, path: Path) -> None:
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    from cnnlab.training.records import load_model

    number = np.dtype(np.float32)
    images = TensorSpec(number, (-1, *shape), "images")  # 0..255
    logits = TensorSpec(number, (-1, classes))
    mlflow.set_tracking_uri(uri)
    with mlflow.start_run(run_id=run_id):
        mlflow.tensorflow.log_model(
            load_model(path),
            name="model",
            signature=ModelSignature(Schema([images]), Schema([logits])),
            pip_requirements=["keras", "tensorflow"],
        )


def _provenance() -> dict[str, str]:
    """Tags that say which code and experiment a run belongs to."""
    tags = {"git_commit": _git("rev-parse", "HEAD"), "dvc_exp": os.environ.get("DVC_EXP_NAME", "")}
    return {name: value for name, value in tags.items() if value}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _safe(uri: str) -> str:
    """A URI without the password that it may hold."""
    scheme, _, rest = uri.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
