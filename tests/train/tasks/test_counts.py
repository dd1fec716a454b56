"""Counts of predicted masks: against NumPy, scikit-learn and SciPy's distances."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import ndimage
from sklearn.metrics import confusion_matrix

from cnnlab.scoring import LEAST
from cnnlab.tasks.segmentation import METRICS, parts
from cnnlab.train.tasks._counts import VOID, boundary_f1, counts


def blobs(rng, n, height, width, classes):
    """Masks of smooth regions, int (n, height, width)."""
    noise = rng.normal(size=(classes, n, height, width))
    return np.argmax([ndimage.gaussian_filter(x, (0, 2, 2)) for x in noise], axis=0)


def made(seed, n=6, height=24, width=31, classes=4):
    """Probabilities that lean to the truth, and masks with a part that is not judged."""
    rng = np.random.default_rng(seed)
    truth = blobs(rng, n, height, width, classes)
    noise = rng.gumbel(size=(*truth.shape, classes))
    logits = 2 * np.eye(classes)[truth] + ndimage.gaussian_filter(noise, (0, 1, 1, 0)) * 4
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    masks = np.where(blobs(rng, n, height, width, 5) == 0, VOID, truth)
    return probabilities.astype(np.float32), masks.astype(np.uint8)


def edges_of(region):
    """The pixels that erosion takes away; what is beyond the image takes none."""
    cross = ndimage.generate_binary_structure(2, 1)
    return region & ~ndimage.binary_erosion(region, cross, border_value=1)


def near(edges, others, tolerance):
    """How much of edges lies within a distance of others."""
    if not edges.any() or not others.any():
        return 0.0
    return np.mean(ndimage.distance_transform_edt(~others)[edges] <= tolerance)


def reference_f1(true, predicted):
    """Of one class of one image, bool (height, width)."""
    if not true.any() and not predicted.any():
        return -1.0
    tolerance = max(1.0, 0.0075 * np.hypot(*true.shape))
    a, b = edges_of(true), edges_of(predicted)
    if not a.any() and not b.any():
        return float(true.any() and predicted.any())
    precision, recall = near(b, a, tolerance), near(a, b, tolerance)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("seed", range(3))
def test_counts_agree_with_the_confusion_of_pixels(seed):
    probabilities, masks = made(seed)
    found = counts(probabilities, masks, 4)
    assert found.dtype == tf.float32 and found.shape == (6, 18)
    p = parts(found.numpy())
    for i, (share, mask) in enumerate(zip(probabilities, masks, strict=True)):
        keep = mask != VOID
        share, truth = share[keep], mask[keep]
        confusion = confusion_matrix(truth, share.argmax(axis=-1), labels=range(4))
        np.testing.assert_array_equal(p.shared[i], np.diag(confusion))
        np.testing.assert_array_equal(p.predicted[i], confusion.sum(axis=0))
        np.testing.assert_array_equal(p.true[i], confusion.sum(axis=1))
        assert p.pixels[i] == keep.sum()
        expected = -np.log(share[np.arange(len(truth)), truth].astype(float)).mean()
        assert p.nll[i] == pytest.approx(expected, rel=1e-5)


# A tolerance of 1 pixel; of 2.4, where a disc is no square; of 3.2, where the image is not one.
@pytest.mark.parametrize(("height", "width"), [(24, 31), (224, 224), (120, 410)])
def test_boundary_f1_agrees_with_distances(height, width):
    probabilities, masks = made(7, 3, height, width)
    found = parts(counts(probabilities, masks, 4).numpy()).boundary
    for i, (share, mask) in enumerate(zip(probabilities, masks, strict=True)):
        guess = np.where(mask == VOID, VOID, share.argmax(axis=-1))
        expected = [reference_f1(mask == c, guess == c) for c in range(4)]
        np.testing.assert_allclose(found[i], expected, atol=1e-6)
    assert ((found > 0.05) & (found < 0.95)).any()


def square(size, top, left, side):
    mask = np.zeros((size, size), np.uint8)
    mask[top : top + side, left : left + side] = 1
    return mask


def answers(mask, classes=2):
    return np.eye(classes, dtype=np.float32)[mask][None]


def test_a_boundary_may_be_off_by_the_tolerance_and_no_more():
    """Of images of 32 pixels that is 1 pixel, of those of 256 it is 2.7."""
    for size, allowed in ((32, 1), (256, 2)):
        truth = square(size, size // 4, size // 4, size // 2)[None]
        for shift in range(allowed + 2):
            moved = square(size, size // 4, size // 4 + shift, size // 2)
            f1 = parts(counts(answers(moved), truth, 2).numpy()).boundary[0]
            assert (f1 == 1).all() == (shift <= allowed), (size, shift)


def test_a_class_that_is_nowhere_or_everywhere():
    """Neither has it: -1. It fills both: 1. One alone has it, or a boundary of it: 0."""
    none, all_of_it, part = (np.full((16, 16), 0), np.full((16, 16), 1), square(16, 4, 4, 8))
    masks = [(none, none), (all_of_it, all_of_it), (none, all_of_it), (none, part)]
    masks += [(all_of_it, part), (part, part)]
    expected = [[1, -1], [-1, 1], [0, 0], [0, 0], [0, 0], [1, 1]]
    for (truth, guess), f1 in zip(masks, expected, strict=True):
        found = counts(answers(guess), truth[None], 2).numpy()
        assert parts(found).boundary.tolist() == [f1]


def test_pixels_that_are_not_judged_count_nowhere():
    """Whatever is predicted there."""
    probabilities, masks = made(1)
    other = np.where((masks == VOID)[..., None], np.roll(probabilities, 1, axis=-1), probabilities)
    np.testing.assert_array_equal(counts(other, masks, 4), counts(probabilities, masks, 4))


def test_an_image_that_is_not_judged_at_all_is_finite():
    found = counts(answers(square(8, 2, 2, 4)), np.full((1, 8, 8), VOID, np.uint8), 2)
    assert found.numpy().tolist() == [[0] * 6 + [-1, -1, 0, 0]]


def test_a_certain_error_is_a_finite_loss_and_ties_go_to_the_first_class():
    sure = answers(np.ones((4, 4), int))
    zeros = np.zeros((1, 4, 4), np.int64)
    assert parts(counts(sure, zeros, 2).numpy()).nll[0] == pytest.approx(-np.log(LEAST), rel=1e-6)
    tied = parts(counts(np.full((1, 4, 4, 2), 0.5, np.float32), zeros, 2).numpy())
    assert tied.predicted.tolist() == [[16, 0]]
    assert tied.nll[0] == pytest.approx(np.log(2))


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_within_a_graph_it_is_the_same_for_batches_of_any_size(kind, compiled):
    probabilities, masks = made(2)
    signature = [
        tf.TensorSpec([None, 24, 31, 4], tf.float32),
        tf.TensorSpec([None, 24, 31], tf.as_dtype(kind)),
    ]
    traced = tf.function(lambda p, m: counts(p, m, 4), signature, jit_compile=compiled)
    found = traced(probabilities, masks.astype(kind)).numpy()
    expected = counts(probabilities, masks, 4).numpy()
    np.testing.assert_array_equal(np.delete(found, 16, axis=1), np.delete(expected, 16, axis=1))
    np.testing.assert_allclose(found[:, 16], expected[:, 16], rtol=1e-6)
    np.testing.assert_allclose(traced(probabilities[:2], masks[:2].astype(kind)), found[:2])


def test_metrics_of_counts_are_those_of_masks():
    from sklearn.metrics import jaccard_score

    probabilities, masks = made(3)
    found = counts(probabilities, masks, 4).numpy()
    guess = probabilities.argmax(axis=-1)
    expected = [
        jaccard_score(m[m != VOID], g[m != VOID], average="macro")
        for m, g in zip(masks, guess, strict=True)
    ]
    assert METRICS["iou"].values(None, found) == pytest.approx(expected)


def test_boundary_f1_of_regions_alone():
    """Of three predicted boundaries one is at the true one: precision 1/3, recall 1."""
    true = np.zeros((1, 20, 40, 1), np.float32)
    true[:, :, :10] = 1
    predicted = true.copy()
    predicted[:, :, 20:30] = 1  # a stripe more has two boundaries, far from any
    f1 = boundary_f1(tf.constant(true), tf.constant(predicted)).numpy()
    assert f1.item() == pytest.approx(0.5)
