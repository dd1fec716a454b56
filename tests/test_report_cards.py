"""Cards of the techniques: in step with the files and studies that they are made from."""

from pathlib import Path

import pandas as pd
import pytest

from cnnlab.compare.tables import EFFECT_COLUMNS
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.report import cards
from tests import made_up

ROOT = Path(__file__).parents[1]


def test_the_committed_cards_are_those_of_now():
    made = cards.pages(ROOT)
    there = {path.name: path.read_text() for path in (ROOT / cards.FOLDER).glob("*.md")}
    assert set(there) == set(made), "run `make cards`"
    for name, text in made.items():
        assert there[name] == text, f"{name}: run `make cards`"


@pytest.mark.parametrize("name", TECHNIQUES.names())
def test_a_technique_says_what_is_sensible_what_it_goes_badly_with_and_what_it_costs(name):
    said = cards.sections(TECHNIQUES[name])
    assert list(said) == ["", *cards.SECTIONS]
    assert all(len(text) >= 4 and text.endswith(".") for text in said.values()), said


def effect(**changes):
    numbers = ("effect", "low", "high", "rope", "p_helps", "p_same", "p_hurts", "p", "p_holm")
    row = dict.fromkeys(EFFECT_COLUMNS, 0) | dict.fromkeys(numbers, 0.5)
    row |= {"metric": "accuracy", "technique": "dropout", "kind": "main", "why": "", "aliases": ""}
    row |= {"effect": 0.021, "low": 0.011, "high": 0.031, "verdict": "helps", "plus": "a"}
    row |= {"approximate": False}
    return row | {"minus": "b"} | changes


@pytest.fixture
def clone(tmp_path):
    """A clone with a study of now at its root, and one below of an earlier version."""
    reports = tmp_path / "reports"
    (reports / "compare").mkdir(parents=True)
    rows = [effect(), effect(kind="alone", verdict="undecided"), effect(metric="nll")]
    rows += [effect(technique="l2", verdict="undecided", why="fewer than 20 images")]
    pd.DataFrame(rows).to_csv(reports / "ablation.csv", index=False)
    held = [{"technique": "dropout", "kind": "main", "holds": "not shown"}]
    pd.DataFrame(held).to_csv(reports / "compare/mechanisms.csv", index=False)
    (reports / "report.md").write_text("# pets: a study\n")
    text = made_up.FILE.read_text().replace("confidence: 0.95", "confidence: 0.9")
    (tmp_path / "params.yaml").write_text(text)
    old = tmp_path / "studies/old/reports"
    old.mkdir(parents=True)
    old_row = {k: v for k, v in effect().items() if k not in ("why", "look")}
    pd.DataFrame([old_row]).to_csv(old / "ablation.csv", index=False)
    return tmp_path


def test_a_card_holds_effects_with_intervals_and_says_which_studies_it_leaves_out(clone):
    card = cards.pages(clone)["dropout.md"]
    assert "# dropout\n" in card and "Srivastava" in card
    assert "| `rate` | > 0, < 1 | share of units dropped at each step |" in card
    (main,) = (line for line in card.splitlines() if "helps:" in line)
    assert main.startswith("| [pets](../../reports/report.md) | ")
    assert main.endswith("| helps: +2.1 [1.1, 3.1] points of accuracy | not shown |")
    assert card.count("../../reports/report.md") == 2  # main and alone, of the primary metric
    assert "earlier version made their tables: `studies/old/reports`." in card
    for part in ("**Sensible**: rate 0.2", "**Goes badly with**: networks", "**Cost**: none"):
        assert part in card


def test_a_card_without_effects_says_so_and_an_effect_that_cannot_be_told_too(clone):
    made = cards.pages(clone)
    assert "Its effect was measured in none of the committed studies." in made["zoom.md"]
    assert "cannot be told: " in made["l2.md"]
    assert "those of [shift](shift.md), or left out" in made["augment.md"]
    assert "It has no hyperparameters." in made["blur_pool.md"]
    assert "`true`, `false`" in made["flip.md"] and "`fixed`, `learning`" in made["finetune.md"]
    assert "whole numbers, ≥ 1, ≤ 8" in made["randaugment.md"]
    assert "It is a start" in made["freeze.md"] and "It claims nothing." in made["placebo.md"]


def test_effects_with_a_start_of_starts_against_each_other_and_of_the_placebo_are_on_cards(clone):
    rows = [
        effect(),
        effect(kind="alone", approximate=True),
        effect(kind="alone", technique="dropout with freeze"),
        effect(kind="removed"),
        effect(kind="start", technique="freeze - untrained"),
        effect(kind="placebo", technique="placebo"),
        effect(kind="interaction", technique="dropout × freeze"),
    ]
    pd.DataFrame(rows).to_csv(clone / "reports/ablation.csv", index=False)
    held = [("yes", "main"), ("no", "main"), ("no", "alone"), ("no", "alone")]
    held = [{"technique": "dropout", "kind": kind, "holds": holds} for holds, kind in held]
    pd.DataFrame(held).to_csv(clone / "reports/compare/mechanisms.csv", index=False)
    made = cards.pages(clone)

    def told(name):
        lines = [line for line in made[f"{name}.md"].splitlines() if line.startswith("| [pets]")]
        return [line.split(" | ")[1:] for line in lines]

    said = "helps: +2.1 [1.1, 3.1] points of accuracy"
    assert told("dropout") == [
        ["Main effects", said, "yes; no |"],
        ["Added to the baseline, without a start", f"{said} (approximate)", "no |"],
        ["Added to the baseline, with freeze", said, "– |"],
        ["Lost when removed from the full recipe", said, "– |"],
    ]
    start = [["How training starts, freeze - untrained", said, "– |"]]
    assert told("freeze") == told("untrained") == start
    assert told("placebo") == [["Placebo", said, "– |"]]
    assert "*interval*: at 90%." in made["dropout.md"] and "*interval*" not in made["zoom.md"]


def test_the_index_has_a_row_a_technique(clone):
    made = cards.pages(clone)
    index = made.pop(cards.INDEX)
    assert index.count("\n| [") == len(made) == len(TECHNIQUES.names())
    assert "helps: +2.1 [1.1, 3.1] |" in index and "studies/old/reports" in index


def test_cards_of_techniques_that_are_gone_go(clone, monkeypatch, capsys):
    monkeypatch.chdir(clone)
    cards.FOLDER.mkdir(parents=True)
    (cards.FOLDER / "gone.md").write_text("x")
    cards.main()
    assert not (cards.FOLDER / "gone.md").exists() and (cards.FOLDER / "zoom.md").exists()
    assert "studies/old/reports: left out" in capsys.readouterr().err
