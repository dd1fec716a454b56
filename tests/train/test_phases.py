"""Training from a backbone: what moves when, from images and from stored features."""

import math
from dataclasses import replace

import numpy as np
import pytest

from cnnlab.recipe.network import weights_of
from cnnlab.recipe.recipe import Phase
from cnnlab.recipe.techniques import starts
from cnnlab.records import Checkpoint, Trial
from cnnlab.train import features, phases
from cnnlab.train import fit as fitting
from cnnlab.train.fit import fit
from cnnlab.train.tasks import classification
from tests import made_up
from tests.made_up import data as some_data

QUICK = {"epochs": 1, "head_epochs": 1, "learning_rate": 0.01, "head_learning_rate": 0.01}


def sections(stored=None, norm="fixed", epochs=1):
    """Of a small network whose backbone has learnt with batch norm."""
    changes = {"features": stored, "techniques": ["batchnorm"], "epochs": 2}
    hyperparameters = QUICK | {"batchnorm": norm, "epochs": epochs, "head_epochs": epochs}
    return replace(
        made_up.sections(backbone=changes),
        model=made_up.model("vgg", filters=[8, 8, 8], convs=1),
        techniques=made_up.techniques(**hyperparameters),
    )


def recipe(name, *techniques, stored=None, norm="fixed", epochs=1):
    return sections(stored, norm, epochs).recipe([name, *techniques])


FROM_BACKBONE = [name for name in starts() if recipe(name).phases]
LEARNT = sections().pretraining()
CONVS = ["conv1_1", "conv2_1", "conv3_1"]  # from bottom to top


def normalised(*convs):
    return {*convs, *(f"{name}_batchnormalization" for name in convs)}


@pytest.fixture(scope="module")
def backbone():
    """Layer -> arrays of a whole network that has learnt, its head of other classes included."""
    return weights_of(fit(LEARNT, some_data(classes=2, seed=4), seed=7).model)


def body(weights):
    return {name: arrays for name, arrays in weights.items() if name.startswith("conv")}


def moves(backbone, fitted):
    """Layer of the backbone -> how far it moved."""
    after = weights_of(fitted.model)
    return {
        name: max(np.abs(a - b).max() for a, b in zip(arrays, after[name], strict=True))
        for name, arrays in body(backbone).items()
    }


def moved(backbone, fitted):
    return {name for name, far in moves(backbone, fitted).items() if far > 0}


def test_there_are_starts_from_a_backbone_and_one_that_is_none():
    assert len(FROM_BACKBONE) >= 5 and "untrained" in set(starts()) - set(FROM_BACKBONE)
    assert set(body(dict.fromkeys(normalised(*CONVS)))) == normalised(*CONVS)


@pytest.mark.parametrize("name", FROM_BACKBONE)
@pytest.mark.parametrize(("norm", "stored"), [("fixed", 0), ("learning", None)])
def test_weights_and_statistics_move_as_the_phases_say(backbone, tmp_path, name, norm, stored):
    made = recipe(name, stored=stored, norm=norm)
    fitted = phases.train(made, some_data(seed=5), 1, backbone, tmp_path)
    expected = set()
    for phase in made.phases:
        convs = CONVS[len(CONVS) - math.ceil(phase.learning * len(CONVS)) :]
        expected |= normalised(*convs) if phase.batchnorm == "learning" else set(convs)
    assert moved(backbone, fitted) == expected
    assert [entry["epoch"] for entry in fitted.history] == list(range(1, made.epochs + 1))
    numbers = [number for number, p in enumerate(made.phases, 1) for _ in range(p.epochs)]
    assert [entry["phase"] for entry in fitted.history] == numbers
    head = weights_of(fitted.model)["logits"][0]
    assert head.shape[1] == 3  # the backbone's was of 2 classes
    assert fitted.outputs.shape == (8, 3)


