"""Techniques: each changes training, and none is on at inference."""

import functools
import importlib
import re
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from cnnlab.compare.mechanisms import QUANTITIES, claims
from cnnlab.errors import UserError
from cnnlab.plugins import chosen
from cnnlab.recipe.nets import NETS
from cnnlab.recipe.network import initial, weights_of
from cnnlab.recipe.techniques import TECHNIQUES, starts
from cnnlab.recipe.techniques.augment import OPS
from cnnlab.recipe.techniques.mixup import beta
from cnnlab.recipe.variants import serves
from cnnlab.run.job import trained_by
from cnnlab.tasks import TASKS
from cnnlab.train import fit as fitting
from cnnlab.train import optimizer as optimizers
from cnnlab.train.augmentation import augment, mix, resample
from cnnlab.train.fit import fit
from tests import made_up

# Values that show: these override what a technique's own constraints suggest.
QUICK = {"epochs": 4, "batch_size": 8}
SECTIONS = made_up.using(
    replace(made_up.sections(), techniques=made_up.techniques(epochs=2, learning_rate=0.01)),
    noise={"sd": 0.1},
    erasing={"probability": 1.0, "smallest": 0.1, "largest": 0.3},
    cutmix={"probability": 1.0, "alpha": 1.0},
    rotation={"degrees": 20.0},
)
STRENGTHS = {n: o.model_dump(exclude_none=True) for n, o in chosen(SECTIONS.techniques).items()}
BASE = replace(SECTIONS, model=made_up.model("vgg", convs=1)).recipe([])
WARPS = sorted(n for n, op in OPS.items() if hasattr(op, "warp") and not hasattr(op, "recolour"))
FILLS = ["constant", "nearest", "reflect"]
MIXES = sorted(name for name, op in OPS.items() if hasattr(op, "mix"))
ALONE = sorted(set(OPS) - set(MIXES))  # ops on each image by itself
# Others are tried in tests/recipe/test_decoder.py.
OF_CLASSES = [name for name in TECHNIQUES.names() if serves(name, "classification")]


def small(net):
    return made_up.model(net, convs=1, blocks=1)


def net_for(name):
    """The first network in which a technique does something, beginning with the smallest."""
    for net in dict.fromkeys(["vgg", "resnet", *NETS.names()]):
        sections = replace(SECTIONS, model=small(net))
        try:
            sections.recipe([name])
        except UserError as error:
            refused = error
        else:
            return net
    raise refused


def using(*names, **changes):
    sections = replace(SECTIONS, model=small(net_for(names[0]) if names else "vgg"))
    made = functools.reduce(
        lambda r, name: TECHNIQUES[name].apply(r, getattr(sections.techniques, name)),
        sorted(names),
        sections.recipe([]),
    )
    return replace(made, **changes)


def build(made, seed=1):
    return initial(made, seed, (8, 8, 1), 3).model


def pictures(n=16, size=(8, 8), channels=1, seed=0):
    """Random images, float32 (n, *size, channels) in 0..255."""
    images = np.random.default_rng(seed).integers(0, 256, (n, *size, channels))
    return tf.constant(images, tf.float32)


def drawn(made, images, seed=(3, 4), epoch=0):
    rows = tf.range(len(images), dtype=tf.int64)
    at = tf.constant(epoch, tf.int64)
    return augment(made, images, tf.constant(seed, tf.int32), rows, at).numpy()


@functools.cache
def colourful():
    data = made_up.data(48, channels=3)
    data.inputs[..., 0] //= 2  # there is colour to change
    return data


@functools.cache
def plain(net, seed=1):
    """The weights of a network that was trained without techniques, once a network."""
    recipe = replace(SECTIONS, model=small(net)).recipe([])
    return weights_of(fit(replace(recipe, **QUICK), colourful(), seed).model)


