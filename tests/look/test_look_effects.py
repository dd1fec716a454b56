"""Figures of scores, effects and augmentation."""

import functools
import itertools
import re

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image

from cnnlab.compare.designs import KINDS
from cnnlab.compare.metrics import METRICS
from cnnlab.look.augmentation import augmentation_figure
from cnnlab.look.effects import (
    PLACEBO,
    VERDICTS,
    calibration_figure,
    cost_figure,
    effects_figure,
    interactions_figure,
    scores_figure,
)
from cnnlab.look.figure import WIDTH, save
from tests.look.layout import nothing_collides, words

VARIANTS = ("none", "x", "y", "xy")
ACCURACY = METRICS["accuracy"]
NOTHING = "placebo (only seeds differ)"


def scores_of(shape=(3, 5)):
    rng = np.random.default_rng(0)
    means = {"none": 0.5, "x": 0.6, "y": 0.505, "xy": 0.7}  # y alone does next to nothing
    return {name: mean + rng.normal(0, 0.02, shape) for name, mean in means.items()}


def means_of(scores):
    means = {name: values.mean() for name, values in scores.items()}
    return {name: (mean, mean - 0.03, mean + 0.02) for name, mean in means.items()}


def scores_picture(metric="accuracy", scores=None):
    scores = scores or scores_of()
    return scores_figure("Variants", METRICS[metric], scores, means_of(scores))


def row(technique, kind, effect, half=0.02, verdict="undecided", **more):
    """A row of the table of effects, its interval `half` to each side."""
    made = {"technique": technique, "kind": kind, "effect": effect, "rope": 0.01, "p_holm": 0.5}
    made |= {"low": effect - half, "high": effect + half, "verdict": verdict, "clear": False}
    made |= {"low_all": effect - 1.5 * half, "high_all": effect + 1.5 * half, "why": ""}
    return made | more


def star_rows(names=("x", "y", "z")):
    """A star design's: kind by kind, though not in the order of the figure."""
    effects, verdicts = (0.1, 0.004, -0.08), ("helps", "no practical difference", "hurts")
    rows = [
        row(name, kind, effect * share, 0.005, verdict, clear=abs(effect * share) > 0.05)
        for share, kind in ((1.0, "alone"), (0.9, "removed"), (0.7, "main"))
        for name, effect, verdict in zip(names, effects, verdicts, strict=True)
    ]
    rows.append(row("placebo", "placebo", 0.001, 0.007))
    rows.append(row("all techniques", "together", 0.2, clear=True, verdict="helps"))
    return [*rows, *(row(f"{name} × the others", "interaction", 0.03) for name in names)]


def factorial_rows(names=("x", "y")):
    rng = np.random.default_rng(1)
    rows = [row(name, "main", rng.normal(0, 0.04)) for name in names]
    pairs = itertools.combinations(names, 2)
    return rows + [row(f"{a} × {b}", "interaction", rng.normal(0, 0.04)) for a, b in pairs]


def places(picture):
    """Text -> top of it in pixels from the top; of texts that are there twice, the last."""
    tall = picture.figure.bbox.height
    return {text.get_text(): tall - text.get_window_extent().y1 for text in picture.figure.texts}


class Answer:
    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 3, 40)
        self.outputs = rng.dirichlet([0.3, 0.3, 0.3], 40).astype(np.float32)
        self.image_id = np.arange(40)


GRIDS = {name: [[[Answer(i + 9 * f)] for f in range(5)]] for i, name in enumerate(VARIANTS)}
COSTS = {"none": 2e8, "x": 2e8, "y": 1e8, "xy": 4e8}


def augmentation_picture(base, images=4, channels=1, seed=5):
    policy = base.augmenting("rotation", degrees=20.0).augmenting("brightness", fraction=0.25)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 8, 8, channels), np.uint8)
    labels = [f"class {i}" for i in range(images)]
    return augmentation_figure(policy, "the policy", pixels, labels, 5, seed)


