"""A variant whose training diverges, from its training to the report."""

import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from ruamel.yaml import YAML

VARIANTS = {"baseline": [], "dropout": ["dropout"]}
STEEP = {"epochs": 8, "learning_rate": 10.0, "batchnorm": "learning"}  # with so much of a penalty


# In two processes, as a stage that sets TensorFlow's threads can follow none that has used it
# without; `augment` late, as it sets none.
STAGES = [
    [
        *("prepare", "describe", "kfold", "pretrain"),
        *(f"train {name}" for name in (*VARIANTS, "steep")),
        *("decide", "compare", "inspect", "curves"),
    ],
    ["visualize", "final", "augment", "report"],
]


RUN = """
import importlib, sys
for stage in sys.argv[1:]:
    name, *arguments = stage.split()
    importlib.import_module(f"stages.{name}").main(*arguments)
"""


@pytest.fixture(scope="module")
def study(root, tmp_path_factory):
    """A study of noise, in which what begins at the backbone diverges, and what its stages say."""
    folder = tmp_path_factory.mktemp("study")
    yaml = YAML()
    content = yaml.load(root / "tests/params.yaml")
    content["data"].update(
        source="image_folder", image_size=8, dev_per_class=None, near_duplicates=None
    )
    content["data"]["pretrain"].update(task="rotation", classes=None, per_class=8)
    content["folds"].update(k=2, repeats=1)
    content["model"] = {"vgg": {"filters": [4], "convs": 1, "kernel": 3, "dense": [4]}}
    content["train"].update(epochs=1, optimizer="sgd", members=1, batch_size=2)
    content["backbone"].update(epochs=1)
    content["techniques"]["finetune"] = STEEP
    content["techniques"]["l2"]["kernel"] = 1.0
    content["design"].update(kind="custom", techniques=["dropout"], starts=["scratch"])
    content["variants"] = {"train": VARIANTS, "transfer": {"steep": ["finetune", "l2"]}}
    content["sizes"].update(per_class=[4], variants=["steep", "dropout"])
    content["visualize"].update(variants=["steep"], images=1)
    content["compare"]["pairs"] = []
    content["decide"]["max_repeats"] = 2
    content["final"]["flips"] = True
    content["execution"]["workers"] = 1
    yaml.dump(content, folder / "params.yaml")
    rng = np.random.default_rng(0)
    for i in range(80):
        path = folder / "data/raw" / ("cat", "dog")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).save(path)
    said = ""
    for stages in STAGES:
        done = subprocess.run(
            [sys.executable, "-c", RUN, *stages],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(root), "DVC_ROOT": str(folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        said += done.stdout + done.stderr
        assert done.returncode == 0 and "Traceback" not in said, said
    return folder, said


def test_it_is_said_when_it_happens_with_what_to_change(study):
    said = study[1]
    assert "steep r0_f0_m0 diverged: the loss was" in said
    assert "steep is left out of the comparison: 2 of 2 trainings diverged" in said
    assert "lower the learning rate (10) or clip gradients (technique clip_norm)" in said


def test_it_costs_the_variant_and_not_the_study(study):
    folder, _ = study
    effects = pd.read_csv(folder / "reports/ablation.csv")
    assert set(effects["technique"]) == {"dropout"}
    curves = pd.read_csv(folder / "reports/curves/curves.csv")
    assert set(curves["name"]) == set(VARIANTS)
    assert not len(pd.read_csv(folder / "reports/compare/sizes.csv"))  # its reference diverged
    assert (folder / "reports/figures/kernels/baseline").is_dir()  # in the place of steep


def test_the_report_says_what_failed(study):
    text = (study[0] / "reports/report.md").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("- **steep** failed")]
    assert "2 of 2 trainings diverged" in line and "lower the learning rate" in line
    assert "**steep with 4 images per class** failed" in text
    assert (study[0] / "reports/report.html").exists()
    assert "Asked about each image and its mirror image" in text  # final.flips