def difference(net, recipe, folder):
    """How far the trained weights of the layers that both have are from those of `plain`."""
    trainer = importlib.import_module(trained_by(recipe))
    if recipe.phases:  # from the weights of a network of another seed
        backbone = plain(net, 2)
        fitted = trainer.train(recipe, colourful(), 1, backbone, folder)
    elif trainer is not fitting:
        fitted = trainer.train(replace(recipe, **QUICK), colourful(), 1, {}, folder)
    else:
        seed = 1 + recipe.stream  # a placebo's is another, and nothing else
        fitted = fit(replace(recipe, **QUICK), colourful(), seed)
    made = weights_of(fitted.model)
    assert made.keys() >= plain(net).keys()
    return max(
        np.abs(one - other).max()
        for name, arrays in plain(net).items()
        for one, other in zip(arrays, made[name], strict=True)
    )


PARTS = ("GroupNormalization", "blur_pool", "squeeze_excite")  # of the network, at inference too
ROUNDING = 1e-5  # how far weights may part where nothing but the order of sums is another


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_technique_changes_training(name, tmp_path):
    """The same network, seed, images and epochs; other weights come out."""
    assert difference(net_for(name), using(name), tmp_path) > 10 * ROUNDING


@pytest.mark.parametrize(
    "change",
    [
        lambda recipe: recipe.inserting("conv", "Identity"),
        lambda recipe: recipe.inserting("dense", "Dropout", rate=0.0),
        lambda recipe: recipe.penalising("kernel", l2=1e-12),
        lambda recipe: replace(recipe, max_norm=1000.0),
        lambda recipe: recipe.inserting("branch", "Dropout", rate=0.5),
    ],
    ids=["identity", "rate 0", "weight 0", "limit never met", "no place"],
)
def test_what_does_nothing_would_be_found_out(change, tmp_path):
    assert difference("vgg", change(BASE), tmp_path) < ROUNDING


def test_without_techniques_nothing_is_on():
    images, plain = pictures(), build(using())
    assert not plain.losses
    np.testing.assert_array_equal(plain(images, training=True), plain(images, training=False))
    np.testing.assert_array_equal(drawn(using(), images), images)


@pytest.mark.parametrize("name", TECHNIQUES.names())
def test_a_technique_says_what_it_claims_and_how_that_would_show(name):
    module = TECHNIQUES[name]
    assert "Mechanism: " in module.__doc__
    mechanism = module.__doc__.partition("Mechanism: ")[2]
    assert hasattr(module, "CLAIM") == hasattr(module, "EVIDENCE") == bool(claims(module))
    if not claims(module):
        assert mechanism.startswith("none"), "no CLAIM, and no placebo"
        return
    quantity, way = module.EVIDENCE
    assert quantity in QUANTITIES and way in ("lower", "higher")
    assert 10 < len(module.CLAIM) < 80
    if not mechanism.startswith("none"):  # of a control
        assert re.search(r"\((?:[A-Z][^()]*)\b(19|20)\d\d", module.__doc__), "no source"


@pytest.mark.parametrize("name", TECHNIQUES.names())
def test_a_technique_serves_tasks_that_there_are(name):
    serving = [task for task in TASKS.names() if serves(name, task)]
    named = getattr(TECHNIQUES[name], "SERVES", TASKS.names())
    assert sorted(named) == serving and serving


def test_what_mixes_images_or_averages_answers_serves_whole_images_alone():
    """Targets are mixed as (n, classes), and outputs of other tasks are no probabilities."""
    for name in (*MIXES, "snapshot", "augmix"):
        assert not serves(name, "segmentation")


@pytest.mark.parametrize("name", OF_CLASSES)
def test_a_technique_is_off_at_inference(name):
    images = pictures()
    model = build(using(name))
    without = build(replace(BASE, net=using(name).net, net_options=using(name).net_options))
    one, two = (model(images, training=False).numpy() for _ in range(2))
    np.testing.assert_array_equal(one, two)
    if any(i.layer in PARTS for i in using(name).inserts):
        return  # what it does is the same at inference
    # Batch norm's statistics are 0 and 1 before training.
    np.testing.assert_allclose(
        model(images, training=False), without(images, training=False), atol=1e-2
    )


