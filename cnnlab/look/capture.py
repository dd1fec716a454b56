"""Take the maps out of a Keras model: any model, nested and subclassed ones too.

The maps are caught by wrapping `layer.call` during one eager forward pass. Models built from the
inner tensors of a functional graph would miss what lies inside a nested backbone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import keras


def layers(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """The 2-D convolution and pooling layers of a built model, by name, in forward order.

    Nested models and layers are searched too. A name that occurs twice gets the names of the
    models around it in front ("backbone/conv1"), and a number where even that is not enough. Global
    pooling does not count: it leaves no maps. Parallel branches come in either order, and the
    layers of a subclassed model, where no graph says what comes first, as they were assigned.
    """
    kinds = _kinds("shown")
    return {name: layer for name, layer in _named(model).items() if isinstance(layer, kinds)}


def pools(model: keras.Model) -> set[str]:
    """Which of `layers(model)` pool."""
    return {name for name, layer in layers(model).items() if isinstance(layer, _kinds("pooling"))}


def feature_maps(
    model: keras.Model, images: np.ndarray, names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """The maps of convolution and pooling layers on `images`, in inference mode.

    The map of a convolution is what its activation layer gives out: the first one that its output
    reaches through layers such as normalisation or dropout, before another convolution, pooling,
    dense or merging layer. Where none does, as in the branch of a residual block, it is what the
    last of those layers gives out, or the convolution itself. An activation that belongs to no
    convolution, as after the sum in a residual block, is shown under its own name. (What is no
    layer but a bare function is not seen.) A layer called more than once shows its first call.

    Args:
        model: A built, channels-last model that takes one image tensor.
        images: (n, h, w, c), as the model takes them. All go through in one pass: a probe set.
        names: Names from `layers(model)`, or of such activations; all of them if None.

    Returns:
        Layer name -> float32 (n, h, w, channels), in the order of the calls.

    Raises:
        ValueError: if a name is unknown, its layer takes no part in the forward pass, or no layer
            is seen to, as in a model whose `call` is a `tf.function`.
    """
    import keras

    maps, _ = forward(model, images, names)
    return {
        name: np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))
        for name, tensor in maps.items()
    }


def forward(
    model: keras.Model, images: Any, names: Sequence[str] | None = None
) -> tuple[dict[str, Any], Any]:
    """The maps that `feature_maps` describes, as tensors of the layers' own dtypes, and the output.

    `images`: array or tensor. Inside a `tf.GradientTape` that watches them, gradients can be taken
    of everything returned, with respect to any of it.
    """
    import keras

    known = _named(model)
    asked = list(layers(model)) if names is None else list(names)
    for name in asked:
        if name not in known:
            raise ValueError(f"no convolution or pooling layer {name!r}; there are {list(known)}")

    wanted = {id(known[name]): name for name in (known if names is None else asked)}
    maps: dict[str, Any] = {}
    # What a convolution gave out and no activation has taken yet, followed through normalisation
    # and the like: tensor id -> (tensor, id of the convolution's own output). The tensors are kept
    # so that their ids stay their own.
    waiting: dict[int, tuple[Any, int]] = {}
    shown: dict[int, str] = {}  # id of a convolution's own output -> the name its map has

    def note(layer: keras.layers.Layer, given: Any, result: Any) -> None:
        name = wanted.get(id(layer))
        fresh = name is not None and name not in maps
        if isinstance(layer, _kinds("shown")):
            if fresh:
                maps[name] = result
            if getattr(layer, "activation", None) is keras.activations.linear:
                waiting[id(result)] = (result, id(result))
                if fresh:
                    shown[id(result)] = name
        elif isinstance(layer, _kinds("barrier")):
            return
        elif id(given) in waiting and getattr(result, "shape", None) == given.shape:
            _, origin = waiting[id(given)]
            if origin in shown:
                maps[shown[origin]] = result
            if _activates(layer):
                # Only the first activation counts, also where the tensor goes to several.
                for key in [key for key, (_, first) in waiting.items() if first == origin]:
                    del waiting[key]
                shown.pop(origin, None)
            else:
                waiting[id(result)] = (result, origin)
        elif fresh and _activates(layer) and len(result.shape) == 4:
            maps[name] = result

    with _listening(model, note):
        output = model(keras.ops.convert_to_tensor(images), training=False)

    missing = [name for name in asked if name not in maps]
    if missing and (names is not None or not maps):
        raise ValueError(f"layers {missing} take no part in the forward pass, as far as is seen")
    return maps, output


def _named(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """All layers that may have maps, by the names that `layers` describes, in forward order."""
    kinds = (*_kinds("shown"), *_kinds("activation"))
    found = [(path, layer) for path, layer in _walk(model) if isinstance(layer, kinds)]
    short = Counter(path[-1] for path, _ in found)
    named: dict[str, keras.layers.Layer] = {}
    for path, layer in found:
        name = path[-1] if short[path[-1]] == 1 else "/".join(path)
        first, number = name, 1
        while name in named:
            number += 1
            name = f"{first}#{number}"
        named[name] = layer
    return named


@contextmanager
def _listening(model: keras.Model, note: Callable[[Any, Any, Any], None]) -> Iterator[None]:
    """Inside, `note(layer, first argument, result)` follows each call of an innermost layer."""
    leaves = [layer for _, layer in _walk(model) if not _children(layer)]
    # Past Keras's own attribute tracking, and so that what was there before comes back.
    before = [(vars(layer), vars(layer).get("call")) for layer in leaves]

    def wrap(layer: keras.layers.Layer, call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            note(layer, args[0] if args else next(iter(kwargs.values()), None), result)
            return result

        return wrapped

    try:
        for layer in leaves:
            vars(layer)["call"] = wrap(layer, layer.call)
        yield
    finally:
        for attributes, call in before:
            attributes.pop("call", None)
            if call is not None:
                attributes["call"] = call


def _walk(
    layer: keras.layers.Layer, path: tuple[str, ...] = (), seen: set[int] | None = None
) -> Iterator[tuple[tuple[str, ...], keras.layers.Layer]]:
    """Every layer below `layer`, once, with the names that lead to it."""
    seen = set() if seen is None else seen
    for child in _children(layer):
        if id(child) not in seen:
            seen.add(id(child))
            yield (*path, child.name), child
            yield from _walk(child, (*path, child.name), seen)


def _children(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    # Private, but the only list that has the sublayers of custom layers as well as those of models.
    # Its `recursive=True` would turn the order of nested layers round.
    return layer._flatten_layers(include_self=False, recursive=False)


def _activates(layer: keras.layers.Layer) -> bool:
    import keras

    if isinstance(layer, keras.layers.Activation):
        return layer.activation is not keras.activations.linear
    return isinstance(layer, _kinds("activation"))


def _kinds(role: str) -> tuple[type, ...]:
    """The layer classes of a role: "pooling", "shown" (has maps), "barrier" (ends a search) or
    "activation"."""
    from keras import layers as k

    # Keras derives none of these four from another.
    convolution = (k.Conv2D, k.DepthwiseConv2D, k.SeparableConv2D, k.Conv2DTranspose)
    pooling = (k.MaxPooling2D, k.AveragePooling2D)
    shown = (*convolution, *pooling)
    return {
        "pooling": pooling,
        "shown": shown,
        "barrier": (*shown, k.Dense, k.EinsumDense),
        "activation": (k.Activation, k.ReLU, k.LeakyReLU, k.PReLU, k.ELU, k.Softmax),
    }[role]
