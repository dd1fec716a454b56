"""Registries: adding a file is all that adding a technique, start, network or source takes."""

import inspect
import os
import re
import shutil
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from cnnlab.data.sources import SOURCES
from cnnlab.errors import UserError
from cnnlab.plugins import Registry, chosen
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.run.execute import BACKENDS
from cnnlab.tasks import TASKS
from tests import made_up

REGISTRIES = {"sources": SOURCES, "nets": NETS, "techniques": TECHNIQUES, "backends": BACKENDS}
REGISTRIES["tasks"] = TASKS
PLUGINS = [(r, n) for r, registry in REGISTRIES.items() for n in registry.names()]
# What the docstring of each package asks a file to define, and with what parameters.
ASKED = {
    "sources": {"open_source": ["place"]},
    "nets": {
        "places": ["options"],
        "body": ["recipe", "images"],
        "head": ["recipe", "features", "classes"],
    },
    "techniques": {"apply": ["recipe", "options"]},
    "backends": {"train": ["work"]},
    "tasks": {"places": ["of_net"]},
}
NEW = '''
"""A technique: paints a square. Mechanism: none (Nobody 2020)."""

from cnnlab.plugins import Options as Base

CLAIM = "it is here for a test alone"
EVIDENCE = ("gap", "lower")

class Options(Base):
    size: int

def apply(recipe, options):
    return recipe.augmenting("cutout", size=options.size)

def recolour(seed, images, size):
    import tensorflow as tf

    bright = tf.random.stateless_uniform([tf.shape(images)[0], 1, 1, 1], seed, 0, 255)
    return tf.concat([images[:, :size] * 0 + bright, images[:, size:]], axis=1)
'''
NEW_START = '''
"""A start: only the upper half of the backbone learns. Mechanism: none (Nobody 2020)."""

from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques.freeze import Options

START = True
CLAIM = "it is here for a test alone"
EVIDENCE = ("gap", "lower")

def apply(recipe, options):
    return recipe.phased(Phase(options.epochs, options.learning_rate, 0.5))
'''
NEW_NET = '''
"""A network: two convs and the mean of each map."""

from cnnlab.plugins import Options as Base

class Options(Base):
    filters: int

def places(options):
    return ("conv",)

def body(recipe, images):
    import keras
    from cnnlab.recipe import blocks

    x = keras.layers.Rescaling(1 / 255, name="scale")(images)
    for name in ("conv1", "conv2"):
        x = blocks.through(x, blocks.conv(recipe, name, recipe.net_options["filters"], 3))
    return keras.layers.GlobalAveragePooling2D(name="means")(x)

def head(recipe, features, classes):
    from cnnlab.recipe import blocks

    return blocks.logits(recipe, classes)(features)
'''


@pytest.mark.parametrize(("kind", "package"), [(k, r.package) for k, r in REGISTRIES.items()])
def test_a_registry_lists_the_files_of_its_folder(root, kind, package):
    files = {p.stem for p in root.joinpath(*package.split(".")).glob("[!_]*.py")}
    assert set(REGISTRIES[kind].names()) == files
    assert REGISTRIES[kind].names() == sorted(files)


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_every_plug_in_has_what_its_package_asks_for_and_says_what_it_is(kind, name):
    module = REGISTRIES[kind][name]
    assert module.__doc__
    for function, parameters in ASKED[kind].items():
        assert list(inspect.signature(getattr(module, function)).parameters) == parameters
    if kind not in ("nets", "techniques"):
        return
    for field in module.Options.model_fields.values():  # a default would be hidden in code
        assert field.is_required() or made_up._group(field.annotation)  # one op of a policy


@pytest.mark.parametrize("registry", REGISTRIES.values(), ids=REGISTRIES)
def test_an_unknown_name_is_refused_with_those_there_are(registry):
    with pytest.raises(UserError, match=f"'nope'.*{', '.join(registry.names())}"):
        registry["nope"]


def test_a_registry_of_another_package_finds_a_dropped_file(tmp_path, monkeypatch):
    package = tmp_path / "other_techniques"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "cutout.py").write_text(NEW)
    (package / "helper.py").write_text("Options = None")
    monkeypatch.syspath_prepend(tmp_path)
    found = Registry("other_techniques", needs="apply")
    assert found.names() == ["cutout"]
    group = found.options("Group").model_validate({"cutout": {"size": 3}})
    assert {n: o.size for n, o in chosen(group).items()} == {"cutout": 3}
    with pytest.raises(ValueError, match="size"):
        found.options("Group").model_validate({"cutout": {"size": 3.5}})
    assert chosen(found.options("Group").model_validate({})) == {}


SCRIPT = """
import pickle, sys
from pathlib import Path
import numpy as np
from cnnlab import params
from cnnlab.recipe.techniques import starts

p = params.read(Path("params.yaml"))
names = params.variant("with_all")
recipe = p.sections.recipe(names)
assert "half" in starts() and recipe.net == "plain" and recipe.net_options == {"filters": 4}
assert dict(recipe.ops)["cutout"] == {"size": 3}, recipe.ops
assert p.sections.recipe(params.variant("policy")).ops == (("cutout", {"size": 2}),)

from cnnlab.recipe.network import initial, weights_of
from cnnlab.train import phases
from tests import made_up

assert made_up.techniques().cutout.size > 0
backbone = initial(p.sections.pretraining(), 1, (8, 8, 1), 2).model
fitted = phases.train(recipe, made_up.data(), 1, weights_of(backbone), Path("features"))
after = weights_of(fitted.model)
before = {n: a for n, a in weights_of(backbone).items() if n != "logits"}
moved = [n for n, a in before.items() if (a[0] != after[n][0]).any()]
print(moved, len(fitted.history))
"""


@pytest.fixture(scope="module")
def grown(root, tmp_path_factory):
    """A copy of the library and its tests with three files more, and params that name them."""
    folder = tmp_path_factory.mktemp("grown")
    ignore = shutil.ignore_patterns("__pycache__")
    for part in ("cnnlab", "tests"):
        shutil.copytree(root / part, folder / part, ignore=ignore)
    shutil.copy(root / "pyproject.toml", folder)
    recipe = folder / "cnnlab/recipe"
    (recipe / "techniques/cutout.py").write_text(NEW)
    (recipe / "techniques/half.py").write_text(NEW_START)
    (recipe / "nets/plain.py").write_text(NEW_NET)
    content = YAML(typ="safe").load((root / "tests/params.yaml").read_text())
    content["techniques"] |= {"cutout": {"size": 3}, "augment": {"cutout": {"size": 2}}}
    content["techniques"]["half"] = {"epochs": 2, "learning_rate": 0.01}
    content["backbone"]["model"] = {"plain": {"filters": 4}}
    content["design"]["starts"] = ["scratch", "half"]
    content["variants"]["train"]["policy"] = ["augment", "dropout"]
    content["variants"]["transfer"]["with_all"] = ["cutout", "half"]
    with (folder / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    return folder


def python(folder, *arguments):
    """What a Python process in a folder says."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


def test_dropped_files_are_a_technique_a_start_and_a_network_at_once(grown):
    assert python(grown, "-c", SCRIPT).endswith("['conv2'] 2")  # the upper half has moved


def test_tests_find_dropped_files_by_themselves(grown):
    files = [f"tests/recipe/test_{name}.py" for name in ("techniques", "network")]
    said = python(grown, "-m", "pytest", "-q", *files, "-k", "cutout or half or plain")
    assert int(re.search(r"(\d+) passed", said)[1]) > 40
