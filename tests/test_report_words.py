"""The words of an answer, in all their forms."""

import math
import re

import pandas as pd
import pytest

from cnnlab.compare.designs import KINDS
from cnnlab.compare.metrics import METRICS
from cnnlab.report import readme, words
from cnnlab.report.words import PHRASES, Words, headlines

ROW = {
    "metric": "accuracy",
    "technique": "dropout",
    "kind": "main",
    "plus": "dropout all",
    "minus": "baseline",
    "effect": 0.0075,
    "low": -0.004,
    "high": 0.019,
    "low_all": -0.008,
    "high_all": 0.023,
    "n": 300,
    "repeats": 3,
    "p": 0.2,
    "p_holm": 0.4,
    "clear": False,
    "rope": 0.01,
    "p_helps": 0.4,
    "p_same": 0.55,
    "p_hurts": 0.05,
    "verdict": "undecided",
    "why": "",
    "more": 4.0,
    "images_needed": 300.0,
    "look": 0,
    "aliases": "",
    "approximate": False,
}
HELPS = {"effect": 0.037, "low": 0.021, "high": 0.053, "verdict": "helps", "clear": True}
HURTS = {"effect": -0.02, "low": -0.031, "high": -0.009, "verdict": "hurts", "clear": True}
SAME = {"effect": 0.001, "low": -0.004, "high": 0.006, "verdict": "no practical difference"}
ENDLESS = {"more": math.inf, "images_needed": 509.048}
OURS = Words(metric="accuracy", estimate="crossed", repeats=3)
CORRECTED = Words(metric="accuracy", estimate="corrected_t", repeats=3)