def test_a_placebo_trains_as_without_it_where_seeds_are_the_same():
    plain, placebo = (
        fit(replace(using(*names), **QUICK), colourful(), 1).model.get_weights()
        for names in ([], ["placebo"])
    )
    for one, other in zip(plain, placebo, strict=True):
        np.testing.assert_array_equal(one, other)


def test_batchnorm_moves_its_statistics_by_its_momentum():
    made = using("batchnorm")
    model = build(made)
    (layer, *_) = [x for x in model.layers if isinstance(x, keras.layers.BatchNormalization)]
    model(pictures(64), training=True)
    momentum = STRENGTHS["batchnorm"]["momentum"]
    assert layer.momentum == momentum
    once = layer.moving_mean.numpy()
    model(pictures(64), training=True)
    np.testing.assert_allclose(layer.moving_mean.numpy(), once * (1 + momentum), rtol=1e-3)


def test_dropout_drops_its_share_of_hidden_units():
    layer = next(
        layer for layer in build(using("dropout")).layers if isinstance(layer, keras.layers.Dropout)
    )
    dropped = float(np.mean(layer(np.ones((100, 100)), training=True) == 0))
    assert dropped == pytest.approx(STRENGTHS["dropout"]["rate"], abs=0.03)


@pytest.mark.parametrize(("name", "power"), [("l1", 1), ("l2", 2)])
def test_weight_decay_is_the_sum_of_its_powers(name, power):
    model = build(using(name))
    kernels = [v.numpy() for v in model.trainable_variables if v.path.endswith("/kernel")]
    expected = STRENGTHS[name]["kernel"] * sum((np.abs(k) ** power).sum() for k in kernels)
    assert float(sum(model.losses)) == pytest.approx(float(expected), rel=1e-4)


def test_a_policy_is_its_ops_one_after_another():
    policy = using("augment").ops
    assert len(policy) > 1 and dict(policy) == STRENGTHS["augment"]
    assert [name for name, _ in policy] == sorted(STRENGTHS["augment"])


@pytest.mark.parametrize("op", ALONE)
@pytest.mark.parametrize(("size", "channels"), [((8, 8), 1), ((8, 8), 3), ((6, 10), 3)])
@pytest.mark.parametrize("fill", FILLS)
def test_an_op_keeps_shape_type_and_range(op, size, channels, fill):
    images = pictures(8, size, channels)
    made = drawn(using(op, fill_mode=fill), images)
    assert (made.shape, made.dtype) == (images.shape, np.float32)
    assert made.min() >= 0
    assert made.max() <= 255
    if (op, channels) == ("colour", 1):
        np.testing.assert_array_equal(made, images)
    else:
        assert not np.allclose(made, images)


@pytest.mark.parametrize("op", [*ALONE, "augment"])
def test_a_seed_decides_the_draw_and_each_image_has_its_own(op):
    made = using(op)
    same = tf.repeat(pictures(1, channels=3), 16, axis=0)
    one, again, *others = (drawn(made, same, seed) for seed in ((3, 4), (3, 4), (4, 4), (3, 5)))
    np.testing.assert_array_equal(one, again)
    for other in others:
        assert not np.array_equal(one, other)
    assert len(np.unique(one.reshape(16, -1), axis=0)) >= 4


def test_two_ops_of_a_policy_draw_apart():
    """Where shift and rotation shared their numbers, large shifts would go with large angles."""
    both = using("shift").augmenting("shift", **STRENGTHS["shift"])
    ramp = tf.constant(np.tile(np.arange(64.0), (32, 64, 1))[..., None], tf.float32)
    moved = drawn(replace(both, fill_mode="nearest"), ramp)[:, 32, 32, 0] - 32
    alone = drawn(using("shift", fill_mode="nearest"), ramp)[:, 32, 32, 0] - 32
    assert not np.allclose(moved, 2 * alone, atol=0.5)


