"""What an augmentation policy does: an original beside several draws of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cnnlab.look.figure import (
    GREY,
    MARGIN,
    WIDTH,
    Picture,
    blank,
    displayed,
    draw_tiles,
    fit,
    house_style,
    write,
)

if TYPE_CHECKING:
    import keras

    from cnnlab.recipe.recipe import Recipe

GAP = 6  # pixels


def affinity(
    model: keras.Model,
    recipe: Recipe,
    images: np.ndarray,
    labels: np.ndarray,
    draws: int,
    seed: int,
) -> tuple[float, float]:
    """Accuracy of a model on images as they are, and on `draws` of a recipe's augmentation of them.

    For a model trained without it, their difference says how far the augmentation leads away from
    the images (affinity, Gontijo-Lopes et al. 2021). `images`: uint8 (n, height, width, channels),
    not trained on; `labels`: int (n,).
    """
    import tensorflow as tf

    from cnnlab.train.augmentation import augment
    from cnnlab.train.input import drawn_at_once

    size, right = drawn_at_once(images.shape[1:]), np.zeros(1 + draws)
    for at in range(0, len(images), size):
        pixels, truth = tf.constant(images[at : at + size], tf.float32), labels[at : at + size]
        for draw in range(1 + draws):
            fold_in = tf.random.experimental.stateless_fold_in([seed, draw], at)
            rows, epoch = at + tf.range(len(pixels), dtype=tf.int64), tf.constant(draw, tf.int64)
            draw_seed = tf.cast(fold_in, tf.int32)
            drawn = augment(recipe, pixels, draw_seed, rows, epoch) if draw else pixels
            right[draw] += np.sum(model.predict_on_batch(drawn).argmax(1) == truth)
    clean, *augmented = right / len(images)
    return float(clean), float(np.mean(augmented))


def augmentation_figure(
    recipe: Recipe, name: str, images: np.ndarray, labels: list[str], draws: int, seed: int
) -> Picture:
    """A row an image: the original, then `draws` of the recipe's augmentation.

    `images`: uint8 (n, height, width, channels); `labels`: n class names. The draws are made by the
    code that training uses, with a seed that no trial has.
    """
    import tensorflow as tf

    from cnnlab.train.augmentation import augment, mix

    pixels, targets = tf.constant(images, tf.float32), tf.zeros([len(images), 1])
    rows, drawn = tf.range(len(images), dtype=tf.int64), []
    for i in range(draws):
        draw = tf.constant([seed, i], tf.int32)
        moved = augment(recipe, pixels, draw, rows, tf.constant(i, tf.int64))
        drawn.append(mix(recipe, moved, targets, draw)[0].numpy())
    top, labelled = 92, 110
    room = (10_000, WIDTH - MARGIN - labelled - 84)
    grid = fit(draws, images.shape[1:3], room, GAP, columns=draws)
    step = grid.height + GAP
    with house_style():
        figure = blank(top + step * len(images) + MARGIN)
        strengths = ", ".join(
            f"{op} " + " ".join(f"{k} {v}" for k, v in strength.items())
            for op, strength in recipe.ops
        )
        write(figure, MARGIN, 14, f"Augmentation: {name}", 10.5, weight="bold")
        write(figure, MARGIN, 44, f"{strengths}; outside: {recipe.fill_mode}", color=GREY)
        write(figure, labelled, top - 22, "original", 7, color=GREY)
        write(figure, labelled + grid.width + 3 * GAP, top - 22, f"{draws} draws", 7, color=GREY)
        for i, image in enumerate(images):
            y = top + i * step
            middle, room = y + grid.height / 2, labelled - 30
            write(figure, labelled - 12, middle, labels[i], room=room, ha="right", va="center")
            draw_tiles(figure, labelled, y, displayed(image)[None], grid, 0, framed=True)
            row = np.stack([displayed(np.clip(d[i] / 255, 0, 1)) for d in drawn])
            draw_tiles(figure, labelled + grid.width + 3 * GAP, y, row, grid, GAP, framed=True)
    moved = np.mean([np.abs(d - images).mean() for d in drawn])
    return Picture(
        figure,
        f"{name} on {len(images)} images ({', '.join(labels)}), {draws} draws each: {strengths}; "
        f"mean absolute change of a pixel {moved:.1f} of 255",
    )
