"""MLflow: what is logged, once each, and that training goes on without it."""

import contextlib
import getpass
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cnnlab import paths, records, served, tracking
from cnnlab.errors import UserError
from cnnlab.recipe.network import initial
from cnnlab.train import unlike

TRIALS = [(repeat, fold) for repeat in (0, 1) for fold in (0, 1)]


def answering(record, pool):
    """The record of a trial that held out its fold of the pool, in fours, and was right as often as
    its accuracy says."""
    rows = np.arange(4) + 4 * record.trial.fold
    labels = pool.labels[rows]
    right = np.arange(4) < round(4 * record.measured["accuracy"])
    predicted = np.where(right, labels, (labels + 1) % 3)
    return replace(
        record,
        image_id=pool.manifest["image_id"].to_numpy()[rows],
        labels=labels,
        outputs=(np.eye(3)[predicted] * 0.7 + 0.1).astype(np.float32),
    )


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A clone's root with an SQLite store, so that no other is touched."""
    folder = tmp_path_factory.mktemp("clone")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder}/mlflow.db")
        patch.setenv("DVC_EXP_NAME", "fuzzy-exp")
        patch.setattr(paths, "workspace", lambda: folder)
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def made(workspace, record, base, pool_in):
    """A pool, a variant's records and its saved network."""
    size = {"filters": [2], "convs": 1, "kernel": 3, "dense": []}
    small = replace(base, net="vgg", net_options=size)
    pool = pool_in(workspace / "pool")
    shape, classes = pool.images.shape[1:], len(pool.classes)
    records.save_model(initial(small, 1, shape, classes).model, workspace / "model.keras")
    trials = [
        answering(record("dropout", r, f, accuracy=0.5 + f / 4, mark=f"{r}{f}"), pool)
        for r, f in TRIALS
    ]
    return SimpleNamespace(pool=pool, trials=trials, model=workspace / "model.keras", recipe=small)


def log(made):
    figure = made.model.with_name("figure.png")
    figure.write_bytes(b"a figure")
    with tracking.Run("some study", "variant", "dropout", tracking.mark(made.trials)) as run:
        run.describe(vars(made.recipe) | {"seed": 20}, made.pool)
        for trial in made.trials:
            run.trial(trial)
        run.finish(made.trials, made.pool, made.model)
        run.attach([figure], "figures")


@pytest.fixture(scope="module")
def store(made):
    """The variant logged, then logged again; what MLflow says is there."""
    from mlflow import MlflowClient

    log(made)
    client = MlflowClient(tracking.store())
    (experiment,) = [e for e in client.search_experiments() if e.name == "some study"]

    def look():
        runs = client.search_runs([experiment.experiment_id])
        parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
        trials = {r.data.tags["cnnlab.trial"]: r for r in runs if r not in parents}
        assert len(parents) == 1
        assert len(trials) == len(runs) - 1
        return parents[0], trials

    return SimpleNamespace(client=client, look=look)


def test_trials_are_nested_below_their_variant(store, made):
    parent, trials = store.look()
    assert sorted(trials) == [t.trial.key for t in made.trials]
    assert {t.data.tags["mlflow.parentRunId"] for t in trials.values()} == {parent.info.run_id}
    assert {run.info.status for run in (parent, *trials.values())} == {"FINISHED"}
    assert parent.info.run_name == "dropout"
    assert len({run.info.run_name for run in trials.values()}) == len(trials)


def test_runs_say_what_they_belong_to(store, root):
    parent, trials = store.look()
    assert parent.data.tags["cnnlab.kind"] == "variant"
    for run in trials.values():
        assert (run.data.tags["cnnlab.kind"], run.data.tags["cnnlab.of"]) == ("trial", "variant")
    for run in (parent, *trials.values()):
        tags = run.data.tags
        assert tags["variant"] == "dropout"
        assert tags["dvc_exp"] == "fuzzy-exp"
        assert tags["cnnlab.mark"]
    assert trials["r1_f0_m0"].data.tags["fold"] == "0"
    assert trials["r0_f1_m0"].data.tags["fold"] == "1"


def test_runs_say_which_commit_they_are_of(root, monkeypatch):
    monkeypatch.chdir(root)
    tags = tracking._provenance()
    if (root / ".git").exists():
        assert len(tags["git_commit"]) == 40
        assert tags["mlflow.source.git.commit"] == tags["git_commit"]
    monkeypatch.delenv("DVC_EXP_NAME", raising=False)
    assert "dvc_exp" not in tracking._provenance()