@pytest.mark.parametrize("name", ["lp_ft", "gradual"])
def test_networks_of_all_phases_are_compiled_once_and_leak_nothing(backbone, tmp_path, name):
    """Trials go through the phases in turns, other variants between them."""
    made, data = recipe(name, stored=0), some_data()

    def train(seed):
        fitted = phases.train(made, data, seed, backbone, tmp_path)
        return fitted.outputs, fitted.history, fitted.model.get_weights()

    fitting._compiled.cache_clear()
    first = train(1)
    compiled = fitting._compiled.cache_info().misses
    assert compiled == len(made.phases) > 1
    train(2)
    fit(sections().recipe([]), data, seed=1)
    again = train(1)
    assert fitting._compiled.cache_info().misses == compiled + 1
    for one, other in zip(first, again, strict=True):
        np.testing.assert_equal(other, one)


@pytest.mark.parametrize(("learning", "expected"), [(0.3, 1), (0.4, 2)])
def test_a_phase_unfreezes_from_the_top(backbone, tmp_path, learning, expected):
    made = replace(LEARNT, phases=(Phase(1, 0.01, learning, "learning"),))
    fitted = phases.train(made, some_data(), 1, backbone, tmp_path)
    assert moved(backbone, fitted) == normalised(*CONVS[len(CONVS) - expected :])


def test_rates_fall_with_depth_as_said(backbone, tmp_path):
    data = some_data()
    one = replace(LEARNT, batch_size=len(data.train))  # a single step of adam
    steps = {}
    for lowest in (1.0, 0.001):
        made = replace(one, phases=(Phase(1, 0.01, 1.0, lowest=lowest),))
        steps[lowest] = moves(backbone, phases.train(made, data, 1, backbone, tmp_path))
    ratios = [steps[0.001][name] / steps[1.0][name] for name in CONVS]
    np.testing.assert_allclose(ratios, [0.001, 0.001**0.5, 1], rtol=1e-2)


def test_the_peak_of_one_cycle_is_a_multiple_of_every_phase_s_learning_rate():
    with_cycle = sections(stored=0)
    one_cycle = with_cycle.techniques.one_cycle
    for name in starts():
        made = with_cycle.recipe([name, "one_cycle"])
        plan = made.phases or (Phase(made.epochs, made.learning_rate),)
        for number, phase in enumerate(plan, 1):
            longer = tuple(replace(p, epochs=100) for p in made.phases)
            net = fitting._compiled(
                replace(made, phases=longer, epochs=100),
                number if made.phases else 0,
                (8, 8, 1),
                3,
                4,
                classification,
            )
            schedule = net.optimizer._learning_rate
            rates = [float(schedule(step)) for step in range(0, 400, 40)]
            assert max(rates) == pytest.approx(phase.learning_rate * one_cycle.peak, rel=0.01)
            assert rates[0] == pytest.approx(max(rates) * one_cycle.start, rel=0.01)