def row(*changes, **more):
    made = dict(ROW)
    for change in (*changes, more):
        made |= change
    return made


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        # The three of the issue.
        (
            {**HELPS, "technique": "batchnorm"},
            "**batchnorm** helps: +3.7 points [2.1, 5.3], on average over having the others or "
            "not.",
        ),
        ({**SAME, "technique": "l1"}, "**l1** makes no practical difference (±1 point)."),
        (
            {},
            "**dropout**: too close to call, between −0.4 and +1.9; "
            "about 4 more repeats would settle it.",
        ),
        # What would settle it.
        (
            {"more": 1.0},
            "**dropout**: too close to call, between −0.4 and +1.9; "
            "about 1 more repeat would settle it.",
        ),
        (
            ENDLESS,
            "**dropout**: too close to call, between −0.4 and +1.9; "
            "more repeats would not settle it, about 510 images would.",
        ),
        (
            {**ENDLESS, "images_needed": math.inf},
            "**dropout**: too close to call, between −0.4 and +1.9; "
            "neither more repeats nor more images would settle it.",
        ),
        (
            {"repeats": 1},
            "**dropout**: too close to call, between −0.4 and +1.9; "
            "at least 4 more repeats are needed to settle it.",
        ),
        (
            {"repeats": 1, "more": 1.0},
            "**dropout**: too close to call, between −0.4 and +1.9; "
            "at least 1 more repeat is needed to settle it.",
        ),
        # Its p is of it alone, the verdict allows for all of the table.
        (
            {"low": 0.003, "p": 0.02, "p_holm": 0.06},
            "**dropout**: too close to call with several questions asked, between +0.3 and +1.9; "
            "about 4 more repeats would settle it.",
        ),
        # One question, whose interval is of another level than alpha.
        (
            {"low": 0.003, "p": 0.06, "p_holm": 0.06},
            "**dropout**: too close to call, between +0.3 and +1.9; "
            "about 4 more repeats would settle it.",
        ),
        # Why nothing can be told.
        (
            {"why": "all folds are alike", "low": 0.0075, "high": 0.0075},
            "**dropout**: cannot be told: all folds are alike.",
        ),
        # Looks.
        (
            {**HELPS, "look": 3},
            "**dropout** helps: +3.7 points [2.1, 5.3], on average over having the others or not "
            "(decided after 3 looks, 5 repeats).",
        ),
        (
            {**SAME, "look": 1},
            "**dropout** makes no practical difference (±1 point; decided after 1 look, 3 "
            "repeats).",
        ),
        (
            {"look": 8},
            "**dropout**: too close to call (undecided after 8 looks, 10 repeats), between −0.4 "
            "and +1.9; about 4 more repeats would settle it.",
        ),
        # Metrics that are no mean over images.
        (
            {**HELPS, "approximate": True},
            "**dropout** helps: +3.7 points [2.1, 5.3] (approximate interval), on average over "
            "having the others or not.",
        ),
        (
            {**SAME, "approximate": True},
            "**dropout** makes no practical difference (±1 point; approximate interval).",
        ),
        (
            {"approximate": True},
            "**dropout**: too close to call, between −0.4 and +1.9 (approximate interval); "
            "about 4 more repeats would settle it.",
        ),
        # Aliases.
        (
            {**HURTS, "aliases": "b × c"},
            "**dropout** hurts: −2.0 points [−3.1, −0.9], on average over having the others or "
            "not. It holds b × c besides.",
        ),
        # Other kinds.
        (
            {**HELPS, "kind": "alone"},
            "**dropout** helps: +3.7 points [2.1, 5.3], added to the baseline.",
        ),
        (
            {**SAME, "kind": "removed"},
            "**dropout** makes no practical difference (±1 point), in the full recipe.",
        ),
        (
            {"kind": "alone"},
            "**dropout**, added to the baseline: too close to call, between −0.4 and +1.9; "
            "about 4 more repeats would settle it.",
        ),
        (
            {**HELPS, "kind": "together", "technique": "all techniques"},
            "**all techniques** help: +3.7 points [2.1, 5.3], over the baseline.",
        ),
        (
            {**SAME, "kind": "together", "technique": "all techniques"},
            "**all techniques** make no practical difference (±1 point), over the baseline.",
        ),
        (
            {**HURTS, "kind": "start", "technique": "finetune - freeze"},
            "**finetune** is worse than **freeze**: −2.0 points [−3.1, −0.9], on average over the "
            "techniques.",
        ),
        (
            {**HELPS, "kind": "pair", "technique": "a - b"},
            "**a** is better than **b**: +3.7 points [2.1, 5.3].",
        ),
        (
            {**SAME, "kind": "pair", "technique": "a - b"},
            "**a** against **b** makes no practical difference (±1 point).",
        ),
        (
            {**HELPS, "kind": "ensemble", "technique": "baseline"},
            "Averaging the networks of **baseline** helps: +3.7 points [2.1, 5.3], over a single "
            "network.",
        ),
    ],
)
def test_a_sentence(changes, sentence):
    assert OURS.sentence(row(changes)) == sentence


def test_what_the_corrected_t_cannot_know_is_called_its_assumption():
    assert CORRECTED.sentence(row(ENDLESS)).endswith(
        "; by the assumption of the corrected t, more repeats would not settle it."
    )
    assert CORRECTED.settle(row(repeats=1)) == "about 4 more repeats would settle it"


def test_groups_are_counted_where_images_come_in_groups():
    grouped = Words(metric="accuracy", estimate="crossed", repeats=3, images="groups of images")
    assert grouped.settle(row(ENDLESS)).endswith("about 510 groups of images would")


def test_another_metric_speaks_in_its_own_unit_and_direction():
    nll = Words(metric="nll", estimate="crossed", repeats=3)
    less = {"effect": -0.082, "low": -0.129, "high": -0.036, "verdict": "helps"}
    assert nll.sentence(row(less)).startswith("**dropout** helps: −0.082 nats [−0.129, −0.036]")
    assert nll.sentence(row(SAME, rope=0.02)).endswith("(±0.02 nats).")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("changes", [HELPS, HURTS, SAME, {}, ENDLESS, {"why": "few images"}])
