"""What a frozen backbone makes of each image, computed once and kept in a file.

Folds, repeats, strategies and sizes of the target share a file: its name is the digest of all that
decides its content, so it is never out of date. The files are a cache, safe to delete.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from filelock import FileLock

from cnnlab.training import fit, transferred
from cnnlab.training.augmentation import augment
from cnnlab.training.fingerprint import code_digest, versions
from cnnlab.training.recipe import Recipe

SEED = 3  # of the draws: one set of them for all trials


def stored(
    recipe: Recipe,
    backbone: Mapping[str, list[np.ndarray]],
    images: np.ndarray,
    draws: int,
    folder: Path,
) -> np.ndarray:
    """Features of all images, as bytes of float32: uint8 (n, 1 + draws, units, 4), memory-mapped.

    Of each the clean image's come first, then those of `draws` augmented ones by the recipe's ops.
    Computed where `folder` does not have them yet; of several processes that ask at once, one does.
    `recipe`: of a phase, as `phases` makes it. `images`: uint8 (n, height, width, channels).
    """
    path = folder / f"{_digest(recipe, backbone, images, draws)}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.exists():
                _compute(recipe, backbone, images, draws, path)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _compute(recipe, backbone, images, draws, path) -> None:
    with fit.computing_in(recipe.precision):
        net = transferred.whole(recipe, images.shape[1:], 2)
    fit.put(net, backbone)
    extractor = keras.Model(net.inputs[0], transferred.features(net)[0])

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, *images.shape[1:]], tf.uint8),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([], tf.bool),
        ]
    )
    def maps(pixels, seed, augmented):
        pixels = tf.cast(pixels, tf.float32)
        if recipe.ops:
            pixels = tf.cond(augmented, lambda: augment(recipe, pixels, seed), lambda: pixels)
        found = tf.cast(extractor(pixels, training=False), tf.float32)
        return tf.reshape(found, [tf.shape(found)[0], -1])

    size = fit.at_once(images.shape[1:])
    units = int(np.prod(extractor.output.shape[1:]))
    shape = (len(images), 1 + draws, units, 4)
    part = path.with_name(f".{os.getpid()}.{path.name}")
    out = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
    for at in range(0, len(images), size):
        pixels = tf.constant(images[at : at + size])
        for draw in range(1 + draws):
            seed = tf.random.experimental.stateless_fold_in([SEED, draw], at)
            found = maps(pixels, tf.cast(seed, tf.int32), draw > 0).numpy()
            out[at : at + size, draw] = found.view(np.uint8).reshape(len(found), units, 4)
    out.flush()
    del out
    part.replace(path)


def _digest(recipe, backbone, images, draws) -> str:
    """Of all that decides features: backbone (its net says cut, size and preprocessing), images,
    draws, code and versions; not of what decides the head."""
    parts = {
        "net": [recipe.net_options["net"], recipe.net_options["options"]],
        "ops": recipe.ops if draws else None,
        "fill": recipe.fill_mode if draws else None,
        "inserts": [vars(insert) for insert in recipe.inserts if insert.at != "dense"],
        "how": [draws, fit.at_once(images.shape[1:]), recipe.precision, recipe.threads],
        "images": [list(images.shape), hashlib.sha256(images).hexdigest()],
        "code": {
            name: code_digest(name)
            for name in (
                f"cnnlab.models.{recipe.net_options['net']}",
                "cnnlab.training.transferred",
                "cnnlab.training.features",
                "cnnlab.training.augmentation",
                *(f"cnnlab.techniques.{name}" for name, _ in (recipe.ops if draws else ())),
            )
        },
        "versions": versions(),
    }
    text = hashlib.sha256(json.dumps(parts, sort_keys=True, default=dict).encode())
    for name in sorted(backbone):
        text.update(name.encode())
        for array in backbone[name]:
            text.update(np.ascontiguousarray(array))
    return text.hexdigest()[:32]
