"""Fingerprints change with what can change a result, and with nothing else."""

import importlib.metadata
import itertools
import json
import subprocess
import sys
from dataclasses import replace

import pytest

from cnnlab.errors import UserError
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.records import fingerprint
from cnnlab.tasks import TASKS
from tests import made_up

TRAIN, HELD_OUT = ["aa:0", "bb:1", "cc:0"], ["dd:1"]
SECTIONS = made_up.sections()
BASE = SECTIONS.recipe([])


def forget():
    fingerprint._digest.cache_clear()
    fingerprint._imports.cache_clear()


@pytest.fixture(autouse=True)
def fresh_digests():
    forget()
    yield
    forget()


def mark(made, seed=7, train=TRAIN, held_out=HELD_OUT, start="", device="cpu X86_V3"):
    return fingerprint.fingerprint(made, seed, train, held_out, start, device)


def test_a_fingerprint_changes_with_each_ingredient():
    variations = [
        mark(BASE),
        mark(replace(BASE, epochs=BASE.epochs + 1)),
        mark(BASE.inserting("dense", "Dropout", rate=0.5)),
        mark(BASE.penalising("kernel", l1=0.1)),
        mark(BASE.augmenting("shift", fraction=0.1)),
        mark(replace(BASE, phases=(Phase(1, 0.1),))),
        mark(replace(BASE, phases=(Phase(1, 0.1),), features=0)),
        mark(BASE, seed=8),
        mark(BASE, train=["aX:0", *TRAIN[1:]]),  # another image
        mark(BASE, train=["aa:1", *TRAIN[1:]]),  # another label
        mark(BASE, train=TRAIN[::-1]),
        mark(BASE, train=TRAIN[:-1]),
        mark(BASE, train=TRAIN[:-1], held_out=[TRAIN[-1], *HELD_OUT]),
        mark(BASE, held_out=["dX:1"]),
        mark(BASE, held_out=["dd:0"]),
        mark(BASE, start="backbone's digest"),
        mark(BASE, start="another's"),
        mark(BASE, device="cpu X86_V3 X86_V4"),
        mark(BASE, device="gpu NVIDIA H100"),
    ]
    assert len(set(variations)) == len(variations)


def test_a_fingerprint_does_not_change_with_anything_else(tmp_path, monkeypatch):
    names = ["augment", "dropout", "l1", "l2"]
    one = mark(SECTIONS.recipe(names))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_EXP_NAME", "other")
    forget()
    assert mark(SECTIONS.recipe(names[::-1])) == one


@pytest.mark.parametrize("library", ["tensorflow", "keras", "numpy"])
def test_a_fingerprint_changes_with_the_libraries_that_compute(monkeypatch, library):
    before, really = mark(BASE), importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda n: really(n) + ".1" if n == library else really(n)
    )
    assert mark(BASE) != before


def test_a_fingerprint_changes_where_onednn_takes_no_part(monkeypatch):
    before = mark(BASE)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert mark(BASE) != before


@pytest.fixture
def rewritten(tmp_path, monkeypatch):
    """Replaces text in the file of a module, as fingerprints see it, or adds code at its end."""
    really = fingerprint._file

    def rewrite(module, old="", new="", end="\n\nedited = 1\n"):
        forget()
        text = really(module).read_text()
        assert old in text
        path = tmp_path / "rewritten.py"
        path.write_text(text.replace(old, new) if old else text + end)
        monkeypatch.setattr(
            fingerprint, "_file", lambda name: path if name == module else really(name)
        )

    return rewrite


