"""How far a network has moved inside from the one it began at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
