"""The stage `final` of a small study of masks, and what the report and the model card say."""

import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from cnnlab import paths, records, usage
from cnnlab.compare.masked import CLASS_COLUMNS, METRIC_COLUMNS, Ends
from cnnlab.data import pool
from cnnlab.overlap import VOID
from cnnlab.report import alt, final_masks
from cnnlab.tasks.segmentation import METRICS
from tests.test_report_final import candidates


@pytest.fixture(scope="module")
def study(tmp_path_factory, root):
    """The folder of a study in which `final` ran, of canvases with digits."""
    folder = tmp_path_factory.mktemp("canvases")
    yaml = YAML()
    p = yaml.load(root / "tests/params.yaml")
    p.update(study="canvases", task="segmentation")
    p["data"].update(source="canvases", dev_per_class=4, test_per_class=2)
    p["data"]["pretrain"]["task"] = None
    p["model"]["vgg"].update(filters=[4, 4], convs=1, dense=[])
    p["train"].update(epochs=2, batch_size=8, learning_rate=0.01)
    p["execution"]["workers"] = 1
    p["design"].update(techniques=["augment"])
    p["variants"] = {"train": {"baseline": [], "augment": ["augment"]}, "transfer": {}}
    p["sizes"].update(per_class=[], variants=["baseline"])
    p["visualize"].update(variants=["baseline"])
    ropes = {name: 0.02 if name == "pixel_nll" else 0.01 for name in METRICS}
    p["compare"].update(metric="iou", draws=200, rope=ropes)
    yaml.dump(p, folder / "params.yaml")
    table = folder / paths.RECOMMENDED
    table.parent.mkdir(parents=True)
    rows = candidates("plain").query("name in ['plain', 'poor']")
    rows.assign(techniques=["", "augment"]).to_csv(table, index=False)
    store = {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db", "PYTHONPATH": str(root)}
    for stage in ("prepare", "final"):  # each says anew how TensorFlow computes
        subprocess.run(
            [sys.executable, "-m", f"stages.{stage}"],
            check=True,
            cwd=folder,
            env=os.environ | store,
        )
    return folder


def test_all_that_the_stage_declares_is_there(study):
    with (study / "reports/final.json").open() as file:
        facts = json.load(file)
    assert facts["recommended"] == "plain"
    assert list(facts["test"]) == ["iou", "iou_low", "iou_high", "pixel_nll"]
    assert facts["test"]["iou_low"] < facts["test"]["iou"] < facts["test"]["iou_high"]
    metrics = pd.read_csv(study / "reports/final/metrics.csv")
    assert list(metrics) == METRIC_COLUMNS and list(metrics["metric"]) == list(METRICS)
    assert metrics["value"][0] == pytest.approx(facts["test"]["iou"], abs=1e-5)
    classes = pd.read_csv(study / "reports/final/classes.csv", dtype={"class": str})
    assert list(classes) == CLASS_COLUMNS
    assert list(classes["class"]) == ["background", *map(str, range(10))]
    assert classes["share"].sum() == pytest.approx(1, abs=1e-4)
    assert (study / "data/mirrored").is_dir()
    for name in ("classes", "extremes"):
        assert "canvases" in alt(study / f"reports/final/{name}.png")


def test_what_it_says_is_what_the_network_says_of_the_test_images(study):
    about = usage.read(study / "models")
    assert about.task == "segmentation" and about.classes[0] == "background"
    assert about.coverage is None and about.temperature == 1 and not about.flips
    net = records.load_model(study / "models" / records.MODEL)
    test = pool.read(study / "data/prepared/test")
    said = np.asarray(net(test.images.astype(np.float32), training=False)).argmax(-1)
    judged = test.truth != VOID
    right = np.mean((said == test.truth)[judged])
    metrics = pd.read_csv(study / "reports/final/metrics.csv").set_index("metric")
    assert metrics.loc["pixel_accuracy", "value"] == pytest.approx(right, abs=1e-5)
    record = records.read(study / "models", "r0_f0_m0")
    dev = pool.read(study / "data/prepared/dev")
    assert record.n_train == len(dev.manifest) == 40


def test_the_report_and_the_card_speak_of_masks(study):
    section = (study / "reports/final.md").read_text()
    card = (study / "reports/model_card.md").read_text()
    assert section.startswith("# The recommended variant, evaluated once on the test set")
    assert "**IoU " in section and "bootstrap over 20 images" in section
    assert "| boundary F1 |" in section and "| background | 20 |" in section
    assert "final/extremes.png" in section and "final/classes.png" in section
    assert "logits (height × width × classes)" in card and "masks, overlays" in card
    assert "background 8" in card and "(40)" in card  # % of pixels, images
    for word in ("temperature", "ccuracy on", "Sets", "calibrated", "nan"):
        assert word not in section and word not in card


def test_the_network_is_registered_with_what_it_is_worth(study, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{study}/mlflow.db")
    client = mlflow.MlflowClient(f"sqlite:///{study}/mlflow.db")
    version = client.get_model_version_by_alias("canvases", "champion")
    assert "Test IoU" in version.description and "of background, 0, 1" in version.description
    run = client.get_run(version.run_id)
    assert {"test_iou", "test_iou_low", "test_iou_high", "test_pixel_nll"} <= set(run.data.metrics)


def test_numbers_that_are_not_there_are_dashes():
    nan = float("nan")
    row = dict(zip(CLASS_COLUMNS, ("a|b", 0, 0.0, nan, nan, nan, nan, nan), strict=True))
    some = dict(zip(CLASS_COLUMNS, ("cat", 3, 0.00123, 0.5, 0.4, 0.6, 0.75, 0.6), strict=True))
    lines = final_masks.classes_table([row, some], 0.9).splitlines()
    assert "IoU (%) [90% CI]" in lines[0]
    assert lines[2] == "| a\\|b | 0 | 0.0 | – | – | – |"
    assert lines[3] == "| cat | 3 | 0.12 | 50.0 [40.0, 60.0] | 75.0 | 60.0 |"
    judged = SimpleNamespace(metrics={"iou": Ends(0.5, 0.4, 0.6), "pixel_nll": Ends(0.3, 0.2, 0.4)})
    assert final_masks.metrics_table(judged, 0.95).splitlines()[2:] == [
        "| IoU | 50.0 [40.0, 60.0] % |",
        "| NLL of pixels | 0.300 [0.200, 0.400] nats |",
    ]
