"""The report's parts."""

import re
from dataclasses import replace
from pathlib import Path

import matplotlib.figure
import pandas as pd
import pytest
from jinja2 import UndefinedError, meta

from cnnlab import report
from cnnlab.compare.growth import GROWTH_COLUMNS, TOO_FEW
from cnnlab.compare.mechanisms import QUANTITIES
from cnnlab.compare.metrics import METRICS
from cnnlab.look import Picture, save
from cnnlab.report.words import Words

ROOT = Path(__file__).parents[1]
SCORES = pd.DataFrame(
    [
        {
            **{"name": name, "techniques": on, "accuracy": a, "nll": b},
            **{"train_accuracy": 0.95, "gap": g, "repeats": 3},
        }
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
    """Effects of kind "alone": technique -> (effect, verdict)."""
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
            "p_holm": 0.06 if verdict == "undecided" else 0.02,
            "p_helps": 0.2,
            "p_same": 0.5,
            "p_hurts": 0.3,
            "rope": 0.01,
            "verdict": verdict,
            "why": "",
            "more": 7.0,
            "images_needed": 300.0,
            "look": 0,
            "aliases": "",
            "approximate": False,
            "metric": "accuracy",
            "n": 300,
            "repeats": 3,
            "clear": verdict in ("helps", "hurts"),
        }
        for name, (effect, verdict) in rows.items()
    )


EFFECTS = effects_of(small=(0.02, "undecided"), down=(-0.05, "hurts"), up=(0.1, "helps"))
PLACEBO = effects_of(placebo=(0.2, "undecided")).assign(kind="placebo")
OURS = Words(metric="accuracy", estimate="crossed", repeats=3)
NONE_FAILED = pd.DataFrame(columns=["name", "why"])
NLL = Words(metric="nll", estimate="crossed", repeats=3)


def firsts(table):
    """The first cell of each row of a Markdown table."""
    return [line.split("|")[1].strip(" *") for line in table.splitlines()[2:]]


@pytest.mark.parametrize("character", "\\`*_[]<>|#~$&")
def test_what_means_something_in_markdown_is_escaped(character):
    assert report.escaped(f"a{character}b") == f"a\\{character}b"