@pytest.mark.parametrize("op", [*ALONE, "augment"])
def test_an_op_does_the_same_inside_a_graph_of_any_batch_size(op):
    made, images = using(op), pictures(5)
    graph = tf.function(
        lambda x, seed: augment(made, x, seed, tf.range(5, dtype=tf.int64), tf.zeros([], tf.int64)),
        input_signature=[
            tf.TensorSpec([None, 8, 8, 1], tf.float32),
            tf.TensorSpec([2], tf.int32),
        ],
    )
    inside = graph(images, tf.constant([3, 4], tf.int32)).numpy()
    np.testing.assert_allclose(inside, drawn(made, images), atol=1e-3)


@pytest.mark.parametrize("op", [name for name in ALONE if name != "noise"])  # each channel its own
def test_an_op_treats_all_channels_alike(op):
    grey = pictures(8)
    colour = tf.repeat(grey, 3, axis=3)
    made = drawn(using(op), colour)
    np.testing.assert_allclose(made, np.repeat(drawn(using(op), grey), 3, axis=3), atol=1e-3)


@pytest.mark.parametrize("op", WARPS)
@pytest.mark.parametrize("fill", ["nearest", "reflect"])
def test_a_warp_leaves_an_even_image_even(op, fill):
    made = drawn(using(op, fill_mode=fill), tf.fill([16, 8, 8, 3], 100.0))
    np.testing.assert_allclose(made, 100, atol=0.01)


@pytest.mark.parametrize("op", MIXES)
@pytest.mark.parametrize("channels", [1, 3])
def test_mixing_keeps_pixels_and_targets_in_step(op, channels):
    """Image i holds the value i everywhere, so that its mean tells which were mixed, how much."""
    n = 16
    values = tf.range(n, dtype=tf.float32) * 10
    images = tf.tile(values[:, None, None, None], [1, 10, 6, channels])
    targets = tf.one_hot(tf.range(n), n)
    made = using(op)
    mixed, soft = (x.numpy() for x in mix(made, images, targets, tf.constant([3, 4])))
    np.testing.assert_allclose(soft.sum(1), 1, atol=1e-5)
    assert soft.min() >= 0
    np.testing.assert_allclose(mixed.mean((1, 2, 3)), soft @ values.numpy(), atol=0.02)
    assert ((soft > 0.01) & (soft < 0.99)).any(1).mean() > 0.5
    again, _ = mix(made, images, targets, tf.constant([3, 4]))
    np.testing.assert_array_equal(mixed, again)
    if op == "cutmix":
        assert set(np.unique(mixed)) <= set(values.numpy())  # no pixel is a blend


def test_mixup_s_shares_have_their_distribution():
    """Mean and variance of Beta(a, a): 1/2 and 1 / (4 (2a + 1))."""
    for alpha in (0.2, 1.0, 4.0):
        drawn_ = beta(tf.constant([1, 2]), 20_000, alpha).numpy()
        assert drawn_.mean() == pytest.approx(0.5, abs=0.01)
        assert drawn_.var() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_zoom_magnifies_and_shrinks_alike():
    matrices = OPS["zoom"].warp(tf.constant([1, 2]), 2000, 1.5, fraction=0.5).numpy()
    sizes = 1 / matrices[:, 0, 0]
    np.testing.assert_allclose(matrices[:, 0, 0], matrices[:, 1, 1])
    assert 1.45 < sizes.max() <= 1.5001 and 1 / 1.5001 <= sizes.min() < 1 / 1.45
    assert np.mean(sizes > 1) == pytest.approx(0.5, abs=0.05)


def test_colour_turns_hue_and_leaves_lightness_alone():
    red = tf.tile(tf.constant([[[[200.0, 50, 50]]]]), [64, 4, 4, 1])
    made = drawn(using("colour"), red)
    assert np.ptp(made, axis=(1, 2)).max() < 0.01
    np.testing.assert_allclose(made.max(3), 200, atol=0.1)  # the value of HSV
    assert (made.argmax(3) != 0).any()


