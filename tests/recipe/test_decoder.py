"""A network that gives a class to each pixel: what it is made of, what it learns, and what masks
become when images move."""

import contextlib
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage

from cnnlab.errors import UserError
from cnnlab.overlap import VOID, iou
from cnnlab.recipe import blocks
from cnnlab.recipe.decoder import enlarged, network
from cnnlab.recipe.network import initial, set_random, weights_of
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.recipe.techniques.augment import OPS
from cnnlab.recipe.variants import serves
from cnnlab.records import Checkpoint, Trial
from cnnlab.run.job import trained_by
from cnnlab.train import fit as fitting
from cnnlab.train import input as inputs
from cnnlab.train import phases
from cnnlab.train.augmentation import augment, warp
from cnnlab.train.fit import fit
from cnnlab.train.input import Data, class_weights
from cnnlab.train.tasks import segmentation
from tests import made_up

SIZES = {
    "vgg": {"filters": [8, 16], "convs": 1, "kernel": 3, "dense": []},
    "resnet": {"filters": [8, 8, 16], "blocks": 1, "kernel": 3, "pool": True},
    "application": {"name": "MobileNet", "cut": "conv_pw_4_relu", "size": 32},
    "efficientnet_lite0": {"size": 32},  # random weights: its package is not asked
}
SHAPES = [(16, 16, 1), (25, 25, 3), (18, 31, 1)]


def sections(net="vgg", features=None, sizes=None, **train):
    """Of a small network for segmentation."""
    small = {"epochs": 2, "head_epochs": 1, "learning_rate": 0.01, "head_learning_rate": 0.01}
    made = made_up.sections(backbone={"features": features}, **train)
    return replace(
        made,
        model=made_up.model(net, **(SIZES[net] | (sizes or {}))),
        techniques=made_up.techniques(**small),
        task="segmentation",
    )


def recipe(*names, net="vgg", sizes=None, **train):
    return sections(net, sizes=sizes, **train).recipe(names)


def built(*names, net="vgg", shape=(16, 16, 1), seed=1, **changes):
    made = network(recipe(*names, net=net, **changes), shape, 3)
    set_random(made.model, seed)
    return made


def pictures(n, shape, seed=0):
    images = np.random.default_rng(seed).integers(0, 256, (n, *shape))
    return tf.constant(images, tf.float32)


