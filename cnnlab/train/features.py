"""What a frozen backbone makes of each image, computed once and kept in a file.

Folds, repeats, variants and sizes of the training set share a file: its name is the digest of all
that decides its content, so it is never out of date. The files are a cache, safe to delete.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import tensorflow as tf
from filelock import FileLock

from cnnlab.recipe.network import Weights, network, put
from cnnlab.recipe.recipe import Recipe
from cnnlab.records.fingerprint import code, versions
from cnnlab.train.augmentation import augment
from cnnlab.train.input import drawn_at_once

SEED = 3  # of the draws: one set of them for all trials


def stored(recipe: Recipe, backbone: Weights, images: np.ndarray, folder: Path) -> np.ndarray:
    """Features of all images, float32 (n, 1 + draws, units), memory-mapped.

    Of each the clean image's come first, then those of `recipe.features` draws, augmented by the
    recipe's ops. Computed where `folder` does not have them yet; of several processes that ask at
    once, one does. `images`: uint8 (n, height, width, channels).
    """
    path = folder / f"{_digest(recipe, backbone, images)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _compute(recipe, backbone, images, path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _compute(recipe: Recipe, backbone: Weights, images: np.ndarray, path: Path) -> None:
    draws, body = recipe.features, network(recipe, images.shape[1:], 2).body
    put(body, backbone)

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, *images.shape[1:]], tf.uint8),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([], tf.int64),
            tf.TensorSpec([], tf.int64),
        ]
    )
    def features(pixels, seed, first, draw):
        pixels = tf.cast(pixels, tf.float32)
        if recipe.ops:
            rows = first + tf.range(tf.shape(pixels, tf.int64)[0])
            pixels = tf.cond(
                draw > 0, lambda: augment(recipe, pixels, seed, rows, draw), lambda: pixels
            )
        return tf.cast(body(pixels, training=False), tf.float32)

    size = drawn_at_once(images.shape[1:])
    shape = (len(images), 1 + draws, body.output.shape[1])
    part = path.with_name(f".{os.getpid()}.{path.name}")
    out = np.lib.format.open_memmap(part, mode="w+", dtype=np.float32, shape=shape)
    for at in range(0, len(images), size):
        pixels = tf.constant(images[at : at + size])
        for draw in range(1 + draws):
            seed = tf.random.experimental.stateless_fold_in([SEED, draw], at)
            out[at : at + size, draw] = features(pixels, tf.cast(seed, tf.int32), at, draw).numpy()
    out.flush()
    del out
    part.replace(path)


def _digest(recipe: Recipe, backbone: Weights, images: np.ndarray) -> str:
    """Of all that decides features: backbone (its options say cut, size and preprocessing), images,
    draws, code and versions; not of what decides the head."""
    draws, names = recipe.features, [name for name, _ in recipe.ops] if recipe.features else []
    modules = ["cnnlab.train.features", f"cnnlab.recipe.nets.{recipe.net}"]
    parts = {
        "net": [recipe.net, recipe.net_options],
        "ops": recipe.ops if draws else None,
        "fill": recipe.fill_mode if draws else None,
        "inserts": [vars(insert) for insert in recipe.inserts if insert.at != "dense"],
        "how": [draws, drawn_at_once(images.shape[1:]), recipe.precision, recipe.threads],
        "images": [list(images.shape), hashlib.sha256(images).hexdigest()],
        "code": code([*modules, *(f"cnnlab.recipe.techniques.{name}" for name in names)]),
        "versions": versions(),
    }
    text = hashlib.sha256(json.dumps(parts, sort_keys=True, default=dict).encode())
    for name in sorted(backbone):
        text.update(name.encode())
        for array in backbone[name]:
            text.update(np.ascontiguousarray(array))
    return text.hexdigest()[:32]