def test_early_stopping_holds_the_same_images_back_in_all_phases(backbone, tmp_path, monkeypatch):
    made = recipe("gradual", "early_stopping", stored=0, epochs=3)
    really, seen = fitting._split, []

    def split(data, *rest):
        train, held_back = really(data, *rest)
        seen.append((data.are_images, sorted(train), sorted(held_back)))
        return train, held_back

    monkeypatch.setattr(fitting, "_split", split)
    data = replace(some_data(60), groups=np.arange(60) // 6)
    fitted = phases.train(made, data, 1, backbone, tmp_path)
    assert [images for images, *_ in seen] == [False, True, True]
    assert len({str(rows) for _, *rows in seen}) == 1
    train, held_back = seen[0][1:]
    assert held_back and sorted([*train, *held_back]) == sorted(data.train)
    assert not set(data.groups[train]) & set(data.groups[held_back])
    assert all("stopping_nll" in entry for entry in fitted.history)


def test_stored_features_give_what_images_give(backbone, tmp_path):
    data = some_data()
    by = {
        stored: phases.train(recipe("freeze", stored=stored, epochs=2), data, 1, backbone, tmp_path)
        for stored in (None, 0)
    }
    np.testing.assert_allclose(by[0].outputs, by[None].outputs, atol=1e-4)
    assert by[0].final.keys() == by[None].final.keys()
    for name, value in by[None].final.items():
        if name != "preactivation_drift":  # of the head alone
            assert by[0].final[name] == pytest.approx(value, abs=1e-3), name
    after = [weights_of(by[stored].model) for stored in (None, 0)]
    assert after[0].keys() == after[1].keys() > body(backbone).keys()
    for name, arrays in after[0].items():
        for a, b in zip(arrays, after[1][name], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_features_are_float32_of_the_clean_image_and_its_draws(backbone, tmp_path):
    data = some_data()
    held = {}
    for stored, techniques in ((0, ()), (2, ("shift",))):
        made = recipe("freeze", *techniques, stored=stored)
        weights = phases.body_weights(made, data, backbone)
        assert weights.keys() == body(backbone).keys()
        held[stored] = features.stored(made, weights, data.inputs, tmp_path)
        assert held[stored].dtype == np.float32
        assert held[stored].shape == (len(data.inputs), 1 + stored, 8)
    np.testing.assert_array_equal(held[0][:, 0], held[2][:, 0])
    assert (np.ptp(held[2], axis=1).max(-1) > 0).all()
    assert not np.array_equal(held[2][:, 1], held[2][:, 2])


def test_features_are_computed_once_and_shared(backbone, tmp_path, monkeypatch):
    phases.train(recipe("freeze", stored=0), some_data(), 1, backbone, tmp_path)
    (file,) = tmp_path.glob("*.npy")

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(features, "_compute", refuse)
    data = some_data()
    other_fold = replace(data, train=data.held_out, held_out=data.train)
    phases.train(recipe("lp_ft", "l2", stored=0), other_fold, 2, backbone, tmp_path)
    changed = {name: [a + 1 for a in arrays] for name, arrays in backbone.items()}
    for weights, seen in ((changed, data), (backbone, some_data(seed=9))):
        with pytest.raises(AssertionError, match="computed again"):
            phases.train(recipe("freeze", stored=0), seen, 1, weights, tmp_path)
    assert list(tmp_path.glob("*.npy")) == [file]


def test_the_head_learns_from_augmented_draws_and_is_shown_the_clean_image(backbone, tmp_path):
    data = some_data()
    drawn, clean = (
        phases.train(recipe("freeze", *on, stored=n), data, 1, backbone, tmp_path)
        for n, on in ((2, ["shift"]), (0, []))
    )
    logits = drawn.model(data.inputs[data.held_out].astype(np.float32), training=False).numpy()
    odds = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(odds, drawn.outputs, atol=1e-4)
    assert not np.allclose(clean.outputs, drawn.outputs, atol=1e-4)


class Stops(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 3])
def test_a_trial_that_was_cut_off_goes_on_to_the_same_bits(backbone, tmp_path, stop):
    made, data = recipe("lp_ft", "ema", stored=0, epochs=2), some_data()
    whole = phases.train(made, data, 1, backbone, tmp_path)
    expected = weights_of(whole.model)

    def cut(entry):
        if entry["epoch"] > stop:
            raise Stops

    kept = Checkpoint(tmp_path, Trial("lp_ft", 0, 0, 0), "mark", seconds=0)
    with pytest.raises(Stops):
        phases.train(made, data, 1, backbone, tmp_path, kept, cut)
    seen = []
    again = phases.train(made, data, 1, backbone, tmp_path, kept, seen.append)
    assert seen == again.history == whole.history
    found = weights_of(again.model)
    for name, arrays in expected.items():
        assert all(np.array_equal(a, b) for a, b in zip(arrays, found[name], strict=True))
