"""What a trained network is like inside, in a few numbers: the evidence for a technique's
mechanism."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

NEAR_ZERO = 1e-3  # of the largest weight of a layer


def of(model: keras.Model, inputs: tf.Tensor) -> dict[str, float]:
    """Numbers of a network, over its conv and dense kernels, and over units that see some images.

    `inputs`: float32, as the network takes them, of images that it has not trained on. Returns

    - `weight_norm`: L2 norm of all kernels together;
    - `weight_gini`: Gini index of |w| (0: all alike, 1: one holds all; Hurley and Rickard 2009),
      and `weight_near_zero`: share of |w| below a thousandth of the largest; means over layers;
    - `largest_filter_norm`: the largest L2 norm of the weights into one filter or unit;
    - `unit_correlation`: mean |correlation| of pairs of the units that the logits are made from,
      those that never change left out (0 where fewer than two are left);
    - `dead_units`: share of them that never change.
    """
    kernels = [
        layer.kernel.numpy().reshape(-1, layer.kernel.shape[-1])
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D | keras.layers.Dense)
    ]
    sizes = [np.abs(kernel).ravel() for kernel in kernels]
    units = _last_units(model, inputs)
    lively = units[:, np.ptp(units, axis=0) > 0]
    correlation = 0.0
    if lively.shape[1] > 1:
        r = np.corrcoef(lively, rowvar=False)
        correlation = float(np.abs(r[np.triu_indices(len(r), 1)]).mean())
    return {
        "weight_norm": float(np.sqrt(sum(np.square(k, dtype=np.float64).sum() for k in kernels))),
        "weight_gini": float(np.mean([gini(s) for s in sizes])),
        "weight_near_zero": float(np.mean([np.mean(s < NEAR_ZERO * s.max()) for s in sizes])),
        "largest_filter_norm": float(max(np.linalg.norm(k, axis=0).max() for k in kernels)),
        "unit_correlation": correlation,
        "dead_units": 1 - lively.shape[1] / units.shape[1],
    }


def gini(values: np.ndarray) -> float:
    """Gini index of values >= 0, (n,); 0 where all are 0."""
    ordered = np.sort(values.astype(np.float64))
    n, total = len(ordered), ordered.sum()
    if total == 0:
        return 0.0
    return float(1 - 2 * np.sum(ordered / total * (n - np.arange(1, n + 1) + 0.5) / n))


def drift(preactivations: Mapping[str, np.ndarray]) -> float:
    """How far the mean of pre-activations moves from one evaluation to the next, in their standard
    deviations; mean over layers. `preactivations`: layer -> (evaluations, 2), mean and sd."""
    moves = [
        np.abs(np.diff(m[:, 0])).mean() / max(m[:, 1].mean(), 1e-12)
        for m in preactivations.values()
        if len(m) > 1
    ]
    return float(np.mean(moves)) if moves else 0.0


def _last_units(model: keras.Model, inputs: tf.Tensor) -> np.ndarray:
    """float32 (n, units) that the logits are made from, in inference mode; of a map each place
    counts."""
    inner = keras.Model(model.inputs[0], model.get_layer("logits").input)
    units = np.asarray(inner(inputs, training=False), np.float32)
    return units.reshape(-1, units.shape[-1])
