"""The one `fit`: what it may depend on, and what it may not."""

from dataclasses import replace

import numpy as np
import pytest

from cnnlab import params
from cnnlab.strategies import STRATEGIES
from cnnlab.training import fit as fitting
from cnnlab.training import recipe as recipes
from cnnlab.training.fit import Data, conv_part, fit
from cnnlab.training.records import Checkpoint
from cnnlab.training.trial import Trial

P = params.read()
SMALL = {**recipes.base(P.model, P.train).net_options, "filters": [4, 4], "dense": [8]}
BASE = replace(recipes.base(P.model, P.train), net_options=SMALL, epochs=3, batch_size=8)
EVERYTHING = recipes.apply(BASE, recipes.chosen(P.techniques), P.techniques)


def some_data(n=40, classes=3, seed=0):
    """Noise images whose mean brightness tells the class."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    images = rng.integers(0, 60, (n, 8, 8, 1)) + labels[:, None, None, None] * 60
    rows = rng.permutation(n)
    split = n * 4 // 5
    return Data(images.astype(np.uint8), labels, rows[:split], rows[split:], classes)


def weights(fitted):
    return [np.copy(w) for w in fitted.model.get_weights()]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("recipe", [BASE, EVERYTHING], ids=["base", "everything"])
def test_same_seed_same_bits_and_a_reused_net_leaks_nothing(recipe):
    data = some_data()
    first = fit(recipe, data, seed=1)
    start, probabilities = weights(first), first.probabilities
    other = fit(recipe, data, seed=2)  # the compiled net is used again
    assert not same(start, weights(other))
    again = fit(recipe, data, seed=1)
    assert same(start, weights(again))
    assert np.array_equal(probabilities, again.probabilities)
    assert again.history == first.history


@pytest.mark.parametrize("recipe", [BASE, EVERYTHING], ids=["base", "everything"])
def test_the_judged_fold_teaches_nothing(recipe):
    data = some_data()
    clean = weights(fit(recipe, data, seed=1))
    rng = np.random.default_rng(9)
    images, labels = data.images.copy(), data.labels.copy()
    images[data.judged] = rng.integers(0, 256, images[data.judged].shape)
    labels[data.judged] = rng.permutation(labels[data.judged])
    spoilt = replace(data, images=images, labels=labels)
    assert same(clean, weights(fit(recipe, spoilt, seed=1)))


def test_a_pool_that_stays_in_its_file_gives_the_same_bits(tmp_path, monkeypatch):
    data = some_data()
    held = fit(EVERYTHING, data, seed=1)
    expected = weights(held)
    np.save(tmp_path / "images.npy", data.images)
    monkeypatch.setattr(fitting, "RESIDENT", 0)
    monkeypatch.setattr(fitting.tf, "gather", forbid_large(fitting.tf.gather, data.images.shape))
    mapped = replace(data, images=np.load(tmp_path / "images.npy", mmap_mode="r"))
    read = fit(EVERYTHING, mapped, seed=1)
    assert same(expected, weights(read)) and held.history == read.history


def forbid_large(gather, shape):
    """`tf.gather` that refuses a pool of images."""

    def checked(params, *rest, **options):
        assert tuple(params.shape) != shape
        return gather(params, *rest, **options)

    return checked


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_with_float32_weights_and_goes_on_from_a_checkpoint(
    tmp_path, precision
):
    data, mixed = some_data(60), replace(BASE, epochs=40, precision=precision)
    fitted = fit(mixed, data, seed=1)
    compute = {layer.name: layer.compute_dtype for layer in fitted.model.layers}
    assert compute["conv1_1"] == precision.removeprefix("mixed_") and compute["logits"] == "float32"
    assert {w.dtype for w in weights(fitted)} == {np.dtype("float32")}
    assert fitted.history[-1]["accuracy"] > 0.8
    assert fitted.probabilities.dtype == np.float32
    expected = weights(fitted)
    checkpoint = Checkpoint(tmp_path, Trial("v", 0, 0, 0), "mark", seconds=0)
    fit(replace(mixed, epochs=7), data, 1, checkpoint=checkpoint)
    assert len(checkpoint.load().history) == 6
    assert same(expected, weights(fit(mixed, data, 1, checkpoint=checkpoint)))
    assert fit(BASE, data, seed=1).model.layers[2].compute_dtype == "float32"  # nothing leaks


@pytest.mark.parametrize("after", [1, 2])
def test_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path, after):
    data = some_data()
    whole = fit(EVERYTHING, data, seed=1)
    expected, history = weights(whole), whole.history

    class Cut(Exception):
        pass

    def cut(entry):
        if entry["epoch"] == after + 1:
            raise Cut

    checkpoint = Checkpoint(tmp_path, Trial("v", 0, 0, 0), "mark", seconds=0)
    with pytest.raises(Cut):
        fit(EVERYTHING, data, 1, checkpoint=checkpoint, on_epoch=cut)
    fit(EVERYTHING, data, seed=5)  # something else in between
    assert len(checkpoint.load().history) == after
    resumed = fit(EVERYTHING, data, 1, checkpoint=checkpoint)
    assert same(expected, weights(resumed))
    assert resumed.history == history
    assert Checkpoint(tmp_path, Trial("v", 0, 0, 0), "another mark").load() is None


def test_learns_what_is_there_and_not_what_is_not():
    data, longer = some_data(60), replace(BASE, epochs=25)
    assert fit(longer, data, seed=1).history[-1]["accuracy"] > 0.8
    rng = np.random.default_rng(3)
    scores = []
    for seed in range(4):
        shuffled = replace(data, labels=rng.permutation(data.labels))
        scores.append(fit(longer, shuffled, seed).history[-1]["accuracy"])
    assert np.mean(scores) < 0.6  # chance is a third; 48 judged images in all


def test_augmentation_and_dropout_are_off_at_inference():
    data = some_data()
    fitted = fit(EVERYTHING, data, seed=1)
    images = data.images[data.judged].astype(np.float32)
    first, second = (fitted.model.predict(images, verbose=0) for _ in range(2))
    assert np.array_equal(first, second)
    odds = np.exp(first) / np.exp(first).sum(1, keepdims=True)
    np.testing.assert_allclose(odds, fitted.probabilities, atol=1e-5)


@pytest.mark.parametrize("strategy", STRATEGIES.names())
def test_conv_weights_and_statistics_move_as_the_strategy_says(strategy):
    target = recipes.apply(BASE, ["batchnorm"], P.techniques)
    backbone = fit(target, some_data(seed=4), seed=7).model
    kept = type(backbone).from_config(backbone.get_config())
    kept.set_weights(backbone.get_weights())
    options = STRATEGIES[strategy].Options(epochs=2, learning_rate=0.01)
    chosen = STRATEGIES[strategy].apply(target, options)
    fitted = fit(chosen, some_data(seed=5), seed=1, backbone=kept)

    def conv(model):
        return [w for layer in conv_part(model) for w in layer.get_weights()]

    assert len(conv(kept)) > 0
    untouched = same(conv(fitted.model), conv(kept))
    assert untouched == (chosen.start == "backbone" and not chosen.train_conv)


def test_history_holds_clean_scores_of_every_epoch():
    data = some_data()
    seen = []
    fitted = fit(EVERYTHING, data, seed=1, on_epoch=seen.append)
    assert seen == fitted.history
    assert [entry["epoch"] for entry in seen] == [1, 2, 3]
    labels = data.labels[data.judged]
    accuracy = np.mean(fitted.probabilities.argmax(1) == labels)
    assert seen[-1]["accuracy"] == accuracy
