"""Validity: simulated studies are what they say, shares are counted, and the page says them."""

import math
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from cnnlab import paths, validate
from cnnlab.compare import simulation as sim
from cnnlab.compare import validity
from cnnlab.compare.comparison import rules_of
from cnnlab.compare.contrasts import Contrast, pair
from cnnlab.compare.inference import Split
from cnnlab.compare.tables import Looks, effect_rows
from cnnlab.look.figure import save
from cnnlab.look.validity import validity_figure
from cnnlab.report import validity as report
from tests.look.layout import nothing_collides
from tests.made_up import FILE, FROZEN

SMALL = sim.World(images=40, pixels=6, classes=3)
RULES = rules_of("accuracy", FROZEN.compare)
OUTCOMES = paths.workspace().parent / "shared/data/validity"
GAIN = Contrast("gain", "alone", {"with": 1.0, "without": -1.0})


def split(rng, images=100, repeats=3, folds=5):
    fold = np.stack([rng.permutation(np.arange(images) % folds) for _ in range(repeats)])
    return Split(fold, np.arange(images))


def made_up(gain, studies=12, repeats=3, spread=0.3, images=100):
    """Studies whose true effect is `gain`, images' values being independent of each other."""
    for number in range(studies):
        rng = np.random.default_rng(number)
        values = 0.5 + gain + rng.normal(0, spread, (repeats, images))
        given = {"with": values, "without": np.full_like(values, 0.5)}
        yield validity.Study(given, split(rng, images, repeats))


# Simulated studies.


def test_every_image_is_held_out_once_a_repeat_in_folds_of_equal_size():
    setting = sim.Setting("s", 6, (6, 12), folds=4, repeats=3, world=SMALL)
    study = sim.study(setting, np.random.default_rng(0))
    assert list(study.predicted) == list(setting.widths)
    assert all(rows.shape == (3, 40) for rows in study.predicted.values())
    for row in study.split.fold:
        assert np.bincount(row).tolist() == [10] * 4
    values = study.measured("accuracy").values["baseline"]
    np.testing.assert_array_equal(values, study.predicted["baseline"] == study.labels)
    assert values.mean() > 0.5  # it learns; chance is a third
    assert study.measured("macro_f1").values["baseline"].mean() > 0.5


def test_near_duplicates_are_alike_and_split_together():
    world = replace(SMALL, group=4)
    study = sim.study(sim.Setting("s", 6, (6,), world=world), np.random.default_rng(0))
    for row in (*study.split.fold, study.labels):
        assert all(len(set(images)) == 1 for images in row.reshape(-1, 4))
    assert study.split.group.tolist() == np.repeat(np.arange(10), 4).tolist()
    x, _ = sim.draw(replace(world, spread=1e3), 4000, np.random.default_rng(0))
    groups = x.reshape(1000, 4, -1) / 1e3
    alike = groups.mean(axis=1).var(axis=0).mean()
    assert alike == pytest.approx(world.alike + (1 - world.alike) / 4, rel=0.05)
    assert x.var() / 1e6 == pytest.approx(1, rel=0.05)


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
    one, two = sim.predicted(x, y, np.ones((2, 40), bool), 6, 3, np.random.default_rng(1))
    assert np.any(one != two)
    for metric in ("accuracy", "macro_f1", "mcc"):
        truth = sim.Setting("s", 3, (24,), world=SMALL).truth(metric, 1, networks=50)
        assert truth["width 24 (1)"] > truth["baseline"] + 0.05


def test_rare_classes_are_rare():
    _, y = sim.draw(replace(SMALL, frequent=(0.7, 0.2, 0.1)), 5000, np.random.default_rng(0))
    assert np.bincount(y) / 5000 == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


def test_differences_are_correlated_as_the_corrected_t_assumes():
    means = np.stack([s.split.means(s.values["with"]) for s in sim.correlated(50, 5, 2, 2000, 0)])
    flat = means.reshape(2000, -1)
    across = np.corrcoef(flat.T)[np.triu_indices(10, 1)]
    assert across.mean() == pytest.approx(1 / 5, abs=0.03)


# Other tests.