@pytest.mark.parametrize("ours", [OURS, CORRECTED])
def test_no_answer_has_a_double_negation_or_old_words(kind, changes, ours):
    one = row(changes, kind=kind, technique="a × the others" if kind == "interaction" else "a")
    texts = [ours.sentence(one), ours.brief(one), ours.cell(one)]
    texts += [] if kind == "interaction" else [ours.clause(one)]
    for text in (text.replace("having the others or not", "") for text in texts):
        assert not re.search(r"told from zero|folds can see|not significant|degenerate|1 points\b"
                             r"|nothing that|undecided|None|nan|inf\b", text), text  # fmt: skip
        assert len(re.findall(r"\b(not|no|cannot|neither|nothing)\b", text)) <= 1, text


def test_every_kind_has_its_phrase():
    assert set(PHRASES) == set(KINDS)


@pytest.mark.parametrize(
    ("kinds", "first"),
    [
        (KINDS, ["main", "start", "pair"]),
        (["alone", "removed", "together"], ["alone", "removed"]),
        (["start", "alone"], ["alone", "start"]),
        (["placebo"], []),
    ],
)
def test_the_kinds_that_answer_first(kinds, first):
    assert headlines(kinds) == first


def effects(alone, removed):
    """A technique alone and removed, and half of what the others do to it, which is clear."""
    half = (removed - alone) / 2
    verdict = "helps" if half > 0 else "hurts"
    return {
        ("alone", "x"): row(kind="alone", technique="x", effect=alone),
        ("removed", "x"): row(kind="removed", technique="x", effect=removed),
        ("interaction", "x × the others"): row(
            kind="interaction", technique="x × the others", effect=half, low=half - 0.005,
            high=half + 0.005, verdict=verdict, clear=True,
        ),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("alone", "removed", "text"),
    [
        (0.018, 0.053, "gains more in company: +1.8 points added to the baseline, +5.3 in the full "
         "recipe, a difference of 3.5 points [2.5, 4.5]"),
        (0.053, 0.018, "gains less in company: +5.3 points added to the baseline, +1.8 in the full "
         "recipe, a difference of 3.5 points [2.5, 4.5]"),
        (-0.04, -0.01, "loses less in company: −4.0 points added to the baseline, −1.0 in the full "
         "recipe, a difference of 3.0 points [2.0, 4.0]"),
        (-0.01, -0.04, "loses more in company: −1.0 points added to the baseline, −4.0 in the full "
         "recipe, a difference of 3.0 points [2.0, 4.0]"),
    ],
)  # fmt: skip
def test_company_is_said_in_words(alone, removed, text):
    by = effects(alone, removed)
    assert OURS.interaction(by["interaction", "x × the others"], by) == f"**x** {text}."
    short = OURS.sentence(by["interaction", "x × the others"])
    assert re.match(r"\*\*x\*\* gains (more|less) in company: a difference of ", short)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a × b", "**a** gains more with **b**: a difference of 2.4 points [1.0, 3.8]."),
        (
            "a × finetune - freeze",
            "**a** gains more with **finetune** than with **freeze**: a difference of 2.4 points "
            "[1.0, 3.8].",
        ),
        ("a × b × c", "**a × b × c** interact: +1.2 points [0.5, 1.9]."),
        (
            "a × b − c × d",
            "**a × b − c × d** cannot be told apart; they come to +1.2 points [0.5, 1.9].",
        ),
    ],
)
def test_an_interaction_of_two_is_said_in_words(name, text):
    change = {"effect": 0.012, "low": 0.005, "high": 0.019, "verdict": "helps"}
    assert OURS.sentence(row(change, kind="interaction", technique=name)) == text


def test_an_interaction_in_a_metric_of_which_less_is_better():
    nll = Words(metric="nll", estimate="crossed", repeats=3)
    change = {"effect": -0.02, "low": -0.03, "high": -0.01, "verdict": "helps"}
    text = nll.sentence(row(change, kind="interaction", technique="a × b"))
    assert text == "**a** gains more with **b**: a difference of 0.040 nats [0.020, 0.060]."