@pytest.mark.parametrize(
    ("text", "safe"),
    [
        ("plain name", "plain name"),
        ("two\nlines\tand  blanks ", "two lines and blanks"),
        ("](javascript:x)", "\\](javascript:x)"),
        ("<script>", "\\<script\\>"),
        ("~~old~~ &amp; $x$", "\\~\\~old\\~\\~ \\&amp; \\$x\\$"),  # as forges read them
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
    assert "99.9% CI" in report.scores_table(SCORES, metric, 0.999).splitlines()[0]


@pytest.mark.parametrize(("gap", "written"), [(-0.005, "−0.5"), (-0.0001, "0.0")])
def test_a_gap_below_zero_has_a_true_minus(gap, written):
    assert f"| {written} |" in report.scores_table(SCORES.assign(gap=gap), "accuracy", 0.95)


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
    ("words", "order"),
    [(OURS, ["up", "small", "down"]), (NLL, ["down", "small", "up"])],
)
def test_what_helps_most_comes_first_and_the_placebo_last(words, order):
    table = report.effects_table(pd.concat([PLACEBO, EFFECTS]), words, 0.95)
    assert firsts(table) == [*order, "placebo**: only seeds differ"]
    assert len({line.count("|") for line in table.splitlines()}) == 1


def test_tables_read_from_a_file_read_alike(tmp_path):
    EFFECTS.to_csv(tmp_path / "effects.csv", index=False)
    again = report.read_table(tmp_path / "effects.csv")
    assert report.effects_table(again, OURS, 0.95) == report.effects_table(EFFECTS, OURS, 0.95)


def test_effects_are_signed_with_a_true_minus():
    row = {"effect": -0.05, "low": -0.06, "high": 0.01}
    assert report.effect(row, METRICS["accuracy"]) == "−5.0 [−6.0, 1.0]"


def test_the_answer_tells_what_answers_first_decided_ones_first():
    main = EFFECTS.assign(kind="main")
    together = EFFECTS.tail(1).assign(kind="together", technique="all techniques")
    sides = {"plus": "finetune finetune-a", "minus": "freeze freeze-a"}
    starts = EFFECTS.tail(1).assign(kind="start", technique="finetune - freeze", **sides)
    every = pd.concat([main, EFFECTS, together, starts])
    text = report.answer(SCORES, every, OURS, "worst", NONE_FAILED)
    assert text.splitlines()[0] == "What each technique does to accuracy on these images (points):"
    lines = [line for line in text.splitlines() if line.startswith("- ")]
    assert lines == [
        "- **up** helps: +10.0 points [9.0, 11.0], on average over having the others or not.",
        "- **down** hurts: −5.0 points [−6.0, −4.0], on average over having the others or not.",
        "- **small**: too close to call with several questions asked, between +1.0 and +3.0; "
        "about 7 more repeats would settle it.",
        "- **finetune** is better than **freeze**: +10.0 points [9.0, 11.0], on average over the "
        "techniques.",
        "- **all techniques** help: +10.0 points [9.0, 11.0], over the baseline.",
        "- Best mean: **best**, 75.0 [68.8, 81.2] %.",
        "- Recommended: **worst**, 50.0 [43.8, 56.2] %; the section on it says why.",
    ]


def test_the_answer_says_an_interaction_that_is_clear_and_only_that():
    alone = EFFECTS.tail(1)
    full = alone.assign(kind="removed", effect=0.14)
    company = alone.assign(kind="interaction", technique="up × the others", effect=0.02)
    company = company.assign(low=0.01, high=0.03)
    pieces = [alone.assign(kind="main"), alone, full, company]
    lines = report.answers(pd.concat(pieces), OURS)
    assert lines[1:] == [
        "**up** gains more in company: +10.0 points added to the baseline, +14.0 in the full "
        "recipe, a difference of 4.0 points [2.0, 6.0]."
    ]
    for verdict in ("undecided", "no practical difference"):
        pieces[3] = company.assign(verdict=verdict)
        assert len(report.answers(pd.concat(pieces), OURS)) == 1


@pytest.mark.parametrize(("words", "best"), [(OURS, "75.0"), (NLL, "0.500")])
def test_the_answer_without_effects_names_the_best_and_the_recommended(words, best):
    text = report.answer(SCORES, EFFECTS.head(0), words, "worst", NONE_FAILED)
    assert len(re.findall("(?m)^- ", text)) == 2
    assert f"- Best mean: **best**, {best} " in text and "- Recommended: **worst**" in text
    single = report.answer(SCORES.head(1), EFFECTS.head(0), words, "worst", NONE_FAILED)
    assert len(re.findall("(?m)^- ", single)) == 1


def test_the_answer_says_what_failed():
    failed = pd.DataFrame([{"name": "steep", "why": "2 of 2 trainings diverged"}])
    text = report.answer(SCORES, EFFECTS.head(0), OURS, "worst", failed)
    assert text.splitlines()[-1] == "- **steep** failed: 2 of 2 trainings diverged."


def test_an_alt_text_is_short_and_the_file_has_it_all(tmp_path):
    path = tmp_path / "a.png"
    long = "a study: effects, points. " + "; ".join(f"technique {i} +0.1" for i in range(20))
    save(Picture(matplotlib.figure.Figure(), long), path)
    assert report.alt(path) == "a study: effects, points." and report.described(path) == long


SILLY = r"(?<![\d.])1 (?:points|repeats|looks|variants|trainings)\b|[+−-]0\.0+(?![\d.])"


def test_no_committed_page_has_a_silly_number():
    pages = [(ROOT / f"reports/{name}.md") for name in ("report", "final", "model_card", "data")]
    for page in pages:
        text = page.read_text()
        assert not (found := re.findall(rf".*?(?:{SILLY}).*", text)), (page.name, found[:3])
        alts = re.findall(r"!\[((?:\\.|[^\]\\])*)\]\(", text)
        assert max(map(len, map(unescaped, alts)), default=0) <= report.MOST_LETTERS


def unescaped(text):
    return re.sub(r"\\(.)", r"\1", text)


@pytest.mark.parametrize("alt", ["plain", "x | y [1] <b>", "ünïcode − 3×3 „…“", "two\nlines"])
def test_alt_text_survives_in_the_file(tmp_path, alt):
    path = tmp_path / "figures" / "a figure.png"
    path.parent.mkdir()
    save(Picture(matplotlib.figure.Figure(), alt), path)
    assert report.alt(path) == alt
    image = report.picture(path, tmp_path)
    assert image == f"![{report.escaped(alt)}](figures/a%20figure.png)"


TEMPLATE = (Path(report.__file__).parent / "report.md.j2").read_text()
NAMED = meta.find_undeclared_variables(report.environment().parse(TEMPLATE))


def facts(**changes):
    lists = ("overview", "augmentation", "overtaking", "growing", "inside")
    lists += ("everywhere",)
    lists += ("mechanism_figures", "curves", "features", "kernels", "peaks", "grad_cam", "sides")
    lists += tuple(name for name in NAMED if name.endswith("_figures"))
    made = dict.fromkeys(NAMED, "T") | {key: [] for key in lists}
    made |= {"asked_besides": ["nll", "brier"]}
    made |= {"every_metric": "ME", "questions": "QU", "mechanisms": "MT", "final": "FI"}
    made |= {"convergence": "CV", "rope": "±1 point", "sizes": "SZ", "scheduled": False}
    made |= {"images": {"dev": 11, "test": 12}, "primary": "accuracy", "estimate": "crossed"}
    made |= {"first": [("A title", "a table", "1 of 2 decided", [])]}
    made |= {"labels": "LA", "labels_muted": "LM", "labels_why": "", "screening": ""}
    made |= {"views": "", "model_card": "", "data": "## The images\n\nDA", "final": "## Best\n\nFI"}
    made |= {"behind": [("Behind", "another table", "0 of 2 decided", [])]}
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
            views="VT",
            kernels=[("net", ["![k](k.png)"])],
            features=[("0_1", ["![f](f.png)"])],
            peaks=[("net", ["![p](p.png)"])],
            grad_cam=[("net", "![g](g.png)")],
            curves=["![c](c.png)"],
            sides=[("x", "![s](s.png)"), ("y", "![t](t.png)")],
            classes_figures=["![l](l.png)"],
        )
    )
    figures = [f"![{letter}]({letter}.png)" for letter in "kfpgcstl"]
    texts = ("11 development images", "A title", "a table", "another table", "![first]")
    for told in (*texts, *figures):
        assert told in page
    for told in (
        *(f"\n{key}\n" for key in ("VT", "ME", "QU", "MT", "FI", "CV", "SZ", "DA")),
        "±1 point",
        "1 of 2 decided",
        "[compare/classes.csv](compare/classes.csv)",
        "[compare/sides.csv](compare/sides.csv)",
    ):
        assert told in page
    assert "11 development" in page and "12 test images evaluated" in page
    without = report.render(**facts(every_metric=0, questions=0, final="", behind=[]))
    assert "12 test images have not been read" in without and "model_card" not in without
    assert without.count("<details") == without.count("</details>")
    assert "![second]" not in page and page.count("<details") == page.count("</details>")
    assert page.endswith("\n")