def test_the_plain_t_is_scipys():
    from scipy.stats import ttest_1samp

    (study,) = made_up(0.05, studies=1)
    means = study.split.means(study.values["with"] - study.values["without"]).ravel()
    (row,) = effect_rows([GAIN], study.values, study.split, validity.methods_of(RULES)["plain t"])
    found = ttest_1samp(means, 0)
    assert row["p"] == pytest.approx(found.pvalue)
    low, high = found.confidence_interval(RULES.confidence)
    assert (row["low"], row["high"]) == pytest.approx((low, high))


def test_mcnemar_is_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar

    rng = np.random.default_rng(0)
    right = {name: (rng.random((2, 100)) < p) * 1.0 for name, p in (("a", 0.7), ("b", 0.5))}
    only = [int(((right[x] > right[y])[0]).sum()) for x, y in (("a", "b"), ("b", "a"))]
    rules = validity.methods_of(RULES)["McNemar"]
    (row,) = effect_rows([pair("a", "b")], right, split(rng, repeats=2), rules)
    table = [[0, only[0]], [only[1], 0]]
    assert row["p"] == pytest.approx(mcnemar(table, exact=False, correction=False).pvalue)
    assert row["effect"] == pytest.approx((only[0] - only[1]) / 100)


@pytest.mark.parametrize(
    ("count", "of", "interval"),
    [(0, 20, (0, 0, 0.16843)), (20, 20, (1, 0.83157, 1)), (5, 100, (0.05, 0.01643, 0.11283))],
)
def test_exact_binomial_intervals(count, of, interval):
    """Clopper and Pearson's, as statsmodels' proportion_confint(method="beta") has them."""
    from statsmodels.stats.proportion import proportion_confint

    found = validity.share(count, of, 0.95)
    assert found == pytest.approx(interval, abs=1e-5)
    assert found[1:] == pytest.approx(proportion_confint(count, of, method="beta"), abs=1e-9)


# What is counted.


def rates_of(gain, truth, **rules):
    methods = validity.methods_of(replace(RULES, **rules))
    truth = {"with": truth, "without": 0.0}
    table = pd.DataFrame(validity.rates(made_up(gain), [GAIN], truth, methods, [1, 3]))
    return table[table["kind"] == "alone"].set_index(["method", "repeats"])


def test_rates_count_studies():
    right, upside_down = rates_of(0.2, 0.2), rates_of(0.2, -0.2)
    assert list(right.index) == [
        (method, repeats)
        for method in ("crossed", "corrected t", "plain t", "McNemar")
        for repeats in (1, 3)
        if (method, repeats) != ("McNemar", 3)
    ]
    assert (right["clear"].xs("crossed") == 1).all() and (right["wrong"] == 0).all()
    assert (right["missed"].xs("crossed") <= 2 / 12).all()
    assert (upside_down["wrong"] == upside_down["clear"]).all()
    assert (upside_down["missed"].xs("crossed") == 1).all()
    assert (right["studies"] == 12).all() and (right["decided"] == right["clear"]).all()


def test_a_verdict_of_no_practical_difference_is_wrong_beyond_the_rope():
    wide = rates_of(0.2, 0.2, rope=0.5).loc["crossed", 3]
    assert wide["decided"] == 1 and wide["same_wrong"] == 0
    assert rates_of(0.2, 0.6, rope=0.5).loc["crossed", 3]["same_wrong"] == 1


def test_the_last_row_is_over_all_contrasts():
    studies = [
        replace(study, values={**study.values, "other": study.values["without"]})
        for study in made_up(0.0)
    ]
    contrasts = [GAIN, Contrast("other", "alone", {"with": 1.0, "other": -1.0})]
    truth = {"with": 0.0, "without": 0.0, "other": 1.0}
    rows = validity.rates(studies, contrasts, truth, {"crossed": RULES}, [3])
    assert [row["kind"] for row in rows] == ["alone", "alone", "all"]
    assert rows[1]["missed"] == 1
    assert rows[2]["missed"] == pytest.approx((rows[0]["missed"] + 1) / 2)
    assert rows[2]["clear"] == rows[0]["clear"]  # the other one is no false call
    assert rows[2]["missed_se"] == pytest.approx(rows[0]["missed_se"] / 2)


def test_columns_are_documented():
    assert all(f"    {column}" in validity.__doc__ for column in validity.RATE_COLUMNS)
    looks = Looks(first=2, most=3)
    row = validity.sequential(list(made_up(0.1, 2)), GAIN, 0.1, RULES, looks)
    losses = validity.losses(list(made_up(0.1, 2)), *choice(), RULES, 0.95)
    for column in (*row, *losses[0]):
        assert f"`{column}`" in validity.__doc__, column


