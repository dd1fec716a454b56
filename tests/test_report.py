"""The report's parts."""

import re
from pathlib import Path

import matplotlib.figure
import pandas as pd
import pytest
from jinja2 import Environment, UndefinedError, meta

from cnnlab import report
from cnnlab.compare.mechanisms import QUANTITIES
from cnnlab.compare.metrics import METRICS
from cnnlab.look import Picture, save
from cnnlab.report.readings import WORDS, readings

ROOT = Path(__file__).parents[1]
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
for metric in ("accuracy", "nll"):
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
            "low_all": effect - 0.02,
            "high_all": effect + 0.02,
            "p": 0.01,
            "p_holm": 0.02,
            "p_helps": 0.2,
            "p_same": 0.5,
            "p_hurts": 0.3,
            "rope": 0.01,
            "verdict": "undecided",
            "repeats": 7.0,
            "floor": 0.005,
            "metric": "accuracy",
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


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
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
        (0.1, False, False, "accuracy", "not significant in 15 folds"),
        (-0.1, False, False, "nll", "not significant in 15 folds"),
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
    other = SCORES["name"].iloc[0]
    starts = EFFECTS.tail(1).assign(kind="start", technique="finetune - freeze")
    text = report.answer(SCORES, pd.concat([EFFECTS, together, starts]), "accuracy", other)
    assert f"Recommended: **{other}**" in text
    for words in ("small +2.0", "down −5.0", "(hurts)", "up +10.0", "+30.0", "**best**, 75.0"):
        assert words in text
    assert "full recipe" not in text  # nothing was removed
    assert "- How training starts: **finetune - freeze +10.0 [+9.0, +11.0]** (helps)." in text


@pytest.mark.parametrize(("metric", "best"), [("accuracy", "75.0"), ("nll", "0.500")])
def test_the_answer_without_effects_names_the_best_and_the_recommended(metric, best):
    text = report.answer(SCORES, EFFECTS.head(0), metric, "worst")
    assert len(re.findall("(?m)^- ", text)) == 2
    assert f"- Best mean: **best**, {best} " in text and "- Recommended: **worst**" in text
    single = report.answer(SCORES.head(1), EFFECTS.head(0), metric, "worst")
    assert len(re.findall("(?m)^- ", single)) == 1


@pytest.mark.parametrize("alt", ["plain", "x | y [1] <b>", "ünïcode − 3×3 „…“", "two\nlines"])
def test_alt_text_survives_in_the_file(tmp_path, alt):
    path = tmp_path / "figures" / "a figure.png"
    path.parent.mkdir()
    save(Picture(matplotlib.figure.Figure(), alt), path)
    assert report.alt(path) == alt
    image = report.picture(path, tmp_path)
    assert image == f"![{report.escaped(alt)}](figures/a%20figure.png)"


TEMPLATE = (Path(report.__file__).parent / "report.md.j2").read_text()
NAMED = meta.find_undeclared_variables(Environment().parse(TEMPLATE))


def facts(**changes):
    lists = ("overview", "augmentation", "ablation_figures", "readings", "overtaking", "inside")
    lists += ("mechanism_figures", "curves", "features", "kernels", "peaks", "grad_cam")
    made = dict.fromkeys(NAMED, "T") | {key: [] for key in (*lists, "everywhere")}
    made |= {"every_metric": "ME", "conditional": "CO", "mechanisms": "MT", "final": "FI"}
    made |= {"convergence": "CV", "rope": "±1 points", "sizes": "SZ", "scheduled": False}
    made |= {"images": {"dev": 11, "test": 12}, "effects": [("alone", "A title", "a table")]}
    return made | changes


def test_the_page_says_what_every_variant_has():
    plain, page = (report.render(**facts(everywhere=names)) for names in ([], ["cosine", "ema"]))
    assert "train.techniques" not in plain
    assert "Every variant, the baseline too, has cosine, ema beside its own techniques" in page