def test_the_answer_is_first_then_its_figure_the_main_effects_and_what_stands_behind_them():
    made = facts(effects_figures=["![e](e.png)"], views="VT", classes_figures=["![l](l.png)"])
    page = report.render(**made | {"opening": "**a** helps.", "recommendation": "Take **b**."})
    order = ["\n**a** helps.\n", "\nTake **b**.\n", "![e]", "A title", "The answers in sentences"]
    order += ["VT", "<summary>Behind", "FI", "## How good is each", "## Are the probabilities"]
    places = [page.index(text) for text in [*order, "## Which classes gain"]]
    assert places == sorted(places)


def test_what_answers_the_question_is_open_and_the_rest_folds():
    made = facts(sides=[("x", "![s](s.png)")], inside=["![i](i.png)"])
    lines = report.render(**made).splitlines()
    opened, depth = {}, 0
    for i, line in enumerate(lines):
        if line.startswith("## "):
            opened[line[3:]] = lines[i - 3] == "<details open>"
            assert lines[i - 2] == "<summary>" and lines[i + 2] == "</summary>" and depth == 1
        depth += line.startswith("<details") - line.startswith("</details")
    assert depth == 0 and [name for name, on in opened.items() if on] == [
        "What each technique does",
        "Best",
    ]
    assert len(opened) > 12


