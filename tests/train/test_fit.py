"""The one `fit`: what it may depend on, and what it may not."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.client import device_lib

from cnnlab import scoring
from cnnlab.recipe.recipe import Phase
from cnnlab.records import Checkpoint, Trial
from cnnlab.tasks.classification import METRICS
from cnnlab.train import fit as fitting
from cnnlab.train import input as inputs
from cnnlab.train import optimizer
from cnnlab.train.fit import fit
from cnnlab.train.input import Data
from cnnlab.train.tasks import classification
from tests import made_up
from tests.made_up import data as some_data

SECTIONS = replace(made_up.sections(), model=made_up.model("vgg", convs=1))
BASE = SECTIONS.recipe([])
EVERYTHING = SECTIONS.recipe(["augment", "batchnorm", "dropout", "l1", "l2"])


def weights(fitted):
    return [np.copy(w) for w in fitted.model.get_weights()]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("recipe", [BASE, EVERYTHING], ids=["base", "everything"])
def test_same_seed_same_bits_and_a_reused_net_leaks_nothing(recipe):
    data = some_data()
    first = fit(recipe, data, seed=1)
    start, probabilities = weights(first), first.outputs
    other = fit(recipe, data, seed=2)  # the compiled net is used again
    assert not same(start, weights(other))
    again = fit(recipe, data, seed=1)
    assert same(start, weights(again))
    assert np.array_equal(probabilities, again.outputs)
    assert again.history == first.history


def test_some_small_networks_are_kept_compiled_and_a_large_one_alone():
    def net(weights):
        variables = SimpleNamespace(variables=[SimpleNamespace(shape=(weights,))])
        return SimpleNamespace(model=variables, optimizer=variables)

    used = fitting._compiled.cache
    cache = type(used)(used.maxsize, getsizeof=used.getsizeof)
    for number in range(20):
        cache[number] = net(10_000)
    assert set(cache) == set(range(11, 20))
    for number in range(20, 30):
        cache[number] = net(5_000_000)  # 40 MB with the optimizer's
    assert set(cache) == set(range(25, 30))
    cache["large"] = net(10**9)
    assert set(cache) == {"large"}


@pytest.mark.parametrize("recipe", [BASE, EVERYTHING], ids=["base", "everything"])
def test_the_held_out_fold_teaches_nothing(recipe):
    data = some_data()
    clean = weights(fit(recipe, data, seed=1))
    rng = np.random.default_rng(9)
    images, labels = data.inputs.copy(), data.labels.copy()
    images[data.held_out] = rng.integers(0, 256, images[data.held_out].shape)
    labels[data.held_out] = rng.permutation(labels[data.held_out])
    spoilt = replace(data, inputs=images, labels=labels)
    assert same(clean, weights(fit(recipe, spoilt, seed=1)))


def test_a_pool_that_stays_in_its_file_gives_the_same_bits(tmp_path, monkeypatch):
    data = some_data()
    held = fit(EVERYTHING, data, seed=1)
    expected = weights(held)
    np.save(tmp_path / "images.npy", data.inputs)
    monkeypatch.setattr(inputs, "RESIDENT", 0)
    monkeypatch.setattr(inputs.tf, "gather", forbid_large(inputs.tf.gather, data.inputs.shape))
    mapped = replace(data, inputs=np.load(tmp_path / "images.npy", mmap_mode="r"))
    read = fit(EVERYTHING, mapped, seed=1)
    assert same(expected, weights(read))
    for ours, theirs in zip(held.history, read.history, strict=True):
        # The mean of losses, from which nothing is learnt, is summed up in another order.
        assert ours.pop("objective") == pytest.approx(theirs.pop("objective"), rel=1e-6)
        assert ours == theirs


def forbid_large(gather, shape):
    """`tf.gather` that refuses a pool of images."""

    def checked(params, *rest, **options):
        assert tuple(params.shape) != shape
        return gather(params, *rest, **options)

    return checked


def on(**hyperparameters):
    return made_up.using(SECTIONS, **hyperparameters).recipe(hyperparameters)


def test_early_stopping_stops_with_its_best_weights_and_never_sees_the_held_out_fold():
    data = some_data(60)  # with labels by chance, so that learning them helps with no others
    data = replace(data, labels=np.random.default_rng(5).permutation(data.labels))
    made = replace(
        on(early_stopping={"share": 0.25, "patience": 3}),
        epochs=200,
        learning_rate=0.01,
    )
    fitted = fit(made, data, seed=1)
    losses = [entry["stopping_nll"] for entry in fitted.history]
    assert len(losses) < 200 and len(losses) - 1 - int(np.argmin(losses)) == 3
    train, held = fitting._split(data, made, 1)
    assert sorted([*train, *held]) == sorted(data.train)
    each = np.bincount(data.labels[data.train])
    assert np.bincount(data.labels[held]).tolist() == np.round(each / 4).tolist()
    shares = fitted.model.predict(data.inputs[held].astype(np.float32), verbose=0)
    odds = np.exp(shares) / np.exp(shares).sum(1, keepdims=True)
    kept = scoring.nll(data.labels[held], odds)
    assert kept == pytest.approx(min(losses), rel=1e-4)
    images = data.inputs.copy()
    images[data.held_out] = 0
    again = fit(made, replace(data, inputs=images), seed=1)
    assert same(weights(fitted), weights(again))


def test_early_stopping_keeps_groups_together():
    data = replace(some_data(60), groups=np.arange(60) // 6)
    made = on(early_stopping={"share": 0.2, "patience": 3})
    for seed in range(5):
        train, held = fitting._split(data, made, seed)
        assert len(held) and not set(data.groups[train]) & set(data.groups[held])
        assert set(data.labels[train]) == {0, 1, 2}


def test_averaged_weights_are_the_moving_average_of_all_steps():
    data = some_data()
    made = replace(on(ema={"momentum": 0.8}), epochs=1, batch_size=len(data.train))
    steps = [
        weights(fit(replace(BASE, epochs=n, batch_size=len(data.train)), data, 1))
        for n in (1, 2, 3)
    ]
    averaged = weights(fit(replace(made, epochs=3), data, seed=1))
    for ours, *each in zip(averaged, *steps, strict=True):
        expected = each[0]
        for step in each[1:]:
            expected = 0.8 * expected + 0.2 * step
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_snapshots_vote():
    data = some_data()
    made = replace(on(snapshot={"members": 2}), epochs=4)
    fitted = fit(made, data, seed=1)
    seen = []

    def watch(entry):
        net = fitting._compiled(made, 0, (8, 8, 1), 3, 4, classification)
        seen.append(net.outputs(data, data.held_out))

    again = fit(made, data, seed=1, on_epoch=watch)
    np.testing.assert_allclose(again.outputs, (seen[1] + seen[3]) / 2, atol=1e-6)
    np.testing.assert_array_equal(fitted.outputs, again.outputs)
    assert fitted.final["nll"] == scoring.nll(data.labels[data.held_out], fitted.outputs)


@pytest.mark.parametrize(
    ("name", "strength", "expected"),
    [
        ("cosine", {"floor": 0.1}, [1.0, 0.55, 0.1]),
        ("one_cycle", {"peak": 2.0, "warmup": 0.5, "start": 0.1, "floor": 0.0}, [0.2, 2.0, 0.0]),
        ("snapshot", {"members": 2}, [1.0, 1.0, 0.0]),
    ],
)
def test_schedules_go_where_they_say(name, strength, expected):
    """Learning rate at the start, halfway and at the end, as a factor of the params' rate."""
    made = replace(on(**{name: strength}), epochs=10)
    rate = optimizer._learning_rate(made, BASE.learning_rate, 1000)
    got = [float(rate(step)) / BASE.learning_rate for step in (0, 500, 999.999)]
    np.testing.assert_allclose(got, expected, atol=0.01)