def test_runs_say_whose_they_are_and_what_made_them(root, monkeypatch, store):
    parent, trials = store.look()
    for run in (parent, *trials.values()):
        assert run.data.tags["mlflow.user"] == run.info.user_id == getpass.getuser()
        assert run.data.tags["mlflow.source.name"]
    monkeypatch.setattr(sys, "argv", [str(root / "stages/train.py"), "dropout"])
    assert tracking._provenance()["mlflow.source.name"] == "stages/train.py"
    monkeypatch.setattr(sys, "argv", ["/elsewhere/tool.py"])
    assert tracking._provenance()["mlflow.source.name"] == "tool.py"

    def nobody():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert "mlflow.user" not in tracking._provenance()


def test_the_machine_is_watched_to_the_end_of_a_run_that_logs_a_network(
    store, made, record, monkeypatch
):
    """And again in a run that ended before: trials were added to it."""
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    mine = [answering(record("watched", 0, fold, accuracy=0.5), made.pool) for fold in (0, 1)]

    def seen():
        """When the machine was looked at last, and the run."""
        number = store.client.get_experiment_by_name("watched").experiment_id
        text = "tags.`cnnlab.kind` = 'variant'"
        (run,) = store.client.search_runs([number], text)
        assert run.info.status == "FINISHED"
        name = "system/cpu_utilization_percentage"
        history = store.client.get_metric_history(run.info.run_id, name)
        steps = [metric.step for metric in history]
        assert sorted(steps) == list(range(len(steps)))
        return max(metric.timestamp / 1000 for metric in history), run

    for trial in mine:
        with tracking.Run("watched", "variant", "watched", "mark") as run:
            run.epoch(trial.trial, trial.history[0])
            while run._monitor is None or run._writer.calls.qsize():
                time.sleep(0.05)
            time.sleep(1)
            end = time.time()
            run.finish(mine, made.pool, made.model)
        last, logged = seen()
        assert last > end - 0.1
        assert len(logged.outputs.model_outputs) == 1