# Repeats only where needed.

LOOKS = replace(RULES, looks=Looks(first=2, most=6))


def stop(gain, spread, rope=0.01):
    (study,) = made_up(gain, 1, 6, spread)
    gain = study.values["with"] - study.values["without"]
    return validity.stopped(gain, study.split, replace(LOOKS, rope=rope))


def test_repeats_end_with_the_first_look_that_decides():
    row = stop(0.5, 0.3)
    assert (row["repeats"], row["look"], row["verdict"]) == (2, 1, "helps")
    row = stop(0.0, 0.3, rope=0.5)
    assert (row["repeats"], row["look"], row["verdict"]) == (2, 1, "no practical difference")


def test_repeats_end_where_they_cannot_decide():
    rng = np.random.default_rng(0)
    images = 0.02 + np.tile(rng.normal(0, 0.3, 100), (6, 1))  # alike in all repeats
    row = validity.stopped(images + rng.normal(0, 0.01, images.shape), split(rng, repeats=6), LOOKS)
    assert (row["repeats"], row["verdict"]) == (2, "undecided") and math.isinf(row["more"])


def test_stopping_is_what_all_looks_say_where_repeats_could_decide():
    for study in made_up(0.08, 20, 6, 0.9):
        gain = study.values["with"] - study.values["without"]
        row = validity.stopped(gain, study.split, LOOKS)
        (whole,) = effect_rows(
            [replace(GAIN, kind="pair")], {"with": gain, "without": 0 * gain}, study.split, LOOKS
        )
        assert 2 <= row["repeats"] <= 6
        if not math.isinf(row["more"]):
            assert row["verdict"] == whole["verdict"] and row["look"] == whole["look"]
            assert row["repeats"] == (row["look"] + 1 if row["verdict"] != "undecided" else 6)


def test_sequential_repeats_are_counted():
    studies = list(made_up(0.1, 30, 6, 0.9))
    row = validity.sequential(studies, GAIN, 0.1, RULES, LOOKS.looks)
    assert row["studies"] == 30 and 2 < row["repeats"] <= row["repeats_on"] < 6
    assert row["found_first"] < row["found_fixed"] <= 1
    assert row["found"] <= row["found_on"] and row["wrong"] == 0
    assert row["false"] <= row["false_unbounded"] < 0.3 and row["false"] <= 0.1
    other = validity.sequential(studies, GAIN, -0.1, RULES, LOOKS.looks)
    assert other["found"] == row["found"] == other["wrong"] and other["false"] > 0.9


# What is taken home.


def choice():
    return {"with": ["dropout"], "without": []}, {"with": 0.9, "without": 0.86}


def test_the_loss_is_of_true_score():
    rows = validity.losses(list(made_up(0.2)), *choice(), RULES, 0.95)
    assert {row["rule"]: row["loss"] for row in rows} == dict.fromkeys(
        ["best mean", "best", "simplest, 0.95", "simplest, 0.5"], 0.0
    )
    rows = validity.losses(list(made_up(0.03, spread=1.0)), *choice(), RULES, 0.95)
    of = {row["rule"]: row for row in rows}
    none = 1 - of["simplest, 0.95"]["techniques"]  # share of studies that leave dropout out
    assert none > 0.8 and of["simplest, 0.95"]["loss"] == pytest.approx(0.04 * none)
    assert 0 < of["best mean"]["loss"] <= of["best"]["loss"] < 0.04 * none


# Recorded studies.

STAR = ("000000", "010000", "001000", "000100", "000010", "000001")
STAR += ("011111", "001111", "010111", "011011", "011101", "011110")


@pytest.fixture
def outcomes(tmp_path):
    """A folder with sets b and d, made up: networks are right in 70 % of the cases, and batch norm
    adds 20."""
    folder = tmp_path / "outcomes"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name, repeats, variants in (
        ("b", 10, ("000000", "001000", "011111", "100000")),
        ("d", 3, (*STAR, "100000", "111111")),
    ):
        order = np.array([[rng.permutation(50) for _ in range(repeats)] for _ in range(4)])
        bits = {
            f"c{v}": np.packbits(rng.random(order.shape) < 0.7 + 0.2 * int(v[2])) for v in variants
        }
        np.savez(folder / f"{name}_c.npz", perm=order, **bits)
    return folder


