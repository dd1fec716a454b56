"""Whole studies of other tasks than classification, all stages of them, small."""

import json
import os
import subprocess
import sys

import mlflow
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from cnnlab import new_study, paths, records, usage
from cnnlab.data import pool
from cnnlab.tasks import TASKS
from tests.data.test_mask_folder import write
from tests.layouts import LAYOUTS, scenes
from tests.test_new_study import make_up_costs, tree

OF_TASK = {  # its primary metric, the layout of its images, and what its report shows besides
    "segmentation": (
        *("iou", "mask_folder"),
        ["figures/masks.png", "compare/class_iou.csv", "figures/extremes.png"],
    ),
    "detection": ("map", "yolo", ["pycocotools", "smallest third"]),
}


def members_of(task):
    return 2 if TASKS[task].AVERAGED else 1


@pytest.fixture(scope="module", params=OF_TASK)
def study(request, tmp_path_factory, root):
    """The folder of a study as `make study` proposes it, with fewer variants and folds, after all
    of its stages, and its task."""
    task, clone = request.param, tree(tmp_path_factory.mktemp(request.param) / "clone")
    layout = OF_TASK[task][1]
    with pytest.MonkeyPatch.context() as patch:
        make_up_costs(patch)
        images = write(clone.parent / "images", LAYOUTS[layout][1](scenes()))
        folder = new_study.create_for(clone, task, images)
    yaml = YAML()
    p = yaml.load(folder / "params.yaml")
    p["code"] = str(root)
    p["data"]["image_size"] = 16
    p["folds"].update(k=2, repeats=2)
    p["model"]["vgg"].update(filters=[8, 8], convs=1)
    p["train"].update(epochs=3, evaluate_every=1, batch_size=8, learning_rate=0.01)
    p["train"]["members"] = members_of(task)
    p["execution"] = {"workers": 1}
    p["design"].update(kind="star", techniques=["augment"], placebo=False)
    p["variants"]["train"] = {"baseline": [], "augment": ["augment"]}
    p["visualize"].update(variants=["baseline", "augment"], images=1)
    p["compare"] = {"draws": 200}
    yaml.dump(p, folder / "params.yaml")
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-m", "stages"], cwd=folder, env=os.environ | store, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return folder, task


def test_its_report_answers_and_shows_what_the_task_is(study):
    folder, task = study
    metric, _, shown = OF_TASK[task]
    text = (folder / "reports/report.md").read_text()
    assert f"{TASKS[task].METRICS[metric].title} " in text
    assert all(one in text for one in shown)
    assert "accuracy" not in text.lower().replace("pixel accuracy", "")
    assert (folder / "reports/report.html").stat().st_size > 100_000
    for link in [
        line.split("](")[1].split(")")[0] for line in text.split("\n") if line[:2] == "!["
    ]:
        assert (folder / "reports" / link).exists(), link


def test_effects_are_of_the_task_s_metrics(study):
    folder, task = study
    effects = pd.read_csv(folder / "reports/ablation.csv")
    assert set(effects["metric"]) == {*TASKS[task].METRICS}
    assert effects["metric"].iloc[0] == OF_TASK[task][0]
    assert np.isfinite(effects["effect"]).all()


def test_dvc_shows_learning_curves_of_any_task(study, root):
    folder, task = study
    plots = YAML(typ="safe").load((root / "dvc.yaml").read_text())["plots"]
    (shown,) = [one["reports/plots/curves"] for one in plots if "reports/plots/curves" in one]
    curves = pd.read_csv(folder / "reports/plots/curves/baseline.csv")
    assert {shown["x"], *shown["y"]} <= set(curves)
    assert pd.read_csv(folder / "reports/plots/confusion.csv").empty  # DVC misses no file
    ablation = pd.read_csv(folder / "reports/compare/ablation_scores.csv").set_index("name")
    if task == "segmentation":  # the mean over trials is the score
        last = curves.iloc[-1]
        assert last["score"] == pytest.approx(ablation.loc["baseline", "iou"], abs=1e-4)
        assert last["loss"] == pytest.approx(ablation.loc["baseline", "pixel_nll"], abs=1e-4)