def test_networks_are_logged_without_tensorflow(made, tmp_path):
    """Whose import takes a stage seconds."""
    code = f"""
import sys
from pathlib import Path
import numpy as np
from mlflow.models import Model
from cnnlab import logged, records
example, network = np.zeros((1, 8, 8, 1), np.float32), Path({str(made.model)!r})
classes, folder = ["a", "b", "c"], Path({str(tmp_path / "m")!r})
logged.write_folder(folder, Model(), network, example, classes, records.AS_TRAINED)
assert not {{"tensorflow", "keras"}} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])
    assert (tmp_path / "m/data/network/model.keras").read_bytes() == made.model.read_bytes()


def test_the_study_s_run_has_its_headline(store, made):
    for accuracy, folds in ((0.9, 5), (0.95, 6)):
        with tracking.Run("headline", "study", "headline", "mark") as run:
            run.headline("dropout", {"accuracy": accuracy, "effect_dropout": 0.1}, {"folds": folds})
    number = store.client.get_experiment_by_name("headline").experiment_id
    (run,) = store.client.search_runs([number])
    assert run.data.tags["recommended"] == "dropout"
    assert run.data.metrics == {"accuracy": 0.95, "effect_dropout": 0.1}
    assert run.data.params == {"folds": "5"}  # MLflow never changes a param


@pytest.mark.parametrize(("metric", "ascending"), [("accuracy", False), ("nll", True)])
def test_a_page_shows_the_variants_the_best_first(store, metric, ascending):
    from mlflow.entities import ViewType

    number = store.client.get_experiment_by_name("some study").experiment_id
    path = tracking.page("some study", metric)
    assert path.startswith(f"#/experiments/{number}/runs?")
    assert path.endswith("viewStateShareKey=variants")
    tags = store.client.get_experiment(number).tags
    view = json.loads(tags["mlflow.sharedViewState.variants"])
    assert view["selectedColumns"][0] == view["orderByKey"] == f"metrics.`{metric}`"
    assert view["orderByAsc"] is ascending
    found = store.client.search_runs([number], view["searchFilter"], ViewType.ACTIVE_ONLY)
    assert {run.data.tags["cnnlab.kind"] for run in found} == {"variant"}
    known = {f"metrics.`{name}`" for name in found[0].data.metrics}
    known |= {"params.`trials`", "tags.`dvc_exp`"}
    assert set(view["selectedColumns"]) <= known | {f"metrics.`{metric}_sd`"}
    assert tracking.page("never logged", metric) == ""


def test_params_are_flat(store, made):
    params = store.look()[0].data.params
    assert params["net_options.filters"] == "[2]"
    assert params["learning_rate"] == str(made.recipe.learning_rate)
    assert params["seed"] == "20"
    trial = store.look()[1]["r1_f0_m0"].data.params
    assert (trial["repeat"], trial["fold"], trial["member"]) == ("1", "0", "0")
    assert (trial["seed"], trial["n_train"]) == ("100", "8")


@pytest.mark.parametrize("metric", ["accuracy", "nll", "train_accuracy", "train_nll", "objective"])
def test_every_epoch_s_metrics_have_their_step(store, made, metric):
    _, trials = store.look()
    for mine in made.trials:
        run = trials[mine.trial.key]
        logged = store.client.get_metric_history(run.info.run_id, metric)
        found = sorted((m.step, m.value) for m in logged)
        assert found == [(entry["epoch"], entry[metric]) for entry in mine.history]


def test_final_metrics_can_be_compared(store, made):
    parent, trials = store.look()
    for mine in made.trials:
        shown = trials[mine.trial.key].data.metrics
        assert {k: shown[k] for k in mine.final} == pytest.approx(mine.final)
    scores = records.scores(made.trials, "accuracy")
    expected = {"accuracy": 0.625, "accuracy_sd": scores.std(ddof=1)}
    assert {k: parent.data.metrics[k] for k in expected} == pytest.approx(expected, rel=1e-5)
    low, high = (parent.data.metrics[f"accuracy_{end}"] for end in ("low", "high"))
    assert 0 < low < 0.625 < high < 1


def test_intervals_hold_what_is_possible(record):
    """Of a network that is nearly always right, and of what else trials record."""
    labels = np.arange(50) % 3
    trials = []
    for fold, (wrong, loss) in enumerate(zip((0, 1, 0, 3, 0), (0, 0.3, 0.01, 0, 0), strict=True)):
        predicted = np.where(np.arange(50) < wrong, (labels + 1) % 3, labels)
        of_fold = replace(
            record("x", 0, fold, accuracy=1 - wrong / 50),
            image_id=np.arange(50) + 50 * fold,
            labels=labels,
            outputs=(np.eye(3)[predicted] * 0.97 + 0.01).astype(np.float32),
        )
        of_fold.measured.update(dead_units=loss, weight_norm=5 * loss)
        trials.append(of_fold)
    values = tracking.summary(trials)
    for name, most in (("accuracy", 1), ("nll", 17), ("dead_units", 1)):
        low, high = (values[f"{name}_{end}"] for end in ("low", "high"))
        assert 0 < low < values[name] < high < most, name
    low, high = (values[f"weight_norm_{end}"] for end in ("low", "high"))
    assert (low + high) / 2 == pytest.approx(values["weight_norm"])  # any number is possible


def test_the_data_set_is_the_input(store):
    inputs = store.look()[0].inputs.dataset_inputs
    assert len(inputs) == 1
    assert inputs[0].dataset.name == "some study"
    assert "digest" in inputs[0].dataset.schema
    assert inputs[0].dataset.digest


@pytest.mark.filterwarnings("ignore:The structure of")  # MLflow hands Keras a list
def test_the_model_has_its_signature_and_can_be_loaded(store, made):
    import mlflow

    mlflow.set_tracking_uri(tracking.store())
    (output,) = store.look()[0].outputs.model_outputs
    model = store.client.get_logged_model(output.model_id)
    signature = mlflow.models.get_model_info(model.model_uri).signature
    assert signature.inputs.input_names() == ["images"]
    assert signature.outputs.input_names() == ["2", "9", "10"]
    images = made.pool.images[:2].astype(np.float32)
    loaded = mlflow.pyfunc.load_model(model.model_uri)
    served = loaded.predict(images)
    logits = np.asarray(records.load_model(made.model)(images, training=False))
    own = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    assert list(served.columns) == ["2", "9", "10"]
    for kind in (np.uint8, np.float64, object):
        np.testing.assert_array_equal(loaded.predict(images.astype(kind)), served)
    np.testing.assert_allclose(served, own, rtol=1e-4)
    keras_model = mlflow.tensorflow.load_model(model.model_uri)
    np.testing.assert_allclose(keras_model(images, training=False), logits, rtol=1e-5)
    about = {"classes": ["2", "9", "10"], "shape": [8, 8, 1], "temperature": 1.0, "flips": False}
    assert loaded.metadata.metadata == about
    example = loaded.metadata.load_input_example()["images"]
    np.testing.assert_array_equal(example, made.pool.images[:1])


def test_a_network_is_served_as_it_is_meant_to_answer(store, made):
    import mlflow

    def log(answering):
        mark = tracking.mark(made.trials, answering)
        with tracking.Run("warm", "final", "final", mark) as run:
            run.finish(made.trials, made.pool, made.model, answering)
        (found,) = store.client.search_runs(
            [store.client.get_experiment_by_name("warm").experiment_id],
            f"tags.`cnnlab.mark` = '{mark}'",
        )
        (output,) = found.outputs.model_outputs
        return mlflow.pyfunc.load_model(store.client.get_logged_model(output.model_id).model_uri)

    mlflow.set_tracking_uri(tracking.store())
    images = made.pool.images[:2].astype(np.float32)
    # Runs of their own: each has another network to serve.
    plain, warm = log(records.AS_TRAINED), log(records.Answering(2.0))
    soft = np.sqrt(plain.predict(images).to_numpy())
    np.testing.assert_allclose(
        warm.predict(images), soft / soft.sum(axis=1, keepdims=True), rtol=1e-4
    )
    assert warm.metadata.metadata["temperature"] == 2.0
    both = log(records.Answering(flips=True)).predict(images).to_numpy()
    ways = [plain.predict(way).to_numpy() for way in (images, images[:, :, ::-1])]
    means = np.sqrt(ways[0] * ways[1])  # of logits
    np.testing.assert_allclose(both, means / means.sum(axis=1, keepdims=True), rtol=1e-4)


def registered(client):
    """Number, run and aliases of the versions of the registered model, the first first."""
    found = client.search_model_versions("name = 'some-study'")
    alias = client.get_registered_model("some-study").aliases
    return [
        (v.version, v.run_id, [a for a, n in alias.items() if int(n) == int(v.version)])
        for v in sorted(found, key=lambda v: int(v.version))
    ]


def test_the_final_network_is_registered_once_and_the_last_one_is_the_champion(
    store, made, record, monkeypatch
):
    def final(mark, **judged):
        with tracking.Run("final study", "final", "final", mark) as run:
            run.finish(made.trials, made.pool, made.model)
            run.judged({"accuracy": 0.5, **judged})
            run.register("some-study", "what it is worth")
            run.attach([], "")  # waits for its turn
        found = store.client.search_runs(
            [store.client.get_experiment_by_name("final study").experiment_id],
            f"tags.`cnnlab.mark` = '{mark}'",
        )
        return found[0]

    monkeypatch.delenv("DVC_EXP_NAME")
    first = final("one")
    assert first.data.metrics["test_accuracy"] == 0.5
    assert registered(store.client) == [(1, first.info.run_id, ["champion"])]
    assert final("one").info.run_id == first.info.run_id
    assert registered(store.client) == [(1, first.info.run_id, ["champion"])]
    (version,) = store.client.search_model_versions("name = 'some-study'")
    assert version.description == "what it is worth" and version.tags["cnnlab.mark"] == "one"

    monkeypatch.setenv("DVC_EXP_NAME", "tried-out")
    second = final("two")
    assert registered(store.client)[1] == (2, second.info.run_id, [])
    monkeypatch.delenv("DVC_EXP_NAME")
    final("two")  # the experiment was applied, and logged again by `make track`
    aliases = [names for *_, names in registered(store.client)]
    assert aliases == [[], ["champion"]]


def test_a_run_without_a_model_registers_nothing_and_says_so(store, capfd):
    with tracking.Run("final study", "final", "final", "no model") as run:
        run.register("nothing", "")
    assert "no logged model" in capfd.readouterr().err
    assert not store.client.search_registered_models("name = 'nothing'")


def test_columns_besides_classes_have_names_of_their_own():
    assert served.column("set", ["cat", "dog"]) == "set"
    assert served.column("set", ["set", "set_", "dog"]) == "set__"


def test_a_network_that_says_more_is_another_to_serve():
    ways = [
        records.AS_TRAINED,
        records.Answering(coverage=0.9, least=0.2),
        records.Answering(coverage=0.95, least=0.2),
        records.Answering(coverage=0.9, least=0.3),
        records.Answering(false_alarms=0.05),
        records.Answering(false_alarms=0.1),
    ]
    assert len({tracking.digest(["a"], way) for way in ways}) == len(ways)


def test_a_server_answers_for_the_champion(store, made, workspace):
    """As the model card says: `mlflow models serve -m models:/STUDY@champion`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (workspace / "home").mkdir()
    home = Path(shutil.copy(made.model, workspace / "home"))
    network = records.load_model(home)
    unlike.Unlike.of(unlike.features(network)(made.pool.images[:8])).write(home.parent)
    way = records.Answering(coverage=0.9, least=0.2, false_alarms=0.05)
    with tracking.Run("final study", "final", "final", "served") as run:
        run.finish(made.trials, made.pool, home, way)
        run.register("served", "")
    store.client.set_registered_model_alias("served", "champion", "1")  # this is an experiment
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/served@champion"]
    command += ["--env-manager", "local", "--port", str(port)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    log = workspace / "serve.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # it starts a process of its own, which has to end too
            # MLflow hands on every Keras class that other tests have registered, in their modules.
            env={**os.environ, "PATH": path, "PYTHONPATH": str(Path(__file__).parents[1])},
        )
    try:
        images = np.stack([made.pool.images[0], 255 - made.pool.images[0]]).astype(np.float32)
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations",
            json.dumps({"inputs": images.tolist()}).encode(),
            {"Content-Type": "application/json"},
        )
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        for _ in range(300):
            assert server.poll() is None, log.read_text()
            try:
                answer = json.load(opener.open(request, timeout=60))
                break
            except urllib.error.URLError:
                time.sleep(1)
        classes = ["2", "9", "10"]
        rows = answer["predictions"]
        assert [list(row) for row in rows] == [[*classes, "set", "unlike"]] * 2
        shares = np.array([[row[name] for name in classes] for row in rows])
        for row, share in zip(rows, shares, strict=True):
            order = np.argsort(-share)
            kept = [k for k in order if share[k] >= 0.2 or k == order[0]]
            assert row["set"] == [classes[k] for k in kept]
        how_unlike = unlike.read(home.parent).scores(unlike.features(network)(images.astype("u1")))
        np.testing.assert_allclose([row["unlike"] for row in rows], how_unlike, rtol=1e-3)
        ragged = [images[0].tolist(), images[1, :4].tolist()]
        for wrong, what in (
            (images[:, :4].tolist(), "of shape (2, 4, 8, 1)"),
            (images[0].tolist(), "of shape (8, 8, 1)"),  # no list of images
            (ragged, "of unequal sizes, or no numbers"),
            ("cat.jpg", "of unequal sizes, or no numbers"),
            ((0 * images - 1).tolist(), "of numbers from -1 to -1"),
        ):
            sent = json.dumps({"inputs": wrong}).encode()
            with pytest.raises(urllib.error.HTTPError) as refused:
                opener.open(urllib.request.Request(request.full_url, sent, request.headers))
            refusal = json.load(refused.value)
            assert refused.value.code == 400 and "stack_trace" not in refusal
            assert refusal["message"] == (
                f"images {what}; allowed: (n, 8, 8, 1), numbers from 0 to 255"
            )
        logits = np.asarray(network(images, training=False))
        own = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(shares, own, rtol=1e-4)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def test_files_are_attached(store):
    parent, _ = store.look()
    artifacts = store.client.list_artifacts(parent.info.run_id, "figures")
    assert [a.path for a in artifacts] == ["figures/figure.png"]


