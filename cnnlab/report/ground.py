"""Where figures are pictures, and where they are the ground and the words around these: a dark page
turns the colours of the one alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

SIDE = 24  # pixels, from which what stands by itself on the ground is a picture, not letters
PATCH, WHOLE = 7, 0.95  # and from which it is a patch of a legend: it fills so much of its box
BAR, FILLED = 40, 0.7  # and, on its longer side, a scale of colours with its ticks


def pictures(figure: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The boxes of pictures, kernels, maps and what explains their colours in a figure on white,
    uint8 (height, width, 3): left, top, right and bottom, in pixels, from the top down.

    The ground is what is white and reaches the figure's edge. Of a picture that is white at its own
    edge itself, this is the box of what is drawn in it.
    """
    white, _ = ndimage.label((figure == 255).all(axis=2))
    edge = np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]])
    parts, _ = ndimage.label(~np.isin(white, edge[edge > 0]), np.ones((3, 3)))
    found = []
    for number, place in enumerate(ndimage.find_objects(parts), 1):
        part, (top, left) = parts[place] == number, (place[0].start, place[1].start)
        (short, long), filled = sorted(part.shape), part.mean()
        bar = short >= PATCH and filled >= (FILLED if long >= BAR else WHOLE)
        if short >= SIDE or bar:
            enough = 0.5 if bar else 0.0  # a scale is without its ticks
            x, y = (np.flatnonzero(part.mean(axis) > enough)[[0, -1]] + (0, 1) for axis in (0, 1))
            found.append((left + int(x[0]), top + int(y[0]), left + int(x[1]), top + int(y[1])))
    return found


def outline(path: Path) -> str:
    """All of a PNG but its pictures, and a little around it, so that its edge is not blurred: as a
    polygon of CSS, in shares of its width and height."""
    with Image.open(path) as image:
        figure = np.asarray(image.convert("RGB"))
    height, width = figure.shape[:2]
    corners = ["-1% -1%,101% -1%,101% 101%,-1% 101%,-1% -1%"]
    for box in pictures(figure):
        x, u = (f"{100 * side / width:.2f}%" for side in box[::2])
        y, v = (f"{100 * side / height:.2f}%" for side in box[1::2])
        corners.append(f"{x} {y},{x} {v},{u} {v},{u} {y},{x} {y},-1% -1%")
    return f"polygon(evenodd,{','.join(corners)})"
