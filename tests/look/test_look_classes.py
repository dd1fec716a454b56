"""What techniques do to each class."""

import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex

from cnnlab.compare.metrics import METRICS
from cnnlab.look.classes import MOST, classes_figure
from cnnlab.look.effects import VERDICTS
from tests.look.layout import nothing_collides, png, words

LONG = ("spatial_dropout", "finetune_with_a_long_name", "label_smoothing")


def row(technique, name, effect, half=0.05, verdict="undecided", **more):
    made = {"technique": technique, "class": name, "images": 40, "effect": effect, "rope": 0.01}
    made |= {"low": effect - half, "high": effect + half, "p_holm": 0.5, "clear": False}
    return made | {"verdict": verdict, "why": ""} | more


def rows_of(techniques, classes, **more):
    rng = np.random.default_rng(0)
    pairs = itertools.product(techniques, classes)
    return [row(t, name, rng.normal(0, 0.05), rng.uniform(0.02, 0.1), **more) for t, name in pairs]


def draw(rows, metric="accuracy"):
    return classes_figure("By class", METRICS[metric], rows)


def panels(picture):
    return [axes for axes in picture.figure.axes if axes.lines]


def points(axes):
    """(x, y) -> line of each effect's mark."""
    marks = (line for line in axes.lines if line.get_marker() in "^vso")
    return {(round(m.get_xdata()[0], 6), m.get_ydata()[0]): m for m in marks}


def test_a_panel_a_technique_and_a_place_a_class_in_the_same_order():
    rows = rows_of(("x", "y"), ("cat", "dog", "eel"))
    picture = draw([*rows[:3], *reversed(rows[3:])])
    assert len(panels(picture)) == 2
    for axes, of_technique in zip(panels(picture), (rows[:3], rows[3:]), strict=True):
        expected = {(round(r["effect"] * 100, 6), i + 0.5) for i, r in enumerate(of_technique)}
        assert set(points(axes)) == expected
        assert axes.get_xlim() == panels(picture)[0].get_xlim()
        (band,) = axes.patches
        assert (band.get_x(), band.get_width()) == pytest.approx((-1, 2))
        ends = [np.round(line.get_xdata(), 6).tolist() for line in axes.lines]
        for r in of_technique:
            assert [round(r["low"] * 100, 6), round(r["high"] * 100, 6)] in ends
    texts = words(picture)
    assert all(texts.count(text) == 1 for text in ("x", "y", "cat", "dog", "eel"))  # shared
    assert texts.count("40") == 3


def test_marks_are_coloured_by_verdict_and_filled_where_significant():
    rows = [
        row("x", name, 0.02 * i, verdict=verdict, clear=i % 2 == 1)
        for i, (name, verdict) in enumerate(zip("abcd", VERDICTS, strict=True))
    ]
    picture = draw(rows)
    (axes,) = panels(picture)
    for i, (r, mark) in enumerate(zip(rows, VERDICTS.values(), strict=True)):
        point = points(axes)[round(r["effect"] * 100, 6), i + 0.5]
        assert point.get_marker() == mark.shape
        assert to_hex(point.get_markeredgecolor()) == mark.colour
        assert (point.get_markerfacecolor() != "white") == r["clear"]
        assert f"{mark.letter}  {mark.words}" in words(picture)


def test_the_alt_text_names_the_significant_effects_largest_first():
    rows = rows_of(("x", "y"), ("cat", "dog"))
    rows[1] |= row("x", "dog", 0.12, clear=True, verdict="helps")
    rows[2] |= row("y", "cat", -0.2, clear=True, verdict="hurts")
    assert draw(rows).alt == (
        "By class, points: 2 techniques; 2 of 2 classes. 2 of 4 effects significant: "
        "y on cat −20.0 [−25.0, −15.0] hurts, significant; "
        "x on dog +12.0 [+7.0, +17.0] helps, significant."
    )
    many = [row("x", f"c{i}", 0.1 + i / 100, clear=True, verdict="helps") for i in range(20)]
    assert draw(many).alt.endswith("; and 8 more.")