def test_noise_has_its_standard_deviation():
    made = drawn(using("noise"), tf.fill([32, 16, 16, 3], 128.0)) - 128
    assert made.std() == pytest.approx(255 * STRENGTHS["noise"]["sd"], rel=0.03)
    assert abs(np.corrcoef(made[..., 0].ravel(), made[..., 1].ravel())[0, 1]) < 0.05


def test_erasing_paints_one_rectangle_of_its_area_with_the_mean():
    ramp = np.tile(np.arange(32.0, dtype=np.float32)[:, None] * 7, (64, 1, 32))[..., None]
    made = drawn(using("erasing"), tf.constant(ramp))
    changed = made != ramp
    np.testing.assert_allclose(made[changed], ramp.mean(), rtol=1e-4)
    rows, columns = changed.any((2, 3)).sum(1), changed.any((1, 3)).sum(1)
    areas = changed.sum((1, 2, 3))
    assert (areas >= 0.9 * rows * columns).all()  # a row at the mean itself does not change
    share = rows * columns / 32**2
    assert 0.08 < share.min() < 0.16 and 0.25 < share.max() < 0.33
    half = replace(using(), ops=(("erasing", {**STRENGTHS["erasing"], "probability": 0.5}),))
    some = (drawn(half, tf.constant(ramp)) != ramp).any((1, 2, 3)).mean()
    assert 0.3 < some < 0.7


def test_randaugment_s_colours_are_what_pillow_makes_of_them():
    images = np.random.default_rng(0).integers(30, 200, (4, 16, 16, 3)).astype(np.float32)
    pillow = [Image.fromarray(image.astype(np.uint8)) for image in images]

    def theirs(change):
        return np.stack([np.asarray(change(image), np.float32) for image in pillow])

    ours = {name: getattr(OPS["randaugment"], f"_{name}") for name in OPS["randaugment"].COLOURS}
    factor = tf.fill([4, 1, 1, 1], 1.5)
    checks = {
        "autocontrast": (ImageOps.autocontrast, 1.01),
        "posterize": (lambda image: ImageOps.posterize(image, 8 - 2), 0.01),
        "solarize": (lambda image: ImageOps.solarize(image, 128), 0.01),
        "brightness": (lambda image: ImageEnhance.Brightness(image).enhance(1.5), 1.01),
        "sharpness": (lambda image: ImageEnhance.Sharpness(image).enhance(1.5), 2.01),
    }
    for name, (change, tolerance) in checks.items():
        got, expected = ours[name](tf.constant(images), 0.5, factor).numpy(), theirs(change)
        if name == "sharpness":  # Pillow leaves the border alone
            got, expected = got[:, 1:-1, 1:-1], expected[:, 1:-1, 1:-1]
        np.testing.assert_allclose(got, expected, atol=tolerance, err_msg=name)
    flat = ours["equalize"](tf.constant(images), 0.5, factor).numpy()
    shares = np.histogram(flat, bins=8, range=(0, 255.01))[0] / flat.size
    np.testing.assert_allclose(shares, 1 / 8, atol=0.02)


def test_augmix_blends_an_image_with_what_one_op_makes_of_it():
    """Of one chain of one op the image is a share of the result, uniform, and the op the rest."""
    images = pictures(200, (8, 8), 3)
    seed = tf.constant([3, 4], tf.int32)
    options = {"width": 1, "depth": 1, "strongest": 0.5, "alpha": 1.0}
    made = OPS["augmix"].recolour(seed, images, **options).numpy()
    magnitude = tf.random.stateless_uniform([200], seed + 6, 0, 0.5)
    op = OPS["augmix"]._op(seed + 4, images, magnitude).numpy()
    whole, part = (x.reshape(200, -1) - images.numpy().reshape(200, -1) for x in (op, made))
    changed = np.abs(whole).max(1) > 1
    assert 0.7 < changed.mean() < 1  # the others drew the op that changes nothing
    share = (whole * part).sum(1)[changed] / (whole**2).sum(1)[changed]
    np.testing.assert_allclose(part[changed], share[:, None] * whole[changed], atol=0.1)
    assert share.min() > -1e-3 and share.max() < 1.001
    assert share.mean() == pytest.approx(0.5, abs=0.07)
    assert share.std() == pytest.approx(12**-0.5, abs=0.05)
    np.testing.assert_allclose(part[~changed], 0, atol=1)