def test_what_is_not_there_has_no_fold():
    page = report.render(**facts(classes_figures=[], class_effects="", sides=[], model_card=""))
    assert "Which classes" not in page and "changed sides" not in page and "Model card" not in page
    assert "networks look" not in report.render(**facts(looked_at=False))
    card = facts(model_card="## Model card: s, v\n\nMC")
    assert "## Model card: s, v\n\n</summary>\n\nMC\n" in report.render(**card)


def test_the_opening_is_of_what_answers_first_the_best_first():
    main = EFFECTS.assign(kind="main")
    every = pd.concat([EFFECTS.assign(verdict="helps"), main, PLACEBO])
    assert report.opening(every, OURS) == (
        "**up** (+10.0 points [9.0, 11.0]) helps; **down** (−5.0 [−6.0, −4.0]) hurts; **small** is "
        "too close to call."
    )
    assert report.opening(EFFECTS, OURS).startswith("Added to the baseline, **up** (+10.0 points")
    for none in (EFFECTS.head(0), PLACEBO):
        assert report.opening(none, OURS) == report.NO_EFFECT


def test_the_recommended_variant_is_named_with_its_score_and_what_was_left_out():
    text = report.recommendation(SCORES, OURS, "middle", NONE_FAILED, "")
    assert text == "Recommended: **middle**, accuracy 62.5 [56.2, 68.8] % on held-out images."
    failed = pd.DataFrame([{"name": "steep", "why": "2 of 2 trainings diverged"}])
    text = report.recommendation(SCORES, NLL, "best", failed, "## The best one, so far\n\nFI")
    assert "nats on held-out images ([why, and what the test images say](#the-best-" in text
    assert text.endswith(" Left out: **steep** (2 of 2 trainings diverged).")


def test_techniques_have_their_views_beside_each_other():
    main = EFFECTS.assign(kind="main")
    lines = report.views_table(pd.concat([EFFECTS, main, PLACEBO]), OURS).splitlines()
    assert lines[0].count("|") == 4 and len(lines) == 5
    assert lines[4] == "| **up** | helps: +10.0 [9.0, 11.0] | helps: +10.0 [9.0, 11.0] |"
    assert report.views_table(main, OURS) == ""


def test_aliases_are_printed_where_effects_are_read():
    effects = pd.concat([EFFECTS.head(1).assign(aliases="b × c, 0.33 a × b"), EFFECTS.tail(1)])
    lines = report.aliases(effects)
    assert lines == ["**small** holds b × c, 0.33 a × b besides"]
    page = report.render(**facts(first=[("A title", "a table", "decided", lines)]))
    assert "- **small** holds b × c, 0.33 a × b besides" in page
    assert "besides" not in report.render(**facts())


