"""The learning-rate finder: on courses of the loss that are known, and on a small network."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cnnlab import find_lr
from cnnlab.errors import UserError
from cnnlab.find_lr import said, suggest
from cnnlab.look.figure import save
from cnnlab.look.rates import rates_figure
from cnnlab.recipe.network import weights_of
from cnnlab.train.fit import fit
from cnnlab.train.rates import rising
from tests import made_up

RATES = np.geomspace(1e-6, 10, 400)


def course(falls=1e-2, leaves=1.0):
    """A loss that falls from 2 to 0.4 around one rate and takes off at another."""
    fall = 1 / (1 + (RATES / falls) ** 2)
    return 0.4 + 1.6 * fall + np.where(leaves < RATES, 40 * np.log(RATES / leaves + 1e-9), 0)


def test_a_course_that_is_known_gives_its_rates():
    found = suggest(RATES, course())
    assert found.steepest == pytest.approx(1e-2, rel=0.1)
    assert 0.8 < found.diverges < 1.2 and found.tenth == found.diverges / 10
    assert len(found.smooth) == len(RATES)


def test_a_loss_that_is_no_number_has_diverged_there():
    losses = course(leaves=100)
    losses[350] = math.nan
    found = suggest(RATES, losses[:351])
    assert found.diverges == RATES[350] and np.isfinite(found.smooth).all()


def test_a_loss_that_stays_diverges_nowhere_and_that_is_said():
    found = suggest(RATES, course(leaves=100))
    assert found.diverges is None and found.tenth is None
    lines = said("dropout", found, 0.003, 10)
    assert (
        "it diverges at no rate up to 10" in lines and lines[-1] == "params.yaml has 0.003 for it"
    )


def test_noise_does_not_move_it_far():
    noise = np.random.default_rng(0).normal(0, 0.1, len(RATES))
    assert 5e-3 < suggest(RATES, course() + noise).steepest < 2e-2


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        (np.array([2.0, math.inf]), "--lowest must be lower"),
        (np.linspace(2, 3, 400), "--highest must be higher"),
    ],
)
def test_courses_that_say_nothing_are_refused(losses, words):
    with pytest.raises(UserError, match=words):
        suggest(RATES, losses)


def test_what_was_found_is_drawn(tmp_path):
    losses, found = course(), suggest(RATES, course())
    shown, marks = len(found.smooth), {"steepest": found.steepest, "a tenth": found.tenth}
    picture = rates_figure("a study", RATES[:shown], losses[:shown], found.smooth, marks)
    assert f"steepest: {found.steepest:.2g}" in picture.alt
    lines = [line.get_xdata()[0] for line in picture.figure.axes[0].lines]
    assert set(marks.values()) <= set(lines)
    save(picture, tmp_path / "rates.png")


def test_losses_are_those_of_a_training_at_these_rates():
    """At one rate that stays, the mean of an epoch's losses is what `fit` calls the objective."""
    data = made_up.data(40)
    recipe = replace(made_up.sections().recipe([]), epochs=1, learning_rate=0.01)
    losses = list(rising(recipe, data, 3, np.full(4, 0.01)))
    sizes = [8, 8, 8, 8]
    assert np.average(losses, weights=sizes) == pytest.approx(
        fit(recipe, data, 3).history[0]["objective"], rel=1e-4
    )
    higher = list(rising(recipe, data, 3, np.array([0.01, 0.1, 0.1, 0.1])))
    assert higher[:2] == pytest.approx(losses[:2], rel=1e-5) and higher[2] != losses[2]


def test_what_would_set_the_rate_itself_takes_no_part():
    data, sections = made_up.data(40), made_up.sections()
    plain, with_schedule = (
        list(rising(sections.recipe(names), data, 3, np.full(3, 0.01)))
        for names in ([], ["cosine", "early_stopping", "ema"])
    )
    assert with_schedule == pytest.approx(plain, rel=1e-5)


def test_a_start_begins_at_the_backbone():
    data, sections = made_up.data(40), made_up.sections()
    longer = replace(sections.recipe([]), epochs=40, learning_rate=0.01)
    backbone = weights_of(fit(longer, data, 7).model)  # with the head, so that it shows in the loss
    recipe = sections.recipe(["finetune"])
    one, other = (next(rising(recipe, data, 3, np.ones(1), s)) for s in (backbone, None))
    assert one < 0.8 * other


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["--lowest", "0"], "--lowest 0: allowed"), (["--steps", "10"], "--steps 10: allowed")],
)
def test_bad_arguments_are_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        find_lr.main(arguments)


def test_without_folds_it_says_what_to_run(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_bytes(made_up.FILE.read_bytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="run `dvc repro kfold` first"):
        find_lr.main([])
    with pytest.raises(UserError, match="nonesuch"):
        find_lr.main(["nonesuch"])
