"""Who may import whom: no circle between modules, and no floor entered from below.

Imports are read from the code, late ones in functions and those for types alone included.
"""

import ast
import itertools

import pytest

# From the ground up; packages of one floor may import each other, without circles.
FLOORS = [
    {
        *("detections", "edited", "errors", "metric", "overlap", "paths", "plugins", "processes"),
        *("ignored", "likeness", "progress", "scoring", "seeds"),
    },
    {"data"},
    {"recipe", "records", "tasks"},
    {"train"},
    {"compare", "run"},
    {"look", "logged", "moved", "served", "tracking"},
    {"consistency"},
    {"params"},
    {"observed", "usage", "report"},
    {
        *("__main__", "asked", "design", "export", "find_lr", "launch", "new_study", "predict"),
        *("predict_boxes", "predict_masks", "proposal"),
        *("pull_request", "timing", "track", "tryout", "ui", "validate"),
    },
    {"stages"},
]
ROOTS = ("cnnlab", "stages")


def modules(root):
    """Dotted name -> file, of all modules of the project."""
    names = {}
    for top in ROOTS:
        for path in sorted(root.joinpath(top).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports(name, text, known, is_package=False):
    """(module, line) of what a module of this name imports of the project, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = name.split(".") if is_package else name.split(".")[:-1]
            up = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*up, *([node.module] if node.module else [])])
            # A name of a package is a module of it, or something that the package itself has.
            whole = [f"{source}.{alias.name}" for alias in node.names]
            targets = [n if n in known else source for n in whole]
        else:
            continue
        found |= {(target, node.lineno) for target in targets if target in known}
    return found


@pytest.fixture(scope="module")
def edges(root):
    """(from, to) -> "file:line", for every import between two modules of the project."""
    known = modules(root)
    return {
        (name, target): f"{path.relative_to(root)}:{line}"
        for name, path in known.items()
        for target, line in imports(name, path.read_text(), known, path.name == "__init__.py")
        if target != name
    }


def floor_of(module):
    """The floor of a module, from 0; None for the bare package `cnnlab`, which has no code."""
    top, *rest = module.split(".")
    place = top if top == "stages" else (rest[0] if rest else None)
    return next((i for i, floor in enumerate(FLOORS) if place in floor), None)


def entered_from_below(edges):
    return [
        f"{where}: {a} (floor {floor_of(a)}) imports {b} (floor {floor_of(b)})"
        for (a, b), where in sorted(edges.items())
        if floor_of(a) is not None and floor_of(b) is not None and floor_of(b) > floor_of(a)
    ]


def circle(edges):
    """The imports of one circle, or none."""
    after = {}
    for a, b in edges:
        after.setdefault(a, []).append(b)
    done: set[str] = set()
    for start in sorted(after):
        way, on_way = [(start, iter(after[start]))], {start: 0}
        while way and start not in done:
            here, following = way[-1]
            step = next(following, None)
            if step is None:
                way.pop()
                done.add(here)
                on_way.pop(here)
            elif step in on_way:
                names = [name for name, _ in way[on_way[step] :]] + [step]
                return [
                    f"{edges[pair]}: {' imports '.join(pair)}" for pair in itertools.pairwise(names)
                ]
            elif step not in done:
                on_way[step] = len(way)
                way.append((step, iter(after.get(step, []))))
    return []


def test_every_module_has_a_floor(root):
    homeless = [name for name in modules(root) if name != "cnnlab" and floor_of(name) is None]
    assert homeless == []
    tops = {name.split(".")[1] for name in modules(root) if name.startswith("cnnlab.")}
    assert set().union(*FLOORS) == tops | {"stages"}


def test_no_floor_is_entered_from_below(edges):
    assert not entered_from_below(edges), "\n".join(entered_from_below(edges))


def test_modules_import_each_other_in_no_circle(edges):
    assert not circle(edges), "\n".join(circle(edges))


def test_what_recipes_are_does_not_know_what_trials_leave_behind(edges):
    bad = [
        f"{where}: {a} imports {b}"
        for (a, b), where in edges.items()
        if a.startswith("cnnlab.recipe") and b.startswith("cnnlab.records")
    ]
    assert not bad, "\n".join(bad)


def test_packages_of_one_floor_import_each_other_in_no_circle(edges):
    """Module circles aside: neither of two packages is above the other."""
    between = {}
    for (a, b), where in edges.items():
        one, other = (".".join(name.split(".")[:2]) for name in (a, b))
        if one != other and floor_of(a) == floor_of(b) is not None:
            between[one, other] = where
    assert not circle(between), "\n".join(circle(between))


KNOWN = {"cnnlab", "cnnlab.data", "cnnlab.data.pool", "cnnlab.train", "cnnlab.train.fit", "stages"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import os\nfrom pathlib import Path\n", set()),
        ("import cnnlab.train.fit\n", {("cnnlab.train.fit", 1)}),
        ("from cnnlab.train import fit\n", {("cnnlab.train.fit", 1)}),
        ("from cnnlab.train import Thing\n", {("cnnlab.train", 1)}),
        ("from cnnlab.train.fit import fit\n", {("cnnlab.train.fit", 1)}),
        ("def late():\n    from cnnlab.train import fit\n", {("cnnlab.train.fit", 2)}),
        ("if TYPE_CHECKING:\n    import stages\n", {("stages", 2)}),
        ("from . import pool\n", {("cnnlab.data.pool", 1)}),
        ("from ..train.fit import fit\n", {("cnnlab.train.fit", 1)}),
    ],
)
def test_every_way_to_import_is_seen(text, expected):
    assert imports("cnnlab.data.images", text, KNOWN) == expected
    assert imports("cnnlab.data", text, KNOWN, is_package=True) == expected


def test_an_import_upwards_and_a_circle_are_named():
    edges = {
        ("cnnlab.data.pool", "cnnlab.train.fit"): "cnnlab/data/pool.py:7",
        ("cnnlab.train.fit", "cnnlab.train.input"): "cnnlab/train/fit.py:1",
        ("cnnlab.train.input", "cnnlab.data.pool"): "cnnlab/train/input.py:2",
        ("stages.train", "cnnlab.params"): "stages/train.py:1",
    }
    (said,) = entered_from_below(edges)
    assert said.startswith("cnnlab/data/pool.py:7: cnnlab.data.pool")
    assert "imports cnnlab.train.fit" in said
    assert len(circle(edges)) == 3 and "cnnlab/train/input.py:2" in "\n".join(circle(edges))
    del edges["cnnlab.train.input", "cnnlab.data.pool"]
    assert circle(edges) == []