def test_the_page_says_what_its_intervals_speak_of():
    page = " ".join(report.render(**facts(guard=1.25, looks=True, placebo=True)).split())
    assert "these training images, averaged over seeds and splits, judged on new images" in page
    assert "counts 1.25 times" in page and "**after so many looks**" in page
    assert "**placebo**: the baseline under other seeds" in page
    other = " ".join(report.render(**facts(estimate="corrected_t", looks=False, placebo=0)).split())
    assert "corrected resampled t" in other and "**The guard**" not in other
    assert "after so many looks" not in other and "placebo" not in other
    for text in (page, other):
        assert "same weights" not in text and "15 folds" not in text


def test_a_study_without_effects_says_so():
    none = report.opening(EFFECTS.head(0), OURS)
    page = report.render(**facts(opening=none, first=[], behind=[], questions=0))
    assert "These variants tell no effect" in page and "trainings" not in page.split("## How g")[0]


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
        "## What did training change in the backbone?",
        "## Would more images help?",
    ):
        assert title in page and title not in without


def cells(table):
    return [[c.strip() for c in line.strip("|").split("|")] for line in table.splitlines()]


def test_a_row_of_effects_holds_bounds_chances_and_the_answer():
    more, images = [7.0, float("inf"), 1.0], [300.0, 300.0, 509.0]
    effects = EFFECTS.assign(more=more, images_needed=images, p=[0.2, 1e-5, 0.01])
    _, _, up, small, down = cells(report.effects_table(effects, OURS, 0.95))
    assert up[1:] == [
        *("+10.0 [9.0, 11.0]", "[8.0, 12.0]", "0.010", "0.020", "20 / 50 / 30"),
        "helps",
    ]
    assert small[-1] == "too close to call; about 7 more repeats would settle it"
    assert down[3] == "<0.001" and down[-1] == "hurts"


@pytest.mark.parametrize(
    ("verdict", "same", "probability", "said"),
    [
        ("undecided", 0.9464, 0.95, "5.4 / 94.6 / 0.0"),
        ("undecided", 0.944, 0.95, "6 / 94 / 0"),
        ("undecided", 0.9464, 0.975, "5 / 95 / 0"),
        ("no practical difference", 0.951, 0.95, "5 / 95 / 0"),
    ],
)
def test_a_chance_just_below_what_an_answer_needs_is_not_rounded_up(
    verdict, same, probability, said
):
    row = {"verdict": verdict, "p_helps": 1 - same, "p_same": same, "p_hurts": 0.0}
    assert replace(OURS, probability=probability).chances(row) == said


def test_an_effect_without_spread_has_no_interval_and_its_reason():
    flat = EFFECTS.head(1).assign(low=0.02, high=0.02, low_all=0.02, high_all=0.02, p=1.0)
    _, _, row = cells(report.effects_table(flat.assign(why="all folds are alike"), OURS, 0.95))
    assert row[1:4] == ["+2.0", "–", "1.000"]
    assert row[-1] == "cannot be told: all folds are alike"


def test_approximate_intervals_are_called_so():
    table = report.effects_table(EFFECTS.assign(approximate=True), OURS, 0.95)
    assert "[95% CI, approximate]" in table.splitlines()[0]


def test_what_effects_come_from_is_images_and_repeats_not_folds():
    assert report.evidence(EFFECTS, OURS) == "300 images, 3 repeats"
    uneven = EFFECTS.assign(repeats=[3, 5, 7])
    assert report.evidence(uneven, OURS) == "300 images, 3 to 7 repeats"
    assert report.evidence(EFFECTS.assign(repeats=1), OURS) == "300 images, 1 repeat"
    corrected = Words(metric="accuracy", estimate="corrected_t", repeats=3)
    assert report.evidence(EFFECTS.assign(n=15), corrected) == "5 folds × 3 repeats"


