"""dvc.yaml lists what the stages read: no param or module of the way of the data too few or
too many. (Which data files they open is watched in test_pipeline.py.)"""

import ast
import functools
import re
import subprocess
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from cnnlab import params, paths

ROOT = Path(__file__).parents[1]
STAGES = YAML(typ="safe").load((ROOT / "dvc.yaml").read_text())["stages"]
NAMES_IN_ORDER = list(STAGES)
NAMES = sorted(STAGES)

# Plumbing: it checks, shows and logs, and cannot change what a stage writes.
PLUMBING = {"errors", "params", "paths", "plugins", "processes", "progress", "tracking"}
# Plumbing too, but what it runs counts.
WRAPPERS = {"cnnlab.observed"}
DEFAULTS = "cnnlab/defaults.yaml"  # read by cnnlab.params
OWN = ("stages.parts.", "stages._")  # code of stages besides their scripts
# Found by name at run time, by way of a registry, from this module.
REGISTRIES = {
    "cnnlab.data.sources": "cnnlab.data.sources",
    "cnnlab.recipe.nets": "cnnlab.recipe.nets",
    "cnnlab.recipe.techniques": "cnnlab.recipe.techniques",
    "cnnlab.run.execute": "cnnlab.run.backends",
    "cnnlab.tasks": "cnnlab.tasks",
    "cnnlab.data.truths": "cnnlab.data.truths",
    "cnnlab.train.tasks": "cnnlab.train.tasks",
}


def stage(name):
    """A stage as at the root, where the code is below the study's folder."""
    made = STAGES[name].get("do", STAGES[name])
    return made | {"deps": [dep.removeprefix("${code}/") for dep in made["deps"]]}


def script(name):
    """The stage's script; variants of both groups are trained by one."""
    return ROOT / "stages" / f"{'train' if name == 'transfer' else name}.py"


def parts(name):
    """What the stage does of single tasks."""
    return sorted((ROOT / "stages" / "parts" / script(name).stem).glob("*.py"))


def test_every_stage_is_a_script_and_every_script_a_stage():
    scripts = {p.stem for p in (ROOT / "stages").glob("[!_]*.py")}
    assert scripts == {script(name).stem for name in NAMES}
    for name in NAMES:
        command = f"python -m stages.{script(name).stem}"
        assert stage(name)["cmd"] == command + (" ${key}" if "foreach" in STAGES[name] else "")


