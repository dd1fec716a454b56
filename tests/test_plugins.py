"""Registries: adding a file is all that adding a technique, source, net or strategy takes."""

import os
import shutil
import subprocess
import sys

import pytest
from ruamel.yaml import YAML

from cnnlab.data.sources import SOURCES
from cnnlab.errors import UserError
from cnnlab.plugins import Registry, chosen
from cnnlab.strategies import STRATEGIES
from cnnlab.training.recipe import MODELS, TECHNIQUES

REGISTRIES = {"sources": SOURCES, "models": MODELS, "techniques": TECHNIQUES}
REGISTRIES |= {"strategies": STRATEGIES}
PLUGINS = [(r, n) for r, registry in REGISTRIES.items() for n in registry.names()]
NEW = """
from cnnlab.plugins import Options as Base

class Options(Base):
    size: int

def apply(recipe, options):
    return recipe.augmenting("cutout", size=options.size)

def recolour(seed, images, size):
    return images
"""


@pytest.mark.parametrize(("kind", "package"), [(k, r.package) for k, r in REGISTRIES.items()])
def test_a_registry_lists_the_files_of_its_folder(root, kind, package):
    files = {p.stem for p in root.joinpath(*package.split(".")).glob("[!_]*.py")}
    assert set(REGISTRIES[kind].names()) == files
    assert REGISTRIES[kind].names() == sorted(files)


@pytest.mark.parametrize(("kind", "name"), PLUGINS)
def test_every_plug_in_has_what_its_package_asks_for_and_says_what_it_is(kind, name):
    module = REGISTRIES[kind][name]
    assert module.__doc__
    if kind == "sources":
        assert callable(module.open_source)
        return
    assert callable(module.build if kind == "models" else module.apply)
    for field in module.Options.model_fields.values():
        assert field.is_required() or name == "augment"  # a default would be hidden in code


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


def test_a_file_dropped_into_the_package_is_a_technique_at_once(root, tmp_path):
    """The whole library, copied, with a file more, and a params.yaml that names it."""
    shutil.copytree(root / "cnnlab", tmp_path / "cnnlab")
    (tmp_path / "cnnlab/techniques/cutout.py").write_text(NEW)
    content = YAML(typ="safe").load((root / "params.yaml").read_text())
    content["techniques"] |= {"cutout": {"size": 3}, "augment": {"cutout": {"size": 2}}}
    content["variants"]["with_cutout"] = ["cutout", "augment"]
    with (tmp_path / "params.yaml").open("w") as file:
        YAML(typ="safe").dump(content, file)
    script = """
from cnnlab import params
from cnnlab.training import recipe
model, train, techniques, names = params.load(
    "model", "train", "techniques", "variants.with_cutout")
print(recipe.apply(recipe.base(model, train), names, techniques).ops)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "(('cutout', {'size': 2}), ('cutout', {'size': 3}))"
