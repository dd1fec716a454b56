"""MLflow: the only module that knows it. What is logged is a projection of the records.

One experiment a study. In it one parent run a variant with its trials nested below, and a run of
the study itself, which leads to those of its variants. A run is recognised by its tags, never by an
id kept elsewhere:

    cnnlab.kind    study, variant, screen, decide, backbone, final, or trial on nested runs, which
                   say in cnnlab.of what they are trials of
    cnnlab.name    of the variant, ...
    cnnlab.mark    digest of the records it shows; another recipe, seed or design is another run. Of
                   the kind decide: of the records of its first repeat, as more may be added
    cnnlab.trial   key of the trial (r0_f0_m0), on nested runs
    cnnlab.live    on nested runs that were written while the trial ran: their duration is its own

so that logging the same records again adds nothing. The network of the final run is a version of
the registered model with the study's name, under the alias `champion`. Each figure is an artifact
of one run, see `Run.show`; those of the test images are the final run's.

Where MLflow fails or dies, training goes on at full speed: one warning says so.
"""

from __future__ import annotations

import contextlib
import csv
import functools
import getpass
import hashlib
import json
import logging
import os
import queue
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import filelock
import numpy as np

from cnnlab import logged, moved, paths, records
from cnnlab.compare import tables
from cnnlab.compare.metrics import METRICS, measured_in, task_of
from cnnlab.compare.scores import Outcomes, split_of
from cnnlab.data.pool import Pool
from cnnlab.errors import UserError
from cnnlab.records import Diverged, Record, Trial
from cnnlab.tasks import TASKS

if TYPE_CHECKING:
    from mlflow import MlflowClient

CONFIDENCE = 0.95  # of the intervals on parent runs
RULES = tables.Rules(confidence=CONFIDENCE)
CHAMPION = "champion"  # alias of the registered version that is the recommended recipe's
LIVE = "cnnlab.live"  # tag of a nested run that was written while its trial ran, from its start
BATCH_SECONDS = 2.0  # between two requests for one running trial
FAILED = "FAILED"  # a run's status: its training diverged
RUNNING = "RUNNING"  # a run's status
NOTE = "mlflow.note.content"  # the tag that MLflow shows as a run's description, in Markdown
# Environment variable: the file to which failures are told, for `cnnlab.track` to end with them.
FAILURES = "CNNLAB_MLFLOW_FAILURES"
LONGEST = 8000  # characters of a tag; MLflow cuts what is longer, wherever that is
VIEW = "mlflow.sharedViewState"  # and a key: tag of an experiment, how its page shows runs
VARIANTS = "variants"  # the key of the view of variants
SHOWN = "cnnlab.figures"  # tag of a run: digest of the figures that it was given last
ALONE = ("gradcam", "kernels", "overview", "peaks")  # folders of figures of one variant each
# In a path of artifacts MLflow neither quotes these nor shows files with them: others look alike.
STAND_INS = str.maketrans("#%?", "\uff03\uff05\uff1f")
ML = {"mlflow.experimentKind": "custom_model_development"}  # else MLflow shows its GenAI pages
GUIDE = """What each run is, by its tag `cnnlab.kind`:

- **study**: the answer, a table of all variants with links to their runs, and the report as an
  artifact. Begin here.
- **variant**: one set of techniques over all folds. Mean, spread over folds (`_sd`) and 95%
  interval (`_low`, `_high`) of each metric.
- **screen**: the first look: one set of techniques on the head of the frozen backbone.
- **decide**: further repeats of a variant, trained because an effect was still undecided.
- **backbone**: what variants that do not begin at random weights begin from.
- **trial**: one network, nested below its variant or the variant's further repeats; every epoch.
- **final**: the recommended variant, trained on all development images; `test_` metrics are of the
  test images.

Two variants whose intervals overlap may still differ, since they share folds: the report has the
paired comparison.
"""


def mark(done: list[Record], answering: records.Answering = records.AS_TRAINED) -> str:
    """Digest of a set of records: what a parent run stands for. `answering`: as `digest`."""
    return digest((r.fingerprint for r in done), answering)