def test_short_forms():
    assert OURS.cell(row(HELPS)) == "helps: +3.7 [2.1, 5.3]"
    assert OURS.cell(row()) == "too close to call: +0.8 [−0.4, 1.9]"
    assert OURS.cell(row(why="x", low=0.0075, high=0.0075)) == "cannot be told: +0.8"
    assert OURS.brief(row(SAME)) == "no practical difference"
    assert OURS.brief(row(look=2)) == (
        "too close to call (undecided after 2 looks, 4 repeats); "
        "about 4 more repeats would settle it"
    )
    assert OURS.brief(row(kind="placebo")) == "too close to call"
    assert OURS.brief(row(HELPS, kind="interaction")) == "more together"


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [(0.01, "accuracy", "1 point"), (0.02, "accuracy", "2 points"), (0.005, "accuracy",
     "0.5 points"), (0.02, "nll", "0.02 nats"), (1.0, "brier", "1 of 2")],
)  # fmt: skip
def test_an_amount_is_singular_where_it_is_one(value, metric, text):
    assert words.amount(value, METRICS[metric]) == text


def test_a_start_that_was_compared_without_techniques_is_not_said_to_be_an_average():
    start = row(HELPS, kind="start", technique="freeze - untrained", minus="untrained")
    alone, over = row(start, plus="freeze"), row(start, plus="freeze freeze-augment")
    assert OURS.sentence(alone).endswith("points [2.1, 5.3], without other techniques.")
    assert OURS.sentence(over).endswith("points [2.1, 5.3], on average over the techniques.")
    assert OURS.clause(alone).startswith("without other techniques it helps")


def test_an_open_pair_among_open_techniques_has_a_clause_of_its_own():
    names = ("dropout", "finetune - freeze", "augment")
    opening = OURS.opening([row(technique=name) for name in names])
    assert opening == (
        "**dropout** and **augment** are too close to call; "
        "**finetune** against **freeze** is too close to call."
    )


def test_the_opening_is_one_sentence_that_says_the_unit_once():
    rows = [row(HELPS, technique="a"), row(HELPS, technique="b"), row(HURTS, technique="c")]
    rows += [row(SAME, technique="d"), row(technique="e"), row(kind="start", technique="f")]
    assert OURS.opening(rows) == (
        "**a** (+3.7 points [2.1, 5.3]) and **b** (+3.7 [2.1, 5.3]) help; **c** (−2.0 [−3.1, "
        "−0.9]) hurts; **d** makes no practical difference; **e** and **f** are too close to call."
    )


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        ([{"technique": t} for t in "abc"], "**a**, **b** and **c** are too close to call."),
        (
            [{"technique": t} for t in "abcdefghijklmnopqrst"],
            "**a**, **b**, **c**, **d**, **e** and 15 more are too close to call.",
        ),
        (
            [{**HELPS, "kind": "start", "technique": "finetune - freeze"}, {"technique": "x"}],
            "**x** is too close to call; ",
        ),
        (
            [{**HELPS, "kind": "start", "technique": "finetune - freeze"}],
            "**finetune** is better than **freeze** (+3.7 points [2.1, 5.3]).",
        ),
        (
            [{"kind": "start", "technique": "finetune - freeze"}, {**SAME, "technique": "x"}],
            "**x** makes no practical difference; **finetune** against **freeze** is too close to "
            "call.",
        ),
        (
            [{**HELPS, "kind": "alone", "technique": "x"}, {"kind": "alone", "technique": "y"}],
            "Added to the baseline, **x** (+3.7 points [2.1, 5.3]) helps; **y** is too close to "
            "call.",
        ),
        (
            [{**HELPS, "kind": "together", "technique": "all techniques"}],
            "**all techniques** (+3.7 points [2.1, 5.3]) help.",
        ),
        (
            [{"why": "all folds are alike", "technique": "x"}],
            "**x** cannot be told (all folds are alike).",
        ),
        (
            [{**HELPS, "approximate": True, "technique": "x"}],
            "**x** (+3.7 points [2.1, 5.3], approximate) helps.",
        ),
    ],
)
def test_an_opening_of_other_studies(rows, text):
    said = OURS.opening([row(one) for one in rows])
    assert said == text or (text.endswith("; ") and sorted(said.split("; ")) and text[:-2] in said)
    assert words.UNIT not in said and said.count("points") <= 1


