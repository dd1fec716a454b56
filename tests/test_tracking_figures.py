"""Figures in MLflow: each of reports/ in one run, under the path that it has; and long texts."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from cnnlab import observed, paths, tracking
from cnnlab.tracking import LONGEST, NOTE

MARKS = {"a": "mark of a", "a_0": "mark of a_0"}
OF_A = {
    "figures/gradcam/a.png",
    "figures/kernels/a/00_conv.png",
    "figures/overview/a_0_cat.png",
    "figures/peaks/a/00_conv.png",
}
OF_A_0 = {path.replace("a.png", "a_0.png").replace("a/", "a_0/") for path in OF_A}
OF_A_0 = {path.replace("a_0_cat", "a_0_0_cat") for path in OF_A_0}
OF_ALL = {
    "augment/augment.png",
    "compare/a.png",
    "compare/ablation_effects.png",
    "curves/accuracy.png",
    "data/samples.png",
    "figures/features/0_a/00_conv.png",
    "figures/features/0_cat/00_conv.png",
    "figures/inside/a.png",
}


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    """The file of an empty store, which takes seconds to make."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture
def study(tmp_path, monkeypatch, empty):
    """A study's folder with figures, and an empty store."""
    shutil.copy(empty, tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setattr(paths, "workspace", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    for figure in (*OF_A, *OF_A_0, *OF_ALL, "figures/sheets/kernels/trained/00_conv/a.png"):
        path = paths.REPORTS / figure
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(figure)
    return tmp_path


def logged():
    """Name of each run -> its artifacts, by their paths: their content."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking.store())
    experiment = client.get_experiment_by_name("photos").experiment_id
    found = {}
    for run in client.search_runs([experiment]):
        root = Path(run.info.artifact_uri.removeprefix("file://"))
        files = [path for path in root.rglob("*") if path.is_file()]
        found[run.info.run_name] = {p.relative_to(root).as_posix(): p.read_text() for p in files}
    return found


def log_variant(name):
    with tracking.Run("photos", "variant", name, MARKS[name]) as run:
        run.judged({})


@pytest.fixture
def sent(monkeypatch):
    """Names of the files that were sent to MLflow."""
    from mlflow import MlflowClient

    names, send = [], MlflowClient.log_artifact

    def log_artifact(self, run_id, local_path, artifact_path=None):
        names.append(f"{artifact_path}/{Path(local_path).name}")
        send(self, run_id, local_path, artifact_path)

    monkeypatch.setattr(MlflowClient, "log_artifact", log_artifact)
    return names


def test_every_figure_is_in_one_run_under_its_path(study):
    for name in MARKS:
        log_variant(name)
    tracking.log_figures("photos", MARKS, *paths.DRAWN)
    found = logged()
    assert {name: set(files) for name, files in found.items()} == {
        "a": OF_A,
        "a_0": OF_A_0,
        "photos": OF_ALL,
    }
    for files in found.values():
        assert all(path == content for path, content in files.items())


def test_what_is_there_is_not_sent_again_and_what_changed_is_replaced(study, sent):
    for name in MARKS:
        log_variant(name)
    tracking.log_figures("photos", MARKS, *paths.DRAWN)
    assert len(sent) == len(set(sent)) == len(OF_A | OF_A_0 | OF_ALL)
    tracking.log_figures("photos", MARKS, *paths.DRAWN)
    assert len(sent) == len(OF_A | OF_A_0 | OF_ALL)
    # As long as before, so that only its content tells.
    (paths.REPORTS / "figures/gradcam/a.png").write_text("figures/gradcam/b.png")
    tracking.log_figures("photos", MARKS, paths.FIGURES)
    found = logged()
    assert found["a"]["figures/gradcam/a.png"] == "figures/gradcam/b.png"
    assert set(found["a"]) == OF_A and set(found["photos"]) == OF_ALL


def test_figures_wait_for_the_runs_that_they_are_of(study):
    """And no run of a variant, or of a study that nothing would end, is made for them."""
    log_variant("a")
    tracking.log_figures("photos", MARKS, *paths.DRAWN)
    assert {name: set(files) for name, files in logged().items()} == {"a": OF_A}
    log_variant("a_0")
    tracking.log_figures("photos", MARKS, *paths.DRAWN)
    found = logged()
    assert (set(found["a_0"]), set(found["photos"])) == (OF_A_0, OF_ALL)


@pytest.fixture
def train(monkeypatch, record, small_pool):
    """Trains a variant, as its stage does in a fresh clone: the records are those of before."""
    monkeypatch.setattr(tracking.Run, "_log_model", lambda *_: None)

    def make(name, mark="f00d"):
        done = [record(name, 0, fold, mark=mark) for fold in (0, 1)]
        plan = [SimpleNamespace(trial=r.trial, mark=r.fingerprint) for r in done]
        monkeypatch.setattr(observed, "run", lambda *_, **__: done)
        recipe = SimpleNamespace(epochs=2)
        job = SimpleNamespace(
            name=name, recipe=recipe, plan=lambda: plan, pool=small_pool, members=1, seed=1
        )
        execution = SimpleNamespace(where={})
        observed.run_observed(job, paths.RUNS / name, execution, "photos", "variant")

    return make


def test_figures_of_stages_that_dvc_skips_are_logged_as_their_variants_are(study, train):
    """A fresh clone: reports/ is committed and shows the very records that are trained again."""
    mark = tracking.digest(["f00d", "f00d"])
    paths.RECORDS.write_text(f"name,mark\na,{mark}\na_0,{mark}\n")
    train("a")
    assert {name: set(files) for name, files in logged().items()} == {"a": OF_A}
    train("a_0")
    found = logged()
    assert {name: set(files) for name, files in found.items()} == {
        "a": OF_A,
        "a_0": OF_A_0,
        "photos": OF_ALL,
    }


def test_figures_of_other_records_are_not_logged(study, train):
    mark = tracking.digest(["f00d", "f00d"])
    paths.RECORDS.write_text(f"name,mark\na,{mark}\na_0,{mark}\n")
    train("a", mark="another recipe")
    assert logged() == {"a": {}}


def test_before_anything_was_compared_nothing_is_shown(study, train):
    assert tracking.shown() == {}
    train("a")
    assert logged() == {"a": {}}


def test_rows_are_left_out_whole_and_counted():
    rows = [f"| {i} |" for i in range(100)]
    assert tracking.fitting(rows, 1000, "\n", "| and {} more |") == "\n".join(rows)
    text = tracking.fitting(rows, 80, "\n", "| and {} more |")
    assert len(text) <= 80 and text.splitlines()[:-1] == rows[: text.count("\n")]
    assert text.splitlines()[-1] == f"| and {100 - text.count(chr(10))} more |"
    assert tracking.fitting(rows[:1], 3, "\n", "+{}") == "+1"
    assert tracking.fitting([], 0, "\n", "+{}") == ""


@pytest.mark.parametrize("variants", [3, 200])
@pytest.mark.parametrize("answers", [2, 500])
def test_the_study_s_description_is_cut_at_a_row(study, monkeypatch, variants, answers):
    names = [f"{'long_name_' * 5}{i:03d}" for i in range(variants)]
    run = {
        name: SimpleNamespace(
            info=SimpleNamespace(run_id=f"{i:032x}"),
            data=SimpleNamespace(metrics={"accuracy": 1 - i / 1000}),
            outputs=SimpleNamespace(model_outputs=[]),
        )
        for i, name in enumerate(names)
    }
    monkeypatch.setattr(tracking.Run, "_variants", lambda *_: run)
    answer = "\n".join(f"- **technique {i}** helps, says a sentence" for i in range(answers))
    with tracking.Run("photos", "study", "photos", "0") as parent:
        parent.lead_to(dict.fromkeys(names, "0"), answer)
    from mlflow import MlflowClient

    client = MlflowClient(tracking.store())
    experiment = client.get_experiment_by_name("photos").experiment_id
    (found,) = client.search_runs([experiment])
    note = found.data.tags[NOTE]
    assert len(note) <= LONGEST
    rows = re.findall(r"^\| \[(long_name_\w+)\]\(#/\S+\) \| [0-9.]+ \|$", note, re.MULTILINE)
    assert rows == names[: len(rows)] and len(rows) >= min(variants, 20)  # the best
    left_out = re.findall(r"^\| and (\d+) more \| \|$", note, re.MULTILINE)
    assert left_out == ([str(variants - len(rows))] if variants > len(rows) else [])
    said = re.findall(r"^- \*\*technique \d+\*\* helps, says a sentence$", note, re.MULTILINE)
    cut = re.findall(r"^- and (\d+) more$", note, re.MULTILINE)
    assert cut == ([str(answers - len(said))] if answers > len(said) else [])
    assert (variants, answers) != (3, 2) or not left_out + cut
