"""Fingerprints change with what can change a result, and with nothing else."""

import importlib.metadata
import importlib.util
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from cnnlab import strategies
from cnnlab.plugins import chosen
from cnnlab.training import fingerprint, recipe

TRAIN, JUDGED = ["aa:0", "bb:1", "cc:0"], ["dd:1"]


@pytest.fixture(autouse=True)
def fresh_digests():
    fingerprint.code_digest.cache_clear()
    yield
    fingerprint.code_digest.cache_clear()


def mark(made, seed=7, train=TRAIN, judged=JUDGED, start=""):
    return fingerprint.fingerprint(made, seed, train, judged, start)


def test_a_fingerprint_changes_with_each_ingredient(base):
    variations = [
        mark(base),
        mark(replace(base, epochs=base.epochs + 1)),
        mark(base.inserting("dense", "Dropout", rate=0.5)),
        mark(base.penalising("kernel", l1=0.1)),
        mark(base.augmenting("shift", fraction=0.1)),
        mark(replace(base, phases=(recipe.Phase(1, 0.1),))),
        mark(base, seed=8),
        mark(base, train=["aX:0", *TRAIN[1:]]),  # another image
        mark(base, train=["aa:1", *TRAIN[1:]]),  # another label
        mark(base, train=TRAIN[::-1]),
        mark(base, train=TRAIN[:-1]),
        mark(base, train=TRAIN[:-1], judged=[TRAIN[-1], *JUDGED]),
        mark(base, judged=["dX:1"]),
        mark(base, judged=["dd:0"]),
        mark(base, start="backbone's digest"),
        mark(base, start="another's"),
    ]
    assert len(set(variations)) == len(variations)


def test_a_fingerprint_does_not_change_with_anything_else(committed, base, tmp_path, monkeypatch):
    names = list(chosen(committed.techniques))
    one = mark(recipe.apply(base, names, committed.techniques))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_EXP_NAME", "other")
    fingerprint.code_digest.cache_clear()
    assert mark(recipe.apply(base, names[::-1], committed.techniques)) == one


@pytest.mark.parametrize("library", ["tensorflow", "keras", "numpy"])
def test_a_fingerprint_changes_with_the_libraries_that_compute(base, monkeypatch, library):
    before, really = mark(base), importlib.metadata.version
    monkeypatch.setattr(
        importlib.metadata, "version", lambda n: really(n) + ".1" if n == library else really(n)
    )
    assert mark(base) != before


@pytest.fixture
def rewritten(tmp_path, monkeypatch):
    """Replaces text in the file of a module, as fingerprints see it."""

    def rewrite(module, old, new):
        fingerprint.code_digest.cache_clear()
        really = importlib.util.find_spec
        text = Path(really(module).origin).read_text()
        assert old in text
        path = tmp_path / "rewritten.py"
        path.write_text(text.replace(old, new))
        monkeypatch.setattr(
            importlib.util,
            "find_spec",
            lambda name: SimpleNamespace(origin=str(path)) if name == module else really(name),
        )

    return rewrite


DROPOUT = "cnnlab.techniques.dropout"
EDITS = {
    "docstring": ("Mechanism:", "In other words:", False),
    "claim": ("do not echo", "never echo", False),
    "evidence": ("unit_correlation", "gap", False),
    "comment": ("def apply", "# why\n\n\ndef apply", False),
    "layout": ("(recipe, options)", "(recipe,  options)", False),
    "code": ("rate=options.rate", "rate=options.rate / 2", True),
}


@pytest.mark.parametrize("edit", EDITS)
def test_a_code_edit_counts_and_a_comment_does_not(committed, base, rewritten, edit):
    old, new, counts = EDITS[edit]
    uses = recipe.apply(base, ["dropout"], committed.techniques)
    before, plain = mark(uses), mark(base)
    rewritten(DROPOUT, old, new)
    assert (mark(uses) != before) == counts
    assert mark(base) == plain  # it does not use the technique


@pytest.mark.parametrize(
    "module",
    ["training.fit", "training.blocks", "training.augmentation", "models.vgg"],
)
def test_an_edit_of_what_all_trials_use_counts_for_all(base, rewritten, module):
    before = mark(base)
    rewritten(f"cnnlab.{module}", "\nfrom ", "\nedited = 1\nfrom ")
    assert mark(base) != before


def test_an_edit_of_an_op_counts_for_a_policy_with_it(committed, base, rewritten):
    policy = recipe.apply(base, ["augment"], committed.techniques)
    op = policy.ops[0][0]
    before = mark(policy)
    rewritten(f"cnnlab.techniques.{op}", "def apply", "edited = 1\n\n\ndef apply")
    assert mark(policy) != before


@pytest.mark.parametrize("module", ["phases", "transferred", "features"])
def test_transfer_s_code_counts_for_what_uses_it_alone(base, rewritten, module):
    uses = strategies.phased(base, [recipe.Phase(3, 0.1)])
    stored = replace(uses, features=0)
    before = mark(base), mark(uses), mark(stored)
    assert len(set(before)) == 3
    rewritten(f"cnnlab.training.{module}", "\nfrom ", "\nedited = 1\nfrom ")
    changed = [a != b for a, b in zip(before, map(mark, (base, uses, stored)), strict=True)]
    assert changed == [False, module != "features", True]