def test_files_of_one_name_stay_apart(store, made):
    files = [made.model.parent / "pictures" / kind / "a.png" for kind in ("kernels", "peaks")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"a figure")
    with tracking.Run("pictured study", "variant", "pictured", "0") as run:
        run.attach(files, "figures", files[0].parents[1])
    experiment = store.client.get_experiment_by_name("pictured study").experiment_id
    (parent,) = store.client.search_runs([experiment])
    kept = [a.path for k in ("kernels", "peaks")
            for a in store.client.list_artifacts(parent.info.run_id, f"figures/{k}")]  # fmt: skip
    assert kept == ["figures/kernels/a.png", "figures/peaks/a.png"]


def test_a_deleted_experiment_is_named_with_what_restores_it(store, capfd):
    with tracking.Run("deleted study", "variant", "a", "0"):
        pass
    experiment = store.client.get_experiment_by_name("deleted study").experiment_id
    store.client.delete_experiment(experiment)
    capfd.readouterr()
    with tracking.Run("deleted study", "variant", "b", "0"):
        pass
    restore = f"mlflow experiments restore --experiment-id {experiment}"
    assert restore in capfd.readouterr().err
    assert tracking.trial_seconds("deleted study") == []
    assert restore in capfd.readouterr().err


def test_a_store_that_cannot_be_asked_is_named(tmp_path, monkeypatch, capfd):
    broken = tmp_path / "broken.db"
    broken.write_text("no data base")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{broken}")
    assert tracking.trial_seconds("study") == []
    assert f"warning: MLflow at sqlite:///{broken} failed" in capfd.readouterr().err
    with pytest.raises(UserError, match=f"MLflow at sqlite:///{broken} failed"):
        tracking.page("study", "accuracy")


