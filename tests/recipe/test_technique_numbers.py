"""Techniques that bring a loss, gradients, an average or layers of their own: their numbers."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from cnnlab.errors import UserError
from cnnlab.recipe.techniques import TECHNIQUES
from cnnlab.recipe.techniques.randaugment import COLOURS, LIST, WARPS
from cnnlab.recipe.techniques.trivial_augment import _magnitudes
from cnnlab.train.augmentation import augment
from cnnlab.train.fit import fit
from cnnlab.train.optimizer import _with_mean, of
from cnnlab.train.tasks import segmentation
from tests import made_up

BASE = replace(made_up.sections(), model=made_up.model("vgg", convs=1)).recipe([])


def test_focal_loss_is_equation_4_of_its_paper():
    logits = tf.constant([[2.0, 0.0, -1.0], [0.5, 0.5, 0.5]])
    targets = tf.constant([[1.0, 0, 0], [0, 1.0, 0]])
    p = tf.nn.softmax(logits).numpy()[[0, 1], [0, 1]]
    made = TECHNIQUES["focal_loss"].loss(targets, logits, gamma=2.0)
    np.testing.assert_allclose(made, -((1 - p) ** 2) * np.log(p), rtol=1e-5)
    # Lin et al. 2017, section 3.2: at p = 0.9 and gamma = 2, 100 times less than cross-entropy.
    sure = tf.math.log(tf.constant([[0.9, 0.1]]))
    focal = TECHNIQUES["focal_loss"].loss(tf.constant([[1.0, 0.0]]), sure, gamma=2.0)
    assert -np.log(0.9) / focal.numpy()[0] == pytest.approx(100, rel=1e-4)


def test_cosine_loss_is_the_angle_to_the_target_beside_cross_entropy():
    logits, targets = tf.constant([[3.0, 4.0], [0.0, 2.0]]), tf.constant([[1.0, 0], [0, 1.0]])
    entropy = tf.nn.softmax_cross_entropy_with_logits(targets, logits).numpy()
    made = TECHNIQUES["cosine_loss"].loss(targets, logits, cross_entropy=0.5).numpy()
    np.testing.assert_allclose(made, [1 - 0.6, 0] + 0.5 * entropy, atol=1e-6)
    longer = TECHNIQUES["cosine_loss"].loss(targets, 10 * logits, cross_entropy=1e-9).numpy()
    np.testing.assert_allclose(longer, [0.4, 0], atol=1e-5)  # its length plays no part


def masks_and_logits():
    """Two images of three classes, one of which the first does not show; void where targets are 0.
    float32 (2, 2, 3, 3) each."""
    rng = np.random.default_rng(3)
    numbers = np.array([[[0, 0, 1], [1, 9, 0]], [[2, 1, 0], [9, 9, 2]]])
    targets = (numbers[..., None] == range(3)).astype(np.float32)
    return targets, rng.normal(size=targets.shape).astype(np.float32) * 2


def dice_by_loops(targets, logits, smooth):
    """Drozdzal et al. 2016, equation 2, with `smooth` added above and below; the mean over the
    classes that an image shows. float64 (n,)."""
    losses = []
    for target, logit in zip(targets, np.asarray(logits, float), strict=True):
        shares = np.exp(logit) / np.exp(logit).sum(-1, keepdims=True)
        judged, missing = target.sum(-1) == 1, []
        for c in range(target.shape[-1]):
            true, share = target[judged][:, c], shares[judged][:, c]
            if true.any():
                both, sizes = (true * share).sum(), true.sum() + share.sum()
                missing.append(1 - (2 * both + smooth) / (sizes + smooth))
        losses.append(np.mean(missing))
    return np.array(losses)


def test_dice_loss_is_the_share_that_regions_do_not_share():
    """By hand: shares 0.8 and 0.4 of the first class, of which the first pixel is: (1.6 + 1) / (1 +
    1.2 + 1); of the second (1.2 + 1) / (1 + 0.8 + 1). A void pixel and a third class that is not
    there change nothing."""
    loss = TECHNIQUES["dice_loss"].loss
    logits = tf.math.log([[[[0.8, 0.2], [0.4, 0.6]]]])
    expected = 1 - (2.6 / 3.2 + 2.2 / 2.8) / 2
    assert loss(tf.eye(2)[None, None], logits, smooth=1.0).numpy() == pytest.approx([expected])
    targets, logits = masks_and_logits()
    for smooth in (0.01, 1.0, 50.0):
        made = loss(tf.constant(targets), tf.constant(logits), smooth=smooth).numpy()
        np.testing.assert_allclose(made, dice_by_loops(targets, logits, smooth), rtol=1e-5)
    right = loss(tf.constant(targets), tf.constant(1e3 * targets), smooth=1.0).numpy()
    np.testing.assert_allclose(right, 0, atol=1e-6)


def test_dice_loss_has_the_gradient_of_its_formula_and_none_at_void_pixels():
    targets, logits = masks_and_logits()
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(TECHNIQUES["dice_loss"].loss(tf.constant(targets), x, smooth=1.0))
    found = tape.gradient(loss, x).numpy()
    expected = np.zeros(logits.shape)
    for i in np.ndindex(*logits.shape):
        step = np.zeros(logits.shape)
        step[i] = 1e-5
        above, below = (dice_by_loops(targets, logits + s, 1.0).sum() for s in (step, -step))
        expected[i] = (above - below) / 2e-5
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not found[targets.sum(-1) == 0].any() and found[targets.sum(-1) == 1].all()


def test_dice_loss_of_an_image_without_judged_pixels_teaches_nothing():
    x = tf.constant(masks_and_logits()[1])
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = TECHNIQUES["dice_loss"].loss(tf.zeros_like(x), x, smooth=1.0)
    assert not loss.numpy().any() and not tape.gradient(loss, x).numpy().any()


def test_dice_loss_takes_smoothed_labels_and_leaves_void_pixels_out():
    """Label smoothing gives void pixels a share of every class."""
    targets, logits = masks_and_logits()
    other = np.where(targets.sum(-1, keepdims=True) == 0, np.add(logits, [9, 0, 0]), logits)
    smoothed = tf.constant(0.8 * targets + 0.2 / 3, tf.float32)
    one, same = (
        TECHNIQUES["dice_loss"].loss(smoothed, tf.constant(x, tf.float32), smooth=1.0).numpy()
        for x in (logits, other)
    )
    np.testing.assert_array_equal(one, same)
    hard = TECHNIQUES["dice_loss"].loss(tf.constant(targets), tf.constant(logits), smooth=1.0)
    assert (np.abs(one - hard) > 1e-3).all()


def test_dice_and_cross_entropy_are_added_up_by_weight():
    targets, logits = masks_and_logits()
    entropy = -np.sum(targets * (logits - np.log(np.exp(logits).sum(-1, keepdims=True))), axis=-1)
    dice = dice_by_loops(targets, logits, 1.0)[:, None, None]
    both = (tf.constant(targets), tf.constant(logits))
    for weight in (0.5, 2.0):
        made = TECHNIQUES["dice_cross_entropy"].loss(*both, weight=weight).numpy()
        assert made.shape == (2, 2, 3)
        np.testing.assert_allclose(made, entropy + weight * dice, rtol=1e-5)
    # As nnU-Net adds up the mean over pixels and the mean over images, where none is void.
    full = tf.one_hot(tf.constant([[[0, 1, 1]], [[1, 0, 0]]]), 2)
    x = tf.constant(logits[:, :1, :, :2])
    made = segmentation.mean(
        tf.ones([2, 1, 3]), TECHNIQUES["dice_cross_entropy"].loss(full, x, weight=1.0)
    )
    entropy = tf.nn.softmax_cross_entropy_with_logits(full, x)
    parts = tf.reduce_mean(entropy) + tf.reduce_mean(
        TECHNIQUES["dice_loss"].loss(full, x, smooth=1.0)
    )
    assert float(made) == pytest.approx(float(parts), rel=1e-5)


@pytest.mark.parametrize("name", ["focal_loss", "dice_cross_entropy"])
def test_a_loss_of_each_pixel_weighs_void_ones_nothing(name):
    """Whatever the network says there, with smoothed labels and weighted classes too."""
    targets, logits = masks_and_logits()
    void = targets.sum(-1) == 0
    weights = tf.constant(targets @ [1.0, 2.0, 3.0], tf.float32)
    smoothed = tf.constant(0.9 * targets + 0.1 / 3, tf.float32)
    _, options = replace(made_up.sections(), task="segmentation").recipe([name]).loss
    x = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = segmentation.mean(weights, TECHNIQUES[name].loss(smoothed, x, **options))
    gradient = tape.gradient(loss, x).numpy()
    assert not gradient[void].any() and gradient[~void].all()


def test_classes_that_weigh_the_same_already_are_not_balanced():
    sections = made_up.sections(balanced=True)
    sections = replace(sections, task="segmentation")
    with pytest.raises(UserError, match=r"dice_loss: all classes .* train\.balanced: false"):
        sections.recipe(["dice_loss"])
    assert sections.recipe(["dice_cross_entropy"]).balanced


def test_sam_steps_by_the_gradient_uphill():
    """Of w1**2 + 3 * w2**2 at (1, 1): uphill is (2, 6), of length sqrt(40)."""
    w = keras.Variable([1.0, 1.0])

    def at():
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.constant([1.0, 3.0]) * w.value**2)
        return loss, tape.gradient(loss, [w.value])

    loss, (gradient,) = TECHNIQUES["sam"].gradients(at, [w], rho=0.1)
    uphill = 1 + 0.1 * np.array([2, 6]) / np.sqrt(40)
    np.testing.assert_allclose(gradient, [2, 6] * uphill, rtol=1e-6)
    assert float(loss) == 4.0
    np.testing.assert_array_equal(w.numpy(), [1, 1])  # as it was, to the bit


def test_the_mean_of_weights_begins_at_its_step_and_counts_each_alike():
    weight = keras.Variable([0.0])
    optimizer = _with_mean(keras.optimizers.SGD, first=2)(learning_rate=1.0, use_ema=True)
    optimizer.build([weight])
    path = []
    for step in (1.0, 2.0, 3.0, 6.0, 5.0):
        optimizer.apply([tf.constant([-step])], [weight])
        path.append(float(weight.numpy()[0]))
    assert path == [1, 3, 6, 12, 17]
    optimizer.finalize_variable_values([weight])
    np.testing.assert_allclose(weight.numpy(), [np.mean(path[2:])], rtol=1e-6)


def test_swa_evaluates_the_mean_and_trains_on_from_the_last_step():
    data = made_up.data()
    plain = fit(replace(BASE, epochs=4), data, seed=1)
    last = [w.copy() for w in plain.model.get_weights()]
    nearly_all = fit(replace(BASE, epochs=4, mean_from=0.01), data, seed=1)
    assert nearly_all.history[-1]["objective"] == plain.history[-1]["objective"]
    assert any((a != b).any() for a, b in zip(last, nearly_all.model.get_weights(), strict=True))


def test_an_alternating_flip_takes_turns():
    """Half of the images in every epoch, the others in the next, the same ones every second."""
    images = tf.constant(np.random.default_rng(0).uniform(0, 255, (64, 8, 8, 1)), tf.float32)
    recipe, rows = BASE.augmenting("alternating_flip"), tf.range(64, dtype=tf.int64)

    def flipped(epoch, seed):
        made = augment(recipe, images, tf.constant([seed, 1]), rows, tf.constant(epoch, tf.int64))
        return np.array(
            [
                np.allclose(m, i[:, ::-1], atol=0.01)
                for m, i in zip(made, images.numpy(), strict=True)
            ]
        )

    first, second, third = (flipped(epoch, seed=epoch) for epoch in range(3))
    assert 24 <= first.sum() <= 40
    np.testing.assert_array_equal(second, ~first)
    np.testing.assert_array_equal(third, first)


def test_blur_pool_blurs_by_its_filter_before_it_takes_every_second_pixel():
    maps = np.zeros((1, 8, 8, 1), np.float32)
    maps[0, 3, 3] = 16.0
    out = maps
    for layer in TECHNIQUES["blur_pool"].layers("pool1"):
        out = layer(out)
    assert out.shape == (1, 4, 4, 1)
    # The maximum of 2x2 pixels makes a square of four of one pixel; the filter spreads them.
    square = np.zeros((8, 8))
    square[2:4, 2:4] = 16
    rows = np.array([0.25, 0.5, 0.25])
    blurred = np.array([np.convolve(row, rows, "full")[1:-1] for row in square])
    blurred = np.array([np.convolve(column, rows, "full")[1:-1] for column in blurred.T]).T
    np.testing.assert_allclose(np.sort(out.numpy().ravel())[-4:].sum(), blurred[1::2, 1::2].sum())


def test_blur_pool_hardly_notices_a_shift_by_a_pixel():
    rng = np.random.default_rng(0)
    smooth = rng.normal(size=(4, 34, 34, 3)).astype(np.float32)
    here, there = smooth[:, :32, :32], smooth[:, 1:33, 1:33]

    def pooled(maps, layers):
        for layer in layers:
            maps = layer(maps)
        return maps.numpy()[:, 2:-2, 2:-2]

    plain = [pooled(maps, [keras.layers.MaxPooling2D()]) for maps in (here, there)]
    blur = [pooled(maps, TECHNIQUES["blur_pool"].layers("p")) for maps in (here, there)]

    def moved(pair):
        return np.abs(pair[0] - pair[1]).mean() / np.abs(pair[0] - pair[0].mean()).mean()

    assert moved(blur) < 0.8 * moved(plain)


def test_squeeze_and_excite_scales_each_map_by_a_factor_between_0_and_1():
    maps = np.random.default_rng(0).uniform(1, 2, (2, 5, 5, 6)).astype(np.float32)
    (scale,) = TECHNIQUES["squeeze_excite"].layers("block", ratio=2)
    inputs = keras.Input(maps.shape[1:])
    model = keras.Model(inputs, scale(inputs))
    factor = model(maps).numpy() / maps
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1, :1], factor.shape), rtol=1e-5)
    assert (factor > 0).all()
    assert (factor < 1).all()
    assert model.get_layer("block_excite1").kernel.shape == (1, 1, 6, 3)


def test_trivial_augment_gives_each_image_one_op_at_a_magnitude_of_its_own():
    seed = tf.constant([1, 2], tf.int32)
    magnitudes = _magnitudes(seed, 2000, 0.5).numpy()
    assert 0 <= magnitudes.min() < 0.01
    assert 0.49 < magnitudes.max() < 0.5
    ramp = np.linspace(0, 255, 64 * 16 * 16, dtype=np.float32).reshape(64, 16, 16, 1)
    images = tf.constant(np.concatenate([ramp, 255 - ramp]))
    op = TECHNIQUES["trivial_augment"]
    warped = op.warp(seed, 128, 1.0, strongest=0.5).numpy()
    moved = np.abs(warped - np.eye(3)).max((1, 2)) > 1e-6
    coloured = op.recolour(seed, images, strongest=0.5).numpy()
    recoloured = np.abs(coloured - images.numpy()).max((1, 2, 3)) > 1e-3
    assert not (moved & recoloured).any()  # one op an image
    assert moved.mean() == pytest.approx(len(WARPS) / len(LIST), abs=0.15)
    assert recoloured.mean() == pytest.approx(len(COLOURS) / len(LIST), abs=0.2)


def test_momentum_is_nesterov_s():
    """Against the recurrence of Sutskever et al. 2013 as Keras states it."""
    recipe = TECHNIQUES["momentum"].apply(
        BASE, TECHNIQUES["momentum"].Options(momentum=0.9, times=10.0)
    )
    assert (recipe.optimizer, recipe.momentum) == ("sgd", 0.9)
    assert recipe.learning_rate == 10 * BASE.learning_rate
    weight = keras.Variable([1.0])
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    optimizer = of(recipe, model, 0.05, {}, 10)
    optimizer.build([weight])
    value = velocity = 0.0
    for gradient in (1.0, -0.5, 2.0):
        optimizer.apply([tf.constant([gradient])], [weight])
        velocity = 0.9 * velocity - 0.05 * gradient
        value += 0.9 * velocity - 0.05 * gradient
    np.testing.assert_allclose(weight.numpy(), [1 + value], rtol=1e-6)