def test_a_set_is_read_as_documented(outcomes):
    read = validate.Outcomes.read(outcomes / "d_c.npz")
    with np.load(outcomes / "d_c.npz") as file:
        order = file["perm"]
        bits = np.unpackbits(file["c011111"]).reshape(4, 3, 50)
    study = list(read.studies(4))[2]
    np.testing.assert_array_equal(study.values["011111"], bits[2])
    np.testing.assert_array_equal(
        np.flatnonzero(study.split.fold[1] == 4), sorted(order[2, 1, 40:])
    )
    assert read.techniques["111111"] == ["placebo", *validate.TECHNIQUES]
    assert read.truth["111111"] == read.truth["011111"] == bits.mean()
    contrasts = read.contrasts(validate.designs.star(validate.TECHNIQUES))
    kinds = [contrast.kind for contrast in contrasts]
    assert {k: kinds.count(k) for k in dict.fromkeys(kinds)} == {
        "main": 5,
        "together": 1,
        "alone": 5,
        "removed": 5,
        "placebo": 2,
    }
    effects = [validity.effect_of(contrast, read.truth) for contrast in contrasts]
    assert effects[-2:] == [0, 0]
    main = contrasts[0].weights  # golden weights
    assert main["000000"] == pytest.approx(-1 / 14) and main["010000"] == pytest.approx(5 / 14)


@pytest.fixture
def tables(outcomes, tmp_path):
    """All tables, of few studies, as they are read back."""
    few = sim.Setting("no effect, five techniques", 3, (3,) * 5, world=SMALL)
    some = sim.Setting("width 3 to 24", 3, (24,), world=SMALL)
    metrics = {metric: rules_of(metric, FROZEN.compare) for metric in validate.METRICS}
    looks = Looks(first=3, most=4)
    made = {
        "recorded": validate.recorded(outcomes / "d_c.npz", 1.0, 3, RULES),
        "sequential": validate.looked_at(outcomes / "b_c.npz", 1.0, looks, 0, RULES),
        "recommended": validate.taken_home(outcomes / "d_c.npz", 1.0, 3, RULES, 0.95),
        "simulated": [row for s in (few, some) for row in validate.simulated(s, 6, 10, metrics)],
        "correlated": validate.correlated(6, RULES),
    }
    for name, rows in made.items():
        pd.DataFrame(rows).to_csv(tmp_path / f"{name}.csv", index=False)
    return {name: pd.read_csv(tmp_path / f"{name}.csv") for name in made}


def test_the_page_says_what_was_counted(tables, tmp_path):
    figure = tmp_path / "validity.png"
    picture = validity_figure("Wrong?", tables, 0.05)
    assert nothing_collides(picture)
    save(picture, figure)
    with Image.open(figure) as image:
        assert image.width == 900 and figure.stat().st_size < 1_000_000
    tables["trained"] = tables["correlated"]
    page = report.page(tables, FROZEN.compare, figure, [])
    rate = tables["recorded"].set_index(["kind", "method"]).loc[("all", "crossed"), "missed"]
    loss = tables["recommended"].set_index(["method", "rule"]).loc[("crossed", "best"), "loss"]
    for text in (
        f"**Of 4 fresh studies of a small CNN, whose true effects are known, {rate * 100:.1f} %",
        "Sets a, b and c (131,100 trainings) chose the guard. Set d, of fresh seeds,\nconfirmed it",
        "Monte Carlo error",
        "| main | batchnorm | +",
        "| placebo | other seeds | 0 |",
        f"loses {loss * 100:.2f} points of true accuracy",
        "| 3 | all techniques (together) | +",
        "| width 3 to 24 | +",
        "macro_f1, mcc",
        "Bengio",
        "6 studies of one repeat",
        "](validity.png)",
    ):
        assert text in page.replace("\n", " ") or text in page, text
    assert "lacking" not in page and "nan" not in page