def test_runs_describe_themselves(store, made):
    parent, trials = store.look()
    note = parent.data.tags[tracking.NOTE]
    mean = 100 * parent.data.metrics["accuracy"]
    assert note.startswith(f"Variant **dropout**: accuracy {mean:.1f} [")
    assert f"over {len(made.trials)} trials" in note
    assert "but fold 1, which is held out" in trials["r0_f1_m0"].data.tags[tracking.NOTE]


def test_the_study_s_run_leads_to_its_variants(store, made):
    log_again = replace(made.trials[0], fingerprint="of this test")
    with tracking.Run("led study", "variant", "dropout", tracking.mark([log_again])) as run:
        run.trial(log_again)
        run.finish([log_again], made.pool, made.model)
    marks = {"dropout": tracking.mark([log_again])}
    experiment = store.client.get_experiment_by_name("led study").experiment_id
    (parent,) = (
        run
        for run in store.client.search_runs([experiment])
        if "mlflow.parentRunId" not in run.data.tags
    )
    for _ in range(2):  # again adds nothing
        with tracking.Run("led study", "study", "led study", "all of it") as run:
            run.lead_to(marks, "Dropout it is.")
            run.attach([made.model], "report")
        (found,) = store.client.search_runs([experiment], "tags.`cnnlab.kind` = 'study'")
        note, accuracy = found.data.tags[tracking.NOTE], log_again.final["accuracy"]
        assert note.startswith("Dropout it is.")
        link = f"[dropout](#/experiments/{experiment}/runs/{parent.info.run_id})"
        assert f"| {link} | {100 * accuracy:.1f} |" in note
        inputs = store.client.get_run(found.info.run_id).inputs
        assert [m.model_id for m in inputs.model_inputs] == [
            m.model_id for m in parent.outputs.model_outputs
        ]
        assert found.info.status == "FINISHED"
        kept = store.client.list_artifacts(found.info.run_id, "report")
        assert [a.path for a in kept] == ["report/model.keras"]
    guide = store.client.get_experiment(experiment).tags[tracking.NOTE]
    assert "Begin here" in guide


