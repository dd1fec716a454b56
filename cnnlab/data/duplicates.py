"""Images that are the same, or nearly, and the groups that keep them together.

Exact: the pixels that networks see are equal. Near: the perceptual hashes differ in few bits, and
the small grey pictures look alike too. A recompressed, resized or slightly brightened copy is
found; one that is cropped, turned or mirrored is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count, pairwise

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

CONFLICT = " with another label"  # ends the kind of a finding whose twin has another label
TOGETHER = "in one group with "  # before the twin, in what was done about it
ALIKE = 0.98  # correlation of two small grey pictures that may count as one
FLAT = 4.0  # standard deviation, of 255, below which a picture has nothing to compare


def exact(digests: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (first, later) of positions with one digest, each later one with the first of them."""
    codes, _ = pd.factorize(digests)
    first = np.full(codes.max(initial=-1) + 1, -1)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    later = np.flatnonzero(first[codes] != np.arange(len(codes)))
    return first[codes[later]], later


def near(
    hashes: np.ndarray, bits: int, thumbs: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of positions whose hashes differ in at most `bits` bits and whose pictures look alike.

    hashes: int64 (n,). `thumbs`: positions -> uint8 (m, s, s). Each pair once, the smaller first.
    """
    hashes = hashes.astype(np.uint64)
    pairs = [
        np.unique(np.sort(np.stack(found), axis=0), axis=1)
        for found in _close(hashes, bits)
        if len(found[0])
    ]
    kept = [_alike(pair, thumbs) for pair in pairs]
    both = np.unique(np.concatenate([*kept, np.empty((2, 0), int)], axis=1), axis=1)
    return both[0].astype(int), both[1].astype(int)


def _close(hashes: np.ndarray, bits: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs that differ in at most `bits` bits: of `bits + 1` bands, one at least is equal."""
    edges = np.linspace(0, 64, bits + 2).astype(int)
    for low, high in pairwise(edges):
        band = (hashes >> np.uint64(low)) & np.uint64(2 ** int(high - low) - 1)
        order = np.argsort(band, kind="stable")
        band = band[order]
        here = np.arange(len(band))
        for step in count(1):  # each with the next but `step` of its band
            here = here[here + step < len(band)]
            here = here[band[here] == band[here + step]]
            if not len(here):
                break
            one, other = order[here], order[here + step]
            close = np.bitwise_count(hashes[one] ^ hashes[other]) <= bits
            yield one[close], other[close]


def _alike(pairs: np.ndarray, thumbs: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Those of pairs (2, n) whose small pictures correlate."""
    kept = []
    for part in np.array_split(pairs, -(-pairs.shape[1] // 4096), axis=1):
        places, index = np.unique(part, return_inverse=True)
        pictures = thumbs(places).reshape(len(places), -1).astype(np.float32)
        spread = pictures.std(axis=1, keepdims=True)
        pictures = (pictures - pictures.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-6)
        one, other = index.reshape(part.shape)
        alike = (pictures[one] * pictures[other]).mean(axis=1) >= ALIKE
        alike &= (spread[one, 0] > FLAT) & (spread[other, 0] > FLAT)
        kept.append(part[:, alike])
    return np.concatenate(kept, axis=1)


def join(groups: pd.Series, one: np.ndarray, other: np.ndarray) -> pd.Series:
    """Groups in which the pairs of positions are together: what is linked has one name.

    `groups`: the name of each image's group. A new group has the least name of those it joins, so
    the order of images does not matter.
    """
    if not len(one):
        return groups
    codes, names = pd.factorize(groups, sort=True)
    links = coo_array((np.ones(len(one)), (codes[one], codes[other])), shape=(len(names),) * 2)
    _, part = connected_components(links, directed=False)
    least = pd.Series(np.arange(len(names))).groupby(part).transform("min").to_numpy()
    return pd.Series(np.asarray(names)[least[codes]], index=groups.index)
