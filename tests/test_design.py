"""`make design` and stages.check: the variants of params.yaml are those of its design."""

import difflib
from types import SimpleNamespace

import pytest
from ruamel.yaml import YAML

from cnnlab import design, params, tracking
from cnnlab.compare import designs
from cnnlab.errors import UserError
from stages import check


@pytest.fixture
def study(tmp_path, root, monkeypatch):
    """A folder with the committed params.yaml to work in; `edit` changes it, comments kept."""
    path = tmp_path / "params.yaml"
    path.write_text((root / "params.yaml").read_text())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tracking, "trial_seconds", lambda study: [])

    def edit(**changes):
        yaml = YAML()
        content = yaml.load(path)
        for key, value in changes.items():
            group, _, name = key.partition("__")
            content[group][name] = value
        with path.open("w") as file:
            yaml.dump(content, file)

    return SimpleNamespace(path=path, edit=edit)


def sets(whole):
    return {frozenset(on) for on in whole.variants.values()}


def test_the_committed_variants_are_the_committed_design_s(study, capsys):
    before = study.path.read_text()
    check.main()
    design.main()
    assert study.path.read_text() == before
    said = capsys.readouterr().out
    whole = params.read()
    folds = whole.folds.k * whole.folds.repeats
    assert f"{len(whole.variants) * folds} trials: {len(whole.variants)} variants" in said


@pytest.mark.parametrize("kind", ["star", "factorial", "fraction"])
def test_a_design_is_written_and_nothing_else_changes(study, kind, capsys):
    study.edit(design__kind=kind, visualize__variants=["baseline"])
    before = study.path.read_text()
    design.main()
    whole = params.read()
    assert sets(whole) == set(designs.sets_of(**dict(whole.design)))
    check.main()
    changed = difflib.ndiff(before.splitlines(), study.path.read_text().splitlines())
    lines = [line for line in changed if line[0] in "+-"]
    assert all(line[1:].startswith("   ") and "[" in line for line in lines)
    assert bool(lines) == (kind != "star")
    said = capsys.readouterr().out
    assert f"{len(whole.variants)} variants" in said
    assert ("resolution 5" in said) == (kind == "fraction")
    assert ("nothing is aliased" in said) == (kind == "factorial")
    design.main()
    assert params.read() == whole


def test_a_set_that_is_there_keeps_its_name_and_its_comment(study):
    text = study.path.read_text()
    study.path.write_text(text.replace("  dropout: [dropout]", "  mine: [dropout]  # my own"))
    study.edit(visualize__variants=["baseline"])
    design.main()
    assert "  mine: [dropout]  # my own" in study.path.read_text()


def test_variants_that_are_lacking_are_told_before_anything_runs(study):
    text = study.path.read_text()
    study.path.write_text(text.replace("  l1: [l1]\n", "").replace("  baseline: []\n", ""))
    study.edit(visualize__variants=["all"])
    with pytest.raises(UserError, match=r"design\.kind = 'star' .* no technique; l1; run `make"):
        check.main()
    study.edit(design__kind="custom")
    check.main()


def test_a_variant_beside_the_design_is_allowed(study):
    study.edit(variants__two=["l1", "l2"])
    check.main()


def test_nothing_is_written_where_it_would_be_bad(study):
    study.edit(design__kind="fraction")  # without the variant `dropout`, which is to be drawn
    before = study.path.read_text()
    with pytest.raises(UserError, match=r"visualize\.variants"):
        design.main()
    assert study.path.read_text() == before
    assert [p.name for p in study.path.parent.iterdir()] == ["params.yaml"]


def test_a_design_by_hand_is_not_written(study):
    study.edit(design__kind="custom")
    with pytest.raises(UserError, match="yours to write"):
        design.main()


def test_a_section_in_another_style_is_left_alone():
    with pytest.raises(UserError, match="no line `variants:`"):
        design.replaced("variants: {a: []}\n", {"b": []})


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