def test_names_are_listed_and_of_many_the_first():
    assert words.listed(["a"]) == "a" and words.listed(["a", "b", "c"]) == "a, b and c"
    assert words.listed(list("abcdef")) == "a, b, c, d, e and f"
    assert words.listed(list("abcdefg")) == "a, b, c, d, e and 2 more"


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("a study: effects, points. Main effects: a +0.3; b +1.2", "a study: effects, points."),
        ("a study: how sure it is; error: a 1.0, b 2.0, c 3.0", "a study: how sure it is …"),
        ("short", "short"),
        ("n" * 60, "n" * 39 + "…"),
    ],
)
def test_a_long_text_ends_where_a_part_of_it_does(text, short):
    assert words.shortened(text, 40) == short and len(short) <= 40


def effect_of(effect, low, high, metric="accuracy"):
    return words.effect({"effect": effect, "low": low, "high": high}, METRICS[metric])


def test_no_number_is_silly():
    assert effect_of(0.0, -0.026, 0.026) == "0.0 [−2.6, 2.6]"
    assert effect_of(-0.0004, -0.007, 0.0004) == "0.0 [−0.7, 0.0]"
    assert effect_of(0.0, -0.0002, 0.0003) == "0.0"  # nothing that the digits show
    assert effect_of(0.02, 0.02, 0.02) == "+2.0"
    # No accuracy is below 0 or above 100 %, and no two differ by more.
    wide = {"accuracy": 0.35, "accuracy_low": -2.951, "accuracy_high": 3.651}
    assert words.estimate(wide, "accuracy", METRICS["accuracy"]) == "35.0 [0.0, 100.0]"
    assert effect_of(0.35, -2.951, 3.651) == "+35.0 [−100.0, 100.0]"
    assert effect_of(0.1, -3.0, 3.0, "nll") == "+0.100 [−3.000, 3.000]"
    text = OURS.sentence(row(low=-2.951, high=3.651))
    assert "between −100.0 and +100.0" in text


SCORES = pd.DataFrame(
    {"name": n, "accuracy": a, "accuracy_low": a - 0.05, "accuracy_high": a + 0.02}
    for n, a in (("baseline", 0.9), ("all", 0.95))
)


def lines(rows):
    columns = ["estimate", "kind", "effects", "decided", "significant"]
    others = [["corrected_t", kind, 9, 1, 0] for kind in {row["kind"] for row in rows}]
    estimates = pd.DataFrame(others, columns=columns)
    text = readme.table(SCORES, pd.DataFrame(rows), estimates, OURS)
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.splitlines()]


def test_the_readme_has_a_row_a_technique_with_its_answer_and_the_views_behind_it():
    rows = [row(HELPS, technique="x"), *effects(0.018, 0.053).values()]
    rows += [row(technique="y"), row(kind="start", technique="freeze")]
    rows += [row(HELPS, kind="together", technique="all techniques", plus="all")]
    rows += [row(kind="placebo", technique="placebo")]
    head, _, *body, _, last, _, told = lines(rows)
    assert head == [
        "technique",
        "on average over having the others or not (points)",
        "added to the baseline (points)",
        "lost when removed from the full recipe (points)",
    ]
    close = "too close to call: +0.8 [−0.4, 1.9]"
    assert body == [
        ["**x**", "helps: +3.7 [2.1, 5.3]", "+1.8 [−0.4, 1.9]", "+5.3 [−0.4, 1.9]"],
        ["**y**", close, "", ""],
        ["**freeze**", close, "", ""],
        ["**all techniques**", "", "helps: +3.7 [2.1, 5.3]", ""],
        ["**placebo**: only seeds differ", "", close, ""],
    ]
    assert last == [
        "Held-out accuracy: baseline 90.0 [85.0, 92.0] %; all 95.0 [90.0, 97.0] %; "
        "300 images, 3 repeats."
    ]
    assert told == [
        "Main effects decided: 1 of 2. On the same records the corrected resampled t decides 1."
    ]


