"""A study that begins at the weights of a package, from its folder of images to its records."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from cnnlab import records
from cnnlab.recipe.nets import efficientnet_lite0
from cnnlab.recipe.network import weights_of
from cnnlab.train import weights

# In one process, which imports TensorFlow once.
RUN = """
import importlib, sys
for stage in sys.argv[1:]:
    name, *arguments = stage.split()
    importlib.import_module(f"stages.{name}").main(*arguments)
"""


@pytest.fixture(scope="module")
def study(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    (folder / "data/raw_pretrain").mkdir(parents=True)
    yaml = YAML()
    content = yaml.load(root / "tests/params.yaml")
    content["data"].update(source="image_folder", image_size=16, dev_per_class=None)
    content["data"]["pretrain"].update(task=None)
    content["folds"].update(k=2, repeats=1)
    content["train"].update(batch_size=8)
    content["backbone"].update(
        model={"efficientnet_lite0": {"size": 32, "momentum": None, "dense": []}},
        weights="package",
    )
    content["techniques"]["freeze"].update(epochs=20, learning_rate=0.01)
    content["design"].update(kind="custom", starts=["scratch"])
    content["variants"] = {"train": {}, "transfer": {"freeze": ["freeze"]}}
    content["sizes"].update(per_class=[], variants=[])
    content["visualize"].update(variants=["freeze"])
    content["compare"]["pairs"] = []
    content["execution"]["workers"] = 1
    yaml.dump(content, folder / "params.yaml")
    rng = np.random.default_rng(0)
    for i in range(24):
        path = folder / "data/raw" / ("sky", "wood")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        colour = ((90, 140, 230), (140, 90, 40))[i % 2]
        pixels = np.clip(colour + rng.normal(0, 40, (16, 16, 3)), 0, 255)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    done = subprocess.run(
        [sys.executable, "-c", RUN, "check", "prepare", "kfold", "pretrain", "train freeze"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(root), "DVC_ROOT": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_backbone_has_the_weights_of_the_package(study):
    body = records.load_model(study / "data/backbone" / records.MODEL)
    packaged, there = weights.packaged(efficientnet_lite0), weights_of(body)
    assert set(packaged) - set(there) == {"logits"}
    for name, arrays in there.items():
        for one, other in zip(arrays, packaged[name], strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)


def test_a_head_on_it_learns(study):
    made = records.read_all(study / "data/runs/freeze")
    assert len(made) == 2
    assert all(record.final["accuracy"] >= 0.9 for record in made)