def test_scores_are_what_trials_measured(study, monkeypatch):
    folder, task = study
    monkeypatch.chdir(folder)
    scores = pd.read_csv(paths.COMPARE / "ablation_scores.csv").set_index("name")
    score, _ = TASKS[task].MEASURED
    metric = TASKS[task].METRICS[score]
    for name in ("baseline", "augment"):
        trials = records.read_all(paths.RUNS / name)
        assert len(trials) == 4 * members_of(task)
        for trial in trials:
            assert trial.final[score] == pytest.approx(
                metric.score(trial.labels, trial.outputs), abs=1e-6
            )
        if not metric.approximate:
            mean = np.mean([trial.final[score] for trial in trials])
            assert scores.loc[name, score] == pytest.approx(mean, abs=1e-4)


def test_an_ensemble_is_what_its_networks_say_on_average(study, monkeypatch):
    """Of classes of pixels, by NumPy alone: the IoU of the most probable class of the mean."""
    folder, task = study
    effects = pd.read_csv(folder / "reports/ablation.csv").query("kind == 'ensemble'")
    assert set(effects["technique"]) == ({"baseline", "augment"} if TASKS[task].MAPS else set())
    assert sorted({path.suffix for path in (folder / "data/runs/baseline").glob("r*")}) == [
        ".json", *([".keras"] if TASKS[task].MAPS else []), ".npz"
    ]  # fmt: skip
    if not TASKS[task].MAPS:
        return
    monkeypatch.chdir(folder)
    dev, scores, singles = pool.read(paths.PREPARED / "dev"), [], []
    row_of = {image: row for row, image in enumerate(dev.manifest["image_id"])}
    for row in records.cells(records.read_all(paths.RUNS / "baseline")):
        for cell in row:
            rows = [row_of[image] for image in cell[0].image_id]
            shares = []
            for one in cell:
                place = records.network_of(paths.RUNS / "baseline", one.trial.key)
                logits = records.load_model(place).predict(dev.images[rows], verbose=0)
                shares.append(np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True))
            said = sum(shares).argmax(axis=-1)
            scores += [iou_of(*pair) for pair in zip(dev.truth[rows], said, strict=True)]
            singles.append(np.mean([one.final["iou"] for one in cell]))
    (row,) = effects.query("metric == 'iou' and technique == 'baseline'").to_dict("records")
    assert row["effect"] == pytest.approx(np.mean(scores) - np.mean(singles), abs=1e-3)
    text = (folder / "reports/report.md").read_text()
    assert "Ensembles: averaged networks against a single one" in text
    assert "ensemble of baseline" in text


def iou_of(true, predicted):
    """Of one image, mean over the classes that are in it or predicted; `true` without void."""
    assert true.max() < 255
    classes = np.union1d(true, predicted)
    both = [((true == c) & (predicted == c)).sum() for c in classes]
    either = [((true == c) | (predicted == c)).sum() for c in classes]
    return np.mean(np.array(both) / either)


def test_the_recommended_variant_was_evaluated_once_on_the_test_set(study):
    folder, task = study
    facts = json.loads((folder / "reports/final.json").read_text())
    metric = OF_TASK[task][0]
    low, value, high = (facts["test"][metric + end] for end in ("_low", "", "_high"))
    assert 0 <= low <= value <= high <= 1
    assert (folder / "reports/model_card.md").exists() and (folder / "models/model.keras").exists()


@pytest.mark.filterwarnings("ignore:The structure of")  # MLflow hands Keras a list
def test_the_served_network_answers_as_the_model_card_says(study, monkeypatch):
    folder, task = study
    monkeypatch.chdir(folder)
    mlflow.set_tracking_uri(f"sqlite:///{folder}/mlflow.db")
    images = pool.read(paths.PREPARED / "dev").images[:2].astype(np.float32)
    answer = mlflow.pyfunc.load_model(f"models:/{folder.name}@champion").predict(images)
    gives, keys = {
        "segmentation": ("probabilities", usage.read(paths.MODELS).classes),
        "detection": ("boxes", ["objects"]),
    }[task]
    assert list(answer) == keys
    assert f"--env-manager local   # gives {gives}\n```" in paths.MODEL_CARD.read_text()


def test_it_shows_where_networks_look_or_has_no_such_section(study):
    folder, _ = study
    asked = any((folder / "reports/figures").glob("gradcam/*.png"))
    for name in ("report.md", "report.html"):
        text = (folder / "reports" / name).read_text()
        assert ("Where do the networks look?" in text) == asked, name