def test_the_readme_of_a_study_without_main_effects_answers_alone_and_removed():
    rows = [row(HELPS, kind="alone", technique="x"), row(SAME, kind="removed", technique="x")]
    head, _, body, *_ = lines(rows)
    assert len(head) == 3
    assert body == [
        "**x**",
        "helps: +3.7 [2.1, 5.3]",
        "no practical difference: +0.1 [−0.4, 0.6]",
    ]


def results(rows, **changes):
    made = {"scores": SCORES, "effects": pd.DataFrame(rows), "estimates": None, "words": OURS}
    return readme.Results(**made | {"dev": 6000, "k": 6, "confidence": 0.95} | changes)


def test_the_summary_has_a_row_a_technique_its_effect_and_the_answer():
    rows = [row(HELPS, technique="x", look=2), *effects(0.018, 0.053).values()]
    rows += [row(technique="y"), row(SAME, kind="start", technique="freeze")]
    rows += [row(HELPS, kind="together", technique="all techniques", plus="all")]
    rows += [row(kind="placebo", technique="placebo")]
    first, _, *body, _, last = readme.summary(results(rows)).splitlines()
    assert first == "6,000 development images, of which each network learns from 5,000:"
    assert body == [
        "| technique | main effect (points) [95% CI] | answer |",
        "|---|---|---|",
        "| **x** | +3.7 [2.1, 5.3] | helps |",
        "| **y** | +0.8 [−0.4, 1.9] | too close to call; about 4 more repeats would settle it |",
        "| **freeze** | +0.1 [−0.4, 0.6] | no practical difference |",
        "| **all techniques** | +3.7 [2.1, 5.3] | helps |",
        "| **placebo**: only seeds differ | +0.8 [−0.4, 1.9] | too close to call |",
    ]
    assert last == "Held-out accuracy: baseline 90.0 [85.0, 92.0] %; all 95.0 [90.0, 97.0] %."


def test_the_summary_of_a_study_without_main_effects_answers_alone():
    rows = [row(HELPS, kind="alone", technique="x"), row(SAME, kind="removed", technique="x")]
    first, _, head, _, body, _, last = readme.summary(results(rows, dev=100, k=3)).splitlines()
    assert first.endswith("each network learns from about 67:")
    assert head == "| technique | added to the baseline (points) [95% CI] | answer |"
    assert body == "| **x** | +3.7 [2.1, 5.3] | helps |"
    assert last == "Held-out accuracy: baseline 90.0 [85.0, 92.0] %."


def test_pages_are_filled_between_their_marks_and_nowhere_else():
    page = (
        "# a\n<!-- summary . -->\nold\nold\n<!-- /summary -->\nb\n"
        "<!-- results studies/x -->\nkept\n<!-- /results -->\n"
    )
    text = readme.filled(page, lambda form, folder: f"{form}!" if folder == "." else None)
    assert text == page.replace("old\nold", "summary!")
    assert readme.filled(text, lambda form, folder: None) == text


def test_a_table_of_an_earlier_version_stays_and_that_is_said(tmp_path, capsys):
    page = "<!-- summary studies/x -->\nkept\n<!-- /summary -->\n"
    (tmp_path / "README.md").write_text(page)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/unmarked.md").write_text("nothing\n")
    reports = tmp_path / "studies/x/reports"
    reports.mkdir(parents=True)
    for table in (None, "technique,effect\nx,0.1\n"):
        if table:
            (reports / "ablation.csv").write_text(table)
        assert readme.pages(tmp_path) == {tmp_path / "README.md": page}
        assert capsys.readouterr().err.startswith("studies/x: its table stays as it is: ")
