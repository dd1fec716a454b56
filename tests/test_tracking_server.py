"""An `mlflow server` on SQLite and on PostgreSQL: a study is logged to it and read back."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from cnnlab import paths, records, tracking, ui
from cnnlab.recipe.network import initial
from tests.test_tracking import answering

PROGRAMS = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), *Path("/usr/bin").glob("initdb")]

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextlib.contextmanager
def postgresql():
    """URI of an empty data base on a server of its own."""
    if not PROGRAMS or importlib.util.find_spec("psycopg") is None:
        pytest.skip("needs PostgreSQL's server programs and psycopg")
    where = PROGRAMS[-1] if PROGRAMS[-1].is_dir() else PROGRAMS[-1].parent
    user = None
    if os.geteuid() == 0:  # it refuses to run as root
        user = "postgres" if "postgres" in {u.pw_name for u in pwd.getpwall()} else "nobody"
    folder = Path("/tmp") / f"cnnlab-postgresql-{os.getpid()}"  # a user of its own has to get there
    folder.mkdir()
    try:
        if user:
            shutil.chown(folder, user)
        run = {"check": True, "user": user, "cwd": folder, "stdout": subprocess.DEVNULL}
        subprocess.run(
            [where / "initdb", "--auth=trust", "--username=mlflow", folder / "data"], **run
        )
        port = free_port()
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        control = [where / "pg_ctl", "--pgdata", folder / "data", "--log", folder / "log"]
        subprocess.run([*control, "-w", "-o", options, "start"], **run)
        try:
            yield f"postgresql+psycopg://mlflow@127.0.0.1:{port}/postgres"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **run)
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request, tmp_path_factory):
    """The address of a server that keeps its runs there."""
    folder = tmp_path_factory.mktemp("server")
    with contextlib.ExitStack() as stack:
        store = f"sqlite:///{folder}/server.db"
        if request.param == "postgresql":
            store = stack.enter_context(postgresql())
        port = free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(port)]
        command += ["--backend-store-uri", store, "--artifacts-destination", folder / "artifacts"]
        log = folder / "log"
        environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        environment |= ui.SMALL
        with log.open("w") as file:
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            address = f"http://127.0.0.1:{port}"
            for _ in range(120):
                assert process.poll() is None, log.read_text()
                with contextlib.suppress(urllib.error.URLError):
                    OPENER.open(f"{address}/health", timeout=5)
                    break
                time.sleep(1)
            yield address
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


NAMES = [
    "C#",
    "100%",
    "50%25",
    "%2e%2e",
    "why?",
    "a b&c=d;e+f",
    'it\'s "so"',
    "猫",
    "e\u0301",
    "~..",
]


def test_figures_of_any_name_arrive_at_a_server_and_are_shown(server, tmp_path, monkeypatch):
    """The names of classes, in those of files and folders."""
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setattr(paths, "workspace", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    files = [f"overview/plain_0_{name}.png" for name in NAMES]
    files += [f"features/0_{name}/conv.png" for name in NAMES]
    for file in files:
        (paths.FIGURES / file).parent.mkdir(parents=True, exist_ok=True)
        (paths.FIGURES / file).write_text(file)
    with tracking.Run("names", "variant", "plain", "0") as run:
        run.judged({})
    tracking.log_figures("names", {"plain": "0"}, paths.FIGURES)
    client, shown = MlflowClient(server), {}
    experiment = client.get_experiment_by_name("names").experiment_id
    for run in client.search_runs([experiment]):
        (tmp_path / run.info.run_id).mkdir()
        kept = Path(client.download_artifacts(run.info.run_id, "", tmp_path / run.info.run_id))
        for path in filter(Path.is_file, kept.rglob("*")):
            name = path.relative_to(kept).as_posix()
            asked = urllib.parse.urlencode({"run_uuid": run.info.run_id, "path": name})
            page = OPENER.open(f"{server}/get-artifact?{asked}").read()  # as MLflow's pages do
            assert page == path.read_bytes()
            shown[name] = page.decode()
    as_shown = str.maketrans("#%?", "＃％？")
    assert shown == {f"figures/{file}".translate(as_shown): file for file in files}


def test_a_study_is_logged_to_a_server_and_read_back(
    server, tmp_path, monkeypatch, record, base, pool_in, capfd
):
    from mlflow import MlflowClient
    from mlflow.artifacts import download_artifacts

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setattr(paths, "workspace", lambda: tmp_path)
    small = replace(
        base, net="vgg", net_options={"filters": [2], "convs": 1, "kernel": 3, "dense": []}
    )
    pool = pool_in(tmp_path / "pool")
    network = initial(small, 1, pool.images.shape[1:], len(pool.classes))
    records.save_model(network.model, tmp_path / "model.keras")
    marks, scores = {}, {"plain": 0.5, "better": 0.75}
    for name, accuracy in scores.items():
        trials = [
            answering(record(name, 0, fold, accuracy=accuracy + fold / 4), pool) for fold in (0, 1)
        ]
        marks[name] = tracking.mark(trials)
        with tracking.Run("served", "variant", name, marks[name]) as run:
            run.describe({**vars(small), "seed": 1}, pool)
            for trial in trials:
                for entry in trial.history:
                    run.epoch(trial.trial, entry)
                run.trial(trial)
            run.finish(trials, pool, tmp_path / "model.keras")
    with tracking.Run("served", "study", "served", "all") as run:
        run.lead_to(marks, "The better one.")
        run.register("nothing", "")  # it has no network: the one thing that fails
    said = capfd.readouterr().err
    assert said.count("warning") == 1 and "no logged model" in said

    client = MlflowClient(server)
    experiment = client.get_experiment_by_name("served")
    runs = client.search_runs([experiment.experiment_id], order_by=["metrics.accuracy DESC"])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert [run.info.run_name for run in parents] == ["better", "plain", "served"]
    assert len(runs) == 3 + 4
    for run in parents[:2]:
        mean = scores[run.info.run_name] + 0.125
        assert run.data.metrics["accuracy"] == pytest.approx(mean)
        assert run.data.metrics["accuracy_low"] < mean < run.data.metrics["accuracy_high"]
        (model,) = run.outputs.model_outputs
        kept = download_artifacts(
            f"models:/{model.model_id}", dst_path=str(tmp_path / model.model_id)
        )
        assert (Path(kept) / "MLmodel").exists()
    nested = [run for run in runs if run not in parents]
    epochs = client.get_metric_history(nested[0].info.run_id, "accuracy")
    assert [m.step for m in epochs] == [1, 2]
    assert parents[2].data.tags[tracking.NOTE].index("better") < parents[2].data.tags[
        tracking.NOTE
    ].index("plain")
