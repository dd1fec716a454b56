"""`make design` and stages.check: the variants of params.yaml are those of its design."""

import difflib
import json
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from cnnlab import design, edited, params, paths, tracking
from cnnlab.compare import designs, tables
from cnnlab.compare.inference import Split
from cnnlab.errors import UserError
from stages import check


@pytest.fixture
def study(tmp_path, root, monkeypatch):
    """A folder with the frozen params.yaml to work in; `edit` changes it, comments kept."""
    path = tmp_path / "params.yaml"
    path.write_text((root / "tests/params.yaml").read_text())
    for folder in ("data/raw", "data/raw_pretrain"):  # which a study has
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "trial_seconds", lambda study: [])

    def edit(**changes):
        yaml = YAML()
        content = yaml.load(path)
        for key, value in changes.items():
            *groups, name = key.split("__")
            group = content
            for part in groups:
                group = group[part]
            group[name] = value
        with path.open("w") as file:
            yaml.dump(content, file)

    return SimpleNamespace(path=path, edit=edit)


def sets(whole):
    return {frozenset(on) for on in whole.variants.every.values()}


BESIDE = {frozenset(["freeze"]), frozenset(["finetune"])}  # starts that the design does not study
ONE = {"visualize__variants": ["baseline"], "sizes__variants": ["baseline"]}


def test_the_frozen_variants_are_the_frozen_design_s(study, capsys):
    before = study.path.read_text()
    check.main()
    design.main()
    assert study.path.read_text() == before
    said = capsys.readouterr().out
    whole = params.read()
    folds = whole.folds.k * whole.folds.repeats
    count = len(whole.variants.every)
    assert f"{count * folds} trials: {count} variants" in said


@pytest.mark.parametrize("kind", ["star", "factorial", "fraction"])
def test_a_design_is_written_and_nothing_else_changes(study, kind, capsys):
    study.edit(design__kind=kind, **ONE)
    before = study.path.read_text()
    design.main()
    whole = params.read()
    assert sets(whole) == set(designs.sets_of(**dict(whole.design))) | BESIDE
    check.main()
    changed = difflib.ndiff(before.splitlines(), study.path.read_text().splitlines())
    lines = [line for line in changed if line[0] in "+-"]
    assert all(line[1:].startswith("     ") and "[" in line for line in lines)
    assert bool(lines) == (kind != "star")
    said = capsys.readouterr().out
    assert f"{len(whole.variants.every)} variants" in said
    assert ("resolution 5" in said) == (kind == "fraction")
    assert ("nothing is aliased" in said) == (kind == "factorial")
    design.main()
    assert params.read() == whole


def test_lists_may_name_variants_that_the_design_is_yet_to_bring(study):
    """Once `make design` refused them, so that they had to be named after it."""
    study.edit(
        design__techniques=["augment", "dropout"],
        design__placebo=False,
        variants={"train": {}, "transfer": {}},
        data__pretrain__task=None,
        visualize__variants=["all"],
        sizes__variants=["augment"],
        compare__pairs=[["augment", "dropout"]],
    )
    none = "variants:\n  train: {}\n  transfer: {}\n\n"
    text = re.sub(r"(?m)^variants:.*\n(  .*\n)*", none, study.path.read_text())
    study.path.write_text(text)
    with pytest.raises(UserError, match=r"variants = "):
        params.read()
    design.main()
    assert list(params.read().variants.train) == ["baseline", "augment", "dropout", "all"]
    study.edit(visualize__variants=["none"])
    before = study.path.read_text()
    with pytest.raises(UserError, match=r"visualize\.variants = 'none'"):
        design.main()
    assert study.path.read_text() == before


def test_a_set_that_is_there_keeps_its_name_and_its_comment(study):
    text = study.path.read_text()
    study.path.write_text(text.replace("    dropout: [dropout]", "    mine: [dropout]  # my own"))
    study.edit(**ONE)
    design.main()
    assert "\n    mine: [dropout]  # my own\n" in study.path.read_text()
    assert "\n    dropout: " not in study.path.read_text()


