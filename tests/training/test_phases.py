"""Transfer's phases: what moves when, from images and from stored features."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab import params
from cnnlab.strategies import STRATEGIES, plan
from cnnlab.training import features, phases, transferred
from cnnlab.training import recipe as recipes
from cnnlab.training.fit import Data, fit
from cnnlab.training.recipe import Phase
from cnnlab.training.records import Checkpoint
from cnnlab.training.trial import Trial

P = params.read()
SMALL = {**recipes.base(P.model, P.train).net_options, "filters": [4, 4], "dense": [8]}
BASE = replace(recipes.base(P.model, P.train), net_options=SMALL, epochs=2, batch_size=8)
BASE = BASE.inserting("conv", "BatchNormalization", momentum=0.9)
CONVS = ["conv1_1", "conv1_2", "conv2_1", "conv2_2"]  # from bottom to top
OPTIONS = {"epochs": 2, "learning_rate": 0.01, "batchnorm": "fixed", "lowest": 0.01, "steps": 2}
OPTIONS |= {"head_epochs": 2, "head_learning_rate": 0.01}


def some_data(n=40, classes=3, seed=0):
    """Noise images whose mean brightness tells the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 60, (n, 8, 8, 1)) + labels[:, None, None, None] * 60
    rows = rng.permutation(n)
    return Data(images.astype(np.uint8), labels, rows[: n * 4 // 5], rows[n * 4 // 5 :], classes)


@pytest.fixture(scope="module")
def backbone():
    fitted = fit(BASE, some_data(seed=4), seed=7)
    held = transferred.held(fitted.model)
    return {name: held[name] for name in held if transferred.in_conv_part(name)}


def strategy(name, stored=None, target=BASE, **changes):
    module = STRATEGIES[name]
    options = {k: v for k, v in (OPTIONS | changes).items() if k in module.Options.model_fields}
    return plan(name, target, module.Options(**options), stored)


def moves(backbone, fitted):
    """Layer -> how far it moved."""
    after = transferred.held(fitted.model)
    return {
        name: max(np.abs(a - b).max() for a, b in zip(arrays, after[name], strict=True))
        for name, arrays in backbone.items()
    }


def moved(backbone, fitted):
    return {name for name, far in moves(backbone, fitted).items() if far > 0}


NORMS = {f"{name}_batchnormalization" for name in CONVS}
MOVED = {  # with batch norm fixed, and learning; a new strategy needs a line here
    "freeze": (set(), set()),
    "finetune": (set(CONVS), {*CONVS, *NORMS}),
    "lp_ft": (set(CONVS), {*CONVS, *NORMS}),
    "gradual": (set(CONVS), {*CONVS, *NORMS}),
    "discriminative": (set(CONVS), {*CONVS, *NORMS}),
}


@pytest.mark.parametrize("name", [n for n in STRATEGIES.names() if n != "scratch"])
@pytest.mark.parametrize(("batchnorm", "stored"), [("fixed", 0), ("learning", None)])
def test_weights_and_statistics_move_as_the_strategy_says(
    backbone, tmp_path, name, batchnorm, stored
):
    made = strategy(name, stored, batchnorm=batchnorm, epochs=1, head_epochs=1)
    fitted = phases.train(made, some_data(seed=5), 1, backbone, tmp_path)
    assert moved(backbone, fitted) == MOVED[name][batchnorm == "learning"]
    assert [entry["epoch"] for entry in fitted.history] == list(range(1, made.epochs + 1))
    said = [number for number, p in enumerate(made.phases, 1) for _ in range(p.epochs)]
    assert [entry["phase"] for entry in fitted.history] == said


@pytest.mark.parametrize(("learning", "expected"), [(0.25, 1), (0.3, 2)])
def test_a_phase_unfreezes_from_the_top(backbone, tmp_path, learning, expected):
    made = replace(BASE, phases=(Phase(1, 0.01, learning, "learning"),))
    fitted = phases.train(made, some_data(), 1, backbone, tmp_path)
    top = CONVS[len(CONVS) - expected :]
    assert moved(backbone, fitted) == {*top, *(f"{name}_batchnormalization" for name in top)}


def test_rates_fall_with_depth_as_said(backbone, tmp_path):
    data = some_data()
    one = replace(BASE, batch_size=len(data.train))  # a single step of adam
    steps = {}
    for lowest in (1.0, 0.001):
        made = replace(one, phases=(Phase(1, 0.01, 1.0, lowest=lowest),))
        steps[lowest] = moves(backbone, phases.train(made, data, 1, backbone, tmp_path))
    ratios = [steps[0.001][name] / steps[1.0][name] for name in CONVS]
    np.testing.assert_allclose(ratios, [0.001, 0.01, 0.1, 1], rtol=1e-2)


def test_stored_features_give_what_images_give(backbone, tmp_path):
    data = some_data()
    by = {
        stored: phases.train(strategy("freeze", stored), data, 1, backbone, tmp_path)
        for stored in (None, 0)
    }
    np.testing.assert_allclose(by[0].probabilities, by[None].probabilities, atol=1e-4)
    assert by[0].final.keys() == by[None].final.keys()
    for name, value in by[None].final.items():
        if name != "preactivation_drift":  # of the head alone
            assert by[0].final[name] == pytest.approx(value, abs=1e-3), name
    after = [transferred.held(by[stored].model) for stored in (None, 0)]
    for name, arrays in after[0].items():
        for a, b in zip(arrays, after[1][name], strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)


def test_features_are_computed_once_and_shared(backbone, tmp_path, monkeypatch):
    phases.train(strategy("freeze", 0), some_data(), 1, backbone, tmp_path)
    (file,) = tmp_path.glob("*.npy")

    def refuse(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(features, "_compute", refuse)
    data = some_data()
    other_fold = replace(data, train=data.judged, judged=data.train)
    phases.train(strategy("lp_ft", 0), other_fold, 2, backbone, tmp_path)
    changed = {name: [a + 1 for a in arrays] for name, arrays in backbone.items()}
    for weights, seen in ((changed, data), (backbone, some_data(seed=9))):
        with pytest.raises(AssertionError, match="computed again"):
            phases.train(strategy("freeze", 0), seen, 1, weights, tmp_path)
    assert list(tmp_path.glob("*.npy")) == [file]


def test_draws_are_of_augmented_images_and_inference_sees_the_clean_one(backbone, tmp_path):
    data = some_data()
    target = BASE.augmenting("shift", fraction=0.3)
    fitted = phases.train(strategy("freeze", 2, target), data, 1, backbone, tmp_path)
    (file,) = tmp_path.glob("*.npy")
    numbers = np.load(file).view(np.float32)[..., 0]  # (n, 1 + draws, units)
    assert numbers.shape[:2] == (len(data.images), 3)
    assert (np.ptp(numbers, axis=1).max(-1) > 0).all()
    plain = phases.train(strategy("freeze", 0), data, 1, backbone, tmp_path / "clean")
    (clean,) = (tmp_path / "clean").glob("*.npy")
    assert np.array_equal(np.load(clean).view(np.float32)[:, 0, :, 0], numbers[:, 0])
    logits = fitted.model(data.images[data.judged].astype(np.float32), training=False).numpy()
    assert np.array_equal(logits.argmax(1), fitted.probabilities.argmax(1))
    assert not np.allclose(plain.probabilities, fitted.probabilities, atol=1e-4)


class Stops(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_trial_that_was_cut_off_goes_on_to_the_same_bits(backbone, tmp_path, stop):
    made, data = strategy("lp_ft", 0), some_data()
    whole = phases.train(made, data, 1, backbone, tmp_path)
    expected = transferred.held(whole.model)

    def cut(entry):
        if entry["epoch"] > stop:
            raise Stops

    kept = Checkpoint(tmp_path, Trial("lp_ft", 0, 0, 0), "mark", seconds=0)
    with pytest.raises(Stops):
        phases.train(made, data, 1, backbone, tmp_path, kept, cut)
    seen = []
    again = phases.train(made, data, 1, backbone, tmp_path, kept, seen.append)
    assert seen == again.history == whole.history
    found = transferred.held(again.model)
    for name, arrays in expected.items():
        assert all(np.array_equal(a, b) for a, b in zip(arrays, found[name], strict=True))