def test_decoupled_decay_shrinks_kernels_alone():
    data = replace(some_data(), train=np.arange(8))
    still = replace(BASE, epochs=1, batch_size=8, learning_rate=1e-9)
    made = replace(still, decay=0.5, learning_rate=1e-3)
    start = weights(fit(still, data, seed=1))
    plain = weights(fit(replace(still, learning_rate=1e-3), data, seed=1))
    decayed = weights(fit(made, data, seed=1))
    for first, without, with_it in zip(start, plain, decayed, strict=True):
        share = 1e-3 * 0.5 if first.ndim > 1 else 0
        np.testing.assert_allclose(without - with_it, share * first, atol=2e-7)


def batch(recipe, data):
    """What a network learns from, of all training images at once."""
    raw, labels = data.raw(data.train), tf.constant(data.labels[data.train], tf.int32)
    weights, seed = inputs.class_weights(recipe, data, data.train), tf.constant(1, tf.int64)
    made = inputs.batch(recipe, data.train, raw, labels, weights, (seed, seed, seed))
    return [tensor.numpy() for tensor in made]


def test_balanced_weights_make_each_class_count_the_same():
    images, labels = some_data().inputs, np.array([0] * 30 + [1] * 10)
    data = Data(images, labels, np.arange(40), np.arange(40), 2)
    _, truth, weight = batch(replace(BASE, balanced=True), data)
    np.testing.assert_allclose((truth * weight[:, None]).sum(0), [20, 20], rtol=1e-5)