def test_groups_of_images_are_counted_as_such():
    words = report.words_of("nll", "crossed", 3, EFFECTS, 300)
    assert (words.metric, words.images) == ("nll", "images")
    assert report.words_of("nll", "crossed", 3, EFFECTS, 400).images == "groups of images"
    assert report.words_of("nll", "corrected_t", 3, EFFECTS.assign(n=15), 300).images == "images"


def test_how_many_are_decided_stands_beside_the_other_estimate():
    rows = [("crossed", 2), ("corrected_t", 0)]
    estimates = pd.DataFrame(
        {"estimate": e, "kind": "alone", "effects": 3, "decided": n} for e, n in rows
    )
    assert report.decided(EFFECTS, estimates, "crossed") == (
        "Decided: 2 of 3. On the same records the corrected resampled t decides 0."
    )
    alone = report.decided(EFFECTS.tail(1), estimates.head(0), "crossed")
    assert alone == "Decided: 1 of 1."


def test_ensembles_are_told_where_they_help():
    pieces = [EFFECTS.assign(kind="ensemble", technique=["a", "b", "c"]), EFFECTS]
    lines = report.answers(pd.concat(pieces), OURS)
    assert lines[3:] == [
        "Averaging the networks of **c** helps: +10.0 points [9.0, 11.0], over a single network.",
        "Averaging the networks of **b** hurts: −5.0 points [−6.0, −4.0], over a single network.",
    ]


def test_every_metric_is_told_in_its_unit():
    both = pd.concat(
        [EFFECTS, EFFECTS.assign(metric="ece", verdict="no practical difference"), PLACEBO]
    )
    both = pd.concat([both, PLACEBO.assign(metric="ece")])
    lines = report.metrics_table(both).splitlines()
    assert "accuracy (points)" in lines[0]
    assert "calibration error (points, approximate), less is better" in lines[0]
    assert lines[2:] == [
        "| **small** alone | +2.0 ? | +2.0 ≈ |",
        "| **down** alone | **−5.0** | −5.0 ≈ |",
        "| **up** alone | **+10.0** | +10.0 ≈ |",
        "| **placebo**: only seeds differ | +20.0 ? | +20.0 ? |",
    ]


def test_other_questions_are_answered_in_words():
    brier = Words(metric="brier", estimate="crossed", repeats=3)
    both = pd.concat([EFFECTS, PLACEBO])
    both = pd.concat([both.assign(metric="nll"), both.assign(metric="brier", verdict="helps")])
    lines = report.questions_table(both, [NLL, brier]).splitlines()
    assert lines[0] == "| | negative log likelihood (nats) | Brier score (of 2) |"
    assert lines[3] == (
        "| **down** | hurts: −0.050 [−0.060, −0.040] | helps: −0.050 [−0.060, −0.040] |"
    )
    assert lines[-1].startswith("| **placebo**: only seeds differ | too close to call: +0.200")


def test_only_the_other_questions_are_named_and_letters_stay():
    both = report.render(**facts(asked_besides=["nll", "brier"], primary="macro F1"))
    assert "Macro F1 is one question." in both
    assert "*Negative log likelihood*" in both and "*Brier score*" in both
    one = report.render(**facts(asked_besides=["brier"], primary="negative log likelihood"))
    assert "Negative log likelihood is one question." in one
    assert "*Brier score*" in one and "*Negative log likelihood*" not in one


def test_classes_that_gain_and_lose():
    def of(technique, name, effect, verdict):
        ends = {"effect": effect, "low": effect - 0.01, "high": effect + 0.01}
        return {"technique": technique, "class": name, **ends, "verdict": verdict}

    rows = pd.DataFrame(
        [
            of("x", "a|b", 0.1, "helps"),
            of("x", "c", 0.2, "helps"),
            of("x", "d", -0.1, "hurts"),
            of("x", "e", 0.3, "undecided"),
            of("y", "c", 0.0, "no practical difference"),
        ]
    )
    assert report.classes_table(rows).splitlines()[2:] == [
        "| **x** | **c** +20.0 [19.0, 21.0]; **a\\|b** +10.0 [9.0, 11.0] "
        "| **d** −10.0 [−11.0, −9.0] |"
    ]
    assert report.classes_table(rows[rows["technique"] == "y"]) == ""
    for table, words in (("", "No class gains or loses"), ("CT", "\nCT\n")):
        page = report.render(**facts(class_effects=table, classes_figures=["![l](l.png)"]))
        assert words in page


