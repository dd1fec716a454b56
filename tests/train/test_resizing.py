"""Training on smaller images first: which images a stretch sees, and what it goes on from."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab.errors import UserError
from cnnlab.recipe.network import weights_of
from cnnlab.records import Checkpoint, Trial
from cnnlab.records.fingerprint import FIT, PHASES
from cnnlab.run import job
from cnnlab.run.job import RESIZING, Job, trained_by
from cnnlab.train import resizing
from cnnlab.train.fit import fit
from tests import made_up
from tests.made_up import data as some_data

NAME = "progressive_resizing"


def sections():
    made = made_up.sections(backbone={"features": None, "epochs": 2})
    some = made_up.techniques(share=0.5, scale=0.5, epochs=4, head_epochs=2, learning_rate=0.01)
    return replace(made, techniques=some, model=made_up.model("resnet", filters=[4, 4], blocks=1))


def recipe(*names, **changes):
    return replace(sections().recipe([NAME, *names]), **changes)


@pytest.fixture
def seen(monkeypatch):
    """What `fit` is asked for: (images, net options, epochs, names of the start) of each call."""
    calls = []

    def watched(used, data, seed, start, number, **rest):
        calls.append((data.inputs, used.net_options, used.phases[number - 1].epochs, set(start)))
        return fit(used, data, seed, start, number, **rest)

    monkeypatch.setattr(resizing, "fit", watched)
    return calls


def test_the_first_epochs_see_small_images_and_the_others_whole_ones(seen, tmp_path):
    data = some_data()
    done = resizing.train(recipe(epochs=5), data, 1, {}, tmp_path)
    assert [(images.shape[1:3], epochs) for images, _, epochs, _ in seen] == [
        ((4, 4), 2),
        ((8, 8), 3),
    ]
    assert seen[1][0] is data.inputs
    assert not seen[0][3] and "conv1_1a" in seen[1][3]  # the second begins where the first ended
    assert [entry["epoch"] for entry in done.history] == [1, 2, 3, 4, 5]
    assert [entry["phase"] for entry in done.history] == [1, 1, 2, 2, 2]
    assert done.model.input_shape[1:3] == (8, 8)


def test_small_images_are_means_of_the_pixels_that_they_stand_for():
    images = np.repeat(np.repeat(np.array([[10, 20], [30, 250]], np.uint8), 8, 0), 8, 1)
    (small,) = resizing._resized(images[None, ..., None], (4, 4), None)
    assert small.dtype == np.uint8 and small.shape == (4, 4, 1)
    assert [small[0, 0, 0], small[0, 3, 0], small[3, 0, 0], small[3, 3, 0]] == [10, 20, 30, 250]
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), np.uint8)
    assert resizing._resized(noise, (16, 16), None).std() < noise.std() / 2  # not each fourth pixel


def test_a_network_of_one_size_sees_small_images_enlarged_again(seen, tmp_path):
    given = replace(sections(), model=made_up.model("vgg", filters=[4, 4], convs=1))
    data = some_data()
    resizing.train(replace(given.recipe([NAME]), epochs=2), data, 1, {}, tmp_path)
    (first, *_), (second, *_) = seen
    assert first.shape == data.inputs.shape and second is data.inputs
    assert 0 < first.std(axis=(1, 2)).mean() < data.inputs.std(axis=(1, 2)).mean() / 1.5


def test_a_network_with_a_size_of_its_own_is_asked_for_a_smaller_one(seen, tmp_path):
    net = {"name": "MobileNet", "cut": "conv_pw_1_relu", "size": 64}
    given = replace(sections(), model=made_up.model("application", **net))
    made = replace(given.recipe([NAME]), epochs=2)
    data = some_data(12, channels=3)
    resizing.train(made, data, 1, {}, tmp_path)
    assert [options["size"] for _, options, _, _ in seen] == [32, 64]
    assert all(images is data.inputs for images, *_ in seen)


def test_of_a_start_only_phases_in_which_the_backbone_learns_are_split(seen, tmp_path):
    made = recipe("lp_ft")
    backbone = weights_of(fit(sections().pretraining(), some_data(seed=4), seed=7).model)
    resizing.train(made, some_data(), 1, backbone, tmp_path)
    assert [(images.shape[1], epochs) for images, _, epochs, _ in seen] == [(8, 2), (4, 2), (8, 2)]
    assert "conv1_1a" in seen[0][3] and "logits" not in seen[0][3]


def test_its_own_code_is_part_of_its_fingerprint_and_of_no_other(monkeypatch):
    given = sections()
    assert trained_by(recipe()) == trained_by(recipe("finetune")) == RESIZING
    assert trained_by(given.recipe(["finetune"])) == PHASES
    assert trained_by(given.recipe(["rotation"])) == FIT

    def starts():
        made = [recipe(), given.recipe(["rotation"])]
        return [Job("v", r, None, None, 1, 0, "CPU")._start() for r in made]

    before = starts()
    monkeypatch.setattr(job, "code", lambda modules: dict.fromkeys(modules, "another"))
    assert [a == b for a, b in zip(before, starts(), strict=True)] == [False, True]


def test_where_it_cannot_act_it_is_refused():
    with pytest.raises(UserError, match=f"technique {NAME}: the whole backbone is frozen"):
        recipe("freeze")
    short = replace(sections(), train=sections().train.model_copy(update={"epochs": 1}))
    with pytest.raises(UserError, match=f"technique {NAME}: .* need 2 epochs or more.* is 1"):
        short.recipe([NAME])


class Stops(Exception):
    pass


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_a_trial_that_was_cut_off_goes_on_to_the_same_bits(tmp_path, stop):
    made, data = recipe("ema", epochs=4), some_data()
    whole = resizing.train(made, data, 1, {}, tmp_path)
    expected = weights_of(whole.model)

    def cut(entry):
        if entry["epoch"] > stop:
            raise Stops

    kept = Checkpoint(tmp_path, Trial("variant", 0, 0, 0), "mark", seconds=0)
    with pytest.raises(Stops):
        resizing.train(made, data, 1, {}, tmp_path, kept, cut)
    seen = []
    again = resizing.train(made, data, 1, {}, tmp_path, kept, seen.append)
    assert seen == again.history == whole.history
    for name, arrays in weights_of(again.model).items():
        assert all(np.array_equal(a, b) for a, b in zip(arrays, expected[name], strict=True))