def test_starts_are_crossed_with_the_techniques_and_each_variant_is_in_its_group(study, capsys):
    study.edit(
        design={"kind": "factorial", "techniques": ["augment"], "starts": ["freeze", "finetune"]}
        | {"resolution": 5, "placebo": False},
        visualize__variants=["freeze"],
        sizes__variants=["freeze", "finetune"],
    )
    before = study.path.read_text()
    with pytest.raises(UserError, match="variant freeze-augment: technique augment would do noth"):
        design.main()  # features of a frozen backbone are stored, without augmentation
    assert study.path.read_text() == before
    study.edit(backbone__features=None)
    design.main()
    whole = params.read()
    # What begins at random weights, or has another technique, is not under study: it stays.
    assert whole.variants.train["baseline"] == [] and whole.variants.train["l1"] == ["l1"]
    assert whole.variants.transfer == {
        "freeze": ["freeze"],
        "freeze-augment": ["freeze", "augment"],
        "finetune": ["finetune"],
        "finetune-augment": ["finetune", "augment"],
    }
    check.main()
    said = capsys.readouterr().out
    assert "factorial of 1 technique: 4 variants, 2 for each of freeze, finetune" in said
    assert "it tells what each start does on average" in said
    assert "new: freeze-augment, finetune-augment\n" in said and "gone:" not in said
    text = study.path.read_text()
    assert "  train:                 # those that begin at random weights\n" in text
    assert (
        "  transfer:              # those that begin at the backbone: each has one start\n" in text
    )


def test_a_group_that_has_no_variant_is_written_as_empty(study):
    study.edit(
        backbone__features=None,
        design__starts=["freeze"],
        design__techniques=["augment", "dropout"],
        variants__train={},
        variants__transfer={"freeze": ["freeze"]},
        visualize__variants=["freeze"],
        sizes__variants=["freeze"],
    )
    design.main()
    assert re.search(r"(?m)^  train: \{\}( +#.*)?$", study.path.read_text())
    assert list(params.read().variants.every) == [
        *("freeze", "freeze-placebo", "freeze-augment", "freeze-dropout", "freeze-all")
    ]


def test_a_name_that_the_design_needs_is_not_taken_from_a_variant_beside_it(study):
    text = study.path.read_text().replace("    l1: [l1]\n", "")
    study.path.write_text(text.replace("    freeze: [freeze]", "    l1: [freeze]"))
    study.edit(sizes__variants=["baseline"], visualize__variants=["baseline"])
    with pytest.raises(
        UserError, match=r"variant l1 = .*: the design needs this name for \['l1'\]"
    ):
        design.main()


def test_variants_that_are_lacking_are_told_before_anything_runs(study):
    text = study.path.read_text()
    study.path.write_text(text.replace("    l1: [l1]\n", "").replace("    baseline: []\n", ""))
    study.edit(visualize__variants=["all"], sizes__variants=["all"])
    with pytest.raises(UserError, match=r"design\.kind = 'star' .* no technique; l1; run `make"):
        check.main()
    study.edit(design__kind="custom")
    check.main()


def test_a_variant_beside_the_design_is_allowed(study):
    study.edit(variants__train__two=["l1", "l2"])
    check.main()


def test_nothing_is_written_where_it_would_be_bad(study):
    study.edit(design__kind="fraction")  # without the variant `dropout`, which is to be drawn
    before = study.path.read_text()
    with pytest.raises(UserError, match=r"visualize\.variants"):
        design.main()
    assert study.path.read_text() == before
    assert sorted(p.name for p in study.path.parent.iterdir()) == ["data", "params.yaml"]


def test_a_file_from_windows_keeps_the_ends_of_its_lines(study):
    study.edit(design__kind="factorial", **ONE)
    study.path.write_bytes(study.path.read_bytes().replace(b"\n", b"\r\n"))
    before = study.path.read_bytes().splitlines(keepends=True)
    design.main()
    after = study.path.read_bytes().splitlines(keepends=True)
    assert all(line.endswith(b"\r\n") for line in after)
    assert 0 < len(set(after) - set(before)) < 40
    check.main()