def test_augmix_s_chains_have_shares_and_lengths_of_their_own():
    """Pixels stay in range, and longer chains lead further away."""
    images = pictures(64, (8, 8), 3)
    far = []
    for depth in (1, 3):
        options = {"width": 3, "depth": depth, "strongest": 0.5, "alpha": 1.0}
        made = OPS["augmix"].recolour(tf.constant([3, 4]), images, **options).numpy()
        far.append(np.abs(made - images).mean())
        assert made.min() >= 0 and made.max() <= 255
    assert far[1] > 1.1 * far[0]


@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
def test_an_op_of_augmix_moves_as_a_warp_does(size):
    images, seed = pictures(32, size), tf.constant([1, 2], tf.int32)
    magnitude = tf.fill([32], 0.5)
    which, _ = OPS["randaugment"]._drawn(seed, 32, 1)
    geometric = [OPS["randaugment"].LIST[k] in OPS["randaugment"].WARPS for k in which[0].numpy()]
    matrices = OPS["randaugment"].warp(seed, 32, size[1] / size[0], 1, magnitude)
    expected = resample(images, matrices, "CONSTANT").numpy()[geometric]
    made = OPS["augmix"]._op(seed, images, magnitude).numpy()[geometric]
    assert sum(geometric) > 5
    np.testing.assert_allclose(made, expected, atol=0.01)


def first_step(name, times=0.5):
    """Gradients and the first steps that a technique's optimizer makes of them, as
    (name, gradient, step), and the learning rate."""
    recipe = replace(BASE, learning_rate=0.01)
    made = TECHNIQUES[name].apply(recipe, TECHNIQUES[name].Options(times=times))
    model = build(made)
    variables = model.trainable_variables
    optimizer = optimizers.of(made, model, made.learning_rate, {}, 10)
    optimizer.build(variables)
    rng = np.random.default_rng(0)
    gradients = [rng.normal(size=v.shape).astype(np.float32) for v in variables]
    before = [v.numpy() for v in variables]
    optimizer.apply([tf.constant(g) for g in gradients], variables)
    steps = [v.numpy() - b for v, b in zip(variables, before, strict=True)]
    return [(v.path, *x) for v, *x in zip(variables, gradients, steps, strict=True)], made


def test_lion_moves_each_weight_by_the_learning_rate_against_its_gradient():
    steps, made = first_step("lion")
    assert made.learning_rate == 0.005
    for name, gradient, step in steps:
        np.testing.assert_allclose(step, -0.005 * np.sign(gradient), atol=1e-7, err_msg=name)


def test_muon_makes_the_steps_of_dense_kernels_orthogonal_and_no_others():
    steps, made = first_step("muon", times=1.0)
    kinds = {True: 0, False: 0}
    for name, gradient, step in steps:
        dense = gradient.ndim == 2
        kinds[dense] += 1
        if dense:
            # Five Newton-Schulz steps bring singular values near 1, not to it; decay adds a little.
            scale = made.learning_rate * 0.2 * max(gradient.shape) ** 0.5
            values = np.linalg.svd(step / scale, compute_uv=False)
            assert values.min() > 0.5 and values.max() < 1.4, name
            spread = np.linalg.svd(gradient, compute_uv=False)
            assert spread.max() / spread.min() > values.max() / values.min()
        else:  # Adam's first step is the learning rate
            np.testing.assert_allclose(np.abs(step), made.learning_rate, rtol=0.02, err_msg=name)
    assert min(kinds.values()) > 1