def test_the_page_says_that_a_schedule_hides_what_is_left_to_learn():
    plain, page = (report.render(**facts(scheduled=s)) for s in (False, True))
    assert "*scheduled*" not in plain
    assert "*scheduled*: the learning rate falls to the end" in page


def test_the_page_holds_the_facts():
    page = report.render(
        **facts(
            overview=["![first](1.png)", "![second](2.png)"],
            readings=["**x**: helps"],
            kernels=[("net", ["![k](k.png)"])],
            features=[("0_1", ["![f](f.png)"])],
            peaks=[("net", ["![p](p.png)"])],
            grad_cam=[("net", "![g](g.png)")],
            curves=["![c](c.png)"],
        )
    )
    figures = [f"![{letter}]({letter}.png)" for letter in "kfpgc"]
    texts = ("11 development images", "A title", "a table", "![first]")
    for told in (*texts, *figures):
        assert told in page
    for told in (
        "- **x**: helps",
        *(f"\n{key}\n" for key in ("ME", "CO", "MT", "FI", "CV", "SZ")),
        "±1 points",
    ):
        assert told in page
    assert "11 development" in page and "12 test images evaluated" in page
    without = report.render(**facts(every_metric=0, conditional=0, final=""))
    assert "12 test images have not been read" in without and "model_card" not in without
    assert without.count("<details") == without.count("</details>") == 0
    assert "![second]" not in page
    assert page.count("<details") == page.count("</details>") == 6
    assert page.endswith("\n")


def test_the_table_of_mechanisms_has_its_seven_cells_whatever_a_quantity_is_called():
    row = {"technique": "x", "claim": "says x", "way": "lower", "holds": "yes"}
    row |= {"without": 0.5, "with": 0.25, "change": -0.25, "low": -0.5, "high": 0.0}
    rows = pd.DataFrame([{**row, "quantity": name} for name in QUANTITIES])
    lines = report.mechanisms_table(rows, 0.95).splitlines()
    assert len(lines) == 2 + len(QUANTITIES)
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines} == {8}


def test_what_a_study_has_not_is_no_section():
    page = report.render(**facts(inside=["![i](i.png)"]))
    without = report.render(**facts(inside=[], sizes="", backbone=""))
    for title in (
        "## What training changed in the backbone",
        "## Against the size of the training",
    ):
        assert title in page and title not in without


def test_a_row_of_effects_holds_bounds_chances_verdict_and_plan():
    table = report.effects_table(EFFECTS.assign(repeats=[7.0, float("inf"), 1.0]), "accuracy", 0.95)
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()]
    up, small, down = cells[2:]
    assert up[1:] == [
        *("+10.0 [+9.0, +11.0]", "[+8.0, +12.0]", "0.010", "0.020", "20 / 50 / 30"),
        *("undecided", "1"),
    ]
    assert small[-1] == "7" and down[-1] == "no number"
    one = report.effects_table(EFFECTS.head(1).assign(degenerate=True), "accuracy", 0.95)
    assert "undecided (all folds agree)" in one


def test_every_metric_is_told_in_its_unit():
    both = pd.concat([EFFECTS, EFFECTS.assign(metric="nll", clear=True)])
    lines = report.metrics_table(both).splitlines()
    assert "accuracy (points)" in lines[0] and "nats), less is better" in lines[0]
    assert lines[2:] == [
        "| **small** alone | +2.0 · | +0.020 |",
        "| **down** alone | −5.0 | −0.050 |",
        "| **up** alone | +10.0 | +0.100 |",
    ]


def test_the_conditional_table():
    rows = pd.DataFrame(
        [{"technique": "x", "kind": "alone", "difference": 0.02, "low": -0.01, "high": 0.05}]
    )
    assert "| **x** alone | +2.0 [−1.0, +5.0] |" in report.conditional_table(rows, 0.95)


