"""The report's parts."""

from pathlib import Path

import matplotlib.figure
import pandas as pd
import pytest
from jinja2 import Environment, UndefinedError, meta

from cnnlab import report
from cnnlab.compare.metrics import METRICS
from cnnlab.look import Picture, save

SCORES = pd.DataFrame(
    [
        {"name": name, "techniques": on, "accuracy": a, "nll": b, "train_accuracy": 0.95, "gap": g}
        for name, on, a, b, g in (
            ("worst", "", 0.5, 1.5, 0.45),
            ("best", "x y", 0.75, 0.5, 0.2),
            ("middle", "x", 0.625, 1.0, 0.325),
        )
    ]
)
for metric in METRICS:
    for end, by in (("sd", 0.03), ("low", -0.0625), ("high", 0.0625)):
        SCORES[f"{metric}_{end}"] = by + (SCORES[metric] if end != "sd" else 0)


def effects_of(**rows):
    """Effects of kind "alone": technique -> (effect, clear)."""
    return pd.DataFrame(
        {
            "technique": name,
            "kind": "alone",
            "effect": effect,
            "low": effect - 0.01,
            "high": effect + 0.01,
            "p": 0.01,
            "p_holm": 0.02,
            "n": 15,
            "clear": clear,
            "degenerate": False,
        }
        for name, (effect, clear) in rows.items()
    )


EFFECTS = effects_of(small=(0.02, False), down=(-0.05, True), up=(0.1, True))


def firsts(table):
    """The first cell of each row of a Markdown table."""
    return [line.split("|")[1].strip(" *") for line in table.splitlines()[2:]]


@pytest.mark.parametrize("character", "\\`*_[]<>|#")
def test_what_means_something_in_markdown_is_escaped(character):
    assert report.escaped(f"a{character}b") == f"a\\{character}b"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain name", "plain name"),
        ("two\nlines\tand  blanks ", "two lines and blanks"),
        ("](javascript:x)", "\\](javascript:x)"),
        ("<script>", "\\<script\\>"),
        ("\\*", "\\\\\\*"),  # nothing is escaped twice, nothing is left out
    ],
)
def test_a_name_cannot_break_out_of_its_place(text, safe):
    assert report.escaped(text) == safe


@pytest.mark.parametrize("metric", METRICS)
def test_the_best_variant_comes_first(metric):
    table = report.scores_table(SCORES, metric, 0.95)
    assert firsts(table) == ["best", "middle", "worst"]
    cells = {line.count("|") for line in table.splitlines()}
    assert len(cells) == 1  # as many in every row as in the head
    assert "95%" in table.splitlines()[0]


def test_a_row_holds_the_variant_s_numbers_in_their_units():
    row = report.scores_table(SCORES, "accuracy", 0.95).splitlines()[2]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells == ["**best**", "x y", "75.0 [68.8, 81.2]", "3.0", "95.0", "20.0", "0.500"]
    worst = report.scores_table(SCORES, "nll", 0.95).splitlines()[-1]
    assert [cell.strip() for cell in worst.strip("|").split("|")][1:3] == [
        "–",
        "1.500 [1.438, 1.562]",
    ]


@pytest.mark.parametrize(
    ("metric", "order"),
    [("accuracy", ["up", "small", "down"]), ("nll", ["down", "small", "up"])],
)
def test_what_helps_most_comes_first(metric, order):
    table = report.effects_table(EFFECTS, metric, 0.95)
    assert firsts(table) == order
    assert len({line.count("|") for line in table.splitlines()}) == 1


@pytest.mark.parametrize(
    ("effect", "clear", "degenerate", "metric", "reading"),
    [
        (0.1, True, False, "accuracy", "helps"),
        (-0.1, True, False, "accuracy", "hurts"),
        (0.1, True, False, "nll", "hurts"),
        (-0.1, True, False, "nll", "helps"),
        (0.1, False, False, "accuracy", "not told from zero by 15 folds"),
        (-0.1, False, False, "nll", "not told from zero by 15 folds"),
        (0.1, True, True, "accuracy", "all folds agree exactly"),
        (0.0, False, True, "nll", "all folds agree exactly"),
    ],
)
def test_a_reading_claims_only_what_is_clear(effect, clear, degenerate, metric, reading):
    row = {"effect": effect, "clear": clear, "degenerate": degenerate, "n": 15}
    assert report.reading(row, METRICS[metric]) == reading