SHORT = """\
# What differs.
study: short  # a name
code: .
task: classification
seed: 7
data:
  raw: data/raw
  source: digits
  classes: null  # all
  pretrain:
    raw: data/raw_pretrain
folds: {}
model: {}
train: {epochs: 3}  # as few as can be
techniques: {}
backbone: {}
design:
  techniques: [augment, dropout]
variants:  # written by make design
  train:
    bare: []  # mine
  transfer: {}
sizes: {}
execution: {}
compare: {}
decide: {}
visualize: {variants: [bare]}
final: {}
"""


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_of_a_short_file_the_variants_alone_change(study, ending):
    study.path.write_bytes(SHORT.replace("\n", ending).encode())
    design.main()
    written = study.path.read_bytes().decode()
    assert written.count("\n") == written.count(ending)
    before, after = SHORT.splitlines(), written.splitlines()
    changes = [d for d in difflib.ndiff(before, after) if d.startswith(("+", "-"))]
    assert changes == [
        "+     placebo: [placebo]",
        "+     augment: [augment]",
        "+     dropout: [dropout]",
        "+     all: [augment, dropout]",
    ]
    check.main()


REMARKED = """\
variants:  # written by make design
# Begin at random weights.
  train:

    # Nothing.
    "bare":   []  # mine
    # Of an entry that goes.
    gone: [l2]
# At the margin.
    'drop-out': [dropout]  # noise
    007:
      - augment
    # The last.
  transfer: {}  # none

# Of the next section.
"""


def test_comments_and_ways_to_write_stay_with_what_they_are_of():
    named = {"bare": [], "new": ["l1"], "drop-out": ["dropout"], "007": ["augment"], "1e5": ["l2"]}
    new = design.replaced(REMARKED, {"train": named, "transfer": {}})
    assert new == (
        "variants:  # written by make design\n"
        "# Begin at random weights.\n"
        "  train:\n"
        "    # Nothing.\n"
        '    "bare":   []  # mine\n'
        "    new: [l1]\n"
        "    # Of an entry that goes.\n"
        "# At the margin.\n"
        "    'drop-out': [dropout]  # noise\n"
        '    "007": [augment]\n'
        '    "1e5": [l2]\n'
        "    # The last.\n"
        "  transfer: {}           # none\n"
        "\n"
        "# Of the next section.\n"
    )
    assert design.replaced(new, {"train": named, "transfer": {}}) == new


@pytest.mark.parametrize("name", ["007", "yes", "2024-31-12", "train", "transfer", "e1"])
def test_a_variant_may_have_any_name(name):
    text = 'variants:\n  train:\n    "bare": []\n  transfer: {}'  # no end of line
    named = {"train": {name: []}, "transfer": {}}
    new = design.replaced(text, named)
    assert edited.content_of(new) == {"variants": named}
    assert design.replaced(new, named) == new


def test_a_design_by_hand_is_not_written(study):
    study.edit(design__kind="custom")
    with pytest.raises(UserError, match="yours to write"):
        design.main()


def test_a_section_in_another_style_is_left_alone():
    with pytest.raises(UserError, match="no line `variants:`"):
        design.replaced("variants: {train: {a: []}}\n", {"train": {"b": []}, "transfer": {}})


def test_time_is_told_from_what_trials_took(study, monkeypatch):
    whole = params.read()
    monkeypatch.setattr(tracking, "trial_seconds", lambda study: [9.0, 2.0, 4.0])
    two = whole.model_copy(update={"execution": whole.execution.model_copy(update={"workers": 2})})
    trials = 2 * whole.folds.k * whole.folds.repeats
    said = design.cost(two, {"a": [], "b": ["x"]})
    assert f"{trials} trials" in said and f"about 0:01:{trials * 2 % 60:02d}" in said
    assert "4.0 s" in said and "3 that MLflow has" in said
    monkeypatch.setattr(tracking, "trial_seconds", lambda study: [])
    assert "known once a variant is trained" in design.cost(two, {"a": []})


# Placebo, and what a design needs -----------------------------------------------------------------