@pytest.mark.parametrize("name", ["lion", "muon"])
@pytest.mark.parametrize("start", starts())
def test_an_optimizer_scales_the_rates_of_every_start(name, start):
    """Also of those whose names come after its own."""
    sections = made_up.using(SECTIONS, **{name: {"times": 0.25}})
    plain, made = sections.recipe([start]), sections.recipe([start, name])
    assert made.optimizer == name and made.learning_rate == 0.25 * plain.learning_rate
    for one, other in zip(plain.phases, made.phases, strict=True):
        assert other.learning_rate == 0.25 * one.learning_rate


def test_two_optimizers_are_refused():
    with pytest.raises(UserError, match="optimizer is set already, by lion"):
        SECTIONS.recipe(["lion", "muon"])


def test_brightness_adds_one_amount_within_its_limit():
    grey = tf.fill([64, 4, 4, 3], 128.0)
    added = drawn(using("brightness"), grey) - 128
    assert np.ptp(added, axis=(1, 2, 3)).max() < 1e-3
    limit = 255 * STRENGTHS["brightness"]["fraction"]
    assert 0.8 * limit < np.abs(added).max() <= limit + 1e-3
    assert added.min() < 0 < added.max()


def test_contrast_scales_the_distance_from_the_mean():
    image = np.tile(np.float32([[[100, 140]], [[50, 90]]]), (32, 1, 1))[..., None]
    made = drawn(using("contrast"), tf.constant(image))
    np.testing.assert_allclose(made.mean((1, 2, 3)), [120, 70] * 32, atol=1e-3)
    factor = (made[:, 0, 1, 0] - made[:, 0, 0, 0]) / 40
    fraction = STRENGTHS["contrast"]["fraction"]
    assert 1 - fraction <= factor.min() < 1 - 0.7 * fraction
    assert 1 + 0.7 * fraction < factor.max() <= 1 + fraction


def shift_matrix(right, down, size=(8, 8)):
    """Takes each pixel from `right` and `down` pixels further on."""
    height, width = size
    return [[1, 0, right * 2 / width], [0, 1, down * 2 / height], [0, 0, 1]]


def resampled(images, matrix, fill="CONSTANT"):
    n = images.shape[0]
    matrices = tf.repeat(tf.constant([matrix], tf.float32), n, axis=0)
    return resample(images, matrices, fill).numpy()


@pytest.mark.parametrize("size", [(8, 8), (6, 10)])
@pytest.mark.parametrize(("right", "down"), [(2, 0), (0, 3), (-1, 2), (0, 0)])
def test_a_shift_by_whole_pixels_moves_them_exactly(size, right, down):
    images = pictures(3, size, 3)
    height, width = size
    made = resampled(images, shift_matrix(right, down, size))
    padded = np.pad(images.numpy(), ((0, 0), (4, 4), (4, 4), (0, 0)))
    expected = padded[:, 4 + down : 4 + down + height, 4 + right : 4 + right + width]
    np.testing.assert_allclose(made, expected, atol=0.01)


def test_a_shift_by_half_a_pixel_takes_the_mean_of_two():
    images = pictures(3)
    made = resampled(images, shift_matrix(0.5, 0))[:, :, :-1]
    np.testing.assert_allclose(made, (images[:, :, :-1] + images[:, :, 1:]) / 2, atol=0.01)


@pytest.mark.parametrize(
    ("fill", "mode"), [("CONSTANT", "constant"), ("NEAREST", "edge"), ("REFLECT", "symmetric")]
)
def test_fill_modes_are_what_lies_beyond_the_edge(fill, mode):
    images = pictures(3)
    made = resampled(images, shift_matrix(3, -2), fill)
    padded = np.pad(images.numpy(), ((0, 0), (4, 4), (4, 4), (0, 0)), mode)
    np.testing.assert_allclose(made, padded[:, 2:10, 7:15], atol=0.01)