def test_label_smoothing_spreads_its_share():
    data, made = some_data(), on(label_smoothing={"amount": 0.3})
    _, targets, _ = batch(made, data)
    np.testing.assert_allclose(
        np.sort(targets, axis=1), [[0.1, 0.1, 0.8]] * len(targets), rtol=1e-5
    )


INTERRUPTED = {
    "early_stopping": {"share": 0.2, "patience": 2},
    "ema": {"momentum": 0.9},
    "snapshot": {"members": 3},
    "one_cycle": {"peak": 2.0, "warmup": 0.3, "start": 0.1, "floor": 0.0},
}


@pytest.mark.parametrize("name", INTERRUPTED)
def test_what_techniques_carry_along_survives_an_interruption(tmp_path, name):
    data, made = some_data(), replace(on(**{name: INTERRUPTED[name]}), epochs=6)
    whole = fit(made, data, seed=1)
    expected = weights(whole)

    class Cut(Exception):
        pass

    def cut(entry):
        if entry["epoch"] == 4:
            raise Cut

    checkpoint = Checkpoint(tmp_path, Trial("v", 0, 0, 0), "mark", seconds=0)
    with pytest.raises(Cut):
        fit(made, data, 1, checkpoint=checkpoint, on_epoch=cut)
    resumed = fit(made, data, 1, checkpoint=checkpoint)
    assert same(expected, weights(resumed))
    assert resumed.history == whole.history and resumed.final == whole.final
    np.testing.assert_array_equal(resumed.outputs, whole.outputs)
    for layer, values in whole.preactivations.items():
        np.testing.assert_array_equal(resumed.preactivations[layer], values)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns_with_float32_weights_and_goes_on_from_a_checkpoint(
    tmp_path, precision
):
    mixed = replace(BASE, epochs=20, learning_rate=0.005, precision=precision)
    data = some_data(60)
    fitted = fit(mixed, data, seed=1)
    compute = {layer.name: layer.compute_dtype for layer in fitted.model.layers}
    assert compute["conv1_1"] == precision.removeprefix("mixed_") and compute["logits"] == "float32"
    assert {w.dtype for w in weights(fitted)} == {np.dtype("float32")}
    assert fitted.history[-1]["accuracy"] > 0.8
    assert fitted.outputs.dtype == np.float32
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
    data, longer = some_data(60), replace(BASE, epochs=25, learning_rate=0.005)
    assert fit(longer, data, seed=1).history[-1]["accuracy"] > 0.8
    rng = np.random.default_rng(3)
    scores = []
    for seed in range(4):
        shuffled = replace(data, labels=rng.permutation(data.labels))
        scores.append(fit(longer, shuffled, seed).history[-1]["accuracy"])
    assert np.mean(scores) < 0.6  # chance is a third; 48 held-out images in all