def test_repeats_stand_beside_scores_where_they_differ():
    assert "repeats" not in report.scores_table(SCORES, "accuracy", 0.95)
    table = report.scores_table(SCORES.assign(repeats=[3, 5, 4]), "accuracy", 0.95).splitlines()
    assert table[0].endswith("| NLL | repeats |") and table[2].endswith("| 0.500 | 5 |")
    assert len({line.count("|") for line in table}) == 1


@pytest.mark.parametrize("missing", sorted(NAMED))
def test_a_missing_fact_raises(missing):
    with pytest.raises(UndefinedError, match=missing):
        report.render(**{k: v for k, v in facts().items() if k != missing})


def test_pages_show_the_committed_results(capsys):
    from cnnlab.report import readme

    made = readme.pages(ROOT)
    old = capsys.readouterr().err
    assert {file.relative_to(ROOT).as_posix() for file in made} == {
        "README.md",
        "docs/first-run.md",
        "studies/cifar10/README.md",
    }
    for file, text in made.items():
        assert text == file.read_text(), f"{file}: make readme"
    for folder in (".", "studies/cifar10"):  # what pages say, the reports say too
        if f"{folder}: its table stays" not in old:
            found = (ROOT / folder / "reports/report.md").read_text()
            shown = "".join(readme.content(ROOT, form, folder) for form in ("summary", "results"))
            quoted = re.findall(r"[+−][0-9.]+ \[−?[0-9.]+, −?[0-9.]+\]", shown)
            assert quoted and all(q in found for q in quoted)


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


GROWN = {"images": 320, "gain": 0.021, "gain_low": 0.009, "gain_high": 0.03, "why": ""}
GROWN |= {"sizes": 4, "doubled": 0.946, "doubled_low": 0.92, "doubled_high": 0.963, "minus": ""}
MORE = "with twice the images (640) expect +2.1 [0.9, 3.0] points, to 94.6 [92.0, 96.3] % as a "
MORE += "study of them would measure (95% prediction interval)."
INF = float("inf")


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ((343, 211, 562), "is worth about 340 more training images to baseline [210, 560]"),
        ((INF, 211, INF), "is worth more than 210 more training images to baseline"),
        ((-151, -210, -60), "costs baseline as much as about 150 fewer training images [60, 210]"),
        ((-INF, -INF, -60), "costs baseline as much as more than 60 fewer training images"),
        ((20, -60, 90), "that cannot be told from none: between 60 fewer and 90 more"),
        ((20, -INF, 90), "that cannot be told from none: at most 90 more"),
        ((20, -60, INF), "that cannot be told from none: at most 60 fewer"),
        ((INF, -INF, INF), "to baseline that cannot be told from none"),
    ],
)
def test_what_more_images_bring_is_said_without_silly_numbers(ends, words):
    other = GROWN | {"variant": "augment", "minus": "baseline"}
    other |= dict(zip(("worth", "worth_low", "worth_high"), ends, strict=True))
    first, second = report.growing(
        pd.DataFrame([GROWN | {"variant": "baseline"}, other]), "accuracy", 0.95
    )
    assert first == f"**baseline**: {MORE}"
    assert second.startswith("**augment** ") and second.endswith(f"{words}; {MORE}")
    assert "inf" not in second