@pytest.mark.parametrize("turns", [1, 2, 3])
@pytest.mark.parametrize("size", [8, 7])
def test_rotations_by_right_angles_are_exact(turns, size):
    images = pictures(3, (size, size), 3)
    quarter = np.float32([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
    made = resampled(images, np.linalg.matrix_power(quarter, turns), "NEAREST")
    np.testing.assert_allclose(made, np.rot90(images, turns, (1, 2)), atol=0.05)


def test_rotation_draws_angles_up_to_its_limit_to_both_sides():
    matrices = OPS["rotation"].warp(tf.constant([1, 2]), 500, 1.0, degrees=30).numpy()
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 28 < angles.max() <= 30.001
    assert -30.001 <= angles.min() < -28
    np.testing.assert_allclose(
        matrices @ matrices.swapaxes(1, 2), np.tile(np.eye(3), (500, 1, 1)), atol=1e-5
    )


def test_shift_moves_up_to_its_share_of_width_and_height():
    matrices = OPS["shift"].warp(tf.constant([1, 2]), 500, 1.0, fraction=0.25).numpy()
    np.testing.assert_array_equal(matrices[:, :2, :2], np.tile(np.eye(2), (500, 1, 1)))
    moved = matrices[:, :2, 2] / 2  # of a whole width
    assert 0.24 < moved.max() <= 0.25
    assert -0.25 <= moved.min() < -0.24
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.2


@pytest.mark.parametrize(("horizontal", "vertical"), [(True, False), (False, True), (True, True)])
def test_flips_mirror_half_of_the_images_and_undo_themselves(horizontal, vertical):
    images = pictures(64)
    made = drawn(BASE.augmenting("flip", horizontal=horizontal, vertical=vertical), images)
    kinds = [(1, 1)]
    kinds += [(1, -1)] * horizontal + [(-1, 1)] * vertical + [(-1, -1)] * (horizontal and vertical)
    mirrored = [images[:, ::v, ::h].numpy() for v, h in kinds]
    which = [
        [np.allclose(image, m[i], atol=0.01) for m in mirrored] for i, image in enumerate(made)
    ]
    assert (np.sum(which, axis=1) == 1).all()
    shares = np.mean(which, axis=0)
    np.testing.assert_allclose(shares, 1 / len(kinds), atol=0.2)
    once = resampled(images, np.diag([-1, -1, 1]))
    np.testing.assert_allclose(
        resampled(tf.constant(once), np.diag([-1, -1, 1])), images, atol=0.01
    )


def test_warps_of_a_policy_resample_once():
    """A shift there and back again loses nothing inside, as one matrix."""
    images = pictures(2, (16, 16))
    there, back = (np.float32(shift_matrix(x, 0, (16, 16))) for x in (1.5, -1.5))
    np.testing.assert_allclose(resampled(images, there @ back), images, atol=0.01)
    twice = resampled(tf.constant(resampled(images, there)), back)
    assert np.abs(twice - images)[:, :, 3:-3].max() > 10
    made = using("shift", "rotation")
    matrix = [
        OPS[name].warp(tf.constant([3, 4 + i * 7919]), 2, 1.0, **strength)
        for i, (name, strength) in enumerate(made.ops)
    ]
    once = resample(images, tf.matmul(*matrix), made.fill_mode.upper())
    np.testing.assert_allclose(drawn(made, images), once, atol=0.01)


def test_a_turn_does_not_squeeze_an_image_that_is_not_square():
    """A bar along the longer side, turned a quarter, keeps as much of its length as fits."""
    bar = np.zeros((1, 16, 32, 1), np.float32)
    bar[0, 7:9, 11:21] = 255  # 10 pixels long, 2 high
    turns = OPS["rotation"].warp(tf.constant([1, 2]), 4000, 2.0, degrees=90).numpy()
    matrix = min(turns, key=lambda m: abs(m[0, 0]))  # the one nearest to 90 degrees
    turned = resample(tf.constant(bar), tf.constant(matrix[None]), "CONSTANT").numpy()[0, ..., 0]
    rows, columns = np.nonzero(turned > 100)
    assert np.ptp(rows) + 1 == pytest.approx(10, abs=1)
    assert np.ptp(columns) + 1 == pytest.approx(2, abs=1)
