"""Figures of scores, effects and augmentation."""

import dataclasses
import re

import numpy as np
import pytest
from PIL import Image

from cnnlab.compare import Rules, designs, effect_rows, effects, score_interval
from cnnlab.compare.metrics import METRICS
from cnnlab.look.augmentation import augmentation_figure
from cnnlab.look.effects import (
    KINDS,
    calibration_figure,
    cost_figure,
    effects_figure,
    interactions_figure,
    scores_figure,
)
from cnnlab.look.figure import WIDTH, save

VARIANTS = {"none": [], "x": ["x"], "y": ["y"], "xy": ["x", "y"]}


def scores_of(shape=(3, 5)):
    rng = np.random.default_rng(0)
    means = {"none": 0.5, "x": 0.6, "y": 0.505, "xy": 0.7}  # y alone does next to nothing
    return {name: mean + rng.normal(0, 0.02, shape) for name, mean in means.items()}


def scores_picture(metric="accuracy", scores=None):
    scores = scores or scores_of()
    return scores_figure("Variants", METRICS[metric], scores, 0.95)


def effects_picture(metric="accuracy", scores=None, variants=VARIANTS):
    rows = rows_of(metric, scores, variants)
    return effects_figure("Effects", METRICS[metric], rows), rows


RULES = Rules(
    metric="accuracy",
    higher_is_better=True,
    rope=0.01,
    confidence=0.95,
    alpha=0.05,
    probability=0.95,
)


def rows_of(metric="accuracy", scores=None, variants=VARIANTS):
    better = METRICS[metric].higher_is_better
    rules = dataclasses.replace(RULES, metric=metric, higher_is_better=better)
    contrasts = effects(variants, [], ["x", "y"], 2)
    return effect_rows(contrasts, scores or scores_of(), rules)


class Answer:
    def __init__(self, seed):
        rng = np.random.default_rng(seed)
        self.labels = rng.integers(0, 3, 40)
        self.probabilities = rng.dirichlet([0.3, 0.3, 0.3], 40).astype(np.float32)
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


MAKERS = {
    "scores": lambda base: scores_picture(),
    "effects": lambda base: effects_picture()[0],
    "augmentation": augmentation_picture,
    "interactions": lambda base: interactions_figure("I", METRICS["accuracy"], rows_of()),
    "cost": lambda base: cost_figure("Cost", METRICS["accuracy"], scores_of(), COSTS),
    "calibration": lambda base: calibration_figure("Calibration", GRIDS),
}


@pytest.mark.parametrize("kind", MAKERS)
def test_a_figure_is_small_has_the_house_width_and_the_same_bytes_again(saved, base, kind):
    one, two = (saved(MAKERS[kind](base), name) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    assert one.stat().st_size < 1_000_000
    with Image.open(one) as image:
        assert image.width == WIDTH
        assert 150 < image.height < 3000
        assert len(image.convert("RGB").getcolors(1 << 24)) > 20  # something is drawn


@pytest.mark.parametrize(("metric", "best"), [("accuracy", "xy"), ("nll", "none")])
def test_the_scores_figure_says_which_mean_is_best(metric, best):
    scores = scores_of()
    m = METRICS[metric]
    alt = scores_picture(metric, scores).alt
    assert f"best mean {best}, {scores[best].mean() * m.scale:.{m.digits}f} {m.unit}" in alt
    assert f"{len(scores)} rows" in alt


def test_the_name_of_a_pair_stands_whole_on_two_lines():
    rows = [row for row in rows_of() if row["kind"] == "alone"][:1]
    pair = rows[0] | {"technique": "augment - all_but_batchnorm", "kind": "pair"}
    figure = effects_figure("Effects", METRICS["accuracy"], [*rows, pair]).figure
    assert {"augment −", "all_but_batchnorm"} <= {text.get_text() for text in figure.texts}


def crossed():
    """Rows of a star of techniques with long names, with each of two starts."""
    on = ["augment", "batchnorm", "spatial_dropout"]
    sets = designs.sets_of("star", on, ["freeze", "finetune"], 5)
    variants = designs.named(sets, on, ["freeze", "finetune"])
    rng = np.random.default_rng(0)
    scores = {
        name: 0.5 + 0.05 * len(on) + rng.normal(0, 0.02, (3, 5)) for name, on in variants.items()
    }
    contrasts = effects(variants, sets, on, 2, (), ["freeze", "finetune"])
    return effect_rows(contrasts, scores, RULES)


@pytest.mark.parametrize("draw", [effects_figure, interactions_figure])
def test_starts_and_what_they_are_crossed_with_are_named_in_full(saved, draw):
    rows = crossed()
    picture = draw("Effects", METRICS["accuracy"], rows)
    assert saved(picture).stat().st_size < 1_000_000
    texts = [text.get_text() for text in picture.figure.texts]
    names = {"finetune - freeze"}
    if draw is effects_figure:
        names |= {"spatial_dropout", "with finetune", "all techniques", "●  how training starts"}
        assert "augment with freeze alone +" in picture.alt
    else:
        names |= {"batchnorm", "augment", "spatial_dropout"}
        assert "augment × finetune - freeze " in picture.alt
    assert names <= set(texts)
    assert not any("…" in text for text in texts)
    assert f"finetune - freeze {'start ' if draw is effects_figure else ''}" in picture.alt


@pytest.mark.parametrize("metric", METRICS)
def test_the_effects_figure_says_every_number(metric):
    m = METRICS[metric]
    picture, rows = effects_picture(metric)
    said = picture.alt.replace("−", "-")
    numbers = {float(n) for n in re.findall(r"[+-][\d.]+", said)}
    for row in (row for row in rows if row["kind"] != "interaction"):
        assert f"] {row['verdict']}" in picture.alt
        assert f"{row['technique']} {row['kind']} " in picture.alt
        for key in ("effect", "low", "high"):
            assert round(row[key] * m.scale, m.digits) in numbers
    assert m.step in picture.alt


def test_the_scores_figure_draws_a_dot_a_fold_and_the_interval():
    scores = scores_of()
    axes = next(a for a in scores_picture(scores=scores).figure.axes if a.lines)
    dots = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 15]
    assert len(dots) == len(scores)
    for drawn, values in zip(dots, scores.values(), strict=True):
        np.testing.assert_allclose(np.sort(drawn), np.sort(values.ravel() * 100))
    for values in scores.values():
        interval = score_interval(values, 0.95, (0.0, 1.0))
        ends = [line.get_xdata() for line in axes.lines if len(line.get_xdata()) == 2]
        assert any(np.allclose(e, [interval.low * 100, interval.high * 100]) for e in ends)