def test_augmentation_and_dropout_are_off_at_inference():
    data = some_data()
    fitted = fit(EVERYTHING, data, seed=1)
    images = data.inputs[data.held_out].astype(np.float32)
    first, second = (fitted.model.predict(images, verbose=0) for _ in range(2))
    assert np.array_equal(first, second)
    odds = np.exp(first) / np.exp(first).sum(1, keepdims=True)
    np.testing.assert_allclose(odds, fitted.outputs, atol=1e-5)


def test_a_net_of_one_conv_and_no_hidden_layer_is_watched_too():
    smallest = {**BASE.net_options, "filters": [2], "convs": 1, "dense": []}
    fitted = fit(replace(BASE, net_options=smallest, epochs=2), some_data(), seed=1)
    ((name, moments),) = fitted.preactivations.items()
    assert name == "conv1_1" and moments.shape == (2, 2) and (moments[:, 1] > 0).all()


def test_an_image_of_probability_0_has_one_negative_log_likelihood_everywhere():
    """In learning curves, early stopping and tables, of a network that is sure and wrong."""
    data = some_data()
    sure = {"logits": [np.zeros((8, 3), np.float32), np.array([1000, 0, 0], np.float32)]}
    still = replace(on(early_stopping={"share": 0.25, "patience": 1}), learning_rate=1e-30)
    fitted = fit(replace(still, optimizer="sgd"), data, seed=1, start=sure)
    labels = data.labels[data.held_out]
    assert fitted.outputs[labels > 0][:, 1:].max() == 0 and (labels > 0).any()
    entry = fitted.history[-1]
    expected = -np.log(scoring.LEAST) * np.mean(labels > 0)
    assert entry["nll"] == pytest.approx(expected, rel=1e-6)
    assert entry["nll"] == fitted.final["nll"] == scoring.nll(labels, fitted.outputs)
    assert entry["nll"] == METRICS["nll"].score(labels, fitted.outputs)
    assert entry["accuracy"] == METRICS["accuracy"].score(labels, fitted.outputs)
    held_back = fitting._split(data, still, 1)[1]
    wrong = np.mean(data.labels[held_back] > 0)
    assert entry["stopping_nll"] == pytest.approx(-np.log(scoring.LEAST) * wrong, rel=1e-6)


def test_a_start_s_weights_are_what_training_begins_at_and_others_come_from_the_seed():
    begun = {"conv1_1": [np.full((2, 2, 1, 8), 0.01, np.float32), np.ones(8, np.float32)]}
    still = replace(BASE, optimizer="sgd", learning_rate=1e-30, epochs=1)
    plain, made = (
        {v.path: v.numpy() for v in fit(still, some_data(), 1, start).model.trainable_variables}
        for start in (None, begun)
    )
    for path, value in made.items():
        expected = plain[path]
        if path.startswith("conv1_1/"):
            expected = begun["conv1_1"][path.endswith("bias")]
        np.testing.assert_allclose(value, expected, rtol=0, atol=1e-25)


def test_a_network_of_features_learns_from_one_draw_at_a_time_and_is_shown_the_clean_one():
    """Draws that tell nothing leave it at chance; the same draws, clean, teach all."""
    labels, rng = np.arange(60) % 3, np.random.default_rng(0)
    telling = np.eye(3, dtype=np.float32)[labels]
    noise = rng.normal(size=(60, 2, 3)).astype(np.float32)
    recipe = replace(BASE, epochs=12, learning_rate=0.02, phases=(Phase(12, 0.02),), features=2)
    scores = {}
    for name, draws in {"telling": np.repeat(telling[:, None], 2, axis=1), "noise": noise}.items():
        features = np.concatenate([telling[:, None], draws], axis=1)
        data = Data(features, labels, np.arange(45), np.arange(45, 60), 3)
        assert data.shape == (3,) and not data.are_images
        scores[name] = fit(recipe, data, seed=1, phase=1).final["accuracy"]
    assert scores["telling"] == 1 and scores["noise"] < 0.8


