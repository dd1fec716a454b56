"""A clone that was moved or copied keeps the networks and figures that MLflow has."""

import shutil
import sqlite3
from collections import OrderedDict
from pathlib import Path

import pytest

from cnnlab import moved, paths, tracking

FIGURE = "figures/kernels.png"


@pytest.fixture(scope="module")
def clone(tmp_path_factory):
    """A clone with a store in which a run has a figure and a network, and the run's id."""
    from mlflow.tracking._tracking_service import utils

    root = tmp_path_factory.mktemp("first") / "a clone #1"
    (root / ".dvc/tmp").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(paths, "workspace", lambda: root)
        client, number = tracking._connect("photos")
        run = client.create_run(number).info.run_id
        client.log_text(run, "a figure", FIGURE)
        model = client.create_logged_model(number, "model", run)
        (root / "network").mkdir()
        (root / "network" / "model.keras").write_text("a network")
        client.log_model_artifacts(model.model_id, str(root / "network"))
        client.create_registered_model("photos")
        # MLflow asks a client of its own where the model is.
        patch.setattr(utils, "_tracking_uri", None)
        patch.setenv("MLFLOW_TRACKING_URI", tracking.store())
        source = f"models:/{model.model_id}"
        client.create_model_version("photos", source, run, model_id=model.model_id)
    return root, run, model.model_id


@pytest.fixture
def at(clone, tmp_path, monkeypatch):
    """Copies the clone elsewhere, and works there."""
    from mlflow.tracking._tracking_service import utils

    root = tmp_path / "elsewhere é"
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr(paths, "workspace", lambda: root)
    shutil.copytree(clone[0], root)
    # A process remembers where a run's artifacts are; who works in a copy is another process.
    monkeypatch.setattr(utils, "_artifact_repos_cache", OrderedDict())
    return root


def paths_in(store):
    with sqlite3.connect(store) as database:
        return {
            row[0]
            for table, column in moved.PLACES
            for row in database.execute(f"select {column} from {table}")
            if row[0]
        }


def test_a_copy_has_networks_and_figures_of_its_own(clone, at, tmp_path, capfd):
    first, run, model = clone
    client, _ = tracking._connect("photos")
    said = capfd.readouterr().err
    assert said.count("note: this clone lay elsewhere") == 1 and str(at / moved.FOLDER) in said
    for path in paths_in(at / "mlflow.db"):
        assert first.name.replace(" ", "%20").replace("#", "%23") not in path, path
    client.log_text(run, "another", FIGURE)
    kept = first / "mlartifacts/photos" / run / "artifacts" / FIGURE
    assert kept.read_text() == "a figure"  # the first clone is left alone
    home = at / "mlartifacts/photos"
    assert (home / run / "artifacts" / FIGURE).read_text() == "another"
    assert Path(client.download_artifacts(run, FIGURE, str(tmp_path))).read_text() == "another"
    assert (home / f"models/{model}/artifacts/model.keras").exists()
    assert client.get_logged_model(model).artifact_location.startswith(home.as_uri())
    assert client.get_model_version_download_uri("photos", "1").startswith(home.as_uri())
    capfd.readouterr()
    tracking._connect("photos")
    assert capfd.readouterr().err == ""  # once


def test_artifacts_that_are_nowhere_are_named_with_the_cure(clone, at, capfd, monkeypatch):
    shutil.rmtree(at / "mlartifacts")
    before = paths_in(at / "mlflow.db")
    tracking._connect("photos")
    assert capfd.readouterr().err == ""  # they are still in the first clone
    hidden = clone[0].with_name("hidden")
    clone[0].rename(hidden)
    try:
        tracking._connect("photos")
    finally:
        hidden.rename(clone[0])
    said = capfd.readouterr().err
    assert "warning: MLflow lacks the artifacts" in said and f"copy that folder to {at}" in said
    assert paths_in(at / "mlflow.db") == before


def test_a_clone_that_stayed_and_other_stores_are_left_alone(clone, monkeypatch, capfd, tmp_path):
    root = clone[0]
    assert moved.mend(root / "mlflow.db") == []
    assert moved.mend(tmp_path / "absent.db") == [] and not (tmp_path / "absent.db").exists()
    shutil.copytree(root, tmp_path / "copy")
    monkeypatch.setattr(paths, "workspace", lambda: tmp_path / "copy")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{root}/mlflow.db")
    tracking._mend()
    assert capfd.readouterr().err == ""
