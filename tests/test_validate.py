"""Simulated studies: they are what they say, and what is written about them is counted."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnlab import validate
from cnnlab.compare import simulation as sim
from cnnlab.look.figure import save
from cnnlab.look.validity import validity_figure
from cnnlab.report import validity
from tests.made_up import FROZEN

SMALL = sim.World(images=40, pixels=6, classes=3)
RULES = validate.rules_of(FROZEN.compare)


def test_every_image_is_held_out_once_a_repeat_in_folds_of_equal_size():
    setting = sim.Setting("s", 6, (6, 12), folds=4, repeats=3, world=SMALL)
    right, fold_of = sim.study(setting, np.random.default_rng(0))
    assert right.shape == (3, 3, 40) and fold_of.shape == (3, 40)
    for row in fold_of:
        assert np.bincount(row).tolist() == [10] * 4
    scores = sim.fold_scores(right, fold_of, 4)
    assert scores.shape == (3, 3, 4)
    assert scores[1, 2, 3] == pytest.approx(right[1, 2, fold_of[2] == 3].mean())
    assert scores.mean() > 0.5  # it learns; chance is a third


def test_a_network_does_not_learn_from_the_images_that_are_held_out():
    rng = np.random.default_rng(0)
    x, y = sim.draw(SMALL, 40, rng)
    trained = np.arange(40)[None] < 30
    other = np.where(trained[0], y, (y + 1) % 3)
    one, two = (
        sim.predicted(x, labels, trained, 6, 3, np.random.default_rng(1)) for labels in (y, other)
    )
    np.testing.assert_array_equal(one, two)


def test_seeds_are_noise_and_width_is_an_effect():
    rng = np.random.default_rng(0)
    x, y = sim.draw(SMALL, 40, rng)
    trained = np.ones((2, 40), bool)
    one, two = sim.predicted(x, y, trained, 6, 3, np.random.default_rng(1))
    assert np.any(one != two)
    assert sim.accuracy(SMALL, 24, 30, 1, nets=50) > sim.accuracy(SMALL, 3, 30, 1, nets=50) + 0.05


def test_a_tally_counts_studies(monkeypatch):
    monkeypatch.setattr(sim, "accuracy", lambda world, width, n_train, seed: width / 100)
    setting = sim.Setting("s", 3, (30,), folds=4, repeats=2, world=SMALL)
    tally = sim.run(setting, 12, RULES, seed=1)
    assert tally == sim.run(setting, 12, RULES, seed=1)
    assert tally.studies == sum(tally.verdicts.values()) == 12
    assert tally.effect == pytest.approx(0.27)
    assert 0 < tally.clear <= tally.naive <= 12 and tally.wrong_sign == 0
    monkeypatch.setattr(sim, "accuracy", lambda world, width, n_train, seed: -width / 100)
    upside_down = sim.run(setting, 12, RULES, seed=1)
    assert upside_down.wrong_sign == upside_down.clear == tally.clear
    assert upside_down.covered < tally.covered


@pytest.mark.parametrize(
    ("count", "of", "interval"),
    [(0, 20, (0, 0, 0.16843)), (20, 20, (1, 0.83157, 1)), (5, 100, (0.05, 0.01643, 0.11283))],
)
def test_exact_binomial_intervals(count, of, interval):
    """Clopper and Pearson's, as statsmodels' proportion_confint(method="beta") has them."""
    from statsmodels.stats.proportion import proportion_confint

    found = sim.share(count, of, 0.95)
    assert found == pytest.approx(interval, abs=1e-5)
    assert found[1:] == pytest.approx(proportion_confint(count, of, method="beta"), abs=1e-9)


def test_normal_studies_of_no_effect():
    tally = sim.run_gaussian("g", 5, 3, 400, RULES, seed=0)
    assert tally.clear + tally.covered == 400
    assert 0.02 < tally.clear / 400 < 0.08 < tally.naive / 400


def tally(name, effect, clear, wrong_sign=0):
    setting = sim.Setting(name, 16, (16,))
    verdicts = {"helps": clear, "no practical difference": 0, "hurts": 0, "undecided": 100 - clear}
    counts = {"covered": 95, "naive": 30, "mcnemar": 10}
    return sim.Tally(setting, effect, 100, clear, wrong_sign, verdicts=verdicts, **counts)


@pytest.fixture
def table(tmp_path):
    tallies = [tally("none", 0.0, 4), tally("some", 0.05, 40, 1), tally("more", 0.1, 80)]
    path = tmp_path / "table.csv"
    pd.DataFrame([validate.row_of(t, 0.95) for t in tallies]).to_csv(path, index=False)
    return pd.read_csv(path)


def test_the_table_holds_the_documented_columns(table):
    shares = ["clear", "sign", "covered", "helps", "hurts", "same", "naive", "mcnemar"]
    assert all(
        f"        {c}" in validate.row_of.__doc__ for c in shares if c not in ("hurts", "same")
    )
    expected = ["setting", "effect", "studies"]
    assert list(table) == expected + [f"{c}{e}" for c in shares for e in ("", "_low", "_high")]
    assert table["sign"].tolist()[1:] == [1 / 40, 0]


def test_the_page_says_what_was_counted(table, tmp_path):
    figure = tmp_path / "validity.png"
    axes = validity_figure("Wrong?", table, 0.05).figure.axes[0]
    assert axes.get_xlim()[0] == 0 and axes.get_xlim()[1] > 100 * table["naive_high"].max()
    save(validity_figure("Wrong?", table, 0.05), figure)
    with Image.open(figure) as image:
        assert image.width == 900 and figure.stat().st_size < 1_000_000
    trained = pd.DataFrame(
        {"clear": [0, 1], "verdict": ["helps", "undecided"], "low": -1.0, "high": 1.0, "n": 5}
    )
    page = validity.page(table, trained, FROZEN.compare, figure)
    for told in (
        "at most 4.0% of studies",
        "Of 120 significant true effects 1 had the wrong sign",
        "| none | 100 | 4.0 [1.1, 9.9] |",
        "| some | +5.0 | 100 | 40.0",
        "2 studies of 5 folds",
        "| 2 | 50.0 [1.3, 98.7] | 50.0 [1.3, 98.7] | 0.0 [0.0, 84.2] |",
        "](validity.png)",
    ):
        assert told in page
    bad = table.assign(clear_low=0.06)
    assert "Too many false calls in: none" in validity.page(bad, None, FROZEN.compare, figure)
