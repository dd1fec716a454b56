"""Images that stand out before anything is trained: dark, bright, blurred, flat, odd, doubled.

Limits are in part absolute and in part those of the data set, since what is dark among photographs
is usual among X-rays. Only images far from all others count: of ordinary photographs about one in a
thousand (measured on CIFAR-10 and on handwritten digits).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.decomposition import PCA
from sklearn.neighbors import NearestNeighbors

from cnnlab.data import duplicates
from cnnlab.data.findings import Finding

LEAST = 20  # images, below which the spread of a data set is not known
FAR = 4.0  # robust standard deviations
DARK, BRIGHT = 0.25, 0.75  # of the 95th and the 5th percentile of the pixels; white is 1
DETAIL = 4.0  # times less than the median: flat or blurred
AREA, SHAPE = 4.0, 2.0  # times the median: odd size, odd shape
NEIGHBOUR = 10  # whose distance says how far an image is: more than a burst of one thing has
COMPONENTS = 16  # of the small pictures
TINY = 1e-9  # under logarithms


def of_pixels(manifest: pd.DataFrame, values: pd.DataFrame, small: np.ndarray) -> list[Finding]:
    """What the pixels say: IMG01 dark, IMG02 bright, IMG06 flat, IMG03 blurred, IMG07 unlike all.

    `manifest`: of n images; `values`, `small`: as `properties.measure` gives them. An image has one
    of these codes at most: the first in this order explains the others.
    """
    found: list[Finding] = []
    free = np.ones(len(manifest), bool)

    def add(code: str, value: np.ndarray, limit: float, above: bool, words: str) -> None:
        out = free & (value > limit if above else value < limit)
        order = np.argsort(-value if above else value, kind="stable")
        for row in order[out[order]]:
            text = words.format(value=value[row], limit=limit)
            found.append(_finding(code, manifest, row, value[row], limit, text))
        free[out] = False

    highlights, shadows = values["highlights"].to_numpy(), values["shadows"].to_numpy()
    if len(manifest):
        limit = min(DARK, float(np.median(highlights)) / 2)
        words = "95 % of its pixels are darker than {value:.2f} of white (limit {limit:.2f})"
        add("IMG01", highlights, limit, False, words)
        limit = max(BRIGHT, (1 + float(np.median(shadows))) / 2)
        words = "95 % of its pixels are brighter than {value:.2f} of white (limit {limit:.2f})"
        add("IMG02", shadows, limit, True, words)
    if len(manifest) < LEAST:
        return found
    contrast, sharpness = values["contrast"].to_numpy(), values["sharpness"].to_numpy()
    words = "standard deviation of its pixels {value:.3f} (limit {limit:.3f})"
    add("IMG06", contrast, _low(contrast, DETAIL), False, words)
    words = "fine detail {value:.2g} (limit {limit:.2g})"
    add("IMG03", sharpness, _low(sharpness, DETAIL), False, words)
    distance = _distances(values, small)
    words = "distance to the others {value:.2f} (limit {limit:.2f})"
    add("IMG07", distance, _high(distance, 1.0), True, words)
    return found


def of_sizes(
    manifest: pd.DataFrame, width: Sequence[float], height: Sequence[float]
) -> list[Finding]:
    """What the originals' sizes say: IMG04 odd size, IMG05 odd shape. `width`, `height`: pixels of
    each image of the manifest."""
    width, height = np.asarray(width, float), np.asarray(height, float)
    if len(width) < LEAST:
        return []
    area, found = width * height, []
    shape = np.maximum(width, height) / np.minimum(width, height)
    low, high, long = _low(area, AREA), _high(area, AREA), _high(shape, SHAPE)
    far = np.abs(np.log(area / np.median(area)))
    for row in np.argsort(-far, kind="stable"):
        if not low <= area[row] <= high:
            limit, side = (low, "few") if area[row] < low else (high, "many")
            text = f"{width[row]:.0f}x{height[row]:.0f} pixels, unusually {side}"
            text += f"; the median image has {np.median(area):.0f} in all (limit {limit:.0f})"
            found.append(_finding("IMG04", manifest, row, area[row], limit, text))
    for row in np.argsort(-shape, kind="stable"):
        if shape[row] > long:
            text = f"{width[row]:.0f}x{height[row]:.0f} pixels: one side {shape[row]:.1f} times the"
            text += f" other (limit {long:.1f})"
            found.append(_finding("IMG05", manifest, row, shape[row], long, text))
    return found


def across_classes(manifest: pd.DataFrame, listed: pd.DataFrame) -> list[Finding]:
    """DUP01: images of the manifest that are (nearly) the same as one with another label, each
    once.

    `listed`: data/prepared/findings.csv. Twins come one after the other.
    """
    said: dict[str, list[str]] = {}
    row_of = {source: row for row, source in enumerate(manifest["source"])}
    conflicts = listed[listed["what"].str.endswith(duplicates.CONFLICT)]
    for what, one, done in zip(*(conflicts[c] for c in ("what", "where", "done")), strict=True):
        other = done.removeprefix(duplicates.TOGETHER)
        kind = what.removesuffix(duplicates.CONFLICT)
        for source, twin in ((one, other), (other, one)):
            if source in row_of:
                label = manifest["label"][row_of[twin]] if twin in row_of else "otherwise"
                text = f"{kind} of {twin}, which is labelled {label}"
                said.setdefault(source, []).append(text)
    return [
        _finding("DUP01", manifest, row_of[source], None, None, "; ".join(dict.fromkeys(texts)))
        for source, texts in said.items()
    ]


def _finding(code, manifest, row, value, limit, text) -> Finding:
    about = manifest.iloc[row]
    value, limit = (None if v is None else float(v) for v in (value, limit))
    return Finding(
        code, int(about["image_id"]), about["source"], about["label"], value, limit, text
    )


def _low(values: np.ndarray, factor: float) -> float:
    """The limit below which positive values are far from the others, and less than the median by
    the factor: the lower tail's spread is that of the half below the median."""
    logs = np.log(np.maximum(values, TINY))
    middle = np.median(logs)
    if middle <= np.log(TINY):  # what is usual is nothing at all
        return 0.0
    spread = 1.4826 * np.median(middle - logs[logs <= middle])  # a standard deviation's estimate
    return float(np.exp(middle - max(FAR * spread, np.log(factor))))


def _high(values: np.ndarray, factor: float) -> float:
    """The limit above which they are, likewise."""
    return 1 / _low(1 / np.maximum(values, TINY), factor)


def _distances(values: pd.DataFrame, small: np.ndarray) -> np.ndarray:
    """How far the `NEIGHBOUR`th nearest image is, (n,), in properties and small pictures."""
    known = values.assign(sharpness=np.log(values["sharpness"] + 1e-6)).to_numpy()  # spans powers
    known = known - np.median(known, axis=0)
    spread = 1.4826 * np.median(np.abs(known), axis=0)
    known = known[:, spread > TINY] / spread[spread > TINY]
    pictures = np.asarray(small, np.float64)
    if np.ptp(pictures, axis=0).any():
        parts = min(COMPONENTS, pictures.shape[1], len(pictures))
        pictures = PCA(parts, svd_solver="full").fit_transform(pictures)
    size = np.sqrt(np.square(pictures).sum(axis=1).mean())  # as much as all properties together
    pictures *= np.sqrt(max(1, known.shape[1])) / max(size, TINY)
    places = np.hstack([known, pictures])
    return NearestNeighbors(n_neighbors=NEIGHBOUR + 1).fit(places).kneighbors(places)[0][:, -1]