def test_what_was_not_there_is_said(tables, tmp_path):
    figure = tmp_path / "validity.png"
    picture = validity_figure("Wrong?", {k: tables[k] for k in ("simulated",)}, 0.05)
    assert nothing_collides(picture)
    save(picture, figure)
    page = report.page(tables, FROZEN.compare, figure, ["a", "d"])
    assert "Recorded outcomes were lacking: sets a, d" in page
    assert "What is said of d was counted before. Of a nothing can be said." in page
    bare = {name: tables[name] for name in ("simulated", "correlated")}
    page = report.page(bare, FROZEN.compare, figure, list(validate.SETS))
    assert "Of a, b, c, d nothing can be said" in page and "## Simulated studies" in page
    assert "fresh" not in page


def test_the_command_keeps_what_it_cannot_count(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(FILE, "params.yaml")
    validate.FOLDER.mkdir(parents=True)
    committed = "set,images,method\na,300,crossed\n"
    (validate.FOLDER / "recommended.csv").write_text(committed)
    monkeypatch.setattr(validate, "draw", lambda outcomes: None)
    monkeypatch.setattr(validate, "SETTINGS", validate.SETTINGS[:1])
    validate.main(["--share", "0.001", "--outcomes", str(tmp_path / "nowhere")])
    said = capsys.readouterr().err
    assert f"{tmp_path / 'nowhere'} lacks a_c.npz, b_c.npz, c_c.npz, d_c.npz" in said
    assert (validate.FOLDER / "recommended.csv").read_text() == committed
    simulated = pd.read_csv(validate.FOLDER / "simulated.csv")
    assert set(simulated["metric"]) == set(validate.METRICS) and (simulated["studies"] == 2).all()


def test_sets_that_were_not_counted_keep_their_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(validate, "FOLDER", tmp_path)
    old = pd.DataFrame({"set": ["a", "a, factorial", "d"], "missed": [0.1, 0.2, 0.3]})
    old.to_csv(tmp_path / "recorded.csv", index=False)
    new = pd.DataFrame({"set": ["c", "a"], "missed": [0.5, 0.4]})
    validate.write({"recorded": new})
    written = pd.read_csv(tmp_path / "recorded.csv")
    assert written.values.tolist() == [["a", 0.4], ["c", 0.5], ["d", 0.3]]


def test_tasks_are_those_of_the_sets_that_are_there(outcomes):
    tasks = validate.tasks_of(outcomes, 1.0, FROZEN)
    sets = {task.given[0].name for task in tasks if hasattr(task.given[0], "name")}
    names = [task.table for task in tasks]
    assert {"b_c.npz", "d_c.npz"} <= sets and "a_c.npz" not in sets
    assert names.count("sequential") == 10 and names.count("recorded") == 5
    assert names.count("recommended") == 2 and names.count("correlated") == 1
    assert names.count("simulated") == len(validate.SETTINGS)


@pytest.mark.skipif(bool(validate.lacking(OUTCOMES)), reason=f"no recorded outcomes in {OUTCOMES}")
def test_the_rates_that_the_guard_was_chosen_by():
    """Rates of shared/statistics.md, within Monte Carlo error: 60 of 160 studies."""
    rows = pd.DataFrame(validate.recorded(OUTCOMES / "d_c.npz", 60 / 160, 3, RULES))
    of = rows.set_index(["method", "kind", "contrast"])
    for method, rate in (("crossed", 0.019), ("corrected t", 0.0003)):
        row = of.loc[method, "all", "mean"]
        assert row["missed"] == pytest.approx(rate, abs=3 * max(row["missed_se"], 0.003))
    for method, share in (("crossed", 0.88), ("corrected t", 0.17)):
        error = math.sqrt(share * (1 - share) / 60)
        found = of.loc[method, "main", "batchnorm"]["clear"]
        assert found == pytest.approx(share, abs=3 * error)
    assert of.loc["crossed", "main", "batchnorm"]["effect"] == pytest.approx(0.039, abs=0.0005)
    assert (rows["wrong"][rows["method"] == "crossed"] == 0).all()


@pytest.mark.skipif(bool(validate.lacking(OUTCOMES)), reason=f"no recorded outcomes in {OUTCOMES}")
def test_all_effects_together_take_few_repeats():
    looks = Looks(first=3, most=10)
    (row,) = validate.looked_at(OUTCOMES / "b_c.npz", 10 / 120, looks, 0, RULES)
    assert (row["kind"], row["found"]) == ("together", 1) and row["repeats"] < 4
    assert row["effect"] == pytest.approx(0.054, abs=0.0005)