@pytest.fixture
def saved(tmp_path):
    """Saves a picture; returns the file."""

    def write(picture, name="picture"):
        path = tmp_path / f"{name}.png"
        save(picture, path)
        return path

    return write


def cost_picture(metric="accuracy"):
    scores = scores_of()
    return cost_figure("Cost", METRICS[metric], means_of(scores), COSTS)


MAKERS = {
    "scores": scores_picture,
    "effects": lambda: effects_figure("Effects", ACCURACY, star_rows()),
    "interactions": lambda: interactions_figure("I", ACCURACY, factorial_rows()),
    "cost": cost_picture,
    "calibration": lambda: calibration_figure("Calibration", GRIDS),
}


def is_small_has_the_house_width_and_the_same_bytes_again(saved, make):
    one, two = (saved(make(), name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size < 1_000_000
    with Image.open(one) as image:
        assert image.width == WIDTH
        assert 150 < image.height < 3000
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20  # something is drawn


@pytest.mark.parametrize("kind", MAKERS)
def test_a_figure_is_small_has_the_house_width_and_the_same_bytes_again(saved, kind):
    is_small_has_the_house_width_and_the_same_bytes_again(saved, MAKERS[kind])


def test_the_augmentation_figure_is_too(saved, base):
    make = functools.partial(augmentation_picture, base)
    is_small_has_the_house_width_and_the_same_bytes_again(saved, make)


@pytest.mark.parametrize(("metric", "best"), [("accuracy", "xy"), ("nll", "none")])
def test_the_scores_figure_says_which_mean_is_best(metric, best):
    scores = scores_of()
    m = METRICS[metric]
    alt = scores_picture(metric, scores).alt
    mean, low, high = (
        f"{value * m.scale:.{m.digits}f}"
        for value in (scores[best].mean(), *means_of(scores)[best][1:])
    )
    assert f"best mean {best}, {mean} [{low}, {high}] {m.unit}" in alt
    assert f"{len(scores)} rows" in alt


def test_main_effects_come_first_whatever_the_order_of_rows():
    picture = effects_figure("Effects", ACCURACY, star_rows())
    top = places(picture)
    kinds = ["main", "together", "alone", "removed", "interaction"]
    headings = [KINDS[kind] for kind in kinds]
    assert [text for text in sorted(top, key=top.get) if text in KINDS.values()] == headings
    alt = [picture.alt.index(heading.partition(":")[0]) for heading in headings]
    assert alt == sorted(alt)


def test_the_placebo_ends_every_group_in_grey_and_is_no_group():
    picture = effects_figure("Effects", ACCURACY, star_rows())
    groups = [axes for axes in picture.figure.axes if axes.lines]
    assert len(groups) == 5
    labels = [text for text in picture.figure.texts if text.get_text() == NOTHING]
    assert len(labels) == 5
    for axes, label in zip(groups, labels, strict=True):
        marks = [line for line in axes.lines if line.get_marker() in "^vsoD"]
        last = max(marks, key=lambda line: line.get_ydata()[0])
        assert last.get_marker() == PLACEBO.shape
        assert to_hex(last.get_markeredgecolor()) == PLACEBO.colour == label.get_color()
        assert last.get_xdata()[0] == pytest.approx(0.1)
    assert picture.alt.count("placebo") == 1  # said once
    assert picture.alt.endswith("placebo (only seeds differ): +0.1 [−0.6, +0.8] too close to call.")
    without = [r for r in star_rows() if r["kind"] != "placebo"]
    assert "placebo" not in " ".join(words(effects_figure("E", ACCURACY, without)))


def test_a_placebo_alone_and_no_effects_at_all_can_be_drawn(saved):
    alone = effects_figure("E", ACCURACY, [row("placebo", "placebo", 0.001)])
    assert saved(alone) and NOTHING in words(alone)
    none = effects_figure("E", ACCURACY, [])
    assert saved(none) and none.alt == "E, points. no effects."


def test_every_verdict_has_its_colour_shape_and_words():
    rows = [row(v, "main", 0.02 * i, verdict=v) for i, v in enumerate(VERDICTS)]
    picture = effects_figure("Effects", ACCURACY, rows)
    (axes,) = (a for a in picture.figure.axes if a.lines)
    for i, (verdict, mark) in enumerate(VERDICTS.items()):
        (point,) = (
            line
            for line in axes.lines
            if line.get_marker() == mark.shape and len(line.get_xdata()) == 1
        )
        assert point.get_xdata()[0] == pytest.approx(2 * i)
        assert to_hex(point.get_markeredgecolor()) == mark.colour
        assert f"{mark.letter}  {mark.words}" in words(picture)  # the legend
        sign = "+" if i else ""  # nothing is neither more nor less
        assert f"{verdict} {sign}{2.0 * i:.1f} [" in picture.alt
        assert f"] {mark.words}" in picture.alt
    texts = {text.get_text(): text.get_color() for text in picture.figure.texts}
    assert texts["no difference"] == VERDICTS["no practical difference"].colour


def test_filled_marks_are_the_significant_effects():
    rows = star_rows()
    picture = effects_figure("Effects", ACCURACY, rows)
    marks = [
        line
        for axes in picture.figure.axes
        for line in axes.lines
        if line.get_marker() in "^vso" and len(line.get_xdata()) == 1
    ]
    assert len(marks) == len(rows) - 1  # but for the placebo
    filled = [line.get_xdata()[0] for line in marks if line.get_markerfacecolor() != "white"]
    clear = [r["effect"] * 100 for r in rows if r["clear"]]
    assert 0 < len(clear) < len(rows)
    np.testing.assert_allclose(np.sort(filled), np.sort(clear))
    assert picture.alt.count(", significant") == len(clear)


def test_a_row_that_cannot_be_told_has_its_reason_and_no_interval():
    rows = [
        row("x", "main", 0.03, why="all folds alike"),
        row("y", "main", -0.03, why="fewer than 20 images"),
        row("z", "main", 0.01),
    ]
    picture = effects_figure("Effects", ACCURACY, rows)
    (axes,) = (a for a in picture.figure.axes if a.lines)
    lines = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    ends = [np.round(line, 6).tolist() for line in lines if tuple(line) not in ((0, 0), (0, 1))]
    assert ends == [[-2, 4], [-1, 3]]  # thin and thick, of z
    small = {t.get_text(): t for t in picture.figure.texts if t.get_fontsize() == 6}
    assert set(small) == {"all folds alike", "fewer than 20 images"}
    right = axes.get_window_extent().x1
    for text, r in zip(small.values(), rows, strict=False):
        box, x = text.get_window_extent(), axes.transData.transform((r["effect"] * 100, 0))[0]
        assert not box.x0 <= x <= box.x1 and box.x1 <= right
    assert "x +3.0 cannot be told (all folds alike)" in picture.alt
    nothing_collides(picture)


def test_one_very_wide_interval_leaves_room_for_the_others():
    rows = [row(name, "main", 0.01 * i) for i, name in enumerate("abcd")]
    wide = row("e", "main", 0.0, low=-3, high=4, low_all=-np.inf, high_all=np.inf)
    picture = effects_figure("Effects", ACCURACY, [*rows, wide])
    (axes,) = (a for a in picture.figure.axes if a.lines)
    low, high = axes.get_xlim()
    assert -12 < low < -5 and 5 < high < 15
    arrows = [line.get_marker() for line in axes.lines if line.get_marker() in ("<", ">")]
    assert arrows == ["<", ">"]
    assert any(text.endswith("arrow: goes on") for text in words(picture))
    assert "e 0.0 [−300.0, +400.0]" in picture.alt
    usual = words(effects_figure("Effects", ACCURACY, rows))
    assert not any("arrow" in text for text in usual)


@pytest.mark.parametrize("metric", METRICS)
def test_the_effects_figure_says_every_number(metric):
    m, rows = METRICS[metric], star_rows()
    alt = effects_figure("Effects", m, rows).alt
    numbers = {float(n) for n in re.findall(r"[+-][\d.]*\d", alt.replace("−", "-"))}
    for r in rows:
        for key in ("effect", "low", "high"):
            assert round(r[key] * m.scale, m.digits) in numbers
    assert m.step in alt
    assert ("less is better" in words(effects_figure("E", m, rows))[1]) != m.higher_is_better


def test_the_band_is_the_rope_and_the_thin_line_the_bounds_of_all():
    rows = star_rows()
    picture = effects_figure("Effects", ACCURACY, rows)
    groups = [a for a in picture.figure.axes if a.lines]
    for axes in groups:
        (band,) = axes.patches
        assert (band.get_x(), band.get_width()) == pytest.approx((-1, 2))
        assert axes.get_xlim() == groups[0].get_xlim()
    ends = [np.round(line.get_xdata(), 6).tolist() for a in groups for line in a.lines]
    for r in rows:
        for low, high in (("low", "high"), ("low_all", "high_all")):
            assert [round(r[low] * 100, 6), round(r[high] * 100, 6)] in ends


def test_techniques_do_more_or_less_together():
    """As the report's tables call it: no interaction helps or hurts."""
    both = ("helps", "more together"), ("hurts", "less together")
    for verdict, called in both:
        rows = [row(name, kind, 0.03) for name, kind in (("x", "main"), ("x × z", "interaction"))]
        one, other = [r | {"verdict": verdict} for r in rows]
        picture = effects_figure("E", ACCURACY, [one, other])
        assert f"] {called}" in picture.alt and f"] {verdict}" in picture.alt
        assert words(picture).count(called) == 1 and words(picture).count(verdict) == 1


def test_interactions_that_the_matrix_draws_are_left_to_it():
    rows = [*factorial_rows(), row("x × y × z", "interaction", 0.01)]
    assert "x × y +" not in effects_figure("E", ACCURACY, rows).alt.replace("−", "+")
    assert "x × y × z +1.0" in effects_figure("E", ACCURACY, rows).alt
    assert "x × the others +3.0" in effects_figure("E", ACCURACY, star_rows()).alt


LONG = ("spatial_dropout", "label_smoothing_of_one_tenth", "a_technique_with_quite_a_long_name")


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
def test_long_names_and_many_rows_do_not_run_into_each_other(saved, metric):
    names = [*LONG, *(f"technique_{i}" for i in range(9))]
    rows = [row(name, kind, 0.01) for kind in ("main", "alone", "removed") for name in names]
    rows += [row(f"{a} with freeze", "alone", 0.01) for a in LONG]
    rows += [row(f"{LONG[1]} - {LONG[2]}", "pair", -0.02), row("placebo", "placebo", 0.001)]
    rows += [row(f"{name} × the others", "interaction", -0.01) for name in LONG]
    picture = effects_figure("Effects", METRICS[metric], rows)
    assert saved(picture).stat().st_size < 1_000_000
    assert not any("…" in text for text in words(picture))
    assert {"with freeze", "× the others", "spatial_dropout"} <= set(words(picture))
    nothing_collides(picture)


@pytest.mark.parametrize("count", [2, 5, 8, 12])
@pytest.mark.parametrize("metric", ["accuracy", "nll"])
def test_any_number_of_interactions_fits(count, metric):
    names = [*LONG[:1], *(f"technique_{i}" for i in range(count - 1))]
    picture = interactions_figure("I", METRICS[metric], factorial_rows(names))
    nothing_collides(picture)
    assert not any("…" in text for text in words(picture))
    for text in (text for axes in picture.figure.axes for text in axes.texts):
        assert text.get_fontsize() >= 6


def test_the_matrix_has_starts_and_the_first_of_what_is_aliased():
    names = ("x", "finetune", "finetune - freeze")
    rows = [row(names[0], "main", 0.01), *(row(name, "start", 0.02) for name in names[1:])]
    rows.append(row("x × finetune - freeze", "interaction", -0.07, clear=True))
    rows.append(row("x × finetune − y × z", "interaction", 0.05))
    picture = interactions_figure("I", ACCURACY, rows)
    assert {"finetune - freeze", "finetune", "x", "−7.0", "+5.0"} <= set(words(picture))
    alt = "x × finetune - freeze −7.0 [−9.0, −5.0] too close to call, significant"
    assert alt in picture.alt
    assert "placebo" not in interactions_figure("I", ACCURACY, [*rows, *star_rows()]).alt


def test_interactions_of_no_two_techniques_make_no_matrix():
    assert interactions_figure("I", ACCURACY, star_rows()) is None
    assert interactions_figure("I", ACCURACY, [row("x", "main", 0.1)]) is None
    assert interactions_figure("I", ACCURACY, []) is None
    three = [row(name, "main", 0.1) for name in "xyz"] + [row("x × y × z", "interaction", 0.1)]
    assert interactions_figure("I", ACCURACY, three) is None


def test_an_interaction_without_an_interval_says_why():
    rows = factorial_rows()
    rows[-1] |= {"why": "all folds alike"}
    picture = interactions_figure("I", ACCURACY, rows)
    assert {"no interval", "no interval: all folds alike"} <= set(words(picture))
    assert "(all folds alike)" in picture.alt


def test_the_scores_figure_draws_a_dot_a_fold_and_the_interval():
    scores = scores_of()
    axes = next(a for a in scores_picture(scores=scores).figure.axes if a.lines)
    dots = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 15]
    assert len(dots) == len(scores)
    for drawn, values in zip(dots, scores.values(), strict=True):
        np.testing.assert_allclose(np.sort(drawn), np.sort(values.ravel() * 100))
    ends = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
    for _, *interval in means_of(scores).values():
        assert any(np.allclose(drawn, np.array(interval) * 100) for drawn in ends)


def test_a_mean_score_is_as_the_tables_have_it():
    """Of a metric that is no mean over images it is another than that of the folds."""
    scores, means = scores_of(), means_of(scores_of()) | {"y": (0.65, 0.6, 0.8)}
    picture = scores_figure("Variants", METRICS["macro_f1"], scores, means)
    axes = next(a for a in picture.figure.axes if a.lines)
    drawn = [line.get_xdata()[0] for line in axes.lines if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(drawn, [100 * mean for mean, *_ in means.values()])
    best = scores_figure("Variants", METRICS["macro_f1"], scores, means | {"y": (0.9, 0.8, 0.95)})
    assert "best mean y, 90.0 [80.0, 95.0] %" in best.alt
    assert axes.get_xlabel() == "macro F1 (%); dots: each fold by itself; mean: all folds at once"
    for metric in METRICS.values():
        figure = scores_figure("Variants", metric, scores, means).figure
        figure.canvas.draw()
        label = next(a for a in figure.axes if a.lines).xaxis.label.get_window_extent()
        assert label.x0 >= 0 and label.x1 <= figure.bbox.width, metric.title
    drawn = next(a for a in scores_picture().figure.axes if a.lines)
    assert drawn.get_xlabel().endswith("dots: folds × repeats")


def test_variants_may_have_different_numbers_of_repeats():
    scores = scores_of() | {"x": np.full((7, 5), 0.61)}
    picture = scores_picture(scores=scores)
    assert words(picture).count("3 repeats") == 3 and words(picture).count("7 repeats") == 1
    nothing_collides(picture)
    assert not any("repeats" in text for text in words(scores_picture()))


def test_equal_scores_stand_side_by_side():
    scores = {"a": np.full((2, 3), 0.5), "b": np.full((2, 3), 0.75)}
    axes = next(a for a in scores_picture(scores=scores).figure.axes if a.lines)
    heights = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 6]
    assert [len(set(np.round(h, 6))) for h in heights] == [6, 6]


def test_alike_scores_can_be_drawn(saved):
    scores = dict.fromkeys(VARIANTS, np.full((3, 5), 1.0))
    means = dict.fromkeys(VARIANTS, (1.0, 1.0, 1.0))
    picture = scores_figure("Variants", ACCURACY, scores, means)
    assert saved(picture).stat().st_size > 0 and "nan" not in picture.alt
    same = [row(name, "main", 0.0, 0.0, why="all folds alike", rope=0.0) for name in "xy"]
    assert saved(effects_figure("E", ACCURACY, same)).stat().st_size > 0


def test_interactions_stand_beside_main_effects():
    rows = factorial_rows(("x", "y", "z"))
    picture = interactions_figure("I", ACCURACY, rows)
    texts = [t.get_text() for axes in picture.figure.axes for t in axes.texts]
    for r in rows:
        number = f"{r['effect'] * 100:+.1f}".replace("-", "−")
        assert number in texts and f"{r['technique']} {number}" in picture.alt


def test_cost_says_which_variants_nothing_cheaper_beats():
    best = cost_picture().alt.split(": ")[-1]
    scores = scores_of()
    means = {name: values.mean() for name, values in scores.items()}
    assert means["xy"] > means["x"] > means["y"] > means["none"]
    assert re.findall(r"(\w+) \S+ \[", best) == ["xy", "x", "y"]
    loss = cost_picture("nll").alt.split(": ")[-1]
    assert re.findall(r"(\w+) \S+ \[", loss) == ["none", "y"]
    _, low, high = means_of(scores)["xy"]
    text = f"[{low * 100:.1f}, {high * 100:.1f}]"
    assert f"xy {means['xy'] * 100:.1f} {text} at 4e+08" in best
    assert text in words(cost_picture())


@pytest.mark.parametrize("metric", ["accuracy", "nll"])
def test_many_variants_with_long_names_have_room_beside_their_costs(metric):
    names = [f"variant_{i}" for i in range(30)] + ["freeze_all-spatial_dropout-label_smoothing"]
    ends = {name: (0.5 + i / 100, 0.45, 0.9) for i, name in enumerate(names)}
    picture = cost_figure("Cost", METRICS[metric], ends, dict.fromkeys(names, 3e8))
    nothing_collides(picture)
    assert not any("…" in text for text in words(picture))


def test_calibration_says_each_error():
    from cnnlab.compare.scores import pooled

    alt = calibration_figure("Calibration", GRIDS).alt
    for name, grid in GRIDS.items():
        assert f"{name} {METRICS['ece'].score(*pooled(grid)) * 100:.1f}" in alt


@pytest.mark.parametrize("channels", [1, 3])
def test_the_augmentation_figure_says_what_it_shows(saved, base, channels):
    picture = augmentation_picture(base, 3, channels)
    told = ("the policy", "3 images", "class 0, class 1, class 2", "5 draws")
    told += ("rotation degrees 20.0", "brightness fraction 0.25")
    assert all(text in picture.alt for text in told)
    moved = float(re.search(r"pixel ([\d.]+) of 255", picture.alt).group(1))
    assert 10 < moved < 200
    assert saved(picture).stat().st_size > 0
    other = augmentation_picture(base, 3, channels, seed=6)
    assert saved(other, "other").read_bytes() != saved(picture).read_bytes()


def test_the_augmentation_of_every_frozen_policy_can_be_drawn(saved, frozen):
    from cnnlab.plugins import chosen

    drawn = 0
    for name in chosen(frozen.techniques):
        policy = frozen.sections.alone(name)
        if policy.ops:
            pixels = np.zeros((6, 8, 8, 1), np.uint8)
            picture = augmentation_figure(policy, name, pixels, ["0"] * 6, 9, 1)
            assert saved(picture).stat().st_size < 1_000_000
            drawn += 1
    assert drawn