def test_variants_have_the_scores_of_all_repeats_and_keep_their_length(store, made):
    """Those of `decide` too, by the primary metric, whatever it is."""
    log_again = replace(made.trials[0], fingerprint="of another test")
    marks = {"dropout": tracking.mark([log_again])}
    scores = {"dropout": {"macro_f1": 0.625, "macro_f1_low": 0.5, "macro_f1_high": 0.75}}

    def log():
        with tracking.Run("score study", "variant", "dropout", marks["dropout"]) as run:
            run.trial(log_again)
            run.finish([log_again], made.pool)
        with tracking.Run("score study", "study", "score study", "all of it") as run:
            run.lead_to(marks, "Dropout it is.", "macro_f1", scores)
        experiment = store.client.get_experiment_by_name("score study").experiment_id
        runs = store.client.search_runs([experiment])
        points = {
            (run.info.run_id, name): len(store.client.get_metric_history(run.info.run_id, name))
            for run in runs
            for name in run.data.metrics
        }
        return {run.data.tags["cnnlab.kind"]: run for run in runs}, points

    (first, points), (second, same) = log(), log()
    assert points == same
    assert scores["dropout"].items() <= first["variant"].data.metrics.items()
    assert "macro F1 (%), mean [95% CI]" in first["study"].data.tags[tracking.NOTE]
    assert "| 62.5 [50.0, 75.0] |" in first["study"].data.tags[tracking.NOTE]
    assert [run.info.end_time for run in second.values()] == [
        run.info.end_time for run in first.values()
    ]


