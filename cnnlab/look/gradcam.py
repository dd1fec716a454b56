"""Where a network looks: Grad-CAM (Selvaraju et al. 2017) on right and wrong predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from PIL import Image

from cnnlab.look.capture import at_once, forward, pools
from cnnlab.look.figure import (
    GREY,
    MARGIN,
    SMALL,
    TITLE,
    WIDTH,
    Grid,
    Picture,
    Scale,
    blank,
    colour_bar,
    displayed,
    draw_tiles,
    fit,
    house_style,
    plural,
    resize,
    wrapped,
    write,
    write_lines,
)

if TYPE_CHECKING:
    import keras

MOST = 6  # right predictions, and as many wrong ones
COLOURS = "inferno"
SHARE = 0.6  # of the heat in the blend with the image
GAP, LARGEST_TILE, HEAD = 22, 108, 46  # pixels; HEAD: of the words above a group
LARGEST_ANSWER = 200  # pixels


def grad_cam(
    model: keras.Model, images: np.ndarray, classes: Sequence[int]
) -> tuple[str, np.ndarray]:
    """What in each image speaks for a class, seen from the last maps of the network.

    The maps are those of the last layer, of `feature_maps`, that is no pooling and whose maps are
    larger than one pixel; each is weighed by the mean gradient of the class's logit with respect to
    it, and what is positive in their sum is kept.

    Args:
        model: A built model that gives out logits (n, classes).
        images: (n, h, w, c), as the model takes them.
        classes: For each image the class in question, int (n,).

    Returns:
        The layer's name, and float32 (n, height, width) of the size of its maps, at least 0.

    Raises:
        ValueError: if the model has no such layer, or its output does not depend on it.
    """
    size = at_once(model, images.shape[1:])
    parts = [slice(i, i + size) for i in range(0, len(images), size)]
    names, heat = zip(*(_heat(model, images[i], classes[i]) for i in parts), strict=True)
    return names[0], np.concatenate(heat)


def _heat(model: keras.Model, images: np.ndarray, classes: Sequence[int]) -> tuple[str, np.ndarray]:
    import tensorflow as tf

    inputs = tf.convert_to_tensor(np.asarray(images, np.float32))
    with tf.GradientTape() as tape:
        tape.watch(inputs)  # so that layers which are frozen are recorded too
        maps, logits = forward(model, inputs)
        chosen = tf.gather(logits, tf.constant(classes, tf.int32), axis=1, batch_dims=1)
        total = tf.reduce_sum(tf.cast(chosen, "float32"))  # images do not touch one another
    small = pools(model) | {n for n, m in maps.items() if m.shape[1] * m.shape[2] == 1}
    large = [name for name in maps if name not in small]
    if not large:
        raise ValueError(f"Grad-CAM: {model.name} has no maps of more than one pixel")
    layer = large[-1]
    gradient = tape.gradient(total, maps[layer])
    if gradient is None:
        raise ValueError(f"Grad-CAM: the output of {model.name} does not depend on {layer}")
    values, slopes = (np.asarray(tf.cast(t, "float32")) for t in (maps[layer], gradient))
    weights = slopes.mean((1, 2), keepdims=True)
    return layer, np.maximum((weights * values).sum(3), 0)


@dataclass(frozen=True)
class Case:
    """One prediction and what speaks for it."""

    image: np.ndarray  # (h, w), (h, w, 1) or (h, w, 3)
    truth: str
    predicted: str  # the class with the largest probability
    probability: float  # of that class, 0..1
    heat: np.ndarray  # (height, width) of the maps, at least 0: what speaks for `predicted`
    truth_heat: np.ndarray | None = None  # what speaks for `truth`, where that is another class


def telling(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which predictions to look at, as indices of (right ones, wrong ones).

    The most confident right prediction of each class, for the first classes that have one, and the
    most confident wrong predictions; at most `MOST` of each.
    """
    right = probabilities.argmax(1) == labels
    order = np.argsort(-probabilities.max(1), kind="stable")
    right, wrong = order[right[order]], order[~right[order]]
    _, firsts = np.unique(labels[right], return_index=True)
    return right[firsts][:MOST], wrong[:MOST]


def cases(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    chosen: np.ndarray,
) -> tuple[str, list[Case]]:
    """Grad-CAM of chosen predictions: the layer it was taken from, and a case each.

    Args:
        model: As for `grad_cam`.
        images: (n, h, w, c), as the model takes them.
        labels: True classes, int (n,).
        probabilities: (n, classes), of this model on these images.
        classes: Names in the order of the outputs.
        chosen: Indices of the images to look at; at least one.
    """
    predicted, truth = probabilities.argmax(1)[chosen], labels[chosen]
    both = np.concatenate([predicted, truth])
    layer, heat = grad_cam(model, images[np.concatenate([chosen, chosen])], both)
    for_predicted, for_truth = np.split(heat, 2)
    return layer, [
        Case(
            image=images[j],
            truth=classes[truth[i]],
            predicted=classes[predicted[i]],
            probability=float(probabilities[j].max()),
            heat=for_predicted[i],
            truth_heat=None if predicted[i] == truth[i] else for_truth[i],
        )
        for i, j in enumerate(chosen)
    ]