def test_where_no_floor_could_be_fitted_the_gain_is_the_most_that_it_may_be():
    few, enough = (GROWN | {"variant": name, "sizes": n} for name, n in (("a", 3), ("b", 4)))
    first, second, why = report.growing(pd.DataFrame([few, enough]), "accuracy", 0.95)
    assert first == f"**a**: {MORE.replace('expect ', 'expect at most ')}"
    assert second == f"**b**: {MORE}"
    assert why.startswith("*At most*: ") and "fewer than 4 sizes" in why
    assert len(report.growing(pd.DataFrame([enough]), "accuracy", 0.95)) == 1


def test_where_no_curve_can_be_fitted_one_sentence_says_so():
    rows = pd.DataFrame([{"variant": name, "why": TOO_FEW, "minus": ""} for name in "ab"])
    (said,) = report.growing(rows, "accuracy", 0.95)
    assert said == f"What more images would bring cannot be told: {TOO_FEW}."
    mixed = [GROWN | {"variant": "a"}, GROWN | {"variant": "b", "why": "all folds are alike"}]
    (_, said) = report.growing(pd.DataFrame(mixed), "accuracy", 0.95)
    assert said == "**b**: what more images would bring cannot be told: all folds are alike."


def test_the_table_of_growth_is_read_as_it_was_written(tmp_path):
    """Also of a study in which no variant has a curve, or only the first one."""
    for rows in ([{"variant": "a", "why": TOO_FEW}], [GROWN | {"variant": "a"}]):
        file = tmp_path / "growth.csv"
        pd.DataFrame(rows, columns=GROWTH_COLUMNS).to_csv(file, index=False, float_format="%.6g")
        numbers = [c for c in GROWTH_COLUMNS if c not in ("variant", "minus", "why")]
        (said,) = report.growing(report.read_table(file, numbers), "accuracy", 0.95)
        assert TOO_FEW in said or said == f"**a**: {MORE}"


NAMES = ["01", "1e3", "yes", "null", "nan", "NA", "true", ""]


@pytest.mark.parametrize("column", ["name", "variant", "technique", "plus", "net", "class"])
def test_names_in_tables_stay_as_they_are_written(tmp_path, column):
    path = tmp_path / "table.csv"
    values = [1.5] * (len(NAMES) - 1) + [None]
    pd.DataFrame({column: NAMES, "effect": values}).to_csv(path, index=False)
    table = report.read_table(path, missing=["effect"])
    assert list(table[column]) == NAMES
    assert table["effect"].sum() == 1.5 * (len(NAMES) - 1) and table["effect"].isna().sum() == 1


def test_sizes_name_variants_as_params_do(tmp_path):
    rows = [
        {"variant": name, "per_class": 2, "mean": 0.5, "mean_low": 0.4, "mean_high": 0.6}
        | {"minus": minus, "effect": effect, "low": effect, "high": effect, "p": 1, "n": 4}
        for name, minus, effect in (("01", None, None), ("nan", "01", 0.0))
    ]
    pd.DataFrame(rows).to_csv(tmp_path / "sizes.csv", index=False)
    sizes = report.read_table(tmp_path / "sizes.csv", ["effect", "low", "high", "p"])
    table = report.sizes_table(sizes, "accuracy", 0.95)
    assert "less 01" in table and "**01**" in table and "**nan**" in table
    assert report.overtaking(sizes, "accuracy") == [
        "**nan** does not overtake 01 at the sizes looked at"
    ]


def test_it_is_said_where_the_first_look_misled():
    row = {"effect": 0.02, "low": 0.01, "high": 0.03}
    rows = [{"technique": t, "screened": row, "full": row, "p": 0.5, "misled": ""} for t in "ab"]
    assert "frozen backbone did not mislead." in report.screened(rows, "accuracy")
    rows[1]["misled"] = "the effects differ significantly"
    text = report.screened(rows, "accuracy")
    assert "frozen backbone misled about b." in text
    assert "| **b** | +2.0 [1.0, 3.0] | +2.0 [1.0, 3.0] | 0.500 | the effects differ" in text