EDITS = {
    "docstring": ("Mechanism:", "In other words:", False),
    "claim": ('CLAIM = "', 'CLAIM = "Really: ', False),
    "evidence": ('EVIDENCE = ("', 'EVIDENCE = ("other_', False),
    "comment": ("def apply", "# why\n\n\ndef apply", False),
    "layout": ("(recipe, options)", "(recipe,  options)", False),
    "code": ("rate=options.rate", "rate=options.rate / 2", True),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_code_edit_counts_and_a_comment_does_not(rewritten, edit):
    old, new, counts = EDITS[edit]
    uses = SECTIONS.recipe(["dropout"])
    before, plain = mark(uses), mark(BASE)
    rewritten("cnnlab.recipe.techniques.dropout", old, new)
    assert (mark(uses) != before) == counts
    assert mark(BASE) == plain  # it does not use the technique


@pytest.mark.parametrize(
    "module",
    [
        "train.fit",
        "train.input",
        "train.augmentation",
        "train.quantities",
        "recipe.recipe",
        "recipe.blocks",
        "recipe.network",
        "recipe.nets.vgg",
        "scoring",
        "seeds",
    ],
)
def test_an_edit_of_what_all_trials_use_counts_for_all(rewritten, module):
    before = mark(BASE)
    rewritten(f"cnnlab.{module}")
    assert mark(BASE) != before


@pytest.mark.parametrize("module", ["cnnlab.errors", "cnnlab.params", "cnnlab.data.pool"])
def test_an_edit_of_what_computes_nothing_counts_for_none(rewritten, module):
    before = mark(BASE)
    rewritten(module)
    assert mark(BASE) == before


def plain_or(name):
    """A recipe that uses one technique, in a network and of a task where it does something."""
    nets = dict.fromkeys(["vgg", *NETS.names()])
    for task, net in itertools.product(TASKS.names(), nets):
        sections = replace(made_up.sections(net), task=task)
        try:
            return sections.recipe([]), sections.recipe([name])
        except UserError:
            continue
    raise AssertionError(f"{name} does nothing anywhere")


@pytest.mark.parametrize("name", TECHNIQUES.names())
def test_a_technique_s_file_counts_for_those_that_use_it_alone(rewritten, name):
    without, uses = plain_or(name)
    before = mark(without), mark(uses)
    rewritten(f"cnnlab.recipe.techniques.{name}")
    assert mark(without) == before[0]
    assert mark(uses) != before[1]


IMPORTED_BY = {"application": ["efficientnet_lite0"]}  # its head and the names of its layers


@pytest.mark.parametrize("net", NETS.names())
def test_a_network_s_file_counts_for_those_that_use_it_alone(rewritten, net):
    recipes = {each: made_up.sections(each).recipe([]) for each in NETS.names()}
    before = {each: mark(recipe) for each, recipe in recipes.items()}
    rewritten(f"cnnlab.recipe.nets.{net}")
    changed = {n for n, recipe in recipes.items() if mark(recipe) != before[n]}
    assert changed == {net, *IMPORTED_BY.get(net, [])}


@pytest.mark.parametrize(
    ("uses", "imported"),
    [
        ("cutmix", "mixup"),  # beta
        ("lp_ft", "finetune"),  # Options
        ("gradual", "freeze"),  # two imports away
    ],
)
def test_what_a_technique_imports_counts_too(rewritten, uses, imported):
    made = SECTIONS.recipe([uses])
    before = mark(made), mark(BASE)
    assert imported not in made.techniques
    rewritten(f"cnnlab.recipe.techniques.{imported}")
    assert mark(made) != before[0]
    assert mark(BASE) == before[1]


def test_an_edit_of_the_code_that_cutmix_borrows_counts(rewritten):
    made = SECTIONS.recipe(["cutmix"])
    before = mark(made)
    rewritten("cnnlab.recipe.techniques.mixup", "return one / (one + other)", "return one")
    assert mark(made) != before


def test_an_edit_of_an_op_counts_for_a_policy_with_it(rewritten):
    policy = SECTIONS.recipe(["augment"])
    before = mark(policy)
    rewritten(f"cnnlab.recipe.techniques.{policy.ops[0][0]}")
    assert mark(policy) != before


@pytest.mark.parametrize("module", ["train.phases", "train.features"])
def test_the_code_of_phases_counts_for_what_has_some(rewritten, module):
    recipes = [BASE, SECTIONS.recipe(["freeze"]), SECTIONS.recipe(["untrained"])]
    before = [mark(recipe) for recipe in recipes]
    rewritten(f"cnnlab.{module}")
    changed = [mark(recipe) != was for recipe, was in zip(recipes, before, strict=True)]
    assert changed == [False, True, False]


def test_imports_of_types_alone_do_not_count(rewritten):
    text = "\nif TYPE_CHECKING:\n    from cnnlab import params\n"
    text += "def late():\n    from cnnlab.recipe.techniques import mixup\n"
    rewritten("cnnlab.scoring", end=text)
    covered = set(fingerprint.code(["cnnlab.scoring"]))
    assert {"cnnlab.scoring", "cnnlab.recipe.techniques.mixup"} <= covered
    assert "cnnlab.params" not in covered


def test_a_digest_is_that_of_every_version_of_python(tmp_path, monkeypatch):
    """How f-strings are written out differs since 3.12."""
    (tmp_path / "made.py").write_text(r"""
def said(names, width, x):
    lines = [f"{', '.join(names)}: {x!r:>{width}}|{x:{width - 2}}"]
    lines += [f'{names[0]}"{{}}' "\\n" f"it's"]
    return f"{f'{x:.3f}' + '%'}{x=}{names.get('a', 'b')}", lines
""")
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    assert fingerprint._digest("made") == "4f238bab250c649d"


def test_code_is_found_without_importing_it(root):
    script = """
import sys
from cnnlab.records import fingerprint
print(len(fingerprint.code([fingerprint.PHASES])), "tensorflow" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    number, loaded = done.stdout.split()
    assert int(number) > 10 and loaded == "False"


def test_rewritten_code_keeps_its_digest_where_it_is_said_to_compute_the_same(
    tmp_path, monkeypatch
):
    plain = fingerprint.code([fingerprint.FIT])
    said = {"cnnlab.seeds": {plain["cnnlab.seeds"]: "earlier"}, "cnnlab.scoring": {"other": "x"}}
    said["cnnlab.recipe.norm"] = {plain["cnnlab.recipe.norm"]: None}
    monkeypatch.setattr(fingerprint, "SAME", tmp_path / "same.json")
    fingerprint.SAME.write_text(json.dumps(said))
    made = fingerprint.code([fingerprint.FIT])
    assert made["cnnlab.seeds"] == "earlier"  # said of the code that is there
    assert "cnnlab.recipe.norm" not in made  # was part of another module
    assert "other" not in made.values()  # said of code that is not


def test_a_mark_holds_the_task_and_its_code():
    others = {mark(BASE), fingerprint.fingerprint(BASE, 7, TRAIN, HELD_OUT, "", "cpu X86_V3")}
    assert len(others) == 1
    masks = fingerprint.fingerprint(BASE, 7, TRAIN, HELD_OUT, "", "cpu X86_V3", "segmentation")
    assert masks not in others
