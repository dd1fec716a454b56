"""What one network's masks are worth: against scikit-learn, and a bootstrap that copies images."""

import numpy as np
import pytest
from sklearn import metrics as sk

from cnnlab.compare.masked import CLASS_COLUMNS, judge_masks
from cnnlab.tasks.segmentation import METRICS
from tests.tasks.test_segmentation import VOID, counted

NAMES = ["background", "cat", "dog"]
HOW = {"confidence": 0.9, "draws": 4000, "seed": 7}


def drawn(n=24, pixels=60, seed=0):
    """Truth and prediction (n, pixels) of NAMES; some pixels are void."""
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, (n, pixels), p=[0.6, 0.3, 0.1])
    truth[::3] = np.where(truth[::3] == 2, 0, truth[::3])  # without dogs
    noise = rng.choice(3, truth.shape)
    predicted = np.where(rng.random(truth.shape) < rng.uniform(0, 0.8, (n, 1)), noise, truth)
    truth[rng.random(truth.shape) < 0.1] = VOID
    return truth, predicted


def judged(truth, predicted, groups=None, **how):
    groups = np.arange(len(truth)) if groups is None else groups
    labels = np.zeros(len(truth), np.int64)
    return judge_masks(labels, counted(truth, predicted, 3), groups, NAMES, **(HOW | how))


def test_metrics_are_those_of_the_task_and_classes_those_of_all_pixels():
    truth, predicted = drawn()
    made, outputs = judged(truth, predicted), counted(truth, predicted, 3)
    for name, metric in METRICS.items():
        score = metric.score(np.zeros(len(outputs), np.int64), outputs)
        assert made.metrics[name].value == pytest.approx(score, rel=1e-9), name
        assert made.metrics[name].low < score < made.metrics[name].high, name
    assert list(made.metrics) == list(METRICS)
    keep = truth != VOID
    t, p = truth[keep], predicted[keep]
    ious = sk.jaccard_score(t, p, average=None)
    precision, recall, *_ = sk.precision_recall_fscore_support(t, p)
    for i, row in enumerate(made.classes):
        assert list(row) == CLASS_COLUMNS and row["class"] == NAMES[i]
        assert row["images"] == (truth == i).any(axis=1).sum()
        assert row["share"] == pytest.approx(np.mean(t == i))
        assert (row["iou"], row["precision"], row["recall"]) == pytest.approx(
            (ious[i], precision[i], recall[i])
        )
        assert row["low"] < row["iou"] < row["high"]


def test_intervals_are_those_of_a_bootstrap_that_copies_whole_groups():
    """And groups of several images vary more than images that are all on their own."""
    truth, predicted = drawn()
    predicted[:8] = 0  # images of one group are alike
    groups = np.arange(24) // 4
    made, alone = judged(truth, predicted, groups), judged(truth, predicted)
    assert made.method == "bootstrap over 6 groups of images"
    assert alone.method == "bootstrap over 24 images" and alone.images == made.images == 24
    rng, scores = np.random.default_rng(1), {"iou": [], "miou": [], "pixel_nll": [], "cat": []}
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(groups == g) for g in rng.integers(0, 6, 6)])
        outputs = counted(truth[rows], predicted[rows], 3)
        labels = np.zeros(len(rows), np.int64)
        for name in ("iou", "miou", "pixel_nll"):
            scores[name].append(METRICS[name].score(labels, outputs))
        both = outputs[:, 1].sum()
        scores["cat"].append(both / (outputs[:, 4].sum() + outputs[:, 7].sum() - both))
    cat = made.classes[1]
    ends = {**{k: v[1:] for k, v in made.metrics.items()}, "cat": (cat["low"], cat["high"])}
    for name, values in scores.items():
        low, high = np.quantile(values, [0.05, 0.95])
        assert ends[name] == pytest.approx((low, high), abs=0.12 * (high - low)), name
    wide, narrow = (m.metrics["iou"].high - m.metrics["iou"].low for m in (made, alone))
    assert wide > 1.2 * narrow


def test_images_without_judged_pixels_have_no_say():
    truth, predicted = drawn(12)
    more = np.concatenate([truth, np.full((3, truth.shape[1]), VOID)])
    same = np.concatenate([predicted, np.ones((3, truth.shape[1]), int)])
    plain, with_void = judged(truth, predicted), judged(more, same)
    for name in METRICS:
        assert with_void.metrics[name].value == pytest.approx(plain.metrics[name].value), name
    with pytest.raises(ValueError, match="no image has a pixel"):
        judged(more[12:], same[12:])


def test_a_class_that_is_not_there_has_no_numbers_and_spoils_none():
    truth, predicted = drawn()
    truth, predicted = (np.where(a == 2, 1, a) for a in (truth, predicted))
    dog, miou = judged(truth, predicted).classes[2], judged(truth, predicted).metrics["miou"]
    assert dog["images"] == 0 and np.isnan([dog[k] for k in CLASS_COLUMNS[3:]]).all()
    assert np.isfinite(miou).all()


def test_the_same_seed_gives_the_same_and_many_draws_come_in_parts(monkeypatch):
    from cnnlab.compare import masked

    once, again = judged(*drawn()), judged(*drawn())
    assert once.metrics == again.metrics
    monkeypatch.setattr(masked, "AT_ONCE", 24 * 100)
    parts = judged(*drawn()).metrics["iou"]
    assert parts == pytest.approx(once.metrics["iou"], rel=1e-9)
