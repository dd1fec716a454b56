"""EfficientNet-Lite0 at its package's weights: it gives what a forward pass in NumPy gives, and is
right."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from cnnlab.errors import UserError
from cnnlab.recipe.nets import efficientnet_lite0 as net
from cnnlab.recipe.network import network, put, weights_of
from cnnlab.recipe.recipe import Phase
from cnnlab.train import torch_file, weights
from cnnlab.train.fit import _let_move

OPTIONS = {"size": None, "momentum": None, "dense": []}
SIZE = 224


def moved(x, kernel, stride):
    """Maps (n, height, width, maps) with zeros around, as TensorFlow's 'same' has them: for each
    place in a kernel, what lies below it."""
    sides = [(0, 0)]
    for length in x.shape[1:3]:
        missing = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        sides.append((missing // 2, missing - missing // 2))
    high, wide = (-(-length // stride) for length in x.shape[1:3])
    x = np.pad(x, [*sides, (0, 0)])
    for i in range(kernel):
        for j in range(kernel):
            yield i, j, x[:, i:, j:][:, ::stride, ::stride][:, :high, :wide]


def logits(tensors, images):
    """The network as its authors describe it, of the tensors as they are in the file."""

    def normal(x, name):
        scale, shift, mean, variance = (
            tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * scale + shift

    def relu6(x):
        return np.clip(x, 0, 6)

    def conv(x, name, stride=1):
        kernel = tensors[f"{name}.weight"]
        parts = moved(x, kernel.shape[2], stride)
        return sum(part @ kernel[:, :, i, j].T for i, j, part in parts)

    def single(x, name, stride):
        kernel = tensors[f"{name}.weight"][:, 0]
        parts = moved(x, kernel.shape[1], stride)
        return sum(part * kernel[:, i, j] for i, j, part in parts)

    x = (images - 127) / 128
    x = relu6(normal(conv(x, "_conv_stem", 2), "_bn0"))
    number = 0
    for repeats, stride in ((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)):
        for again in range(repeats):
            name, before = f"_blocks.{number}", x
            if number:
                x = relu6(normal(conv(x, f"{name}._expand_conv"), f"{name}._bn0"))
            step = 1 if again else stride
            x = relu6(normal(single(x, f"{name}._depthwise_conv", step), f"{name}._bn1"))
            x = normal(conv(x, f"{name}._project_conv"), f"{name}._bn2")
            x = before + x if again else x
            number += 1
    x = relu6(normal(conv(x, "_conv_head"), "_bn1")).mean((1, 2))
    return x @ tensors["_fc.weight"].T + tensors["_fc.bias"]


@pytest.fixture(scope="module")
def tensors():
    """The file's, once its digest has been checked."""
    weights.packaged(net)
    return torch_file.tensors(weights.package_file(net.PACKAGE).read_bytes(), "")


@pytest.fixture(scope="module")
def recipe(base):
    return replace(base, net="efficientnet_lite0", net_options=OPTIONS)


@pytest.fixture(scope="module")
def whole(recipe):
    """The network with its 1000 classes."""
    model = network(recipe, (SIZE, SIZE, 3), 1000).model
    put(model, weights.packaged(net))
    return model


@pytest.fixture(scope="module")
def photographs():
    """Squares of scikit-learn's photographs: a palace in Peking and a flower."""
    squares = []
    for image in load_sample_images().images:
        top, left = ((side - min(image.shape[:2])) // 2 for side in image.shape[:2])
        square = image[top : top + min(image.shape[:2]), left : left + min(image.shape[:2])]
        squares.append(np.asarray(Image.fromarray(square).resize((SIZE, SIZE), Image.BICUBIC)))
    return np.stack(squares).astype(np.float32)


def test_it_gives_what_a_forward_pass_in_numpy_gives(whole, tensors, photographs):
    ours = whole(photographs, training=False).numpy()
    theirs = logits(tensors, photographs)
    assert theirs.dtype == np.float32
    assert np.ptp(theirs) > 10
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)


def test_it_sees_what_photographs_show(whole, photographs):
    palace, flower = (keras.ops.softmax(whole(photographs, training=False))).numpy()
    names = {698: "palace", 442: "bell cote", 663: "monastery"}
    assert set(palace.argsort()[-3:]) == set(names) and palace.argmax() == 698
    assert flower.argmax() == 985  # daisy
    assert palace[698] > 0.25 and flower[985] > 0.2


def test_every_weight_has_its_place(whole, tensors):
    converted = weights.packaged(net)
    there = weights_of(whole)
    assert set(converted) == set(there)
    arrays = [array for layer in converted.values() for array in layer]
    counted = {n: t for n, t in tensors.items() if not n.endswith("num_batches_tracked")}
    assert len(arrays) == len(counted)
    assert sum(a.size for a in arrays) == sum(t.size for t in counted.values())
    learnt = sum(v.numpy().size for v in whole.trainable_variables)
    assert learnt == 4_652_008


def test_units_are_convs_from_the_stem_up(recipe):
    made = network(recipe, (64, 64, 3), 2)
    first = [next(x.name for x in u if hasattr(x, "kernel")) for u in made.units]
    assert first[:4] == ["stem", "block1_1_depthwise", "block1_1_project", "block2_1_expand"]
    assert first[-1] == "top" and len(first) == 49
    residual = next(unit for unit in made.units if unit[0].name == "block2_2_project")
    assert [x.name for x in residual] == ["block2_2_project", "block2_2_project_bn", "block2_2_add"]
    _let_move(made, Phase(1, 0.1, learning=0.5, batchnorm="learning"))
    moving = {x.name: x.trainable for unit in made.units for x in unit if x.weights}
    assert list(moving.values()) == sorted(moving.values())  # what learns is at the top
    assert moving["top_bn"] and not moving["stem"]


def test_grey_images_and_small_ones_are_brought_to_its_form(recipe):
    sized = replace(recipe, net_options={**OPTIONS, "size": 32, "momentum": 0.0})
    body = network(sized, (8, 8, 1), 2).body
    assert body.get_layer("scale").input.shape == (None, 32, 32, 3)
    assert norms(body) == {(0.0, 1e-3)}  # the one asked for
    with pytest.raises(UserError, match=r"efficientnet_lite0\.size = None.*32 pixels.* have 8x8"):
        network(recipe, (8, 8, 1), 2)


def test_its_own_momentum(whole):
    assert norms(whole) == {(0.99, 1e-3)}


def norms(model):
    """Momentum and epsilon of the batch norm layers."""
    kinds = keras.layers.BatchNormalization
    return {(x.momentum, x.epsilon) for x in model.layers if isinstance(x, kinds)}