def test_equal_scores_stand_side_by_side():
    scores = {"a": np.full((2, 3), 0.5), "b": np.full((2, 3), 0.75)}
    axes = next(a for a in scores_picture(scores=scores).figure.axes if a.lines)
    heights = [line.get_ydata() for line in axes.lines if len(line.get_ydata()) == 6]
    assert [len(set(np.round(h, 6))) for h in heights] == [6, 6]


def test_filled_marks_are_the_clear_effects():
    picture, rows = effects_picture()
    rows = [row for row in rows if row["kind"] != "interaction"]
    axes = next(a for a in picture.figure.axes if a.lines)
    colours = {colour for colour, _ in KINDS.values()}
    marks = [line for line in axes.lines if line.get_marker() == "o"]
    filled = [line.get_xdata()[0] for line in marks if line.get_markerfacecolor() in colours]
    assert len(marks) == len(rows)
    clear = [row["effect"] * 100 for row in rows if row["clear"]]
    assert 0 < len(clear) < len(rows)
    np.testing.assert_allclose(np.sort(filled), np.sort(clear))


@pytest.mark.parametrize("variants", [{"none": [], "x": ["x"]}, {"x": ["x"], "xy": ["x", "y"]}])
def test_one_kind_of_effect_needs_no_legend(saved, variants):
    scores = {name: scores_of()[name] for name in variants}
    picture, rows = effects_picture(scores=scores, variants=variants)
    assert len(rows) == 1
    texts = [text.get_text() for text in picture.figure.texts]
    assert not any(text.startswith("●") for text in texts)
    assert sum(t.get_text().startswith("●") for t in effects_picture()[0].figure.texts) == 4


def test_degenerate_scores_can_be_drawn(saved):
    scores = dict.fromkeys(VARIANTS, np.full((3, 5), 1.0))
    for picture in (scores_picture(scores=scores), effects_picture(scores=scores)[0]):
        assert saved(picture).stat().st_size > 0
        assert "nan" not in picture.alt


def test_the_band_is_the_rope_and_the_thin_line_the_bounds_of_all():
    picture, rows = effects_picture()
    axes = next(a for a in picture.figure.axes if a.lines)
    (band,) = axes.patches
    assert (band.get_x(), band.get_width()) == pytest.approx((-1, 2))
    ends = [np.round(line.get_xdata(), 6).tolist() for line in axes.lines]
    for row in (row for row in rows if row["kind"] != "interaction"):
        for low, high in (("low", "high"), ("low_all", "high_all")):
            assert [round(row[low] * 100, 6), round(row[high] * 100, 6)] in ends


def test_interactions_stand_beside_main_effects():
    rows = rows_of()
    picture = interactions_figure("I", METRICS["accuracy"], rows)
    texts = [t.get_text() for axes in picture.figure.axes for t in axes.texts]
    for row in (row for row in rows if row["kind"] in ("main", "interaction")):
        said = f"{row['effect'] * 100:+.1f}".replace("-", "−")
        assert said in texts and f"{row['technique']} {said}" in picture.alt


def test_cost_tells_which_variants_nothing_cheaper_beats():
    picture = cost_figure("Cost", METRICS["accuracy"], scores_of(), COSTS)
    told = picture.alt.split(": ")[-1]
    means = {name: values.mean() for name, values in scores_of().items()}
    assert means["xy"] > means["x"] > means["y"] > means["none"]
    assert [part.split()[0] for part in told.split(", ")] == ["xy", "x", "y"]
    loss = cost_figure("Cost", METRICS["nll"], scores_of(), COSTS).alt.split(": ")[-1]
    assert [part.split()[0] for part in loss.split(", ")] == ["none", "y"]


def test_calibration_says_each_error():
    from cnnlab.compare.metrics import ece
    from cnnlab.compare.scores import pooled

    alt = calibration_figure("Calibration", GRIDS).alt
    for name, grid in GRIDS.items():
        assert f"{name} {ece(*pooled(grid)) * 100:.1f}" in alt


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