def test_the_placebo_stands_after_the_first_variant_and_comes_and_goes(study, capsys):
    assert list(params.read().variants.every)[:2] == ["baseline", "placebo"]
    study.edit(design__placebo=False)
    design.main()
    assert "placebo" not in params.read().variants.every
    assert "gone: placebo" in capsys.readouterr().out
    check.main()
    study.edit(design__placebo=True)
    with pytest.raises(UserError, match="needs variants with just placebo; run `make design`"):
        check.main()
    design.main()
    assert list(params.read().variants.every)[:2] == ["baseline", "placebo"]
    assert "new: placebo" in capsys.readouterr().out
    check.main()


@pytest.fixture
def facts(study):
    """What the stage prepare leaves: 300 images for development."""
    paths.DATA_FACTS.parent.mkdir()
    paths.DATA_FACTS.write_text(json.dumps({"images": {"dev": 300, "test": 100}}))


def test_a_design_says_how_many_trainings_its_main_effects_need(study, facts):
    """The numbers of a star of five at two points; see tests/compare/test_power.py."""
    study.edit(compare__rope__accuracy=0.02)
    whole = params.read()
    said = design.powered(whole, whole.variants.every)
    assert said.startswith(
        "a main effect of 2 points (the rope) is told in 80% of studies by 6 rep"
    )
    assert "6 repeats, 360 trainings: 300 images, 5% after Holm's correction over 5" in said
    assert said.endswith("variances as of a small network on digits")


def test_where_images_are_too_few_a_design_says_so(study, facts):
    study.edit(compare__rope__accuracy=0.002)
    whole = params.read()
    said = design.powered(whole, whole.variants.every)
    assert re.search(r"of 0.2 points \(the rope\) takes more than \d{5} images to be told", said)
    assert "there are 300: variances" in said


def test_nothing_is_said_of_a_metric_that_nothing_is_known_of(study, facts):
    study.edit(compare__metric="nll")
    whole = params.read()
    assert "run the study once" in design.powered(whole, whole.variants.every)
    study.edit(compare__metric="accuracy", compare__rope__accuracy=0.0)
    whole = params.read()
    assert "run the study once" in design.powered(whole, whole.variants.every)
    study.edit(design__techniques=["augment"], design__kind="custom")
    one = params.read()
    assert design.powered(one, {"baseline": [], "augment": ["augment"]}) == ""


def test_a_study_s_own_variances_count_where_its_table_has_them(study, facts):
    """Once it had none, as by the corrected t, empty cells were taken for text."""
    study.edit(compare__rope__accuracy=0.02)
    whole = params.read()
    sets = designs.sets_of(**dict(whole.design))
    contrasts = designs.effects(whole.variants.every, sets, whole.design.techniques, 1)
    rng = np.random.default_rng(0)
    n, repeats = 300, 2
    fold = np.stack([rng.permutation(np.arange(n) % 5) for _ in range(repeats)])
    values = {name: rng.normal(0, 0.2, (repeats, n)) for name in whole.variants.every}
    for estimate, source in (
        ("crossed", "variances as in reports/ablation.csv"),
        ("corrected_t", "variances as of a small network on digits"),
    ):
        rules = tables.Rules(estimate=estimate)
        rows = tables.effect_rows(contrasts, values, Split(fold, np.arange(n)), rules)
        pd.DataFrame(rows).to_csv(paths.REPORTS / "ablation.csv", index=False)
        said = design.powered(whole, whole.variants.every)
        assert said.endswith(source)


@pytest.mark.parametrize(
    ("kind", "better"), [("factorial", "star"), ("star", None), ("fraction", "star")]
)
def test_the_design_of_fewest_trainings_is_proposed_where_it_is_another(study, kind, better):
    study.edit(design__kind=kind, **ONE)
    lines = design.explained(params.read().design)
    proposals = [line for line in lines if line.startswith("the fewest trainings")]
    expected = f"the fewest trainings for main effects alone: design.kind: {better}"
    assert proposals == ([expected] if better else [])


def test_aliases_of_a_fraction_of_resolution_three_are_said(study):
    study.edit(design__kind="fraction", design__resolution=3, **ONE)
    study.edit(design__techniques=["augment", "dropout", "l2"])
    said = design.explained(params.read().design)
    assert any("resolution 3; an effect holds also those it is aliased with" in s for s in said)
    assert any(re.fullmatch(r"  augment = −?dropout × l2", line) for line in said)