def test_history_holds_clean_scores_of_every_epoch():
    data = some_data()
    seen = []
    fitted = fit(EVERYTHING, data, seed=1, on_epoch=seen.append)
    assert seen == fitted.history
    assert [entry["epoch"] for entry in seen] == [1, 2, 3]
    labels = data.labels[data.held_out]
    accuracy = np.mean(fitted.outputs.argmax(1) == labels)
    assert seen[-1]["accuracy"] == accuracy


def test_a_fit_that_is_broken_off_leaves_nothing_behind():
    data = some_data()
    expected = weights(fit(EVERYTHING, data, seed=1))

    def stop(entry):
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fit(EVERYTHING, data, seed=2, on_epoch=stop)
    assert same(expected, weights(fit(EVERYTHING, data, seed=1)))


def test_clipped_gradients_bound_a_step():
    data = some_data()
    recipe = replace(BASE, optimizer="sgd", learning_rate=1.0, epochs=1, batch_size=len(data.train))
    begin = weights(fit(replace(recipe, learning_rate=1e-30), data, seed=1))

    def moved(clip_norm):
        after = weights(fit(replace(recipe, clip_norm=clip_norm), data, seed=1))
        return np.sqrt(sum(np.sum((a - b) ** 2) for a, b in zip(after, begin, strict=True)))

    assert moved(None) > 0.02
    assert moved(0.01) == pytest.approx(0.01, rel=1e-3)  # one step, of the rate times that norm


def test_what_xla_compiles_for_gpus_computes_the_same(monkeypatch):
    fast = replace(SECTIONS.recipe(["augment", "l2"]), deterministic=False)
    data = some_data()  # XLA draws other numbers: without dropout
    plain = fit(fast, data, seed=1)
    expected, probabilities = weights(plain), plain.outputs
    fitting._compiled.cache_clear()
    monkeypatch.setattr(fitting, "gpu_memory", lambda: 1)
    compiled = fit(fast, data, seed=1)
    fitting._compiled.cache_clear()
    np.testing.assert_allclose(compiled.outputs, probabilities, atol=1e-3)
    for ours, theirs in zip(weights(compiled), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_a_gpu_holds_more_and_is_asked_for_more_at_once(monkeypatch):
    large, small = (224, 224, 3), (8, 8, 1)
    monkeypatch.setattr(inputs, "gpu_memory", lambda: 0)
    assert (inputs.at_once(large), inputs.at_once(small), inputs.at_once((64,))) == (10, 512, 512)
    assert inputs.at_once(small, 224) == 512
    monkeypatch.setattr(inputs, "gpu_memory", lambda: 64 * 2**30)
    assert inputs.at_once(large) > 100 and inputs.at_once(small) == inputs.at_once((64,)) == 4096
    assert inputs.at_once(small, 224) == inputs.at_once(large) == inputs.at_once(large, 32)
    assert (inputs.drawn_at_once(large), inputs.drawn_at_once(small)) == (10, 512)  # anywhere
    large = Data(np.zeros((4, 2**27), np.uint8), np.zeros(4, int), *np.split(np.arange(4), 2), 2)
    assert inputs.resident(large) is not None
    monkeypatch.setattr(inputs, "gpu_memory", lambda: 2**30)
    assert inputs.resident(large) is None
    inputs._kept.clear()


def test_what_else_is_on_a_gpu_does_not_change_what_it_is_asked_at_once(monkeypatch):
    def seen(*free):
        """With the CPU and GPUs of so many free bytes."""
        kinds = [("CPU", 2**38), *(("GPU", limit) for limit in free)]
        found = [SimpleNamespace(device_type=kind, memory_limit=limit) for kind, limit in kinds]
        monkeypatch.setattr(inputs, "on_gpu", lambda: bool(free))
        monkeypatch.setattr(device_lib, "list_local_devices", lambda: found)
        return inputs.gpu_memory.__wrapped__()

    assert seen() == 0
    assert seen(79 * 2**30) == seen(70 * 2**30) == seen(2**36) == 2**36
    assert seen(int(14.2 * 2**30)) == 2**33
