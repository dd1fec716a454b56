"""Take the maps out of a Keras model: a functional one without models inside, or a Sequential."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras

BATCH = 64  # images that go through at once, or as many as give `VALUES` values
VALUES = 2**26  # 256 MB


def layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The 2-D convolution and pooling layers of a model, by name, in forward order.

    Global pooling does not count: it leaves no maps. Parallel branches come in either order.

    Raises:
        ValueError: if the model is subclassed, has models inside, or calls a layer twice.
    """
    kinds = (*_convolutions(), *_pooling())
    steps, _ = _steps(model)
    return {layer.name: layer for layer, _, _ in steps if isinstance(layer, kinds)}


def pools(model: keras.Model) -> set[str]:
    """Which of `layers(model)` pool."""
    return {name for name, layer in layers(model).items() if isinstance(layer, _pooling())}


def feature_maps(
    model: keras.Model, images: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """The maps of convolution and pooling layers on `images`, in inference mode.

    The map of a convolution is the output of its activation layer: the first one that it reaches
    through layers such as normalisation or dropout, before another convolution, pooling, dense or
    merging layer. Where there is none, as in the branch of a residual block, it is the output of
    the last of those layers, or of the convolution itself. An activation that belongs to no
    convolution, as after the sum in a residual block, is shown under its own name. Functions that
    are no layers, such as `keras.ops.relu`, do not count as activations.

    Args:
        model: A channels-last model that takes one image tensor, as for `layers`.
        images: (n, h, w, c), as the model takes them. See `at_once`.
        names: Names from `layers(model)`, or of such activations; all of them if None.

    Returns:
        Layer name -> float32 (n, h, w, channels), in forward order.

    Raises:
        ValueError: for a name without maps, and as `layers`.
    """
    import keras

    size, parts = at_once(model, images.shape[1:]), []
    for start in range(0, len(images), size):
        maps, _ = forward(model, images[start : start + size], names)
        floats = {name: keras.ops.cast(tensor, "float32") for name, tensor in maps.items()}
        parts.append({n: np.asarray(keras.ops.convert_to_numpy(t)) for n, t in floats.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def at_once(model: keras.Model, shape: Sequence[int]) -> int:
    """How many images of a shape (h, w, c) go through a model at once: what its layers give out
    then has at most `VALUES` values, as a network may enlarge its images."""
    import keras

    steps, _ = _steps(model)
    longest = max(shape[:2])  # of a side that the model leaves open
    given = [tensor for _, _, after in steps for tensor in keras.tree.flatten(after)]
    values = sum(math.prod(side or longest for side in tensor.shape[1:]) for tensor in given)
    return max(1, min(BATCH, VALUES // values))


def in_parts(model: keras.Model, names: Sequence[str], images: int) -> list[list[str]]:
    """The layers in groups, in their order, of which so many images' maps fit into memory beside
    those of a few like networks: each group costs a pass through the whole network."""
    most, parts, room = VALUES // 4, [], 0
    for name in names:
        _, *shape = layers(model)[name].output.shape
        values = images * math.prod(side or 1 for side in shape)
        if not parts or values > room:
            parts.append([])
            room = most
        parts[-1].append(name)
        room -= values
    return parts


def forward(
    model: keras.Model, images: Any, names: Sequence[str] | None = None
) -> tuple[dict[str, Any], Any]:
    """The maps that `feature_maps` describes, as tensors of the layers' dtypes, and the output.

    `images`: array or tensor. Inside a `tf.GradientTape` that watches them, gradients can be taken
    of everything returned, with respect to any of it.
    """
    import keras

    steps, output = _steps(model)
    maps = _maps(steps)
    for name in names or ():
        if name not in maps:
            raise ValueError(f"{model.name} has no maps of a layer {name!r}; it has {list(maps)}")
    if names is not None:
        maps = {name: tensor for name, tensor in maps.items() if name in names}
    whole = keras.Model(model.inputs, [*maps.values(), output])
    *tensors, logits = whole([keras.ops.convert_to_tensor(images)], training=False)
    return dict(zip(maps, tensors, strict=True)), logits


# A layer with the symbolic tensors that it takes and gives; of several tensors, a list.
Step = tuple["keras.layers.Layer", Any, Any]


def _steps(model: keras.Model) -> tuple[list[Step], keras.KerasTensor]:
    """The layers of a model in forward order, and the model's output."""
    import keras

    if getattr(model, "inputs", None) is None:
        raise ValueError(f"{model.name} is neither a functional model nor a built Sequential")
    if inside := [layer.name for layer in model.layers if isinstance(layer, keras.Model)]:
        raise ValueError(f"{model.name} has models inside: {', '.join(inside)}; it must be flat")
    if isinstance(model, keras.Sequential):
        # Called anew: `add` calls all layers again, and `layer.output` is that of the first call.
        steps, output = [], model.inputs[0]
        for layer in model.layers:
            before, output = output, layer(output)
            steps.append((layer, before, output))
        return steps, output
    steps = [(operation, operation.input, operation.output) for operation in model.operations]
    given = {id(tensor) for _, _, after in steps for tensor in keras.tree.flatten(after)}
    taken = [*model.outputs, *(t for _, before, _ in steps for t in keras.tree.flatten(before))]
    if any(id(tensor) not in given for tensor in taken):
        raise ValueError(f"{model.name} calls a layer twice, or has one that another model called")
    return [step for step in steps if isinstance(step[0], keras.layers.Layer)], model.outputs[0]


def _maps(steps: Sequence[Step]) -> dict[str, keras.KerasTensor]:
    """Layer name -> its map, as a symbolic tensor."""
    import keras

    maps: dict[str, keras.KerasTensor] = {}
    waiting: dict[int, str] = {}  # id of a tensor -> the convolution that still has no activation
    for layer, before, after in steps:
        if isinstance(layer, (*_convolutions(), *_pooling())):
            maps[layer.name] = after
            if getattr(layer, "activation", None) is keras.activations.linear:
                waiting[id(after)] = layer.name
        elif isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense)):
            continue
        elif id(before) in waiting and after.shape == before.shape:
            name = waiting[id(before)]
            maps[name] = after
            waiting[id(after)] = name
            if _activates(layer):  # the first one counts, also where the tensor goes to several
                waiting = {key: other for key, other in waiting.items() if other != name}
        elif _activates(layer) and len(after.shape) == 4:
            maps[layer.name] = after
    return maps


def _activates(layer: keras.layers.Layer) -> bool:
    from keras import activations
    from keras import layers as k

    if isinstance(layer, k.Activation):
        return layer.activation is not activations.linear
    return isinstance(layer, (k.ReLU, k.LeakyReLU, k.PReLU, k.ELU, k.Softmax))


def _convolutions() -> tuple[type, ...]:
    from keras import layers as k

    # Keras derives none of these from another.
    return (k.Conv2D, k.DepthwiseConv2D, k.SeparableConv2D, k.Conv2DTranspose)


def _pooling() -> tuple[type, ...]:
    from keras import layers as k

    return (k.MaxPooling2D, k.AveragePooling2D)