@pytest.mark.parametrize("name", NAMES)
def test_params_listed_are_params_read(name):
    read, texts = set(), [path.read_text() for path in (script(name), *parts(name))]
    for node in (node for text in texts for node in ast.walk(ast.parse(text))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "params.load":
            read |= {
                re.sub(r"\{\w+\}", "${key}", ast.literal_eval(ast.unparse(a).removeprefix("f")))
                for a in node.args
            }
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "params.variant":
            read.add(f"variants.{name}.${{key}}")
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "params.read_parts":
            read.add("the whole file")
    listed = {"the whole file" if isinstance(p, dict) else p for p in stage(name)["params"]}
    assert listed == read


@pytest.mark.parametrize("name", NAMES)
def test_what_reads_params_is_stale_when_a_default_changes(name):
    texts = [path.read_text() for path in (script(name), *parts(name))]
    reads = any(re.search(r"params\.(load|read|read_parts|variant)\(", text) for text in texts)
    assert (DEFAULTS in stage(name)["deps"]) == reads


def test_params_that_dvc_reads_have_no_default_or_are_sections():
    """DVC knows no defaults: what it asks for must be in every params.yaml."""
    defaults = YAML(typ="safe").load(params.DEFAULTS.read_text())
    text = (ROOT / "dvc.yaml").read_text()
    listed = {p for name in NAMES for p in stage(name)["params"] if isinstance(p, str)}
    for key in listed | set(re.findall(r"\$\{([\w.]+)\}", text)):
        *groups, last = key.split(".")
        group = defaults
        for part in groups:
            group = group.get(part, {})
        assert key in defaults or last not in group, key


@functools.cache
def imports(module):
    """Modules that a module imports anywhere in it, registries followed."""
    path = ROOT.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    found = set()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []  # walked before its body
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {n for n in names if n.startswith(("cnnlab.", *OWN)) and exists(n)}
    own = module if module.startswith("stages.parts.") and path.stem == "__init__" else None
    if package := REGISTRIES.get(module, own):
        folder = ROOT.joinpath(*package.split("."))
        found |= {f"{package}.{p.stem}" for p in folder.glob("*.py") if p.stem != "__init__"}
    return found


def exists(module):
    path = ROOT.joinpath(*module.split("."))
    return path.is_dir() or path.with_suffix(".py").exists()


def closure(name):
    seen, waiting = set(), {f"stages.{script(name).stem}"}
    while waiting:
        module = waiting.pop()
        seen.add(module)
        new = {m for m in imports(module) if m.split(".")[1] not in PLUMBING}
        waiting |= new - seen
    return {m for m in seen - WRAPPERS if m.startswith(("cnnlab.", *OWN))}


def covers(dep, module):
    path = Path(*module.split("."))
    return Path(dep) in (path, path.with_suffix(".py"), *path.parents)


@pytest.mark.parametrize("name", NAMES)
def test_code_listed_is_code_imported(name):
    code = ("cnnlab", "stages/parts", "stages/_")
    deps = [d for d in stage(name)["deps"] if d.startswith(code) and d != DEFAULTS]
    assert {f"${{code}}/{d}" for d in deps} <= set(STAGES[name].get("do", STAGES[name])["deps"])
    used = closure(name)
    packages = {m for m in used if ROOT.joinpath(*m.split(".")).is_dir()}
    missing = {m for m in used - packages if not any(covers(d, m) for d in deps)}
    assert not missing
    assert all(any(covers(d, m) for m in used) for d in deps)
    assert f"stages/{script(name).name}" in stage(name)["deps"]


def test_every_stage_waits_for_check():
    assert NAMES_IN_ORDER[0] == "check"
    # With a file to persist DVC takes no stage from earlier runs.
    assert stage("check")["outs"] == [{"data/checked": {"persist": True}}]
    assert [name for name in NAMES if "data/checked" not in stage(name)["deps"]] == ["check"]


@pytest.mark.parametrize("name", NAMES)
def test_test_images_are_read_by_final_alone(name):
    reads = "data/prepared" in stage(name)["deps"] or "data/prepared/test" in stage(name)["deps"]
    assert reads == (name == "final")


def test_further_repeats_come_after_training_and_before_anything_is_compared():
    """Of both groups of variants; what looks at the runs of all variants alike reads none."""
    assert NAMES_IN_ORDER.index("decide") == NAMES_IN_ORDER.index("compare") - 1
    assert "data/runs" in stage("decide")["deps"]
    (out,) = stage("decide")["outs"]
    assert out == {"data/decided": {"persist": True}}  # finished trials are kept
    readers = [name for name in NAMES if "data/decided" in stage(name)["deps"]]
    assert readers == ["compare", "final", "inspect"]


def test_what_people_review_is_in_git_and_the_rest_is_not():
    for name in NAMES:
        for out in [*stage(name).get("outs", []), *stage(name).get("metrics", [])]:
            path, flags = next(iter(out.items())) if isinstance(out, dict) else (out, {})
            large = path == "reports/report.html"  # and made from what is in Git
            assert (flags.get("cache") is False) == (path.startswith("reports/") and not large)


def test_studies_have_the_one_text_and_a_way_to_the_code():
    for folder in (ROOT / "studies").glob("*/"):
        assert (folder / "dvc.yaml").read_text() == (ROOT / "dvc.yaml").read_text()
        assert params.read(folder / "params.yaml").code == paths.TO_CODE


def test_nothing_is_a_symbolic_link():
    listed = ["git", "ls-files", "--stage"]
    lines = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert lines and not [line for line in lines.splitlines() if line.startswith("120000")]
