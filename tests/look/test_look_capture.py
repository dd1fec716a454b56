"""Maps taken out of models agree with maps computed directly."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers as k

from cnnlab.look import feature_maps, kernels, layers


@pytest.fixture(autouse=True)
def _seed():
    keras.utils.set_random_seed(3)


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), np.uint8)


def ours(norm: bool) -> keras.Sequential:
    stack = [keras.Input((8, 8, 1)), k.Rescaling(1 / 255)]
    for block, filters in ((1, 4), (2, 6)):
        for conv in (1, 2):
            name = f"conv{block}_{conv}"
            stack.append(k.Conv2D(filters, 3, padding="same", name=name))
            if norm:
                stack.append(k.BatchNormalization(name=f"{name}_norm"))
            stack += [k.Activation("relu", name=f"{name}_act"), k.Dropout(0.5)]
        stack.append(k.MaxPooling2D(name=f"pool{block}"))
    model = keras.Sequential([*stack, k.Flatten(), k.Dense(5), k.Activation("relu"), k.Dense(2)])
    for layer in model.layers:
        if isinstance(layer, k.BatchNormalization):
            rng = np.random.default_rng(1)
            layer.set_weights([rng.random(w.shape) + 0.5 for w in layer.get_weights()])
    return model


def agrees(maps: dict[str, np.ndarray], model: keras.Model, images, inner: dict[str, str]):
    """`maps` are the outputs of the layers `inner` of a functional or sequential model."""
    outputs = {name: model.get_layer(layer).output for name, layer in inner.items()}
    expected = keras.Model(model.inputs, outputs)([images], training=False)
    assert set(maps) == set(inner)
    for name, values in maps.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], rtol=1e-5, atol=1e-6, err_msg=name)


OURS = ["conv1_1", "conv1_2", "pool1", "conv2_1", "conv2_2", "pool2"]


@pytest.mark.parametrize("norm", [False, True])
def test_sequential(images, norm):
    model = ours(norm)
    assert list(layers(model)) == OURS
    inner = {name: name if "pool" in name else f"{name}_act" for name in OURS}
    agrees(feature_maps(model, images), model, images, inner)
    assert feature_maps(model, images)["conv1_1"].min() == 0
    assert list(feature_maps(model, images, ["pool1", "conv1_1"])) == ["conv1_1", "pool1"]


def test_which_activation_belongs_to_a_convolution(images):
    shared = k.ReLU(name="shared")
    x = inputs = keras.Input((8, 8, 1))
    a = k.Conv2D(3, 3, padding="same", name="a")(x)
    b = k.Conv2D(3, 3, padding="same", name="b")(x)  # two branches, their layers interleaved
    a, b = k.BatchNormalization(name="a_norm")(a), k.BatchNormalization(name="b_norm")(b)
    a, b = k.LeakyReLU(name="a_act")(a), k.PReLU(name="b_act")(b)
    x = k.Concatenate()([a, b])
    x = shared(k.SeparableConv2D(4, 3, padding="same", name="separable")(x))
    x = k.DepthwiseConv2D(3, padding="same", activation="tanh", name="fused")(x)
    x = k.ReLU(name="after_fused")(x)
    y = k.Conv2D(4, 1, name="before_merge")(x)
    x = k.ReLU(name="after_merge")(k.Add()([x, y]))
    x = shared(k.Conv2DTranspose(2, 3, strides=2, name="transpose")(x))
    x = k.Activation("linear")(k.Conv2D(2, 3, name="linear")(x))
    x = k.AveragePooling2D(2, name="mean")(x)
    x = k.GlobalAveragePooling2D(keepdims=True)(k.Conv2D(2, 3, name="last")(x))
    model = keras.Model(inputs, k.Softmax()(k.Dense(2)(k.Flatten()(x))))
    for name in ("a_norm", "b_norm"):
        model.get_layer(name).moving_mean.assign([0.1, 0.2, 0.3])
    inner = {name: name for name in ("a", "b", "separable", "fused", "before_merge")}
    inner |= {name: name for name in ("transpose", "linear", "mean", "last")}
    inner |= {name: name for name in ("after_fused", "after_merge")}  # of no convolution
    maps = feature_maps(model, images)
    for name in ("separable", "transpose"):
        raw = keras.Model(model.inputs, model.get_layer(name).output)([images])
        np.testing.assert_allclose(maps[name], np.maximum(raw, 0), rtol=1e-5, atol=1e-5)
        del maps[name], inner[name]
    agrees(maps, model, images, inner | {"a": "a_act", "b": "b_act"})


def test_nested_backbone():
    base = keras.applications.MobileNet(
        input_shape=(32, 32, 3), alpha=0.25, include_top=False, weights=None
    )
    x = inputs = keras.Input((32, 32, 3))
    x = k.Rescaling(1 / 127.5, offset=-1)(x)
    x = k.Conv2D(4, 1, name="head")(base(x))
    model = keras.Model(inputs, k.GlobalAveragePooling2D()(x))
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)

    maps = feature_maps(model, images)
    assert list(maps) == list(layers(model))
    assert len(maps) == 28
    last = maps.pop("head")
    scaled = images / np.float32(127.5) - 1
    agrees(maps, base, scaled, {name: f"{name}_relu" for name in maps})
    expected = model.get_layer("head")(base(scaled, training=False))
    np.testing.assert_allclose(last, expected, rtol=1e-4, atol=1e-6)

    before = [w.copy() for w in model.get_weights()]
    feature_maps(model, images)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def residual(x, name: str, filters: int):
    """Two convolutions with normalisation, a projection, their sum, and an activation."""
    shift = keras.initializers.Constant(-0.5)
    y = k.Conv2D(filters, 3, padding="same", name=f"{name}_1")(x)
    y = k.ReLU(name=f"{name}_1_act")(k.BatchNormalization(name=f"{name}_1_norm")(y))
    y = k.Conv2D(filters, 3, padding="same", name=f"{name}_2")(y)
    y = k.BatchNormalization(name=f"{name}_2_norm", beta_initializer=shift)(y)
    x = k.Conv2D(filters, 1, name=f"{name}_skip")(x)
    return k.ReLU(name=f"{name}_act")(k.Add(name=f"{name}_sum")([x, y]))


def test_residual_blocks_nested_and_not(images):
    inputs = keras.Input((8, 8, 1))
    inside = keras.Model(inputs, k.MaxPooling2D(name="pool")(residual(inputs, "in", 3)), name="net")
    outer = keras.Input((8, 8, 1))
    x = k.Flatten()(residual(inside(k.Rescaling(1 / 255)(outer)), "out", 2))
    model = keras.Model(outer, k.Dense(3)(x))
    names = {name: name for name in ("in_skip", "in_act", "pool")}
    names |= {"in_1": "in_1_act", "in_2": "in_2_norm"}  # what the branch gives to the sum
    maps = feature_maps(model, images)
    assert set(maps) == {*names, "out_1", "out_2", "out_skip", "out_act"}
    assert list(maps)[-1] == "out_act"
    assert set(layers(model)) == set(maps) - {"in_act", "out_act"}
    nested = {name: maps[name] for name in names}
    agrees(nested, inside, images / np.float32(255), names)
    assert maps["in_2"].min() < 0 == maps["in_act"].min()
    assert list(feature_maps(model, images, ["out_act"])) == ["out_act"]
    with pytest.raises(ValueError, match="in_1_act"):  # it is shown as in_1
        feature_maps(model, images, ["in_1_act"])


def test_equal_names_are_told_apart(images):
    def part(name: str) -> keras.Sequential:
        return keras.Sequential([k.Conv2D(2, 3, name="conv"), k.ReLU()], name=name)

    inputs = keras.Input((8, 8, 1))
    x = k.Conv2D(2, 3, name="other")(part("second")(part("first")(inputs)))
    model = keras.Model(inputs, x)
    assert list(feature_maps(model, images)) == ["first/conv", "second/conv", "other"]


@keras.saving.register_keras_serializable("test_look")
class Block(k.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.steps = [k.Conv2D(filters, 3, name="conv"), k.BatchNormalization(), k.ReLU()]

    def call(self, x, training=False):
        for step in self.steps:
            x = step(x, training=training) if isinstance(step, k.BatchNormalization) else step(x)
        return x


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.unused = k.Conv2D(1, 1, name="unused")
        self.one = Block(3, name="one")
        self.two = Block(2, name="two")
        self.pool = k.MaxPooling2D(name="pool")

    def call(self, x, training=False):
        return self.pool(self.two(self.one(x), training=training))


@pytest.mark.filterwarnings("ignore:`build")
def test_subclassed_model(images):
    model = Subclassed()
    images = images / np.float32(255)
    model(images)
    assert list(layers(model)) == ["unused", "one/conv", "two/conv", "pool"]
    maps = feature_maps(model, images)
    assert list(maps) == ["one/conv", "two/conv", "pool"]
    one = model.one(images)
    np.testing.assert_allclose(maps["one/conv"], one, rtol=1e-6)
    np.testing.assert_allclose(maps["two/conv"], model.two(one), rtol=1e-6)
    np.testing.assert_allclose(maps["pool"], model(images), rtol=1e-6)
    with pytest.raises(ValueError, match="unused"):
        feature_maps(model, images, ["unused"])


def test_a_model_without_maps_has_none():
    model = keras.Sequential([keras.Input((4, 4, 1)), k.GlobalMaxPooling2D(), k.Dense(2)])
    assert feature_maps(model, np.zeros((1, 4, 4, 1))) == {}


class Compiled(Subclassed):
    @tf.function
    def call(self, x, training=False):
        return super().call(x, training=training)


@pytest.mark.filterwarnings("ignore:`build")
def test_a_compiled_call_is_refused(images):
    model = Compiled()
    model(images / np.float32(255))
    with pytest.raises(ValueError, match="as far as is seen"):
        feature_maps(model, images / np.float32(255))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "mixed_float16", "mixed_bfloat16"])
def test_half_precision_becomes_float32(dtype):
    x = inputs = keras.Input((4, 4, 1))
    x = k.ReLU(dtype=dtype)(k.Conv2D(1, 1, name="conv", dtype=dtype)(x))
    maps = feature_maps(keras.Model(inputs, x), np.ones((1, 4, 4, 1), np.float32))
    assert maps["conv"].dtype == np.float32
    assert kernels(keras.Model(inputs, x))["conv"].dtype == np.float32


def instance_calls(model: keras.Model) -> list[str]:
    return [n for n, layer in layers(model).items() if "call" in vars(layer)]


def test_wrapping_is_undone(images):
    model = ours(norm=True)
    mine = model.get_layer("conv1_2")
    own = mine.call
    object.__setattr__(mine, "call", own)  # a call set on the instance comes back
    before = np.asarray(model(images, training=False))
    feature_maps(model, images)
    assert instance_calls(model) == ["conv1_2"]
    assert mine.call is own

    def broken(*args, **kwargs):
        raise RuntimeError("broken layer")

    pool = model.get_layer("pool2")
    object.__setattr__(pool, "call", broken)
    with pytest.raises(RuntimeError, match="broken layer"):
        feature_maps(model, images)
    assert instance_calls(model) == ["conv1_2", "pool2"]
    assert pool.call is broken
    object.__delattr__(pool, "call")
    np.testing.assert_array_equal(model(images, training=False), before)


def test_unknown_layer_is_refused(images):
    with pytest.raises(ValueError, match=r"'conv9'.*conv1_1"):
        feature_maps(ours(norm=False), images, ["conv9"])


def test_kernels_have_one_layout():
    x = inputs = keras.Input((8, 8, 3))
    for layer in (
        k.Conv2D(4, (3, 5), name="conv"),
        k.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise"),
        k.SeparableConv2D(5, 3, padding="same", name="separable"),
        k.Conv2DTranspose(6, 2, name="transpose"),
    ):
        x = layer(x)
    model = keras.Model(inputs, k.MaxPooling2D()(x))
    found = kernels(model)
    assert {name: w.shape for name, w in found.items()} == {
        "conv": (3, 5, 3, 4),
        "depthwise": (3, 3, 1, 8),
        "separable": (3, 3, 1, 8),
        "transpose": (2, 2, 5, 6),
    }
    # Filter 5 of the depthwise layer makes its map 5.
    depthwise = model.get_layer("depthwise")
    patch = np.random.default_rng(0).normal(size=(1, 3, 3, 4)).astype("float32")
    expected = (patch[0, :, :, 5 // 2] * found["depthwise"][:, :, 0, 5]).sum()
    np.testing.assert_allclose(depthwise(patch)[0, 0, 0, 5], expected, rtol=1e-4)