M = METRICS["accuracy"]


def read(*rows):
    """Readings of rows given as changes to a common one."""
    common = EFFECTS.iloc[0].to_dict()
    return readings([{**common, **row} for row in rows], M, 0.95)


def test_a_reading_says_what_is_told_and_what_is_not():
    (text,) = read({"clear": True, "verdict": "helps"}, {"kind": "removed", "effect": 0.001})
    assert text.startswith(
        "**small**: +2.0 points, 95% CI [+1.0, +3.0], when added; removing it from the full recipe"
        " changes nothing that 15 folds can see (+0.1 points, "
    )
    assert "With ±1.0 points as no practical difference: alone helps, removed undecided." in text
    assert text.endswith("About 7 repeats in all should decide it.")


def test_a_reading_says_when_no_number_of_repeats_is_enough():
    (text,) = read({"repeats": float("inf"), "floor": 0.03})
    assert text.endswith(
        "More repeats would not decide it (±3.0 points would stay); more images might."
    )
    (text,) = read({"verdict": "no practical difference"})
    assert text.endswith("as no practical difference: no practical difference.")


def test_a_reading_of_equal_folds_claims_no_test():
    (text,) = read({"degenerate": True, "effect": 0.0, "clear": False})
    assert "+0.0 points when added in every fold alike: nothing to test" in text


@pytest.mark.parametrize("kind", list(WORDS))
def test_every_kind_of_effect_can_be_read(kind):
    for clear in (True, False):
        said = read({"kind": kind, "clear": clear})
        assert len(said) == (kind != "interaction" or clear)
        assert all("+2.0 points" in text and "{" not in text for text in said)


def test_every_kind_of_effect_has_its_words_and_colour():
    from cnnlab.look.effects import KINDS
    from stages.report import TITLES

    assert set(WORDS) == set(TITLES) == {*KINDS, "interaction"}


@pytest.mark.parametrize("missing", sorted(NAMED))
def test_a_missing_fact_raises(missing):
    with pytest.raises(UndefinedError, match=missing):
        report.render(**{k: v for k, v in facts().items() if k != missing})


@pytest.mark.parametrize("page", ["README.md", "studies/cifar10/README.md"])
def test_the_readme_shows_the_committed_results(page, monkeypatch):
    from cnnlab.report import readme

    monkeypatch.chdir((ROOT / page).parent)
    text = Path("README.md").read_text()
    assert text == readme.update(text, readme.current())
    quoted = re.findall(r"[+−][0-9.]+ \[[+−][0-9.]+, [+−][0-9.]+\]", text)
    assert quoted and all(q in Path("reports/report.md").read_text() for q in quoted)


def test_sizes_are_a_table_and_said_in_words():
    rows = [
        {"variant": "freeze", "per_class": 20, "mean": 0.7, "mean_low": 0.6, "mean_high": 0.8},
        {"variant": "baseline", "per_class": 20, "mean": 0.5, "mean_low": 0.4, "mean_high": 0.6},
        {"variant": "finetune", "per_class": 20, "mean": 0.75, "mean_low": 0.7, "mean_high": 0.8},
    ]
    for row, effect in zip(rows[1:], (-0.2, 0.05), strict=True):
        row |= {"minus": "freeze", "effect": effect, "low": effect - 0.1, "high": effect + 0.1}
    table = report.sizes_table(pd.DataFrame(rows), "accuracy", 0.95)
    assert "| 20 | **freeze** | 70.0 [60.0, 80.0] | – |" in table
    assert "| 20 | **baseline** | 50.0 [40.0, 60.0] | −20.0 [−30.0, −10.0] |" in table
    assert "less freeze (points)" in table
    assert report.overtaking(pd.DataFrame(rows), "accuracy") == [
        "**baseline** does not overtake freeze at the sizes looked at",
        "**finetune** is ahead of freeze from 20 images per class on, not clearly so",
    ]
