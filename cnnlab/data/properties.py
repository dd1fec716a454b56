"""What can be measured of an image without a network: how bright, contrasted, colourful and sharp.

Measured on the prepared pixels, a chunk at a time, so that a memory-mapped pool of any size passes
in little memory.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

PIXELS = 2**20  # of a chunk: some tens of MB of floats
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of R, G, B (ITU-R BT.601), as Pillow's "L"
SIDE = 8  # pixels, of the small picture that outliers are looked for in
# Columns of `measure`, 0 .. 1 where black is 0 and white 1:
#   brightness    mean
#   contrast      standard deviation
#   shadows       5th percentile: of a bright image it is high
#   highlights    95th percentile: of a dark image it is low
#   colourfulness Hasler and Süsstrunk (2003); 0 where the images are grey
#   sharpness     mean square of the Laplacian: how much fine detail there is
COLUMNS = ["brightness", "contrast", "shadows", "highlights", "colourfulness", "sharpness"]


def measure(images: np.ndarray) -> tuple[pd.DataFrame, np.ndarray]:
    """Properties of each image, a row each with `COLUMNS`, and small pictures of them.

    `images`: uint8 (n, height, width, 1 or 3), of at least 3x3 pixels. The small pictures are
    float32 (n, pixels x channels), in 0 .. 1, at most `SIDE` pixels a side.
    """
    count, height, width, channels = images.shape
    step = max(1, PIXELS // (height * width))
    rows, small = [], []
    for start in range(0, count, step):
        chunk = np.asarray(images[start : start + step], np.float32) / 255
        rows.append(_of_chunk(chunk))
        small.append(_shrunk(chunk).reshape(len(chunk), -1))
    empty = np.empty((0, min(height, SIDE) * min(width, SIDE) * channels), np.float32)
    values = np.concatenate([*rows, np.empty((0, len(COLUMNS)))])
    return pd.DataFrame(values, columns=COLUMNS), np.concatenate([*small, empty])


def _of_chunk(chunk: np.ndarray) -> np.ndarray:
    """float64 (n, COLUMNS) of images (n, height, width, channels) in 0 .. 1."""
    luma = chunk[..., 0] if chunk.shape[3] == 1 else chunk @ LUMA
    flat = luma.reshape(len(luma), -1)
    shadows, highlights = np.percentile(flat, [5, 95], axis=1)
    inner = luma[:, 1:-1, 1:-1]
    around = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:]
    sharpness = np.square(around - 4 * inner).mean(axis=(1, 2), dtype=np.float64)
    mean, spread = flat.mean(axis=1, dtype=np.float64), flat.std(axis=1, dtype=np.float64)
    return np.stack(
        [mean, spread, shadows, highlights, _colourfulness(chunk), sharpness], axis=1
    ).astype(np.float64)


def _colourfulness(chunk: np.ndarray) -> np.ndarray:
    if chunk.shape[3] == 1:
        return np.zeros(len(chunk))
    red, green, blue = np.moveaxis(chunk, 3, 0).reshape(3, len(chunk), -1)
    one, other = red - green, (red + green) / 2 - blue
    spread = np.hypot(one.std(axis=1), other.std(axis=1))
    return spread + 0.3 * np.hypot(one.mean(axis=1), other.mean(axis=1))


def _shrunk(chunk: np.ndarray) -> np.ndarray:
    """Means of blocks of pixels: at most SIDE x SIDE of them."""
    for axis in (1, 2):
        size = chunk.shape[axis]
        if size > SIDE:
            starts = np.arange(SIDE) * size // SIDE
            counts = np.diff(starts, append=size).astype(np.float32)
            shape = [-1 if a == axis else 1 for a in range(4)]
            chunk = np.add.reduceat(chunk, starts, axis=axis) / counts.reshape(shape)
    return chunk