def test_tables_read_from_a_file_read_alike(tmp_path):
    EFFECTS.to_csv(tmp_path / "effects.csv", index=False)
    again = pd.read_csv(tmp_path / "effects.csv", keep_default_na=False)
    assert report.effects_table(again, "accuracy", 0.95) == report.effects_table(
        EFFECTS, "accuracy", 0.95
    )


def test_effects_are_signed_with_a_true_minus():
    row = {"effect": -0.05, "low": -0.06, "high": 0.01}
    assert report.effect(row, METRICS["accuracy"]) == "−5.0 [−6.0, +1.0]"


def test_the_answer_names_every_effect_and_the_best_variant():
    together = EFFECTS.head(1).assign(kind="together", technique="all techniques", effect=0.3)
    text = report.answer(SCORES, pd.concat([EFFECTS, together]), "accuracy")
    for told in ("small +2.0", "down −5.0", "(hurts)", "up +10.0", "+30.0", "**best**, 75.0"):
        assert told in text
    assert "full recipe" not in text  # nothing was removed


@pytest.mark.parametrize("alt", ["plain", "x | y [1] <b>", "ünïcode − 3×3 „…“", "two\nlines"])
def test_alt_text_survives_in_the_file(tmp_path, alt):
    path = tmp_path / "figures" / "a figure.png"
    path.parent.mkdir()
    save(Picture(matplotlib.figure.Figure(), alt), path)
    assert report.alt(path) == alt
    image = report.picture(path, tmp_path)
    assert image == f"![{report.escaped(alt)}](figures/a%20figure.png)"


def facts(**changes):
    text = dict.fromkeys(
        ("study", "answer", "data", "shape", "variants", "backbone", "pretrain_classes"), "T"
    )
    numbers = dict.fromkeys(("repeats", "folds", "n", "classes", "alpha", "strategies"), 7)
    lists = ("overview", "augmentation", "ablation_figures", "transfer_figures")
    lists = {key: [] for key in (*lists, "features", "kernels")}
    rest = {
        "images": {"dev": 11, "test": 12, "pretrain": 13},
        "effects": [("alone", "A title", "a table")],
        "transfer_effects": "another table",
    }
    return {**text, **numbers, **lists, **rest, **changes}


def test_the_page_holds_the_facts():
    page = report.render(
        **facts(
            overview=["![first](1.png)", "![second](2.png)"],
            kernels=[("net", ["![k](k.png)"])],
            features=[("0_1", ["![f](f.png)"])],
        )
    )
    for told in ("11 development images", "A title", "a table", "another table", "![first]"):
        assert told in page
    assert "![second]" not in page
    assert page.count("<details") == page.count("</details>") == 2
    assert page.endswith("\n")


def test_a_study_without_transfer_has_no_such_section():
    page = report.render(**facts(strategies=0, transfer_effects=0, backbone=""))
    assert "## Transfer" not in page
    assert "## Transfer" in report.render(**facts())


TEMPLATE = (Path(report.__file__).parent / "report.md.j2").read_text()
NAMED = meta.find_undeclared_variables(Environment().parse(TEMPLATE))


@pytest.mark.parametrize("missing", sorted(NAMED))
def test_a_missing_fact_raises(missing):
    with pytest.raises(UndefinedError, match=missing):
        report.render(**{k: v for k, v in facts().items() if k != missing})


def test_the_readme_shows_the_committed_results(root, monkeypatch):
    from cnnlab.report import readme

    monkeypatch.chdir(root)
    page = (root / "README.md").read_text()
    assert page == readme.update(page, readme.current())