def test_without_a_significant_effect_the_alt_text_says_so():
    rows = [row("x", "cat", 0.01), row("x", "dog", -0.03)]
    rows.append(row("x", "eel", 0.9, why="not in every fold"))
    last = "the largest: x on dog −3.0 [−8.0, +2.0] too close to call."
    assert draw(rows).alt.endswith(f"None of 3 effects is significant; {last}")


def test_a_class_that_cannot_be_told_has_a_letter_for_the_reason():
    rows = rows_of(("x", "y"), ("cat", "dog"))
    rows[0] |= {"why": "fewer than 20 images"}
    rows[2] |= {"why": "fewer than 20 images"}
    rows[3] |= {"why": "all folds are alike"}
    picture = draw(rows)
    texts = words(picture)
    assert texts.count("a") == 2 and texts.count("b") == 1
    assert "a  no interval: fewer than 20 images" in texts
    assert "b  no interval: all folds are alike" in texts
    first, second = (
        [line for line in axes.lines if line.get_linewidth() == 1.8] for axes in panels(picture)
    )
    assert (len(first), len(second)) == (1, 0)
    nothing_collides(picture)


def test_of_many_classes_those_with_the_largest_effects_are_drawn():
    names = [f"c{i}" for i in range(200)]
    rows = [row(t, name, 0.001 * i) for t in "xy" for i, name in enumerate(names)]
    rows[3] |= {"effect": -0.5}  # of x alone
    rows[5] |= {"effect": 0.9, "why": "not in every fold"}
    rows[205] |= {"why": "not in every fold"}  # no interval of it
    picture = draw(rows)
    text = "24 of 200 classes: those with the largest effects; all in classes.csv"
    assert text in words(picture)
    shown = [text for text in words(picture) if re.fullmatch(r"c\d+", text)]
    assert shown == ["c3", *names[-MOST + 1 :]]
    assert "2 techniques; drawn 24 of 200 classes." in picture.alt
    few = draw(rows_of("x", names[:MOST]))
    assert "classes.csv" not in " ".join(words(few))


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
@pytest.mark.parametrize("techniques", [1, 6, 13])
@pytest.mark.parametrize("length", [1, 60])
def test_any_number_of_panels_and_names_of_any_length_fit(metric, techniques, length):
    names = [(f"{i} " + "long_name " * 6)[:length].strip() for i in range(8)]
    rows = rows_of([*LONG, *(f"technique {i}" for i in range(10))][:techniques], names)
    picture = draw(rows, metric)
    nothing_collides(picture)
    lefts = [axes.get_window_extent().x0 for axes in panels(picture)]
    assert len(lefts) == techniques and len(set(lefts)) <= 6
    for axes in panels(picture):
        assert axes.get_window_extent().x1 <= picture.figure.bbox.width - 20
        assert "0" in [text.get_text() for text in axes.get_xticklabels()]
        assert len(axes.get_xticks()) >= 2


def test_the_file_is_small_and_has_the_same_bytes_again():
    rows = rows_of(LONG, [f"class {i}" for i in range(30)])
    one, two = png(draw(rows)), png(draw(rows))
    assert one == two and len(one) < 1_000_000


def test_one_very_wide_interval_gets_arrows():
    rows = rows_of("x", "abcde")
    rows[0] |= {"low": -9.0, "high": 9.0}
    picture = draw(rows)
    (axes,) = panels(picture)
    assert max(map(abs, axes.get_xlim())) < 60
    assert "line: interval; arrow: goes on" in words(picture)
    approximate = draw(rows_of("x", "ab"), "ece")
    assert "line: approximate interval" in words(approximate)


def test_effects_that_are_all_nothing_can_be_drawn():
    rows = [row("x", name, 0.0, 0.0, rope=0.0, why="all folds are alike") for name in "ab"]
    picture = draw(rows)
    assert png(picture) and "nan" not in picture.alt
    assert picture.alt.endswith("None of 2 effects is significant.")