def squares(n=30, size=16, seed=0, channels=1):
    """Images of dim noise with a grey and a bright square, and their masks, whose first row nobody
    says; a fifth is held out."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 40, (n, size, size, channels))
    masks = np.zeros((n, size, size), np.uint8)
    for i in range(n):
        for number in (1, 2):
            top, left = rng.integers(1, size - 5, 2)
            masks[i, top : top + 5, left : left + 5] = number
    images += np.array([0, 90, 200])[masks][..., None]
    masks[:, 0] = VOID
    rows = rng.permutation(n)
    return Data(
        images.astype(np.uint8), np.arange(n) % 2 + 1, rows[: n * 4 // 5], rows[n * 4 // 5 :], 3,
        learning=segmentation, truth=masks,
    )  # fmt: skip


def weights(fitted):
    return [np.copy(w) for w in fitted.model.get_weights()]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


# What it is made of ------------------------------------------------------------------------------


@pytest.mark.parametrize("net", list(SIZES))
@pytest.mark.parametrize("shape", SHAPES)
def test_every_net_gives_logits_of_each_pixel(net, shape):
    model, images = built(net=net, shape=shape).model, pictures(4, shape)
    logits = model(images, training=False).numpy()
    assert (logits.shape, logits.dtype) == ((4, *shape[:2], 3), np.float32)
    assert np.isfinite(logits).all() and np.abs(logits).max() < 100
    assert len(np.unique(logits.reshape(4, -1), axis=0)) == 4  # it looks at the images
    assert not np.allclose(logits.sum(-1), 1)  # no softmax yet


@pytest.mark.parametrize("net", list(SIZES))
@pytest.mark.parametrize("shape", [(32, 32, 1), (25, 25, 3), (33, 47, 1)])
def test_what_it_says_of_a_pixel_rests_on_what_is_around_it(net, shape):
    """The gradient of a pixel's logits has its centre of mass at the pixel, however often maps of
    odd sizes were halved."""
    model = built(net=net, shape=shape).model
    height, width = shape[:2]
    for y, x in ((height // 2, width // 2), (height // 2 - 3, width // 2 + 4)):
        images = pictures(16, shape)
        with tf.GradientTape() as tape:
            tape.watch(images)
            said = tf.reduce_sum(model(images, training=False)[:, y, x] ** 2)
        felt = np.abs(tape.gradient(said, images).numpy()).sum((0, 3))
        centre = ndimage.center_of_mass(felt**2)
        assert np.abs(np.subtract(centre, (y, x))).max() < 3.5, (centre, (y, x))


def test_each_step_joins_the_last_map_before_the_image_was_halved():
    model = built(shape=(25, 25, 1), sizes={"filters": [8, 16, 80], "convs": 2}).model
    skips = {f"join{i}": model.get_layer(f"join{i}").input[1] for i in (1, 2, 3)}
    expected = {"join1": "conv3_2_act", "join2": "conv2_2_act", "join3": "conv1_2_act"}
    for join, name in expected.items():
        assert skips[join] is model.get_layer(name).output
    filters = [model.get_layer(f"up{i}").filters for i in (1, 2, 3)]
    assert filters == [64, 16, 8]  # of the body at that size, and 64 at most
    assert model.get_layer("up3").output.shape[1:3] == (25, 25)


def test_the_body_is_that_of_the_network_for_whole_images():
    """Layers of the same names, with the same weights by their seeds: a backbone fits."""
    for net in SIZES:
        shape = (32, 32, 3)
        ours = built(net=net, shape=shape, seed=3)
        whole = initial(recipe(net=net), 3, shape, 3)
        body, other = weights_of(ours.body), weights_of(whole.body)
        assert len(body) > 1 and set(body) <= set(other)
        for name, arrays in body.items():
            assert same(arrays, other[name]), name
        of_units = [layer.name for unit in ours.units for layer in unit]
        assert of_units == [layer.name for layer in ours.body.layers]
        decoder = {name for name in weights_of(ours.model) if name not in body}
        assert "logits" in decoder and "up1" in decoder


def test_hidden_dense_layers_have_no_part():
    names = [
        [layer.name for layer in built(sizes={"dense": dense}).model.layers] for dense in ([], [7])
    ]
    assert names[0] == names[1]


@pytest.fixture
def on_gpu(monkeypatch):
    """What is built then is built as where TensorFlow computes on a GPU."""
    monkeypatch.setattr(blocks, "on_gpu", lambda: True)


@pytest.mark.parametrize(
    "sizes", [(7, 14), (7, 13), (3, 7), (5, 16), (2, 109), (4, 110), (28, 55), (1, 5)]
)
def test_on_a_gpu_maps_are_enlarged_to_the_same_bits(sizes, request):
    small, large = sizes
    maps = keras.Input((small, small + 1, 2))
    plain = keras.Model(maps, enlarged(maps, (None, large, large + 3), "enlarge"))
    request.getfixturevalue("on_gpu")
    ours = keras.Model(maps, enlarged(maps, (None, large, large + 3), "enlarge"))
    assert not any(isinstance(layer, keras.layers.Resizing) for layer in ours.layers)
    given = tf.random.stateless_normal((2, small, small + 1, 2), (1, small))
    weight = tf.random.stateless_normal((2, large, large + 3, 2), (2, small))

    @tf.function(jit_compile=True)
    def compiled():
        with tf.GradientTape() as tape:
            tape.watch(given)
            said = ours(given, training=True)
        return said, tape.gradient(said, given, weight)

    with tf.GradientTape() as tape:
        tape.watch(given)
        expected = plain(given, training=True)
    said, gradient = compiled()
    np.testing.assert_array_equal(said, expected)
    pulled = tape.gradient(expected, given, weight)
    np.testing.assert_allclose(gradient, pulled, rtol=1e-4, atol=1e-4)


def test_a_network_that_was_made_on_a_gpu_says_the_same_elsewhere(on_gpu, tmp_path, monkeypatch):
    ours = built(shape=(25, 25, 3), sizes={"filters": [8, 16, 16]}).model
    ours.save(tmp_path / "model.keras")
    monkeypatch.undo()
    other = built(shape=(25, 25, 3), sizes={"filters": [8, 16, 16]}).model
    loaded, images = keras.saving.load_model(tmp_path / "model.keras"), pictures(3, (25, 25, 3))
    expected = other(images, training=False)
    for model in (ours, loaded):
        np.testing.assert_array_equal(model(images, training=False), expected)


def test_an_image_too_small_is_refused():
    with pytest.raises(UserError, match=r"vgg\.filters"):
        built(shape=(3, 3, 1))


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("net", list(SIZES))
def test_it_computes_in_its_precision_and_answers_in_float32(net, precision):
    model = built(net=net, precision=precision, shape=(25, 25, 3)).model
    half = precision.removeprefix("mixed_")
    assert keras.config.dtype_policy().name == "float32"  # as it was
    assert model.get_layer("up1").compute_dtype == half
    for name in ("enlarge1", "join1"):
        assert model.get_layer(name).output.dtype == half
    assert all(v.dtype == "float32" for v in model.trainable_variables)
    logits = model(pictures(2, (25, 25, 3)), training=False)
    assert logits.dtype == tf.float32 and np.isfinite(logits).all()


def kinds_after(model, name):
    """The kinds of layers after a layer up to its activation."""
    layers = [layer.name for layer in model.layers]
    first = layers.index(name)
    return [type(layer).__name__ for layer in model.layers[first : layers.index(f"{name}_act") + 1]]


def test_techniques_act_in_the_decoder_as_in_the_body():
    model = built("batchnorm", "dropout").model
    for conv in ("conv1_1", "conv2_1", "up1", "up2"):
        assert kinds_after(model, conv) == ["Conv2D", "BatchNormalization", "Activation"]
    (dropout,) = [layer for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert model.get_layer("logits").input is dropout.output
    assert dropout.input is model.get_layer("up2_act").output


@pytest.mark.parametrize(("name", "power"), [("l1", 1), ("l2", 2)])
def test_penalties_are_of_all_kernels_those_of_the_decoder_too(name, power):
    made = recipe(name)
    model = network(made, (16, 16, 1), 3).model
    kernels = {layer.name: layer.kernel for layer in model.layers if hasattr(layer, "kernel")}
    assert {"conv1_1", "conv2_1", "up1", "up2", "logits"} == set(kernels)
    factor = made.penalty("kernel")[power - 1]
    expected = factor * sum((np.abs(k.numpy()) ** power).sum() for k in kernels.values())
    assert float(sum(model.losses)) == pytest.approx(float(expected), rel=1e-4)


# What it learns ----------------------------------------------------------------------------------


def test_it_learns_squares_by_their_brightness():
    data = squares()
    fitted = fit(recipe(epochs=25, learning_rate=0.01, evaluate_every=5), data, seed=1)
    assert fitted.outputs.shape == (len(data.held_out), 4 * 3 + 2)
    assert fitted.final["iou"] == iou(None, fitted.outputs).mean() > 0.8
    last = fitted.history[-1]
    assert last["epoch"] == 25 and last["iou"] == fitted.final["iou"]
    assert last["train_iou"] > 0.8 and last["pixel_nll"] < 0.2 and last["train_pixel_nll"] < 0.2
    judged = (data.truth[data.held_out] != VOID).sum((1, 2))
    assert fitted.outputs[:, -1].tolist() == judged.tolist()
    assert {"weight_norm", "unit_correlation", "preactivation_drift"} <= set(fitted.final)
    assert set(fitted.preactivations) == {"conv1_1", "conv2_1", "up1", "up2"}


EVERYTHING = ["augment", "batchnorm", "dropout", "l2"]


@pytest.mark.parametrize("names", [[], EVERYTHING], ids=["base", "everything"])
def test_same_seed_same_bits_and_a_reused_net_leaks_nothing(names):
    made, data = recipe(*names), squares(20)
    first = fit(made, data, seed=1)
    start = weights(first)
    assert not same(start, weights(fit(made, data, seed=2)))
    again = fit(made, data, seed=1)
    assert same(start, weights(again)) and np.array_equal(first.outputs, again.outputs)
    assert again.history == first.history


def test_masks_that_stay_in_their_file_give_the_same_bits(tmp_path, monkeypatch):
    made, data = recipe(*EVERYTHING), squares(20)
    expected = fit(made, data, seed=1)
    bits = weights(expected)
    np.save(tmp_path / "images.npy", data.inputs)
    np.save(tmp_path / "truth.npy", data.truth)
    monkeypatch.setattr(inputs, "RESIDENT", 0)
    mapped = {"inputs": "images.npy", "truth": "truth.npy"}
    files = {key: np.load(tmp_path / name, mmap_mode="r") for key, name in mapped.items()}
    read = fit(made, replace(data, **files), seed=1)
    assert same(bits, weights(read)) and np.array_equal(expected.outputs, read.outputs)


def test_the_held_out_fold_teaches_nothing():
    made, data = recipe(*EVERYTHING), squares(20)
    clean = weights(fit(made, data, seed=1))
    images, masks = data.inputs.copy(), data.truth.copy()
    images[data.held_out], masks[data.held_out] = 7, 2
    assert same(clean, weights(fit(made, replace(data, inputs=images, truth=masks), seed=1)))


class Cut(Exception):
    pass


@pytest.mark.parametrize("names", [EVERYTHING, ["early_stopping"], ["ema", "dice_loss"]])
def test_it_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path, names):
    made, data = recipe(*names, epochs=5), squares(20)
    whole = fit(made, data, seed=1)
    expected = weights(whole)

    def cut(entry):
        if entry["epoch"] == 3:
            raise Cut

    checkpoint = Checkpoint(tmp_path, Trial("v", 0, 0, 0), "mark", seconds=0)
    with pytest.raises(Cut):
        fit(made, data, 1, checkpoint=checkpoint, on_epoch=cut)
    assert len(checkpoint.load().history) == 2
    resumed = fit(made, data, 1, checkpoint=checkpoint)
    assert same(expected, weights(resumed)) and resumed.history == whole.history
    assert np.array_equal(whole.outputs, resumed.outputs)


def test_classes_are_balanced_by_their_pixels():
    data = squares(20)
    assert class_weights(recipe(), data, data.train).numpy().tolist() == [1, 1, 1]
    made = class_weights(recipe(balanced=True), data, data.train).numpy()
    counts = np.bincount(data.truth[data.train].ravel(), minlength=VOID)[:3]  # void ones aside
    np.testing.assert_allclose(made, counts.sum() / (3 * counts), rtol=1e-6)


SERVING = [name for name in TECHNIQUES.names() if serves(name, "segmentation")]
PLACES = {"vgg": {}, "resnet": {"batchnorm": False}}  # with these nets have the most
PLAIN = {}  # net, seed -> weights of a network that was trained without techniques


def colourful():
    data = squares(16, channels=3)
    data.inputs[..., 0] //= 2
    return data


def plain(net, seed=1):
    if (net, seed) not in PLAIN:
        made = recipe(net=net, sizes=PLACES[net])
        PLAIN[net, seed] = weights_of(fit(made, colourful(), seed).model)
    return PLAIN[net, seed]


@pytest.mark.parametrize("name", SERVING)
def test_a_technique_that_serves_changes_training(name, tmp_path):
    """The same seed, images and epochs; other weights come out, in the first network that has a
    place for it."""
    for net in PLACES:
        with contextlib.suppress(UserError):
            made = recipe(name, net=net, sizes=PLACES[net])
            break
    data = colourful()
    if made.phases:
        fitted = phases.train(made, data, 1, plain(net, 2), tmp_path)
    else:
        assert trained_by(made) == "cnnlab.train.fit"
        fitted = fit(made, data, 1 + made.stream)
    after = weights_of(fitted.model)
    pairs = [zip(plain(net)[n], after[n], strict=True) for n in plain(net)]
    assert max(np.abs(a - b).max() for pair in pairs for a, b in pair) > 1e-4
    assert np.isfinite(fitted.outputs).all() and np.isfinite(fitted.history[-1]["objective"])


@pytest.mark.parametrize("name", [n for n in TECHNIQUES.names() if n not in SERVING])
def test_a_technique_that_does_not_serve_is_refused_by_its_name(name):
    message = f"technique {name} does not serve task: segmentation, only classification"
    with pytest.raises(UserError, match=message):
        recipe(name)
    replace(sections(), task="classification").recipe([name])


def test_an_op_of_a_policy_that_does_not_serve_is_refused_too():
    ops = {"flip": {"horizontal": True, "vertical": False}}
    ops["cutmix"] = {"probability": 1.0, "alpha": 1.0}
    made = made_up.using(sections(), augment=ops)
    with pytest.raises(UserError, match="technique cutmix does not serve task: segmentation"):
        made.recipe(["augment"])


def test_a_loss_of_masks_is_refused_where_whole_images_are_classified():
    for name in ("dice_loss", "dice_cross_entropy"):
        with pytest.raises(
            UserError, match=f"{name} does not serve task: classification, only seg"
        ):
            replace(sections(), task="classification").recipe([name])


def test_a_backbone_which_learns_by_classes_does_without_losses_of_masks():
    made = sections()
    train = made.train.model_copy(update={"techniques": ["batchnorm", "dice_loss"]})
    shared = replace(made, train=train)
    assert shared.recipe([]).loss[0] == "dice_loss"
    assert shared.pretraining().techniques == ("batchnorm",) and shared.pretraining().loss is None
    own = replace(made, backbone=made.backbone.model_copy(update={"techniques": ["dice_loss"]}))
    with pytest.raises(UserError, match="dice_loss does not serve task: classification"):
        own.pretraining()
    mixed = replace(made, backbone=made.backbone.model_copy(update={"techniques": ["mixup"]}))
    assert mixed.pretraining().techniques == ("mixup",)


@pytest.mark.parametrize("net", ["vgg", "resnet"])
def test_what_xla_compiles_for_gpus_learns_the_same(net, on_gpu, monkeypatch):
    """Images of odd sizes, whose maps are enlarged by no whole factor."""
    fast, data = recipe("augment", "l2", net=net, deterministic=False), squares(20, size=25)
    monkeypatch.setattr(fitting, "gpu_memory", lambda: 1)
    compiled = fit(fast, data, 1)
    ours, said = weights(compiled), compiled.outputs
    fitting._compiled.cache_clear()
    monkeypatch.undo()
    plain = fit(fast, data, 1)
    np.testing.assert_allclose(said, plain.outputs, atol=4)  # counts of pixels: of some, a tie
    for a, b in zip(ours, weights(plain), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


# From a backbone ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def backbone():
    """Weights of a network that has learnt to classify, with batch norm."""
    made = replace(sections(), task="classification").recipe(["batchnorm"])
    data = squares(20, seed=4)
    return weights_of(
        fit(made, Data(data.inputs, data.labels, data.train, data.held_out, 3), 7).model
    )


def of_backbone(names):
    made = sections()
    learnt = made.backbone.model_copy(update={"techniques": ["batchnorm"]})
    return replace(made, backbone=learnt).recipe(names)


@pytest.mark.parametrize("name", ["freeze", "finetune"])
def test_from_a_backbone_the_decoder_learns_and_the_body_as_the_start_says(
    backbone, tmp_path, name
):
    made, seen = of_backbone([name]), []
    data = squares(20)
    fitted = phases.train(made, data, 1, backbone, tmp_path, on_epoch=seen.append)
    after, fresh = weights_of(fitted.model), weights_of(built("batchnorm").model)
    convs = ["conv1_1", "conv2_1"]
    moved = [not np.array_equal(backbone[c][0], after[c][0]) for c in convs]
    assert moved == [name == "finetune"] * 2
    for layer in ("up1", "up2", "logits"):
        assert not np.array_equal(after[layer][0], fresh[layer][0])
    assert [entry["phase"] for entry in seen] == [
        number for number, phase in enumerate(made.phases, 1) for _ in range(phase.epochs)
    ]
    assert fitted.outputs.shape == (4, 14) and fitted.history == seen
    assert not any(tmp_path.iterdir())  # no features are stored


def test_a_frozen_body_stays_to_the_bit_and_its_decoder_goes_on_from_a_checkpoint(
    backbone, tmp_path
):
    made, data = replace(of_backbone(["freeze"]), evaluate_every=1), squares(20)
    made = replace(made, phases=tuple(replace(phase, epochs=4) for phase in made.phases))
    whole = phases.train(made, data, 1, backbone, tmp_path)
    expected, after = weights(whole), weights_of(whole.model)
    body = [name for name in backbone if name.startswith("conv")]
    assert len(body) == 4 and all(same(backbone[name], after[name]) for name in body)

    def cut(entry):
        if entry["epoch"] == 3:
            raise Cut

    checkpoint = Checkpoint(tmp_path, Trial("v", 0, 0, 0), "mark", seconds=0)
    with pytest.raises(Cut):
        phases.train(made, data, 1, backbone, tmp_path, checkpoint, cut)
    resumed = phases.train(made, data, 1, backbone, tmp_path, checkpoint)
    assert same(expected, weights(resumed)) and resumed.history == whole.history


# Masks move as images do -------------------------------------------------------------------------

WARPS = sorted(n for n, op in OPS.items() if hasattr(op, "warp") and not hasattr(op, "recolour"))
SMOOTH = 20  # images


def blobs(size, seed=0):
    """Smooth images in 0..255, and masks: where they are brighter than 128."""
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(SMOOTH, *size)), (0, 3, 3), mode="nearest")
    images = np.clip(128 + 120 * noise / np.abs(noise).max((1, 2), keepdims=True), 0, 255)
    return tf.constant(images[..., None], tf.float32), (images > 128).astype(np.uint8)


def both_moved(made, images, masks, seed=(3, 4), epoch=0):
    """Images and masks as a batch has them."""
    args = tf.constant(seed, tf.int32), tf.range(len(images), dtype=tf.int64), tf.constant(
        epoch, tf.int64
    )  # fmt: skip
    matrix = warp(made, images, *args)
    moved = segmentation.moved(tf.constant(masks), matrix).numpy()
    return augment(made, images, *args).numpy()[..., 0], moved


def of_ops(fill="nearest", **strengths):
    made = recipe(fill_mode=fill)
    for name, strength in strengths.items():
        made = TECHNIQUES[name].apply(made, TECHNIQUES[name].Options.model_validate(strength))
    return made


MOVES = {
    "rotation": {"rotation": {"degrees": 60.0}},
    "shift": {"shift": {"fraction": 0.3}},
    "zoom": {"zoom": {"fraction": 0.4}},
    "flip": {"flip": {"horizontal": True, "vertical": True}},
    "all": {
        "rotation": {"degrees": 60.0},
        "shift": {"fraction": 0.3},
        "zoom": {"fraction": 0.4},
        "flip": {"horizontal": True, "vertical": True},
    },
}


def test_all_warps_are_tried():
    assert set(MOVES) - {"all"} == set(WARPS)


@pytest.mark.parametrize("size", [(24, 24), (25, 33)])
@pytest.mark.parametrize("fill", ["nearest", "reflect", "constant"])
@pytest.mark.parametrize("name", list(MOVES))
def test_the_mask_of_a_moved_image_is_its_moved_mask(name, fill, size):
    """Where the image is brighter than the threshold, but for a pixel at the regions' borders; what
    comes from beyond the edge is void, whatever is drawn there."""
    images, masks = blobs(size)
    made = of_ops(fill, **MOVES[name])
    seen, moved = both_moved(made, images, masks)
    # White images on black: what of each pixel comes from within.
    white, _ = both_moved(of_ops("constant", **MOVES[name]), 255 + 0 * images, masks)
    within, beyond = white > 254.9, white < 0.1
    assert set(np.unique(moved)) <= {0, 1, VOID}
    assert (moved[within] != VOID).all() and (moved[beyond] == VOID).all()
    assert (within | beyond).mean() > 0.75 and beyond.any() == (name != "flip")
    clear = within & (np.abs(seen - 128) > 20)  # not at a border
    assert clear.mean() > 0.2
    np.testing.assert_array_equal(moved[clear], seen[clear] > 128)
    assert (moved[within] == (seen[within] > 128)).mean() > 0.95
    assert not np.array_equal(moved, masks)


@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_mirrored_masks_are_exact(size):
    masks = np.random.default_rng(0).integers(0, 5, (64, *size)).astype(np.uint8)
    images = tf.constant(masks[..., None] * 50.0, tf.float32)
    seen, moved = both_moved(of_ops(flip={"horizontal": True, "vertical": True}), images, masks)
    np.testing.assert_array_equal(moved * 50, seen)
    ways = [(1, 1), (1, -1), (-1, 1), (-1, -1)]
    drawn = [
        next(w for w in ways if np.array_equal(mask[:: w[0], :: w[1]], new))
        for mask, new in zip(masks, moved, strict=True)
    ]
    assert set(drawn) == set(ways)


def test_an_image_s_turn_is_its_mask_s_at_each_epoch():
    masks = np.random.default_rng(0).integers(0, 5, (16, 6, 9)).astype(np.uint8)
    images = tf.constant(masks[..., None] * 50.0, tf.float32)
    pair = [both_moved(of_ops(alternating_flip={}), images, masks, epoch=e) for e in (0, 1)]
    for seen, moved in pair:
        np.testing.assert_array_equal(moved * 50, seen)
    np.testing.assert_array_equal(pair[0][1], pair[1][1][:, :, ::-1])


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("size", [8, 9])
def test_masks_turned_by_right_angles_are_exact(turns, size):
    masks = np.random.default_rng(turns).integers(0, 5, (4, size, size)).astype(np.uint8)
    c, s = np.round(np.cos(turns * np.pi / 2)), np.round(np.sin(turns * np.pi / 2))
    matrix = np.tile(np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float32), (4, 1, 1))
    moved = segmentation.moved(tf.constant(masks), tf.constant(matrix)).numpy()
    np.testing.assert_array_equal(moved, np.rot90(masks, turns, axes=(1, 2)))


def test_a_mask_shifted_by_whole_pixels_is_void_where_nothing_was():
    masks = np.random.default_rng(0).integers(0, 5, (2, 6, 8)).astype(np.uint8)
    matrix = np.array([[[1, 0, 2 * 2 / 8], [0, 1, -1 * 2 / 6], [0, 0, 1]]] * 2, np.float32)
    moved = segmentation.moved(tf.constant(masks), tf.constant(matrix)).numpy()
    np.testing.assert_array_equal(moved[:, 1:, :-2], masks[:, :-1, 2:])
    assert (moved[:, 0] == VOID).all() and (moved[:, :, -2:] == VOID).all()


def test_masks_stay_where_images_do():
    masks = tf.constant(np.random.default_rng(0).integers(0, 5, (2, 6, 8)), tf.uint8)
    assert segmentation.moved(masks, None) is masks
    made, images = of_ops(brightness={"fraction": 0.3}), pictures(2, (6, 8, 1))
    at = tf.constant([3, 4]), tf.range(2, dtype=tf.int64), tf.constant(0, tf.int64)
    assert warp(made, images, *at) is None


def test_a_policy_such_as_trivialaugment_moves_masks_too():
    for name in ("randaugment", "trivial_augment"):
        images, masks = blobs((24, 24))
        made = recipe(name)
        _, moved = both_moved(made, images, masks)
        assert not np.array_equal(moved, masks) and (moved == VOID).any(), name