def digest(fingerprints: Iterable[str], answering: records.Answering = records.AS_TRAINED) -> str:
    """Digest of trial fingerprints, in the order of trials, and of how the logged network answers,
    unless that is by a softmax alone."""
    temperature = answering.temperature
    parts = [*fingerprints, *([f"temperature {temperature!r}"] if temperature != 1 else [])]
    parts += ["flips"] if answering.flips else []
    if answering.coverage is not None:
        parts.append(f"sets of {answering.coverage!r} from {answering.least!r}")
    if answering.false_alarms is not None:
        parts.append(f"unlike {answering.false_alarms!r}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def store() -> str:
    """The tracking URI: MLFLOW_TRACKING_URI, or SQLite in the root of the clone."""
    own = f"sqlite:///{_quoted(paths.workspace() / 'mlflow.db')}"
    return os.environ.get("MLFLOW_TRACKING_URI") or own


def _quoted(file: Path) -> str:
    """A path as URIs of SQLite have it."""
    return str(file).replace("%", "%25").replace("?", "%3F")


class Writer:
    """A thread that writes to MLflow, call after call, so that training never waits for it.

    Use as a context manager; leaving it waits until all is written. The first failure of MLflow is
    one warning, and what comes after it is dropped: `cnnlab.track` can log it later.
    """

    def __init__(self):
        self.calls: queue.SimpleQueue = queue.SimpleQueue()  # of functions; None: no more
        self.at_end = contextlib.ExitStack()  # called in any case
        self._failed = False
        self._thread = threading.Thread(target=self._write, name="mlflow")

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.put(None)
        self._thread.join()

    def _write(self) -> None:
        with self.at_end:
            while (call := self.calls.get()) is not None:
                if not self._failed:
                    self._carry_out(call)

    def _carry_out(self, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # a store may fail in any way, and no record depends on it
            self._failed = True
            if file := os.environ.get(FAILURES):
                with Path(file).open("a", encoding="utf-8") as told:
                    print(_told(error), file=told)
                return
            print(
                f"warning: {_told(error)}; the study goes on, its records are complete;",
                "`make track` logs later what is missing",
                file=sys.stderr,
            )


def _later(method: Callable[..., None]) -> Callable[..., None]:
    """A method of Run that is carried out by the run's writer, in the order of the calls."""

    @functools.wraps(method)
    def enqueue(self, *args: Any) -> None:
        self._writer.calls.put(functools.partial(method, self, *args))

    return enqueue


class Run:
    """A parent run. Use as a context manager; leaving it waits until all is written, unless the
    writer is one of several runs."""

    def __init__(self, study: str, kind: str, name: str, mark: str, writer: Writer | None = None):
        """`writer`: of several runs that are open together; None: one of its own."""
        self._tags = {"cnnlab.kind": kind, "cnnlab.name": name, "cnnlab.mark": mark}
        self._study, self._name = study, name
        self._writer, self._shared = writer or Writer(), writer is not None
        self._live: dict[str, _Live] = {}  # by trial key
        self._added = False  # whether something was logged of a trial that was not there before
        self._monitor: Any = None  # of the machine, while a trial runs

    def __enter__(self) -> Run:
        if not self._shared:
            self._writer.__enter__()
        self._open()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._shared:
            self._writer.__exit__()

    @_later
    def _open(self) -> None:
        self._client, self._experiment = _connect(self._study)
        runs = self._search({k: v for k, v in self._tags.items() if k != "cnnlab.kind"})
        # The same trials may stand behind runs of two kinds, as of the first look and of a variant.
        kind = self._tags["cnnlab.kind"]
        trials = [r for r in runs if r.data.tags.get("cnnlab.of") == kind]
        parents = [r for r in runs if r.data.tags["cnnlab.kind"] == kind]
        ended = [r for r in trials if r.info.status in ("FINISHED", FAILED)]
        self._logged = {r.data.tags["cnnlab.trial"] for r in ended}
        for cut_off in (r for r in trials if r not in ended):
            self._client.delete_run(cut_off.info.run_id)
        self._before = parents[0] if parents else None

    @functools.cached_property
    def _run(self) -> Any:
        """MLflow's run: one that shows these records, or a new one once something is logged."""
        return self._before or self._create(self._name, {})

    def _search(self, tags: Mapping[str, str]) -> list[Any]:
        """The experiment's runs with these tags."""
        return self._client.search_runs([self._experiment], _having(tags), max_results=10_000)

    def _create(self, title: str, tags: Mapping[str, str]) -> Any:
        every = {**self._tags, **_provenance(), "variant": self._name, **tags}
        return self._client.create_run(self._experiment, run_name=title, tags=every)

    @property
    def _id(self) -> str:
        return self._run.info.run_id

    @_later
    def describe(self, params: Mapping[str, Any], pool: Pool) -> None:
        """Log params (nested ones dotted) and the data set as the run's input."""
        from mlflow.data.pandas_dataset import from_pandas
        from mlflow.entities import DatasetInput, InputTag, Param

        logged = [Param(k, str(v)[:6000]) for k, v in _flat(params).items()]
        self._client.log_batch(self._id, params=logged)
        table = pool.manifest[["image_id", "label", "digest"]].astype(str)
        data = from_pandas(table, targets="label", name=self._study)._to_mlflow_entity()
        tags = [InputTag("mlflow.data.context", "training")]
        self._client.log_inputs(self._id, datasets=[DatasetInput(data, tags)])

    @_later
    def epoch(self, trial: Trial, entry: Mapping[str, float]) -> None:
        """Show an epoch of a trial that is running; batched, so up to `BATCH_SECONDS` late."""
        if trial.key in self._logged:
            return
        self._added = True
        if self._monitor is None:
            if self._run.info.status != RUNNING:  # else the monitor would end at once
                self._client.update_run(self._id, status=RUNNING)
            self._monitor = _watch_machine(self._id)
            self._writer.at_end.callback(self._monitor.finish)
        whole = {LIVE: "1"} if entry["epoch"] == 1 else {}  # not resumed from a checkpoint
        live = self._live.get(trial.key) or self._start(trial, whole)
        live.add(entry)
        if time.monotonic() - live.written > BATCH_SECONDS:
            live.write(self._client)

    @_later
    def trial(self, record: Record) -> None:
        """Log one trial as a nested run, whole, unless it is there already."""
        from mlflow.entities import Param

        trial = record.trial
        if trial.key in self._logged:
            return
        live = self._live.pop(trial.key, None) or self._start(trial, {})
        for entry in record.history:
            live.add(entry)
        for name, value in record.final.items():
            if record.history[-1].get(name) != value:
                live.add_last(name, value)
        live.write(self._client)
        values = {"repeat": trial.repeat, "fold": trial.fold, "member": trial.member}
        values |= {"seed": record.seed, "n_train": record.n_train}
        params = [Param(k, str(v)) for k, v in values.items()]
        self._client.log_batch(live.run_id, params=params)
        self._client.set_terminated(live.run_id)
        self._logged.add(trial.key)
        self._added = True

    @_later
    def diverged(self, diverged: Diverged) -> None:
        """Log a trial that diverged as a nested run that failed, unless it is there already."""
        trial = diverged.trial
        if trial.key in self._logged:
            return
        live = self._live.pop(trial.key, None) or self._start(trial, {})
        for entry in diverged.history:
            live.add(entry)
        live.write(self._client)
        note = f"**{trial.variant}** {trial.key} diverged: {diverged.what}; {diverged.cure}."
        self._fail(live.run_id, note)
        self._logged.add(trial.key)

    @_later
    def fail(self, why: str) -> None:
        """End the run as one that failed."""
        self._end_watch()
        self._fail(self._id, f"**{self._name}** failed: {why}.")

    def _end_watch(self) -> None:
        """End the record of the machine with what was seen since it was written last."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor.publish_metrics(self._monitor.aggregate_metrics())
            self._monitor.mlflow_logger.flush()
            self._monitor = None

    def _fail(self, run_id: str, note: str) -> None:
        self._client.set_tag(run_id, NOTE, note)
        self._client.set_terminated(run_id, FAILED)

    def _start(self, trial: Trial, tags: Mapping[str, str]) -> _Live:
        tags_of_trial = {"cnnlab.kind": "trial", "cnnlab.of": self._tags["cnnlab.kind"]}
        tags_of_trial |= {"cnnlab.trial": trial.key, "fold": str(trial.fold)}
        tags_of_trial["mlflow.parentRunId"] = self._id
        tags_of_trial[NOTE] = (
            f"One network of **{trial.variant}**: trained on all folds of repeat {trial.repeat} "
            f"but fold {trial.fold}, which is held out; member {trial.member} of its ensemble."
        )
        run_id = self._create(f"{trial.variant} {trial.key}", {**tags_of_trial, **tags}).info.run_id
        return self._live.setdefault(trial.key, _Live(run_id))

    @_later
    def finish(
        self,
        done: list[Record],
        pool: Pool,
        model: Path | None = None,
        answering: records.Answering = records.AS_TRAINED,
    ) -> None:
        """Log the metrics of all records together; end it. `model`: a saved network, which is
        logged with its signature, see `cnnlab.logged`; None: none is. `answering`: how it
        answers; with `false_alarms` what it takes for the score lies beside it."""
        # What is logged already is left alone, and its run as long as it was.
        known = self._before is not None and self._before.info.status == "FINISHED"
        known = known and not self._added
        if not known:
            values = summary(done, pool.groups)
            self._log(values)
            note = _description(self._tags["cnnlab.kind"], self._name, values, len(done))
            self._client.set_tag(self._id, NOTE, note)
        if model and not self._client.get_run(self._id).outputs.model_outputs:
            self._log_model(model, pool, answering)
        self._end_watch()
        if not known:
            self._client.set_terminated(self._id)

    def _log(self, values: Mapping[str, float]) -> None:
        """Log values of the run as a whole."""
        whole = _Live(self._id)
        for name, value in values.items():
            whole.add_last(name, value)
        whole.write(self._client)

    def _log_model(self, network: Path, pool: Pool, answering: records.Answering) -> None:
        """Log a saved network as a model that this run made. TensorFlow is not imported."""
        from mlflow.entities import LoggedModelOutput
        from mlflow.models import Model

        run = self._client.get_run(self._id)
        made = self._client.create_logged_model(
            self._experiment, "model", self._id, params=run.data.params, model_type="keras"
        )
        about = Model(made.artifact_location, self._id, model_uuid=made.model_id)
        about.model_id = made.model_id
        example = np.asarray(pool.images[:1], np.float32)
        try:
            with tempfile.TemporaryDirectory() as temporary:
                folder = Path(temporary, "model")
                task = TASKS[pool.task]
                kind = {"maps": task.MAPS, "boxes": bool(task.LOGITS)}
                logged.write_folder(
                    folder, about, network, example, pool.classes, answering, **kind
                )
                self._client.log_model_artifacts(made.model_id, str(folder))
            self._client.log_outputs(self._id, [LoggedModelOutput(made.model_id, step=0)])
        except BaseException:
            self._client.finalize_logged_model(made.model_id, "FAILED")
            raise
        self._client.finalize_logged_model(made.model_id, "READY")

    @_later
    def attach(self, files: list[Path], folder: str, root: Path | None = None) -> None:
        """Log files, such as figures, as artifacts in a folder of the run; those below `root` in
        the folders that they have there, as names are the same in several."""
        for path in files:
            below = path.parent.relative_to(root) if root else Path()
            self._send(self._id, path, Path(folder) / below)

    def _send(self, run_id: str, path: Path, folder: Path) -> None:
        """Log a file as an artifact, in place of one of its name."""
        with tempfile.TemporaryDirectory() as links:  # an artifact has the name of its file
            link = Path(links) / path.name.translate(STAND_INS)
            link.symlink_to(path.absolute())
            self._client.log_artifact(run_id, str(link), folder.as_posix().translate(STAND_INS))

    @_later
    def show(self, marks: Mapping[str, str], folders: Iterable[Path]) -> None:
        """Log the figures in folders of reports/, each in one run, under the path that it has
        there: those of one variant alone in the variant's run; all others in this one, the study's,
        once every variant has its run.

        `marks`: as `lead_to`. Figures that the run was given last are not sent again.
        """
        runs: dict[str | None, Any] = {**self._variants(marks)}
        if len(runs) == len(marks):
            runs[None] = self._run
        figures: dict[str | None, list[Path]] = {}
        for path in sorted(path for folder in folders for path in folder.rglob("*.png")):
            if paths.SHEETS not in path.parents:  # they are in report.html
                figures.setdefault(_variant_in(path, marks), []).append(path)
        for name in figures.keys() & runs.keys():
            tags, run_id = runs[name].data.tags, runs[name].info.run_id
            content = digest(f"{path} {_sha256(path)}" for path in figures[name])
            if tags.get(SHOWN) != content:
                for path in figures[name]:
                    self._send(run_id, path, path.parent.relative_to(paths.REPORTS))
                self._client.set_tag(run_id, SHOWN, content)

    def _variants(self, marks: Mapping[str, str]) -> dict[str, Any]:
        """The runs of variants, of those that have one."""
        runs = self._search({"cnnlab.kind": "variant"})
        logged = {(r.data.tags["cnnlab.name"], r.data.tags["cnnlab.mark"]): r for r in runs}
        return {pair[0]: logged[pair] for pair in marks.items() if pair in logged}

    @_later
    def lead_to(
        self,
        marks: Mapping[str, str],
        answer: str,
        metric: str = "accuracy",
        scores: Mapping[str, Mapping[str, float]] = MappingProxyType({}),
    ) -> None:
        """Make this the run to begin with: what the study found, and where its runs are.

        `marks`: variant -> mark of its run, whose network becomes an input of this run. `answer`:
        Markdown. `metric`: the primary one, by which the page of variants is sorted, see `page`.
        `scores`: variant -> what it scores by that, over the repeats that were added too, which its
        run of the first ones is given; of those left out, what their runs have.
        """
        from mlflow.entities import LoggedModelInput

        m = METRICS[metric]
        models, rows, runs = [], [], self._variants(marks)
        for name in marks:
            if name not in runs:
                raise LookupError(f"no run of variant {name} is logged")
            run_id, had = runs[name].info.run_id, runs[name].data.metrics
            values = {**had, **scores.get(name, {})}
            whole = _Live(run_id)
            for key in sorted(key for key in values if had.get(key) != values[key]):
                whole.add_last(key, values[key])
            whole.write(self._client)
            models += [LoggedModelInput(m.model_id) for m in runs[name].outputs.model_outputs]
            link = f"[{name}](#/experiments/{self._experiment}/runs/{run_id})"
            place = -values[metric] if m.higher_is_better else values[metric]
            rows.append((place, f"| {link} | {_interval(values, metric)} |"))
        head = f"| variant | {m.title} ({m.unit}), mean [{CONFIDENCE:.0%} CI] |\n|---|---|"
        above = fitting(answer.splitlines(), LONGEST // 2, "\n", "- and {} more") + f"\n\n{head}\n"
        best_first = [row for _, row in sorted(rows)]
        table = fitting(best_first, LONGEST - len(above), "\n", "| and {} more | |")
        self._client.set_tag(self._id, NOTE, above + table)
        guide = f"{GUIDE}\n[The variants, best first]({_path(self._experiment)})\n"
        self._client.set_experiment_tag(self._experiment, NOTE, guide)
        self._client.set_experiment_tag(self._experiment, f"{VIEW}.{VARIANTS}", _view(metric))
        if not self._client.get_run(self._id).inputs.model_inputs:
            self._client.log_inputs(self._id, models=models)
        if self._client.get_run(self._id).info.status != "FINISHED":
            self._client.set_terminated(self._id)

    @_later
    def headline(
        self, recommended: str, metrics: Mapping[str, float], params: Mapping[str, Any]
    ) -> None:
        """Log what the study found and what it was, so that studies and their states can be
        compared in MLflow's table.

        `recommended`: a variant, whose summary is among `metrics`. `params`: what the records
        depend on; those that were logged before are left alone, as MLflow never changes one.
        """
        from mlflow.entities import Param

        self._client.set_tag(self._id, "recommended", recommended)
        self._log(metrics)
        known = self._client.get_run(self._id).data.params
        new = [Param(k, str(v)[:6000]) for k, v in _flat(params).items() if k not in known]
        self._client.log_batch(self._id, params=new)

    @_later
    def judged(self, metrics: Mapping[str, float]) -> None:
        """Log what the run's network is worth on the test images, as `test_NAME`."""
        self._log({f"test_{name}": value for name, value in metrics.items()})

    @_later
    def register(self, name: str, about: str) -> None:
        """Make the run's network a version of the registered model `name`, once, and the champion.

        In a DVC experiment the alias stays where it is: an experiment becomes the study's state
        only when it is applied. `about`: the version's description, at most 5000 characters.
        """
        import mlflow

        logged = self._client.get_run(self._id).outputs.model_outputs
        if not logged:
            raise LookupError(f"run {self._id} has no logged model to register")
        mlflow.set_tracking_uri(store())  # MLflow asks a client of its own where the model is
        self._client.set_tag(self._id, NOTE, about)
        with _alone():
            if not self._client.search_registered_models(f"name = '{name}'"):
                self._client.create_registered_model(name)
            versions = self._client.search_model_versions(f"name = '{name}'")
            version = next((v for v in versions if v.run_id == self._id), None)
            if version is None:
                version = self._client.create_model_version(
                    name,
                    source=f"models:/{logged[0].model_id}",
                    run_id=self._id,
                    tags={**self._tags, **_provenance()},
                    description=about,
                    model_id=logged[0].model_id,
                )
            if not os.environ.get("DVC_EXP_NAME"):
                self._client.set_registered_model_alias(name, CHAMPION, version.version)


class _Live:
    """A nested run that is being written: epochs wait here for the next batch."""

    def __init__(self, run_id: str):
        self.run_id, self.written = run_id, 0.0
        self._epoch, self._waiting = 0, []

    def add(self, entry: Mapping[str, float]) -> None:
        """An epoch's values, unless they were added before: a trial that is tried again, or goes
        on from a checkpoint, tells its epochs again."""
        if entry["epoch"] > self._epoch:
            self._epoch = int(entry["epoch"])
            for name, value in entry.items():
                if name != "epoch":
                    self.add_last(name, value)

    def add_last(self, name: str, value: float) -> None:
        """A value at the last epoch."""
        from mlflow.entities import Metric

        self._waiting.append(Metric(name, value, int(time.time() * 1000), self._epoch))

    def write(self, client: MlflowClient) -> None:
        """Send what is waiting."""
        for start in range(0, len(self._waiting), 1000):  # MLflow's limit a request
            client.log_batch(self.run_id, metrics=self._waiting[start : start + 1000])
        self._waiting, self.written = [], time.monotonic()


def _alone() -> filelock.FileLock:
    """Held by one process of this clone at a time: what makes something in the store that others
    would make as well."""
    return filelock.FileLock(paths.workspace() / ".dvc/tmp/mlflow.lock")


def _connect(study: str) -> tuple[MlflowClient, str]:
    """A client, and the id of the study's experiment, both made once whoever comes first."""
    from mlflow import MlflowClient

    _give_up_soon()
    # Processes that meet an empty store would race to create its tables.
    with _alone():
        _mend()
        client = MlflowClient(store())
        experiment = client.get_experiment_by_name(study)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            number = experiment.experiment_id
            raise LookupError(
                f"the experiment {study!r} was deleted; `MLFLOW_TRACKING_URI={store()} mlflow "
                f"experiments restore --experiment-id {number}` brings it back"
            )
        if experiment is not None:
            return client, experiment.experiment_id
        local = store().startswith("sqlite:")
        place = (paths.workspace() / "mlartifacts" / study).as_uri() if local else None
        return client, client.create_experiment(study, artifact_location=place, tags=ML)


def _give_up_soon() -> None:
    """Let MLflow try for seconds to reach a data base, not for minutes."""
    if not store().startswith("http"):
        from mlflow.store.db import utils

        utils.MAX_RETRY_COUNT = 5  # after pauses of 0.1, 0.3, 0.7 and 1.5 seconds


def _mend() -> None:
    """Where the clone was moved or copied, with its own store: let that find its artifacts."""
    file = paths.workspace() / "mlflow.db"
    if not store().startswith("sqlite:") or not store().endswith(_quoted(file)):
        return
    for seen in moved.mend(file):
        here = file.parent / moved.FOLDER
        if seen.mended:
            said = f"note: this clone lay elsewhere: MLflow finds the artifacts of {seen.study} in "
            said += f"{here} now, no longer in {seen.before}"
        else:
            said = f"warning: MLflow lacks the artifacts (networks, figures) of {seen.study}: "
            said += f"{seen.before / seen.study} is not there; copy that folder to {here}"
        print(said, file=sys.stderr)


def page(study: str, metric: str) -> str:
    """The path of the page that shows the runs of a study's variants, best first; empty where
    nothing of the study is logged. `metric`: the primary one. Raises UserError where MLflow cannot
    say."""
    from mlflow import MlflowClient

    _give_up_soon()
    try:
        with _alone():
            _mend()
            client = MlflowClient(store())
            experiment = client.get_experiment_by_name(study)
        if experiment is None or experiment.lifecycle_stage == "deleted":
            return ""
        number = experiment.experiment_id
        client.set_experiment_tag(number, f"{VIEW}.{VARIANTS}", _view(metric))
    except Exception as error:  # a store may fail in any way
        raise UserError(_told(error)) from error
    return _path(number)


def _path(experiment: str) -> str:
    # The first: else MLflow's navigation is that of GenAI.
    asked = f"workflowType=machine_learning&viewStateShareKey={VARIANTS}"
    return f"#/experiments/{experiment}/runs?{asked}"


def _view(metric: str) -> str:
    """How MLflow's page of runs shows variants: what it calls a shared view, as JSON."""
    ends = ["low", "high", "sd"]
    score, loss = TASKS[task_of(metric)].MEASURED
    others = [name for name in (score, loss, f"train_{score}") if name != metric]
    columns = [metric, *(f"{metric}_{end}" for end in ends), *others]
    state = {
        "searchFilter": "tags.`cnnlab.kind` = 'variant'",
        "orderByKey": f"metrics.`{metric}`",
        "orderByAsc": not METRICS[metric].higher_is_better,
        "selectedColumns": [
            *(f"metrics.`{name}`" for name in columns),
            "params.`trials`",
            "tags.`dvc_exp`",
        ],
        "viewMaximized": True,
    }
    return json.dumps(state)


def shown() -> dict[str, str]:
    """Variant -> mark, of the records that reports/ shows; empty before they were compared."""
    if not paths.RECORDS.exists():
        return {}
    with paths.RECORDS.open(newline="") as rows:
        return {row["name"]: row["mark"] for row in csv.DictReader(rows)}


def log_figures(study: str, marks: Mapping[str, str], *folders: Path) -> None:
    """Log figures that were drawn from records of these marks, see `Run.show`."""
    with Run(study, "study", study, digest(marks.values())) as run:
        run.show(marks, folders)


def _variant_in(figure: Path, names: Iterable[str]) -> str | None:
    """The variant that a figure shows alone, as its path says (see `cnnlab.look.figures`); None: it
    shows several, or none."""
    kind, _, rest = figure.as_posix().removeprefix(f"{paths.FIGURES.as_posix()}/").partition("/")
    if kind not in ALONE:
        return None
    alone = [name for name in names if re.match(rf"{re.escape(name)}(/|\.png$|_\d+_)", rest)]
    return max(alone, key=len, default=None)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def fitting(rows: Sequence[str], room: int, between: str, more: str) -> str:
    """Rows as one text; of more than `room` characters, as many whole rows as there is room for,
    then `more` with the number of those left out."""
    for kept in range(len(rows), -1, -1):
        left = [more.format(len(rows) - kept)] if kept < len(rows) else []
        text = between.join([*rows[:kept], *left])
        if len(text) <= room:
            return text
    raise ValueError(f"{room} characters are too few for {more!r}")


def trial_seconds(study: str) -> list[float]:
    """How long each trial of the study's variants took that was logged while it ran, seconds; empty
    where none was, or MLflow cannot say."""
    try:
        client, experiment = _connect(study)
        text = f"tags.`{LIVE}` = '1' and attributes.status = 'FINISHED'"
        text += " and tags.`cnnlab.of` = 'variant'"
        trials = [r.info for r in client.search_runs([experiment], text, max_results=1000)]
    except Exception as error:  # a store may fail in any way, and the answer is but an estimate
        print(f"warning: {_told(error)}", file=sys.stderr)
        return []
    return [(info.end_time - info.start_time) / 1000 for info in trials]


def summary(done: list[Record], groups: Mapping[int, object] | None = None) -> dict[str, float]:
    """Mean, spread over folds and repeats, and interval of each metric of a variant's records.

    `groups`: image_id -> group, see `cnnlab.compare.inference.Split`; None: each image its own.
    """
    means = {metric: records.scores(done, metric) for metric in done[0].final}
    if next(iter(means.values())).shape[1] < 2:  # none was held out
        return {metric: float(scores.mean()) for metric, scores in means.items()}
    name = done[0].trial.variant
    outcomes = Outcomes.of(records.cells(done), name)
    split = split_of({name: outcomes}, groups or {i: i for i in outcomes.image_id.tolist()})
    values = {}
    for metric, scores in means.items():
        each = split.spread(scores)
        if metric in METRICS:
            each = outcomes.of_each(METRICS[metric].values).mean(axis=2)
        (row,) = tables.variant_rows({metric: {name: each}}, {name: []}, split, RULES)
        values[metric] = row[metric]
        values |= {f"{metric}_{end}": row[f"{metric}_{end}"] for end in ("sd", "low", "high")}
    return {name: float(f"{value:.6g}") for name, value in values.items()}  # as tables show them


def _description(kind: str, name: str, values: Mapping[str, float], trials: int) -> str:
    """What a parent run says of itself, in Markdown."""
    kind = {"decide": "Further repeats of", "screen": "Screening of"}.get(kind, kind.capitalize())
    if not any(f"train_{metric}" in values for metric in values):  # no image was held out
        return f"{kind} **{name}**: trained on all images that it is given; none was held out."
    score, _ = measured_in(values)
    what = f"{METRICS[score].title} {_interval(values, score)} %"
    return f"{kind} **{name}**: {what} over {trials} trials, out of fold."


def _interval(values: Mapping[str, float], metric: str) -> str:
    """The mean score of a summary in the metric's unit, with its interval where it has one."""
    m = METRICS[metric]
    text = m.plain(values[metric])
    if f"{metric}_low" in values:
        low, high = (m.plain(values[f"{metric}_{end}"]) for end in ("low", "high"))
        text += f" [{low}, {high}]"
    return text


def _watch_machine(run_id: str) -> Any:
    """A monitor that logs CPU, memory, disk, network and GPU of this machine to a run."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    # A store that fails is told of once, by the run's own writer.
    logging.getLogger(SystemMetricsMonitor.__module__).setLevel(logging.CRITICAL)
    monitor = SystemMetricsMonitor(run_id, resume_logging=True, tracking_uri=store())
    monitor.start()
    return monitor


def _having(tags: Mapping[str, str]) -> str:
    """MLflow's filter for runs with these tags."""
    return " and ".join(f"tags.`{k}` = '{v}'" for k, v in tags.items())


def _provenance() -> dict[str, str]:
    """Tags that say whose run it is, which code made it and which experiment it belongs to; those
    that MLflow shows by the names that it gives them."""
    commit = _git("rev-parse", "HEAD")
    tags = {
        "git_commit": commit,
        "dvc_exp": os.environ.get("DVC_EXP_NAME", ""),
        "mlflow.user": _user(),
        "mlflow.source.type": "LOCAL",
        "mlflow.source.name": _source(),
        "mlflow.source.git.commit": commit,
    }
    return {name: value for name, value in tags.items() if value}


def _user() -> str:
    """Who runs this; empty where the system does not say, as in some containers."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""


def _source() -> str:
    """The script that runs, such as stages/train.py: from the root of the code, if it is there."""
    script, code = Path(sys.argv[0]).resolve(), Path(__file__).resolve().parents[1]
    return script.relative_to(code).as_posix() if script.is_relative_to(code) else script.name


def _git(*arguments: str) -> str:
    """What Git prints; empty where it fails, or is not there."""
    with contextlib.suppress(OSError):
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()
    return ""


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat |= _flat(value, f"{name}.") if isinstance(value, Mapping) else {name: value}
    return flat


def _told(error: Exception) -> str:
    """What MLflow failed with, without the names and passwords that URIs may hold."""
    told = f"MLflow at {store()} failed ({type(error).__name__}: {error})"
    return re.sub(r"://\S*@", "://", told)