def grad_cam_figure(
    examples: Sequence[Case], layer: str, title: str, accuracy: float, whose: str
) -> Picture:
    """Right predictions above, wrong ones below: image, heat for the predicted class, and,
    where that is wrong, heat for the true class.

    Every heat map is bilinearly enlarged, and scaled by its maximum: it says where, not how
    strongly.

    Args:
        examples: The cases, right and wrong in any order, at most `MOST` of each.
        layer: Whose maps the heat is taken from.
        title: What made the predictions, as the name of a variant.
        accuracy: Share of right predictions, 0..1, among all images of the kind.
        whose: Which images, as "60 held-out images".

    Raises:
        ValueError: if there is no case.
    """
    if not examples:
        raise ValueError(f"{title}: no prediction to look at")
    right = [case for case in examples if case.truth_heat is None]
    wrong = [case for case in examples if case.truth_heat is not None]
    head = f"{title}: what speaks for the class, by Grad-CAM at {layer}"
    shown = "the most confident ones (of the right, one a class)"
    hint = f"{accuracy:.1%} of {whose} right; shown: {shown}"
    left, top = MARGIN + 92, 110
    room = (10_000, WIDTH - left - 92)
    grid = fit(MOST, examples[0].image.shape[:2], room, GAP, LARGEST_TILE, columns=MOST)
    with house_style():
        heights = [_height(len(right), 2, grid), _height(len(wrong), 3, grid)]
        figure = blank(top + sum(heights) + MARGIN)
        write(figure, MARGIN, 18, head, TITLE, weight="bold")
        note = "heat: brighter speaks more for the class; each map on its own scale"
        write_lines(figure, MARGIN, 50, [hint, note], 22, size=SMALL, color=GREY)
        _group(figure, "right", right, left, top, grid)
        _group(figure, "wrong", wrong, left, top + heights[0], grid)
        x = left + MOST * (grid.width + GAP) - GAP + 20
        scale = Scale(Normalize(0, 1), COLOURS)
        colour_bar(figure, x, top + HEAD, 160, scale, "of its max")
    answers = [
        f"{c.predicted} ({c.probability:.2f})"
        + ("" if c.truth_heat is None else f", truly {c.truth}")
        for c in (*right, *wrong)
    ]
    counts = f"{plural(len(right), 'right prediction')} and {len(wrong)} wrong"
    return Picture(
        figure, f"{head}: {counts}; {'; '.join(answers)}. {accuracy:.1%} of {whose} right."
    )


def prediction_figure(
    title: str, image: np.ndarray, answers: Sequence[tuple[str, float, np.ndarray]], layer: str
) -> Picture:
    """One image as the network takes it, and what in it speaks for each of some classes.

    Args:
        title: The image's name.
        image: (h, w), (h, w, 1) or (h, w, 3).
        answers: At least one, the most probable first: class, its probability, and heat
            (height, width), at least 0.
        layer: Whose maps the heat is taken from.
    """
    count = 1 + len(answers)
    room = (10_000, WIDTH - 2 * MARGIN)
    grid = fit(count, image.shape[:2], room, GAP, LARGEST_ANSWER, columns=count)
    head = f"{title}: {answers[0][0]} ({answers[0][1]:.1%})"
    with house_style():
        figure = blank(118 + grid.height + MARGIN)
        write(figure, MARGIN, 18, head, TITLE, weight="bold")
        note = (
            f"by Grad-CAM at {layer}: brighter speaks more for the class; each map on its own scale"
        )
        write(figure, MARGIN, 50, note, SMALL, color=GREY)
        heads = ["as the network sees it", *(f"{name}  {share:.1%}" for name, share, _ in answers)]
        for i, text in enumerate(heads):
            left = MARGIN + i * (grid.width + GAP)
            write(figure, left, 88, text, SMALL, room=grid.width + GAP - 6)
        plain = resize(displayed(image)[None], grid.height, grid.width)[0]
        tiles = [plain, *(blend(image, heat, grid) for *_, heat in answers)]
        draw_tiles(figure, MARGIN, 114, np.stack(tiles), grid, GAP, framed=True)
    others = "; ".join(f"{name} {share:.1%}" for name, share, _ in answers)
    return Picture(figure, f"{title}, what speaks for each class by Grad-CAM at {layer}: {others}")


def _height(count: int, rows: int, grid: Grid) -> int:
    return HEAD + rows * (grid.height + 8) + 14 if count else HEAD


def _group(figure: Figure, name: str, group: list[Case], left: int, top: int, grid: Grid) -> None:
    """A column a case: the prediction, the image, and the heat."""
    write(figure, MARGIN, top, name if group else f"no {name} prediction", weight="bold")
    if not group:
        return
    for i, case in enumerate(group):
        lines = [f"{case.predicted}  {case.probability:.2f}"]
        lines += [f"truly {case.truth}"] if case.truth_heat is not None else []
        x, room = left + i * (grid.width + GAP), grid.width + GAP - 6
        write_lines(figure, x, top + 20 * (2 - len(lines)), lines, 20, size=SMALL, room=room)
    rows = {
        "image": [displayed(case.image) for case in group],
        "for the answer": [blend(case.image, case.heat, grid) for case in group],
    }
    if name == "wrong":
        rows["for the truth"] = [blend(case.image, case.truth_heat, grid) for case in group]
    for i, (text, tiles) in enumerate(rows.items()):
        y = top + HEAD + i * (grid.height + 8)
        room = left - MARGIN - 8
        write_lines(figure, MARGIN, y, wrapped(text, 8, 2), 20, size=SMALL, room=room, color=GREY)
        draw_tiles(figure, left, y, np.stack(tiles), grid, GAP, framed=True)


def blend(image: np.ndarray, heat: np.ndarray, grid: Grid) -> np.ndarray:
    """The image in grey under its heat, as RGB of the tile's size."""
    grey = resize(displayed(image).mean(2)[None], grid.height, grid.width)[0]
    share = np.asarray(heat, np.float32) / (heat.max() or 1)
    smooth = Image.fromarray(share).resize((grid.width, grid.height), Image.Resampling.BILINEAR)
    colours = matplotlib.colormaps[COLOURS](np.asarray(smooth))[..., :3]
    return (1 - SHARE) * grey[..., None] + SHARE * colours
