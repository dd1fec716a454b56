"""Mean average precision as pycocotools' `COCOeval` computes it, transcribed box by box, in plain
loops: what everything faster is compared with. Also objects and detections to compare it on."""

import numpy as np

from cnnlab.detections import DETECTIONS

THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)


def overlap(a, b):
    """IoU of two boxes y0, x0, y1, x1."""
    high = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    wide = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return high * wide / (sum(areas) - high * wide) if sum(areas) > 0 else 0.0


def matched(detections, objects, number, threshold):
    """(score, whether it is a hit) of each detection of a class on an image (`evaluateImg`)."""
    true = [o[1:] for o in objects if o[0] == number]
    rows = sorted((d for d in detections if d[0] == number), key=lambda d: -d[1])
    taken, result = set(), []
    for row in rows:
        best, at = min(threshold, 1 - 1e-10), None
        for i, box in enumerate(true):
            if i not in taken and overlap(row[2:], box) >= best:
                best, at = overlap(row[2:], box), i
        if at is not None:
            taken.add(at)
        result.append((row[1], at is not None))
    return result


def average_precision(images, number, threshold):
    """Of a class, -1 where it has no object; `images`: (detections, objects) of each
    (`accumulate`)."""
    total = sum(int((objects[:, 0] == number).sum()) for _, objects in images)
    if not total:
        return -1
    pairs = [p for d, o in images for p in matched(d, o, number, threshold)]
    pairs.sort(key=lambda pair: -pair[0])
    hits = misses = 0
    recall, precision = [], []
    for _, hit in pairs:
        hits, misses = hits + hit, misses + (not hit)
        recall.append(hits / total)
        precision.append(hits / (hits + misses))
    for i in range(len(precision) - 1, 0, -1):
        precision[i - 1] = max(precision[i - 1], precision[i])
    read = []
    for wanted in RECALLS:
        at = [i for i, reached in enumerate(recall) if reached >= wanted]
        read.append(precision[at[0]] if at else 0.0)
    return np.mean(read)


def mean_ap(images, classes, thresholds=THRESHOLDS):
    """1 where there is no object at all."""
    each = [average_precision(images, c, t) for c in range(classes) for t in thresholds]
    there = [ap for ap in each if ap >= 0]
    return np.mean(there) if there else 1.0


def made(seed, n=12, classes=3, most=6):
    """(detections, objects) of n images: objects found well, badly, twice, as something else, or
    not at all, and detections of nothing; some scores are equal. Class 2 is rare."""
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(n):
        k = rng.integers(0, most + 1)
        low = rng.uniform(0, 0.7, (k, 2))
        number = rng.choice(classes, k, p=[0.6, *[0.4 / (classes - 1)] * (classes - 1)])
        objects = np.column_stack([number, low, low + rng.uniform(0.05, 0.3, (k, 2))])
        rows = []
        for o in objects:
            for _ in range(rng.choice(3, p=[0.2, 0.6, 0.2])):
                box = o[1:] + rng.normal(0, rng.choice([0.002, 0.01, 0.03]), 4)
                box[2:] = np.maximum(box[2:], box[:2] + 0.01)
                guess = o[0] if rng.random() < 0.85 else rng.integers(classes)
                rows.append([guess, rng.uniform(0.2, 1), *box])
        for _ in range(rng.integers(0, 4)):
            low = rng.uniform(0, 0.7, 2)
            rows.append([rng.integers(classes), rng.uniform(0, 0.8), *low, *low + 0.2])
        detections = np.array(rows, float).reshape(-1, 6)
        detections[:, 1] = np.round(detections[:, 1], 2)  # some are equal
        detections = detections[np.argsort(-detections[:, 1], kind="stable")][:DETECTIONS]
        # As float32 holds them, so that nothing differs by rounding.
        images.append((detections.astype(np.float32).astype(float), objects.astype(np.float32)))
    return images


def outputs_of(images, classes, losses=None):
    """What a trial keeps of these, see `cnnlab.detections`; hits by `matched`."""
    rows = []
    for i, (detections, objects) in enumerate(images):
        each = np.zeros((DETECTIONS, 12))
        each[:, 0] = -1
        each[: len(detections), :2] = detections[:, :2]
        for number in range(classes):
            mine = np.flatnonzero(detections[:, 0] == number)
            for t, threshold in enumerate(THRESHOLDS):
                hits = [hit for _, hit in matched(detections, objects, number, threshold)]
                each[mine, 2 + t] = hits
        true = [(objects[:, 0] == number).sum() for number in range(classes)]
        rows.append([*each.ravel(), *true, losses[i] if losses is not None else 1.0])
    return np.array(rows, np.float32)