def test_a_variant_that_was_never_logged_is_named(store, capfd):
    with tracking.Run("led study", "study", "another", "of nothing") as run:
        run.lead_to({"absent": "0"}, "")
    said = capfd.readouterr().err
    assert "no run of variant absent is logged" in said and "make track" in said


def test_the_machine_is_watched_while_a_trial_runs(store, made, record, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    trial = record("watched", 0, 0)
    with tracking.Run("watched study", "variant", "watched", tracking.mark([trial])) as run:
        for entry in trial.history:
            run.epoch(trial.trial, entry)
            time.sleep(0.5)
        run.trial(trial)
    experiment = store.client.get_experiment_by_name("watched study").experiment_id
    runs = store.client.search_runs([experiment])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert 0 < parent.data.metrics["system/cpu_utilization_percentage"] <= 100
    assert not any(thread.name == "SystemMetricsMonitor" for thread in threading.enumerate())


def test_artifacts_stay_in_the_clone(store, workspace):
    parent, _ = store.look()
    assert Path(parent.info.artifact_uri.removeprefix("file://")).is_relative_to(workspace)


def test_logging_again_adds_nothing_and_one_trial_more_adds_itself(store, made, record):
    before = store.look()
    log(made)
    parent, trials = store.look()
    assert parent.info.run_id == before[0].info.run_id
    assert {k: r.info.run_id for k, r in trials.items()} == {
        k: r.info.run_id for k, r in before[1].items()
    }
    assert len(parent.outputs.model_outputs) == len(parent.inputs.dataset_inputs) == 1
    # A run that was cut off before its parent knew all of its trials.
    with tracking.Run("some study", "variant", "dropout", tracking.mark(made.trials)) as run:
        run.trial(record("dropout", 2, 0))
    assert len(store.look()[1]) == len(trials) + 1


def test_other_records_are_another_run(store, made, record):
    others = [*made.trials[:-1], record("dropout", 1, 1, mark="edited")]
    assert tracking.mark(others) != tracking.mark(made.trials)
    assert tracking.mark(made.trials) == tracking.digest(t.fingerprint for t in made.trials)
    with tracking.Run("another study", "variant", "dropout", tracking.mark(others)):
        pass
    store.look()  # asserts that there is one parent here


@pytest.fixture
def closed_port():
    """A port at which nothing answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:{port}",
        "http://someone:pass-word@127.0.0.1:{port}",
        "postgresql://someone:pass-word@127.0.0.1:{port}/mlflow",
        "nonsense://someone:pass-word@nowhere/",
        "sqlite:///{file}/mlflow.db",
    ],
)
def test_a_store_that_is_away_costs_one_warning(
    uri, closed_port, made, monkeypatch, tmp_path, capfd
):
    monkeypatch.setattr(paths, "workspace", lambda: tmp_path)
    file = tmp_path / "file"  # where a folder would have to be
    file.touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri.format(port=closed_port, file=file))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    began = time.monotonic()
    log(made)
    assert time.monotonic() - began < 60
    told = capfd.readouterr()
    assert told.err.count("warning: MLflow") == 1
    assert "records are complete" in told.err
    assert "pass-word" not in told.err + told.out
    scheme = uri.partition("://")[0]
    assert f"at {scheme}://" in told.err


def test_a_failure_later_on_is_one_warning_too(store, made, monkeypatch, capfd, record):
    def fail(*_, **__):
        raise ConnectionError("gone")

    with tracking.Run("some study", "variant", "unlucky", "mark") as run:
        monkeypatch.setattr(tracking.Run, "_start", fail)
        run.trial(record("unlucky"))
        run.trial(record("unlucky", fold=1))
        run.finish(made.trials, made.pool, made.model)
    assert capfd.readouterr().err.count("gone") == 1


def steps(client, run, metric="nll"):
    return sorted(m.step for m in client.get_metric_history(run.info.run_id, metric))


def test_epochs_show_while_a_trial_runs_and_each_once(store, made, record, monkeypatch):
    """Told again, as by a trial that is tried again, they are not logged again."""
    from mlflow import MlflowClient

    monkeypatch.setattr(tracking, "BATCH_SECONDS", -1.0)
    mine = record("live", 0, 0)
    tags = "tags.`cnnlab.name` = 'live' and tags.`cnnlab.trial` = 'r0_f0_m0'"

    def shown():
        client = MlflowClient(tracking.store())
        experiment = client.get_experiment_by_name("some study").experiment_id
        return client, client.search_runs([experiment], tags)

    with tracking.Run("some study", "variant", "live", "mark") as run:
        run.epoch(mine.trial, mine.history[0])
        run.attach([], "")  # the queue is in order: once this is taken, the epoch is written
        while run._writer.calls.qsize():
            pass
        run.describe({}, made.pool)
        while run._writer.calls.qsize():
            pass
        client, (live,) = shown()
        assert live.info.status == "RUNNING"
        assert steps(client, live) == [mine.history[0]["epoch"]]
        run.epoch(mine.trial, mine.history[0])
        run.trial(mine)
    client, (live,) = shown()
    assert live.info.status == "FINISHED"
    assert steps(client, live) == [entry["epoch"] for entry in mine.history]


def test_a_trial_that_was_cut_off_is_logged_anew(store, record, monkeypatch):
    monkeypatch.setattr(tracking, "BATCH_SECONDS", -1.0)
    mine = record("cut", 0, 0)
    with tracking.Run("some study", "variant", "cut", "mark") as run:
        run.epoch(mine.trial, mine.history[0])
    with tracking.Run("some study", "variant", "cut", "mark") as run:
        run.trial(mine)
    experiment = store.client.get_experiment_by_name("some study").experiment_id
    text = "tags.`cnnlab.name` = 'cut' and tags.`cnnlab.trial` = 'r0_f0_m0'"
    (logged,) = store.client.search_runs([experiment], text)
    assert logged.info.status == "FINISHED"
    assert steps(store.client, logged) == [entry["epoch"] for entry in mine.history]


def test_who_trains_does_not_wait_for_a_store_that_hangs(made, record, monkeypatch, capfd):
    """A hundred epochs are told in no time while a server keeps its callers waiting."""
    release = threading.Event()

    def hang(study):
        release.wait(30)
        raise ConnectionError("timed out")

    monkeypatch.setattr(tracking, "_connect", hang)
    mine = record("waiting", 0, 0)
    with tracking.Run("some study", "variant", "waiting", "mark") as run:
        for _ in range(100):
            run.epoch(mine.trial, mine.history[0])
        assert not release.is_set()
        release.set()
    assert capfd.readouterr().err.count("timed out") == 1


@pytest.mark.parametrize("name", ["a?b", "a%41b", "a b#c", "é漢"])
def test_the_store_is_in_the_clone_whatever_its_path_is_called(monkeypatch, tmp_path, name):
    root = tmp_path / name
    (root / ".dvc/tmp").mkdir(parents=True)
    monkeypatch.setattr(paths, "workspace", lambda: root)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client, experiment = tracking._connect("anywhere")
    run = client.create_run(experiment).info.run_id
    client.log_text(run, "x", "kept.txt")
    assert (root / "mlflow.db").stat().st_size > 0
    assert len(list((root / "mlartifacts").rglob("kept.txt"))) == 1


def test_the_store_is_the_clone_s_unless_another_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "workspace", lambda: tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking.store() == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
    assert tracking.store() == "http://elsewhere"


def test_what_diverged_is_a_failed_run_once(made, store):
    trial = records.Trial("steep", 0, 0, 0)
    history = made.trials[0].history
    one = records.Diverged(trial, "f00d", "nan", "lower the learning rate (10)", history)
    for _ in range(2):
        with tracking.Run("some study", "variant", "steep", "mark") as run:
            run.diverged(one)
            run.fail("1 of 1 trainings diverged")
    experiment = store.client.get_experiment_by_name("some study").experiment_id
    runs = store.client.search_runs([experiment], "tags.variant = 'steep'")
    assert {run.info.status for run in runs} == {"FAILED"} and len(runs) == 2
    notes = {run.info.run_name: run.data.tags[tracking.NOTE] for run in runs}
    assert notes["steep"] == "**steep** failed: 1 of 1 trainings diverged."
    assert "the loss was nan in epoch 3; lower the learning rate (10)" in notes["steep r0_f0_m0"]
