"""What transfer did: scores against the size of the target, and how far a net has moved inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from cnnlab.compare.inference import corrected_t, mean_interval

SIZE_COLUMNS = ["strategy", "per_class", "mean", "mean_low", "mean_high", "minus", "effect"]
SIZE_COLUMNS += ["low", "high", "p", "n"]


def size_rows(
    scores: Mapping[int, Mapping[str, np.ndarray]], against: str, confidence: float
) -> list[dict]:
    """One row a strategy and size, smallest first: mean score with its interval, and the paired
    difference from the strategy `against` with its own (nothing in that strategy's rows).

    `scores`: training images a class -> strategy -> (repeats, folds). Values of p are not corrected
    for their number.
    """
    rows = []
    for size in sorted(scores):
        by_strategy = scores[size]
        for name, values in by_strategy.items():
            own = mean_interval(values, confidence)
            row = {"strategy": name, "per_class": size, "n": own.n}
            row |= {"mean": own.mean, "mean_low": own.low, "mean_high": own.high}
            if name != against and against in by_strategy:
                found = corrected_t(values - by_strategy[against], confidence)
                row |= {"minus": against, "effect": found.mean, "p": found.p}
                row |= {"low": found.low, "high": found.high}
            rows.append(row)
    return rows


def overtakes(rows: Sequence[Mapping], strategy: str, sign: int) -> tuple[int | None, int | None]:
    """The sizes from which on a strategy's mean is better than the one it is held against, and from
    which on its interval says so too; None: at no size looked at.

    `rows`: of `size_rows`. `sign`: 1 where more is better, -1 where less is.
    """
    own = [row for row in rows if row["strategy"] == strategy]
    worse = {
        kind: [sign * row["effect"] <= 0 or (kind and not clear(row)) for row in own]
        for kind in (False, True)
    }
    found = []
    for kind in (False, True):
        after = max((i + 1 for i, bad in enumerate(worse[kind]) if bad), default=0)
        found.append(own[after]["per_class"] if after < len(own) else None)
    return found[0], found[1]


def clear(row: Mapping) -> bool:
    """Whether the interval of a row's difference leaves zero out."""
    return row["low"] > 0 or row["high"] < 0


def cka(x: np.ndarray, y: np.ndarray) -> float:
    """Linear centred kernel alignment of two representations of the same images, from the unbiased
    estimate of HSIC (Song et al. 2012; Kornblith et al. 2019; Nguyen et al. 2021).

    `x`, `y`: (n, ...), n >= 4; what comes after n is taken as one row. 1: the same up to rotation
    and scale; near 0, also below: unrelated; nan: one of them does not change with the image.
    """
    a, b = (_gram(z) for z in (x, y))
    scale = _hsic(a, a) * _hsic(b, b)
    return float(_hsic(a, b) / np.sqrt(scale)) if scale > 0 else float("nan")


def _gram(x: np.ndarray) -> np.ndarray:
    if len(x) < 4:
        raise ValueError(f"{len(x)} images; CKA needs at least 4")
    flat = x.reshape(len(x), -1).astype(np.float64)
    flat -= flat.mean(0)  # makes no difference but for rounding
    gram = flat @ flat.T
    np.fill_diagonal(gram, 0)
    return gram


def _hsic(a: np.ndarray, b: np.ndarray) -> float:
    n = len(a)
    crossed = a.sum() * b.sum() / ((n - 1) * (n - 2))
    return (np.sum(a * b) + crossed - 2 / (n - 2) * a.sum(0) @ b.sum(0)) / (n * (n - 3))


def change(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> float:
    """How far weights have moved, as a share of where they began: ||after - before|| / ||before||,
    over all arrays of a layer together."""
    moved = sum(
        np.square(b - a, dtype=np.float64).sum() for a, b in zip(before, after, strict=True)
    )
    began = sum(np.square(a, dtype=np.float64).sum() for a in before)
    return float(np.sqrt(moved / began)) if began else float("nan")
